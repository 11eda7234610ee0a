"""Helpers for the tests of calls: modules of the core of every recurrent kind."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from qrnn import _core
from support import assert_same_bits, note

f32 = np.float32
GATES = {"rnn_tanh": 1, "rnn_relu": 1, "lstm": 4, "gru": 3, "gru_reset_before": 3}
KINDS = tuple(GATES)
TORCH_ENGINES = ("fbgemm", "x86", "qnnpack", "onednn")

# PyTorch's names, for error texts.
CELLS = {
    "RNNCell": ("rnn_tanh", type("RNNCell", (_core.Module,), {})),
    "LSTMCell": ("lstm", type("LSTMCell", (_core.Module,), {})),
    "GRUCell": ("gru", type("GRUCell", (_core.Module,), {})),
}
SEQUENCES = {
    "RNN": ("rnn_tanh", type("RNN", (_core.Module,), {})),
    "LSTM": ("lstm", type("LSTM", (_core.Module,), {})),
    "GRU": ("gru", type("GRU", (_core.Module,), {})),
}


def zeros(*shape):
    return np.zeros(shape, f32)


def full(*shape, value=77):
    return np.full(shape, value, f32)


def randoms(*shape, seed=1):
    return np.random.default_rng([seed, *shape]).standard_normal(shape).astype(f32)


# Valid arguments for modules of 4 inputs and 3 units: x and h of a step, and a sequence.
X, H, S = zeros(2, 4), zeros(2, 3), zeros(5, 2, 4)


def matrices(kind, engine, inputs, hidden, sequence=None, proj=0, bias=True, seed=0):
    """Make random weights in the order that _pack takes."""
    rng = np.random.default_rng(seed)
    layers, directions, _ = sequence or (1, 1, False)
    state = proj or hidden

    def matrix(rows, cols, biased):
        if engine == "float32":
            weight, scale = (rng.standard_normal((rows, cols)) / 2).astype(f32), None
        else:
            weight = rng.integers(-128, 128, (rows, cols)).astype(np.int8)
            scale = rng.uniform(0.002, 0.01, rows).astype(f32)
        return weight, scale, rng.standard_normal(rows).astype(f32) if biased and bias else None

    for layer, _ in itertools.product(range(layers), range(directions)):
        yield matrix(GATES[kind] * hidden, directions * state if layer else inputs, True)
        yield matrix(GATES[kind] * hidden, state, True)
        if proj:
            yield matrix(proj, hidden, False)


def make(kind, engine="qrnn", sequence=None, *, inputs=4, hidden=3, proj=0, cls=_core.Module, isa=None, seed=0):
    """A packed module: a cell, or a sequence with sequence=(num_layers, num_directions, batch_first)."""
    module = cls()
    weights = matrices(kind, engine, inputs, hidden, sequence, proj, seed=seed)
    module._pack(kind, engine, isa, *weights, sequence=sequence)
    note(module)
    return module


def packable(kind, engine):
    return not (kind == "gru_reset_before" and engine in TORCH_ENGINES)


EVERY = [(k, e) for k in KINDS for e in ("float32", "qrnn", *TORCH_ENGINES) if packable(k, e)]
every = pytest.mark.parametrize("kind, engine", EVERY)
SOME = [(k, e) for k, e in EVERY if e in ("float32", "qrnn", "fbgemm")]
some = pytest.mark.parametrize("kind, engine", SOME)


def flat(result):
    """The arrays of a result, a tuple or one array."""
    return [a for part in result for a in flat(part)] if isinstance(result, tuple) else [result]


def assert_same_results(got, want):
    got, want = flat(got), flat(want)
    assert len(got) == len(want)
    for g, w in zip(got, want, strict=True):
        assert_same_bits(g, w)


def pair(kind, h, c):
    """Return the state in the form that a call takes."""
    return (h, c) if kind == "lstm" else h


def refused(call, kind, text):
    """Check that `call` raises exactly `kind`, with `text`: a str has to be equal, a pattern has to be found."""
    with pytest.raises(kind) as caught:
        call()
    assert type(caught.value) is kind, f"{type(caught.value).__name__}: {caught.value}"
    message = str(caught.value)
    if isinstance(text, str):
        assert message == text
    else:
        assert text.search(message), f"{message!r} lacks {text.pattern!r}"


def as_text(text, **names):
    """Fill names into a row's text; patterns stay as they are."""
    return text.format(**names) if isinstance(text, str) else text
