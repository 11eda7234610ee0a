"""sensitivity: which weight matrix costs how much in the outputs."""

from __future__ import annotations

import json

import numpy as np
import pytest
from support.precision_models import attentive, spectral
from support.progress_bars import record_bars

import qrnn
from qrnn import nn
from qrnn.quantization import engine_qconfig, float_qconfig, int13_dynamic_qconfig, measure, sensitivity

f32 = np.float32
LEVELS = ["int8", "int8 by data", "13 bits", "13 bits by data"]


def test_raw_spectral_powers_name_the_first_layers_inputs():
    """Its W_ih first; with it float, the rest in int8 costs little."""
    report = sensitivity(*spectral(16))
    assert report[0].name == "rnn.weight_ih_l0" and {row.name for row in report[1:]} == {
        "rnn.weight_hh_l0",
        "readout.weight",
    }
    assert report[0].errors["int8"] > 10 * report[1].errors["int8"]
    assert report.to_dict()["int8"] > 0.2 and report[0].cumulative < 0.04


def test_a_softmax_over_large_scores_names_the_linear_before_it():
    """The scores are of 200 and more, so their rounding decides; 13 bits leave the error of the weights."""
    model, data = attentive(24)
    h = model.rnn(data[0])[0]
    assert np.abs(model.score(h)).max() > 200
    report = sensitivity(model, data)
    assert report[0].name == "score.weight"
    assert report[0].errors["int8"] > 2 * report[1].errors["int8"]
    assert report[0].cumulative < 0.5 * report.to_dict()["int8"]


def test_each_error_is_that_of_the_matrix_alone():
    """Against models that the public functions make, on the half that is held back."""
    model, data = spectral(6)
    report = sensitivity(model, data)
    held = data[1::2]
    names = [row.name for row in report]
    for level, qconfig in (("int8", engine_qconfig), ("13 bits", int13_dynamic_qconfig)):
        for row in report:
            spec = {name: qconfig if name == row.name else float_qconfig for name in names}
            alone = qrnn.quantize_dynamic(model, spec)
            error = measure({"float": model, "alone": alone}, held)[1].error
            assert row.errors[level] == pytest.approx(error, rel=1e-6)
    above = {}
    for row in report:
        above[row.name] = float_qconfig
        spec = {name: above.get(name, engine_qconfig) for name in names}
        left = model if len(above) == len(names) else qrnn.quantize_dynamic(model, spec)
        assert row.cumulative == pytest.approx(measure({"float": model, "left": left}, held)[1].error, rel=1e-6)


def test_errors_by_data_are_those_of_convert():
    """Of one matrix: prepared with the half that is not held back, and taken without a test of their own."""
    model = nn.Sequential(nn.Linear(12, 9))
    rng = np.random.default_rng(0)
    directions = rng.standard_normal((3, 12))
    data = [(rng.standard_normal((30, 3)) @ directions).astype(f32) for _ in range(4)]
    (row,) = sensitivity(model, data)
    prepared = qrnn.prepare(model, qconfig={}, inplace=False)
    prepared[0]._prepared.statistics.guarded = False
    for x in data[::2]:
        prepared(x)
    error = measure({"float": model, "int8": qrnn.convert(prepared)}, data[1::2])[1].error
    assert row.errors["int8 by data"] == pytest.approx(error, rel=1e-6) and error < 0.9 * row.errors["int8"]


class Everything(nn.Module):
    """Every kind of matrix."""

    def __init__(self):
        super().__init__()
        self.both = nn.LSTM(5, 6, num_layers=2, bidirectional=True, proj_size=4)
        self.before = nn.GRU(8, 5, reset_after=False)
        self.cell = nn.RNNCell(5, 7)
        self.readout = nn.Linear(7, 3, bias=False)

    def forward(self, x):
        h = None
        for step in self.before(self.both(x)[0])[0]:
            h = self.cell(step, h)
        return self.readout(h)


def test_every_matrix_has_a_row():
    model = Everything()
    data = list(np.random.default_rng(0).standard_normal((4, 6, 2, 5), dtype=f32))
    report = sensitivity(model, data)
    names = {name for name, value in model.state_dict().items() if "weight" in name}
    assert {row.name for row in report} == names and len(names) == 17
    shapes = {name: value.shape for name, value in model.state_dict().items()}
    for row in report:
        assert row.shape == shapes[row.name] and list(row.errors) == LEVELS
        assert all(error > 0 for error in row.errors.values()), row
        assert row.nbytes == row.shape[0] * row.shape[1] + 4 * row.shape[0]
    assert sum(row.weights for row in report) == pytest.approx(1) == sum(row.time for row in report)
    readout, first = (
        next(row for row in report if row.name == name) for name in ("readout.weight", "both.weight_ih_l0")
    )
    assert first.time / readout.time == pytest.approx(24 * 5 * 6 / 21), "a row of the Linear for six steps"
    assert report[-1].cumulative == 0


