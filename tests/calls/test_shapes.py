"""Shapes of calls: steps, batches and rows without one, batch_first; arguments of every kind."""

from __future__ import annotations

import numpy as np
import pytest
from support import assert_same_bits, needs_torch
from support.calls import (
    TORCH_ENGINES,
    S,
    X,
    assert_same_results,
    every,
    f32,
    flat,
    make,
    matrices,
    pair,
    randoms,
    some,
    zeros,
)

from qrnn import _core


# ---------------------------------------------------------------------------------------------------
# Shapes
# ---------------------------------------------------------------------------------------------------
@every
def test_a_sequence_is_its_steps(kind, engine):
    weights = list(matrices(kind, engine, 4, 3))
    cell, rnn = _core.Module(), _core.Module()
    cell._pack(kind, engine, None, *weights)
    rnn._pack(kind, engine, None, *weights, sequence=(1, 1, False))
    x, state = randoms(6, 2, 4), pair(kind, randoms(2, 3), randoms(2, 3, seed=2))
    if engine in TORCH_ENGINES:  # one scale for all steps: every step must have the same range
        x[:, 0, 0], x[:, 0, 1] = -3.5, 4.25
    output, last = rnn(x, tuple(s[None].copy() for s in state) if kind == "lstm" else state[None].copy())
    for t in range(6):
        state = cell(x[t], state)
        assert_same_bits(output[t], flat(state)[0])
    for got, want in zip(flat(last), flat(state), strict=True):
        assert_same_bits(got[0], want)


@every
def test_unbatched_cells(kind, engine):
    cell = make(kind, engine)
    x, h, c = randoms(1, 4), randoms(1, 3), randoms(1, 3, seed=2)
    want = cell(x, pair(kind, h, c))
    got = cell(x[0], pair(kind, h[0], c[0]))
    for g, w in zip(flat(got), flat(want), strict=True):
        assert g.shape == (3,)
        assert_same_bits(g, w[0])
    for g, w in zip(flat(cell(x[0])), flat(cell(x)), strict=True):
        assert_same_bits(g, w[0])


@every
@pytest.mark.parametrize("batch_first", [False, True])
def test_unbatched_sequences(kind, engine, batch_first):
    rnn = make(kind, engine, (2, 2, batch_first))
    x, h, c = randoms(5, 4), randoms(4, 3), randoms(4, 3, seed=2)
    output, states = rnn(x, pair(kind, h, c))
    batched = np.ascontiguousarray(x[None] if batch_first else x[:, None])
    want, want_states = rnn(batched, pair(kind, h[:, None].copy(), c[:, None].copy()))
    assert output.shape == (5, 6)
    assert_same_bits(output, want.reshape(5, 6))
    for g, w in zip(flat(states), flat(want_states), strict=True):
        assert_same_bits(g, w[:, 0].copy())
    assert_same_results(rnn(x)[0], rnn(x, pair(kind, zeros(4, 3), zeros(4, 3)))[0])
    shorter, want = rnn(x, pair(kind, h, c), lengths=[3]), rnn(x[:3], pair(kind, h, c))
    assert_same_bits(shorter[0][:3], want[0])
    assert not shorter[0][3:].any()
    assert_same_results(shorter[1], want[1])


@every
def test_batch_first(kind, engine):
    weights = list(matrices(kind, engine, 4, 3, (2, 2, False)))
    by_time, by_row = _core.Module(), _core.Module()
    by_time._pack(kind, engine, None, *weights, sequence=(2, 2, False))
    by_row._pack(kind, engine, None, *weights, sequence=(2, 2, True))
    x, hx = randoms(5, 3, 4), pair(kind, randoms(4, 3, 3), randoms(4, 3, 3, seed=2))
    for lengths in (None, [2, 5, 4]):
        want, want_states = by_time(x, hx, lengths=lengths)
        got, got_states = by_row(np.ascontiguousarray(x.swapaxes(0, 1)), hx, lengths=lengths)
        assert_same_bits(got, np.ascontiguousarray(want.swapaxes(0, 1)))
        assert_same_results(got_states, want_states)


@every
def test_empty_batches(kind, engine):
    for h in flat(make(kind, engine)(zeros(0, 4))):
        assert h.shape == (0, 3) and h.dtype == f32
    output, states = make(kind, engine, (2, 2, False))(zeros(5, 0, 4), lengths=[])
    assert output.shape == (5, 0, 6)
    assert all(s.shape == (4, 0, 3) for s in flat(states))
    output, _ = make(kind, engine, (2, 1, True))(zeros(0, 5, 4))
    assert output.shape == (0, 5, 3)


