"""The layers of qrnn.torch: copies, state_dict, loads, hooks, threads."""

from __future__ import annotations

import copy
import io
import pickle

import numpy as np
import pytest
from support import torch_models
from support.torch_layers import numpy_module, quantized
from support.torch_models import (
    H,
    I,
    assert_equal_results,
    each_kind,
    each_kind_and_engine,
    each_layer,
    flat,
    inputs,
    make,
    torch,
)

import qrnn
import qrnn.torch as qt
from qrnn.torch.nn.quantized import dynamic


# ---------------------------------------------------------------------------------------------------
# Copies and state
# ---------------------------------------------------------------------------------------------------
@each_kind_and_engine
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
    assert set(state) == float_names | {f"{name}_scale" for name in weights} | {"format"}
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
    model, x = torch_models.Holder(quantized("RNNCell")), torch.randn(2, I)
    want, state = model.module(x), torch_models.Holder(quantized("RNNCell", seed=2)).state_dict()
    other = {"weight_ih": "weight_ih_scale", "weight_ih_scale": "weight_ih"}[name]
    del state[f"module.{name}"]
    text = "module.weight_ih and module.weight_ih_scale: expected both or neither, got module.{} alone"
    for strict in (True, False):
        with pytest.raises(RuntimeError, match=text.format(other) + r"(\n|$)"):
            model.load_state_dict(state, strict=strict)
        assert_equal_results(model.module(x), want)


@each_kind
@pytest.mark.parametrize("strict", [True, False])
def test_codes_are_no_float_weights(kind, strict):
    """A prepared layer refuses them, and all that it has stays; so does whoever reads float weights of PyTorch's."""
    state, prepared = torch_models.Holder(quantized(kind)).state_dict(), qt.prepare(make(kind, seed=2), qconfig={})
    before = copy.deepcopy(prepared.state_dict())
    with pytest.raises(RuntimeError, match=r"module\.weight\w*: expected floating-point values, got torch.int8"):
        torch_models.Holder(prepared).load_state_dict(
            {key: value for key, value in state.items() if not key.endswith("_scale")}, strict=strict
        )
    for name, value in prepared.state_dict().items():
        assert not name.startswith("weight") or torch.equal(value, before[name])
    theirs = make(kind)
    name = next(iter(theirs.state_dict()))
    setattr(theirs, name, torch.nn.Parameter(state[f"module.{name}"], requires_grad=False))
    for convert in (qt.quantize_dynamic, getattr(qrnn, kind.partition("-")[0]).from_float):
        with pytest.raises(TypeError, match=f"{name}: expected floating-point values, got int8"):
            convert(theirs)


@each_kind
@pytest.mark.parametrize("strict", [True, False])
def test_a_layer_of_pytorchs_refuses_codes(kind, strict):
    """Of a state that state_dict made; one without its metadata loads, as docs/migrating-from-torch-ao.md says."""
    state, buffer = torch_models.Holder(quantized(kind)).state_dict(), io.BytesIO()
    torch.save(state, buffer)
    buffer.seek(0)
    for each in (state, torch.load(buffer, weights_only=True)):
        theirs, want = torch_models.Holder(make(kind, seed=2)), make(kind, seed=2)
        with pytest.raises(RuntimeError, match=r'parameter named "module\.weight.*require gradients'):
            theirs.load_state_dict(each, strict=strict)
        for name, value in theirs.module.state_dict().items():
            assert "weight" not in name or torch.equal(value, want.state_dict()[name])
    theirs = make(kind)
    theirs.load_state_dict(dict(quantized(kind).state_dict()), strict=False)
    assert max(value.abs().max() for value in theirs.parameters()) == 127


def test_the_mark_of_codes_is_no_assignment():
    """What a user set on a layer is copied into what is there, unless the caller asks for more."""
    of, into = quantized("Linear"), quantized("Linear", seed=2)
    for module in (of, into):
        module.scale = torch.nn.Parameter(torch.ones(2))
    kept = into.scale
    into.load_state_dict(of.state_dict())
    assert into.scale is kept and kept is not of.scale
    into.load_state_dict(of.state_dict(), assign=True)
    assert into.scale is not kept


@pytest.mark.parametrize("value", [torch.ones(H, dtype=torch.int32), torch.full((H,), float("nan"))])
def test_biases_are_finite_floats(value):
    module, want = quantized("RNNCell"), quantized("RNNCell").state_dict()
    with pytest.raises(RuntimeError, match="bias_ih: expected f"):
        module.load_state_dict({**quantized("RNNCell", seed=2).state_dict(), "bias_ih": value})
    assert all(torch.equal(tensor, want[name]) for name, tensor in module.state_dict().items())


def several():
    """A float layer, and a quantized one in a module and one beside it."""
    return torch.nn.Sequential(torch.nn.Linear(3, 3), torch_models.Holder(dynamic.Linear(3, 2)), dynamic.RNNCell(2, 2))


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
    class Above(torch_models.Holder):
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

    for wrap, prefix in ((lambda module: module, ""), (torch_models.Holder, "module.")):
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
    packed = module._packed.get(module)
    want = module(x)
    assert module._packed.get(module) is packed, "its own buffer is no weight"
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


def test_hooks_of_a_module_made_beside_another_are_its_own(torch_engine):
    calls, x = [], torch.randn(2, I)
    for old, make_new in (
        (make("RNNCell"), dynamic.RNNCell.from_float),
        (torch_models.ao_dynamic("RNNCell"), dynamic.RNNCell.from_torch_ao),
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
