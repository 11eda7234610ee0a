"""summary: layers, numbers, bytes and precisions by hand; shapes and shares of the time."""

from __future__ import annotations

import json

import numpy as np
import pytest

import qrnn
from qrnn import nn
from qrnn.quantization import float_qconfig, int13_dynamic_qconfig

f32 = np.float32


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(5, 4), nn.Tanh())
        self.rnn = nn.LSTM(4, 6, batch_first=True, bidirectional=True)
        self.gain = nn.Parameter(np.ones(12))
        self.readout = nn.Linear(12, 3, bias=False)
        self.unused = nn.GRUCell(2, 2)

    def forward(self, x):
        return self.readout(self.gain * self.rnn(self.encoder(x))[0])


LAYERS = ["", "encoder.0", "encoder.1", "rnn", "readout", "unused"]
NUMBERS = [12, 5 * 4 + 4, 0, 2 * (24 * 4 + 24 * 6 + 48), 36, 6 * 2 + 6 * 2 + 12]


@pytest.fixture
def model():
    qrnn.manual_seed(0)
    return Model()


def test_layers_numbers_and_bytes(model):
    for each in (model, qrnn.quantize_dynamic(model), qrnn.prepare(model, qconfig={}, inplace=False)):
        report = qrnn.summary(each)
        assert [row.name for row in report] == LAYERS and [row.parameters for row in report] == NUMBERS
        assert report.facts["parameters"] == sum(NUMBERS) and report.facts["nbytes"] == each.nbytes
        assert sum(row.nbytes for row in report) == each.nbytes and report.facts["seconds"] is None
        assert all(row.time is None and row.output is None for row in report)
    assert qrnn.summary(model).facts["quantized"] == 0
    weights = 20 + 2 * (24 * 4 + 24 * 6) + 36 + 24
    assert qrnn.summary(qrnn.quantize_dynamic(model)).facts["quantized"] == weights


def test_precisions(model):
    spec = {"": qrnn.quantization.engine_qconfig, "rnn.weight_ih_l0": float_qconfig, "readout": int13_dynamic_qconfig}
    found = {row.name: row.precision for row in qrnn.summary(qrnn.quantize_dynamic(model, spec))}
    assert found == {
        "": "float32", "encoder.0": "int8 x u8", "encoder.1": "", "rnn": "float32, int8 x u8", "readout": "int8 x s13",
        "unused": "int8 x u8",
    }  # fmt: skip
    assert {row.precision for row in qrnn.summary(model)} == {"float32", ""}


def test_shapes_and_shares_of_the_time(model):
    model.rnn = nn.LSTM(4, 200, batch_first=True)
    del model.gain
    model.gain, model.readout = 1.0, nn.Linear(200, 3)
    x = np.random.default_rng(0).standard_normal((2, 40, 5), dtype=f32)
    report = qrnn.summary(model, x, rounds=3)
    found = {row.name: row for row in report}
    assert found["rnn"].output == (2, 40, 200) and found["encoder.1"].output == (2, 40, 4)
    assert found["unused"].output is None and found["unused"].time is None
    assert found["rnn"].time.median == max(row.time.median for row in report if row.time) > 0.5
    assert qrnn.summary(Model(), x, rounds=1)[0].time is None, "what has modules below it has no time of its own"
    low, high = found["rnn"].time.low, found["rnn"].time.high
    assert low <= found["rnn"].time.median <= high and report.facts["seconds"].median > 0
    text = str(report)
    assert text.splitlines()[0].split() == ["name", "layer", "parameters", "precision", "bytes", "output", "time"]
    assert "the rest of 100% is spent between them" in " ".join(text.split())
    values = report.to_dict()
    assert json.loads(json.dumps(values)) == values and values["rows"][2]["output"] == [2, 40, 200]


def test_a_model_that_is_a_layer():
    (row,) = qrnn.summary(qrnn.GRU(3, 4), [np.ones((5, 2, 3), f32)], rounds=2)
    assert row.name == "" and row.output == (5, 2, 4) and row.time.median > 0.2
    assert str(qrnn.summary(qrnn.GRU(3, 4))).splitlines()[1].startswith("the model  DynamicQuantizedGRU(3, 4)")


def test_a_module_of_two_names_comes_once():
    layer = nn.Linear(3, 3)
    report = qrnn.summary(nn.Sequential(layer, layer))
    assert len(report) == 1 and report.facts["parameters"] == 12


@pytest.mark.parametrize(
    "arguments, error, text",
    [
        ((np.sin,), TypeError, "model: expected a qrnn.nn.Module or a torch.nn.Module, got ufunc"),
        ((nn.Linear(3, 2), 3), TypeError, "data: expected a list of inputs"),
        ((nn.Linear(3, 2), []), ValueError, "data: expected at least one input"),
    ],
)
def test_mistakes(arguments, error, text):
    with pytest.raises(error, match=text):
        qrnn.summary(*arguments)
    with pytest.raises(ValueError, match="rounds: expected at least 1, got 0"):
        qrnn.summary(nn.Linear(3, 2), rounds=0)
