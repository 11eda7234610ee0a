"""Long streams: the error does not grow with the step, memory does not grow with the call.

    python tests/check/streams.py [steps] [calls]        100,000 and 10,000,000

Error: one stream through a cell, fed back its own state, against the same cell in float64; relative RMS in ten
windows. Memory: the process's size before and after the calls of each kind of module.
"""

from __future__ import annotations

import sys
import time

import numpy as np

import qrnn
from qrnn import nn
from qrnn.nn.quantized import dynamic as qd

f32 = np.float32
INPUTS, HIDDEN, BATCH = 8, 32, 4
WINDOWS = 10


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def rnn(gates, h, c, activation):
    return activation(gates[0] + gates[1]), None


def lstm(gates, h, c, activation):
    i, f, g, o = np.split(gates[0] + gates[1], 4, axis=1)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


def gru(gates, h, c, activation):
    (xr, xz, xn), (hr, hz, hn) = (np.split(part, 3, axis=1) for part in gates)
    n = np.tanh(xn + sigmoid(xr + hr) * hn)
    return n + sigmoid(xz + hz) * (h - n), None


KINDS = {
    "rnn tanh": (nn.RNNCell, {}, rnn, np.tanh),
    "rnn relu": (nn.RNNCell, {"nonlinearity": "relu"}, rnn, lambda v: np.maximum(v, 0)),
    "LSTM": (nn.LSTMCell, {}, lstm, None),
    "GRU": (nn.GRUCell, {}, gru, None),
}


def stream(name, engine, steps):
    """Relative RMS error in each window."""
    make, keywords, step, activation = KINDS[name]
    rng = np.random.default_rng(5)
    qrnn.manual_seed(5)  # of the biases
    float_cell = make(INPUTS, HIDDEN, **keywords)
    rows = float_cell.weight_ih.shape[0]
    float_cell.weight_ih = rng.uniform(-0.4, 0.4, (rows, INPUTS))
    recurrent = rng.uniform(-1, 1, (rows, HIDDEN)) / np.sqrt(HIDDEN)
    if name == "rnn relu":  # slow memory: near a diagonal of ones
        recurrent = 0.05 * recurrent + 0.9 * np.eye(HIDDEN)
    float_cell.weight_hh = recurrent
    cell = float_cell if engine == "float32" else getattr(qd, make.__name__).from_float(float_cell, engine=engine)
    w_ih, w_hh, b_ih, b_hh = (
        np.asarray(getattr(float_cell, key), np.float64) for key in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    )
    h = np.zeros((BATCH, HIDDEN), f32)
    state = (h, h.copy()) if name == "LSTM" else h
    true_h, true_c = np.zeros((BATCH, HIDDEN)), np.zeros((BATCH, HIDDEN))
    errors = []
    for _ in range(WINDOWS):
        wrong = size = 0.0
        for _ in range(steps // WINDOWS):
            x = rng.standard_normal((BATCH, INPUTS)).astype(f32)
            state = cell(x, state, out=state)
            true_h, true_c = step((x @ w_ih.T + b_ih, true_h @ w_hh.T + b_hh), true_h, true_c, activation)
            got = state[0] if name == "LSTM" else state
            wrong += ((got - true_h) ** 2).sum()
            size += (true_h**2).sum()
        errors.append((wrong / size) ** 0.5)
    return errors


def check_streams(steps):
    failed = 0
    print(f"relative RMS error of h against float64 in {WINDOWS} windows of {steps // WINDOWS} steps, %")
    for name in KINDS:
        for engine in ("float32", "qrnn", "fbgemm"):
            errors = stream(name, engine, steps)
            limit = 1e-5 if engine == "float32" else 0.1
            grows = max(errors[1:]) > 1.5 * errors[0] or max(errors) > limit or not np.isfinite(errors).all()
            failed += bool(grows)
            print(
                f"{name:9} {engine:8}",
                *(f"{100 * e:.2g}" for e in errors),
                "GROWS" if grows else "",
                flush=True,
            )
    return failed


def resident():
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * 4096


def check_memory(calls):
    """Ten million calls in all, of every kind of module and of failing ones."""
    x, h = np.zeros((1, 4), f32), np.zeros((1, 3), f32)
    rows, bad = np.zeros((3, 2, 4), f32), np.zeros((1, 5), f32)
    out = np.zeros((1, 3), f32)
    cells = [qd.RNNCell(4, 3), nn.RNNCell(4, 3), qd.GRUCell(4, 3, engine="fbgemm"), qd.Linear(4, 3)]
    lstm_cell, sequence = qd.LSTMCell(4, 3), qd.LSTM(4, 3, bidirectional=True)

    def fails():
        try:
            cells[0](bad)
        except RuntimeError:
            return
        raise AssertionError

    def round_of_calls(n):
        for _ in range(n):
            for cell in cells:
                cell(x)
            cells[0](x, h)
            cells[0](x, h, out=out)
            lstm_cell(x, (h, h))
            sequence(rows, None, lengths=[3, 1])
            fails()
            cells[1](x.astype(float))

    round_of_calls(20_000)
    before, start = resident(), time.monotonic()
    round_of_calls(calls // 10)
    grown, seconds = resident() - before, time.monotonic() - start
    grows = grown > 1 << 20
    print(f"{calls:,} calls in {seconds:.0f} s: the process grew by {grown / 1024:.0f} KiB{' GROWS' if grows else ''}")
    return int(grows)


def main():
    steps = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    calls = int(sys.argv[2]) if len(sys.argv) > 2 else 10_000_000
    failed = check_streams(steps) + check_memory(calls)
    print(f"{len(KINDS) * 3 + 1 - failed} passed, {failed} failed")
    return failed != 0


if __name__ == "__main__":
    sys.exit(main())
