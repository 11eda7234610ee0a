"""out=: bad ones, memory shared in every way, and what a call that fails leaves alone."""

from __future__ import annotations

import itertools
import re

import numpy as np
import pytest
from support.calls import (
    TORCH_ENGINES,
    S,
    X,
    assert_same_results,
    every,
    f32,
    flat,
    full,
    make,
    pair,
    randoms,
    some,
    zeros,
)

from qrnn import _core


# ---------------------------------------------------------------------------------------------------
# out=
# ---------------------------------------------------------------------------------------------------
def read_only(*shape):
    out = full(*shape)
    out.flags.writeable = False
    return out


def misaligned(*shape):
    raw = np.zeros(4 * int(np.prod(shape)) + 1, np.uint8)
    out = raw[1:].view(f32).reshape(shape)
    out[...] = 77
    return out


BAD_OUTS = {
    "shape": (lambda *shape: full(*shape[:-1], shape[-1] + 1), ValueError, "expected shape"),
    "rank": (lambda *shape: full(1, *shape), ValueError, "expected shape"),
    "float64": (lambda *shape: np.full(shape, 77.0), ValueError, "float32"),
    "byte-swapped": (lambda *shape: np.full(shape, 77, np.dtype("f4").newbyteorder()), ValueError, "float32"),
    "strided": (lambda *shape: full(*shape[:-1], 2 * shape[-1])[..., ::2], ValueError, "contiguous"),
    "read-only": (read_only, ValueError, "read-only"),
    "misaligned": (misaligned, ValueError, "aligned"),
    "a number": (lambda *shape: 77, TypeError, "out"),
    "text": (lambda *shape: "77", TypeError, "out"),
}


@some
@pytest.mark.parametrize("row", BAD_OUTS)
def test_bad_outs_of_cells(kind, engine, row):
    bad, error, text = BAD_OUTS[row]
    cell, hx = make(kind, engine), pair(kind, zeros(2, 3), zeros(2, 3))
    if kind != "lstm":
        with pytest.raises(error, match=text):
            cell(X, hx, out=bad(2, 3))
        return
    good = full(2, 3)
    for out, name in (((bad(2, 3), good), r"out\[0\]"), ((good, bad(2, 3)), r"out\[1\]")):
        for given in (out, list(out)):
            with pytest.raises(error, match=name) as caught:
                cell(X, hx, out=given)
            assert re.search(text, str(caught.value))
            assert (good == 77).all()


def test_bad_pairs_of_out():
    cell, good = make("lstm"), full(2, 3)
    for out, error in (
        (good, TypeError),
        ((good,), ValueError),
        ((good, good.copy(), good.copy()), ValueError),
        ((good, None), TypeError),
        ((good, good), ValueError),
        (None, None),
    ):
        if error is None:
            cell(X, out=out)
            continue
        with pytest.raises(error, match="out"):
            cell(X, out=out)
        assert (good == 77).all()
    both = full(3, 3)
    with pytest.raises(ValueError, match="share no memory"):
        cell(X, out=(both[:2], both[1:]))
    assert (both == 77).all()


@some
@pytest.mark.parametrize("row", BAD_OUTS)
def test_bad_outs_of_sequences(kind, engine, row):
    bad, error, text = BAD_OUTS[row]
    rnn = make(kind, engine, (1, 1, False))
    output, h, c = full(5, 2, 3), full(1, 2, 3), full(1, 2, 3)
    rows = [(bad(5, 2, 3), "out"), ((bad(5, 2, 3), pair(kind, h, c)), r"out\[0\]")]
    if kind == "lstm":
        rows += [
            ((output, (bad(1, 2, 3), c)), r"out\[1\]\[0\]"),
            ((output, [h, bad(1, 2, 3)]), r"out\[1\]\[1\]"),
        ]
    else:
        rows += [((output, bad(1, 2, 3)), r"out\[1\]"), ([output, bad(1, 2, 3)], r"out\[1\]")]
    for out, name in rows:
        with pytest.raises(error, match=name) as caught:
            rnn(S, out=out)
        assert re.search(text, str(caught.value))
        assert all((a == 77).all() for a in (output, h, c))


