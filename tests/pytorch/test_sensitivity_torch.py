"""sensitivity and autoquantize of models of PyTorch's: the same levels, rounding by data too."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PYTORCH IS NOT INSTALLED: its models were not quantized part by part")

from support.precision_models import spectral

import qrnn
import qrnn.torch
from qrnn.quantization import measure
from qrnn.torch.quantization import autoquantize, sensitivity

f32 = np.float32


class Spectral(torch.nn.Module):
    """As that of ``support.precision_models``, with its weights."""

    def __init__(self, weights):
        super().__init__()
        self.rnn, self.drop, self.readout = torch.nn.LSTM(20, 32), torch.nn.Dropout(0.5), torch.nn.Linear(32, 3)
        self.load_state_dict({name: torch.tensor(value) for name, value in weights.items()})

    def forward(self, x):
        return self.readout(self.drop(self.rnn(x)[0]))


@pytest.fixture(scope="module")
def both():
    """The model of either package, and its data."""
    ours, data = spectral(32)
    return Spectral(ours.state_dict()), ours, data


def test_the_same_errors_as_of_a_model_of_ours(both):
    """Those of plain codes and of codes rounded by data, from arrays and from tensors."""
    theirs, ours, data = both
    expected = {row.name: row for row in sensitivity(ours, data[:8])}
    report = sensitivity(theirs, [torch.tensor(x) for x in data[:8]])
    assert [row.name for row in report] == list(expected)
    for row in report:
        for level, error in row.errors.items():
            assert error == pytest.approx(expected[row.name].errors[level], rel=0.02), (row.name, level)
        assert row.cumulative == pytest.approx(expected[row.name].cumulative, rel=0.02, abs=1e-6)
    assert report[0].name == "rnn.weight_ih_l0" and theirs.training and not theirs.rnn._forward_hooks


def test_autoquantize(both):
    theirs, _, data = both
    chosen, report = autoquantize(theirs, data, max_error=0.02)
    found = {row.name: row.choice for row in report}
    assert found.pop("rnn.weight_ih_l0") == "float" and set(found.values()) == {"int8 by data"}
    assert isinstance(chosen.rnn, qrnn.torch.LSTM) and "weight_ih_l0=float32" in repr(chosen)
    error = measure({"float": theirs, "chosen": chosen}, data[1::2])[1].error
    assert error == pytest.approx(report.to_dict()["error"], rel=1e-6) and error < 0.018
    state = chosen.state_dict()
    assert state["rnn.weight_ih_l0"].dtype == torch.float32 and state["rnn.weight_hh_l0"].dtype == torch.int8
    again, _ = autoquantize(theirs, data, max_error=1e-6)
    assert type(again.rnn) is torch.nn.LSTM and again.rnn is not theirs.rnn


def test_packed_sequences():
    """Layers that take them are rounded by their rows alone."""

    class Packed(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn, self.readout = torch.nn.GRU(6, 12, bidirectional=True), torch.nn.Linear(24, 3)

        def forward(self, x):
            return self.readout(torch.nn.utils.rnn.pad_packed_sequence(self.rnn(x)[0])[0])

    torch.manual_seed(0)
    model, pack = Packed().eval(), torch.nn.utils.rnn.pack_padded_sequence
    directions = torch.randn(2, 6)
    data = [pack(torch.randn(12, 3, 2) @ directions, [9, 4, 12], enforce_sorted=False) for _ in range(20)]
    report = sensitivity(model, data)
    assert len(report) == 5 and report.to_dict()["sequences"] == 60
    assert all(0 < error < 0.1 for row in report for error in row.errors.values())
    assert sum(row.errors["int8 by data"] for row in report) < 0.9 * sum(row.errors["int8"] for row in report)
    with pytest.raises(ValueError, match="data: expected at least 2 inputs, as a PackedSequence cannot be divided"):
        sensitivity(model, data[:1])


def test_cells_weight_norm_and_shared_layers():
    """Weights that are computed; a layer that is there twice is one."""

    class Steps(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.cell = torch.nn.GRUCell(5, 7)
            self.readout = torch.nn.utils.parametrizations.weight_norm(torch.nn.Linear(7, 7))
            self.again = self.readout

        def forward(self, x):
            h = None
            for step in x:
                h = self.cell(step, h)
            return self.again(torch.tanh(self.readout(h)))

    torch.manual_seed(0)
    model = Steps().eval()
    report = sensitivity(model, list(torch.randn(8, 4, 3, 5)))
    assert {row.name for row in report} == {"cell.weight_ih", "cell.weight_hh", "readout.weight"}
    assert all(0 < error < 0.1 for row in report for error in row.errors.values())
