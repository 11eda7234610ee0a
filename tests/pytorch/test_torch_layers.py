"""The layers of qrnn.torch: calls, constructors, sequences."""

from __future__ import annotations

import numpy as np
import pytest
from support import torch_models
from support.torch_layers import numpy_module, quantized
from support.torch_models import (
    H,
    I,
    assert_equal_results,
    each_cell,
    each_kind,
    each_kind_and_engine,
    each_layer,
    each_layer_and_engine,
    flat,
    inputs,
    make,
    torch,
)

import qrnn
import qrnn.torch as qt
from qrnn.torch.nn.quantized import dynamic

f32 = np.float32


# ---------------------------------------------------------------------------------------------------
# Calls
# ---------------------------------------------------------------------------------------------------
@each_kind_and_engine
@pytest.mark.parametrize("bias", [True, False])
def test_it_computes_what_the_core_computes(kind, engine, bias):
    module, numpy_side = quantized(kind, engine, bias=bias), numpy_module(kind, engine, bias=bias)
    x, *state = inputs(kind)
    plain = [each.numpy() if torch.is_tensor(each) else tuple(t.numpy() for t in each) for each in state]
    want = numpy_side(x.numpy(), *plain)
    got = module(x, *state)
    assert all(type(each) is torch.Tensor for each in flat(got))
    assert_equal_results(got, torch_of(want))
    assert_equal_results(module(x), torch_of(numpy_side(x.numpy())))


def torch_of(result):
    return tuple(map(torch_of, result)) if isinstance(result, tuple) else torch.from_numpy(result)


@each_kind
def test_gradients_are_off(kind):
    module = quantized(kind)
    args = [
        each.requires_grad_() if torch.is_tensor(each) else tuple(t.requires_grad_() for t in each)
        for each in inputs(kind)
    ]
    got = flat(module(*args))
    assert not any(tensor.requires_grad for tensor in got)
    with torch.no_grad():
        assert_equal_results(got, module(*args))
    assert not list(module.parameters())


def test_tensors_go_in_without_copying():
    from qrnn.torch._calls import array_of

    x = torch.randn(3, 4)
    assert np.shares_memory(array_of(x, "x"), x.numpy())
    assert np.shares_memory(array_of(x.requires_grad_(), "x"), x.detach().numpy())
    assert array_of(x[:, ::2], "x").strides == (16, 8)


@pytest.mark.parametrize("convert", [torch.Tensor.double, torch.Tensor.half, torch.Tensor.bfloat16])
def test_other_float_types(convert):
    cell = quantized("RNNCell")
    x, h = inputs("RNNCell")
    got = cell(convert(x), convert(h))
    assert got.dtype == convert(x).dtype
    assert torch.equal(got, convert(cell(convert(x).float(), convert(h).float())))


def test_strided_and_transposed_inputs():
    cell = quantized("RNNCell")
    x, h = torch.randn(I, 6).T, torch.randn(6, 2 * H)[:, ::2]
    assert_equal_results(cell(x, h), cell(x.contiguous(), h.contiguous()))


@each_cell
def test_unbatched_and_empty(kind):
    cell = quantized(kind)
    x, state = inputs(kind, batch=1)
    one = tuple(each[0] for each in state) if isinstance(state, tuple) else state[0]
    for got, want in zip(flat(cell(x[0], one)), flat(cell(x, state)), strict=True):
        assert got.shape == (H,)
        assert torch.equal(got, want[0])
    assert all(each.shape == (0, H) for each in flat(cell(torch.zeros(0, I))))


@pytest.mark.parametrize(
    ("args", "error", "text"),
    [
        ((np.zeros((2, I), f32),), TypeError, "input: expected a torch.Tensor, got ndarray"),
        (([[0.0] * I],), TypeError, "input: expected a torch.Tensor, got list"),
        ((None,), TypeError, "input: expected a torch.Tensor, got None"),
        ((torch.zeros(2, I, dtype=torch.complex64),), TypeError, "input: expected an array of real numbers"),
        ((torch.zeros(2, I + 1),), RuntimeError, "input has inconsistent input_size: got 6, expected 5"),
        ((torch.zeros(2, I), torch.zeros(3, H)), RuntimeError, "Input batch size 2 doesn't match hidden"),
        ((torch.zeros(2, I), np.zeros((2, H), f32)), TypeError, "hx: expected a torch.Tensor, got ndarray"),
        ((torch.zeros(2, 2, I),), ValueError, "RNNCell: Expected input to be 1D or 2D, got 3D instead"),
        ((), TypeError, "missing 1 required positional argument: 'input'"),
    ],
)
def test_bad_calls(args, error, text):
    cell = dynamic.RNNCell(I, H)
    with pytest.raises(error) as caught:
        cell(*args)
    assert text.replace("RNNCell:", "") in str(caught.value)


