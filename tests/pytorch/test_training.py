"""Prepared modules of qrnn.torch in training: gradients, state, what training gains."""

from __future__ import annotations

import copy
import io
import pickle

import numpy as np
import pytest
from support import torch_models
from support.torch_models import (
    CELLS,
    LAYERS,
    H,
    I,
    assert_equal_results,
    difference,
    each_engine,
    each_kind,
    each_kind_and_engine,
    flat,
    inputs,
    make,
    takes_batch_first,
    torch,
    with_engines,
)
from support.torch_training import loss_of, on_grid, prepared, straight_through

import qrnn.torch as qt

Holder = torch_models.Holder


# ---------------------------------------------------------------------------------------------------
# The gradient
# ---------------------------------------------------------------------------------------------------
def float_twin(module, kind, engine):
    """The float module whose weights are those that the codes of `module` stand for."""
    twin = make(kind).train()
    with torch.no_grad():
        for name, parameter in twin.named_parameters():
            parameter.copy_(getattr(module, name))
        for each, tensor in qt.convert(copy.deepcopy(module)).get_weight().items():
            getattr(twin, each).copy_(tensor.dequantize())
    return twin


@pytest.mark.parametrize("kind", CELLS)
@each_engine
def test_straight_through_gradients_of_a_step(kind, engine):
    """They are those of the float cell with weights, x and h on the grid, where quantizing loses nothing."""
    module = prepared(kind, engine).train()
    x, state = inputs(kind)
    pair = isinstance(state, tuple)
    states = [on_grid((state if pair else (state,))[0], engine), *(state[1:] if pair else ())]
    runs = []
    for each in (module, float_twin(module, kind, engine)):
        x, *states = (v.detach().clone().requires_grad_() for v in (on_grid(x, engine), *states))
        loss_of(each(x, tuple(states) if pair else states[0])).backward()
        runs.append((each, x, states))
    (_, x, states), (twin, x2, states2) = runs
    pairs = [(module.get_parameter(name).grad, p.grad) for name, p in twin.named_parameters()]
    pairs += [(x.grad, x2.grad), *((a.grad, b.grad) for a, b in zip(states, states2, strict=True))]
    for got, want in pairs:
        torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-5)


@each_kind_and_engine
def test_every_parameter_gets_a_gradient(kind, engine):
    module, args = prepared(kind, engine).train(), inputs(kind)
    loss_of(module(*args)).backward()
    for name, parameter in module.named_parameters():
        assert parameter.grad is not None and bool(parameter.grad.abs().sum() > 0), name


