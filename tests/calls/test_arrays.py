"""What may be passed as an array: shapes, strides, types, byte orders, other containers, out=."""

from __future__ import annotations

import array as stdlib_array

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import assert_same_bits, bits, needs_torch

import qrnn
from qrnn import nn
from qrnn.nn.quantized import dynamic as qd

f32 = np.float32
ENGINES = ("qrnn", "qrnn13", "fbgemm", "qnnpack", "onednn")

# Whole numbers below 100 are exact in every type: whatever the container, the result has the same bits.
DTYPES = (
    "f2",
    "f4",
    "f8",
    "g",
    "i1",
    "i2",
    "i4",
    "i8",
    "u1",
    "u2",
    "u4",
    "u8",
    ">f4",
    "<f4",
    ">f8",
    ">i2",
    ">f2",
)


def cells(engine="qrnn", inputs=6, hidden=5):
    return qd.RNNCell(inputs, hidden, engine=engine)


@st.composite
def views(draw, rows, columns):
    """One array of whole numbers twice: plain float32, and as a view with any strides, type and order."""
    values = draw(st.lists(st.integers(0, 99), min_size=rows * columns, max_size=rows * columns))
    plain = np.array(values, f32).reshape(rows, columns)
    steps = draw(st.tuples(*[st.sampled_from([-3, -2, -1, 1, 2, 3])] * 2))
    shape = [abs(s) * n for s, n in zip(steps, plain.shape)]
    dtype = np.dtype(draw(st.sampled_from(DTYPES)))
    if draw(st.booleans()):
        frame = np.zeros(shape[::-1], dtype).T  # Fortran order
    elif draw(st.booleans()):
        raw = np.zeros(int(np.prod(shape)) * dtype.itemsize + 1, np.uint8)
        frame = raw[1:].view(dtype).reshape(shape)  # misaligned
    else:
        frame = np.zeros(shape, dtype)
    view = frame[:: steps[0], :: steps[1]]
    view[...] = plain
    if draw(st.booleans()):
        view.flags.writeable = False
    return plain, view


@given(st.data(), st.integers(0, 6), st.integers(0, 20), st.integers(1, 20), st.sampled_from(ENGINES))
def test_any_real_array(data, batch, inputs, hidden, engine):
    """Strides, types, byte orders, alignment and flags do not change a bit; inputs stay as they are."""
    cell = cells(engine, inputs, hidden)
    x, x_view = data.draw(views(batch, inputs))
    h, h_view = data.draw(views(batch, hidden))
    copies = x_view.copy(), h_view.copy()
    want = cell(x, h)
    assert want.shape == (batch, hidden) and want.dtype == f32 and want.flags.c_contiguous
    assert_same_bits(cell(x_view, h_view), want)
    np.testing.assert_array_equal(x_view, copies[0])
    np.testing.assert_array_equal(h_view, copies[1])


@given(st.data(), st.integers(0, 6), st.integers(0, 20), st.integers(1, 20))
def test_any_real_array_for_linear(data, batch, inputs, rows):
    x, view = data.draw(views(batch, inputs))
    for layer in (qd.Linear(inputs, rows), nn.Linear(inputs, rows)):
        assert_same_bits(layer(view), layer(x))


@given(
    st.floats(-38, 38),
    st.integers(1, 4),
    st.integers(1, 12),
    st.integers(0, 2**32 - 1),
    st.sampled_from(ENGINES),
)
def test_any_scale(exponent, batch, inputs, seed, engine):
    """Finite inputs of any magnitude give finite results that are 0 or more with relu, on every isa alike."""
    rng = np.random.default_rng(seed)
    x = (rng.standard_normal((batch, inputs)) * 10.0**exponent).clip(-3e38, 3e38).astype(f32)
    cell = nn.RNNCell(inputs, 7, nonlinearity="relu")
    cell.weight_ih = cell.weight_ih * f32(0.1)
    results = [qd.RNNCell.from_float(cell, engine=engine, isa=isa)(x) for isa in qrnn.isas()]
    assert np.isfinite(results[0]).all() and (results[0] >= 0).all()
    for result in results:
        assert_same_bits(result, results[0])


