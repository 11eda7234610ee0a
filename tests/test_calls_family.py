"""Bad calls of RNN, LSTM and GRU, cells and sequences, at the core's door: each with its exception and text."""

from __future__ import annotations

import re

import numpy as np
import pytest
from family import (
    CELLS,
    KINDS,
    SEQUENCES,
    TORCH_ENGINES,
    H,
    S,
    X,
    as_text,
    assert_same_results,
    every,
    flat,
    full,
    make,
    pair,
    randoms,
    refused,
    some,
    zeros,
)
from support import assert_same_bits, needs_torch

# ---------------------------------------------------------------------------------------------------
# Bad calls of cells. {h} and {c} stand for what texts call the states: see LABELS.
# ---------------------------------------------------------------------------------------------------
LABELS = {
    "RNNCell": {"rank": "hidden", "h": "hidden"},
    "GRUCell": {"rank": "hidden", "h": "hidden"},
    "LSTMCell": {"rank": "hx[0]", "h": "hidden[0]"},
}
INPUT, HX, OUT, LENGTHS = (re.compile(rf"\b{name}\b") for name in ("input", "hx", "out", "lengths"))

BAD_CELL_CALLS = {
    "x (2, 5)": (zeros(2, 5), None, RuntimeError, "input has inconsistent input_size: got 5, expected 4"),
    "x (5,)": (zeros(5), None, RuntimeError, "input has inconsistent input_size: got 5, expected 4"),
    "x 3-D": (zeros(1, 2, 4), None, ValueError, "{name}: Expected input to be 1D or 2D, got 3D instead"),
    "x 0-D": (zeros(), None, ValueError, "{name}: Expected input to be 1D or 2D, got 0D instead"),
    "hx 3-D": (X, zeros(1, 2, 3), ValueError, "{name}: Expected {rank} to be 1D or 2D, got 3D instead"),
    "hx 0-D": (X, zeros(), ValueError, "{name}: Expected {rank} to be 1D or 2D, got 0D instead"),
    "hx (3, 3)": (X, zeros(3, 3), RuntimeError, "Input batch size 2 doesn't match {h} batch size 3"),
    "hx (1, 3)": (X, zeros(1, 3), RuntimeError, "Input batch size 2 doesn't match {h} batch size 1"),
    "hx (3,)": (X, zeros(3), RuntimeError, "Input batch size 2 doesn't match {h} batch size 3"),
    "hx (2, 5)": (X, zeros(2, 5), RuntimeError, "{h} has inconsistent hidden_size: got 5, expected 3"),
    "hx (2, 1)": (X, zeros(2, 1), RuntimeError, "{h} has inconsistent hidden_size: got 1, expected 3"),
    "hx (5,), x (4,)": (
        zeros(4),
        zeros(5),
        RuntimeError,
        "{h} has inconsistent hidden_size: got 5, expected 3",
    ),
    "input None": (None, None, TypeError, INPUT),
    "input complex": (np.zeros((2, 4), complex), None, TypeError, INPUT),
    "input text": ("abcd", None, TypeError, INPUT),
    "input object": (np.array([[None] * 4]), None, TypeError, INPUT),
    "hx complex": (X, np.zeros((2, 3), complex), TypeError, HX),
    "hx text": (X, "no", TypeError, HX),
    "hx object": (X, object(), TypeError, HX),
}


@pytest.mark.parametrize("engine", ["float32", "qrnn", *TORCH_ENGINES])
@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("row", BAD_CELL_CALLS)
def test_bad_cell_calls(name, engine, row):
    x, h, error, text = BAD_CELL_CALLS[row]
    kind, cls = CELLS[name]
    cell = make(kind, engine, cls=cls)
    good = full(2, 4, value=0.5), pair(kind, full(2, 3, value=0.25), full(2, 3, value=0.5))
    before = cell(*good)
    c = zeros(*np.shape(h)) if isinstance(h, np.ndarray) else zeros(2, 3)
    hx = None if h is None else pair(kind, h, c if np.ndim(c) in (1, 2) else zeros(2, 3))
    for call in (cell, cell.forward):
        refused(lambda call=call: call(x, hx), error, as_text(text, name=name, **LABELS[name]))
        out = pair(kind, full(2, 3), full(2, 3))
        with pytest.raises(error):
            call(x, hx, out=out)
        assert all((part == 77).all() for part in flat(out))
    assert_same_results(cell(*good), before)


