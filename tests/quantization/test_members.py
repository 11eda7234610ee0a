"""What a user adds to a layer: members of a subclass, and attributes of an instance."""

from __future__ import annotations

import numpy as np
import pytest

import qrnn
from qrnn import nn

X = np.random.default_rng(0).standard_normal((5, 3, 4)).astype(np.float32)


class Starting(nn.GRU):
    """Has a method, and no forward."""

    def start(self, rows):
        return np.zeros((1, rows, self.hidden_size), np.float32)


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = Starting(4, 8)

    def forward(self, x):
        return self.rnn(x, self.rnn.start(x.shape[1]))[0]


@pytest.mark.parametrize("change", [qrnn.quantize_dynamic, lambda model: qrnn.prepare(model, qconfig={})])
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_methods_of_a_subclass_are_not_lost(change):
    model = Model()
    assert np.abs(model(X) - change(model)(X)).max() < 0.05


class Sized(nn.LSTM):
    """Adds what every layer has, or loses with its floats."""

    def __init__(self, size):
        super().__init__(size, size)
        self.name = "sized"

    def reset_parameters(self):
        raise NotImplementedError

    def extra_repr(self):
        return "sized"


class Constant(nn.RNNCell):
    scale = 2


class Mixin:
    @property
    def first(self):
        return 1


class Mixed(nn.Linear, Mixin):
    pass


ADDS = {"start": Starting, "scale": Constant, "first": Mixed}


@pytest.mark.parametrize("name", ADDS)
def test_a_subclass_with_members_stays_float(name):
    layer = ADDS[name](4, 8)
    text = f"{type(layer).__qualname__} has members of its own \\({name}\\)"
    with pytest.warns(UserWarning, match=f"^0: {text} and is left float$"):
        assert qrnn.quantize_dynamic(nn.Sequential(layer))[0].__class__ is type(layer)
    prepared = qrnn.prepare(nn.Sequential(layer), qconfig={})
    with pytest.warns(UserWarning, match=f"^0: {text} and is left float$"):
        assert qrnn.convert(prepared)[0].__class__ is type(layer)
    base = next(cls for cls in type(layer).__mro__ if cls.__module__ == "qrnn.nn").__name__
    with pytest.raises(TypeError, match=f"from_float takes .*, which {text.partition(' ')[2]}"):
        getattr(qrnn, base).from_float(layer)


def test_a_subclass_without_members_is_its_base():
    layer = Sized(4)
    for quantized in (qrnn.quantize_dynamic(layer), qrnn.convert(qrnn.prepare(layer, qconfig={}))):
        assert type(quantized) is qrnn.LSTM and quantized.name == "sized"


@pytest.mark.parametrize("name", ["Linear", "RNNCell", "LSTM"])
@pytest.mark.parametrize("inplace", [False, True])
def test_what_was_set_on_an_instance_goes_over(name, inplace):
    layer = getattr(nn, name)(4, 8).eval()
    layer.note, layer.h0, layer.head = {"of": "mine"}, np.ones(8), nn.Sequential(nn.Linear(8, 2))
    model = nn.Sequential(layer)
    quantized = qrnn.quantize_dynamic(model, inplace=inplace)[0]
    prepared = qrnn.prepare(nn.Sequential(quantized), qconfig={}, inplace=False)
    back = qrnn.convert(prepared)[0]
    beside = getattr(qrnn, name).from_float(nn.Sequential(quantized, layer)[1])
    for new in (quantized, prepared[0], back, beside):
        assert new.note == {"of": "mine"} and (new.h0 == 1).all() and not new.training
        assert {key for key in new.state_dict() if "head" in key} >= {"head.0.weight", "head.0.bias"}
    assert type(quantized.head[0]) is type(back.head[0]) is qrnn.Linear, "what is below is converted too"
    assert "Prepared" in type(prepared[0].head[0]).__name__


def test_a_quantized_subclass_with_members_is_not_prepared():
    class Quantized(qrnn.GRU):
        def start(self):
            return 0

    model = nn.Sequential(Quantized(4, 8), qrnn.Linear(8, 2))
    with pytest.warns(UserWarning, match=r"^0: .*Quantized has members of its own \(start\) and is left quantized"):
        prepared = qrnn.prepare(model, qconfig={})
    assert type(prepared[0]) is Quantized and "Prepared" in type(prepared[1]).__name__