# ---------------------------------------------------------------------------------------------------
# Containers
# ---------------------------------------------------------------------------------------------------
class HasArray:
    def __init__(self, a):
        self.a = a

    def __array__(self, dtype=None, copy=None):
        return self.a if dtype is None else self.a.astype(dtype)


class HasDlpack:
    def __init__(self, a):
        self.a = a

    def __dlpack__(self, **kwargs):
        return self.a.__dlpack__()

    def __dlpack_device__(self):
        return self.a.__dlpack_device__()


class MyArray(np.ndarray):
    pass


CONTAINERS = {
    "list": lambda a: a.tolist(),
    "tuple": lambda a: tuple(map(tuple, a.tolist())),
    "list of arrays": list,
    "__array__": HasArray,
    "__dlpack__": HasDlpack,
    "subclass": lambda a: a.view(MyArray),
    "memoryview": memoryview,
    "bool": lambda a: a > 0,
    "list of bool": lambda a: (a > 0).tolist(),
    "numpy scalars": lambda a: [[f32(v) for v in row] for row in a],
    "long double": lambda a: a.astype(np.longdouble),
}


@pytest.mark.parametrize("engine", ["float32", *ENGINES])
@pytest.mark.parametrize("container", CONTAINERS)
def test_containers(container, engine):
    cell = nn.RNNCell(6, 5) if engine == "float32" else cells(engine)
    x = np.random.default_rng(60).integers(0, 2, (3, 6)).astype(f32)
    h = np.random.default_rng(61).integers(0, 2, (3, 5)).astype(f32)
    make = CONTAINERS[container]
    got = cell(make(x), make(h))
    assert type(got) is np.ndarray
    assert_same_bits(got, cell(x, h))


@pytest.mark.parametrize("engine", ["float32", *ENGINES])
@pytest.mark.parametrize("dtype", ["bfloat16", "float8_e4m3fn", "float8_e5m2"])
def test_small_floats_of_ml_dtypes(dtype, engine):
    """What JAX gives: taken as float16 is, whatever kind NumPy counts it among."""
    ml_dtypes = pytest.importorskip("ml_dtypes", reason="ML_DTYPES IS NOT INSTALLED: its floats were not tested")
    cell = nn.RNNCell(6, 5) if engine == "float32" else cells(engine)
    rng = np.random.default_rng(62)
    x, h = (rng.standard_normal((3, n)).astype(getattr(ml_dtypes, dtype)) for n in (6, 5))
    want = cell(x.astype(f32), h.astype(f32))
    for convert in (np.asarray, HasArray, np.asfortranarray, list):
        assert_same_bits(cell(convert(x), convert(h)), want)
    assert_same_bits(cell(x[::-1], h[::-1]), want[::-1])
    weights = nn.RNNCell(6, 5)
    weights.weight_ih = rng.standard_normal((5, 6)).astype(getattr(ml_dtypes, dtype))
    weights.load_state_dict({**weights.state_dict(), "weight_hh": np.ones((5, 5), getattr(ml_dtypes, dtype))})
    assert_same_bits(weights.weight_hh, np.ones((5, 5), f32))


def test_integers_of_ml_dtypes_are_refused():
    ml_dtypes = pytest.importorskip("ml_dtypes", reason="ML_DTYPES IS NOT INSTALLED: its integers were not tested")
    with pytest.raises(TypeError, match="input: expected an array of real numbers, got ndarray of int4"):
        cells()(np.ones((1, 6), ml_dtypes.int4))


def test_stdlib_array():
    cell, x = cells(), stdlib_array.array("f", [1, 2, 3, 4, 5, 6])
    assert_same_bits(cell(x), cell(np.arange(1, 7, dtype=f32)))


def test_values_beyond_float32():
    """They become infinities: NaN with engine qrnn, an error with the others."""
    x = np.full((1, 6), 1e300)
    assert np.isnan(cells()(x)).all()
    with pytest.raises(ValueError, match="input"):
        cells("fbgemm")(x)


