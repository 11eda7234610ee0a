"""`lengths=`: what is refused, what is taken, and what it does."""

from __future__ import annotations

import re

import numpy as np
import pytest
from support import assert_same_bits, needs_torch
from support.calls import (
    SOME,
    TORCH_ENGINES,
    S,
    assert_same_results,
    every,
    flat,
    full,
    make,
    pair,
    randoms,
)

INPUT, HX, OUT, LENGTHS = (re.compile(rf"\b{name}\b") for name in ("input", "hx", "out", "lengths"))


# ---------------------------------------------------------------------------------------------------
# lengths=
# ---------------------------------------------------------------------------------------------------
BAD_LENGTHS = {
    "too few": ([5], ValueError, "lengths: expected 2, one for each batch row, got 1"),
    "too many": ([5, 5, 5], ValueError, "lengths: expected 2, one for each batch row, got 3"),
    "empty": ([], ValueError, "lengths: expected 2, one for each batch row, got 0"),
    "zero": ([5, 0], ValueError, "lengths: expected 1 to 5, got 0 for batch row 1"),
    "negative": ([-1, 5], ValueError, "lengths: expected LEAST to 5, got -1 for batch row 0"),
    "above T": ([5, 6], ValueError, "lengths: expected LEAST to 5, got 6 for batch row 1"),
    "huge": ([1 << 80, 5], ValueError, LENGTHS),
    "hugely negative": ([5, -(1 << 80)], ValueError, LENGTHS),
    "array above T": (np.array([6, 5]), ValueError, "lengths: expected LEAST to 5, got 6 for batch row 0"),
    "unsigned": (np.array([1 << 63, 5], np.uint64), ValueError, LENGTHS),
    "floats": ([5.0, 5.0], TypeError, "lengths: expected integers, got float"),
    "float array": (np.array([5.0, 5.0]), TypeError, "lengths: expected integers, got numpy.float64"),
    "text": ("55", TypeError, "lengths: expected integers, got str"),
    "None inside": ([5, None], TypeError, "lengths: expected integers, got NoneType"),
    "a number": (5, TypeError, LENGTHS),
    "0-D": (np.array(5), TypeError, LENGTHS),
    "2-D": (np.array([[5, 5]]), (TypeError, ValueError), LENGTHS),
    "a set": ({4, 5}, TypeError, LENGTHS),
    "a dict": ({4: 1, 5: 1}, TypeError, LENGTHS),
    "an object": (object(), TypeError, LENGTHS),
}


@pytest.mark.parametrize(
    "kind, engine, row",  # where each row has its scale, one may take no step
    [(*each, row) for each in SOME for row in BAD_LENGTHS if row != "zero" or each[1] in TORCH_ENGINES],
)
def test_bad_lengths(kind, engine, row):
    lengths, error, text = BAD_LENGTHS[row]
    if isinstance(text, str):
        text = text.replace("LEAST", "1" if engine in TORCH_ENGINES else "0")
    rnn = make(kind, engine, (1, 1, False))
    out = full(5, 2, 3)
    with pytest.raises(error) as caught:
        rnn(S, lengths=lengths, out=out)
    message = str(caught.value)
    assert message == text if isinstance(text, str) else text.search(message)
    assert (out == 77).all()


def test_lengths_of_all_kinds():
    rnn, x = make("gru", sequence=(2, 2, False)), randoms(5, 3, 4)
    want = rnn(x, lengths=[2, 5, 3])

    class Index:
        def __init__(self, n):
            self.n = n

        def __index__(self):
            return self.n

    for lengths in (
        (2, 5, 3),
        np.array([2, 5, 3]),
        np.array([2, 5, 3], np.int32),
        np.array([2, 5, 3], np.uint8),
        np.array([2, 9, 5, 9, 3])[::2],
        [np.int64(2), 5, Index(3)],
        range(2, 9, 3),
    ):
        if isinstance(lengths, range):
            assert_same_results(rnn(x, lengths=range(2, 5)), rnn(x, lengths=[2, 3, 4]))
        else:
            assert_same_results(rnn(x, lengths=lengths), want)
    assert_same_results(rnn(x, lengths=[5, 5, 5]), rnn(x))
    assert_same_results(rnn(x[:, 0].copy(), lengths=[5]), rnn(x[:, 0].copy()))


@needs_torch
def test_lengths_of_torch():
    import torch

    rnn, x = make("gru", sequence=(2, 2, False)), randoms(5, 3, 4)
    assert_same_results(rnn(x, lengths=torch.tensor([2, 5, 3])), rnn(x, lengths=[2, 5, 3]))
    with pytest.raises(TypeError, match="lengths"):
        rnn(x, lengths=torch.tensor([2.0, 5.0, 3.0]))


def test_lengths_whose_conversion_fails_otherwise():
    class Loud:
        def __index__(self):
            raise KeyError("mine")

    for lengths in ([Loud(), 5], (Loud() for _ in range(2))):
        with pytest.raises(KeyError, match="mine"):
            make("gru", sequence=(1, 1, False))(S, lengths=lengths)


