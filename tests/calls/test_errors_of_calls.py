"""Bad calls and bad results: each a row with its exception and text, and nothing changed afterwards."""

from __future__ import annotations

import re

import numpy as np
import pytest
from support import assert_same_bits
from support.errors import HX, INPUT, make_cell, refused, zeros
from support.reference import ENGINES

from qrnn import nn
from qrnn.nn.quantized import dynamic as qd

f32 = np.float32


def make_linear(engine):
    return nn.Linear(4, 3) if engine == "float32" else qd.Linear(4, 3, engine=engine)


BAD_CALLS = {
    "x (2, 5)": (
        (zeros(2, 5),),
        RuntimeError,
        "input has inconsistent input_size: got 5, expected 4",
    ),
    "x (5,)": ((zeros(5),), RuntimeError, "input has inconsistent input_size: got 5, expected 4"),
    "x (2, 0)": ((zeros(2, 0),), RuntimeError, "input has inconsistent input_size: got 0, expected 4"),
    "x (1, 1): no broadcasting": (
        (zeros(1, 1),),
        RuntimeError,
        "input has inconsistent input_size: got 1, expected 4",
    ),
    "hx (3, 3) for batch 2": (
        (zeros(2, 4), zeros(3, 3)),
        RuntimeError,
        "Input batch size 2 doesn't match hidden batch size 3",
    ),
    "hx (1, 3): no broadcasting": (
        (zeros(2, 4), zeros(1, 3)),
        RuntimeError,
        "Input batch size 2 doesn't match hidden batch size 1",
    ),
    "hx (3,) for batch 2": (
        (zeros(2, 4), zeros(3)),
        RuntimeError,
        "Input batch size 2 doesn't match hidden batch size 3",
    ),
    "hx (2, 5)": (
        (zeros(2, 4), zeros(2, 5)),
        RuntimeError,
        "hidden has inconsistent hidden_size: got 5, expected 3",
    ),
    "hx (2, 1): no broadcasting": (
        (zeros(2, 4), zeros(2, 1)),
        RuntimeError,
        "hidden has inconsistent hidden_size: got 1, expected 3",
    ),
    "hx (5,) for x (4,)": (
        (zeros(4), zeros(5)),
        RuntimeError,
        "hidden has inconsistent hidden_size: got 5, expected 3",
    ),
    "x 3-D": ((zeros(2, 2, 4),), ValueError, "RNNCell: Expected input to be 1D or 2D, got 3D instead"),
    "x 0-D": ((zeros(),), ValueError, "RNNCell: Expected input to be 1D or 2D, got 0D instead"),
    "hx 3-D": (
        (zeros(2, 4), zeros(1, 2, 3)),
        ValueError,
        "RNNCell: Expected hidden to be 1D or 2D, got 3D instead",
    ),
    "hx 4-D": (
        (zeros(2, 4), zeros(1, 1, 2, 3)),
        ValueError,
        "RNNCell: Expected hidden to be 1D or 2D, got 4D instead",
    ),
    "no input": ((), TypeError, INPUT),
    "input None": ((None,), TypeError, INPUT),
    "input complex": ((np.zeros((2, 4), complex),), TypeError, INPUT),
    "input object": ((np.array([[None] * 4]),), TypeError, INPUT),
    "input text": (("abcd",), TypeError, INPUT),
    "input array of text": ((np.array([["a"] * 4]),), TypeError, INPUT),
    "input ragged": (([[1, 2, 3, 4], [1]],), TypeError, INPUT),
    "input dates": ((np.zeros((2, 4), "datetime64[s]"),), TypeError, INPUT),
    "input dict": (({},), TypeError, INPUT),
    "input a class": ((int,), TypeError, INPUT),
    "hx complex": ((zeros(2, 4), np.zeros((2, 3), complex)), TypeError, HX),
    "hx text": ((zeros(2, 4), "no"), TypeError, HX),
    "hx object": ((zeros(2, 4), object()), TypeError, HX),
    "three positions": ((zeros(2, 4), zeros(2, 3), zeros(2, 3)), TypeError, re.compile("positional")),
}


@pytest.mark.parametrize("engine", ["float32", *ENGINES])
@pytest.mark.parametrize("row", BAD_CALLS)
def test_bad_calls(engine, row):
    args, kind, text = BAD_CALLS[row]
    cell = make_cell(engine)
    x, h = np.full((2, 4), 0.5, f32), np.full((2, 3), 0.25, f32)
    before = cell(x, h)
    for call in (cell, cell.forward):
        refused(lambda call=call: call(*args), kind, text)
        out = np.full((2, 3), 77, f32)
        refused(lambda call=call, out=out: call(*args, out=out), kind, text)
        assert (out == 77).all()
    assert_same_bits(cell(x, h), before)


