"""The cells as a user writes them in NumPy, with transposed copies and sums of biases made beforehand."""

import numpy as np

from .base import Peer, calls, fed_back


def sigmoid(v):
    return 0.5 * np.tanh(0.5 * v) + 0.5


class NumPy(Peer):
    name = "NumPy"
    distribution = "numpy"
    details = "x @ W_ih.T of all steps at once, then a Python loop"

    def cell(self, kind, weights):
        """Return (project, advance, first): y = project(x); state = advance(y, state), first is the first state."""
        w_ih, w_hh = weights["weight_ih"].T, weights["weight_hh"].T
        b_ih, b_hh = weights["bias_ih"], weights["bias_hh"]
        size = len(w_hh)
        bias = b_ih + b_hh

        if kind == "gru":
            b_first = b_ih.copy()
            b_first[: 2 * size] += b_hh[: 2 * size]
            b_n = b_hh[2 * size :]

            def advance(y, h):
                recurrent = h @ w_hh
                gates = sigmoid(y[:, : 2 * size] + recurrent[:, : 2 * size])
                r, z = gates[:, :size], gates[:, size:]
                n = np.tanh(y[:, 2 * size :] + r * (recurrent[:, 2 * size :] + b_n))
                return n + z * (h - n)

            return lambda x: x @ w_ih + b_first, advance
        if kind == "lstm":

            def advance(y, state):
                h, c = state
                pre = y + h @ w_hh
                i, f, o = sigmoid(pre[:, :size]), sigmoid(pre[:, size : 2 * size]), sigmoid(pre[:, 3 * size :])
                c = f * c + i * np.tanh(pre[:, 2 * size : 3 * size])
                return o * np.tanh(c), c

            return lambda x: x @ w_ih + bias, advance
        return lambda x: x @ w_ih + bias, lambda y, h: np.tanh(y + h @ w_hh)

    @staticmethod
    def zeros(kind, weights, batch):
        h = np.zeros((batch, weights["weight_hh"].shape[1]), np.float32)
        return (h, h) if kind == "lstm" else h

    def sequence(self, kind, weights, xs):
        project, advance = self.cell(kind, weights)
        zeros = self.zeros(kind, weights, xs.shape[1])
        output = np.empty((*xs.shape[:2], weights["weight_hh"].shape[1]), np.float32)
        lstm = kind == "lstm"

        def whole():
            state = zeros
            for t, y in enumerate(project(xs)):
                state = advance(y, state)
                output[t] = state[0] if lstm else state
            return output

        return calls(whole)

    def step(self, kind, weights, xs):
        project, advance = self.cell(kind, weights)
        return fed_back(
            lambda x, state: advance(project(x), state),
            list(xs),
            self.zeros(kind, weights, xs.shape[1]),
            (lambda s: s[0]) if kind == "lstm" else np.asarray,
        )


PEERS = (NumPy,)
