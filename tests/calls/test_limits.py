"""Shapes at and beyond the limits, strides of every kind, memory in odd places: the right answer or a clear
error."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.lib.stride_tricks import as_strided
from support import assert_same_bits

from qrnn import _core, nn
from qrnn.nn.quantized import dynamic as qd

f32 = np.float32
DEPTH = 65793  # inputs whose u8 x s8 products an int32 sum holds


def rows(*shape, seed=1):
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype(f32)


def pack(kind, *matrices, engine="qrnn", sequence=None):
    module = _core.Module()
    module._pack(kind, engine, None, *matrices, sequence=sequence)
    return module


def codes(shape, value=1):
    return np.full(shape, value, np.int8)


# ---------------------------------------------------------------------------------------------------
# Shapes
# ---------------------------------------------------------------------------------------------------
def test_depth_of_every_product():
    """K above the bound is refused for x, for h and for what is projected, by the parameter's name."""
    one = np.ones((), f32)
    with pytest.raises(ValueError, match=r"weight_ih: expected at most 65793 columns.*65794"):
        pack("rnn_relu", (codes((1, DEPTH + 1)), one, None), (codes((1, 1)), one, None))
    with pytest.raises(ValueError, match=r"weight_ih_l0: .*65793"):
        pack("gru", (codes((3, DEPTH + 1)), one, None), (codes((3, 1)), one, None), sequence=(1, 1, False))
    module = pack("rnn_relu", (codes((1, DEPTH)), one, None), (codes((1, 1)), one, None))
    assert module(np.ones((1, DEPTH), f32), np.zeros((1, 1), f32))[0, 0] == pytest.approx(DEPTH, rel=1e-2)
    weight = as_strided(codes((1, 1)), (DEPTH + 1, DEPTH + 1), (0, 0))  # 4 GB of columns in one byte
    with pytest.raises(ValueError, match="weight"):
        pack("linear", (weight, one, None))


def test_float_depth_has_no_bound():
    weight = np.ones((1, DEPTH + 5), f32)
    module = pack("linear", (weight, None, None), engine="float32")
    assert module(np.ones(DEPTH + 5, f32))[0] == DEPTH + 5


HUGE = [2**31, 2**40, 2**61, 2**62, 2**63 - 1, 2**63, 2**64, 10**30]


@pytest.mark.parametrize("size", HUGE[1:])
@pytest.mark.parametrize("name", ["Linear", "RNNCell", "LSTMCell", "GRUCell", "RNN", "LSTM", "GRU"])
@pytest.mark.parametrize("home", [nn, qd], ids=["float", "quantized"])
def test_sizes_whose_products_overflow(home, name, size):
    """Nothing wraps round to a small size: memory that cannot be had, or a size that NumPy refuses."""
    for sizes in ((size, 3), (3, size), (size, size)):
        with pytest.raises((ValueError, MemoryError, OverflowError)):
            getattr(home, name)(*sizes)


@pytest.mark.parametrize("name", ["RNN", "LSTM", "GRU"])
def test_number_of_layers(name):
    with pytest.raises(ValueError, match="num_layers: expected at most 65536"):
        getattr(nn, name)(4, 3, num_layers=2**50)


def test_huge_batches_of_nothing():
    """A batch of 2**40 rows of width 0 takes no memory; its result does, or is empty."""
    x = as_strided(np.zeros(1, f32), (2**40, 0), (0, 0))
    for cell in (qd.RNNCell(0, 3), nn.LSTMCell(0, 3), qd.Linear(0, 3)):
        with pytest.raises((MemoryError, ValueError)):
            cell(x)
    with pytest.raises((MemoryError, ValueError)):
        qd.Linear(0, 3)(as_strided(np.zeros(1, f32), (2**33, 2**33, 0), (0, 0, 0)))


@pytest.mark.parametrize("home", [nn, qd], ids=["float", "quantized"])
def test_empty_dimensions(home):
    assert home.Linear(4, 3)(np.zeros((0, 4), f32)).shape == (0, 3)
    assert home.Linear(4, 3)(np.zeros((2, 0, 4), f32)).shape == (2, 0, 3)
    for name in ("RNNCell", "LSTMCell", "GRUCell"):
        cell = getattr(home, name)(4, 3)
        h = cell(np.zeros((0, 4), f32))
        assert (h[0] if name == "LSTMCell" else h).shape == (0, 3)
        narrow = getattr(home, name)(0, 3)
        h = narrow(np.zeros((2, 0), f32))
        assert (h[0] if name == "LSTMCell" else h).shape == (2, 3)
    for name in ("RNN", "LSTM", "GRU"):
        layer = getattr(home, name)(4, 3, bidirectional=True)
        output, h = layer(np.zeros((5, 0, 4), f32))
        assert output.shape == (5, 0, 6) and (h[0] if name == "LSTM" else h).shape == (2, 0, 3)
        with pytest.raises(RuntimeError, match="sequence length to be larger than 0"):
            layer(np.zeros((0, 2, 4), f32))