def test_bad_tuples_of_out():
    lstm, gru = make("lstm", sequence=(1, 1, False)), make("gru", sequence=(1, 1, False))
    output, h, c = full(5, 2, 3), full(1, 2, 3), full(1, 2, 3)
    for rnn, out, error in (
        (gru, (output,), ValueError),
        (gru, (output, h, c), ValueError),
        (gru, (output, (h, c)), TypeError),
        (gru, {"output": output}, TypeError),
        (gru, (output, None), TypeError),
        (lstm, (output, h), TypeError),
        (lstm, (output, h, c), ValueError),
        (lstm, (output, (h,)), ValueError),
        (lstm, (output, (h, h)), ValueError),
    ):
        with pytest.raises(error, match="out"):
            rnn(S, out=out)
        assert all((a == 77).all() for a in (output, h, c))
    shared = full(7, 2, 3)
    with pytest.raises(ValueError, match="share no memory"):
        gru(S, out=(shared[:5], shared[4:5]))
    assert (shared == 77).all()


@every
def test_out_takes_the_results_of_cells(kind, engine):
    cell, x, hx = make(kind, engine), randoms(2, 4), pair(kind, randoms(2, 3), randoms(2, 3, seed=2))
    want = cell(x, hx)
    out = pair(kind, full(2, 3), full(2, 3))
    got = cell(x, hx, out=out)
    assert all(g is o for g, o in zip(flat(got), flat(out), strict=True))
    assert_same_results(out, want)
    if kind == "lstm":
        out = [full(2, 3), full(2, 3)]
        got = cell(x, hx, out=out)
        assert isinstance(got, tuple) and got[0] is out[0] and got[1] is out[1]
        assert_same_results(got, want)


@every
@pytest.mark.parametrize("batch_first", [False, True])
def test_out_takes_the_results_of_sequences(kind, engine, batch_first):
    rnn, x = make(kind, engine, (2, 2, batch_first)), randoms(3, 3, 4)
    hx = pair(kind, randoms(4, 3, 3), randoms(4, 3, 3, seed=2))
    want = rnn(x, hx, lengths=[1, 3, 2])
    output = full(3, 3, 6)
    got = rnn(x, hx, lengths=[1, 3, 2], out=output)
    assert got[0] is output
    assert_same_results(got, want)
    out = full(3, 3, 6), pair(kind, full(4, 3, 3), full(4, 3, 3))
    for given in (out, list(out)):
        got = rnn(x, hx, lengths=[1, 3, 2], out=given)
        assert all(g is o for g, o in zip(flat(got), flat(out), strict=True))
        assert_same_results(got, want)


# ---------------------------------------------------------------------------------------------------
# Aliasing: whatever shares memory, the right answer
# ---------------------------------------------------------------------------------------------------
@every
def test_cells_may_overwrite_their_state(kind, engine):
    cell, x = make(kind, engine), randoms(2, 4)
    h, c = randoms(2, 3), randoms(2, 3, seed=2)
    want = cell(x, pair(kind, h, c))
    state = pair(kind, h.copy(), c.copy())
    cell(x, state, out=state)
    assert_same_results(state, want)
    for _ in range(3):
        want = cell(x, want)
        cell(x, state, out=state)
    assert_same_results(state, want)