# ---------------------------------------------------------------------------------------------------
# Shapes
# ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("engine", ["float32", *ENGINES])
def test_unbatched(engine):
    cell = nn.RNNCell(6, 5) if engine == "float32" else cells(engine)
    x, h = np.arange(6, dtype=f32), np.arange(5, dtype=f32)
    got = cell(x, h)
    assert got.shape == (5,)
    assert_same_bits(got[None], cell(x[None], h[None]))
    assert_same_bits(cell(x), cell(x[None])[0])
    out = np.empty(5, f32)
    assert cell(x, h, out=out) is out
    assert_same_bits(out, got)


@pytest.mark.parametrize("engine", ["float32", *ENGINES])
def test_empty_batches_and_inputs(engine):
    make = (lambda i, h: nn.RNNCell(i, h)) if engine == "float32" else (lambda i, h: cells(engine, i, h))
    assert make(6, 5)(np.zeros((0, 6), f32)).shape == (0, 5)
    assert make(6, 5)(np.zeros((0, 6), f32), np.zeros((0, 5), f32)).shape == (0, 5)
    empty = make(0, 5)
    h = np.linspace(-1, 1, 10, dtype=f32).reshape(2, 5)
    got = empty(np.zeros((2, 0), f32), h)
    assert got.shape == (2, 5) and np.isfinite(got).all()
    assert empty(np.zeros(0, f32)).shape == (5,)


@pytest.mark.parametrize("engine", ["float32", *ENGINES])
@pytest.mark.parametrize("shape", [(6,), (1, 6), (2, 3, 6), (0, 6), (2, 0, 6), (2, 1, 3, 6)])
def test_linear_shapes(engine, shape):
    layer = nn.Linear(6, 4) if engine == "float32" else qd.Linear(6, 4, engine=engine)
    x = np.random.default_rng(62).standard_normal(shape).astype(f32)
    got = layer(x)
    assert got.shape == (*shape[:-1], 4)
    assert_same_bits(got.reshape(-1, 4), layer(x.reshape(-1, 6)))
    out = np.empty(got.shape, f32)
    assert layer(x, out=out) is out
    assert_same_bits(out, got)


# ---------------------------------------------------------------------------------------------------
# out=
# ---------------------------------------------------------------------------------------------------
@given(st.integers(0, 70), st.integers(1, 40), st.sampled_from(ENGINES))
def test_out_is_the_result(batch, hidden, engine):
    rng = np.random.default_rng(63)
    cell = cells(engine, 6, hidden)
    x, h = rng.standard_normal((batch, 6)).astype(f32), rng.standard_normal((batch, hidden)).astype(f32)
    want = cell(x, h)
    out = np.full((batch, hidden), 77, f32)
    assert cell(x, h, out=out) is out
    assert_same_bits(out, want)
    assert cell(x, h, out=h) is h
    assert_same_bits(h, want, "out is the state")


def placed(frame, offset, shape):
    return frame[offset : offset + int(np.prod(shape))].reshape(shape)


@given(
    st.integers(1, 70),
    st.integers(1, 12),
    st.integers(1, 12),
    st.data(),
    st.sampled_from(("float32", *ENGINES)),
)
def test_out_that_overlaps(batch, inputs, hidden, data, engine):
    """Any overlap of out with x or h: the right answer, or a ValueError with nothing written."""
    cell = nn.RNNCell(inputs, hidden) if engine == "float32" else cells(engine, inputs, hidden)
    rng = np.random.default_rng(64)
    frame = rng.standard_normal(batch * (inputs + hidden) * 2).astype(f32)
    shapes = (batch, inputs), (batch, hidden), (batch, hidden)
    places = [data.draw(st.integers(0, len(frame) - int(np.prod(s)))) for s in shapes]
    x, h, out = (placed(frame, at, shape) for at, shape in zip(places, shapes))
    before, want = frame.copy(), cell(x.copy(), h.copy())
    try:
        got = cell(x, h, out=out)
    except ValueError as error:
        assert "out" in str(error)
        assert_same_bits(frame, before)
    else:
        assert got is out
        assert_same_bits(out, want)