@every
def test_no_inputs(kind, engine):
    """input_size 0: the state alone makes the next."""
    cell = make(kind, engine, inputs=0)
    assert all(np.isfinite(h).all() for h in flat(cell(zeros(2, 0))))
    rnn = make(kind, engine, (1, 1, False), inputs=0)
    assert rnn(zeros(5, 2, 0))[0].shape == (5, 2, 3)


def test_results_are_tuples():
    assert isinstance(make("lstm")(X), tuple) and len(make("lstm")(X)) == 2
    assert isinstance(make("gru")(X), np.ndarray)
    output, (h, c) = make("lstm", sequence=(1, 1, False))(S)
    assert output.shape == (5, 2, 3) and h.shape == c.shape == (1, 2, 3)
    output, h = make("gru", sequence=(1, 1, False))(S)
    assert output.shape == (5, 2, 3) and h.shape == (1, 2, 3)


# ---------------------------------------------------------------------------------------------------
# Conversion
# ---------------------------------------------------------------------------------------------------
def variants(a):
    """`a`, whose values are small integers, in other clothes."""
    yield a.astype(np.float64)
    yield a.astype(np.float16)
    yield a.astype(np.int64)
    yield a.astype(a.dtype.newbyteorder())
    yield np.asfortranarray(a)
    wide = np.repeat(a, 2, axis=-1)
    yield wide[..., ::2]
    read_only = a.copy()
    read_only.flags.writeable = False
    yield read_only
    yield a.tolist()
    yield tuple(a.tolist())
    if np.ndim(a):
        raw = np.zeros(a.nbytes + 1, np.uint8)
        misaligned = raw[1:].view(f32).reshape(a.shape)
        misaligned[...] = a
        yield misaligned


def integers(*shape, seed=1):
    return np.random.default_rng(seed).integers(-3, 4, shape).astype(f32)


@some
def test_converted_arguments_of_cells(kind, engine):
    cell, x, h, c = make(kind, engine), integers(2, 4), integers(2, 3), integers(2, 3, seed=2)
    want = cell(x, pair(kind, h, c))
    for a in variants(x):
        assert_same_results(cell(a, pair(kind, h, c)), want)
    for a, b in zip(variants(h), variants(c), strict=True):
        assert_same_results(cell(x, pair(kind, a, b)), want)
        assert_same_results(cell(x, pair(kind, h, b) if kind == "lstm" else a), want)
    if kind == "lstm":
        assert_same_results(cell(x, [h, c]), want)


@some
def test_converted_arguments_of_sequences(kind, engine):
    rnn = make(kind, engine, (1, 1, False))
    x, h, c = integers(5, 2, 4), integers(1, 2, 3), integers(1, 2, 3, seed=2)
    want = rnn(x, pair(kind, h, c))
    for a in variants(x):
        assert_same_results(rnn(a, pair(kind, h, c)), want)
    for a, b in zip(variants(h), variants(c), strict=True):
        assert_same_results(rnn(x, pair(kind, a, b)), want)
    if kind == "lstm":
        assert_same_results(rnn(x, [h, c]), want)


@needs_torch
@some
def test_tensors(kind, engine):
    """Tensors in, tensors out, in the result's shape."""
    import torch

    x, h, c = randoms(5, 2, 4), randoms(1, 2, 3), randoms(1, 2, 3, seed=2)
    t = torch.from_numpy
    for module, at in ((make(kind, engine), 0), (make(kind, engine, (1, 1, False)), slice(None))):
        inner = (lambda a: a[0]) if at == 0 else (lambda a: a)
        want = module(x[at], pair(kind, inner(h), inner(c)))
        got = module(t(x[at]).requires_grad_(), pair(kind, t(inner(h)), t(inner(c))))
        assert all(isinstance(part, torch.Tensor) and not part.requires_grad for part in flat(got))
        assert_same_results(tuple(part.numpy() for part in flat(got)), tuple(flat(want)))
        assert type(got) is type(want) or not isinstance(want, tuple)


def test_conversion_that_replaces_the_module():
    """A call keeps the weights that it began with, whatever its arguments' conversion does."""
    rnn, other = make("lstm", sequence=(1, 1, False)), make("lstm", sequence=(2, 2, True), seed=3)
    x = randoms(5, 2, 4)
    want = rnn(x)

    class Sly:
        def __array__(self, dtype=None, copy=None):
            rnn._take_packed(other)
            return x

    assert_same_results(rnn(Sly()), want)
    assert rnn.sequence == (2, 2, True)
