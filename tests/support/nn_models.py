"""Models of several layers of qrnn.nn."""

from __future__ import annotations

import numpy as np

from qrnn import nn


class Inner(nn.Module):
    def __init__(self):
        super().__init__()
        self.cell = nn.RNNCell(4, 3)
        self.act = nn.ReLU()

    def forward(self, x, h=None):
        return self.act(self.cell(x, h))


class Outer(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = Inner()
        self.layers = nn.ModuleList([nn.Linear(3, 3), nn.Linear(3, 3)])
        self.head = nn.Sequential(nn.Linear(3, 2), nn.Tanh(), nn.Dropout(0.1))
        self.number = 7
        self.array = np.zeros(2)

    def forward(self, x):
        y = self.first(x)
        for layer in self.layers:
            y = layer(y)
        return self.head(y)