# ---------------------------------------------------------------------------------------------------
# Memory
# ---------------------------------------------------------------------------------------------------
def misaligned(array):
    """A copy, one byte off."""
    memory = np.empty(array.nbytes + 1, np.uint8)
    memory[1:].view(array.dtype)[:] = array.ravel()
    return memory[1:].view(array.dtype).reshape(array.shape)


def spaced(array):
    """A copy in every second element of every second row, from the end."""
    frame = np.full(tuple(2 * n for n in array.shape), 9, array.dtype)
    view = frame[tuple(slice(None, None, -2) for _ in array.shape)]
    view[...] = array
    return view


LAYOUTS = {
    "strided, negative": spaced,
    "Fortran": np.asfortranarray,
    "misaligned": misaligned,
    "swapped": lambda a: a.astype(a.dtype.newbyteorder()),
    "read-only": lambda a: np.frombuffer(a.tobytes(), a.dtype).reshape(a.shape),
    "misaligned and swapped": lambda a: misaligned(a.astype(a.dtype.newbyteorder())),
    "float64": lambda a: a.astype(np.float64),
    "subclass": lambda a: a.view(np.ma.MaskedArray),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("engine", ["float32", "qrnn", "fbgemm"])
def test_layouts_of_inputs(layout, engine):
    """The same bits wherever and however an array lies, in x, in a state, in both."""
    keywords = {} if engine == "float32" else {"engine": engine}
    home = nn if engine == "float32" else qd
    change = LAYOUTS[layout]
    x, h, c = rows(5, 7), rows(5, 6, seed=2), rows(5, 6, seed=3)
    cell = home.LSTMCell(7, 6, **keywords)
    for wanted, got in zip(cell(x, (h, c)), cell(change(x), (change(h), change(c)))):
        assert_same_bits(got, wanted)
    layer, x = home.GRU(7, 6, num_layers=2, **keywords), rows(4, 5, 7)
    h = rows(2, 5, 6)
    for wanted, got in zip(layer(x, h), layer(change(x), change(h))):
        assert_same_bits(got, wanted)
    linear = home.Linear(7, 6, **keywords)
    assert_same_bits(linear(change(x)), linear(x))
    assert_same_bits(_core.apply("tanh", change(x)), _core.apply("tanh", x))


def test_zero_strides():
    """One row for the whole batch, one number for all, by strides of 0 within the buffer."""
    cell = qd.RNNCell(4, 3)
    x, h = rows(1, 4), rows(1, 3)
    want = np.repeat(cell(x, h), 6, axis=0)
    assert_same_bits(cell(np.broadcast_to(x, (6, 4)), np.broadcast_to(h, (6, 3))), want)
    one = np.full(1, 0.5, f32)
    assert_same_bits(cell(as_strided(one, (6, 4), (0, 0))), cell(np.full((6, 4), 0.5, f32)))
    windows = as_strided(rows(20), (9, 4), (8, 4))  # overlapping rows
    assert_same_bits(cell(windows), cell(windows.copy()))


@pytest.mark.parametrize("spoil", ["misaligned", "swapped", "read-only", "strided, negative", "float64"])
def test_layouts_of_out(spoil):
    """What cannot take a result is refused and left as it was."""
    cell, layer = qd.RNNCell(4, 3), nn.LSTM(4, 3)
    out = LAYOUTS[spoil](rows(2, 3, seed=4))
    before = out.tolist()
    with pytest.raises(ValueError, match="^out: expected"):
        cell(rows(2, 4), rows(2, 3), out=out)
    assert out.tolist() == before
    out = LAYOUTS[spoil](rows(5, 2, 3, seed=4))
    with pytest.raises(ValueError, match="^out: expected"):
        layer(rows(5, 2, 4), out=out)


# ---------------------------------------------------------------------------------------------------
# Overlap
# ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("engine", ["float32", "qrnn", "fbgemm"])
@pytest.mark.parametrize("name", ["RNNCell", "GRUCell", "LSTMCell", "Linear"])
def test_out_overlaps_in_part(name, engine):
    """`out` at every offset over x, and over h: the answer of arrays apart, or ValueError and no change."""
    home = nn if engine == "float32" else qd
    module = getattr(home, name)(5, 5, **({} if engine == "float32" else {"engine": engine}))
    batch, n = 4, 20
    for offset in range(-n + 1, n):
        frame = rows(3 * n)
        x = frame[n : 2 * n].reshape(batch, 5)
        out = frame[n + offset : 2 * n + offset].reshape(batch, 5)
        h, c = rows(batch, 5, seed=2), rows(batch, 5, seed=3)
        if name == "Linear":
            want = module(x.copy())
            assert_same_bits(module(x, out=out), want)
        elif name == "LSTMCell":
            want = module(x.copy(), (h, c))
            got = module(x, (h, c), out=(out, np.empty_like(c)))
            assert_same_bits(got[0], want[0])
            assert_same_bits(got[1], want[1])
            frame = rows(3 * n)
            h = frame[n : 2 * n].reshape(batch, 5)
            out = frame[n + offset : 2 * n + offset].reshape(batch, 5)
            want = module(rows(batch, 5, seed=5), (h.copy(), c))
            got = module(rows(batch, 5, seed=5), (h, c), out=(np.empty_like(c), out))  # c over h
            assert_same_bits(got[0], want[0])
            assert_same_bits(got[1], want[1])
        else:
            want = module(x.copy(), h)
            assert_same_bits(module(x, h, out=out), want)
            frame = rows(3 * n)
            h = frame[n : 2 * n].reshape(batch, 5)
            out = frame[n + offset : 2 * n + offset].reshape(batch, 5)
            want = module(rows(batch, 5, seed=5), h.copy())
            assert_same_bits(module(rows(batch, 5, seed=5), h, out=out), want)


def test_results_that_share_memory_are_refused():
    cell, frame = qd.LSTMCell(4, 3), np.zeros(9, f32)
    with pytest.raises(ValueError, match="share no memory"):
        cell(rows(2, 4), out=(frame[:6].reshape(2, 3), frame[3:].reshape(2, 3)))
    layer, frame = qd.GRU(4, 3), np.zeros(40, f32)
    with pytest.raises(ValueError, match="share no memory"):
        layer(rows(5, 2, 4), out=(frame[:30].reshape(5, 2, 3), frame[26:32].reshape(1, 2, 3)))


@pytest.mark.parametrize("engine", ["float32", "qrnn", "fbgemm"])
@pytest.mark.parametrize("name", ["RNN", "GRU", "LSTM"])
def test_output_of_a_sequence_overlaps_in_part(name, engine):
    home = nn if engine == "float32" else qd
    layer = getattr(home, name)(3, 3, num_layers=2, **({} if engine == "float32" else {"engine": engine}))
    n = 5 * 2 * 3
    for offset in (*range(-n + 1, n, 7), 0):
        frame = rows(3 * n)
        x = frame[n : 2 * n].reshape(5, 2, 3)
        out = frame[n + offset : 2 * n + offset].reshape(5, 2, 3)
        want, _ = layer(x.copy())
        assert_same_bits(layer(x, out=out)[0], want)
    state = rows(2, 2, 3, seed=8)
    if name == "LSTM":
        pair = (state, rows(2, 2, 3, seed=9))
        want = layer(x, (pair[0].copy(), pair[1].copy()))
        layer(x, pair, out=(np.empty((5, 2, 3), f32), pair))
        assert_same_bits(pair[0], want[1][0])
        assert_same_bits(pair[1], want[1][1])
    else:
        want = layer(x, state.copy())
        layer(x, state, out=(np.empty((5, 2, 3), f32), state))
        assert_same_bits(state, want[1])


# ---------------------------------------------------------------------------------------------------
# Lengths
# ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("bad", [[-1, 1], [6, 1], [2**63 - 1, 1], [2**64, 1], [-(2**70), 1], [1], [1, 1, 1]])
def test_lengths_out_of_range(bad):
    with pytest.raises(ValueError, match="^lengths: expected"):
        qd.GRU(4, 3)(rows(5, 2, 4), lengths=bad)
    with pytest.raises(ValueError, match="^lengths: expected"):
        qd.GRU(4, 3, engine="fbgemm")(rows(5, 2, 4), lengths=[0, 1])


@pytest.mark.parametrize("bad", [[1.0, 2.0], ["1", "2"], [None, 1], np.array([1.5, 2]), {1: 2, 2: 1}, 3, "12"])
def test_lengths_of_other_types(bad):
    with pytest.raises(TypeError, match="^lengths: expected"):
        qd.GRU(4, 3)(rows(5, 2, 4), lengths=bad)
