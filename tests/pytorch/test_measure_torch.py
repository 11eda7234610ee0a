"""Measures of models of PyTorch's, of ours among them, and of both sides on the same data."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PYTORCH IS NOT INSTALLED: its models were not measured")

import qrnn
import qrnn.torch
from qrnn import nn
from qrnn.quantization import measure

f32 = np.float32


class Tagger(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn, self.drop, self.readout = torch.nn.LSTM(4, 6), torch.nn.Dropout(0.5), torch.nn.Linear(6, 3)

    def forward(self, x):
        return self.readout(self.drop(self.rnn(x)[0]))


def test_models_of_pytorch_and_torch_ao():
    """In eval mode, though the model was in training mode, which it is in again afterwards."""
    torch.manual_seed(0)
    model, data = Tagger(), [np.random.default_rng(0).standard_normal((7, 5, 4), dtype=f32)]
    ours = qrnn.torch.quantize_dynamic(model)
    theirs = torch.ao.quantization.quantize_dynamic(model, {torch.nn.LSTM, torch.nn.Linear})
    report = measure({"float": model, "ours": ours, "torch.ao": theirs}, data)
    assert report[0].error == 0 and model.training and not model.readout._forward_hooks
    for row, quantized in zip(report[1:], (ours, theirs), strict=True):
        assert [layer.name for layer in row.layers] == ["rnn", "readout"]
        with torch.no_grad():
            exact, rough = (m(torch.tensor(data[0])).double().reshape(-1, 3) for m in (model.eval(), quantized))
        spread = ((exact - exact.mean(0)) ** 2).sum() / (len(exact) - 1)
        assert row.error == pytest.approx(float((((rough - exact) ** 2).sum() / len(exact) / spread) ** 0.5), rel=1e-6)
        assert 0 < row.layers[0].error < 0.1


def test_a_model_of_pytorch_beside_ours():
    torch.manual_seed(0)
    theirs, ours = Tagger().eval(), None

    class Ours(nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn, self.readout = nn.LSTM(4, 6), nn.Linear(6, 3)

        def forward(self, x):
            return self.readout(self.rnn(x)[0])

    ours = Ours()
    ours.load_state_dict(theirs.state_dict())
    x = np.random.default_rng(0).standard_normal((7, 5, 4), dtype=f32)
    for item in (x, torch.tensor(x)):
        row = measure({"torch": theirs, "qrnn": ours}, [item], lambda a, b: np.abs(a - b).max())[1]
        assert row.error < 1e-6 and [layer.name for layer in row.layers] == ["rnn", "readout"]


def test_packed_sequences():
    """Rows of padding are none; what is not packed is padded as the lengths say."""

    class Packed(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn, self.readout = torch.nn.GRU(4, 6), torch.nn.Linear(6, 3)

        def forward(self, x):
            output, _ = self.rnn(x)
            return self.readout(torch.nn.utils.rnn.pad_packed_sequence(output)[0])

    torch.manual_seed(0)
    model, x, lengths = Packed().eval(), torch.randn(7, 3, 4), [2, 7, 4]
    packed = torch.nn.utils.rnn.pack_padded_sequence(x, lengths, enforce_sorted=False)
    quantized = qrnn.torch.quantize_dynamic(model)
    row = measure({"float": model, "int8": quantized}, [packed])[1]
    with torch.no_grad():
        exact, rough = (
            torch.cat([m(packed)[:n, i] for i, n in enumerate(lengths)]).double() for m in (model, quantized)
        )
    spread = ((exact - exact.mean(0)) ** 2).sum() / (len(exact) - 1)
    assert row.error == pytest.approx(float((((rough - exact) ** 2).sum() / len(exact) / spread) ** 0.5), rel=1e-6)
    assert len(row.outputs[0].by_step) == 7 and row.layers[0].error > 0
