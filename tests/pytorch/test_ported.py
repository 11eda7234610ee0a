"""The ideas of PyTorch's own tests of dynamically quantized recurrent modules, on ``qrnn.torch``.

Each test is named after the one in PyTorch whose idea it takes; the code is ours.
"""

from __future__ import annotations

import io

import numpy as np
import pytest
import support
from support import torch_models
from support.torch_models import assert_equal_results, each_engine, flat, torch

import qrnn.torch as qt
from qrnn import _core
from qrnn.torch.nn.quantized import dynamic
from qrnn.torch.quantization import default_dynamic_qconfig, per_channel_dynamic_qconfig

nn = torch.nn
QCONFIGS = pytest.mark.parametrize("qconfig", [default_dynamic_qconfig, per_channel_dynamic_qconfig])


def saved_and_loaded(module, fresh, args):
    """check_eager_serialization: state_dict into a fresh module, and the whole module."""
    want = module(*args)
    for value in (module.state_dict(), module):
        buffer = io.BytesIO()
        torch.save(value, buffer)
        buffer.seek(0)
        loaded = torch.load(buffer, weights_only=value is not module)
        if value is not module:
            fresh.load_state_dict(loaded)
            loaded = fresh
        assert_equal_results(loaded(*args), want)


# test_quantized_module.py: TestDynamicQuantizedModule
@each_engine
@pytest.mark.parametrize(
    "make",
    [
        lambda **k: dynamic.LSTMCell(3, 7, **k),
        lambda **k: dynamic.GRUCell(3, 7, **k),
        lambda **k: dynamic.RNNCell(3, 7, nonlinearity="tanh", **k),
        lambda **k: dynamic.RNNCell(3, 7, nonlinearity="relu", **k),
    ],
)
def test_cell_api(make, engine):
    cell = make(engine=engine)
    x, h = torch.rand(7, 3), torch.rand(7, 7)
    pair = (h, torch.rand(7, 7)) if isinstance(cell, dynamic.LSTMCell) else h
    weights, scales, biases = cell._tensors()
    plain = (weights[0], scales[0], weights[1], scales[1], *biases)
    if isinstance(pair, tuple):
        raw = torch.ops.qrnn.lstm_cell(x, *pair, *plain, engine)
    else:
        raw = torch.ops.qrnn.cell(x, pair, *plain, cell._spec.kind, engine)
    assert_equal_results(cell(x, pair), raw)
    saved_and_loaded(cell, make(engine=engine), (x, pair))
    assert cell.get_weight().keys() == {"weight_ih", "weight_hh"}
    assert cell.get_bias().keys() == {"bias_ih", "bias_hh"}
    assert cell._weight_bias().keys() == {"weight", "bias"}


@each_engine
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("cls", ["LSTM", "GRU"])
def test_lstm_api_and_gru_api(cls, bidirectional, engine):
    def make():
        return getattr(dynamic, cls)(4, 5, 2, bidirectional=bidirectional, engine=engine)

    layer, x = make(), torch.randn(6, 3, 4)
    h = torch.randn(2 * (1 + bidirectional), 3, 5)
    args = (x, (h, torch.randn_like(h)) if cls == "LSTM" else h)
    saved_and_loaded(layer, make(), args)
    suffixes = [f"_l{k}{d}" for k in range(2) for d in ("", "_reverse")[: 1 + bidirectional]]
    assert layer.get_weight().keys() == {f"weight_{m}{s}" for m in ("ih", "hh") for s in suffixes}
    assert layer.get_bias().keys() == {f"bias_{m}{s}" for m in ("ih", "hh") for s in suffixes}


# test_quantized_op.py: TestDynamicQuantizedOps.test_qrnncell, test_qlstmGRU
def lossless(engine, *shape):
    """Values that lie on the grid that the engine takes for them."""
    v = torch.rand(shape) * 2 - 1
    for _ in range(3):
        codes, scale, zero_point = _core.quantize(engine, v.numpy())
        v = torch.from_numpy((codes.astype(np.int32) - zero_point[:, None]).astype(np.float32) * scale[:, None])
    return v


@each_engine
@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("kind", ["RNNCell", "RNNCell-relu", "LSTMCell", "GRUCell"])
def test_qrnncell(kind, per_channel, engine):
    """Inputs and weights on the grid: the quantized cell is the float cell to 1e-5."""
    torch.manual_seed(0)
    for batch, inputs, hidden in ((1, 16, 4), (2, 23, 5), (3, 17, 8), (4, 32, 7)):
        float_cell = {
            "RNNCell": nn.RNNCell,
            "RNNCell-relu": lambda i, h: nn.RNNCell(i, h, nonlinearity="relu"),
            "LSTMCell": nn.LSTMCell,
            "GRUCell": nn.GRUCell,
        }[kind](inputs, hidden)
        qconfig = per_channel_dynamic_qconfig if per_channel else default_dynamic_qconfig
        cell = qt.quantize_dynamic(float_cell, {"": qconfig}, engine=engine)
        with torch.no_grad():
            for name, weight in cell.get_weight().items():
                getattr(float_cell, name).copy_(weight.dequantize())
            x, h = lossless(engine, batch, inputs), lossless(engine, batch, hidden)
            state = (h, torch.rand(batch, hidden)) if kind == "LSTMCell" else h
            assert torch_models.difference(cell(x, state), float_cell(x, state)) < 1e-5


