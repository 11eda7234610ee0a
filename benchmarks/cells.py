"""Random RNN cells, their float64 reference, and bounds for the error of an answer."""

from dataclasses import dataclass

import numpy as np

# Largest error of h over a few steps, root mean square relative to h. Measured: float32 1e-7, 8-bit
# activations 0.3 to 1.2 %, 7-bit ones 0.9 to 2.1 %.
TRAJECTORY_BOUND = {"float32": 1e-5, "8 bits": 0.02, "7 bits": 0.03}


@dataclass(frozen=True)
class Weights:
    """A tanh RNN cell as PyTorch initialises it: uniform in +-1/sqrt(hidden_size)."""

    weight_ih: np.ndarray
    weight_hh: np.ndarray
    bias_ih: np.ndarray
    bias_hh: np.ndarray

    @classmethod
    def random(cls, rng, input_size, hidden_size):
        bound = hidden_size**-0.5
        shapes = (hidden_size, input_size), (hidden_size, hidden_size), hidden_size, hidden_size
        return cls(*(rng.uniform(-bound, bound, shape).astype(np.float32) for shape in shapes))

    @property
    def hidden_size(self):
        return len(self.bias_ih)

    @property
    def input_size(self):
        return self.weight_ih.shape[1]

    def state_dict(self):
        return dict(vars(self))


class Reference:
    """The cell in float64, from the float32 weights."""

    def __init__(self, weights):
        self.w_ih = weights.weight_ih.T.astype(np.float64)
        self.w_hh = weights.weight_hh.T.astype(np.float64)
        self.bias = weights.bias_ih.astype(np.float64) + weights.bias_hh

    def step(self, x, h):
        return np.tanh(x.astype(np.float64) @ self.w_ih + h.astype(np.float64) @ self.w_hh + self.bias)

    def step_bound(self, x, h, precision):
        """Return the largest difference from `step`, element by element, that one correct step can have.

        tanh never enlarges an error, so the bound of its argument holds. A sum of n float32 products
        is off by at most n + 2 roundings of the sum of their magnitudes. With codes, an activation is
        off by at most one step of its range (half for the value, half for the zero point), and a weight
        by half a code of the largest weight. The range may be taken over the whole batch, the largest
        weight over the whole matrix.
        """
        bound = np.full((len(x), len(self.bias)), 1e-6)
        for v, w in ((x, self.w_ih), (h, self.w_hh)):
            v, size = np.abs(v.astype(np.float64)), np.abs(w)
            bound += (len(w) + 2) * 2.0**-23 * (v @ size + 1)
            if precision != "float32":
                levels = {"8 bits": 255, "7 bits": 127}[precision]
                step = 2 * v.max(initial=0) / levels
                code = size.max(initial=0) / 127
                bound += step * size.sum(axis=0) + code / 2 * (v + step).sum(axis=1, keepdims=True)
        return bound


def relative_rms(value, exact):
    """Return the root mean square of the error over that of the exact values."""
    return float(np.sqrt(np.mean((value - exact) ** 2) / np.mean(exact**2)))
