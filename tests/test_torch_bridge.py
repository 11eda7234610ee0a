"""The quantized modules of ``qrnn.torch``: calls, copies, state, and what torch.ao made."""

from __future__ import annotations

import copy
import io
import pickle
import threading

import bridge
import numpy as np
import pytest
from bridge import (
    CELLS,
    ENGINES,
    SHARED,
    H,
    I,
    assert_equal_results,
    each_cell,
    each_engine,
    each_kind,
    each_layer,
    flat,
    inputs,
    make,
    torch,
    torch_engine,  # noqa: F401
)

import qrnn
import qrnn.torch as qt
from qrnn.torch.nn.quantized import dynamic

f32 = np.float32


def quantized(kind, engine="qrnn", **keywords):
    return qt.quantize_dynamic(make(kind, **keywords), engine=engine)


def numpy_module(kind, engine="qrnn", **keywords):
    """The same module of the NumPy side."""
    mod = make(kind, **keywords)
    return getattr(qrnn, kind.partition("-")[0]).from_float(mod, engine=engine)


# ---------------------------------------------------------------------------------------------------
# Calls
# ---------------------------------------------------------------------------------------------------
@each_kind
@each_engine
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
    assert got.dtype == torch.float32
    assert_equal_results(got, cell(convert(x).float(), convert(h).float()))


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

    want = repr(bridge.torch_ao(getattr(theirs, cls), I, H, **args))
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
        (lambda: dynamic.RNNCell(4, 0), ValueError, "hidden_size"),
        (lambda: dynamic.RNNCell(4.0, 3), TypeError, "input_size: expected an integer, got float"),
        (lambda: dynamic.RNNCell(4, 3, nonlinearity="gelu"), ValueError, "Unknown nonlinearity: gelu"),
        (lambda: dynamic.RNNCell(4, 3, dtype=torch.float16), ValueError, "float16"),
        (lambda: dynamic.RNNCell(4, 3, engine="mkl"), ValueError, "engine: expected one of"),
        (lambda: dynamic.RNNCell(4, 3, isa="sse"), ValueError, "isa: expected one of"),
        (lambda: dynamic.Linear(4, 0), ValueError, "out_features"),
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
@each_layer
@each_engine
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


# ---------------------------------------------------------------------------------------------------
# Copies and state
# ---------------------------------------------------------------------------------------------------
@each_kind
@each_engine
def test_copies_compute_the_same(kind, engine):
    module, args = quantized(kind, engine), inputs(kind)
    want = module(*args)
    buffer = io.BytesIO()
    torch.save(module, buffer)
    buffer.seek(0)
    copies = {
        "copy": copy.copy(module),
        "deepcopy": copy.deepcopy(module),
        "pickle": pickle.loads(pickle.dumps(module)),
        "torch.save": torch.load(buffer, weights_only=False),
        "to": copy.deepcopy(module).to("cpu").eval().train().requires_grad_(False),
        "half": copy.deepcopy(module).half(),
        "double": copy.deepcopy(module).double().to(torch.bfloat16),
        "share": copy.deepcopy(module).share_memory(),
    }
    for how, other in copies.items():
        assert other.engine == engine, how
        assert repr(other) == repr(module)
        assert_equal_results(other(*args), want, how)
        for name, tensor in module.state_dict().items():
            assert tensor.dtype == other.state_dict()[name].dtype, how


@each_kind
@pytest.mark.parametrize("bias", [True, False])
def test_state_dict_of_plain_tensors(kind, bias):
    """torch.load takes it by default, and another module computes the same from it."""
    module, other, args = quantized(kind, bias=bias), quantized(kind, bias=bias, seed=5), inputs(kind)
    assert not torch.equal(flat(module(*args))[0], flat(other(*args))[0])
    state = module.state_dict()
    assert set(map(type, state.values())) == {torch.Tensor}
    float_names = set(make(kind, bias=bias).state_dict())
    weights = {name for name in float_names if "weight" in name}
    assert set(state) == float_names | {f"{name}_scale" for name in weights}
    assert {state[name].dtype for name in weights} == {torch.int8}
    buffer = io.BytesIO()
    torch.save(state, buffer)
    buffer.seek(0)
    result = other.load_state_dict(torch.load(buffer, weights_only=True))
    assert not result.missing_keys and not result.unexpected_keys
    assert_equal_results(other(*args), module(*args))


