"""What PyTorch's tools do with quantized and prepared modules: fx traces them as leaves, the others say what to do."""

from __future__ import annotations

import copy
import sys
import warnings

import pytest
from support.torch_layers import quantized
from support.torch_models import CELLS, LAYERS, assert_equal_results, each_kind, flat, inputs, make, torch

import qrnn
import qrnn.torch as qt

nn = torch.nn


class Model(nn.Module):
    """A layer of `kind` behind a float layer, called with its state."""

    def __init__(self, layer):
        super().__init__()
        self.front, self.layer = nn.Identity(), layer

    def forward(self, x, state):
        return self.layer(self.front(x), state)


class Lengths(nn.Module):
    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x, lengths):
        output, _ = self.layer(x, lengths=lengths)
        return output * 2


# ---------------------------------------------------------------------------------------------------
# torch.fx
# ---------------------------------------------------------------------------------------------------
@each_kind
@pytest.mark.parametrize("how", ["quantized", "prepared"])
def test_symbolic_traces(kind, how):
    layer = quantized(kind) if how == "quantized" else qt.prepare(make(kind), qconfig={}).eval()
    args = inputs(kind)
    model = Model(layer) if len(args) == 2 else nn.Sequential(nn.Identity(), layer)
    graph = torch.fx.symbolic_trace(model)
    calls = [node for node in graph.graph.nodes if node.op == "call_module"]
    assert len(calls) == 2 and type(graph.get_submodule(calls[1].target)) is type(layer), "a leaf"
    assert_equal_results(graph(*args), model(*args))
    alone = torch.fx.symbolic_trace(nn.Sequential(layer))
    assert_equal_results(alone(args[0]), layer(args[0]))
    assert_equal_results(copy.deepcopy(graph)(*args), model(*args))


@pytest.mark.parametrize("kind", LAYERS)
def test_symbolic_traces_with_lengths(kind):
    model, x = Lengths(quantized(kind)), inputs(kind)[0]
    graph = torch.fx.symbolic_trace(model)
    for lengths in ([4, 2, 3], [1, 4, 0]):
        assert_equal_results(graph(x, torch.tensor(lengths)), model(x, lengths))


def test_hooks_of_a_layer_are_in_the_trace():
    layer = quantized("GRUCell")
    layer.register_forward_hook(lambda module, args, result: result * 2)
    graph = torch.fx.symbolic_trace(nn.Sequential(layer))
    assert graph(torch.ones(2, 5)).shape == (2, 8)


# ---------------------------------------------------------------------------------------------------
# torch.jit.script, torch.export of packed sequences
# ---------------------------------------------------------------------------------------------------
@each_kind
def test_script_is_refused_in_a_sentence(kind):
    for layer in (quantized(kind), qt.prepare(make(kind), qconfig={})):
        for model in (layer, nn.Sequential(nn.Sequential(layer))):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                with pytest.raises(RuntimeError) as caught:
                    torch.jit.script(model)
            name = type(layer).__name__
            want = "cannot be scripted: convert the model, then use torch.jit.trace or torch.export"
            assert str(caught.value) == f"{name} {want}"


class Packing(nn.Module):
    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x, lengths):
        return self.layer(nn.utils.rnn.pack_padded_sequence(x, lengths, enforce_sorted=False))[0].data


def test_a_packed_input_under_export_says_lengths():
    layer, x, lengths = quantized("GRU"), torch.randn(4, 3, 5), torch.tensor([4, 2, 3])
    with pytest.raises(Exception, match="PackedSequence cannot be exported, as its sizes are data.*lengths="):
        torch.export.export(Packing(layer), (x, lengths))
    packed = nn.utils.rnn.pack_padded_sequence(x, lengths, enforce_sorted=False)
    with pytest.raises(Exception, match="PackedSequence cannot be exported, as its sizes are data.*lengths="):
        torch.export.export(layer, (packed,))
    for strict in (False, True):
        exported = torch.export.export(Lengths(layer), (x, lengths), strict=strict).module()
        assert_equal_results(exported(x, lengths), Lengths(layer)(x, lengths))


# ---------------------------------------------------------------------------------------------------
# torch.func, meta tensors
# ---------------------------------------------------------------------------------------------------
TRANSFORMED = "^input: expected a tensor with its own memory, which tensors inside torch.func.vmap, grad and jvp lack"