@every
def test_cells_may_overwrite_anything(kind, engine):
    """out over x, over the states crosswise, and shifted by a row or an element."""
    cell = make(kind, engine, inputs=3)
    x, h, c = randoms(2, 3), randoms(2, 3, seed=2), randoms(2, 3, seed=3)
    want = cell(x, pair(kind, h, c))

    def places(shift, first, second):
        """Arrays of 2 x 3 in one memory, `second` so many elements behind `first`."""
        memory = zeros(40)
        a = memory[10:16].reshape(2, 3)
        b = memory[10 + shift : 16 + shift].reshape(2, 3)
        a[...] = first
        b_is = second is not None
        if b_is:
            b[...] = second
        return a, b

    for shift in (0, 1, -1, 3, -3, 5, 6, -6):
        over, out = places(shift, x, None)
        assert_same_results(flat(cell(over, pair(kind, h, c), out=pair(kind, out, full(2, 3))))[0], flat(want)[0])
        over, out = places(shift, h, None)
        assert_same_results(flat(cell(x, pair(kind, over, c), out=pair(kind, out, full(2, 3))))[0], flat(want)[0])
    if kind != "lstm":
        return
    for shift in (0, 1, -1, 3, -3, 5, 6, -6):
        over, out = places(shift, c, None)
        assert_same_results(cell(x, (h, over), out=(full(2, 3), out)), want)
        over, out = places(shift, c, None)
        assert_same_results(cell(x, (h, over), out=(out, full(2, 3))), want)
        over, out = places(shift, h, None)
        assert_same_results(cell(x, (over, c), out=(full(2, 3), out)), want)
        over, out = places(shift, x, None)
        assert_same_results(cell(over, (h, c), out=(full(2, 3), out)), want)
    a, b = h.copy(), c.copy()
    assert_same_results(cell(x, (a, b), out=(b, a)), want)
    same = h.copy()
    want = cell(x, (h, h))
    assert_same_results(cell(x, (same, same), out=(same, full(2, 3))), want)


@every
def test_one_array_for_everything(kind, engine):
    cell, a = make(kind, engine, inputs=3), randoms(2, 3)
    want = cell(a, pair(kind, a, a))
    same = a.copy()
    got = cell(same, pair(kind, same, same), out=pair(kind, same, full(2, 3)))
    assert_same_results(got, want)


@every
@pytest.mark.parametrize("shape", [(1, 1), (2, 1), (1, 2), (3, 2)])
def test_sequences_may_overwrite_anything(kind, engine, shape):
    layers, directions = shape
    width, units = 3 * directions, layers * directions
    rnn = make(kind, engine, (layers, directions, False), inputs=width)
    x = randoms(5, 2, width)
    h, c = randoms(units, 2, 3, seed=2), randoms(units, 2, 3, seed=3)
    want = rnn(x, pair(kind, h, c))
    state = pair(kind, h.copy(), c.copy())
    assert_same_results(rnn(x, state, out=(full(5, 2, width), state)), want)
    assert_same_results(state, want[1])
    for shift in (0, 1, -1, width, -2 * width, 10 * width - 1):
        memory = zeros(60 * width)
        start = 20 * width
        over = memory[start : start + 10 * width].reshape(5, 2, width)
        out = memory[start + shift : start + shift + 10 * width].reshape(5, 2, width)
        over[...] = x
        assert_same_results(rnn(over, pair(kind, h, c), out=out), want)
        memory[:] = 0
        state = memory[start : start + 6 * units].reshape(units, 2, 3)
        state[...] = h
        assert_same_results(rnn(x, pair(kind, state, c), out=out), want)
        state[...] = c
        if kind == "lstm":
            assert_same_results(rnn(x, (h, state), out=out), want)
    if kind == "lstm":
        a, b = h.copy(), c.copy()
        assert_same_results(rnn(x, (a, b), out=(full(5, 2, width), (b, a))), want)


@every
def test_neighbours_in_one_buffer_share_no_memory(kind, engine):
    """Arrays that begin where another ends: results, states, input of a step and of a sequence, both ways round."""
    cell, rnn = make(kind, engine, inputs=3), make(kind, engine, (2, 1, False), inputs=3)
    calls = (cell, [(2, 3)] * 5), (rnn, [(5, 2, 3), (2, 2, 3), (2, 2, 3), (5, 2, 3), (2, 2, 3), (2, 2, 3)])
    for (call, shapes), backwards in itertools.product(calls, (False, True)):
        sizes = np.cumsum([0, *(int(np.prod(shape)) for shape in shapes)])
        memory = randoms(int(sizes[-1]))
        places = [
            slice(*(memory.size - b, memory.size - a) if backwards else (a, b)) for a, b in itertools.pairwise(sizes)
        ]
        parts = [memory[place].reshape(shape) for place, shape in zip(places, shapes, strict=True)]
        x, h, c, *outs = parts
        state = pair(kind, h, c)
        want = call(x.copy(), pair(kind, h.copy(), c.copy()))
        if call is cell:
            out = pair(kind, *outs)
        else:
            out = (outs[0], pair(kind, *outs[1:]))
        got = call(x, state, out=out)
        assert_same_results(got, want)
        assert all(a is b for a, b in zip(flat(got), flat(out), strict=True))
        assert_same_results(call(x, state, out=out), want)


