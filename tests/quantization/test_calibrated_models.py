"""Rounding by data: what it gains on trained models, and what it does with every engine."""

from __future__ import annotations

import copy
import importlib
import pickle
import sys

import numpy as np
import pytest
from support import ROOT, assert_same_bits
from support import reference as ref
from support.calibration import all_taken, correlated, nothing_held, white_cell
from support.progress_bars import record_bars

import qrnn
from qrnn import nn
from qrnn.quantization import (
    calibration_report,
    default_dynamic_qconfig,
    per_channel_dynamic_qconfig,
)

f32 = np.float32
__all__ = ["all_taken", "nothing_held"]


def states(cell, xs, h=None):
    seen = []
    for x in xs:
        h = cell(x, h)
        seen.append(h)
    return np.stack(seen)


# ---------------------------------------------------------------------------------------------------
# Trained models
# ---------------------------------------------------------------------------------------------------
@pytest.fixture
def examples(monkeypatch):
    """Import a file of examples/; skip where its data are not installed."""
    monkeypatch.syspath_prepend(str(ROOT / "examples"))

    def load(name):
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError as error:
            pytest.skip(f"NOT INSTALLED: {error}")

    return load


def log_probabilities(scores):
    scores = scores.astype(np.float64) - scores.max(axis=-1, keepdims=True)
    return scores - np.log(np.exp(scores).sum(axis=-1, keepdims=True))


@pytest.mark.parametrize("name", ("text_rnn", "text_lstm", "text_gru"))
def test_language_models_diverge_less(examples, name):
    """Divergence of the next character's distribution on text held back: at most 0.7 of plain rounding's."""
    text, model = examples("text_data"), examples("trained").load(name)
    seen, held = (text.one_hot(text.streams(codes, 32)[:500]) for codes in text.load())
    prepared = qrnn.prepare(model, qconfig={}, inplace=False)
    plain = qrnn.convert(prepared, inplace=False)
    prepared(seen)
    p, *others = (log_probabilities(each(held)[0]) for each in (model, plain, qrnn.convert(prepared)))
    rough, fine = ((np.exp(p) * (p - q)).sum(-1).mean() for q in others)
    assert fine < 0.7 * rough


def test_slow_memory_drifts_less(examples):
    """Rms error of h of a relu cell whose W_hh is near the identity, 64 steps: at most half."""
    seen, _, held, _ = examples("digits_data").load()
    model = examples("trained").load("irnn")
    prepared = qrnn.prepare(model, qconfig={}, inplace=False)
    plain = qrnn.convert(prepared, inplace=False)
    prepared(seen.reshape(len(seen), 64, 1)[:300])
    steps = held.reshape(len(held), 64, 1).swapaxes(0, 1)
    exact, rough, fine = (states(each.rnn_cell, steps) for each in (model, plain, qrnn.convert(prepared)))
    assert ((fine - exact) ** 2).mean() < 0.5**2 * ((rough - exact) ** 2).mean()


# ---------------------------------------------------------------------------------------------------
# Converted models
# ---------------------------------------------------------------------------------------------------
QCONFIGS = {"own": {}, "tensor": default_dynamic_qconfig, "channel": per_channel_dynamic_qconfig}


def same_state(one, other):
    one, other = one.state_dict(), other.state_dict()
    assert list(one) == list(other)
    return all(one[name].tobytes() == other[name].tobytes() for name in one)


@pytest.mark.parametrize("engine", ref.ENGINES)
@pytest.mark.parametrize("qconfig", QCONFIGS)
def test_without_data_it_is_plain_rounding(engine, qconfig):
    rng = np.random.default_rng(13)
    model = nn.Sequential(white_cell(rng, 6, 9), nn.Linear(9, 4))
    prepared = qrnn.prepare(model, qconfig=QCONFIGS[qconfig], inplace=False, engine=engine)
    for module in prepared.children():
        module(np.zeros((0, module.input_size), f32))
    new = qrnn.convert(prepared, inplace=False)
    spec = None if qconfig == "own" else {nn.RNNCell: QCONFIGS[qconfig], nn.Linear: QCONFIGS[qconfig]}
    assert same_state(new, qrnn.quantize_dynamic(model, spec, engine=engine))
    assert len(calibration_report(new)) == 0 and "no weight" in str(calibration_report(new))