BAD_PAIRS = {
    "an array": (H, TypeError, "hx: expected a pair (h, c), got numpy.ndarray"),
    "one": ((H,), ValueError, "hx: expected a pair (h, c), got 1 items"),
    "three": ((H, H, H), ValueError, "hx: expected a pair (h, c), got 3 items"),
    "none": ([], ValueError, "hx: expected a pair (h, c), got 0 items"),
    "None and c": ((None, H), TypeError, re.compile(r"hx\[0\]")),
    "h and None": ((H, None), TypeError, re.compile(r"hx\[1\]")),
    "a dict": ({"h": H, "c": H}, TypeError, "hx: expected a pair (h, c), got dict"),
    "c (3, 3)": ((H, zeros(3, 3)), RuntimeError, "Input batch size 2 doesn't match hidden[1] batch size 3"),
    "c (2, 5)": ((H, zeros(2, 5)), RuntimeError, "hidden[1] has inconsistent hidden_size: got 5, expected 3"),
    "c 3-D": ((H, zeros(1, 2, 3)), ValueError, "LSTMCell: Expected hx[1] to be 1D or 2D, got 3D instead"),
    "c (3,)": ((H, zeros(3)), RuntimeError, "Input batch size 2 doesn't match hidden[1] batch size 3"),
    "c complex": ((H, H.astype(complex)), TypeError, re.compile(r"hx\[1\]")),
    "both": (
        (zeros(2, 5), zeros(2, 6)),
        RuntimeError,
        "hidden[0] has inconsistent hidden_size: got 5, expected 3",
    ),
}


@pytest.mark.parametrize("engine", ["float32", "qrnn", "fbgemm"])
@pytest.mark.parametrize("row", BAD_PAIRS)
def test_bad_states_of_lstm_cells(engine, row):
    hx, error, text = BAD_PAIRS[row]
    cell = make("lstm", engine, cls=CELLS["LSTMCell"][1])
    refused(lambda: cell(X, hx), error, text)


def test_a_cell_takes_no_lengths():
    for kind in KINDS:
        with pytest.raises(TypeError, match="unexpected keyword argument 'lengths'"):
            make(kind)(X, lengths=[1, 1])
        with pytest.raises(TypeError, match="positional"):
            make(kind)(X, pair(kind, H, H), None)
        with pytest.raises(TypeError, match="input"):
            make(kind)()


# ---------------------------------------------------------------------------------------------------
# Bad calls of sequences
# ---------------------------------------------------------------------------------------------------
TENSOR = {"RNN": " tensor", "LSTM": "", "GRU": ""}
STEPS = "Expected sequence length to be larger than 0 in RNN"