@each_engine
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("cls", ["LSTM", "GRU", "RNN"])
def test_qlstm_gru(cls, bidirectional, engine):
    """The same for layers of one step, where no product feeds another."""
    torch.manual_seed(1)
    layer = getattr(nn, cls)(18, 6, bidirectional=bidirectional)
    new = qt.quantize_dynamic(layer, engine=engine)
    with torch.no_grad():
        for name, weight in new.get_weight().items():
            getattr(layer, name).copy_(weight.dequantize())
        x = lossless(engine, 3, 18)[None]
        h = torch.stack([lossless(engine, 3, 6) for _ in range(1 + bidirectional)])
        state = (h, torch.rand_like(h)) if cls == "LSTM" else h
        assert torch_models.difference(new(x, state), layer(x, state)) < 1e-5


# test_quantize_eager_ptq.py: TestQuantizeEagerPTQDynamic
class OneCell(nn.Module):
    def __init__(self, cell):
        super().__init__()
        self.cell = cell

    def forward(self, x):
        return self.cell(x)


@QCONFIGS
@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")  # of PyTorch's tracer
@pytest.mark.parametrize("cls", ["RNNCell", "LSTMCell", "GRUCell"])
def test_quantized_rnn_cell(cls, qconfig):
    """Weights and inputs whose range is exactly 255: nothing is rounded. Type, repr, qconfig, saving, tracing."""
    model = OneCell(getattr(nn, cls)(2, 2)).eval()
    x = torch.tensor([[100, -155], [-155, 100], [100, -155]], dtype=torch.float32)
    new = qt.quantize_dynamic(model, {getattr(nn, cls): qconfig}, dtype=qt.qint8, engine="qnnpack")
    assert f"DynamicQuantized{cls}" in str(new) and type(new.cell) is getattr(dynamic, cls)
    assert not hasattr(new.cell, "qconfig") and not hasattr(model.cell, "qconfig")
    fresh = qt.quantize_dynamic(OneCell(getattr(nn, cls)(2, 2)), {"cell": qconfig}, engine="qnnpack")
    saved_and_loaded(new, fresh, (x,))
    assert_equal_results(torch.jit.trace(new, x, check_trace=False)(x), new(x))
    program = torch.export.export(new, (x,))
    assert_equal_results(program.module()(x), new(x))


@QCONFIGS
@pytest.mark.parametrize("cls", ["LSTM", "GRU", "RNN"])
def test_quantized_rnn(cls, qconfig):
    """Layers, and a PackedSequence that comes out as one, in the same order."""
    model = OneCell(getattr(nn, cls)(2, 2)).eval()
    new = qt.quantize_dynamic(model, {getattr(nn, cls): qconfig})
    assert type(new.cell) is getattr(dynamic, cls) and f"DynamicQuantized{cls}" in str(new)
    x = torch.tensor([[[100, -155], [-155, 100]], [[-155, 100], [100, -155]]], dtype=torch.float32)
    packed = nn.utils.rnn.pack_padded_sequence(x, torch.tensor([2, 1]))
    output, last = new(packed)
    assert isinstance(output, nn.utils.rnn.PackedSequence)
    assert torch.equal(output.batch_sizes, packed.batch_sizes)
    assert torch_models.difference((output.data, last), (model(packed)[0].data, model(packed)[1])) < 0.05


@pytest.mark.parametrize(
    ("spec", "quantized"),
    [
        ({"fc1"}, {"fc1"}),
        ({nn.Linear}, {"fc1", "fc2"}),
        ({nn.Linear: default_dynamic_qconfig, "fc2": None}, {"fc1"}),
        ({"fc2": per_channel_dynamic_qconfig}, {"fc2"}),
        (None, {"fc1", "fc2"}),
    ],
)
@pytest.mark.parametrize("inplace", [False, True])
def test_single_layer_two_layers_and_type_match_rule(spec, quantized, inplace):
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc1, self.fc2 = nn.Linear(5, 8), nn.Linear(8, 5)

        def forward(self, x):
            return self.fc2(self.fc1(x))

    base = Two()
    keys = base.state_dict().keys()
    new = qt.quantize_dynamic(base, spec, inplace=inplace)
    assert (new is base) == inplace
    assert {n for n, m in new.named_children() if type(m) is dynamic.Linear} == quantized
    if not inplace:
        assert base.state_dict().keys() == keys
    assert new(torch.zeros(2, 5)).shape == (2, 5)


def test_per_channel_linear_quantize():
    """An outlier row costs the others nothing, per channel."""
    layer = nn.Linear(8, 4)
    with torch.no_grad():
        layer.weight[0] *= 1000
    x = torch.randn(5, 8)
    error = {}
    for name, qconfig in (("tensor", default_dynamic_qconfig), ("channel", per_channel_dynamic_qconfig)):
        new = qt.quantize_dynamic(layer, {"": qconfig}, engine="fbgemm")
        error[name] = float((new(x) - layer(x).detach())[:, 1:].abs().max())
    assert error["channel"] < error["tensor"] / 5