def test_state_dict_goes_to_the_numpy_side_and_back():
    module, numpy_side = quantized("GRUCell"), numpy_module("GRUCell", seed=4)
    x = torch.randn(2, I)
    numpy_side.load_state_dict(module.state_dict())
    assert_equal_results(torch.from_numpy(numpy_side(x.numpy())), module(x))
    back = quantized("GRUCell", seed=6)
    back.load_state_dict({k: torch.from_numpy(np.array(v)) for k, v in numpy_side.state_dict().items()})
    assert_equal_results(back(x), module(x))


def test_a_failed_load_changes_nothing_and_names_everything():
    module, x = quantized("RNNCell"), torch.randn(2, I)
    want = module(x)
    state = quantized("RNNCell", seed=2).state_dict()
    state["weight_ih"] = state["weight_ih"][:, 1:]
    state["weight_hh_scale"] = -state["weight_hh_scale"]
    state["surplus"] = torch.zeros(1)
    del state["bias_ih"]
    for strict in (True, False):
        with pytest.raises(RuntimeError) as caught:
            module.load_state_dict(state, strict=strict)
        for text in ("weight_ih", "weight_hh_scale", *(("surplus", "bias_ih") if strict else ())):
            assert text in str(caught.value)
        assert_equal_results(module(x), want)


@pytest.mark.parametrize("name", ["weight_ih", "weight_ih_scale"])
def test_codes_and_scales_load_together(name):
    """Without the other one, each would mean other weights."""
    model, x = bridge.Holder(quantized("RNNCell")), torch.randn(2, I)
    want, state = model.module(x), bridge.Holder(quantized("RNNCell", seed=2)).state_dict()
    other = {"weight_ih": "weight_ih_scale", "weight_ih_scale": "weight_ih"}[name]
    del state[f"module.{name}"]
    text = "module.weight_ih and module.weight_ih_scale: expected both or neither, got module.{} alone"
    for strict in (True, False):
        with pytest.raises(RuntimeError, match=text.format(other) + r"(\n|$)"):
            model.load_state_dict(state, strict=strict)
        assert_equal_results(model.module(x), want)


def several():
    """A float layer, and a quantized one in a module and one beside it."""
    return torch.nn.Sequential(torch.nn.Linear(3, 3), bridge.Holder(dynamic.Linear(3, 2)), dynamic.RNNCell(2, 2))


@pytest.mark.parametrize("absent", ["0.bias", "1.module.bias", "2.bias_hh", None])
@pytest.mark.parametrize("surplus", ["0.more", "1.more", "2.more", "more", "", None])
def test_what_is_there_is_loaded_whatever_is_not(absent, surplus):
    """As PyTorch does: with strict=True too, which then raises."""
    for strict in (False, True):
        a, b = several(), several()
        state = dict(a.state_dict())
        kept = b.state_dict()[absent].clone() if absent else None
        if absent:
            del state[absent]
        if surplus is not None:
            state[surplus] = torch.zeros(1)
        if strict and (absent or surplus is not None):
            with pytest.raises(RuntimeError, match=f'"{absent or surplus}"'):
                b.load_state_dict(state)
        else:
            result = b.load_state_dict(state, strict=strict)
            assert result.missing_keys == ([absent] if absent else [])
            assert result.unexpected_keys == ([surplus] if surplus is not None else [])
        for key, value in b.state_dict().items():
            assert torch.equal(value, kept if key == absent else state[key]), key


