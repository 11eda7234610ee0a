"""Bad arguments of constructors, bad weights: each a row with its exception and text."""

from __future__ import annotations

import numpy as np
import pytest
from support import assert_same_bits, needs_torch
from support.errors import zeros
from support.reference import ENGINES

import qrnn
from qrnn import nn
from qrnn.nn.quantized import dynamic as qd

f32 = np.float32


# ---------------------------------------------------------------------------------------------------
# Constructors
# ---------------------------------------------------------------------------------------------------
CELL_ARGUMENTS = [
    ((-1, 3), {}, ValueError, "input_size.*-1"),
    ((4, -3), {}, ValueError, "hidden_size.*-3"),
    ((4.0, 3), {}, TypeError, "input_size.*float"),
    ((4, 2.5), {}, TypeError, "hidden_size.*float"),
    (("4", 3), {}, TypeError, "input_size.*str"),
    ((4, None), {}, TypeError, "hidden_size.*NoneType"),
    ((4,), {}, TypeError, "hidden_size"),
    ((4, 3), {"nonlinearity": "gelu"}, ValueError, "gelu"),
    ((4, 3), {"nonlinearity": None}, ValueError, "nonlinearity"),
    ((4, 3), {"nonlinearity": "Tanh"}, ValueError, "Tanh"),
    ((4, 3), {"isa": "mmx"}, ValueError, "isa.*mmx"),
    ((4, 3), {"isa": 3}, TypeError, "isa"),
    ((4, 3), {"isa": ""}, ValueError, "isa"),
]
QUANTIZED_ARGUMENTS = [
    ((4, 3), {"engine": "fbgem"}, ValueError, "engine.*fbgem"),
    ((4, 3), {"engine": "float32"}, ValueError, "engine.*float32"),
    ((4, 3), {"engine": 3}, TypeError, "engine"),
    ((4, 3), {"dtype": qrnn.quint8}, ValueError, "dtype.*quint8"),
    ((4, 3), {"dtype": np.float16}, ValueError, "float16"),
    ((4, 3), {"dtype": None}, ValueError, "dtype"),
    ((65794, 3), {}, ValueError, "65793"),
]
FLOAT_ARGUMENTS = [
    ((4, 3), {"device": "cuda"}, ValueError, "device.*cuda"),
    ((4, 3), {"dtype": np.float64}, ValueError, "dtype.*float64"),
]


@pytest.mark.parametrize("args, kwargs, kind, text", CELL_ARGUMENTS + FLOAT_ARGUMENTS, ids=str)
def test_bad_arguments_of_float_cells(args, kwargs, kind, text):
    with pytest.raises(kind, match=text):
        nn.RNNCell(*args, **kwargs)


@pytest.mark.parametrize("args, kwargs, kind, text", CELL_ARGUMENTS + QUANTIZED_ARGUMENTS, ids=str)
def test_bad_arguments_of_quantized_cells(args, kwargs, kind, text):
    with pytest.raises(kind, match=text):
        qd.RNNCell(*args, **kwargs)


@pytest.mark.parametrize("cls", [nn.Linear, qd.Linear])
def test_bad_arguments_of_linear(cls):
    for args, kind, text in (
        ((-1, 3), ValueError, "in_features"),
        ((4, -1), ValueError, "out_features"),
        ((4.5, 3), TypeError, "in_features"),
        ((4, "3"), TypeError, "out_features"),
    ):
        with pytest.raises(kind, match=text):
            cls(*args)
    with pytest.raises(ValueError, match="isa"):
        cls(4, 3, isa="sse9")


def test_known_but_unsupported_isa():
    """An instruction set of another CPU is refused, never replaced."""
    from qrnn import _core

    missing = [name for name in _core.known_isas() if name not in qrnn.isas()]
    if not missing:
        pytest.skip("EVERY known instruction set runs on this CPU: none is left to be refused")
    for name in missing:
        with pytest.raises(ValueError, match=name):
            qd.RNNCell(4, 3, isa=name)
        with pytest.raises(ValueError, match=name):
            _core.apply("tanh", zeros(3), name)


