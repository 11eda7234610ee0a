"""qrnn.nn.quantized.dynamic: PyTorch's interface of the quantized modules, QTensor, saving and copying."""

from __future__ import annotations

import copy
import inspect
import io
import pickle

import numpy as np
import pytest
import reference as ref
import support
from support import assert_same_bits, needs_torch, random_rows

import qrnn
from qrnn import nn
from qrnn.nn.quantized import dynamic as qd

f32 = np.float32
ENGINES = ("qrnn", "fbgemm", "x86", "qnnpack", "onednn")
PER_CHANNEL = qrnn.quantization.per_channel_dynamic_qconfig
PER_TENSOR = qrnn.quantization.default_dynamic_qconfig

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning:torch")


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


def inputs_of(cell, batch=4, seed=90):
    rng = np.random.default_rng(seed)
    return random_rows(rng, batch, cell.input_size), random_rows(rng, batch, cell.hidden_size)


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
    assert (cell.engine == engine and cell.isa == qrnn.isas()[-1]) or "QRNN_ISA" in support.os.environ
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
            assert scheme is (qrnn.per_channel_affine if engine == "qrnn" else qrnn.per_tensor_affine)


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
            if qconfig is None and engine == "qrnn":
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
        "DynamicQuantizedLinear(in_features=4, out_features=3, dtype=qrnn.qint8, qscheme=qrnn.per_tensor_affine)"
    )


@needs_torch
def test_reprs_are_torchs():
    import torch.ao.nn.quantized.dynamic as tqd

    for kwargs in ({}, {"bias": False}, {"nonlinearity": "relu"}, {"bias": False, "nonlinearity": "relu"}):
        assert repr(qd.RNNCell(4, 3, **kwargs)) == repr(tqd.RNNCell(4, 3, **kwargs))
    ours = repr(qd.Linear(4, 3, engine="fbgemm")).replace("qrnn.", "torch.")
    assert ours == repr(tqd.Linear(4, 3))


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


# ---------------------------------------------------------------------------------------------------
# Saving and copying
# ---------------------------------------------------------------------------------------------------
def variants():
    for engine in ENGINES:
        for qconfig in (PER_TENSOR, PER_CHANNEL):
            for bias in (True, False):
                cell = nn.RNNCell(9, 6, bias=bias, nonlinearity="relu" if bias else "tanh")
                cell.qconfig = qconfig
                yield qd.RNNCell.from_float(cell, engine=engine)


def test_state_dict_is_plain():
    cell = qd.RNNCell(4, 3)
    state = cell.state_dict()
    assert {k: (v.dtype.name, v.shape) for k, v in state.items()} == {
        "weight_ih": ("int8", (3, 4)),
        "weight_ih_scale": ("float32", (3,)),
        "weight_hh": ("int8", (3, 3)),
        "weight_hh_scale": ("float32", (3,)),
        "bias_ih": ("float32", (3,)),
        "bias_hh": ("float32", (3,)),
    }
    assert qd.RNNCell(4, 3, engine="fbgemm").state_dict()["weight_ih_scale"].shape == ()
    assert set(qd.Linear(4, 3).state_dict()) == {"weight", "weight_scale", "bias"}
    state["weight_ih"][:] = 0
    assert (cell.state_dict()["weight_ih"] != 0).any()


def test_state_dict_through_npz():
    """Also from per tensor to a module that was per channel and back: the scale's shape comes along."""
    for cell in variants():
        x, h = inputs_of(cell)
        file = io.BytesIO()
        np.savez(file, **cell.state_dict())
        file.seek(0)
        for engine in {cell.engine, "qrnn"}:
            new = qd.RNNCell(9, 6, cell.bias, cell.nonlinearity, engine=engine)
            with np.load(file) as stored:
                new.load_state_dict(stored)
            file.seek(0)
            for name, value in cell.state_dict().items():
                got = new.state_dict()[name]
                assert got.dtype == value.dtype and got.shape == value.shape
                np.testing.assert_array_equal(got, value)
            if engine == cell.engine:
                assert_same_bits(new(x, h), cell(x, h))


