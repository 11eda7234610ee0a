"""Weights that hooks compute from other parameters: weight_norm, spectral_norm, pruning, hooks of a user's own."""

from __future__ import annotations

import functools

import pytest
from support.torch_models import difference, torch
from torch import nn
from torch.nn.utils import prune

import qrnn
import qrnn.torch as qt
from qrnn.torch.nn.quantized import dynamic

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")  # PyTorch's, of its own functions

MARKS = {
    "weight_norm": lambda mod: nn.utils.weight_norm(mod, "weight_hh_l0"),
    "spectral_norm": lambda mod: nn.utils.spectral_norm(mod, "weight_hh_l0"),
    "prune": lambda mod: prune.l1_unstructured(mod, "weight_hh_l0", 0.5),
}
each_mark = pytest.mark.parametrize("mark", MARKS)
X = torch.randn(5, 3, 4, generator=torch.Generator().manual_seed(0))


def marked(mark, seed=0):
    torch.manual_seed(seed)
    lstm = nn.LSTM(4, 8)
    MARKS[mark](lstm)
    return lstm


def loaded(mark):
    """A layer right after a load, and what a call of it gives."""
    trained, fresh = marked(mark), marked(mark, seed=1).eval()
    with torch.no_grad():
        for parameter in trained.parameters():
            parameter.mul_(3).add_(0.1)
        for _ in range(9):
            trained(X)
    fresh.load_state_dict(trained.state_dict())
    with torch.no_grad():
        return fresh, trained.eval()(X)[0]


@each_mark
def test_a_layer_right_after_a_load(mark):
    for convert in (qrnn.LSTM.from_float, dynamic.LSTM.from_float, qt.quantize_dynamic):
        fresh, want = loaded(mark)
        assert difference(convert(fresh)(X)[0], want) < 0.05


@each_mark
def test_convert_right_after_a_step(mark):
    model = nn.Sequential(marked(mark))
    qt.prepare(model, qconfig={})
    optimizer = torch.optim.SGD(model.parameters(), 0.5)
    model(X)[0].sum().backward()
    optimizer.step()
    quantized = qt.convert(model, inplace=False)
    want = model.eval()(X)[0]
    assert torch.equal(quantized(X)[0], want)


