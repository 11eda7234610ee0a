"""autoquantize: the cheapest precision for each weight matrix that keeps the error of the outputs under a bound."""

from __future__ import annotations

import importlib
import itertools
import json
import warnings

import numpy as np
import pytest
from support import ROOT
from support.precision_models import attentive, spectral

import qrnn
from qrnn import nn
from qrnn._levels import FLOAT
from qrnn._sensitivity import trials_of
from qrnn.quantization import autoquantize, measure

f32 = np.float32


def error_on(model, chosen, data):
    return measure({"float": model, "chosen": chosen}, data, layers=False)[1].error


def choices(report):
    return {row.name: row.choice for row in report}


def test_raw_spectral_powers():
    """W_ih of the first layer stays float, the rest is int8, and new data are as well off."""
    model, data = spectral(32)
    chosen, report = autoquantize(model, data, max_error=0.02)
    found = choices(report)
    assert found.pop("rnn.weight_ih_l0") == "float" and all(each.startswith("int8") for each in found.values())
    assert chosen.state_dict()["rnn.weight_ih_l0"].dtype == f32 and "weight_ih_l0=float32" in repr(chosen)
    facts = report.to_dict()
    assert facts["error"] == pytest.approx(error_on(model, chosen, data[1::2]), rel=1e-9) and facts["error"] <= 0.018
    assert error_on(model, chosen, spectral(50, seed=1)[1]) < 0.021


def test_a_linear_before_a_softmax_over_large_scores():
    model, data = attentive(48)
    chosen, report = autoquantize(model, data, max_error=0.03)
    assert choices(report)["score.weight"] == "float" and type(chosen.score) is nn.Linear
    assert all(choice.startswith("int8") for name, choice in choices(report).items() if name != "score.weight")
    assert report.to_dict()["error"] <= 0.027 and error_on(model, chosen, attentive(50, seed=1)[1]) < 0.0315


@pytest.mark.parametrize("make", (spectral, attentive))
@pytest.mark.parametrize("max_error", (0.005, 0.01, 0.03, 0.2))
def test_no_cheaper_choice_is_under_the_bound(make, max_error):
    """Against every choice, each measured, but for costs within a hundredth."""
    model, data = make(16)
    trials = trials_of(model, data, None)
    levels = [[*trials.levels(part), FLOAT] for part in trials.parts]
    costs = []
    for each in itertools.product(*levels):
        choice = {part.name: level for part, level in zip(trials.parts, each, strict=True)}
        if trials.error(choice) <= 0.9 * max_error:
            costs.append(trials.cost(choice))
    _, report = autoquantize(model, data, max_error=max_error)
    named = {level.name: level for own in levels for level in own}
    found = trials.cost({name: named[level] for name, level in choices(report).items()})
    assert min(costs) <= found * (1 + 1e-12) <= 1.01 * min(costs)


def test_vowels_in_raw_units():
    """A trained LSTM whose columns come in units of their own: the bound holds on all that was held back."""
    monkeypatch = pytest.MonkeyPatch()
    with monkeypatch.context() as patched:
        patched.syspath_prepend(str(ROOT / "examples"))
        try:
            vowels, trained = importlib.import_module("vowels_data"), importlib.import_module("trained")
            (x, lengths, _), (new, new_lengths, _) = vowels.load()
        except ModuleNotFoundError as error:
            pytest.skip(f"NOT INSTALLED: {error}")
        model = trained.load("vowels_lstm")
    units = 10.0 ** np.random.default_rng(3).uniform(-3, 3, x.shape[-1])
    model.rnn.weight_ih_l0 = model.rnn.weight_ih_l0 / units
    data = [((x[i : i + 1] * units).astype(f32), lengths[i : i + 1]) for i in range(0, 270, 6)]
    chosen, report = autoquantize(model, data)
    facts = report.to_dict()
    assert facts["int8"] > 0.3 and facts["error"] < 0.018
    assert facts["in_int8"] > 0.8 and facts["speed_of_int8"] > 0.85 and facts["speed_of_float"] > 2
    assert error_on(model, chosen, [((new * units).astype(f32), new_lengths)]) < 0.02


@pytest.mark.parametrize("columns", (False, True))
@pytest.mark.parametrize("loudness", (0, 3.5))
def test_raw_columns_and_loud_steps(columns, loudness):
    """The output of a random LSTM of two layers stays within 2 % on other data, with 80 % of the weights in int8."""
    rng = np.random.default_rng(0)
    units = 10.0 ** rng.uniform(-3, 3, 40) if columns else np.ones(40)
    qrnn.manual_seed(3)
    model = nn.LSTM(40, 64, num_layers=2)
    state = {name: v * (3 if "weight" in name else 1) for name, v in model.state_dict().items()}
    state["weight_ih_l0"] = state["weight_ih_l0"] / units
    model.load_state_dict({name: v.astype(f32) for name, v in state.items()})

    def data():
        x = np.abs(rng.standard_normal((40, 32, 40))) * np.exp(rng.uniform(-loudness, loudness, (40, 32, 1)))
        return (x * units).astype(f32)

    seen, held = data(), data()
    chosen, report = autoquantize(model, [seen[:, i : i + 1] for i in range(32)], max_error=0.02)
    want = model(held)[0]
    assert ((chosen(held)[0] - want) ** 2).sum() <= 0.02**2 * (want**2).sum()
    assert report.to_dict()["in_int8"] > 0.8
    if not columns:
        assert all(row.choice != "float" for row in report)


