"""The quantized recurrent layers of every kind: from_float."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from support import assert_same_bits, assert_same_results, leaves, needs_torch
from support import reference as ref
from support.layers import ALL, CELLS, SEQUENCES, ids, inputs_of, twin
from support.quantized_layers import engine_for, make, mixed
from support.reference import ENGINES

import qrnn
from qrnn import nn
from qrnn import quantization as q
from qrnn.nn.quantized import dynamic as qd

pytestmark = pytest.mark.filterwarnings("error", "ignore:LSTM with projections:UserWarning")  # PyTorch's own


f32 = np.float32
NAMES = (*CELLS, *SEQUENCES)
TENSOR, CHANNEL = q.default_dynamic_qconfig, q.per_channel_dynamic_qconfig


# ---------------------------------------------------------------------------------------------------
# from_float
# ---------------------------------------------------------------------------------------------------
@mixed
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("qconfig", [None, TENSOR, CHANNEL], ids=["none", "tensor", "channel"])
def test_from_float(name, options, engine, qconfig):
    model = getattr(nn, name)(5, 4, **options).eval()
    engine = engine_for(options, engine)
    if name in SEQUENCES:
        model.dropout = 0.5
    model.qconfig = qconfig
    module = getattr(qd, name).from_float(model, engine=engine)
    shown = "" if engine == "qrnn" else f", engine={engine}"
    assert repr(module) == f"DynamicQuantized{model!r}".removesuffix(")") + f"{shown})"
    assert module.engine == engine and module.training is False and not hasattr(module, "qconfig")
    weights, biases = module.get_weight(), module.get_bias()
    assert [*weights] == [key for key in own_order(module) if key.startswith("weight")]
    for key, value in model.state_dict().items():
        if key.startswith("bias"):
            assert_same_bits(biases[key], value)
            assert_same_bits(getattr(module, key), value)
        if not key.startswith("weight"):
            continue
        if qconfig is None and engine in ref.ROW_ENGINES:
            want = ref.weight_qrnn(value)
        else:
            want = ref.weight_torch(value, qconfig is CHANNEL)
        got = weights[key]
        np.testing.assert_array_equal(got.int_repr(), want.codes)
        assert_same_bits(got.q_per_channel_scales() if want.scale.ndim else f32(got.q_scale()), want.scale)
    x, hx = inputs_of(module)
    for got, want in zip(leaves(module(x, hx)), leaves(model(x, hx)), strict=True):
        assert got.shape == want.shape and np.abs(got - want).max() < 0.2


def own_order(module):
    """Names of weights and biases, in the order of state_dict."""
    return [key for key in module.state_dict() if not key.endswith("_scale")]


@needs_torch
@pytest.mark.parametrize("name, options", ALL, ids=ids)
def test_from_float_of_torchs_modules(name, options):
    import torch

    ours = getattr(nn, name)(5, 4, **options)
    theirs = twin(ours, torch).eval()
    if name in SEQUENCES:
        ours.dropout = theirs.dropout = 0.5
    a, b = (getattr(qd, name).from_float(module) for module in (ours, theirs))
    assert repr(a) == repr(b) and b.training is False
    for key, value in a.state_dict().items():
        np.testing.assert_array_equal(b.state_dict()[key], value)
    x, hx = inputs_of(a)
    assert_same_results(a(x, hx), b(x, hx))
    half = getattr(qd, name).from_float(theirs.double())
    assert_same_results(half(x, hx), a(x, hx))


@needs_torch
@pytest.mark.parametrize("qconfig", ["default_dynamic_qconfig", "per_channel_dynamic_qconfig"])
@pytest.mark.parametrize("name", ["LSTMCell", "GRUCell", "LSTM", "GRU"])
def test_weights_are_torch_aos(name, qconfig, quiet):
    """The same codes and scales under the same names, in both directions of the interface."""
    import torch

    options = {"num_layers": 2, "bidirectional": True} if name in SEQUENCES else {}
    model = getattr(torch.nn, name)(5, 4, **options)
    model.qconfig = getattr(torch.ao.quantization, qconfig)
    theirs = getattr(torch.ao.nn.quantized.dynamic, name).from_float(model)
    ours = getattr(qd, name).from_float(model, engine="fbgemm")
    for key, value in theirs.get_weight().items():
        got = ours.get_weight()[key]
        np.testing.assert_array_equal(got.int_repr(), value.int_repr().numpy())
        assert_same_bits(got.dequantize(), value.dequantize().numpy())
    assert set(ours.get_weight()) == set(theirs.get_weight())
    assert set(ours.get_bias()) == set(theirs.get_bias())
    assert {k: set(v) for k, v in ours._weight_bias().items()} == {k: set(v) for k, v in theirs._weight_bias().items()}
    other = make(name, options, engine="fbgemm")
    if name in SEQUENCES:
        other.set_weight_bias({**theirs.get_weight(), **theirs.get_bias()})
    else:
        other.set_weight_bias(theirs._weight_bias())
    x, hx = inputs_of(ours)
    assert_same_results(other(x, hx), ours(x, hx))


@pytest.mark.parametrize("name", NAMES)
def test_from_float_refuses(name):
    cls, float_type = getattr(qd, name), getattr(nn, name)

    class Changed(float_type):
        def forward(self, *args):
            return None

    class Same(float_type):
        pass

    others = [getattr(nn, other)(4, 3) for other in NAMES if other != name]
    for mod in (*others, cls(4, 3), None, Changed(4, 3)):
        with pytest.raises(TypeError, match=rf"mod: {name}\.from_float takes a qrnn\.nn\.{name} or"):
            cls.from_float(mod)
    assert type(cls.from_float(Same(4, 3))) is cls


@pytest.mark.parametrize("engine", ENGINES)
def test_biases_that_are_not_finite(engine):
    for model in (nn.LSTM(4, 3, 2, bidirectional=True), nn.GRUCell(4, 3)):
        for key, value in model.state_dict().items():
            if key.startswith("bias"):
                bad = copy.copy(model)
                setattr(bad, key, np.full(value.shape, np.nan))
                with pytest.raises(ValueError, match=rf"^{key}: .*nan"):
                    getattr(qd, type(model).__name__).from_float(bad, engine=engine)


@pytest.mark.parametrize("name", NAMES)
def test_weights_that_are_not_finite(name):
    model = getattr(nn, name)(4, 3)
    key = next(iter(model.state_dict()))
    value = np.zeros(getattr(model, key).shape)
    value[1, 2] = np.inf
    setattr(model, key, value)
    with pytest.raises(ValueError, match=rf"^{key}: expected finite weights, got inf at \(1, 2\)"):
        getattr(qd, name).from_float(model)
    with pytest.raises(ValueError, match=rf"^lstms\.0: {key}: expected finite"):
        outer = nn.Module()
        outer.lstms = nn.ModuleList([model])
        qrnn.quantize_dynamic(outer)