def test_torch_engines_refuse_what_is_not_finite():
    cell = dynamic.RNNCell(I, H, engine="fbgemm")
    with pytest.raises(ValueError, match="input"):
        cell(torch.full((2, I), torch.nan))
    assert torch.isnan(dynamic.RNNCell(I, H)(torch.full((1, I), torch.nan))).all()


@pytest.mark.parametrize(
    ("cls", "args"),
    [
        ("RNNCell", {}),
        ("RNNCell", {"nonlinearity": "relu"}),
        ("RNNCell", {"bias": False}),
        ("LSTMCell", {}),
        ("GRUCell", {"bias": False}),
        ("LSTM", {"num_layers": 2, "bidirectional": True}),
        ("GRU", {"batch_first": True}),
    ],
)
def test_repr_is_torchs(cls, args):
    import torch.ao.nn.quantized.dynamic as theirs

    want = repr(torch_models.torch_ao(getattr(theirs, cls), I, H, **args))
    assert repr(getattr(dynamic, cls)(I, H, **args)) == want


@each_layer
def test_what_models_ask_of_a_layer(kind):
    mod, module = make(kind), quantized(kind)
    assert module.mode == mod.mode
    assert module.dtype == numpy_module(kind).dtype == qrnn.qint8
    assert module.flatten_parameters() is None


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: dynamic.RNNCell(-1, 3), ValueError, "input_size: expected at least 0, got -1"),
        (lambda: dynamic.RNNCell(4, -1), ValueError, "hidden_size"),
        (lambda: dynamic.RNNCell(4.0, 3), TypeError, "input_size: expected an integer, got float"),
        (lambda: dynamic.RNNCell(4, 3, nonlinearity="gelu"), ValueError, "Unknown nonlinearity: gelu"),
        (lambda: dynamic.RNNCell(4, 3, dtype=torch.float16), ValueError, "float16"),
        (lambda: dynamic.RNNCell(4, 3, engine="mkl"), ValueError, "engine: expected one of"),
        (lambda: dynamic.RNNCell(4, 3, isa="sse"), ValueError, "isa: expected one of"),
        (lambda: dynamic.Linear(4, -1), ValueError, "out_features"),
        (lambda: dynamic.LSTM(0, 3), ValueError, "input_size"),
        (lambda: dynamic.LSTM(4, 3, dropout=2), ValueError, "dropout should be a number in range"),
        (lambda: dynamic.LSTM(4, 3, proj_size=3), ValueError, "proj_size has to be smaller"),
        (lambda: dynamic.RNNCell.from_float(torch.nn.GRUCell(4, 3)), TypeError, "takes a torch.nn.RNNCell"),
    ],
)
def test_bad_constructors(call, error, text):
    with pytest.raises(error) as caught:
        call()
    assert text in str(caught.value)


@pytest.mark.parametrize(
    ("name", "keywords"),
    [
        ("LSTM", {"batch_first": "no"}),
        ("GRU", {"bias": 1}),
        ("RNN", {"num_layers": 1.0}),
        ("RNN", {"num_layers": 0}),
        ("RNN", {"nonlinearity": "gelu"}),
        ("LSTM", {"dropout": True}),
        ("LSTM", {"dropout": "0"}),
        ("LSTM", {"proj_size": -1}),
        ("LSTM", {"proj_size": 3}),
        ("GRU", {"proj_size": 2}),
        ("RNN", {"proj_size": 2}),
    ],
)
def test_bad_layers_are_refused_as_on_the_numpy_side(name, keywords):
    said = []
    for cls in (getattr(dynamic, name), getattr(qrnn, name)):
        with pytest.raises((TypeError, ValueError)) as caught:
            cls(4, 3, **keywords)
        said.append((caught.type, str(caught.value)))
    assert said[0] == said[1]