def test_one_row_keeps_the_scales_shape():
    """With one output row per tensor and per channel are one number, but not one shape."""
    for shape in ((), (1,)):
        cell = qd.RNNCell(4, 1)
        state = cell.state_dict()
        state["weight_ih_scale"] = np.full(shape, 0.5, f32)
        cell.load_state_dict(state)
        assert cell.state_dict()["weight_ih_scale"].shape == shape
        for new in (copy.deepcopy(cell), pickle.loads(pickle.dumps(cell)), copy.copy(cell)):
            assert new.state_dict()["weight_ih_scale"].shape == shape


@pytest.mark.parametrize(
    "duplicate",
    [
        copy.copy,
        copy.deepcopy,
        lambda m: pickle.loads(pickle.dumps(m)),
        lambda m: pickle.loads(pickle.dumps(m, 2)),
    ],
)
def test_copies_have_the_same_bits(duplicate):
    for cell in variants():
        cell.eval()
        cell.note = ["kept"]
        new = duplicate(cell)
        x, h = inputs_of(cell)
        assert_same_bits(new(x, h), cell(x, h))
        assert new.engine == cell.engine and new.training is False and new.note == ["kept"]
        assert repr(new) == repr(cell)


def test_pickle_keeps_no_instruction_set():
    """A pickle may travel to another CPU."""
    scalar = qd.RNNCell(4, 3, isa="scalar")
    text = pickle.dumps(scalar)
    assert b"scalar" not in text
    new = pickle.loads(text)
    assert new.isa == qd.RNNCell(4, 3).isa
    x, h = inputs_of(scalar)
    assert_same_bits(new(x, h), scalar(x, h))


def test_copies_share_what_is_packed_but_not_what_comes_later():
    cell = qd.RNNCell(4, 3)
    new = copy.deepcopy(cell)
    x, h = inputs_of(cell)
    want = cell(x, h)
    cell.bias_ih = np.full(3, 9, f32)
    assert_same_bits(new(x, h), want)
    assert not support.same_bits(cell(x, h), want)


@needs_torch
def test_state_dict_takes_torch_values():
    import torch

    cell, new = qd.RNNCell(4, 3), qd.RNNCell(4, 3)
    new.load_state_dict({k: torch.from_numpy(v) for k, v in cell.state_dict().items()})
    x, h = inputs_of(cell)
    assert_same_bits(new(x, h), cell(x, h))


# ---------------------------------------------------------------------------------------------------
# Single torch.nn modules
# ---------------------------------------------------------------------------------------------------
@needs_torch
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
def test_from_float_of_torch_modules(engine, dtype):
    """As from the qrnn.nn module with the same weights."""
    import torch

    dtype = getattr(torch, dtype)
    for bias in (True, False):
        theirs = torch.nn.RNNCell(6, 5, bias=bias, nonlinearity="relu").to(dtype).eval()
        ours = nn.RNNCell(6, 5, bias=bias, nonlinearity="relu")
        ours.load_state_dict(theirs.state_dict())
        a, b = qd.RNNCell.from_float(theirs, engine=engine), qd.RNNCell.from_float(ours, engine=engine)
        assert repr(a) == repr(b) and a.training is False
        x, h = inputs_of(a)
        assert_same_bits(a(x, h), b(x, h))
    linear = torch.nn.Linear(6, 5).to(dtype)
    ours = nn.Linear(6, 5)
    ours.load_state_dict(linear.state_dict())
    x = np.ones((2, 6), f32)
    assert_same_bits(qd.Linear.from_float(linear, engine=engine)(x), qd.Linear.from_float(ours, engine=engine)(x))