# ---------------------------------------------------------------------------------------------------
# Values that an engine with one scale for the batch cannot quantize
# ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("engine", TORCH_ENGINES)
@pytest.mark.parametrize("kind", ["rnn_tanh", "rnn_relu", "lstm", "gru"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_ranges_of_cells(engine, kind, bad):
    cell, x, h, c = make(kind, engine), randoms(2, 4), randoms(2, 3), randoms(2, 3, seed=2)
    out = pair(kind, full(2, 3), full(2, 3))
    x_bad, h_bad, c_bad = x.copy(), h.copy(), c.copy()
    x_bad[1, 2] = h_bad[1, 2] = c_bad[1, 2] = bad
    for args, name in (((x_bad, pair(kind, h, c)), "input"), ((x, pair(kind, h_bad, c)), "hx")):
        with pytest.raises(ValueError, match=rf"^{name}: engine '{engine}'"):
            cell(*args, out=out)
        assert all((part == 77).all() for part in flat(out))
    if kind == "lstm":  # c is not quantized: it follows float arithmetic
        assert np.isfinite(cell(x, (h, c_bad))[0][0]).all()


@pytest.mark.parametrize("engine", TORCH_ENGINES)
@pytest.mark.parametrize("kind", ["rnn_tanh", "rnn_relu", "lstm", "gru"])
def test_ranges_of_sequences(engine, kind):
    """The argument and the step are named, and nothing that was given is changed."""
    rnn, x = make(kind, engine, (2, 1, False)), randoms(5, 2, 4)
    h, c = randoms(2, 2, 3), randoms(2, 2, 3, seed=2)
    out = full(5, 2, 3), pair(kind, full(2, 2, 3), full(2, 2, 3))
    x_bad, h_bad = x.copy(), h.copy()
    x_bad[3, 1, 2] = np.nan
    h_bad[1, 1, 2] = np.inf
    for args, name in (((x_bad, pair(kind, h, c)), "input"), ((x, pair(kind, h_bad, c)), "hx")):
        step = 3 if name == "input" else 0
        for given in (out, out[0]):
            with pytest.raises(ValueError, match=rf"^{name}: engine '{engine}'.* at time step {step}$"):
                rnn(*args, out=given)
            assert all((part == 77).all() for part in flat(out))
    rnn(x_bad, lengths=[5, 3])  # what lies past a row's end is no value
    state = pair(kind, h_bad.copy(), c.copy())
    with pytest.raises(ValueError, match="hx"):
        rnn(x, state, out=(out[0], state))
    assert_same_results(state, pair(kind, h_bad, c))


@pytest.mark.parametrize("engine", ["fbgemm", "qnnpack", "onednn"])
def test_a_state_that_grows_out_of_range(engine):
    """A relu whose state doubles and doubles: an error at the step where it overflows, in every direction."""
    weight = np.full((1, 1), 127, np.int8), np.asarray(1e30, f32), None
    for directions in (1, 2):
        rnn = _core.Module()
        rnn._pack("rnn_relu", engine, None, *([weight] * 2 * directions), sequence=(1, directions, False))
        out = full(6, 1, directions)
        with pytest.raises(ValueError, match=r"^hx: .* at time step \d$"):
            rnn(np.full((6, 1, 1), 1, f32), out=out)
        assert (out == 77).all()
