"""What a user adds to a torch layer: members of a subclass, and attributes of an instance."""

from __future__ import annotations

import pytest
from support.torch_models import Holder, assert_equal_results, difference, each_kind, inputs, make, torch
from torch import nn

import qrnn
import qrnn.torch as qt
from qrnn.torch.nn.quantized import dynamic

X = torch.randn(5, 3, 4, generator=torch.Generator().manual_seed(0))


class Starting(nn.GRU):
    """Has a method and a parameter, and no forward."""

    def __init__(self, *sizes):
        super().__init__(*sizes)
        self.h0 = nn.Parameter(torch.randn(1, 1, self.hidden_size))

    def start(self, rows):
        return self.h0.expand(-1, rows, -1).contiguous()


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = Starting(4, 8)

    def forward(self, x):
        return self.rnn(x, self.rnn.start(x.size(1)))[0]


@pytest.mark.parametrize("change", [qt.quantize_dynamic, lambda model: qt.prepare(model, qconfig={}, inplace=False)])
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_methods_of_a_subclass_are_not_lost(change):
    model = Model().eval()
    assert difference(change(model)(X), model(X)) < 0.05


class Sized(nn.LSTM):
    """Adds what every layer has, or loses with its floats; it sets a parameter."""

    def __init__(self, size):
        super().__init__(size, size)
        self.h0 = nn.Parameter(torch.ones(1, 1, size))

    def reset_parameters(self):
        super().reset_parameters()


class Checked(nn.LSTM):
    """A method of PyTorch's, which its forward calls."""

    def check_forward_args(self, *args):
        raise RuntimeError("mine")


class Mixin:
    limit = 3


class Mixed(nn.Linear, Mixin):
    pass


ADDS = {"__init__, start": Starting, "check_forward_args": Checked, "limit": Mixed}


@pytest.mark.parametrize("names", ADDS)
def test_a_subclass_with_members_stays_float(names):
    layer = ADDS[names](4, 8)
    text = rf"{type(layer).__qualname__} has members of its own \({names.removeprefix('__init__, ')}\)"
    for model in (nn.Sequential(layer), layer):
        with pytest.warns(UserWarning, match=f"{text} and is left float$"):
            new = qt.quantize_dynamic(model)
        assert type(layer) in {type(new), type(next(new.children(), None))}
    with pytest.warns(UserWarning, match=f"{text} and is left float$"):
        assert type(qt.convert(qt.prepare(nn.Sequential(layer), qconfig={}))[0]) is type(layer)
    name = next(cls for cls in type(layer).__mro__ if cls.__module__.startswith("torch.nn")).__name__
    for cls in (getattr(dynamic, name), getattr(qrnn, name)):
        with pytest.raises(TypeError, match=f"which {text.partition(' ')[2]}"):
            cls.from_float(layer)


def with_members(kind):
    """A layer on which a user set things of every sort."""
    layer = make(kind)
    layer.note, layer.plain = "mine", torch.ones(2)
    layer.h0 = nn.Parameter(torch.ones(3), requires_grad=False)
    layer.register_buffer("mean", torch.full((2,), 4.0))
    layer.register_buffer("passing", torch.zeros(1), persistent=False)
    layer.head = nn.Sequential(nn.Linear(8, 2))
    return layer


@each_kind
@pytest.mark.parametrize("inplace", [False, True])
def test_what_was_set_on_an_instance_goes_over(kind, inplace):
    layer, args = with_members(kind), inputs(kind)
    plain = qt.quantize_dynamic(make(kind))
    beside = type(plain).from_float(layer)
    quantized = qt.quantize_dynamic(Holder(layer), inplace=inplace).module
    prepared = qt.prepare(Holder(quantized), qconfig={}, inplace=False).module
    again = qt.convert(Holder(prepared), inplace=False).module
    trained = qt.convert(qt.prepare(Holder(with_members(kind)), qconfig={})).module
    for new in (beside, quantized, prepared, again, trained):
        assert new.note == "mine" and (new.plain == 1).all() and (new.mean == 4).all() and (new.passing == 0).all()
        names = {"h0", "mean"} | {each for each in new.state_dict() if each.startswith("head")}
        assert {each for each in new.state_dict() if each not in names} >= set(make(kind).state_dict())
        assert "passing" not in new.state_dict() and {"h0", "mean", "head.0.weight"} <= set(new.state_dict())
        assert {name for name, _ in new.named_parameters()} >= {"h0"}
    for new in (beside, quantized, again, trained):
        assert_equal_results(new(*args), plain(*args))
        if new is not beside:
            assert type(new.head[0]) is dynamic.Linear, "what is below is converted too"
        other = qt.quantize_dynamic(with_members(kind))
        other.mean.zero_()
        if new is not beside:
            other.load_state_dict(new.state_dict())
            assert (other.mean == 4).all()
    with torch.no_grad():
        beside.h0 += 1
        beside.mean += 1
    assert (layer.h0 == 1).all() and (layer.mean == 4).all(), "one made beside another has its own"


def test_a_subclass_without_members_is_its_base():
    for change in (qt.quantize_dynamic, lambda layer: qt.convert(qt.prepare(Holder(layer), qconfig={})).module):
        quantized = change(Sized(4))
        assert type(quantized) is dynamic.LSTM and (quantized.h0 == 1).all()


def test_a_quantized_subclass_with_members_is_not_prepared():
    class Quantized(dynamic.GRU):
        def start(self):
            return 0

    with pytest.warns(UserWarning, match=r"^0: .*Quantized has members of its own \(start\) and is left quantized"):
        prepared = qt.prepare(nn.Sequential(Quantized(4, 8), dynamic.Linear(8, 2)), qconfig={})
    assert type(prepared[0]) is Quantized and "Prepared" in type(prepared[1]).__name__