@pytest.mark.parametrize("engine", ref.ENGINES)
@pytest.mark.parametrize("qconfig", QCONFIGS)
def test_data_help_with_every_engine(engine, qconfig):
    """The rms error of h on other data falls, weights keep their scheme, and only biases change beside."""
    rng = np.random.default_rng(14)
    cell = white_cell(rng, 10, 48)
    cell.weight_hh = (0.9 * np.linalg.qr(rng.standard_normal((48, 48)))[0]).astype(f32)
    xs = correlated(rng, 4000, 10, rank=2).reshape(200, 20, 10)
    prepared = qrnn.prepare(cell, qconfig=QCONFIGS[qconfig], engine=engine)
    plain = qrnn.convert(prepared)
    states(prepared, xs[:150])
    new = qrnn.convert(prepared)
    assert not same_state(new, plain)
    exact, rough, fine = (states(each, xs[150:]) for each in (cell, plain, new))
    bound = 0.8 if engine in (*ref.ROW_ENGINES, "qnnpack") else 0.95  # with 7 bits, activations make most of it
    assert ((fine - exact) ** 2).mean() < bound**2 * ((rough - exact) ** 2).mean()
    for name, weight in new.get_weight().items():
        assert weight.qscheme() == plain.get_weight()[name].qscheme()
    assert new.nbytes == plain.nbytes
    assert same_state(qrnn.quantize_dynamic(prepared), plain), "quantize_dynamic stays plain"


@pytest.mark.parametrize("hidden", (8, 32, 96))
@pytest.mark.parametrize("samples", (1, 10, 100, 2000))
def test_white_inputs_are_no_worse(hidden, samples):
    """Where there is nothing to gain, and few samples invite to fit them, nothing is lost."""
    rng = np.random.default_rng([hidden, samples])
    ratios = []
    for _ in range(3):
        cell = white_cell(rng, hidden, hidden)
        prepared = qrnn.prepare(cell, qconfig={})
        plain = qrnn.convert(prepared)
        states(prepared, rng.standard_normal((samples, 1, hidden)).astype(f32))
        xs = rng.standard_normal((60, 20, hidden)).astype(f32)
        exact, rough, fine = (states(each, xs) for each in (cell, plain, qrnn.convert(prepared)))
        ratios.append(np.sqrt(((fine - exact) ** 2).mean() / ((rough - exact) ** 2).mean()))
    assert max(ratios) < 1.05, ratios


def test_weights_that_did_not_change_keep_their_codes():
    """A quantized module that was prepared has no rounding error: data cannot better its codes."""
    cell = qrnn.RNNCell(5, 4)
    prepared = qrnn.prepare(cell, qconfig={})
    states(prepared, np.random.default_rng(15).standard_normal((30, 8, 5)).astype(f32))
    assert same_state(qrnn.convert(prepared), cell)


def test_modules_without_biases():
    rng = np.random.default_rng(16)
    cell = white_cell(rng, 6, 24, bias=False)
    prepared = qrnn.prepare(cell, qconfig={})
    xs = correlated(rng, 1000, 6, rank=2).reshape(50, 20, 6)
    plain = qrnn.convert(prepared)
    states(prepared, xs)
    new = qrnn.convert(prepared)
    assert new.bias_ih is None and not new.bias
    exact, rough, fine = (states(each, xs) for each in (cell, plain, new))
    assert ((fine - exact) ** 2).mean() < ((rough - exact) ** 2).mean()


def test_every_instruction_set_gives_the_same():
    rng = np.random.default_rng(17)
    prepared = qrnn.prepare(white_cell(rng, 6, 24), qconfig={})
    xs = correlated(rng, 400, 6).reshape(20, 20, 6)
    states(prepared, xs)
    results = [states(qrnn.convert(prepared, isa=isa), xs) for isa in qrnn.isas()]
    for result in results[1:]:
        assert_same_bits(result, results[0])


def test_report(nothing_held):
    rng = np.random.default_rng(18)
    model = nn.Sequential(white_cell(rng, 6, 24), nn.Tanh(), nn.Linear(24, 3))
    prepared = qrnn.prepare(model, qconfig={}, inplace=False)
    prepared[2](states(prepared[0], correlated(rng, 400, 6).reshape(20, 20, 6)))
    new = qrnn.convert(prepared)
    report = calibration_report(new)
    assert [each.name for each in report] == ["0.weight_ih", "0.weight_hh", "2.weight"]
    assert [each.samples for each in report] == [400] * 3
    for each in report:
        assert 0 < each.calibrated <= each.plain < 0.1 and each.seconds > 0
        assert each.scale[0] <= each.scale[1] <= each.scale[2]
    for other in (copy.deepcopy(new), pickle.loads(pickle.dumps(new))):
        assert str(calibration_report(other)) == str(report)
    assert len(report[:2]) == 2 and repr(report[:2]).count("\n") == 3, "and a line: nothing was held back"
    page = report._repr_html_()
    assert page.count("<tr>") == 4 and "0.weight_hh" in page and "%" in str(report)
    with pytest.raises(TypeError, match="model"):
        calibration_report(3)


