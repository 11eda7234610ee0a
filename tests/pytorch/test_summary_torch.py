"""summary and pictures of models of PyTorch, quantized by torch.ao and by qrnn.torch: numbers by hand."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PYTORCH IS NOT INSTALLED: its models were not summed up")

import qrnn
import qrnn.torch


class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn, self.norm, self.readout = torch.nn.LSTM(4, 6), torch.nn.LayerNorm(6), torch.nn.Linear(6, 3)

    def forward(self, x):
        return self.readout(self.norm(self.rnn(x)[0]))


LSTM, READOUT = 24 * 4 + 24 * 6 + 48, 18 + 3


@pytest.mark.parametrize("kind", ("float", "torch.ao", "qrnn.torch", "prepared"))
def test_layers_numbers_and_bytes(kind, quiet):
    model = Model()
    made = {
        "float": lambda: model,
        "torch.ao": lambda: torch.ao.quantization.quantize_dynamic(model, {torch.nn.LSTM, torch.nn.Linear}),
        "qrnn.torch": lambda: qrnn.torch.quantize_dynamic(model),
        "prepared": lambda: qrnn.torch.prepare(model, qconfig={}),
    }[kind]()
    report = qrnn.summary(made, torch.zeros(5, 2, 4), rounds=2)
    assert [row.name for row in report] == ["rnn", "norm", "readout"]
    assert [row.parameters for row in report] == [LSTM, 12, READOUT]
    assert [row.output for row in report] == [(5, 2, 6), (5, 2, 6), (5, 2, 3)]
    assert all(row.time.median > 0 for row in report) and sum(row.nbytes for row in report) == report.facts["nbytes"]
    quantized = kind in ("torch.ao", "qrnn.torch")
    assert report.facts["quantized"] == (24 * 4 + 24 * 6 + 18 if quantized else 0)
    assert report[0].precision.startswith("int8 x " if quantized else "float32") and report[1].precision == "float32"
    if kind == "float":
        assert [row.nbytes for row in report] == [4 * LSTM, 48, 4 * READOUT]


def test_states_over_time():
    pytest.importorskip("matplotlib", reason="MATPLOTLIB IS NOT INSTALLED: no picture was drawn")
    model, x = Model(), torch.randn(7, 2, 4)
    page = qrnn.plots.states(model, x, beside=qrnn.torch.quantize_dynamic(model), row=1)
    with torch.no_grad():
        np.testing.assert_allclose(page.axes[0].images[0].get_array(), model.rnn(x)[0][:, 1].T.numpy(), rtol=1e-6)