# test_nn.py: test_RNN_cell, test_RNN_cell_no_broadcasting; common_modules.py: module_error_inputs
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("cls", ["RNNCell", "GRUCell", "LSTMCell"])
def test_rnn_cell(cls, bias):
    cell, state = getattr(dynamic, cls)(10, 20, bias=bias), None
    for _ in range(6):
        state = cell(torch.randn(3, 10), state)
    assert all(each.shape == (3, 20) and bool(torch.isfinite(each).all()) for each in flat(state))


@pytest.mark.parametrize("cls", ["RNNCell", "GRUCell", "LSTMCell"])
@pytest.mark.parametrize(
    ("x", "h", "text"),
    [
        ((3, 11), (3, 20), "input has inconsistent input_size: got 11, expected 10"),
        ((3, 10), (3, 21), "hidden.* has inconsistent hidden_size: got 21, expected 20"),
        ((3, 10), (5, 20), "Input batch size 3 doesn't match hidden.* batch size 5"),
        ((3, 10), (1, 20), "Input batch size 3 doesn't match hidden.* batch size 1"),
        ((3, 10), (3, 1), "hidden.* has inconsistent hidden_size: got 1, expected 20"),
        ((3, 1), (3, 20), "input has inconsistent input_size: got 1, expected 10"),
    ],
)
def test_rnn_cell_no_broadcasting(cls, x, h, text):
    cell = getattr(dynamic, cls)(10, 20)
    state = torch.zeros(h)
    with pytest.raises(RuntimeError, match=text):
        cell(torch.zeros(x), (state, state) if cls == "LSTMCell" else state)


@pytest.mark.parametrize("cls", ["RNNCell", "GRUCell"])
def test_rnn_cell_rank_errors(cls):
    cell = getattr(dynamic, cls)(10, 20)
    with pytest.raises(ValueError, match="Expected input to be 1D or 2D, got 4D instead"):
        cell(torch.zeros(3, 1, 1, 10))
    with pytest.raises(ValueError, match="Expected hidden to be 1D or 2D, got 4D instead"):
        cell(torch.zeros(3, 10), torch.zeros(5, 1, 1, 20))


# test_deprecated_jit_quant.py: test_rnn_cell_quantized
@pytest.mark.parametrize("cls", ["RNNCell", "LSTMCell", "GRUCell"])
@pytest.mark.parametrize("engine", ["qnnpack"])
def test_rnn_cell_quantized(cls, engine):
    """Codes given by hand, inputs of a range of exactly 255: integers come out, so quantized == float."""
    cell, gates = getattr(nn, cls)(2, 2), {"RNNCell": 1, "LSTMCell": 4, "GRUCell": 3}[cls]
    codes = torch.tensor([[100, -115], [-115, 100]] * gates, dtype=torch.int8)
    new = getattr(dynamic, cls)(2, 2, engine=engine)
    scale = torch.tensor(1.0)
    weights = {name: qt.QTensor(codes, scale) for name in ("weight_ih", "weight_hh")}
    biases = {name: torch.arange(2.0 * gates) for name in ("bias_ih", "bias_hh")}
    new.set_weight_bias({"weight": weights, "bias": biases})
    with torch.no_grad():
        for name in ("weight_ih", "weight_hh"):
            getattr(cell, name).copy_(codes)
        for name, bias in biases.items():
            getattr(cell, name).copy_(bias)
        x = torch.tensor([[100.0, -155], [-155, 100], [100, -155]])
        h = torch.tensor([[-155.0, 100], [-155, 100], [100, -155]])
        state = (h, x) if cls == "LSTMCell" else h
        assert torch_models.difference(new(x, state), cell(x, state)) < 1e-5


def test_reference_quantized_rnn_cell():
    """TestReferenceQuantizedModule: the float cell with quantized-dequantized weights, to the error of x and h."""
    torch.manual_seed(2)
    cell = nn.GRUCell(6, 6)
    new = qt.quantize_dynamic(cell)
    with torch.no_grad():
        for name, weight in new.get_weight().items():
            getattr(cell, name).copy_(weight.dequantize())
        x, h = torch.randn(4, 6), torch.randn(4, 6)
        assert torch_models.difference(new(x, h), cell(x, h)) < 0.02


def test_rows_that_torch_never_tested():
    """bias=False, 1-D inputs, empty batches, NaN, strides: see also test_torch_layers.py."""
    cell = qt.quantize_dynamic(nn.RNNCell(4, 3, bias=False))
    assert cell(torch.randn(4)).shape == (3,) and cell(torch.zeros(0, 4)).shape == (0, 3)
    x = torch.randn(2, 4)
    x[1, 2] = torch.nan
    y = cell(x)
    assert bool(torch.isfinite(y[0]).all()) and bool(torch.isnan(y[1]).all())
    support.assert_same_bits(y[:1].numpy(), cell(x[:1]).numpy())