@pytest.mark.parametrize("engine", ["qrnn", "fbgemm"])
def test_the_report_counts_rows_that_differ(engine, all_taken):
    """By data: rows whose codes or scale are not the plain ones; all or none where rows share a scale."""
    rng = np.random.default_rng(21)
    model = nn.Sequential(nn.Linear(6, 24), nn.Linear(24, 5))
    model[0].weight = rng.uniform(-1, 1, (24, 6)).astype(f32)
    model[1].weight = rng.uniform(-1, 1, (5, 24)).astype(f32)
    dead = np.array(model[0].weight)
    dead[3:7] = 0  # no code of these can be better
    model[0].weight = dead
    prepared = qrnn.prepare(model, qconfig={}, engine=engine, inplace=False)
    plain = qrnn.convert(prepared, inplace=False)
    prepared(correlated(rng, 60, 6))
    new = qrnn.convert(prepared)
    found = {each.name: each for each in calibration_report(new)}
    for name, layer, before in (("0.weight", new[0], plain[0]), ("1.weight", new[1], plain[1])):
        now, then = layer.state_dict(), before.state_dict()
        differ = (now["weight"] != then["weight"]).any(axis=1) | (now["weight_scale"] != then["weight_scale"])
        want = int(differ.sum()) if engine == "qrnn" else len(differ) * bool(differ.any())
        assert found[name].rows == want
        ratio = now["weight_scale"].astype(np.float64) / then["weight_scale"]
        assert found[name].scale == pytest.approx((ratio.min(), ratio.mean(), ratio.max()), rel=1e-12)
    assert 10 < found["0.weight"].rows <= 20 if engine == "qrnn" else found["0.weight"].rows == 24


def test_the_report_counts_the_fewer_samples_of_two_products(nothing_held):
    """W_hh of a GRU that resets before the product meets h, and r * h in its last rows."""
    rng = np.random.default_rng(22)
    prepared = qrnn.prepare(nn.GRU(4, 6, reset_after=False), qconfig={})
    prepared(rng.standard_normal((9, 3, 4)).astype(f32), lengths=[9, 4, 1])
    statistics = prepared._prepared.statistics
    assert {name: moments.count for name, moments in statistics.by_product().items()} == {
        (0, 0): 14,
        (1, 0): 14,
        (1, 1): 14,
    }
    statistics.record(np.ones((5, 6), f32), (1, 1))
    found = {each.name: each.samples for each in calibration_report(qrnn.convert(prepared))}
    assert found == {"weight_ih_l0": 14, "weight_hh_l0": 14}


@pytest.mark.parametrize("change", ["load", "bias", "set_weight_bias"])
def test_the_report_is_of_the_weights_that_are_there(change):
    model = qrnn.prepare(nn.Sequential(nn.RNNCell(3, 2), nn.Linear(2, 2)), qconfig={})
    model(np.random.default_rng(0).standard_normal((50, 3), dtype=f32))
    new = qrnn.convert(model)
    new.load_state_dict({}, strict=False)
    assert [each.name for each in calibration_report(new)] == ["0.weight_ih", "0.weight_hh", "1.weight"]
    if change == "load":
        new.load_state_dict(qrnn.quantize_dynamic(nn.Sequential(nn.RNNCell(3, 2))).state_dict(), strict=False)
    elif change == "bias":
        new[0].bias_ih = np.zeros(2)
    else:
        new[0].set_weight_bias(new[0]._weight_bias())
    assert [each.name for each in calibration_report(new)] == ["1.weight"]


def test_progress_of_long_work(monkeypatch):
    """tqdm, where it is installed, counts the passes over all rows; without it nothing is shown."""
    layer = qrnn.prepare(nn.Linear(9, 700), qconfig={})
    layer(np.random.default_rng(19).standard_normal((50, 9)))
    bars = record_bars(monkeypatch)
    qrnn.convert(layer)
    assert [each.text for each in bars] == ["converting"], "rounding of a small weight shows none"
    monkeypatch.setattr("qrnn._layer_rounding.LONG", 0)
    new = qrnn.convert(layer)
    assert [each.text for each in bars[1:]] == ["rounding weight", "converting"]
    assert all(each.done == each.total and each.closed for each in bars)
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    assert same_state(qrnn.convert(layer), new) and len(bars) == 3


@pytest.mark.parametrize(
    "make", [list, iter, lambda v: (n for n in v), lambda v: {n: n for n in v}.values(), lambda v: np.array(v, object)]
)
def test_lengths_of_any_kind_are_observed(make, nothing_held):
    """As the float layer takes them, also those that can be read but once."""
    module = nn.LSTM(4, 3, 2, batch_first=True)
    prepared = qrnn.prepare(module, qconfig={}, inplace=False)
    x = np.ones((2, 5, 4), np.float32)
    assert_same_bits(prepared(x, lengths=make([5, 2]))[0], module(x, lengths=[5, 2])[0])
    assert prepared._prepared.statistics.of(0, 0).count == 7


def test_infinite_rows_are_left_out_without_a_warning():
    gru = qrnn.prepare(nn.GRU(4, 3, reset_after=False), qconfig={}, inplace=False)
    x = np.ones((3, 2, 4), np.float32)
    x[1, 0, 0] = np.inf
    with np.errstate(all="raise"):
        gru(x)
