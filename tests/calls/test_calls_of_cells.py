"""Bad calls of cells of every kind: the exception, its text, and nothing written."""

from __future__ import annotations

import re

import numpy as np
import pytest
from support.calls import (
    CELLS,
    KINDS,
    TORCH_ENGINES,
    H,
    X,
    as_text,
    assert_same_results,
    flat,
    full,
    make,
    pair,
    refused,
    zeros,
)

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