def test_numbers_of_numpy_are_numbers():
    layer = dynamic.LSTM(np.int64(4), np.int32(3), 2, dropout=f32(0.5), proj_size=np.int8(2))
    assert repr(layer) == "DynamicQuantizedLSTM(4, 3, proj_size=2, num_layers=2, dropout=0.5)"
    assert all(type(n) is int for n in (layer.input_size, layer.hidden_size, layer.num_layers, layer.proj_size))


@pytest.mark.parametrize("name", ["RNN", "LSTM", "GRU"])
def test_dropout_of_one_layer_warns_as_in_torch(name):
    with pytest.warns(UserWarning, match="dropout option adds dropout") as caught:
        getattr(dynamic, name)(4, 3, dropout=0.5)
    assert caught[0].filename == __file__


def test_new_weights_come_from_torchs_generator():
    torch.manual_seed(3)
    first = dynamic.GRUCell(4, 3)
    torch.manual_seed(3)
    second = dynamic.GRUCell(4, 3)
    x = torch.randn(2, 4)
    assert torch.equal(first(x), second(x))
    biggest = max(float(q.dequantize().abs().max()) for q in first.get_weight().values())
    assert 0 < biggest <= 3**-0.5 + 1e-6


# ---------------------------------------------------------------------------------------------------
# Sequences
# ---------------------------------------------------------------------------------------------------
@each_layer_and_engine
@pytest.mark.parametrize("ordered", [True, False])
def test_packed_sequences(kind, engine, ordered):
    """A PackedSequence gives what lengths= gives, in the order of the sequences that were packed."""
    layer, (x, state) = quantized(kind, engine), inputs(kind, batch=4, time=6)
    lengths = torch.tensor([6, 4, 3, 1] if ordered else [3, 6, 1, 4])
    first = layer.batch_first
    packed = torch.nn.utils.rnn.pack_padded_sequence(x, lengths, first, enforce_sorted=ordered)
    for hx in (None, state):
        output, last = layer(packed, hx)
        want, want_last = layer(x, hx, lengths=lengths)
        assert isinstance(output, torch.nn.utils.rnn.PackedSequence)
        got, got_lengths = torch.nn.utils.rnn.pad_packed_sequence(output, first)
        assert got_lengths.tolist() == lengths.tolist()
        assert_equal_results((got, last), (want, want_last))
        assert_equal_results(layer(x, hx, lengths=lengths.tolist()), (want, want_last))


@each_layer
def test_engine_qrnn_takes_each_row_by_itself(kind):
    """A row of a packed batch is that row alone."""
    layer, (x, _) = quantized(kind), inputs(kind, batch=3, time=5)
    output, _ = layer(x, lengths=[5, 2, 3])
    for row, steps in enumerate((5, 2, 3)):
        if layer.batch_first:
            alone, _ = layer(x[row : row + 1, :steps])
            assert_equal_results(output[row, :steps], alone[0])
        else:
            alone, _ = layer(x[:steps, row : row + 1])
            assert_equal_results(output[:steps, row], alone[:, 0])


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
def test_projections():
    torch.manual_seed(0)
    mod = torch.nn.LSTM(I, H, 2, proj_size=3, bidirectional=True)
    layer = qt.quantize_dynamic(mod)
    x = torch.randn(4, 2, I)
    output, (h, c) = layer(x)
    want, (h_want, c_want) = mod(x)
    assert output.shape == want.shape and h.shape == h_want.shape and c.shape == c_want.shape
    assert (output - want).abs().max() < 0.02
    with pytest.raises(ValueError, match="fbgemm"):
        qt.quantize_dynamic(mod, engine="fbgemm")


@pytest.mark.parametrize("engine", ["qrnn", "fbgemm"])
@pytest.mark.parametrize("name", ["RNNCell", "LSTMCell", "GRUCell", "Linear"])
def test_layers_without_units(name, engine):
    """As PyTorch's: results without columns."""
    module, x = getattr(dynamic, name)(3, 0, engine=engine), torch.ones(2, 3)
    for each in (module, getattr(dynamic, name).from_float(getattr(torch.nn, name)(3, 0), engine=engine)):
        result = each(x)
        assert all(part.shape == (2, 0) for part in (result if isinstance(result, tuple) else (result,)))