def test_a_bound_that_nothing_keeps():
    """All is float, with the same bits as before; the report says what prevents it, and which bound would do."""
    model, data = spectral(16)
    chosen, report = autoquantize(model, data, max_error=1e-6)
    assert [type(each).__name__ for each in chosen.modules()] == ["Spectral", "LSTM", "Linear"] and chosen is not model
    np.testing.assert_array_equal(chosen(data[0]), model(data[0]))
    facts = report.to_dict()
    assert facts["error"] == 0 and facts["in_int8"] == 0 and facts["prevents"] == "rnn.weight_ih_l0"
    assert facts["speed_of_float"] == 1
    text = " ".join(str(report).split())
    assert "All is float: rnn.weight_ih_l0 alone, at its best level, has an error of 1" in text
    assert "The smallest bound at 0.9 of int8's speed:" in text
    assert (
        f"Next: a larger max_error, or the model as it is. With {report[0].name} float and all others in int8" in text
    )
    advised = float(text.partition("for which max_error=")[2].split()[0])
    assert report[0].cumulative <= 0.9 * advised <= 1.12 * report[0].cumulative
    assert any(row.choice != "float" for row in autoquantize(model, data, max_error=advised)[1])


def test_the_smallest_bound_can_be_kept():
    """Asked for, it is kept at 0.9 of int8's speed."""
    model, data = attentive(32)
    smallest = autoquantize(model, data, max_error=1e-6)[1].to_dict()["smallest_bound"]
    facts = autoquantize(model, data, max_error=1.001 * smallest)[1].to_dict()
    assert facts["speed_of_int8"] >= 0.9 and facts["error"] <= 0.9 * 1.001 * smallest


def test_few_sequences():
    """One is refused; with fewer than 16 there is a warning; from 16 on none."""
    model, data = spectral(16)
    with pytest.raises(ValueError, match="data: expected at least 2 sequences, .* got 1"):
        autoquantize(model, data[:1])
    with pytest.warns(UserWarning, match="data: expected 16 sequences at least, got 15: on new data the error may"):
        autoquantize(model, data[:15])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        autoquantize(model, data)
        autoquantize(model, [np.concatenate(data, axis=1)])


def test_the_report_says_what_was_done():
    model, data = spectral(16)
    before = {name: value.tobytes() for name, value in model.state_dict().items()}
    _, report = autoquantize(model, data, 0.02, rounds=2)
    assert {name: value.tobytes() for name, value in model.state_dict().items()} == before
    found = report.to_dict()
    assert json.loads(json.dumps(found)) == found and set(found["seconds"]) == {"float", "int8", "chosen"}
    text = " ".join(str(report).split())
    for part in (
        "The cheapest precisions that keep the error of the outputs under 2.00%.",
        "weight shape weights time bytes int8 int8 by data 13 bits 13 bits by data those above float choice",
        "Error as chosen: ",
        "bound: 2.00%, of which 90% were aimed at. Decisions changed: ",
        "Estimated speed, by the sizes of the matrices: ",
        "Of the weights, 62% are int8.",
        "Measured time of a pass over the data held back, median: float ",
        "All in int8: ",
        "8 sequences held back from the 8 that rounded by data, in batches of 1 with 30 steps.",
        "Nothing here covers a shift of the data",
    ):
        assert part in text
    kept = sum(4 * row.shape[0] * row.shape[1] if row.choice == "float" else row.nbytes for row in report)
    int8 = sum(row.nbytes for row in report)
    assert found["nbytes"]["chosen"] == kept and found["nbytes"]["int8"] == int8
    assert (
        f"Bytes of weights: {kept:,} as chosen; {int8:,} all in int8, " in text
        and "Next: keep the returned model" in text
    )
    assert len(report[:2]) == 2 and "choice" in report[:2]._repr_html_() and "<script" not in report._repr_html_()


def test_the_users_metric_and_engine():
    """By another metric another choice; always engine qrnn, whichever is current."""
    model, data = attentive(16)
    with qrnn.engine("fbgemm"):
        chosen, report = autoquantize(model, data, 5.0, lambda reference, output: np.abs(reference - output).max())
    assert all(choice.startswith("int8") for choice in choices(report).values())
    assert chosen.rnn.engine == "qrnn" and chosen.score.engine == "qrnn"


@pytest.mark.parametrize(
    "value, error", [("2 %", TypeError), (True, TypeError), (0, ValueError), (float("nan"), ValueError)]
)
def test_what_is_no_bound(value, error):
    with pytest.raises(error, match="max_error: expected a (positive )?number"):
        autoquantize(nn.Linear(3, 2), [np.ones((4, 3))], value)