def changed(model):
    """`model` with parameters that no call has seen."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.5).add_(0.02)
    return model


def plain_names(quantized):
    """Its state has what that of an unmarked layer has."""
    return {name.removesuffix("_scale") for name in quantized.state_dict()}


def mix_names(mod):
    """Several weights, a bias, and a weight that was pruned twice."""
    nn.utils.weight_norm(mod, "weight_ih_l0")
    nn.utils.weight_norm(mod, "weight_hh_l0_reverse", dim=1)
    prune.random_unstructured(mod, "bias_hh_l0", 0.5)
    prune.l1_unstructured(mod, "weight_hh_l0", 0.3)
    prune.ln_structured(mod, "weight_hh_l0", 0.3, n=2, dim=1)
    return mod


def normed_and_pruned(mod):
    """A hook computes what another one reads."""
    return prune.ln_structured(nn.utils.weight_norm(mod, "weight_hh_l0"), "weight_hh_l0_v", 0.25, n=2, dim=1)


MADE = {
    "several": lambda: (mix_names(nn.GRU(4, 8, bidirectional=True)), X),
    "pruned v": lambda: (normed_and_pruned(nn.LSTM(4, 8)), X),
    "Linear": lambda: (nn.utils.weight_norm(nn.Linear(4, 3)), X),
    "Linear, pruned": lambda: (prune.l1_unstructured(prune.identity(nn.Linear(4, 3), "bias"), "weight", 0.5), X),
    "cell": lambda: (nn.utils.spectral_norm(nn.RNNCell(4, 8), "weight_ih"), X[0]),
    "layers": lambda: (nn.utils.spectral_norm(nn.LSTM(4, 8, 2, proj_size=3), "weight_hr_l1"), X),
}


def first(result):
    return result[0] if isinstance(result, tuple) else result


@pytest.mark.parametrize("made", MADE)
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("called", [False, True])
def test_what_a_call_would_compute_is_baked_in(made, training, called):
    """For a child and for the root, beside the model and in its place, after a call with a gradient or none."""
    torch.manual_seed(0)
    layer, x = MADE[made]()
    if called:
        first(layer(x)).sum().backward()
        if made == "pruned v":
            layer(x)  # PyTorch prunes v only after the weight is computed: for the next call
    changed(layer).train(training)
    state = {name: tensor.clone() for name, tensor in layer.state_dict().items()}
    hooks = dict(layer._forward_pre_hooks)
    results = {
        "root": qt.quantize_dynamic(layer),
        "child": qt.quantize_dynamic(nn.Sequential(layer))[0],
        "from_float": getattr(dynamic, type(layer).__name__).from_float(layer),
        "prepared": qt.convert(qt.prepare(nn.Sequential(layer), qconfig={}, inplace=False))[0],
        "numpy": getattr(qrnn, type(layer).__name__).from_float(layer),
    }
    assert dict(layer._forward_pre_hooks) == hooks and layer.training == training
    for name, tensor in layer.state_dict().items():
        assert torch.equal(tensor, state[name]), f"{name} was changed: u of spectral_norm, say"
    want = first(layer.eval()(x))
    for how, quantized in results.items():
        assert difference(first(quantized(x)), want) < 0.1, how
        if how != "numpy":
            assert not quantized._forward_pre_hooks
            assert not [name for name in plain_names(quantized) if name.endswith(("_g", "_v", "_orig", "_mask", "_u"))]
    assert len({first(result(x)).numpy().tobytes() for how, result in results.items() if how != "numpy"}) == 1


def test_other_hooks_go_over():
    model, calls = nn.Sequential(marked("prune")), []
    before = model[0].register_forward_pre_hook(lambda *_: calls.append("before"))
    model[0].register_forward_hook(lambda *_: calls.append("after"))
    beside = dynamic.LSTM.from_float(model[0])
    qt.quantize_dynamic(model, inplace=True)
    assert not calls, "no hook of a user's runs without a call"
    for module in (beside, model):
        module(X)
    assert calls == ["before", "after"] * 2
    before.remove()
    model(X)
    assert calls == ["before", "after"] * 2 + ["after"]


def test_a_conversion_that_fails_leaves_the_hooks():
    model = nn.Sequential(marked("weight_norm"), nn.Linear(8, 2))
    with torch.no_grad():
        model[1].weight[0, 0] = float("nan")
    with pytest.raises(ValueError, match=r"^1: weight: expected finite"):
        qt.quantize_dynamic(model, inplace=True)
    with torch.no_grad():
        before = model[0](X)[0]
        assert not torch.equal(changed(model)[0](X)[0], before)


def test_parametrizations_are_not_moved_on():
    layer = nn.utils.parametrizations.spectral_norm(nn.Linear(4, 3))
    state = {name: tensor.clone() for name, tensor in layer.state_dict().items()}
    quantized = qt.quantize_dynamic(layer, inplace=False)
    beside = dynamic.Linear.from_float(layer)
    for name, tensor in layer.state_dict().items():
        assert torch.equal(tensor, state[name]), name
    want = layer.eval()(X)
    assert difference(quantized(X), want) < 0.05 and torch.equal(beside(X), quantized(X))


# ---------------------------------------------------------------------------------------------------
# Hooks of a user's own
# ---------------------------------------------------------------------------------------------------
def taken_out(layer):
    """`layer`, whose weight_hh_l0 is no parameter, but what it is made of is."""
    layer.raw = layer._parameters.pop("weight_hh_l0")
    return layer


def attribute(layer):
    taken_out(layer)
    layer.weight_hh_l0 = layer.raw.detach() * 0
    layer.register_forward_pre_hook(lambda mod, args: setattr(mod, "weight_hh_l0", torch.tanh(mod.raw * 2)))


def buffer(layer):
    taken_out(layer)
    layer.register_buffer("weight_hh_l0", layer.raw.detach() * 0)

    def hook(mod, args, kwargs):
        assert args[0].shape[-1] == mod.input_size
        mod.weight_hh_l0 = torch.nn.functional.dropout(mod.raw.detach() * 2, training=mod.training)

    layer.register_forward_pre_hook(hook, with_kwargs=True)


class Clipped:
    """Changes a parameter in place."""

    def __init__(self, name):
        self.name = name

    def __call__(self, mod, args):
        getattr(mod, self.name).data.clamp_(-0.1, 0.1)


def clip(mod, args, *, name):
    getattr(mod, name).data.clamp_(-0.1, 0.1)


def partial(layer):
    layer.register_forward_pre_hook(functools.partial(clip, name="weight_hh_l0"))


class Keeper:
    """Has a method that is a hook."""

    def __init__(self, name):
        self.name = name

    def clip(self, mod, args):
        clip(mod, args, name=self.name)


def bound(layer):
    layer.register_forward_pre_hook(Keeper("weight_hh_l0").clip)


def clipped(layer):
    layer.register_forward_pre_hook(Clipped("weight_hh_l0"))
    layer.eval()(X)  # so that another run of the hook changes nothing


def new_parameter(layer):
    layer.raw = nn.Parameter(layer.weight_hh_l0.detach().clone())
    layer.register_forward_pre_hook(lambda mod, args: setattr(mod, "weight_hh_l0", nn.Parameter(mod.raw.detach() * 2)))


@pytest.mark.parametrize("own", [attribute, buffer, clipped, new_parameter, partial, bound])
@pytest.mark.parametrize("change", [qt.quantize_dynamic, dynamic.LSTM.from_float, qrnn.LSTM.from_float])
def test_hooks_of_a_users_own(own, change):
    torch.manual_seed(0)
    layer, calls = nn.LSTM(4, 8), []
    layer.register_forward_pre_hook(lambda *_: calls.append("other") if own is not buffer else None)
    own(layer)
    del calls[:]
    quantized = change(layer)
    assert own in (attribute, buffer) or not calls, "a hook that names no weight runs in calls alone"
    want = layer.eval()(X)[0]
    assert difference(quantized(X)[0], want) < 0.05
    if isinstance(quantized, nn.Module):
        assert len(quantized._forward_pre_hooks) == 1, "the other one"


def test_hooks_that_fail_or_do_more():
    def input_too(mod, args):
        mod.weight.data.mul_(2)
        return args

    def failing(mod, args):
        mod.weight = args[1]

    for hook, text in ((input_too, "weight: expected a hook .* leave the input"), (failing, "a hook that may compute")):
        layer = nn.Linear(4, 3)
        layer.register_forward_pre_hook(hook)
        with pytest.raises(ValueError, match=f"^0: {text}"):
            qt.quantize_dynamic(nn.Sequential(layer))


class Dropping(nn.Module):
    """Computes a weight of the layer that it calls."""

    def __init__(self):
        super().__init__()
        self.layer = taken_out(nn.LSTM(4, 8))
        self.forward(X)

    def forward(self, x):
        self.layer.weight_hh_l0 = torch.tanh(self.layer.raw)
        return self.layer(x)[0]


def test_a_weight_that_another_module_computes_stays_float():
    model = Dropping().eval()
    changed(model)
    text = "layer: LSTM has a weight_hh_l0 that is no parameter and that no hook computes and is left float"
    with pytest.warns(UserWarning, match=text):
        quantized = qt.quantize_dynamic(model)
    assert torch.equal(quantized(X), model(X))
    for cls in (dynamic.LSTM, qrnn.LSTM):
        with pytest.raises(TypeError, match="which has a weight_hh_l0 that is no parameter and that no hook computes"):
            cls.from_float(model.layer)
    model.layer.register_forward_pre_hook(lambda *_: None)
    with pytest.raises(ValueError, match="^layer: weight_hh_l0: expected a parameter, or a hook"):
        qt.quantize_dynamic(model)
