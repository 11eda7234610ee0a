"""Codes by data are taken only where they show a gain on data that the rounding did not see."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from support.calibration import all_taken, correlated

import qrnn
from qrnn import _layer_rounding, nn
from qrnn._calibration_report import costly
from qrnn._guards import shows_gain, threshold
from qrnn.quantization import calibration_report, engine_qconfig, float_qconfig

f32 = np.float32
__all__ = ["all_taken"]


def rule(plain, calibrated, bound):
    """The rule, written out."""
    d = [0.5 * (math.log(after) - math.log(before)) for before, after in zip(plain, calibrated, strict=True)]
    mean = sum(d) / len(d)
    variance = sum((each - mean) ** 2 for each in d) / (len(d) - 1)
    pooled = 0.5 * (math.log(sum(calibrated)) - math.log(sum(plain)))
    return max(mean + 2 * math.sqrt(variance / len(d)), pooled) < bound


def test_the_rule():
    rng, found = np.random.default_rng(0), set()
    for _ in range(500):
        count = int(rng.integers(2, 17))
        plain = np.exp(rng.standard_normal(count) * rng.uniform(0, 2))
        calibrated = plain * np.exp(2 * (rng.uniform(-0.6, 0.1) + rng.uniform(0, 0.5) * rng.standard_normal(count)))
        for bound in (0.0, math.log(0.8), math.log(0.98)):
            want = rule(plain, calibrated, bound)
            assert shows_gain(plain, calibrated, bound) == want
            found.add((bound, want))
    assert len(found) == 6
    assert threshold(0.0299) == 0 and threshold(0.03) == threshold(4.0) == math.log(0.8)


@pytest.mark.parametrize(
    "plain, calibrated",
    (
        ([1.0], [0.1]),
        ([], []),
        ([0.0, 0.0], [0.0, 0.0]),
        ([1.0, 2.0], [math.nan, 1.0]),
        ([1.0, math.inf], [0.1, 0.1]),
        ([0.0, 1.0], [1.0, 0.1]),
        ([1.0, 100.0], [0.1, 120.0]),
        ([1.0, 1.0, 1.0, 100.0], [2.0, 2.0, 2.0, 1.0]),
    ),
)
def test_what_shows_no_gain(plain, calibrated):
    assert not shows_gain(np.array(plain), np.array(calibrated), 0.0)


def test_pieces_without_errors_are_no_harm():
    assert shows_gain(np.array([0.0, 1.0, 1.0]), np.array([0.0, 0.1, 0.1]), 0.0) in (True, False)
    assert shows_gain(np.array([1.0, 1.0]), np.array([0.0, 0.0]), math.log(0.8))


# ---------------------------------------------------------------------------------------------------
# Layers
# ---------------------------------------------------------------------------------------------------
def outputs(module, pieces):
    """What a layer gives for each piece by itself."""
    found = []
    for piece in pieces:
        states = [each[:, None] for each in piece.states]
        hx = tuple(states) if len(states) == 2 else states[0]
        found.append(module(piece.x[:, None], hx)[0][:, 0].astype(np.float64))
    return found


def squares(one, other):
    return np.array([((a - b) ** 2).sum() for a, b in zip(one, other, strict=True)])


def relative(squares, exact):
    rows = np.concatenate(exact)
    return math.sqrt(squares.sum() / len(rows) / (((rows - rows.mean(0)) ** 2).sum() / (len(rows) - 1)))


def with_values(float_type, options, module, quantized, names):
    """The float layer with the values and biases of some weights of the quantized one."""
    new = float_type(*options[0], **options[1])
    codes = quantized.state_dict()
    for name in new.state_dict().keys() - {"format"}:
        setattr(new, name, getattr(module, name))
    for name in names:
        setattr(new, name, codes[name].astype(f32) * codes[f"{name}_scale"].reshape(-1, 1))
        bias = name.replace("weight", "bias")
        if hasattr(new, bias):
            setattr(new, bias, codes[bias])
    return new


LAYERS = {
    "lstm": (nn.LSTM, ((6, 20), {"num_layers": 2})),
    "projected": (nn.LSTM, ((6, 20), {"proj_size": 9})),
    "gru": (nn.GRU, ((6, 20), {"bidirectional": True})),
    "before": (nn.GRU, ((6, 20), {"reset_after": False})),
    "relu": (nn.RNN, ((6, 20), {"nonlinearity": "relu"})),
}


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("width", (1.0, 40.0))
def test_what_is_taken_is_what_the_rule_says(kind, width, monkeypatch):
    """By layers of our own, a piece at a time; of weights that cost little and much."""
    float_type, options = LAYERS[kind]
    qrnn.manual_seed(3)
    module, rng = float_type(*options[0], **options[1]), np.random.default_rng(4)
    module.weight_ih_l0 = (module.weight_ih_l0 * width).astype(f32)
    prepared = qrnn.prepare(module, qconfig={})
    plain = qrnn.convert(prepared)
    x = np.abs(correlated(rng, 4000, 6, rank=3)).reshape(50, 80, 6) * 10 ** rng.uniform(-3, 0, (50, 80, 1))
    prepared(x.astype(f32))
    pieces = prepared._prepared.statistics.held()
    new = qrnn.convert(prepared)
    with monkeypatch.context() as patched:
        patched.setattr(_layer_rounding, "shows_gain", lambda *given: True)
        everything = qrnn.convert(prepared)
    exact = outputs(module, pieces)
    taken = []
    report = {each.name: each for each in calibration_report(new)}
    for name, each in report.items():
        alone = [
            squares(outputs(with_values(float_type, options, module, codes, [name]), pieces), exact)
            for codes in (plain, everything)
        ]
        costs = [relative(each, exact) for each in alone]
        assert each.alone == pytest.approx(costs, rel=1e-4)
        if rule(*alone, 0.0 if costs[0] < 0.03 else math.log(0.8)):
            taken.append(name)
    together = qrnn.convert(prepared)
    state = plain.state_dict()
    for name in taken:
        for each in (name, f"{name}_scale", name.replace("weight", "bias")):
            if each in state:
                state[each] = everything.state_dict()[each]
    together.load_state_dict(state)
    errors = [squares(outputs(each, pieces), exact) for each in (plain, together)]
    if not (taken and rule(*errors, math.log(0.98))):
        taken = []
    assert [name for name, each in report.items() if each.taken] == taken
    want = (together if taken else plain).state_dict()
    assert all(np.array_equal(array, want[name]) for name, array in new.state_dict().items())


CASES = (("lstm", 300, 1.5), ("lstm", 300, 2), ("rnn", 300, 1), ("rnn", 300, 1.5), ("rnn", 300, 2))


@pytest.mark.parametrize("kind, gain, span", CASES)
def test_a_few_loud_steps_in_raw_columns_make_nothing_worse(kind, gain, span):
    """A tenth of the steps is a hundred to a thousand times as loud as the rest and rules all statistics."""
    rng, inputs = np.random.default_rng(0), 16
    qrnn.manual_seed(0)
    module = {"lstm": nn.LSTM, "rnn": nn.RNN}[kind](inputs, 32)
    factor = 10 ** rng.uniform(-span, span, inputs)
    module.weight_ih_l0 = (module.weight_ih_l0 * gain / factor).astype(f32)
    mix = rng.standard_normal((inputs, inputs)) / np.sqrt(inputs)

    def drawn(count):
        loudness = 10 ** rng.uniform(-3, -2, (60, count, 1))
        loudness[rng.random((60, count, 1)) < 0.1] = 1
        return (np.abs(rng.standard_normal((60, count, inputs)) @ mix) * loudness * factor).astype(f32)

    prepared = qrnn.prepare(module, qconfig={})
    plain = qrnn.convert(prepared)
    prepared(drawn(80))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        new = qrnn.convert(prepared)
    x = drawn(60)
    exact, rough, fine = (each(x)[0].astype(np.float64) for each in (module, plain, new))
    assert ((fine - exact) ** 2).sum() <= 1.02**2 * ((rough - exact) ** 2).sum()


def raw_model():
    """A model whose input columns differ by four orders of magnitude, and data for it."""
    qrnn.manual_seed(1)
    model, rng = nn.Sequential(), np.random.default_rng(1)
    model.lstm, model.head = nn.LSTM(12, 24), nn.Linear(24, 3)
    factor = 10 ** rng.uniform(-2, 2, 12)
    model.lstm.weight_ih_l0 = (model.lstm.weight_ih_l0 * 8 / factor).astype(f32)
    mix = rng.standard_normal((12, 12)) / 3
    data = [((rng.standard_normal((60, count, 12)) @ mix) * factor).astype(f32) for count in (60, 40)]
    return model, *data


def test_convert_warns_of_a_weight_that_codes_do_not_carry():
    """It names the weight and what to do, and that helps."""
    model, seen, fresh = raw_model()
    prepared = qrnn.prepare(model, qconfig={}, inplace=False)
    prepared.lstm(seen)
    with pytest.warns(UserWarning) as caught:
        new = qrnn.convert(prepared)
    (text,) = [str(each.message) for each in caught]
    assert text.startswith("lstm.weight_ih_l0: its codes alone cost ")
    assert "and data do not better them, as where inputs differ by orders of magnitude: keep it" in text
    assert 'qconfig={"": engine_qconfig, "lstm.weight_ih_l0": float_qconfig}' in text
    assert "in float32, 33% of the layer's weights, by" in text
    row = {each.name: each for each in calibration_report(new)}["lstm.weight_ih_l0"]
    assert not row.taken and row.alone[0] > 0.05
    mended = qrnn.prepare(model, qconfig={"": engine_qconfig, "lstm.weight_ih_l0": float_qconfig}, inplace=False)
    mended.lstm(seen)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mended = qrnn.convert(mended)
    exact, rough, fine = (each.lstm(fresh)[0] for each in (model, new, mended))
    assert ((fine - exact) ** 2).sum() < 0.1**2 * ((rough - exact) ** 2).sum()


@pytest.mark.parametrize("samples, few", ((319, True), (320, False)))
def test_where_data_were_few_the_warning_asks_for_more(samples, few):
    """Slow memory: W_hh near the identity costs much, and data better it."""
    rng, cell = np.random.default_rng(2), nn.RNNCell(1, 32, nonlinearity="relu")
    cell.weight_hh = (0.98 * np.eye(32) + 0.02 * rng.standard_normal((32, 32))).astype(f32)
    prepared, h = qrnn.prepare(cell, qconfig={}), None
    for step in np.abs(rng.standard_normal((50, 40, 1))).astype(f32):
        h = prepared(step, h)
    new = qrnn.convert(prepared)
    rows = [each._replace(samples=samples, taken=False) for each in calibration_report(new)]
    assert rows[1].alone[0] > 0.05 > rows[1].alone[1] and not list(costly(new, "cell"))
    vars(new)["_calibration"] = tuple(rows)
    (text,) = costly(new, "cell")
    assert text.startswith("cell.weight_hh: its codes alone cost ")
    asked = f"{samples} rows of data were too few to better them: call the prepared model with more, 320 at least; or"
    assert (asked in text) == few and ("inputs differ by orders of magnitude" in text) == (not few)
    assert "keep it and what it multiplies in float32, 97% of the layer's weights, by" in text


def test_no_warning_without_data_or_where_all_is_well():
    model, _, fresh = raw_model()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        qrnn.convert(qrnn.prepare(model, qconfig={}, inplace=False))
        good = qrnn.prepare(nn.LSTM(12, 24), qconfig={})
        good(np.tanh(fresh))
        qrnn.convert(good)


def test_the_report_is_what_a_user_measures():
    """Errors of the layer, plain and as converted, on the pieces held back: the measure of `measure`."""
    rng = np.random.default_rng(9)
    model = nn.Sequential()
    model.lstm = nn.LSTM(6, 20, batch_first=True)
    prepared = qrnn.prepare(model, qconfig={}, inplace=False)
    plain = qrnn.convert(prepared, inplace=False)
    prepared.lstm(correlated(rng, 6400, 6, rank=2).reshape(80, 80, 6))
    pieces = prepared.lstm._prepared.statistics.held()
    new = qrnn.convert(prepared)
    report = calibration_report(new)
    (layer,) = report.layers
    assert layer.name == "lstm" and layer.pieces == len(pieces) == 16
    data = [(piece.x[None], {"hx": tuple(each[:, None] for each in piece.states)}) for piece in pieces]
    models = {"float": model.lstm, "plain": plain.lstm, "new": new.lstm}
    _, rough, fine = qrnn.quantization.measure(models, data)
    assert layer.plain == pytest.approx(rough.outputs[0].error, rel=1e-5)
    assert layer.calibrated == pytest.approx(fine.outputs[0].error, rel=1e-5)
    assert layer.calibrated < layer.plain and 0 < layer.weights < layer.calibrated
    assert layer.activations == pytest.approx(1 - (layer.weights / layer.calibrated) ** 2)
    text, facts = str(report), report.to_dict()
    assert "due to activations" in text and f"{layer.activations:.0%}" in text and "lstm.weight_hh_l0" in text
    assert facts["layers"][0]["name"] == "lstm" and facts["rows"][0]["taken"] is True
    assert report._repr_html_().count("<table>") == 2


def test_too_few_data_stay_plain_and_say_so():
    model = qrnn.prepare(nn.LSTM(6, 8), qconfig={})
    plain = qrnn.convert(model)
    model(np.random.default_rng(2).standard_normal((20, 1, 6)).astype(f32))
    new = qrnn.convert(model)
    assert all(
        np.array_equal(a, b) for a, b in zip(new.state_dict().values(), plain.state_dict().values(), strict=True)
    )
    report = calibration_report(new)
    assert [each.taken for each in report] == [False, False] and not report.layers
    assert "Too few data" in str(report)