def test_lengths_that_change_the_input_meanwhile():
    """Their conversion runs Python code: what it does to arrays is seen before they are checked."""
    x = randoms(5, 2, 4)

    class Sly:
        def __index__(self):
            x.shape = (5, 8)
            return 5

    rnn = make("gru", sequence=(1, 1, False))
    with pytest.raises(RuntimeError, match="input_size"):
        rnn(x, lengths=[Sly(), 5])


@pytest.mark.parametrize("engine", ["float32", "qrnn"])
@pytest.mark.parametrize("kind", ["rnn_relu", "lstm", "gru", "gru_reset_before"])
@pytest.mark.parametrize("shape", [(1, 1), (3, 1), (2, 2)])
@pytest.mark.parametrize("batch", [4, 70])
def test_rows_without_steps(kind, engine, shape, batch, isa):
    """Zeros out, the initial states as they were; the others are what they are without them, bit for bit."""
    layers, directions = shape
    rnn = make(kind, engine, (layers, directions, False), hidden=5, isa=isa)
    x = randoms(7, batch, 4)
    x[:, 1::3] = np.nan  # is not read
    lengths = np.random.default_rng(3).integers(1, 8, batch)
    lengths[1::3] = 0
    h, c = (randoms(layers * directions, batch, 5, seed=seed) for seed in (2, 3))
    output, states = rnn(x, pair(kind, h, c), lengths=lengths)
    idle = lengths == 0
    assert (output[:, idle] == 0).all()
    for got, given in zip(flat(states), flat(pair(kind, h, c)), strict=True):
        assert_same_bits(got[:, idle], given[:, idle])
    some = [np.ascontiguousarray(each[:, ~idle]) for each in (x, h, c)]
    want, want_states = rnn(some[0], pair(kind, *some[1:]), lengths=lengths[~idle])
    assert_same_bits(output[:, ~idle], want)
    for got, state in zip(flat(states), flat(want_states), strict=True):
        assert_same_bits(got[:, ~idle], state)
    zeros = rnn(x, lengths=lengths)[1]
    assert all((each[:, idle] == 0).all() for each in flat(zeros))
    out = full(7, batch, 5 * directions)
    rnn(x, pair(kind, h, c), lengths=lengths, out=out)
    assert_same_bits(out, output)


@pytest.mark.parametrize("engine", ["float32", "qrnn"])
def test_no_row_takes_a_step(engine):
    rnn = make("lstm", engine, (2, 2, True), proj=2)
    h, c = randoms(4, 3, 2), randoms(4, 3, 3)
    h[0, 0, 0] = -np.nan  # every NaN that leaves is one
    output, (h_n, c_n) = rnn(full(3, 5, 4), (h, c), lengths=[0, 0, 0])
    assert output.shape == (3, 5, 4) and not output.any()
    assert np.isnan(h_n[0, 0, 0]) and not np.signbit(h_n[0, 0, 0])
    assert_same_bits(h_n.ravel()[1:], h.ravel()[1:])
    assert_same_bits(c_n, c)
    output, (h_n, c_n) = rnn(full(5, 4), (h[:, 0].copy(), c[:, 0].copy()), lengths=[0])
    assert output.shape == (5, 4) and not output.any()
    assert_same_bits(c_n, c[:, 0])
    states = (h.copy(), c.copy())
    rnn(full(3, 5, 4), states, lengths=[0, 0, 0], out=(full(3, 5, 4), states))
    assert_same_bits(states[1], c)


@every
@pytest.mark.parametrize("shape", [(1, 1), (2, 1), (1, 2), (3, 2)])
@pytest.mark.parametrize("batch_first", [False, True])
def test_lengths_do_what_shorter_inputs_do(kind, engine, shape, batch_first):
    """Each row is its own sequence; with one scale for the batch, one row alone."""
    layers, directions = shape
    rnn = make(kind, engine, (layers, directions, batch_first), hidden=5)
    alone = make(kind, engine, (layers, directions, False), hidden=5)
    batch = 1 if engine in TORCH_ENGINES else 4
    x, lengths = randoms(7, batch, 4), [3, 7, 1, 5][:batch]
    h, c = randoms(layers * directions, batch, 5, seed=2), randoms(layers * directions, batch, 5, seed=3)
    given = np.ascontiguousarray(x.swapaxes(0, 1)) if batch_first else x
    output, states = rnn(given, pair(kind, h, c), lengths=lengths)
    output = output.swapaxes(0, 1) if batch_first else output
    for row, n in enumerate(lengths):
        hx = pair(kind, h[:, row : row + 1].copy(), c[:, row : row + 1].copy())
        want, want_states = alone(x[:n, row : row + 1].copy(), hx)
        assert_same_bits(output[:n, row].copy(), want[:, 0].copy())
        assert (output[n:, row] == 0).all()
        for got, state in zip(flat(states), flat(want_states), strict=True):
            assert_same_bits(got[:, row].copy(), state[:, 0].copy())