@needs_torch
def test_float16_of_torch_is_refused_clearly():
    import torch

    with pytest.raises(ValueError, match="float16"):
        qd.RNNCell(4, 3, dtype=torch.float16)
    assert qd.RNNCell(4, 3, dtype=torch.qint8).weight_dtype is qrnn.qint8


# ---------------------------------------------------------------------------------------------------
# Weights
# ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", ["weight_ih", "weight_hh", "bias_ih", "bias_hh"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_weights_that_are_not_finite(engine, name, bad):
    """Refused by the name of the parameter where they would be quantized; float modules may hold them."""
    cell = nn.RNNCell(4, 3)
    value = np.array(getattr(cell, name))
    value.flat[1] = bad
    setattr(cell, name, value)
    with pytest.raises(ValueError, match=name):
        qd.RNNCell.from_float(cell, engine=engine)


def test_linear_weights_that_are_not_finite():
    for name in ("weight", "bias"):
        layer = nn.Linear(4, 3)
        value = np.array(getattr(layer, name))
        value.flat[1] = np.nan
        setattr(layer, name, value)
        with pytest.raises(ValueError, match=name):
            qd.Linear.from_float(layer)


class Subclass(nn.RNNCell):
    def forward(self, input, hx=None):
        return super().forward(input, hx) * 2


class Plain(nn.RNNCell):
    """Overrides neither forward nor __call__: counts as its base."""


class CallsItself(nn.RNNCell):
    def __call__(self, *args):
        return 0


@pytest.mark.parametrize("mod", [nn.Linear(4, 3), Subclass(4, 3), CallsItself(4, 3), None, 3, nn.RNNCell, "x"], ids=str)
def test_from_float_refuses(mod):
    with pytest.raises(TypeError, match="mod"):
        qd.RNNCell.from_float(mod)


def test_from_float_takes_a_plain_subclass():
    assert type(qd.RNNCell.from_float(Plain(4, 3))) is qd.RNNCell


def test_from_float_refuses_bad_names():
    for kwargs, kind in (
        ({"engine": "no"}, ValueError),
        ({"engine": 1}, TypeError),
        ({"isa": "no"}, ValueError),
    ):
        with pytest.raises(kind, match=next(iter(kwargs))):
            qd.RNNCell.from_float(nn.RNNCell(4, 3), **kwargs)


@pytest.mark.parametrize(
    "observer",
    [
        "MinMaxObserver.with_args(dtype=qrnn.quint8, qscheme=qrnn.per_tensor_symmetric)",
        "MinMaxObserver.with_args(dtype=qrnn.qint8, qscheme=qrnn.per_tensor_affine)",
        "PerChannelMinMaxObserver.with_args(dtype=qrnn.qint8, qscheme=qrnn.per_channel_symmetric, ch_axis=1)",
        "PlaceholderObserver.with_args(dtype=qrnn.qint8)",
        "NoopObserver.with_args(dtype=qrnn.qint8)",
    ],
)
def test_from_float_refuses_weights_the_kernels_cannot_hold(observer):
    q = qrnn.quantization
    names = {
        "qrnn": qrnn,
        "MinMaxObserver": q.MinMaxObserver,
        "PerChannelMinMaxObserver": q.PerChannelMinMaxObserver,
        "PlaceholderObserver": q.PlaceholderObserver,
        "NoopObserver": q.NoopObserver,
    }
    cell = nn.RNNCell(4, 3)
    cell.weight_ih = np.arange(12, dtype=f32).reshape(3, 4)
    cell.qconfig = q.QConfig(activation=q.PlaceholderObserver, weight=eval(observer, names))
    with pytest.raises(ValueError, match="^weight_ih: .*[oO]bserver"):
        qd.RNNCell.from_float(cell)
    with pytest.raises(ValueError, match="^0: weight_ih: .*[oO]bserver"):
        qrnn.quantize_dynamic(nn.Sequential(cell))


