"""`lengths=`: what is refused, what is taken, and what it does."""

from __future__ import annotations

import re

import numpy as np
import pytest
from support import assert_same_bits, needs_torch
from support.calls import (
    TORCH_ENGINES,
    S,
    assert_same_results,
    every,
    flat,
    full,
    make,
    pair,
    randoms,
    some,
)

INPUT, HX, OUT, LENGTHS = (re.compile(rf"\b{name}\b") for name in ("input", "hx", "out", "lengths"))


# ---------------------------------------------------------------------------------------------------
# lengths=
# ---------------------------------------------------------------------------------------------------
BAD_LENGTHS = {
    "too few": ([5], ValueError, "lengths: expected 2, one a batch row, got 1"),
    "too many": ([5, 5, 5], ValueError, "lengths: expected 2, one a batch row, got 3"),
    "empty": ([], ValueError, "lengths: expected 2, one a batch row, got 0"),
    "zero": ([5, 0], ValueError, "lengths: expected 1 to 5, got 0 for batch row 1"),
    "negative": ([-1, 5], ValueError, "lengths: expected 1 to 5, got -1 for batch row 0"),
    "above T": ([5, 6], ValueError, "lengths: expected 1 to 5, got 6 for batch row 1"),
    "huge": ([1 << 80, 5], ValueError, LENGTHS),
    "hugely negative": ([5, -(1 << 80)], ValueError, LENGTHS),
    "array above T": (np.array([6, 5]), ValueError, "lengths: expected 1 to 5, got 6 for batch row 0"),
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


@some
@pytest.mark.parametrize("row", BAD_LENGTHS)
def test_bad_lengths(kind, engine, row):
    lengths, error, text = BAD_LENGTHS[row]
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
