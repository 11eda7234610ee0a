"""The cell as a user writes it in NumPy, with the two biases added beforehand."""

import numpy as np

from . import Contender


def contenders(weights):
    w_ih, w_hh = weights.weight_ih.T, weights.weight_hh.T
    bias = weights.bias_ih + weights.bias_hh
    tanh = np.tanh

    def step(x, h):
        return tanh(x @ w_ih + h @ w_hh + bias)

    return [Contender("NumPy", "float32", step, details="np.tanh(x @ W_ih.T + h @ W_hh.T + b)")]