def test_a_single_batch_is_divided_by_its_rows():
    model, data = spectral(6)
    whole = np.concatenate(data, axis=1)
    lengths = [30, 12, 25, 7, 30, 18]
    report = sensitivity(model, [{"x": whole, "lengths": lengths}])
    facts = report.to_dict()
    assert (facts["sequences"], facts["held_back"], facts["batch"], facts["steps"]) == (6, 3, [6, 6], [30, 30])
    held = (whole[:, 1::2], lengths[1::2])
    int8 = measure({"float": model, "int8": qrnn.quantize_dynamic(model)}, [held])[1].error
    assert facts["int8"] == pytest.approx(int8, rel=1e-6)


def test_input_without_a_batch():
    """(steps, features): each input is a sequence."""
    layer = nn.GRU(4, 6, batch_first=True)
    data = list(np.random.default_rng(0).standard_normal((6, 9, 4), dtype=f32))
    facts = sensitivity(layer, data).to_dict()
    assert (facts["sequences"], facts["batch"], facts["steps"]) == (6, [1, 1], [9, 9]) and facts["int8"] < 0.05


def test_what_cannot_be_divided_is_refused():
    """Nested lists have no rows of a batch to take: nothing is measured on what rounded the weights."""
    x = np.random.default_rng(0).standard_normal((9, 4, 5), dtype=f32).tolist()
    with pytest.raises(ValueError, match="data: expected at least 2 inputs, or one whose arrays have the rows"):
        sensitivity(nn.GRU(5, 6), [x])


def test_the_users_metric():
    model, data = spectral(4)
    report = sensitivity(model, data, lambda reference, output: np.abs(reference - output).max())
    names = [row.name for row in report]
    alone = qrnn.quantize_dynamic(
        model, {name: engine_qconfig if name == names[0] else float_qconfig for name in names}
    )
    assert report[0].errors["int8"] == pytest.approx(np.mean([np.abs(model(x) - alone(x)).max() for x in data[1::2]]))


def test_the_report_and_the_model():
    model, data = spectral(4)
    before = {name: value.tobytes() for name, value in model.state_dict().items()}
    report = sensitivity(model, data)
    assert {name: value.tobytes() for name, value in model.state_dict().items()} == before
    assert [type(each).__name__ for each in model.modules()] == ["Spectral", "LSTM", "Linear"]
    found = report.to_dict()
    assert json.loads(json.dumps(found)) == found and len(report[:1]) == 1
    text = str(report)
    assert "2 sequences held back from the 2 that rounded by data" in " ".join(text.split()) and "30 steps" in text
    assert max(map(len, text.splitlines())) < 125
    assert text == repr(report) and "rnn.weight_ih_l0  128x20" in text
    assert report._repr_html_().count("<tr>") == 4


def test_a_progress_bar(monkeypatch):
    """tqdm, where it is installed, counts a model for each part and level, and those of the last column."""
    data = spectral(2)
    bars = record_bars(monkeypatch)
    sensitivity(*data)
    counted = [each for each in bars if each.text == "sensitivity"]
    assert [(each.total, each.done, each.closed) for each in counted] == [(15, 15, True)]


@pytest.mark.parametrize(
    "arguments, error, text",
    [
        ((np.sin, [np.zeros((2, 3))]), TypeError, "model: expected a qrnn.nn.Module or a torch.nn.Module, got ufunc"),
        ((nn.Sequential(nn.ReLU()), [np.zeros((2, 3)), np.zeros((2, 3))]), ValueError, "model: expected layers"),
        ((qrnn.Linear(3, 2), [np.zeros((2, 3)), np.zeros((2, 3))]), ValueError, "model: expected layers of float"),
        ((qrnn.prepare(nn.Linear(3, 2), qconfig={}), [np.zeros((2, 3))]), ValueError, "got one that is prepared"),
        ((nn.Linear(3, 2), [np.zeros((1, 3))]), ValueError, "data: expected at least 2 sequences.*got 1"),
        ((nn.Linear(3, 2), np.zeros((2, 3))), TypeError, "data: expected a list of inputs"),
        ((nn.Linear(3, 2), [np.ones((2, 3))], "rms"), TypeError, "metric: expected a function"),
    ],
)
@pytest.mark.filterwarnings("ignore:None of the submodule")
def test_mistakes(arguments, error, text):
    with pytest.raises(error, match=text):
        sensitivity(*arguments)
