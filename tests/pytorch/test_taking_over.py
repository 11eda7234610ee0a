"""Modules that torch.ao made, taken over by qrnn.torch."""

from __future__ import annotations

import copy

import pytest
from support import torch_models
from support.torch_layers import quantized
from support.torch_models import (
    ENGINES,
    SHARED,
    H,
    I,
    assert_equal_results,
    inputs,
    make,
    torch,
)

import qrnn.torch as qt
from qrnn.torch.nn.quantized import dynamic


# ---------------------------------------------------------------------------------------------------
# What torch.ao made
# ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", SHARED)
@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("engine", [e for e in ENGINES[1:] if e in torch.backends.quantized.supported_engines])
def test_taking_over_torch_ao(kind, per_channel, engine, torch_engine):
    """Its modules, its whole models and its state dicts give the same codes."""
    theirs = torch_models.ao_dynamic(kind, engine, per_channel)
    cls = getattr(dynamic, kind.partition("-")[0])
    module = cls.from_torch_ao(theirs)
    assert module.engine == engine
    args = inputs(kind)
    codes = dict(module.state_dict())
    want = theirs.weight() if kind == "Linear" else theirs.get_weight()
    for name, tensor in ({"weight": want} if kind == "Linear" else want).items():
        assert torch.equal(codes[name], tensor.int_repr())
    assert_equal_results(qt.from_torch_ao(torch_models.Holder(theirs), engine=engine).module(*args), module(*args))
    loaded = qt.quantize_dynamic(make(kind, seed=11), engine=engine)
    with pytest.warns(UserWarning, match="got no format: states of version 0.1.0 and of torch.ao do not say"):
        assert not loaded.load_state_dict(theirs.state_dict()).missing_keys
    assert_equal_results(loaded(*args), module(*args))
    holder = torch_models.Holder(qt.quantize_dynamic(make(kind, seed=12), engine=engine))
    holder.load_state_dict(torch_models.Holder(theirs).state_dict())
    assert_equal_results(holder(*args), module(*args))


@pytest.mark.parametrize("kind", [kind for kind in SHARED if kind != "Linear"])
def test_biases_of_torch_ao_need_a_place(kind, torch_engine):
    theirs, module = torch_models.ao_dynamic(kind), quantized(kind, bias=False)
    state = theirs.state_dict()
    missing, unexpected = module.load_state_dict(state, strict=False)
    assert not missing and sorted(unexpected) == [key for key in sorted(make(kind).state_dict()) if "bias" in key]
    weights = getattr(dynamic, kind.partition("-")[0]).from_torch_ao(theirs).state_dict()
    assert all(torch.equal(value, weights[key]) for key, value in module.state_dict().items() if key != "format")
    with pytest.raises(RuntimeError, match="Unexpected key.*bias"):
        module.load_state_dict(state)


def test_layers_of_torch_ao_need_a_place(torch_engine):
    deep = torch.nn.LSTM(I, H, 2)
    theirs = torch_models.torch_ao(torch.ao.quantization.quantize_dynamic, torch_models.Holder(deep)).module
    with pytest.raises(RuntimeError, match=r"Unexpected key.*_all_weight_values\.1\.param"):
        quantized("LSTM").load_state_dict(theirs.state_dict())


def test_what_torch_ao_saved_is_named_where_it_does_not_fit(torch_engine):
    model = torch_models.Holder(quantized("LSTMCell"))
    want = copy.deepcopy(model.state_dict())
    state = torch_models.Holder(torch_models.ao_dynamic("LSTMCell")).state_dict()
    del state["module._packed_weight_hh"]
    for strict in (True, False):
        with pytest.raises(RuntimeError, match=r"\tmodule\._packed_weight_hh: expected this key beside .* no such key"):
            model.load_state_dict(state, strict=strict)
    assert all(torch.equal(value, want[key]) for key, value in model.state_dict().items())
    if torch.backends.quantized.engine in ("fbgemm", "x86"):  # the others have no float16 modules
        half = torch_models.torch_ao(torch.ao.nn.quantized.dynamic.LSTM, I, H, dtype=torch.float16)
        text = r"\tmodule\._all_weight_values\.0\.param: expected weights of int8, got quantized_fp16"
        with pytest.raises(RuntimeError, match=text):
            torch_models.Holder(quantized("LSTM")).load_state_dict(torch_models.Holder(half).state_dict(), strict=False)