def test_bad_batch_and_ranks_together():
    """Unbatched x with a batch of states: refused, whatever the text."""
    with pytest.raises((RuntimeError, ValueError)):
        make_cell("qrnn")(zeros(4), zeros(2, 3))


@pytest.mark.parametrize("call", ["cell(x, hidden=h)", "cell(x, h, hx=h)", "cell(x, input=x)", "cell(hx=h)"])
def test_bad_keywords(call):
    names = {"cell": make_cell("qrnn"), "x": zeros(2, 4), "h": zeros(2, 3)}
    with pytest.raises(TypeError, match="hidden|hx|input"):
        eval(call, names)


def test_good_keywords():
    cell, x, h = make_cell("qrnn"), np.full((2, 4), 0.5, f32), np.full((2, 3), 0.5, f32)
    for got in (cell(input=x, hx=h), cell(x, hx=h), cell.forward(hx=h, input=x), cell(x, h, out=None)):
        assert_same_bits(got, cell(x, h))
    assert_same_bits(cell(x, hx=None), cell(x))


def test_class_name_in_texts():
    """A subclass is named as PyTorch names it: by its own class."""

    class MyCell(qd.RNNCell):
        pass

    refused(
        lambda: MyCell(4, 3)(zeros(1, 1, 4)),
        ValueError,
        "MyCell: Expected input to be 1D or 2D, got 3D instead",
    )


@pytest.mark.parametrize("engine", ["float32", *ENGINES])
@pytest.mark.parametrize(
    "args, kind, text",
    [
        ((zeros(2, 5),), RuntimeError, re.compile(r"5.*4|4.*5")),
        ((zeros(),), (RuntimeError, ValueError), None),
        ((), TypeError, INPUT),
        ((None,), TypeError, INPUT),
        ((np.zeros((2, 4), complex),), TypeError, INPUT),
        ((zeros(2, 4), zeros(2, 3)), TypeError, re.compile("positional")),
    ],
    ids=["x (2, 5)", "x 0-D", "no input", "None", "complex", "two positions"],
)
def test_bad_calls_of_linear(engine, args, kind, text):
    layer = make_linear(engine)
    before = layer(np.ones((2, 4), f32))
    if text is None:
        with pytest.raises(kind):
            layer(*args)
    else:
        refused(lambda: layer(*args), kind, text)
    assert_same_bits(layer(np.ones((2, 4), f32)), before)


# ---------------------------------------------------------------------------------------------------
# out=
# ---------------------------------------------------------------------------------------------------
def read_only():
    out = np.full((2, 3), 77, f32)
    out.flags.writeable = False
    return out


def misaligned():
    raw = np.zeros(2 * 3 * 4 + 1, np.uint8)
    out = raw[1:].view(f32).reshape(2, 3)
    out[:] = 77
    return out


BAD_OUTS = {
    "shape (3, 3)": (lambda: np.full((3, 3), 77, f32), ValueError, r"out.*\(2, 3\)"),
    "shape (6,)": (lambda: np.full(6, 77, f32), ValueError, r"out.*\(2, 3\)"),
    "shape (1, 2, 3)": (lambda: np.full((1, 2, 3), 77, f32), ValueError, r"out.*\(2, 3\)"),
    "float64": (lambda: np.full((2, 3), 77.0), ValueError, "out.*float32"),
    "int32": (lambda: np.full((2, 3), 77, np.int32), ValueError, "out.*float32"),
    "byte-swapped": (lambda: np.full((2, 3), 77, np.dtype("f4").newbyteorder()), ValueError, "out"),
    "Fortran order": (lambda: np.full((2, 3), 77, f32, order="F"), ValueError, "out.*contiguous"),
    "strided": (lambda: np.full((2, 6), 77, f32)[:, ::2], ValueError, "out.*contiguous"),
    "read-only": (read_only, ValueError, "out.*(read-only|writ)"),
    "misaligned": (misaligned, ValueError, "out"),
    "a list": (lambda: [[77.0] * 3] * 2, (TypeError, ValueError), "out"),
    "a number": (lambda: 77, (TypeError, ValueError), "out"),
}


@pytest.mark.parametrize("engine", ["float32", "qrnn", "fbgemm"])
@pytest.mark.parametrize("row", BAD_OUTS)
def test_bad_out(engine, row):
    make, kind, pattern = BAD_OUTS[row]
    cell, out = make_cell(engine), make()
    with pytest.raises(kind, match=pattern):
        cell(zeros(2, 4), zeros(2, 3), out=out)
    assert (np.asarray(out) == 77).all()


def test_bad_out_of_linear():
    layer = make_linear("qrnn")
    for out in (np.full((2, 4), 77, f32), np.full((3, 2), 77, f32).T, np.full((2, 3), 77.0)):
        with pytest.raises(ValueError, match="out"):
            layer(zeros(2, 4), out=out)
        assert (out == 77).all()
