"""Numba: the cells as a user writes them for its compiler, in float32, with loops and with np.dot.

Every argument costs time in a call, so the weights are one array, [inputs + size + 2, gates * size]: W_ih and W_hh
transposed, and two rows of biases, b_ih + b_hh and the bias that a GRU's r multiplies. The state, h (and c), is one
array too, and is overwritten. Everything is compiled before `run` is returned.
"""

import functools
import itertools
import math

import numba
import numpy as np

from .base import Peer, calls, state_names

compiled = numba.njit(fastmath=True)
HALF = np.float32(0.5)


@compiled
def sigmoid(v):
    return HALF * math.tanh(HALF * v) + HALF


@compiled
def rnn(y, p, state, row):
    """Finish a step of one row; y holds the functions' arguments, but in a GRU p holds the part from h."""
    for j in range(state.shape[2]):
        state[0, row, j] = math.tanh(y[j])


@compiled
def lstm(y, p, state, row):
    size = state.shape[2]
    for j in range(4 * size):
        y[j] = math.tanh(y[j]) if 2 * size <= j < 3 * size else sigmoid(y[j])
    for j in range(size):
        c = y[size + j] * state[1, row, j] + y[j] * y[2 * size + j]
        state[1, row, j] = c
        state[0, row, j] = y[3 * size + j] * math.tanh(c)


@compiled
def gru(y, p, state, row):
    size = state.shape[2]
    for j in range(2 * size):
        y[j] = sigmoid(y[j] + p[j])
    for j in range(size):
        n = math.tanh(y[2 * size + j] + y[j] * p[2 * size + j])
        state[0, row, j] = n + y[size + j] * (state[0, row, j] - n)


ENDS = {"rnn": rnn, "lstm": lstm, "gru": gru}


@compiled
def together(y, p):
    return y


@compiled
def apart(y, p):
    return p


# Where the products of h go, as functions: numba compiles these away, but not always conditions on the kind.
SUMS = {"rnn": together, "lstm": together, "gru": apart}


@compiled
def parts(w, inputs, size):
    return w[:inputs], w[inputs : inputs + size], w[inputs + size :]


@compiled
def add_product(y, x, row, w):
    """Compute y += x[row] @ w; the inner loop runs along a row of w, so that it is vectorized."""
    for k in range(x.shape[1]):
        v = x[row, k]
        for j in range(w.shape[1]):
            y[j] += v * w[k, j]


@compiled
def keep_states(output, t, state):
    """Set output[t] = h."""
    for row in range(output.shape[1]):
        for j in range(output.shape[2]):
            output[t, row, j] = state[0, row, j]


@functools.cache
def by_loops(kind):
    """Make step(x, state, w) for all rows, and whole(xs, state, w, output), which starts from zeros.

    The code of a row is written out in both: as a function, even inlined, it takes 1.4 times as long at 16 units.
    """
    end, of_h = ENDS[kind], SUMS[kind]

    @compiled
    def step(x, state, w):
        w_x, w_h, bias = parts(w, x.shape[1], state.shape[2])
        y, p = np.empty(w.shape[1], np.float32), np.empty(w.shape[1], np.float32)
        h = state[0]
        for row in range(x.shape[0]):
            for j in range(bias.shape[1]):
                y[j], p[j] = bias[0, j], bias[1, j]
            add_product(y, x, row, w_x)
            add_product(of_h(y, p), h, row, w_h)
            end(y, p, state, row)

    @compiled
    def whole(xs, state, w, output):
        w_x, w_h, bias = parts(w, xs.shape[2], state.shape[2])
        y, p = np.empty(w.shape[1], np.float32), np.empty(w.shape[1], np.float32)
        state[:] = 0
        h = state[0]
        for t in range(xs.shape[0]):
            x = xs[t]
            for row in range(x.shape[0]):
                for j in range(bias.shape[1]):
                    y[j], p[j] = bias[0, j], bias[1, j]
                add_product(y, x, row, w_x)
                add_product(of_h(y, p), h, row, w_h)
                end(y, p, state, row)
            keep_states(output, t, state)
        return output

    return step, whole


@functools.cache
def by_dot(kind):
    """Make the same with np.dot; a sequence computes the products of x of all steps at once."""
    end, gru = ENDS[kind], kind == "gru"

    @compiled
    def add_biases(y, p, bias):
        for row in range(y.shape[0]):
            for j in range(bias.shape[1]):
                if gru:
                    y[row, j] += bias[0, j]
                    p[row, j] += bias[1, j]
                else:
                    y[row, j] += p[row, j] + bias[0, j]

    @compiled
    def step(x, state, w):
        w_x, w_h, bias = parts(w, x.shape[1], state.shape[2])
        y, p = np.dot(x, w_x), np.dot(state[0], w_h)
        add_biases(y, p, bias)
        for row in range(y.shape[0]):
            end(y[row], p[row], state, row)

    @compiled
    def whole(xs, state, w, output):
        count, batch, inputs = xs.shape
        w_x, w_h, bias = parts(w, inputs, state.shape[2])
        all_y = np.dot(xs.reshape((count * batch, inputs)), w_x).reshape((count, batch, w.shape[1]))
        p = np.empty((batch, w.shape[1]), np.float32)
        state[:] = 0
        h = state[0]
        for t in range(count):
            y = all_y[t]
            np.dot(h, w_h, p)
            add_biases(y, p, bias)
            for row in range(batch):
                end(y[row], p[row], state, row)
            keep_states(output, t, state)
        return output

    return step, whole


class NumbaLoops(Peer):
    name = "numba loops"
    distribution = "numba"
    details = "njit(fastmath=True), every product and function by loops"
    form = staticmethod(by_loops)

    def refuses(self, kind, mode, batch):
        return super().refuses(kind, mode, batch) or ("" if self.threads == 1 else "no threads")

    def arrays(self, kind, weights, batch):
        """Return the packed weights and a state of zeros."""
        size = weights["weight_hh"].shape[1]
        b_x, b_h = weights["bias_ih"] + weights["bias_hh"], np.zeros_like(weights["bias_hh"])
        if kind == "gru":
            b_x[2 * size :], b_h[2 * size :] = (weights[name][2 * size :] for name in ("bias_ih", "bias_hh"))
        packed = np.concatenate([weights["weight_ih"].T, weights["weight_hh"].T, b_x[None], b_h[None]])
        return np.ascontiguousarray(packed), np.zeros((len(state_names(kind)), batch, size), np.float32)

    def sequence(self, kind, weights, xs):
        packed, state = self.arrays(kind, weights, xs.shape[1])
        _, whole = self.form(kind)
        output = np.empty((*xs.shape[:2], state.shape[2]), np.float32)
        whole(xs[:1], state, packed, output[:1])
        return calls(whole, xs, state, packed, output)

    def step(self, kind, weights, xs):
        packed, state = self.arrays(kind, weights, xs.shape[1])
        step, _ = self.form(kind)
        inputs = itertools.cycle(list(xs))
        step(xs[0], state.copy(), packed)

        def run(n):
            for x in itertools.islice(inputs, n):
                step(x, state, packed)
            return state[0].copy()

        return run


class NumbaDot(NumbaLoops):
    name = "numba dot"
    details = "the same, products by np.dot, those of x of all steps at once"
    form = staticmethod(by_dot)

    def __init__(self, threads=1):
        super().__init__(threads)
        import scipy.linalg.cython_blas  # noqa: F401  what numba's np.dot calls

    def refuses(self, kind, mode, batch):
        return Peer.refuses(self, kind, mode, batch)


PEERS = (NumbaLoops, NumbaDot)
