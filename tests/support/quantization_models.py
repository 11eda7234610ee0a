"""A model of a cell and linear layers, and what of it is quantized."""

from __future__ import annotations

import numpy as np

from qrnn import nn
from qrnn.nn.quantized import dynamic as qd

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


def quantized(model):
    """Names of the quantized submodules."""
    return {n for n, m in model.named_modules() if isinstance(m, (qd.RNNCell, qd.Linear))}


def schemes(model):
    return {
        n: "channel" if "channel" in str(next(iter(m.get_weight().values())).qscheme()) else "tensor"
        for n, m in model.named_modules()
        if isinstance(m, (qd.RNNCell, qd.Linear))
    }


def no_qconfig_is_left(model):
    return not any(hasattr(m, "qconfig") for m in model.modules())