@with_engines([kind for kind in LAYERS if "relu" not in kind])
def test_straight_through_gradients_of_a_sequence(kind, engine):
    """Those of every weight, of the input and of each initial state, through all layers, directions and steps."""
    module = prepared(kind, engine).train()
    twin, (x, state) = float_twin(module, kind, engine), inputs(kind)
    first = x.transpose(0, 1) if takes_batch_first(kind) else x
    cell, runs = kind.partition("-")[0], []
    for each in (module, twin):
        x, *states = (v.detach().clone().requires_grad_() for v in (first, *flat(state)))
        if each is module:
            batch = x.transpose(0, 1) if takes_batch_first(kind) else x
            output, last = each(batch, tuple(states) if cell == "LSTM" else states[0])
            got = (output.transpose(0, 1) if takes_batch_first(kind) else output, *flat(last))
        else:
            got = straight_through(each, cell, engine, x, states)
        loss_of(got).backward()
        runs.append((got, [x.grad, *(h.grad for h in states), *(p.grad for p in each.parameters())]))
    (got, gradients), (want, wanted) = runs
    assert difference(got, want) < 1e-5
    assert len(gradients) == len(wanted) and all(each is not None and each.any() for each in gradients)
    for a, b in zip(gradients, wanted, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("scheme", [qt.per_tensor_symmetric, qt.per_channel_symmetric])
def test_gradients_stop_where_the_codes_end(scheme):
    """A weight learns while the nearest multiple of the scale has a code, -128 to 127: within half a step of them."""
    step = 1 / 64

    base = "PerChannelMinMaxObserver" if scheme == qt.per_channel_symmetric else "MinMaxObserver"

    class Fixed(getattr(qt.quantization, base)):
        def calculate_qparams(self):
            scale, zero_point = super().calculate_qparams()
            return np.full_like(scale, step), zero_point

    codes = [-130.0, -128.6, -128.4, -128.0, -127.6, -127.0, 0.0, 126.9, 127.4, 127.6, 128.0]
    learns = [-128.5 < code < 127.5 for code in codes]
    layer = torch.nn.Linear(len(codes), 2, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([codes, codes[::-1]]) * step)
    weight = Fixed.with_args(dtype=qt.qint8, qscheme=scheme)
    qconfig = qt.QConfig(activation=qt.default_dynamic_qconfig.activation, weight=weight)
    module = qt.prepare(layer, qconfig=qconfig, engine="fbgemm")
    module(torch.eye(len(codes))).sum().backward()
    assert module.weight.grad.ne(0).tolist() == [learns, learns[::-1]]


def test_weights_beyond_the_range_are_clipped():
    """An observer that stops at half of the range: what is beyond has the last code and no gradient."""

    class Half(qt.quantization.MinMaxObserver):
        def calculate_qparams(self):
            scale, zero_point = super().calculate_qparams()
            return scale / 2, zero_point

    weight = Half.with_args(dtype=qt.qint8, qscheme=qt.per_tensor_symmetric)
    qconfig = qt.QConfig(activation=qt.default_dynamic_qconfig.activation, weight=weight)
    layer = torch.nn.Linear(4, 1, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[1.0, -0.75, 0.5, 0.1]]))
    module = qt.prepare(layer, qconfig=qconfig, engine="fbgemm")
    y = module(torch.eye(4))
    y.sum().backward()
    assert module.weight.grad.ne(0).tolist() == [[False, False, True, True]]
    assert y.detach().max() < 0.51
    default = qt.prepare(layer, qconfig=qt.default_dynamic_qconfig, engine="fbgemm")
    default(torch.eye(4)).sum().backward()
    assert default.weight.grad.ne(0).all(), "the largest weight goes on learning"


# ---------------------------------------------------------------------------------------------------
# What a prepared module is
# ---------------------------------------------------------------------------------------------------
@each_kind
def test_it_is_the_float_module_still(kind):
    """The same Parameter objects, names, type, hooks and mode: an optimiser that is there goes on."""
    mod = make(kind).train()
    calls = []
    mod.register_forward_hook(lambda *_: calls.append("after"))
    mod.register_forward_pre_hook(lambda *_: calls.append("before"))
    model = Holder(mod)
    before = dict(model.named_parameters())
    qt.prepare(model, qconfig={})
    module = model.module
    assert type(module).__name__ == f"Prepared{type(mod).__name__}" and isinstance(module, type(mod))
    assert module.training and repr(module).endswith("engine=qrnn)")
    after = dict(model.named_parameters())
    assert before.keys() == after.keys() and all(before[name] is after[name] for name in before)
    module(*inputs(kind))
    assert calls == ["before", "after"]
    assert model.state_dict().keys() == Holder(make(kind)).state_dict().keys()
    qt.convert(model)
    model(*inputs(kind))
    assert calls == ["before", "after"] * 2


@each_kind_and_engine
def test_quantized_modules_get_their_codes_back(kind, engine):
    module, args = qt.quantize_dynamic(make(kind), engine=engine), inputs(kind)
    want, state = module(*args), {k: v.clone() for k, v in module.state_dict().items()}
    ready = qt.prepare(module, qconfig={})
    assert type(ready).__name__.startswith("Prepared")
    assert_equal_results(ready.eval()(*args), want)
    again = qt.convert(ready)
    assert again.engine == engine and again.state_dict().keys() == state.keys()
    assert all(torch.equal(again.state_dict()[name], tensor) for name, tensor in state.items())
    ready.train()
    first = next(ready.parameters())
    with torch.no_grad():
        first[0, 0] += 1
    changed = qt.convert(ready)
    assert not all(torch.equal(changed.state_dict()[k], v) for k, v in state.items())


@each_kind
def test_copies_and_state(kind):
    module, args = prepared(kind).eval(), inputs(kind)
    want = module(*args)
    other = prepared(kind, seed=4).eval()
    other.load_state_dict(make(kind).state_dict())
    buffer = io.BytesIO()
    torch.save(module, buffer)
    buffer.seek(0)
    for each in (
        copy.deepcopy(module),
        pickle.loads(pickle.dumps(module)),
        torch.load(buffer, weights_only=False),
        other,
    ):
        assert_equal_results(each(*args), want)
        assert_equal_results(qt.convert(each)(*args), want)


