"""The quantized modules: constructors, from_float, getters and setters, texts."""

from __future__ import annotations

import inspect
import os

import numpy as np
import pytest
import support
from support import assert_same_bits, needs_torch, random_rows
from support import reference as ref
from support.quantized_cells import inputs_of
from support.reference import ENGINES

import qrnn
from qrnn import nn
from qrnn.nn.quantized import dynamic as qd

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning:torch")


f32 = np.float32
PER_CHANNEL = qrnn.quantization.per_channel_dynamic_qconfig
PER_TENSOR = qrnn.quantization.default_dynamic_qconfig


def reference_of(cell):
    """The reference model of a quantized cell, read through its public getters."""
    weights, biases = cell.get_weight(), cell.get_bias()

    def weight(q):
        per_tensor = "tensor" in str(q.qscheme())
        return ref.Weight(q.int_repr(), np.asarray(q.q_scale() if per_tensor else q.q_per_channel_scales(), f32))

    return ref.Cell(
        cell.engine,
        cell.nonlinearity,
        weight(weights["weight_ih"]),
        weight(weights["weight_hh"]),
        biases["bias_ih"],
        biases["bias_hh"],
    )


# ---------------------------------------------------------------------------------------------------
# Making them
# ---------------------------------------------------------------------------------------------------
def test_short_names():
    assert qrnn.RNNCell is qd.RNNCell is qrnn.quantized.dynamic.RNNCell is qrnn.nn.quantized.dynamic.RNNCell
    assert qrnn.Linear is qd.Linear is qrnn.quantized.dynamic.Linear
    assert qrnn.nn.RNNCell is not qrnn.RNNCell


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("nonlinearity", ["tanh", "relu"])
def test_constructor(engine, bias, nonlinearity):
    cell = qd.RNNCell(7, 5, bias, nonlinearity, qrnn.qint8, engine=engine)
    assert (cell.input_size, cell.hidden_size, cell.bias, cell.nonlinearity) == (7, 5, bias, nonlinearity)
    assert (cell.engine == engine and cell.isa == qrnn.isas()[-1]) or "QRNN_ISA" in os.environ
    assert cell.weight_dtype is qrnn.qint8 and cell.training is True
    x, h = inputs_of(cell)
    model = reference_of(cell)
    acc = qrnn._core._gates(cell, x, h)
    for got, want in zip(acc, model.gates(x, h)):
        np.testing.assert_array_equal(got, want)
    assert_same_bits(cell(x, h), model.step(x, h))


def test_constructor_arguments_are_pytorchs():
    assert list(inspect.signature(qd.RNNCell).parameters)[:5] == [
        "input_size",
        "hidden_size",
        "bias",
        "nonlinearity",
        "dtype",
    ]
    assert list(inspect.signature(qd.Linear).parameters)[:4] == [
        "in_features",
        "out_features",
        "bias_",
        "dtype",
    ]
    assert list(inspect.signature(nn.RNNCell).parameters)[:6] == [
        "input_size",
        "hidden_size",
        "bias",
        "nonlinearity",
        "device",
        "dtype",
    ]


def test_default_scheme_is_the_engines():
    """Engine qrnn: per channel. The others: per tensor, as in PyTorch."""
    for engine in ENGINES:
        for q in (qd.RNNCell(4, 3, engine=engine), qd.RNNCell.from_float(nn.RNNCell(4, 3), engine=engine)):
            scheme = q.get_weight()["weight_ih"].qscheme()
            assert scheme is (qrnn.per_channel_affine if engine in ref.ROW_ENGINES else qrnn.per_tensor_affine)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("qconfig", [None, PER_TENSOR, PER_CHANNEL], ids=["none", "tensor", "channel"])
@pytest.mark.parametrize("bias", [True, False])
def test_from_float(engine, qconfig, bias):
    rng = np.random.default_rng(91)
    for inputs, hidden, nonlinearity in ((6, 5, "relu"), (1, 1, "tanh"), (0, 3, "tanh"), (40, 33, "relu")):
        cell = nn.RNNCell(inputs, hidden, bias=bias, nonlinearity=nonlinearity)
        cell.qconfig = qconfig
        q = qd.RNNCell.from_float(cell, engine=engine)
        assert type(q) is qd.RNNCell and q.engine == engine and q.bias is bias
        assert not hasattr(q, "qconfig")
        for name in ("weight_ih", "weight_hh"):
            w = getattr(cell, name)
            if qconfig is None and engine in ref.ROW_ENGINES:
                want = ref.weight_qrnn(w)
            elif w.size == 0:
                continue
            else:
                want = ref.weight_torch(w, qconfig is PER_CHANNEL)
            np.testing.assert_array_equal(q.get_weight()[name].int_repr(), want.codes)
            got = q.get_weight()[name]
            assert_same_bits(got.q_per_channel_scales() if want.scale.ndim else f32(got.q_scale()), want.scale)
        for name in ("bias_ih", "bias_hh"):
            if bias:
                assert_same_bits(getattr(q, name), getattr(cell, name))
            else:
                assert getattr(q, name) is None
        x = random_rows(rng, 3, inputs)
        assert np.abs(q(x) - cell(x)).max() < 0.1


def test_from_float_carries_the_mode():
    cell = nn.RNNCell(3, 2).eval()
    assert qd.RNNCell.from_float(cell).training is False