def test_an_error_of_one_layer_keeps_no_other_from_loading():
    a, b = several(), several()
    state, before = a.state_dict(), b.state_dict()
    state["1.module.weight_scale"] = -state["1.module.weight_scale"]
    with pytest.raises(RuntimeError, match=r"1\.module\.weight_scale: expected finite, positive scales"):
        b.load_state_dict(state)
    for key, value in b.state_dict().items():
        assert torch.equal(value, (before if key.startswith("1.") else state)[key]), key


def test_a_key_of_the_same_name_above_is_missing_still():
    class Above(bridge.Holder):
        def __init__(self):
            super().__init__(dynamic.Linear(3, 2))
            self.weight = torch.nn.Parameter(torch.zeros(1))

    state = Above().state_dict()
    del state["weight"]
    assert Above().load_state_dict(state, strict=False) == (["weight"], [])


@pytest.mark.parametrize("kind", ["Linear", "GRU"])
def test_load_pre_hooks(kind):
    """They run once and before anything is read, with the lists that they may change."""
    calls = []

    def rename(module, state, prefix, metadata, strict, missing, unexpected, errors):
        calls.append(prefix)
        missing.append("by the hook")
        for key in [key for key in state if key.startswith(f"{prefix}w_")]:
            state[f"{prefix}{key.removeprefix(f'{prefix}w_')}"] = state.pop(key)

    for wrap, prefix in ((lambda module: module, ""), (bridge.Holder, "module.")):
        a, b, args = quantized(kind), quantized(kind, seed=2), inputs(kind)
        b.register_load_state_dict_pre_hook(rename)
        state = {f"{prefix}w_{key}": value for key, value in a.state_dict().items()}
        for _ in range(2):
            calls.clear()
            result = wrap(b).load_state_dict(state, strict=False)
            assert calls == [prefix] and result == (["by the hook"], [])
        assert_equal_results(b(*args), a(*args))
        assert list(state) == [f"{prefix}w_{key}" for key in a.state_dict()], "it is the caller's"


