"""Bad calls and bad arguments: each a row with its exception and text, and nothing changed afterwards."""

from __future__ import annotations

import re

import numpy as np
import pytest
from support import assert_same_bits, needs_torch

import qrnn
from qrnn import nn
from qrnn.nn.quantized import dynamic as qd

f32 = np.float32
ENGINES = ("qrnn", "fbgemm", "x86", "qnnpack", "onednn")


def zeros(*shape):
    return np.zeros(shape, f32)


def make_cell(engine):
    """RNNCell(4, 3), float or quantized."""
    return nn.RNNCell(4, 3) if engine == "float32" else qd.RNNCell(4, 3, engine=engine)


def make_linear(engine):
    return nn.Linear(4, 3) if engine == "float32" else qd.Linear(4, 3, engine=engine)


def refused(call, kind, text):
    """Check that `call` raises exactly `kind`, with `text`: a str is all of it, a pattern is searched for."""
    with pytest.raises(kind) as caught:
        call()
    assert type(caught.value) is kind, f"{type(caught.value).__name__}: {caught.value}"
    message = str(caught.value.args[0]) if caught.value.args else ""
    if isinstance(text, str):
        assert message == text
    else:
        assert text.search(message), f"{message!r} lacks {text.pattern!r}"


# ---------------------------------------------------------------------------------------------------
# Calls
# ---------------------------------------------------------------------------------------------------
INPUT, HX = re.compile(r"\binput\b"), re.compile(r"\bhx\b")

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


# ---------------------------------------------------------------------------------------------------
# Constructors
# ---------------------------------------------------------------------------------------------------
CELL_ARGUMENTS = [
    ((-1, 3), {}, ValueError, "input_size.*-1"),
    ((4, 0), {}, ValueError, "hidden_size.*0"),
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
        ((4, 0), ValueError, "out_features"),
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


# ---------------------------------------------------------------------------------------------------
# load_state_dict
# ---------------------------------------------------------------------------------------------------
class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.cell = qd.RNNCell(4, 3)
        self.readout = nn.Linear(3, 2)

    def forward(self, x):
        return self.readout(self.cell(x))


BAD_STATES = {
    "missing": ({"cell.bias_ih": None}, ["cell.bias_ih", "Missing"]),
    "unexpected": ({"other": zeros(2)}, ["other", "Unexpected"]),
    "shape": ({"readout.weight": zeros(3, 3)}, ["readout.weight", "(3, 3)", "(2, 3)"]),
    "all at once": (
        {
            "cell.bias_hh": None,
            "other": zeros(2),
            "readout.bias": zeros(3),
            "cell.weight_ih": np.zeros((1, 1), np.int8),
        },
        ["cell.bias_hh", "other", "readout.bias", "cell.weight_ih"],
    ),
    "scale NaN": ({"cell.weight_ih_scale": np.full(3, np.nan, f32)}, ["cell.weight_ih_scale"]),
    "scale 0": ({"cell.weight_hh_scale": np.zeros(3, f32)}, ["cell.weight_hh_scale"]),
    "scale negative": ({"cell.weight_hh_scale": np.full((), -1, f32)}, ["cell.weight_hh_scale"]),
    "scale infinite": ({"cell.weight_hh_scale": np.full(3, np.inf, f32)}, ["cell.weight_hh_scale"]),
    "scale shape": ({"cell.weight_hh_scale": np.ones(4, f32)}, ["cell.weight_hh_scale"]),
    "codes too large": ({"cell.weight_ih": np.full((3, 4), 200)}, ["cell.weight_ih"]),
    "codes float": ({"cell.weight_ih": zeros(3, 4)}, ["cell.weight_ih"]),
    "bias NaN": ({"cell.bias_ih": np.full(3, np.nan, f32)}, ["bias_ih"]),
    "complex": ({"readout.bias": np.zeros(2, complex)}, ["readout.bias"]),
}


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("row", BAD_STATES)
def test_bad_states_change_nothing(row, strict):
    """The first layer's new values are good, a later one's are not: neither is taken over."""
    changes, words = BAD_STATES[row]
    model, x = Model(), np.ones((2, 4), f32)
    state = Model().state_dict()
    for key, value in changes.items():
        state[key] = value
        if value is None:
            del state[key]
    want = model(x)
    if not strict and row in ("missing", "unexpected"):
        result = model.load_state_dict(state, strict=False)
        assert words[0] in result.missing_keys + result.unexpected_keys
        return
    with pytest.raises(RuntimeError) as caught:
        model.load_state_dict(state, strict=strict)
    if strict or row != "all at once":
        for word in words:
            assert word in str(caught.value)
    assert_same_bits(model(x), want)


def test_load_state_dict_takes_mappings_only():
    for value in (None, [("a", 1)], 3):
        with pytest.raises(TypeError, match="state_dict"):
            Model().load_state_dict(value)


# ---------------------------------------------------------------------------------------------------
# Settings
# ---------------------------------------------------------------------------------------------------
def test_bad_engine_settings():
    before = qrnn.backends.quantized.engine
    with pytest.raises(ValueError, match="nope"):
        qrnn.backends.quantized.engine = "nope"
    with pytest.raises(TypeError, match="engine"):
        qrnn.backends.quantized.engine = 3
    with pytest.raises(ValueError, match="nope"):
        qrnn.engine("nope")
    with pytest.raises(TypeError):
        qrnn.engine(None)
    assert qrnn.backends.quantized.engine == before


@pytest.mark.parametrize("seed", [-1, "text", 1.5])
def test_bad_seeds(seed):
    with pytest.raises((TypeError, ValueError)):
        qrnn.manual_seed(seed)


# ---------------------------------------------------------------------------------------------------
# Torch tensors
# ---------------------------------------------------------------------------------------------------
@needs_torch
@pytest.mark.filterwarnings("ignore")
def test_tensors_that_are_refused():
    import torch

    cell, x = make_cell("qrnn"), torch.zeros(2, 4)
    want = cell(x)
    for bad in (
        torch.zeros(2, 4, device="meta"),
        torch.zeros(2, 4, dtype=torch.complex64),
        torch.zeros(2, 4, dtype=torch.complex32),  # which NumPy lacks, as bfloat16
        torch.quantize_per_tensor(x, 0.1, 0, torch.qint8),
        x.to_sparse(),
    ):
        refused(lambda bad=bad: cell(bad), TypeError, INPUT)
        refused(lambda bad=bad: cell(x, bad), TypeError, HX)
    refused(lambda: cell(torch.zeros(2, 5)), RuntimeError, "input has inconsistent input_size: got 5, expected 4")
    assert torch.equal(cell(x), want)