@pytest.mark.parametrize(
    "observer", ["weight_observer_range_neg_127_to_127", "per_channel_weight_observer_range_neg_127_to_127"]
)
def test_narrow_weight_observers(observer):
    """Codes -127..127 and at least 2**-12 a step, as PyTorch's observers of that name."""
    q = qrnn.quantization
    for scale in (1.0, 1e-3):
        cell = nn.RNNCell(6, 5)
        cell.weight_ih = cell.weight_ih * f32(scale)
        cell.qconfig = q.QConfig(activation=q.PlaceholderObserver, weight=getattr(q, observer))
        got = qd.RNNCell.from_float(cell).get_weight()["weight_ih"]
        want = ref.weight_torch(cell.weight_ih, "channel" in observer, -127, 127, 2**-12)
        np.testing.assert_array_equal(got.int_repr(), want.codes)


def test_code_minus_128_is_legal():
    weights = qd.RNNCell(4, 3, engine="fbgemm")._weight_bias()
    for engine in ENGINES:
        cell = qd.RNNCell(4, 3, nonlinearity="relu", engine=engine)
        weights["weight"]["weight_ih"] = qrnn.QTensor(np.full((3, 4), -128, np.int8), f32(0.01))
        cell.set_weight_bias(weights)
        x, h = inputs_of(cell)
        assert_same_bits(cell(x, h), reference_of(cell).step(x, h))


# ---------------------------------------------------------------------------------------------------
# Getters and setters
# ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("engine", ENGINES)
def test_weight_bias_api(engine):
    cell = qd.RNNCell(4, 3, engine=engine)
    assert set(cell.get_weight()) == {"weight_ih", "weight_hh"} and set(cell.get_bias()) == {
        "bias_ih",
        "bias_hh",
    }
    both = cell._weight_bias()
    assert set(both) == {"weight", "bias"}
    other = qd.RNNCell(4, 3, engine=engine)
    x, h = inputs_of(cell)
    assert not support.same_bits(other(x, h), cell(x, h))
    other.set_weight_bias(both)
    assert_same_bits(other(x, h), cell(x, h))


def test_weight_bias_api_of_linear():
    layer, other = qd.Linear(4, 3, engine="fbgemm"), qd.Linear(4, 3, engine="fbgemm")
    weight, bias = layer._weight_bias()
    assert weight.shape == (3, 4) and bias.shape == (3,)
    other.set_weight_bias(weight, bias)
    x = np.ones((2, 4), f32)
    assert_same_bits(other(x), layer(x))
    other.set_weight_bias(layer.weight(), None)
    assert other.bias() is None
    assert_same_bits(other(x), ref.linear("fbgemm", x, ref.Weight(weight.int_repr(), f32(weight.q_scale())), None)[1])


def test_biases_are_the_real_ones():
    """PyTorch shows random numbers there that nobody uses; here they are used, and can be assigned."""
    cell = nn.RNNCell(4, 3, nonlinearity="relu")
    q = qd.RNNCell.from_float(cell)
    assert_same_bits(q.bias_ih, cell.bias_ih)
    before = qrnn._core._gates(q, np.zeros((1, 4), f32))[2]
    q.bias_hh = q.bias_hh + 1000
    after = qrnn._core._gates(q, np.zeros((1, 4), f32))[2]
    np.testing.assert_allclose(after, before + 1000, rtol=1e-6)
    source = np.ones(3, f32)
    q.bias_ih = source
    source[:] = 7
    assert (q.bias_ih == 1).all()


def test_unknown_attributes():
    cell = qd.RNNCell(4, 3)
    for name in ("weight_ih", "weight_ih_l0", "nope", "_packed_weight_ih"):
        with pytest.raises(AttributeError, match=name):
            getattr(cell, name)
    with pytest.raises(AttributeError):
        cell.weight_ih = np.zeros((3, 4), f32)
    for name in ("engine", "isa", "nbytes", "input_size", "hidden_size", "kind"):
        with pytest.raises(AttributeError):
            setattr(cell, name, 1)


def test_reprs():
    assert repr(qd.RNNCell(4, 3)) == "DynamicQuantizedRNNCell(4, 3)"
    assert repr(qd.RNNCell(4, 3, nonlinearity="relu")) == "DynamicQuantizedRNNCell(4, 3, nonlinearity=relu)"
    assert repr(qd.RNNCell(4, 3, bias=False)) == "DynamicQuantizedRNNCell(4, 3, bias=False)"
    assert repr(qd.Linear(4, 3, engine="fbgemm")) == (
        "DynamicQuantizedLinear(in_features=4, out_features=3, dtype=qrnn.qint8, qscheme=qrnn.per_tensor_affine, "
        "engine=fbgemm)"
    )
    assert (
        repr(qd.RNN(4, 3, 2, nonlinearity="relu", engine="x86"))
        == "DynamicQuantizedRNN(4, 3, num_layers=2, engine=x86)"
    )
    assert repr(qd.RNNCell(4, 3, nonlinearity="relu", engine="onednn")) == (
        "DynamicQuantizedRNNCell(4, 3, nonlinearity=relu, engine=onednn)"
    )
    with qrnn.engine("qnnpack"):
        assert repr(qd.GRU(4, 3)) == "DynamicQuantizedGRU(4, 3, engine=qnnpack)", "whatever is the engine here and now"
    assert repr(qd.GRUCell(4, 3, reset_after=False)) == "DynamicQuantizedGRUCell(4, 3, reset_after=False)"


@needs_torch
def test_reprs_are_torchs():
    import torch.ao.nn.quantized.dynamic as tqd

    for kwargs in ({}, {"bias": False}, {"nonlinearity": "relu"}, {"bias": False, "nonlinearity": "relu"}):
        assert repr(qd.RNNCell(4, 3, **kwargs)) == repr(tqd.RNNCell(4, 3, **kwargs))
    ours = repr(qd.Linear(4, 3, engine="fbgemm")).replace("qrnn.", "torch.").replace(", engine=fbgemm", "")
    assert ours == repr(tqd.Linear(4, 3))