@each_kind
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_transforms_of_torch_func(kind, dtype):
    x = inputs(kind)[0].to(dtype)
    layer = quantized(kind).to(dtype)
    trained = qt.prepare(make(kind).to(dtype), qconfig={}).train()

    def loss(module, each):
        return flat(module(each))[0].sum()

    for module in (layer, trained):
        for call in (
            lambda m: torch.func.vmap(m)(torch.stack([x, x])),
            lambda m: torch.func.grad(lambda each: loss(m, each))(x),
            lambda m: torch.func.jvp(lambda each: loss(m, each), (x,), (x,)),
        ):
            with pytest.raises(TypeError, match=TRANSFORMED):
                call(module)
    with pytest.raises(TypeError, match="its own memory"):
        torch.func.vmap(qrnn.RNNCell(4, 3))(torch.ones(2, 3, 4))


@each_kind
def test_meta_tensors(kind):
    """A quantized layer gives the shapes; a prepared one, and a model without weights, say that they cannot."""
    layer, args = quantized(kind), inputs(kind)
    got = layer(args[0].to("meta"))
    assert [each.shape for each in flat(got)] == [each.shape for each in flat(layer(args[0]))]
    assert all(each.is_meta for each in flat(got))
    ready = qt.prepare(make(kind), qconfig={})
    for mode in (ready.train(), ready.eval()):
        with pytest.raises(TypeError, match="^input: .*expected a tensor on the CPU, got one on meta"):
            mode(args[0].to("meta"))
    with pytest.raises(TypeError, match="^0: weight.*expected a tensor on the CPU, got one on meta"):
        qt.quantize_dynamic(nn.Sequential(make(kind).to("meta")))
    if kind in CELLS:
        with torch.device("meta"):
            made = type(layer)(4, 3)
        assert made(torch.ones(2, 4)) is not None, "weights are on the CPU"


# ---------------------------------------------------------------------------------------------------
# Models that contain themselves, or lie too deep in one another
# ---------------------------------------------------------------------------------------------------
def nested(lib, depth):
    model = lib.RNNCell(3, 3)
    for _ in range(depth):
        model = lib.Sequential(model)
    return model


@pytest.mark.parametrize(("package", "lib"), [(qt, nn), (qrnn, qrnn.nn)], ids=["torch", "numpy"])
def test_models_that_lie_too_deep(package, lib):
    model = nested(lib, 3000)
    calls = [
        lambda m: package.quantize_dynamic(m),
        lambda m: package.quantize_dynamic(m, inplace=True),
        lambda m: package.prepare(m, qconfig={}),
        lambda m: package.prepare(m, inplace=False, qconfig={}),
        lambda m: package.convert(m),
        lambda m: package.quantization.propagate_qconfig_(m, {}),
    ]
    if package is qt:
        calls += [qt.from_torch_ao, lambda m: qt.prepare_qat(m, qconfig={})]
    for call in calls:
        with pytest.raises(ValueError, match=r"3001 modules lie in one another, more than Python's recursion limit"):
            call(model)


@pytest.mark.parametrize(("package", "lib"), [(qt, nn), (qrnn, qrnn.nn)], ids=["torch", "numpy"])
def test_a_copy_takes_more_than_a_change_in_place(package, lib):
    depth = sys.getrecursionlimit() // 2
    with pytest.raises(ValueError, match=f"^model: {depth + 1} modules lie in one another.*see inplace"):
        package.quantize_dynamic(nested(lib, depth))
    model = package.quantize_dynamic(nested(lib, depth), inplace=True)
    assert type(list(model.modules())[-1]) is package.RNNCell


@pytest.mark.parametrize(("package", "lib"), [(qt, nn), (qrnn, qrnn.nn)], ids=["torch", "numpy"])
def test_models_that_contain_themselves(package, lib):
    """They have no eval mode, which quantize_dynamic ends in; prepare and convert go over them."""

    def make_loop():
        model = lib.Sequential(lib.RNNCell(3, 3))
        model[0].top = model
        return model

    for inplace in (False, True):
        model = make_loop()
        with pytest.raises(
            ValueError, match=r"^model: expected modules that do not contain themselves, as '0.top' does"
        ):
            package.quantize_dynamic(model, inplace=inplace)
        assert type(model[0]) is lib.RNNCell
    model = package.prepare(make_loop(), qconfig={})
    assert type(package.convert(model)[0]) is package.RNNCell