BAD_SEQUENCE_CALLS = {
    "x 1-D": (zeros(4), None, ValueError, "{name}: Expected input to be 2D or 3D, got 1D{tensor} instead"),
    "x 0-D": (zeros(), None, ValueError, "{name}: Expected input to be 2D or 3D, got 0D{tensor} instead"),
    "x 4-D": (
        zeros(1, 1, 1, 4),
        None,
        ValueError,
        "{name}: Expected input to be 2D or 3D, got 4D{tensor} instead",
    ),
    "x (5, 2, 5)": (
        zeros(5, 2, 5),
        None,
        RuntimeError,
        "input.size(-1) must be equal to input_size. Expected 4, got 5",
    ),
    "x (5, 5)": (
        zeros(5, 5),
        None,
        RuntimeError,
        "input.size(-1) must be equal to input_size. Expected 4, got 5",
    ),
    "T = 0": (zeros(0, 2, 4), None, RuntimeError, STEPS),
    "T = 0, unbatched": (zeros(0, 4), None, RuntimeError, STEPS),
    "T = 0, B = 0": (zeros(0, 0, 4), None, RuntimeError, STEPS),
    "hx (1, 3, 3)": (S, zeros(1, 3, 3), RuntimeError, "Expected {h} size (1, 2, 3), got [1, 3, 3]"),
    "hx (2, 2, 3)": (S, zeros(2, 2, 3), RuntimeError, "Expected {h} size (1, 2, 3), got [2, 2, 3]"),
    "hx (1, 2, 5)": (S, zeros(1, 2, 5), RuntimeError, "Expected {h} size (1, 2, 3), got [1, 2, 5]"),
    "hx (1, 1, 3)": (S, zeros(1, 1, 3), RuntimeError, "Expected {h} size (1, 2, 3), got [1, 1, 3]"),
    "hx (1, 5), unbatched": (
        zeros(5, 4),
        zeros(1, 5),
        RuntimeError,
        "Expected {h} size (1, 1, 3), got [1, 1, 5]",
    ),
    "hx 2-D": (S, zeros(2, 3), RuntimeError, "For batched 3-D input, {hx} should also be 3-D but got {two} "),
    "hx 1-D": (S, zeros(3), RuntimeError, "For batched 3-D input, {hx} should also be 3-D but got {one} "),
    "hx 4-D": (
        S,
        zeros(1, 1, 2, 3),
        RuntimeError,
        "For batched 3-D input, {hx} should also be 3-D but got {four} ",
    ),
    "hx 3-D, unbatched": (
        zeros(5, 4),
        zeros(1, 1, 3),
        RuntimeError,
        "For unbatched 2-D input, {hx} should also be 2-D but got {three} ",
    ),
    "input None": (None, None, TypeError, INPUT),
    "input complex": (np.zeros((5, 2, 4), complex), None, TypeError, INPUT),
    "input text": ("abcd", None, TypeError, INPUT),
    "hx complex": (S, np.zeros((1, 2, 3), complex), TypeError, HX),
    "hx object": (S, object(), TypeError, HX),
}


def sequence_text(name, text):
    """PyTorch's words, which differ a little from class to class."""
    if not isinstance(text, str):
        return text
    ranks = {"one": 1, "two": 2, "three": 3, "four": 4}
    lstm = name == "LSTM"
    words = {word: f"({n}-D, {n}-D) tensors" if lstm else f"{n}-D tensor" for word, n in ranks.items()}
    text = text.format(
        name=name,
        tensor=TENSOR[name],
        h="hidden[0]" if lstm else "hidden",
        hx="hx and cx" if lstm else "hx",
        **words,
    )
    return text.rstrip()


@pytest.mark.parametrize("engine", ["float32", "qrnn", *TORCH_ENGINES])
@pytest.mark.parametrize("name", SEQUENCES)
@pytest.mark.parametrize("row", BAD_SEQUENCE_CALLS)
def test_bad_sequence_calls(name, engine, row):
    x, h, error, text = BAD_SEQUENCE_CALLS[row]
    kind, cls = SEQUENCES[name]
    rnn = make(kind, engine, (1, 1, False), cls=cls)
    good = full(5, 2, 4, value=0.5), pair(kind, full(1, 2, 3, value=0.25), full(1, 2, 3, value=0.5))
    before = rnn(*good)
    c = zeros(*np.shape(h)) if isinstance(h, np.ndarray) else zeros(1, 2, 3)
    hx = None if h is None else pair(kind, h, c)
    for call in (rnn, rnn.forward):
        refused(lambda call=call: call(x, hx), error, sequence_text(name, text))
        out = full(5, 2, 3), pair(kind, full(1, 2, 3), full(1, 2, 3))
        with pytest.raises(error):
            call(x, hx, out=out)
        assert all((part == 77).all() for part in flat(out))
    assert_same_results(rnn(*good), before)