@pytest.mark.parametrize("engine", ["float32", *ENGINES])
@pytest.mark.parametrize("shift", [-300, -7, 0, 7, 300])
def test_out_that_overlaps_many_rows(engine, shift):
    """More rows than a call takes at a time: an output row written early is an input row read late."""
    rng = np.random.default_rng(66)
    cell = nn.RNNCell(5, 5) if engine == "float32" else cells(engine, 5, 5)
    layer = nn.Linear(5, 5) if engine == "float32" else qd.Linear(5, 5, engine=engine)
    other = rng.standard_normal((200, 5)).astype(f32)
    for call in (
        lambda v, out: cell(v, out=out),  # x overlaps
        lambda v, out: cell(other, v, out=out),  # h overlaps
        lambda v, out: layer(v, out=out),
    ):
        frame = rng.standard_normal(2000).astype(f32)
        v, out = placed(frame, 400, (200, 5)), placed(frame, 400 + shift, (200, 5))
        want, before = call(v.copy(), None), frame.copy()
        try:
            got = call(v, out)
        except ValueError as error:
            assert "out" in str(error)
            assert_same_bits(frame, before)
        else:
            assert_same_bits(got, want)


def test_out_that_overlaps_linear():
    for layer in (nn.Linear(4, 4), qd.Linear(4, 4)):
        for shift in range(-6, 7):
            frame = np.random.default_rng(65).standard_normal(40).astype(f32)
            x, out = placed(frame, 12, (3, 4)), placed(frame, 12 + shift, (3, 4))
            want = layer(x.copy())
            try:
                layer(x, out=out)
            except ValueError as error:
                assert "out" in str(error)
            else:
                assert_same_bits(out, want)


def test_results_are_new():
    """No result shares memory with an argument, the weights or an earlier result."""
    cell, x, h = cells(), np.ones((2, 6), f32), np.ones((2, 5), f32)
    a, b = cell(x, h), cell(x, h)
    assert not np.shares_memory(a, b) and not np.shares_memory(a, h) and a.flags.owndata and a.flags.writeable


# ---------------------------------------------------------------------------------------------------
# Torch tensors
# ---------------------------------------------------------------------------------------------------
@needs_torch
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16", "int64", "uint8", "bool"])
def test_torch_tensors(dtype):
    import torch

    cell = cells()
    x = torch.arange(12).reshape(2, 6).to(getattr(torch, dtype))
    h = torch.ones(2, 5, dtype=getattr(torch, dtype))
    want = cell(x.float().numpy(), h.float().numpy())
    got = cell(x, h)
    assert type(got) is torch.Tensor and got.dtype == torch.float32 and not got.requires_grad
    assert_same_bits(got.numpy(), want)
    assert type(cell(x, h.float().numpy())) is torch.Tensor, "the first argument decides"
    assert type(cell(x.float().numpy(), h)) is np.ndarray


@needs_torch
def test_torch_tensors_that_need_care():
    """Gradients, views, conjugate and negative bits, Parameters."""
    import torch

    cell = cells()
    base = torch.randn(12, 4)
    for x in (
        base[::2].T[:2],
        torch.randn(2, 6, requires_grad=True),
        torch.nn.Parameter(torch.randn(2, 6)),
        torch.imag(torch.randn(2, 6, dtype=torch.complex64).conj()),
        torch.randn(1, 6).expand(2, 6),
    ):
        got = cell(x)
        assert type(got) is torch.Tensor and not got.requires_grad
        assert_same_bits(got.numpy(), cell(x.detach().resolve_neg().contiguous().numpy()))
    unbatched = cell(torch.zeros(6))
    assert unbatched.shape == (5,)


@needs_torch
def test_torch_tensors_of_other_layers():
    import torch

    x = torch.randn(2, 6)
    for layer in (nn.Linear(6, 3), qd.Linear(6, 3), nn.RNNCell(6, 3), nn.ReLU(), nn.Tanh(), nn.Sigmoid()):
        got = layer(x)
        assert type(got) is torch.Tensor
        assert (bits(got.numpy()) == bits(layer(x.numpy()))).all()
