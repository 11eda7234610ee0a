"""Parameters, copies and state of the recurrent layers of every kind."""

from __future__ import annotations

import copy
import io
import pickle

import numpy as np
import pytest
from support import assert_same_bits, assert_same_results, leaves
from support.layers import (
    ALL,
    OURS,
    SEQUENCES,
    a_few,
    inputs_of,
    make,
)

from qrnn import nn

pytestmark = pytest.mark.filterwarnings("error", "ignore:LSTM with projections:UserWarning")  # PyTorch's own


f32 = np.float32


# ---------------------------------------------------------------------------------------------------
# Parameters and state
# ---------------------------------------------------------------------------------------------------
@a_few
def test_assignment(name, options):
    module = make(name, options)
    x, hx = inputs_of(module)
    for key, old in module.state_dict().items():
        if key == "format":  # of layers that PyTorch lacks
            continue
        before = module(x, hx)
        value = np.full(old.shape, 0.125)
        setattr(module, key, value)
        value[:] = 7
        assert (getattr(module, key) == 0.125).all()
        assert any((a != b).any() for a, b in zip(leaves(module(x, hx)), leaves(before))), key
        with pytest.raises(ValueError, match=key):
            setattr(module, key, np.zeros((2, 2, 2)))
        with pytest.raises(TypeError, match=key):
            setattr(module, key, None)
    for key in ("kind", "input_size", "hidden_size", "bias"):
        with pytest.raises(AttributeError):
            setattr(module, key, 1)
    for key in ("weight_ih_l7", "bias_ih_l0_backward", "weight", "nothing"):
        with pytest.raises(AttributeError, match=key):
            getattr(module, key)


def test_assigning_biases_that_are_not_there():
    module = nn.LSTM(4, 3, bias=False)
    assert module.bias_ih_l0 is None and module.bias is False
    with pytest.raises(ValueError, match="bias_ih_l0"):
        module.bias_ih_l0 = np.zeros(12)


def test_options_are_fixed():
    module = nn.LSTM(4, 3)
    for key in ("num_layers", "batch_first", "bidirectional", "proj_size", "mode", "sequence"):
        with pytest.raises(AttributeError):
            setattr(module, key, 2)


@pytest.mark.parametrize(
    "duplicate",
    [
        copy.copy,
        copy.deepcopy,
        lambda m: pickle.loads(pickle.dumps(m)),
        lambda m: pickle.loads(pickle.dumps(m, 2)),
    ],
)
def test_copies_keep_everything(duplicate):
    for name, options in ALL + OURS:
        module = make(name, options).eval()
        if name in SEQUENCES:
            module.dropout = 0.25
        module.note = ["kept"]
        new = duplicate(module)
        x, hx = inputs_of(module)
        assert_same_results(new(x, hx), module(x, hx))
        assert type(new) is type(module) and repr(new) == repr(module) and new.note == ["kept"]
        assert (new.kind, new.sequence, new.proj_size) == (module.kind, module.sequence, module.proj_size)
        assert new.training is False and getattr(new, "dropout", 0) == getattr(module, "dropout", 0)


def test_copies_part():
    module = nn.GRU(4, 3)
    new = copy.deepcopy(module)
    new.weight_hh_l0 = np.zeros((9, 3))
    assert (module.weight_hh_l0 != 0).all() and (new.weight_hh_l0 == 0).all()


@a_few
def test_state_through_a_file(name, options):
    first, second = make(name, options), make(name, options)
    file = io.BytesIO()
    np.savez(file, **first.state_dict())
    file.seek(0)
    with np.load(file) as stored:
        result = second.load_state_dict(stored)
    assert result.missing_keys == [] and result.unexpected_keys == []
    x, hx = inputs_of(first)
    assert_same_results(second(x, hx), first(x, hx))


def test_loads_name_everything_at_once():
    model = nn.Sequential(nn.LSTM(4, 3, 2, bidirectional=True, proj_size=2), nn.GRUCell(4, 3))
    good = model.state_dict()
    bad = dict(good)
    del bad["0.weight_hr_l1_reverse"], bad["0.bias_hh_l0"]
    bad["0.weight_ih_l0_backward"] = bad["1.weight_hr"] = np.zeros(1)
    bad["0.weight_ih_l1"] = np.zeros((12, 3), f32)
    bad["1.bias_ih"] = np.zeros(3)
    with pytest.raises(RuntimeError) as caught:
        model.load_state_dict(bad)
    assert str(caught.value).split("\n\t") == [
        "Error(s) in loading state_dict for Sequential:",
        'Missing key(s) in state_dict: "0.bias_hh_l0", "0.weight_hr_l1_reverse".',
        'Unexpected key(s) in state_dict: "0.weight_ih_l0_backward", "1.weight_hr".',
        "size mismatch for 0.weight_ih_l1: copying a param with shape (12, 3) from checkpoint, "
        "the shape in current model is (12, 4).",
        "size mismatch for 1.bias_ih: copying a param with shape (3,) from checkpoint, "
        "the shape in current model is (9,).",
    ]
    for key, value in model.state_dict().items():
        assert_same_bits(value, good[key], "a failed load changes nothing")
    del bad["0.weight_ih_l1"], bad["1.bias_ih"]
    bad["0.weight_hh_l0"] = np.zeros((12, 2))
    result = model.load_state_dict(bad, strict=False)
    assert set(result.missing_keys) == {
        "0.bias_hh_l0", "0.weight_hr_l1_reverse", "0.weight_ih_l1", "1.bias_ih"
    }  # fmt: skip
    assert result.unexpected_keys == ["0.weight_ih_l0_backward", "1.weight_hr"]
    assert (model[0].weight_hh_l0 == 0).all()
    assert_same_bits(model[0].bias_hh_l0, good["0.bias_hh_l0"])


def test_loads_of_other_options():
    """A projection, a direction, a layer or biases more or less are missing or unexpected keys."""
    state = nn.LSTM(4, 3).state_dict()
    for options, text in (
        ({"num_layers": 2}, "weight_ih_l1"),
        ({"bidirectional": True}, "weight_ih_l0_reverse"),
        ({"proj_size": 2}, "weight_hr_l0"),
        ({"bias": False}, "bias_ih_l0"),
    ):
        with pytest.raises(RuntimeError, match=text):
            nn.LSTM(4, 3, **options).load_state_dict(state)
