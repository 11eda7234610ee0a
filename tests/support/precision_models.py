"""Models with a matrix for which 8 bits are too few, and their data."""

from __future__ import annotations

import numpy as np

import qrnn
from qrnn import nn

f32 = np.float32


class Spectral(nn.Module):
    """A detector that reads raw powers of a spectrum, whose bands differ by orders of magnitude."""

    def __init__(self, bands):
        super().__init__()
        qrnn.manual_seed(11)
        self.rnn, self.readout = nn.LSTM(len(bands), 32), nn.Linear(32, 3)
        state = self.rnn.state_dict()
        state["weight_ih_l0"] = 6 * state["weight_ih_l0"] / bands
        self.rnn.load_state_dict({name: value.astype(f32) for name, value in state.items()})

    def forward(self, x, lengths=None):
        return self.readout(self.rnn(x, lengths=lengths)[0])


def spectral(sequences, seed=0, steps=30):
    """Return the model and `sequences` sequences of powers, exponentially distributed, each band of its own size."""
    rng = np.random.default_rng([21, seed])
    bands = 10.0 ** np.linspace(3, -3, 20)
    return Spectral(bands), [(rng.exponential(size=(steps, 1, 20)) * bands).astype(f32) for _ in range(sequences)]


class Attentive(nn.Module):
    """A reader of characters that weighs its steps by a softmax over scores of hundreds."""

    def __init__(self):
        super().__init__()
        qrnn.manual_seed(12)
        self.rnn, self.score, self.readout = nn.GRU(26, 32, batch_first=True), nn.Linear(32, 1), nn.Linear(32, 5)
        bias, weight = np.array(self.rnn.bias_ih_l0), 20 * np.array(self.score.weight)
        bias[64:72], weight[:, :8] = 3, 40  # eight nearly constant units make the scores large
        self.rnn.bias_ih_l0, self.score.weight = bias, weight
        self.rnn.weight_ih_l0 = 6 * np.array(self.rnn.weight_ih_l0)

    def forward(self, x):
        h, _ = self.rnn(x)
        scores = self.score(h)
        weights = np.exp(scores - scores.max(axis=1, keepdims=True))
        return self.readout((weights * h).sum(axis=1) / weights.sum(axis=1))


def attentive(sequences, seed=0, steps=40):
    """Return the model and `sequences` one-hot texts."""
    letters = np.random.default_rng([22, seed]).integers(0, 26, (sequences, 1, steps))
    return Attentive(), list(np.eye(26, dtype=f32)[letters])
