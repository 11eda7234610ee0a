"""Inputs whose conversion to float32 would lose something: masks, and numbers beyond the range of float32."""

from __future__ import annotations

import sys
import warnings

import numpy as np
import pytest
from support import assert_same_bits, needs_torch

import qrnn
from qrnn import nn
from qrnn.nn.quantized import dynamic as qd

X = np.random.default_rng(0).standard_normal((3, 2, 4)).astype(np.float32)
H = np.zeros((1, 2, 3), np.float32)
LAYERS = {
    "Linear": (lambda place: place.Linear(4, 3), X[0], None),
    "RNNCell": (lambda place: place.RNNCell(4, 3), X[0], H[0]),
    "LSTMCell": (lambda place: place.LSTMCell(4, 3), X[0], (H[0], H[0])),
    "GRU": (lambda place: place.GRU(4, 3), X, H),
    "LSTM": (lambda place: place.LSTM(4, 3), X, (H, H)),
}
each_layer = pytest.mark.parametrize("name", LAYERS)
each_place = pytest.mark.parametrize("place", [nn, qd])


def masked(array, mask=True):
    """`array` with a mask, of which the first element is `mask`, and no other."""
    masks = np.zeros(array.shape, bool)
    masks.flat[0] = mask
    return np.ma.array(array, mask=masks)


class GivesMasked:
    """An object of another library whose array is masked."""

    def __array__(self, *args, **kwargs):
        return masked(X[0])


@each_layer
@each_place
@pytest.mark.filterwarnings("ignore:Warning. converting a masked element")
def test_masked_arrays_are_refused(name, place):
    """Of any type, in lists too; for every argument, which is named. Where nothing is masked, nothing is lost."""
    make, x, state = LAYERS[name]
    layer = make(place)
    for got, want in zip(layer(masked(x, False)), layer(x), strict=True):
        assert_same_bits(np.asarray(got), np.asarray(want))
    for bad in (
        masked(x),
        masked(x.astype(int)),
        masked(x.astype(float)[..., ::-1]),
        [*x[:-1], masked(x[-1])],
        [*x.tolist()[:-1], list(masked(x[-1]))],
    ):
        with pytest.raises(TypeError, match="^input: expected an array"):
            layer(bad)
    if isinstance(state, tuple):
        with pytest.raises(TypeError, match=r"^hx\[1\]: expected an array without a mask, got MaskedArray"):
            layer(x, (state[0], masked(state[1])))
    elif state is not None:
        with pytest.raises(TypeError, match="^hx: expected an array without a mask, got MaskedArray"):
            layer(x, masked(state))
    want = layer(x)
    out = tuple(map(np.empty_like, want)) if isinstance(want, tuple) and name == "LSTMCell" else None
    if not isinstance(want, tuple):
        with pytest.raises(TypeError, match="^out: expected an array without a mask"):
            layer(x, out=masked(np.empty_like(want)))
    elif out is not None:
        with pytest.raises(TypeError, match=r"^out\[1\]: expected an array without a mask"):
            layer(x, out=(out[0], masked(out[1])))


def test_masks_elsewhere():
    with pytest.raises(TypeError, match="^input: expected an array without a mask"):
        qrnn.Linear(4, 3)(GivesMasked())
    with pytest.raises(TypeError, match="^lengths: expected integers"):
        qrnn.GRU(4, 3)(X, lengths=np.ma.array([3, 2], mask=[False, True]))
    layer = nn.Linear(4, 3)
    with pytest.raises(TypeError, match="^weight: expected an array without a mask"):
        layer.weight = masked(layer.weight)
    with pytest.raises(RuntimeError, match="bias: expected an array without a mask"):
        layer.load_state_dict({**layer.state_dict(), "bias": masked(layer.bias)})
    with pytest.raises(TypeError, match="^codes: expected an array without a mask"):
        qrnn.QTensor(masked(np.ones((1, 2), np.int8)), np.float32(1))
    assert qrnn.Linear(4, 3)(X[0].view(np.matrix)).shape == (2, 3), "other subclasses are arrays"


@each_layer
@each_place
def test_numbers_beyond_float32_warn(name, place):
    """The argument is named, the caller's line too, and other rows stay right."""
    make, x, state = LAYERS[name]
    layer, wide = make(place), x.astype(float)
    wide[..., 1, 2] = -1e39
    with pytest.warns(
        RuntimeWarning, match=r"^input: .* beyond the range of float32 .* first is -1e\+39 at \("
    ) as seen:
        got = layer(wide)
    assert len(seen) == 1 and seen[0].filename == __file__
    got, want = (result[0] if isinstance(result, tuple) else result for result in (got, layer(x)))
    assert_same_bits(np.ascontiguousarray(got[..., :1, :]), np.ascontiguousarray(want[..., :1, :]))
    if state is not None:
        pair = isinstance(state, tuple)
        bad = (state[0] if pair else state).astype(np.longdouble)
        bad.flat[0] = 1e300
        with pytest.warns(RuntimeWarning, match=r"^hx(\[0\])?: 1 value beyond the range of float32"):
            layer(x, (bad, state[1]) if pair else bad)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        wide[..., 1, 2] = np.inf
        layer(wide)
        wide[..., 1, 2] = np.finfo(np.float32).max
        wide.flat[0] = np.nan
        layer(wide)
        layer((x * 0 + 2**62).astype(np.uint64))


def test_a_warning_that_is_an_error_is_one():
    layer = qrnn.Linear(4, 3)
    with warnings.catch_warnings(), pytest.raises(RuntimeWarning, match="^input: 8 values"):
        warnings.simplefilter("error")
        layer(np.full((2, 4), 1e39))


def test_plain_calls_convert_nothing(monkeypatch):
    """Float32 arrays as the core takes them never come here."""
    layer = qrnn.GRUCell(4, 3)
    want = layer(X[0])
    arrays = sys.modules["qrnn._arrays"]
    monkeypatch.setattr(arrays, "to_numpy", None)
    monkeypatch.setattr(arrays, "warn", None)
    assert_same_bits(layer(X[0]), want)


@needs_torch
@pytest.mark.parametrize("training", [False, True])
def test_tensors_beyond_float32_warn(training):
    import torch

    import qrnn.torch as qt

    wide = torch.full((2, 4), 1e39, dtype=torch.float64)
    wide[0] = 1
    prepared = qt.prepare(torch.nn.RNNCell(4, 3), qconfig={}).train(training)
    for module in (qt.quantize_dynamic(torch.nn.RNNCell(4, 3)), prepared.double() if training else prepared):
        with pytest.warns(RuntimeWarning, match="^input: 4 values beyond the range of float32"):
            result = module(wide)
        assert result[0].isfinite().all() and result[1].isnan().all()
