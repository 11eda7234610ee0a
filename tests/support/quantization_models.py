"""Models of layers that can be quantized, and the names of the layers that are."""

from __future__ import annotations

import numpy as np

from qrnn import nn
from qrnn.nn.quantized import dynamic as qd
from support.layers import CELLS, SEQUENCES

f32 = np.float32


X = np.random.default_rng(100).standard_normal((3, 4)).astype(f32)


class Model(nn.Module):
    """A cell and a linear layer, one of each kind nested."""

    def __init__(self):
        super().__init__()
        self.cell = nn.RNNCell(4, 4)
        self.fc = nn.Linear(4, 4)
        self.sub = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.RNNCell(4, 3))

    def forward(self, x):
        return self.sub(self.fc(self.cell(x)))


LEAVES = ("cell", "fc", "sub.0", "sub.2")


class Everything(nn.Module):
    """A model with a module of each kind and a few of their options."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Linear(4, 5)
        self.rnn = nn.RNN(5, 4, 2, "relu", bias=False)
        self.lstm = nn.LSTM(4, 6, 2, bidirectional=True, dropout=0.25)
        self.gru = nn.GRU(12, 4)
        self.cells = nn.ModuleList([nn.RNNCell(4, 4), nn.LSTMCell(4, 4, bias=False), nn.GRUCell(4, 4)])

    def forward(self, x, lengths=None):
        y, _ = self.rnn(self.embed(x), lengths=lengths)
        y, (_, c) = self.lstm(y, lengths=lengths)
        y, h = self.gru(y, lengths=lengths)
        h = self.cells[0](y[-1], h[0])
        h, c = self.cells[1](h, (h, c[0, :, :4]))
        return self.cells[2](h, c)


ALL_LEAVES = ("embed", "rnn", "lstm", "gru", "cells.0", "cells.1", "cells.2")
QUANTIZED = tuple(getattr(qd, name) for name in ("Linear", *CELLS, *SEQUENCES))


def quantized(model):
    """Return the names of the quantized submodules."""
    return {n for n, m in model.named_modules() if isinstance(m, QUANTIZED)}


def schemes(model):
    return {
        n: "channel" if "channel" in str(next(iter(m.get_weight().values())).qscheme()) else "tensor"
        for n, m in model.named_modules()
        if isinstance(m, QUANTIZED)
    }


def no_qconfig_is_left(model):
    return not any(hasattr(m, "qconfig") for m in model.modules())