@needs_torch
def test_from_float_of_other_torch_modules():
    import torch

    class Plain(torch.nn.RNNCell):
        pass

    class Own(torch.nn.RNNCell):
        def forward(self, *args):
            return super().forward(*args)

    assert type(qd.RNNCell.from_float(Plain(4, 3))) is qd.RNNCell
    for bad in (
        Own(4, 3),
        torch.nn.LSTMCell(4, 3),
        torch.nn.Linear(4, 3),
        torch.nn.Sequential(torch.nn.RNNCell(4, 3)),
    ):
        with pytest.raises(TypeError, match="mod"):
            qd.RNNCell.from_float(bad)
    cell = torch.nn.RNNCell(4, 3)
    with torch.no_grad():
        cell.weight_hh[0, 0] = float("nan")
    with pytest.raises(ValueError, match="weight_hh"):
        qd.RNNCell.from_float(cell)


@needs_torch
def test_from_float_with_torchs_qconfigs():
    """torch.ao's own QConfigs and observers: its codes and scales."""
    import torch
    import torch.ao.quantization as tq

    for qconfig, per_channel in ((tq.default_dynamic_qconfig, False), (tq.per_channel_dynamic_qconfig, True)):
        cell = torch.nn.RNNCell(6, 5)
        cell.qconfig = qconfig
        for engine in ENGINES:
            got = qd.RNNCell.from_float(cell, engine=engine).get_weight()["weight_ih"]
            want = ref.weight_torch(cell.weight_ih.detach().numpy(), per_channel)
            np.testing.assert_array_equal(got.int_repr(), want.codes)


@needs_torch
def test_from_float_does_not_alias_torchs_parameters():
    """PyTorch's onednn does: editing the float bias there changes the quantized module."""
    import torch

    cell = torch.nn.RNNCell(4, 3)
    q = qd.RNNCell.from_float(cell, engine="onednn")
    x, h = inputs_of(q)
    want = q(x, h)
    with torch.no_grad():
        cell.bias_ih.add_(100)
        cell.weight_ih.zero_()
    assert_same_bits(q(x, h), want)


# ---------------------------------------------------------------------------------------------------
# Ideas of PyTorch's own tests
# ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("per_channel", [False, True])
def test_inputs_on_the_grid_are_lossless(engine, per_channel):
    """Inputs that already lie on the activation's grid: the cell equals the float cell of its weights."""
    rng = np.random.default_rng(92)
    for batch, inputs, hidden, nonlinearity in ((1, 16, 4, "relu"), (4, 32, 8, "tanh"), (3, 20, 5, "relu")):
        cell = support.random_cell(rng, engine, nonlinearity, inputs, hidden, per_channel=per_channel)
        grid = []
        for n in (inputs, hidden):
            act = ref.activation(engine, random_rows(rng, batch, n))
            v = (act.codes.astype(f32) - act.zero_point[:, None]) * act.scale[:, None]
            grid.append(v)
        got = support.pack(cell)(*grid)
        want = ref.cell_float64(
            nonlinearity, *grid, cell.ih.dequantize(), cell.hh.dequantize(), cell.bias_ih, cell.bias_hh
        )
        np.testing.assert_allclose(got, want, atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize("engine", ENGINES)
def test_ranges_of_exactly_255(engine):
    """Weights and inputs between -155 and 100: nothing is rounded with 8 bits, and nearly nothing with 7.

    Powers of two make scales exact, so the quantized cell must give the float cell's values.
    """
    cell = nn.RNNCell(2, 2, nonlinearity="relu")
    cell.weight_ih = np.array([[127, -64], [-32, 127]], f32) / 128
    cell.weight_hh = np.array([[127, 1], [2, -127]], f32) / 128
    cell.bias_ih, cell.bias_hh = [0.5, -0.5], [0.25, 0.125]
    q = qd.RNNCell.from_float(cell, engine=engine)
    x = np.array([[100, -155], [-155, 100], [100, -155]], f32)
    tolerance = {"qrnn": 1e-3, "qnnpack": 1.5}.get(engine, 3)
    np.testing.assert_allclose(q(x), cell(x), atol=tolerance)


def test_sequential_calls_do_not_remember():
    """State belongs to the caller: the same call gives the same bits, whatever came between."""
    cell = qd.RNNCell(5, 4)
    x, h = inputs_of(cell)
    want = cell(x, h)
    for batch in (1, 70, 3):
        cell(*inputs_of(cell, batch, batch))
    assert_same_bits(cell(x, h), want)
