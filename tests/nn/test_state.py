"""state_dict, copies and pickles of a tree of modules."""

from __future__ import annotations

import copy
import io
import pickle
import warnings

import numpy as np
import pytest
from support import assert_same_bits
from support.nn_models import Inner, Outer

from qrnn import nn
from qrnn.nn.quantized import dynamic as qd

f32 = np.float32


# ---------------------------------------------------------------------------------------------------
# state_dict, copies, pickles
# ---------------------------------------------------------------------------------------------------
def test_state_dict_keys_and_types():
    state = Outer().state_dict()
    assert list(state) == [
        "first.cell.weight_ih",
        "first.cell.weight_hh",
        "first.cell.bias_ih",
        "first.cell.bias_hh",
        "layers.0.weight",
        "layers.0.bias",
        "layers.1.weight",
        "layers.1.bias",
        "head.0.weight",
        "head.0.bias",
    ]
    assert all(type(v) is np.ndarray and v.dtype == f32 for v in state.values())
    assert list(nn.RNNCell(2, 2, bias=False).state_dict()) == ["weight_ih", "weight_hh"]


def test_state_dict_is_a_copy():
    model = Inner()
    model.state_dict()["cell.weight_ih"][:] = 9
    assert (model.cell.weight_ih != 9).all()


@pytest.mark.parametrize("saver", [np.savez, np.savez_compressed])
def test_state_dict_through_a_file(saver):
    a, b = Outer(), Outer()
    x = np.random.default_rng(82).standard_normal((3, 4)).astype(f32)
    file = io.BytesIO()
    saver(file, **a.state_dict())
    file.seek(0)
    with np.load(file) as stored:
        assert "All keys matched" in str(b.load_state_dict(stored))
    assert_same_bits(b(x), a(x))


def test_load_state_dict_not_strict():
    a, b = Outer(), Outer()
    state = a.state_dict()
    del state["head.0.bias"]
    state["extra"] = np.zeros(1)
    kept = b.head[0].bias
    result = b.load_state_dict(state, strict=False)
    assert result.missing_keys == ["head.0.bias"] and result.unexpected_keys == ["extra"]
    assert_same_bits(b.head[0].bias, kept)
    assert_same_bits(b.head[0].weight, a.head[0].weight)


@pytest.mark.parametrize("entries", [("0",), ("1",), ("0", "1")])
@pytest.mark.parametrize("cls", [nn.Linear, nn.LSTMCell, nn.GRU, qd.Linear, qd.LSTMCell, qd.GRU])
def test_a_module_referenced_twice_takes_entries_under_both_names(cls, entries):
    """Of two names that have entries the later one counts, as in PyTorch."""
    shared, others = cls(3, 2), [cls(3, 2) for _ in entries]
    model = nn.Sequential(shared, shared)
    state = {f"{at}.{n}": v for at, other in zip(entries, others) for n, v in other.state_dict().items()}
    model.load_state_dict(state, strict=False)
    for name, value in others[-1].state_dict().items():
        np.testing.assert_array_equal(shared.state_dict()[name], value)


@pytest.mark.parametrize("cls", [nn.Linear, qd.Linear])
def test_two_names_can_share_out_the_entries(cls):
    shared, first, second = cls(3, 2), cls(3, 2), cls(3, 2)
    state = {f"1.{n}": v for n, v in second.state_dict().items() if n != "bias"}
    nn.Sequential(shared, shared).load_state_dict({"0.bias": first.state_dict()["bias"], **state}, strict=False)
    np.testing.assert_array_equal(shared.state_dict()["bias"], first.state_dict()["bias"])
    np.testing.assert_array_equal(shared.state_dict()["weight"], second.state_dict()["weight"])


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies(duplicate):
    model = Outer()
    model.eval()
    new = duplicate(model)
    x = np.random.default_rng(83).standard_normal((3, 4)).astype(f32)
    assert_same_bits(new(x), model(x))
    assert new is not model and not new.training and new.number == 7
    cell = duplicate(model.first.cell)
    cell.bias_ih = np.full(3, 5, f32)
    assert (model.first.cell.bias_ih != 5).all(), "a copy's new weights are its own"


@pytest.mark.parametrize("cls", [nn.Linear, nn.GRUCell, nn.LSTM])
def test_codes_are_no_float_weights(cls):
    layer = cls(3, 2)
    before, codes = layer.state_dict(), getattr(qd, cls.__name__)(3, 2).state_dict()
    with pytest.raises(RuntimeError, match="weight"):
        layer.load_state_dict(codes, strict=False)
    for name, value in layer.state_dict().items():
        np.testing.assert_array_equal(value, before[name])


@pytest.mark.parametrize("value", [np.nan, -np.inf, 1e39])
@pytest.mark.parametrize("name", ["weight_hh_l0", "bias_ih_l0"])
def test_values_that_are_not_finite_do_not_load(name, value):
    layer, state = nn.LSTM(3, 2), nn.LSTM(3, 2).state_dict()
    want, state[name] = layer.state_dict(), state[name].astype(float)
    state[name].flat[3] = value
    for strict in (True, False):
        with pytest.raises(RuntimeError, match=f"{name}: expected finite values, got"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            layer.load_state_dict(state, strict=strict)
    for key, array in layer.state_dict().items():
        np.testing.assert_array_equal(array, want[key])


@pytest.mark.parametrize("codes", [np.int8, np.uint8, np.int64, bool])
def test_arrays_of_integers_are_no_float_weights(codes):
    """Neither in a load nor in an assignment; a list of Python's integers is something that was written."""
    layer, array = nn.Linear(3, 2), np.ones((2, 3), codes)
    with pytest.raises(TypeError, match="weight: expected floating-point values, got"):
        layer.weight = array
    for value in (array, array.tolist()):
        with pytest.raises(RuntimeError, match="weight: expected floating-point values, got"):
            layer.load_state_dict({"weight": value}, strict=False)
    layer.weight = [[1, 2, 3], [4, 5, 6]]
    assert layer.weight[1, 2] == 6
