"""Cells in Python of PyTorch's kinds, with the weights of qrnn's own layers."""

from __future__ import annotations

import numpy as np

from qrnn import nn

sigmoid, tanh, relu = nn.Sigmoid(), nn.Tanh(), nn.ReLU()


class Gates(nn.Cell):
    """A cell with the weights of one of qrnn's own layers."""

    gates, states_of = 1, ("h",)

    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size, self.states_of)
        self.x = nn.Linear(input_size, self.gates * hidden_size)
        self.h = nn.Linear(hidden_size, self.gates * hidden_size)

    def inputs(self, x):
        return self.x(x)


class Elman(Gates):
    end = staticmethod(tanh)

    def step(self, x, h):
        return self.end(x + self.h(h))


class ReluElman(Elman):
    end = staticmethod(relu)


class GRU(Gates):
    gates = 3

    def step(self, x, h):
        (xr, xz, xn), (hr, hz, hn) = np.split(x, 3, -1), np.split(self.h(h), 3, -1)
        n = tanh(xn + sigmoid(xr + hr) * hn)
        return n + sigmoid(xz + hz) * (h - n)


class LSTM(Gates):
    gates, states_of = 4, ("h", "c")

    def step(self, x, h, c):
        i, f, g, o = np.split(x + self.h(h), 4, -1)
        c = sigmoid(f) * c + sigmoid(i) * tanh(g)
        return sigmoid(o) * tanh(c), c


PAIRS = {
    "tanh": (Elman, nn.RNN, {}),
    "relu": (ReluElman, nn.RNN, {"nonlinearity": "relu"}),
    "gru": (GRU, nn.GRU, {}),
    "lstm": (LSTM, nn.LSTM, {}),
}


def pair(kind, input_size, hidden_size, **options):
    """Make a sequence over a custom cell and qrnn's own layer, with the same weights."""
    cell, layer, own = PAIRS[kind]
    layer = layer(input_size, hidden_size, **own, **options)
    custom = nn.Recurrent(cell(input_size, hidden_size), **options)
    state = {}
    for name, value in layer.state_dict().items():
        what, matrix, place = name.split("_", 2)
        state[f"{place}.{matrix[0].replace('i', 'x')}.{what}"] = value
    custom.load_state_dict(state)
    return custom, layer