def test_an_optimiser_that_goes_behind_autograd():
    """Weights changed through .data count in eval mode too."""
    module, args = prepared("RNNCell").eval(), inputs("RNNCell")
    first = module(*args)
    module.weight_ih.data.mul_(0.5)
    second = module(*args)
    assert not torch.equal(first, second)
    assert_equal_results(qt.convert(module)(*args), second)


def test_double_models_train():
    module = prepared("LSTM").double().train()
    x, state = inputs("LSTM")
    output, _ = module(x.double(), tuple(each.double() for each in state))
    assert output.dtype == torch.float64
    output.sum().backward()
    assert module.weight_ih_l0.grad.dtype == torch.float64


def test_dropout_between_layers_trains():
    torch.manual_seed(0)
    module = qt.prepare(torch.nn.GRU(I, H, 2, dropout=0.5), qconfig={}).train()
    x = torch.randn(4, 2, I)
    assert not torch.equal(module(x)[0], module(x)[0])
    module.eval()
    assert torch.equal(module(x)[0], module(x)[0])


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.filterwarnings("ignore:dropout option adds dropout after all but last:UserWarning")
def test_dropout_is_between_layers_alone(layers):
    """Not after the last one: where all is dropped, the last layer still says what it makes of zeros."""
    torch.manual_seed(0)
    module = qt.prepare(torch.nn.GRU(I, H, layers, dropout=1.0), qconfig={}).train()
    x = torch.randn(4, 2, I)
    output, h_n = module(x)
    assert output.ne(0).all() and torch.equal(output[-1], h_n[-1])
    assert (difference(module.eval()(x)[0], output) < 2e-3) == (layers == 1)


@pytest.mark.parametrize("quantized", [False, True])
def test_torch_engines_have_no_projection_to_prepare(quantized):
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.LSTM(4, 3, proj_size=2))
    model = qt.quantize_dynamic(model) if quantized else model
    before = list(model)
    with pytest.raises(ValueError, match="^1: proj_size: expected 0 with engine 'fbgemm'"):
        qt.prepare(model, qconfig={}, engine="fbgemm")
    assert list(model) == before


def test_eval_follows_the_qconfig():
    module, x = prepared("LSTM", "fbgemm").eval(), inputs("LSTM")
    before = module(*x)
    module.qconfig = qt.per_channel_dynamic_qconfig
    after = module(*x)
    assert not torch.equal(after[0], before[0])
    assert_equal_results(qt.convert(module, inplace=False)(*x), after)


def test_projections_train():
    torch.manual_seed(0)
    module = qt.prepare(torch.nn.LSTM(I, H, 2, proj_size=3, bidirectional=True), qconfig={}).train()
    x = torch.randn(4, 2, I)
    got = module(x)
    loss_of(got).backward()
    assert all(p.grad is not None for p in module.parameters())
    module.eval()
    assert difference(got, module(x)) < 2e-3
    assert_equal_results(qt.convert(module)(x), module(x))


# ---------------------------------------------------------------------------------------------------
# Training helps
# ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("engine", ["qrnn", "fbgemm"])
def test_training_lowers_the_loss_of_the_quantized_model(engine):
    """The task: the sum of a sequence. The loss is that of the converted model before and after."""
    torch.manual_seed(0)

    class Sum(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn, self.head = torch.nn.GRU(1, 16), torch.nn.Linear(16, 1)

        def forward(self, x):
            return self.head(self.rnn(x)[0][-1])

    def loss(model, x):
        return (model(x) - x.sum(0)).square().mean()

    model = qt.prepare(Sum(), qconfig={}, engine=engine)
    test = torch.randn(8, 64, 1)
    before = float(loss(qt.convert(model, inplace=False), test))
    optimiser = torch.optim.Adam(model.parameters(), 0.02)
    for _ in range(60):
        optimiser.zero_grad()
        loss(model, torch.randn(8, 32, 1)).backward()
        optimiser.step()
    after = float(loss(qt.convert(model), test))
    assert after < before / 5