BAD_ASSIGNMENTS = [
    ("weight_ih", zeros(4, 3), ValueError),
    ("weight_ih", zeros(12), ValueError),
    ("weight_hh", np.zeros((3, 3), complex), TypeError),
    ("bias_ih", zeros(4), ValueError),
    ("bias_hh", zeros(3, 1), ValueError),
    ("bias_hh", "text", TypeError),
]


@pytest.mark.parametrize("name, value, kind", BAD_ASSIGNMENTS, ids=str)
def test_bad_assignments(name, value, kind):
    cell = nn.RNNCell(4, 3)
    x, before = np.ones((2, 4), f32), cell.state_dict()
    want = cell(x)
    with pytest.raises(kind, match=name):
        setattr(cell, name, value)
    assert_same_bits(cell(x), want)
    for key, array in cell.state_dict().items():
        assert_same_bits(array, before[key])


def test_read_only_weights():
    cell = nn.RNNCell(4, 3)
    with pytest.raises(ValueError, match="read-only"):
        cell.weight_ih[0, 0] = 1
    with pytest.raises(ValueError, match="read-only"):
        qd.RNNCell(4, 3).bias_ih[0] = 1


def test_bias_of_a_cell_without():
    cell = nn.RNNCell(4, 3, bias=False)
    assert cell.bias_ih is None
    with pytest.raises(ValueError, match="bias_ih"):
        cell.bias_ih = zeros(3)


def good_dict(**changes):
    cell = qd.RNNCell(4, 3, engine="fbgemm")
    weights = cell._weight_bias()
    for path, value in changes.items():
        part, name = path.split("__")
        if value is KeyError:
            del weights[part][name]
        else:
            weights[part][name] = value
    return weights


BAD_SETS = {
    "wrong shape": (
        {"weight__weight_ih": qrnn.QTensor(np.zeros((4, 3), np.int8), f32(1))},
        ValueError,
        "weight_ih",
    ),
    "no tensor": ({"weight__weight_hh": zeros(3, 3)}, TypeError, "weight_hh"),
    "bias shape": ({"bias__bias_ih": zeros(4)}, ValueError, "bias_ih"),
    "bias not finite": ({"bias__bias_hh": np.full(3, np.nan, f32)}, ValueError, "bias_hh"),
    "weight missing": ({"weight__weight_ih": KeyError}, KeyError, "weight_ih"),
    "bias missing": ({"bias__bias_hh": KeyError}, KeyError, "bias_hh"),
    "one bias None": ({"bias__bias_hh": None}, ValueError, "bias"),
}


@pytest.mark.parametrize("row", BAD_SETS)
def test_bad_set_weight_bias(row):
    changes, kind, text = BAD_SETS[row]
    cell, x = qd.RNNCell(4, 3, engine="fbgemm"), np.ones((2, 4), f32)
    want = cell(x)
    with pytest.raises(kind, match=text):
        cell.set_weight_bias(good_dict(**changes))
    assert_same_bits(cell(x), want)


@pytest.mark.parametrize(
    "codes, scale, kind, text",
    [
        (np.zeros((2, 2), f32), 1.0, TypeError, "codes"),
        (np.full((2, 2), 128), 1.0, ValueError, "codes"),
        (np.zeros(4, np.int8), 1.0, ValueError, "codes"),
        (np.zeros((2, 2), np.int8), 0.0, ValueError, "scale"),
        (np.zeros((2, 2), np.int8), -1.0, ValueError, "scale"),
        (np.zeros((2, 2), np.int8), np.nan, ValueError, "scale"),
        (np.zeros((2, 2), np.int8), np.inf, ValueError, "scale"),
        (np.zeros((2, 2), np.int8), np.ones(3), ValueError, "scale"),
        (np.zeros((2, 2), np.int8), "text", TypeError, "scale"),
    ],
)
def test_bad_qtensors(codes, scale, kind, text):
    with pytest.raises(kind, match=text):
        qrnn.QTensor(codes, scale)
