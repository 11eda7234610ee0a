"""Recurrent layers of TorchScript modules: scripted, traced, loaded and frozen ones."""

from __future__ import annotations

import io
import warnings

import numpy as np
import pytest
from support import leaves
from support.torch_models import torch

import qrnn
import qrnn.torch as qt

LAYERS = {
    "relu": ("RNN", {"nonlinearity": "relu", "num_layers": 2}),
    "gru": ("GRU", {"batch_first": True, "bidirectional": True}),
    "gru_without_a_bias": ("GRU", {"bias": False, "num_layers": 2, "dropout": 0.25}),
    "lstm": ("LSTM", {"num_layers": 2, "bidirectional": True, "dropout": 0.5}),
    "projected": ("LSTM", {"proj_size": 2, "batch_first": True, "bias": False}),
}
CELLS = {
    "rnn": ("RNNCell", {}),
    "relu": ("RNNCell", {"nonlinearity": "relu", "bias": False}),
    "gru": ("GRUCell", {}),
    "lstm": ("LSTMCell", {"bias": False}),
}
pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")

X = torch.randn(3, 3, 4, generator=torch.Generator().manual_seed(0))


class Model(torch.nn.Module):
    """Layers some way down, and cells, each called twice."""

    def __init__(self):
        super().__init__()
        self.encoder = torch.nn.ModuleDict({name: make(*case) for name, case in LAYERS.items()})
        self.cells = torch.nn.ModuleDict({name: make(*case) for name, case in CELLS.items()})

    def forward(self, x):
        results = [layer(layer(x)[0].sum() * x)[0] for layer in self.encoder.values()]
        for cell in self.cells.values():
            state = cell(x[0])
            results.append(cell(x[1], state)[0])
        return results


def make(kind, options):
    return getattr(torch.nn, kind)(4, 3, **options)


def again(script):
    file = io.BytesIO()
    torch.jit.save(script, file)
    file.seek(0)
    return torch.jit.load(file)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return Model().eval()


@pytest.fixture(scope="module")
def forms(model):
    """The model as TorchScript modules, by what they have gone through."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        scripted, traced = torch.jit.script(model), torch.jit.trace(model, X)
        frozen = torch.jit.freeze(scripted)
        return {
            "scripted": scripted,
            "traced": traced,
            "scripted, loaded": again(scripted),
            "traced, loaded": again(traced),
            "scripted, frozen": frozen,
            "traced, frozen": torch.jit.freeze(traced),
            "scripted, frozen, loaded": again(frozen),
        }


def expect_same(ours, theirs):
    assert type(ours) is getattr(qrnn.nn, type(theirs).__name__)
    options = ("bias", "nonlinearity", "num_layers", "batch_first", "dropout", "bidirectional", "proj_size")
    for name in filter(lambda name: hasattr(theirs, name) and hasattr(ours, name), options):
        assert getattr(ours, name) == getattr(theirs, name), name
    for key, value in theirs.state_dict().items():
        np.testing.assert_array_equal(ours.state_dict()[key], value.numpy(), key)
    x = X if hasattr(theirs, "num_layers") else X[0]
    for got, want in zip(leaves(ours(x)), leaves(theirs(x)), strict=True):
        torch.testing.assert_close(got, want, rtol=0, atol=2e-6)


@pytest.mark.parametrize("form", ["scripted", "traced", "scripted, loaded", "traced, loaded"])
def test_by_the_names_of_submodules(model, forms, form):
    found = qt.recurrent_layers(forms[form])
    expected = [*(f"encoder.{name}" for name in LAYERS), *(f"cells.{name}" for name in CELLS)]
    assert sorted(found) == sorted(expected)
    for name, layer in found.items():
        expect_same(layer, model.get_submodule(name))


@pytest.mark.parametrize("form", ["scripted, frozen", "traced, frozen", "scripted, frozen, loaded"])
def test_frozen_ones(model, forms, form):
    """They have no submodules. Of a cell a frozen trace has nothing but products, and none is found there."""
    layers = list(qt.recurrent_layers(forms[form]).values())
    expected = [*model.encoder.values(), *(() if form == "traced, frozen" else model.cells.values())]
    assert len(layers) == len(expected)
    for theirs in expected:
        (ours,) = (each for each in layers if has_weights_of(each, theirs))
        expect_same(ours, theirs)


def has_weights_of(ours, theirs):
    state, other = ours.state_dict(), {key: value.numpy() for key, value in theirs.state_dict().items()}
    return list(state) == list(other) and all(np.array_equal(state[key], other[key]) for key in other)


def test_a_layer_alone_and_one_that_is_not_called(model, forms):
    alone = forms["scripted"].encoder.gru
    assert list(qt.recurrent_layers(alone)) == [""]
    expect_same(qt.recurrent_layers(alone)[""], model.encoder.gru)
    expect_same(qt.recurrent_layers(forms["traced"].cells.lstm)[""], model.cells.lstm)
    assert list(qt.recurrent_layers(forms["scripted"].encoder)) == list(LAYERS)  # which has no forward
    assert qt.recurrent_layers(torch.jit.script(torch.nn.Linear(4, 4))) == {}


class Packed(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = torch.nn.GRU(4, 3, batch_first=True)

    def forward(self, x, lengths):
        packed = torch.nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True)
        return self.rnn(packed)[1]


def test_packed_sequences():
    model = Packed().eval()
    script = torch.jit.script(model)
    ours = qt.recurrent_layers(script)["rnn"]
    lengths = torch.tensor([3, 2, 1])
    torch.testing.assert_close(ours(X, lengths=lengths)[1], script(X, lengths), rtol=0, atol=2e-6)


class Computed(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = torch.nn.GRU(4, 3)
        self.w = torch.nn.Parameter(torch.randn(9, 4))
        self.r = torch.nn.Parameter(torch.randn(9, 3))

    def forward(self, x):
        h = torch.zeros(1, 3, 3)
        y, _ = torch._VF.gru(x, h, [self.w * 2, self.r], False, 1, 0.0, False, False, False)
        return y + self.rnn(x)[0]


class Option(Computed):
    def forward(self, x):
        h = torch.zeros(1, 3, 3)
        y, _ = torch._VF.gru(x, h, [self.w, self.r], False, 1, 0.0, False, False, x.size(0) > 2)
        return y


class Own(Computed):
    def forward(self, x):
        h = torch.zeros(1, 3, 3)
        y, _ = torch._VF.gru(x, h, [self.w, self.r], False, 1, 0.0, False, False, False)
        return y + self.rnn(x)[0]


def test_what_is_no_constant_is_named():
    with pytest.raises(
        qrnn.FormatError, match="^aten::gru: params: expected a parameter or a constant, got aten::mul$"
    ):
        qt.recurrent_layers(torch.jit.script(Computed()))
    with pytest.raises(qrnn.FormatError, match="^aten::gru: batch_first: expected a parameter or a constant, got aten"):
        qt.recurrent_layers(torch.jit.script(Option()))
    assert sorted(qt.recurrent_layers(torch.jit.script(Own()))) == ["", "rnn"]
    for wrong in (Computed(), 3, None):
        with pytest.raises(TypeError, match="script: expected a torch.jit.ScriptModule, got "):
            qt.recurrent_layers(wrong)


def test_other_types_of_floats():
    for kind in (torch.float64, torch.bfloat16):
        layer = torch.nn.GRU(4, 3).to(kind)
        ours = qt.recurrent_layers(torch.jit.trace(layer, X.to(kind)))[""]
        np.testing.assert_array_equal(ours.weight_ih_l0, layer.weight_ih_l0.detach().float().numpy())