@needs_torch
@pytest.mark.parametrize("name", SEQUENCES)
@pytest.mark.parametrize("row", [row for row in BAD_SEQUENCE_CALLS if isinstance(BAD_SEQUENCE_CALLS[row][3], str)])
def test_bad_sequence_calls_say_what_pytorch_says(name, row):
    import torch

    x, h, error, text = BAD_SEQUENCE_CALLS[row]
    rnn = getattr(torch.nn, name)(4, 3)
    tensor = torch.from_numpy(h) if h is not None else None
    hx = None if h is None else pair(SEQUENCES[name][0], tensor, tensor)
    refused(lambda: rnn(torch.from_numpy(x), hx), error, sequence_text(name, text))


BAD_SEQUENCE_PAIRS = {
    "an array": (zeros(1, 2, 3), TypeError, "hx: expected a pair (h, c), got numpy.ndarray"),
    "three": ((zeros(1, 2, 3),) * 3, ValueError, "hx: expected a pair (h, c), got 3 items"),
    "c (1, 2, 5)": (
        (zeros(1, 2, 3), zeros(1, 2, 5)),
        RuntimeError,
        "Expected hidden[1] size (1, 2, 3), got [1, 2, 5]",
    ),
    "c 2-D": (
        (zeros(1, 2, 3), zeros(2, 3)),
        RuntimeError,
        "For batched 3-D input, hx and cx should also be 3-D but got (3-D, 2-D) tensors",
    ),
    "c text": ((zeros(1, 2, 3), "no"), TypeError, re.compile(r"hx\[1\]")),
}


@pytest.mark.parametrize("row", BAD_SEQUENCE_PAIRS)
def test_bad_states_of_lstms(row):
    hx, error, text = BAD_SEQUENCE_PAIRS[row]
    refused(lambda: make("lstm", sequence=(1, 1, False))(S, hx), error, text)


def test_projected_states_have_their_own_sizes():
    lstm = make("lstm", sequence=(1, 2, False), proj=2)
    output, (h, c) = lstm(S, (zeros(2, 2, 2), zeros(2, 2, 3)))
    assert output.shape == (5, 2, 4) and h.shape == (2, 2, 2) and c.shape == (2, 2, 3)
    refused(
        lambda: lstm(S, (zeros(2, 2, 3), zeros(2, 2, 3))),
        RuntimeError,
        "Expected hidden[0] size (2, 2, 2), got [2, 2, 3]",
    )
    refused(
        lambda: lstm(S, (zeros(2, 2, 2), zeros(2, 2, 2))),
        RuntimeError,
        "Expected hidden[1] size (2, 2, 3), got [2, 2, 2]",
    )
    cell = make("lstm", proj=2)
    h, c = cell(X, (zeros(2, 2), zeros(2, 3)))
    assert h.shape == (2, 2) and c.shape == (2, 3)
    refused(
        lambda: cell(X, (zeros(2, 3), zeros(2, 3))),
        RuntimeError,
        "hidden[0] has inconsistent hidden_size: got 3, expected 2",
    )


def test_keywords_of_sequences():
    rnn, h = make("gru", sequence=(1, 1, False)), randoms(1, 2, 3)
    x = randoms(5, 2, 4)
    for got in (rnn(input=x, hx=h), rnn(x, hx=h), rnn.forward(hx=h, input=x, lengths=None, out=None)):
        assert_same_results(got, rnn(x, h))
    with pytest.raises(TypeError, match="positional"):
        rnn(x, h, [5, 5])
    with pytest.raises(TypeError, match="hidden"):
        rnn(x, hidden=h)


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