def test_taking_over_refuses_the_rest(torch_engine):
    theirs = torch_models.ao_dynamic("RNNCell")
    with pytest.raises(TypeError, match=r"expected a torch\.ao\.nn\.quantized\.dynamic\.GRUCell"):
        dynamic.GRUCell.from_torch_ao(theirs)
    with pytest.raises(TypeError):
        dynamic.RNNCell.from_torch_ao(make("RNNCell"))
    if torch.backends.quantized.engine in ("fbgemm", "x86"):  # the others have no float16 modules
        ao = torch.ao.nn.quantized.dynamic
        for name in ("RNNCell", "Linear", "LSTM", "LSTMCell"):
            half = torch_models.torch_ao(getattr(ao, name), I, H, dtype=torch.float16)
            text = "mod: expected weights of torch.qint8, got torch.float16"
            with pytest.raises(ValueError, match=f"^{text}"):
                getattr(dynamic, name).from_torch_ao(half)
            with pytest.raises(ValueError, match=f"^module: {text}"):
                qt.from_torch_ao(torch_models.Holder(half))
    for engine in ("foo", "float32"):
        with pytest.raises(ValueError, match=f"^engine: expected one of qrnn, qrnn13, [^3]*, got '{engine}'"):
            dynamic.RNNCell.from_torch_ao(theirs, engine=engine)
    for other, text in ((torch.nn.RNNCell(I, H + 1), "weight_ih"), (torch.nn.LSTM(I, H), "weight_ih_l0")):
        with pytest.raises(RuntimeError, match=text):
            qt.quantize_dynamic(other).load_state_dict(theirs.state_dict())


@pytest.mark.parametrize("root", [False, True])
def test_a_fused_relu_is_taken_over(root, torch_engine):
    """With its hooks, which see what comes out of it, and its mode; what it becomes can be trained."""
    fused = torch_models.torch_ao(torch.ao.nn.intrinsic.quantized.dynamic.LinearReLU, I, H).eval()
    seen, x = [], torch.randn(6, I)
    fused.register_forward_hook(lambda mod, args, result: seen.append(result.min().item()))
    model = qt.from_torch_ao(fused if root else torch_models.Holder(fused))
    assert torch_models.difference(model(x), fused(x)) < 0.02
    both = model if root else model.module
    assert seen == [0, 0] and not both.training
    assert isinstance(both[0], dynamic.Linear) and not both[0]._forward_hooks
    assert isinstance(qt.prepare(model, qconfig={}, inplace=False), torch.nn.Module)
    with pytest.raises(TypeError, match=r"LinearReLU, which overrides forward"):
        dynamic.Linear.from_torch_ao(fused)


def test_subclasses_of_torch_ao_are_not_taken_over(torch_engine):
    """Neither ones that compute something else, nor ones with members that would be lost."""
    ao = torch.ao.nn.quantized.dynamic

    class Doubled(ao.GRU):
        def forward(self, *args):
            output, h = super().forward(*args)
            return output * 2, h

    class Helping(ao.LSTMCell):
        def start(self):
            return None

    class Plain(ao.RNNCell):
        """Adds nothing."""

    for cls, text in ((Doubled, "overrides forward or __call__"), (Helping, r"has members of its own \(start\)")):
        theirs = torch_models.torch_ao(cls, I, H)
        with pytest.raises(TypeError, match=f"^module: mod: expected .*{cls.__name__}, which {text}"):
            qt.from_torch_ao(torch_models.Holder(theirs))
    patched = torch_models.ao_dynamic("Linear")
    patched.forward = lambda x: x
    with pytest.raises(TypeError, match="which overrides forward"):
        qt.from_torch_ao(patched)
    theirs = torch_models.torch_ao(Plain, I, H)
    assert isinstance(qt.from_torch_ao(torch_models.Holder(theirs)).module, dynamic.RNNCell)