def test_load_pre_hooks_that_fail_or_find_errors():
    a, b, x = quantized("RNNCell"), quantized("RNNCell", seed=2), torch.randn(2, I)
    want, state = b(x), a.state_dict()
    handle = b.register_load_state_dict_pre_hook(lambda *args: args[-1].append("no checkpoint of ours"))
    with pytest.raises(RuntimeError, match="no checkpoint of ours"):
        b.load_state_dict(state)
    assert_equal_results(b(x), want)
    handle.remove()
    handle = b.register_load_state_dict_pre_hook(lambda *args: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        b.load_state_dict(state)
    handle.remove()
    assert not b._load_state_dict_pre_hooks
    b.load_state_dict(state)
    assert_equal_results(b(x), a(x))


class WithMore(dynamic.RNNCell):
    """A subclass with a parameter, a buffer and a child of its own."""

    def __init__(self):
        super().__init__(I, H)
        self.gain = torch.nn.Parameter(torch.ones(H))
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        self.out = torch.nn.Linear(H, 2)

    def forward(self, input, hx=None):
        self.steps += 1
        return self.out(self.gain * super().forward(input, hx))


def test_what_a_subclass_adds_is_loaded_and_moved():
    torch.manual_seed(0)
    module, other, x = WithMore(), WithMore(), torch.randn(2, I)
    torch.nn.init.normal_(module.gain)
    packed = module._module()
    want = module(x)
    assert module._module() is packed, "its own buffer is no weight"
    state = module.state_dict()
    assert {"gain", "steps", "out.weight", "out.bias"} < set(state)
    other.load_state_dict(state)
    assert int(other.steps) == 1
    assert torch.equal(other(x), want)
    for name in ("gain", "steps", "out.bias", "weight_hh"):
        with pytest.raises(RuntimeError, match=f'Missing key.*"{name}"'):
            other.load_state_dict({key: value for key, value in state.items() if key != name})
    with pytest.raises(RuntimeError, match='Unexpected key.*"surplus"'):
        other.load_state_dict({**state, "surplus": torch.zeros(1)})
    codes = module.weight_ih_scale
    module.double()
    assert module.gain.dtype == module.out.weight.dtype == torch.float64
    assert module.weight_ih_scale is codes


def test_weights_that_were_taken_out_stay_what_they_are():
    a, b, x = quantized("LSTM"), quantized("LSTM", seed=2), torch.randn(3, 2, I)
    want, before, state = a(x), a._weight_bias(), a.state_dict()
    a.set_weight_bias(b._weight_bias())
    assert_equal_results(a(x), b(x))
    a.set_weight_bias(before)
    assert_equal_results(a(x), want)
    a.load_state_dict(b.state_dict())
    a.load_state_dict(state)
    assert_equal_results(a(x), want)


@each_layer
@pytest.mark.parametrize("of", [quantized, lambda kind: qt.prepare(make(kind), qconfig={})])
def test_states_of_a_packed_sequence_may_be_in_lists(kind, of):
    module, (x, state) = of(kind), inputs(kind)
    packed = torch.nn.utils.rnn.pack_padded_sequence(x, [2, 4, 1], module.batch_first, enforce_sorted=False)
    listed = list(state)
    want = module(packed, state)
    for mode in (False, True):
        got = module.train(mode)(packed, listed)
        assert [each.shape for each in flat(got[1])] == [each.shape for each in flat(want[1])]
    got = module.eval()(packed, listed)
    assert torch.equal(got[0].data, want[0].data)
    assert_equal_results(got[1], want[1])


def test_hooks_of_a_module_made_beside_another_are_its_own(torch_engine):  # noqa: F811
    calls, x = [], torch.randn(2, I)
    for old, make_new in (
        (make("RNNCell"), dynamic.RNNCell.from_float),
        (bridge.ao_dynamic("RNNCell"), dynamic.RNNCell.from_torch_ao),
    ):
        calls.clear()
        old.register_forward_hook(lambda *_: calls.append("first"))
        new = make_new(old)
        new.register_forward_hook(lambda *_: calls.append("new"))
        old.register_forward_hook(lambda *_: calls.append("old"))
        old(x)
        new(x)
        assert calls == ["first", "old", "first", "new"]


def test_per_tensor_state_loads_into_a_per_channel_module():
    a, b, x = quantized("RNNCell", "fbgemm"), quantized("RNNCell", "fbgemm", seed=7), torch.randn(2, I)
    b.load_state_dict(a.state_dict())
    assert_equal_results(b(x), a(x))
    c = qt.quantize_dynamic(make("RNNCell", 8), {"": qt.per_channel_dynamic_qconfig}, engine="fbgemm")
    assert c.state_dict()["weight_ih_scale"].shape == (H,)
    c.load_state_dict(a.state_dict())
    assert_equal_results(c(x), a(x))


def test_a_changed_buffer_counts():
    """In place, by assignment, and through functional_call."""
    cell, x = quantized("RNNCell"), torch.randn(2, I)
    first = cell(x)
    cell.bias_ih.add_(1)
    second = cell(x)
    assert not torch.equal(first, second)
    cell.bias_ih = cell.bias_ih - 1
    changed = torch.func.functional_call(cell, {"bias_ih": cell.bias_ih + 1}, (x,))
    assert_equal_results(changed, second)
    cell.weight_ih.zero_()
    cell.weight_hh_scale.fill_(-1)
    with pytest.raises(ValueError, match="weight_hh_scale"):
        cell(x)


def test_modules_made_in_inference_mode():
    with torch.inference_mode():
        cell = quantized("RNNCell")
        x = torch.randn(2, I)
        inside = cell(x)
    assert_equal_results(cell(x.clone()), inside)


@each_kind
def test_getters_and_setters(kind):
    module, other, args = quantized(kind), quantized(kind, seed=9), inputs(kind)
    if kind == "Linear":
        weight, bias = module._weight_bias()
        assert weight.shape == (H, I) and torch.equal(bias, module.bias())
        other.set_weight_bias(weight, bias)
    else:
        both = module._weight_bias()
        assert set(both["weight"]) == {n for n in make(kind).state_dict() if "weight" in n}
        assert set(both["bias"]) == {n for n in make(kind).state_dict() if "bias" in n}
        assert set(module.get_weight()) == set(both["weight"]) and set(module.get_bias()) == set(both["bias"])
        other.set_weight_bias(both if kind in CELLS else {**both["weight"], **both["bias"]})
        broken = {"weight": dict(both["weight"]), "bias": dict(both["bias"])}
        del broken["weight"][next(iter(broken["weight"]))]
        with pytest.raises(KeyError):
            other.set_weight_bias(broken)
    assert_equal_results(other(*args), module(*args))


def test_qtensors_hold_tensors():
    cell = quantized("RNNCell", "fbgemm")
    weight = cell.get_weight()["weight_hh"]
    assert weight.int_repr().dtype == torch.int8
    assert torch.equal(weight.dequantize(), weight.int_repr().float() * weight.q_scale())
    per_row = quantized("RNNCell").get_weight()["weight_hh"]
    scales = per_row.q_per_channel_scales()
    assert torch.equal(per_row.dequantize(), per_row.int_repr().float() * scales[:, None])
    assert per_row.q_per_channel_zero_points().tolist() == [0] * H


def test_any_number_of_threads():
    cell, x = quantized("LSTMCell"), torch.randn(4, I)
    want, wrong = cell(x), []

    def run():
        for _ in range(200):
            if not all(map(torch.equal, cell(x), want)):
                wrong.append(1)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_load_while_another_thread_packs():
    """A module made of the old weights is not taken for one of the new ones, at no moment."""
    armed, results = [], []

    class Interrupted(dynamic.RNNCell):
        def __setattr__(self, name, value):
            interrupted = armed and armed.pop()
            if interrupted:
                self.load_state_dict(other.state_dict())
                results.append(self(x))
            super().__setattr__(name, value)
            if interrupted:
                results.append(self(x))

    cell, other, x = Interrupted(I, H), quantized("RNNCell"), torch.randn(2, I)
    cell.bias_ih.add_(0)  # counts as a change
    armed.append(True)
    cell(x)
    assert len(results) == 2
    for each in results:
        assert_equal_results(each, other(x))


# ---------------------------------------------------------------------------------------------------
# What torch.ao made
# ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", SHARED)
@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("engine", [e for e in ENGINES[1:] if e in torch.backends.quantized.supported_engines])
def test_taking_over_torch_ao(kind, per_channel, engine, torch_engine):  # noqa: F811
    """Its modules, its whole models and its state dicts give the same codes, and nothing warns."""
    theirs = bridge.ao_dynamic(kind, engine, per_channel)
    cls = getattr(dynamic, kind.partition("-")[0])
    module = cls.from_torch_ao(theirs)
    assert module.engine == engine
    args = inputs(kind)
    codes = dict(module.state_dict())
    want = theirs.weight() if kind == "Linear" else theirs.get_weight()
    for name, tensor in ({"weight": want} if kind == "Linear" else want).items():
        assert torch.equal(codes[name], tensor.int_repr())
    assert_equal_results(qt.from_torch_ao(bridge.Holder(theirs), engine=engine).module(*args), module(*args))
    loaded = qt.quantize_dynamic(make(kind, seed=11), engine=engine)
    assert not loaded.load_state_dict(theirs.state_dict()).missing_keys
    assert_equal_results(loaded(*args), module(*args))
    holder = bridge.Holder(qt.quantize_dynamic(make(kind, seed=12), engine=engine))
    holder.load_state_dict(bridge.Holder(theirs).state_dict())
    assert_equal_results(holder(*args), module(*args))


@pytest.mark.parametrize("kind", SHARED)
def test_biases_of_torch_ao_need_a_place(kind, torch_engine):  # noqa: F811
    theirs, module = bridge.ao_dynamic(kind), quantized(kind, bias=False)
    state = theirs.state_dict()
    missing, unexpected = module.load_state_dict(state, strict=False)
    assert not missing and sorted(unexpected) == [key for key in sorted(make(kind).state_dict()) if "bias" in key]
    weights = getattr(dynamic, kind.partition("-")[0]).from_torch_ao(theirs).state_dict()
    assert all(torch.equal(value, weights[key]) for key, value in module.state_dict().items())
    with pytest.raises(RuntimeError, match="Unexpected key.*bias"):
        module.load_state_dict(state)


def test_layers_of_torch_ao_need_a_place(torch_engine):  # noqa: F811
    deep = torch.nn.LSTM(I, H, 2)
    theirs = bridge.torch_ao(torch.ao.quantization.quantize_dynamic, bridge.Holder(deep)).module
    with pytest.raises(RuntimeError, match=r"Unexpected key.*_all_weight_values\.1\.param"):
        quantized("LSTM").load_state_dict(theirs.state_dict())


def test_what_torch_ao_saved_is_named_where_it_does_not_fit(torch_engine):  # noqa: F811
    model = bridge.Holder(quantized("LSTMCell"))
    want, state = copy.deepcopy(model.state_dict()), bridge.Holder(bridge.ao_dynamic("LSTMCell")).state_dict()
    del state["module._packed_weight_hh"]
    for strict in (True, False):
        with pytest.raises(RuntimeError, match=r"\tmodule\._packed_weight_hh: expected beside .* no such key"):
            model.load_state_dict(state, strict=strict)
    assert all(torch.equal(value, want[key]) for key, value in model.state_dict().items())
    if torch.backends.quantized.engine in ("fbgemm", "x86"):  # the others have no float16 modules
        half = bridge.torch_ao(torch.ao.nn.quantized.dynamic.LSTM, I, H, dtype=torch.float16)
        text = r"\tmodule\._all_weight_values\.0\.param: expected weights of int8, got quantized_fp16"
        with pytest.raises(RuntimeError, match=text):
            bridge.Holder(quantized("LSTM")).load_state_dict(bridge.Holder(half).state_dict(), strict=False)


def test_taking_over_refuses_the_rest(torch_engine):  # noqa: F811
    theirs = bridge.ao_dynamic("RNNCell")
    with pytest.raises(TypeError, match=r"expected a torch\.ao\.nn\.quantized\.dynamic\.GRUCell"):
        dynamic.GRUCell.from_torch_ao(theirs)
    with pytest.raises(TypeError):
        dynamic.RNNCell.from_torch_ao(make("RNNCell"))
    if torch.backends.quantized.engine in ("fbgemm", "x86"):  # the others have no float16 modules
        ao = torch.ao.nn.quantized.dynamic
        for name in ("RNNCell", "Linear", "LSTM", "LSTMCell"):
            half = bridge.torch_ao(getattr(ao, name), I, H, dtype=torch.float16)
            text = "mod: expected weights of torch.qint8, got torch.float16"
            with pytest.raises(ValueError, match=f"^{text}"):
                getattr(dynamic, name).from_torch_ao(half)
            with pytest.raises(ValueError, match=f"^module: {text}"):
                qt.from_torch_ao(bridge.Holder(half))
    for engine in ("foo", "float32"):
        with pytest.raises(ValueError, match=f"^engine: expected one of qrnn, [^3]*, got '{engine}'"):
            dynamic.RNNCell.from_torch_ao(theirs, engine=engine)
    for other, text in ((torch.nn.RNNCell(I, H + 1), "weight_ih"), (torch.nn.LSTM(I, H), "weight_ih_l0")):
        with pytest.raises(RuntimeError, match=text):
            qt.quantize_dynamic(other).load_state_dict(theirs.state_dict())
