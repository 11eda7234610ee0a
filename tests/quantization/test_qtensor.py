"""QTensor: codes with scales, as PyTorch's quantized tensors."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from support import assert_same_bits, needs_torch

import qrnn
from qrnn.nn.quantized import dynamic as qd

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning:torch")


f32 = np.float32


# ---------------------------------------------------------------------------------------------------
# QTensor
# ---------------------------------------------------------------------------------------------------
def test_qtensor_per_tensor():
    codes = np.arange(-6, 6, dtype=np.int8).reshape(3, 4)
    q = qrnn.QTensor(codes, f32(0.25))
    assert q.shape == (3, 4) and q.dtype is qrnn.qint8 and q.qscheme() is qrnn.per_tensor_affine
    assert q.q_scale() == 0.25 and q.q_zero_point() == 0
    assert_same_bits(q.dequantize(), codes.astype(f32) / 4)
    np.testing.assert_array_equal(q.int_repr(), codes)
    codes[:] = 0
    assert q.int_repr()[0, 0] == -6, "it holds a copy"
    with pytest.raises(RuntimeError):
        q.q_per_channel_scales()


def test_qtensor_per_channel():
    codes, scale = np.full((2, 3), 4, np.int8), np.array([0.5, 2], f32)
    q = qrnn.QTensor(codes, scale)
    assert q.qscheme() is qrnn.per_channel_affine and q.q_per_channel_axis() == 0
    assert_same_bits(q.q_per_channel_scales(), scale)
    assert q.q_per_channel_zero_points().tolist() == [0, 0]
    assert q.dequantize().tolist() == [[2, 2, 2], [8, 8, 8]]
    with pytest.raises(RuntimeError):
        q.q_scale()
    with pytest.raises(ValueError, match="read-only"):
        q.int_repr()[0, 0] = 1


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, lambda q: pickle.loads(pickle.dumps(q))])
@pytest.mark.parametrize("scale", [f32(0.5), np.array([0.5, 2], f32)])
def test_copies_of_qtensors_are_read_only_too(duplicate, scale):
    q = qrnn.QTensor(np.full((2, 3), 4, np.int8), scale)
    new = duplicate(q)
    assert not new.int_repr().flags.writeable and not new._scale.flags.writeable
    assert new.qscheme() is q.qscheme()
    assert_same_bits(new.dequantize(), q.dequantize())


@needs_torch
@pytest.mark.parametrize("per_channel", [False, True])
def test_qtensor_is_torchs(per_channel):
    """The same methods with the same values as torch's quantized tensor, which is taken for one."""
    import torch

    w = torch.randn(3, 4)
    if per_channel:
        theirs = torch.quantize_per_channel(
            w, torch.tensor([0.1, 0.2, 0.3]), torch.zeros(3, dtype=torch.long), 0, torch.qint8
        )
    else:
        theirs = torch.quantize_per_tensor(w, 0.1, 0, torch.qint8)
    cell = qd.RNNCell(4, 3, engine="fbgemm")
    weights = cell._weight_bias()
    weights["weight"]["weight_ih"] = theirs
    weights["bias"]["bias_ih"] = torch.ones(3)
    cell.set_weight_bias(weights)
    ours = cell.get_weight()["weight_ih"]
    assert_same_bits(ours.dequantize(), theirs.dequantize().numpy())
    np.testing.assert_array_equal(ours.int_repr(), theirs.int_repr().numpy())
    assert str(ours.qscheme()).split(".")[1] == str(theirs.qscheme()).split(".")[1]
    if per_channel:
        assert_same_bits(ours.q_per_channel_scales(), theirs.q_per_channel_scales().numpy().astype(f32))
    else:
        assert ours.q_scale() == f32(theirs.q_scale()) and ours.q_zero_point() == theirs.q_zero_point()
    for bad in (
        torch.quantize_per_tensor(torch.randn(3, 4), 0.1, 3, torch.qint8),
        torch.quantize_per_tensor(torch.randn(3, 4), 0.1, 0, torch.quint8),
    ):
        weights["weight"]["weight_ih"] = bad
        with pytest.raises(ValueError, match="weight_ih"):
            cell.set_weight_bias(weights)
