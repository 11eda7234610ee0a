"""Bad calls of sequences of every kind: the exception, its text, and nothing written."""

from __future__ import annotations

import re

import numpy as np
import pytest
from support import needs_torch
from support.calls import (
    SEQUENCES,
    TORCH_ENGINES,
    S,
    X,
    assert_same_results,
    flat,
    full,
    make,
    pair,
    randoms,
    refused,
    zeros,
)

INPUT, HX, OUT, LENGTHS = (re.compile(rf"\b{name}\b") for name in ("input", "hx", "out", "lengths"))


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
