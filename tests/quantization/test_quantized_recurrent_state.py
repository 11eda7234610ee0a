"""The quantized recurrent layers of every kind: weights, state, copies."""

from __future__ import annotations

import copy
import io
import pickle
import warnings

import numpy as np
import pytest
from support import assert_same_results
from support import reference as ref
from support.layers import SEQUENCES, inputs_of
from support.quantized_layers import MIXED, engine_for, make, mixed

import qrnn
from qrnn import nn
from qrnn.nn.quantized import dynamic as qd

pytestmark = pytest.mark.filterwarnings("error", "ignore:LSTM with projections:UserWarning")  # PyTorch's own


f32 = np.float32


# ---------------------------------------------------------------------------------------------------
# Weights, state, copies
# ---------------------------------------------------------------------------------------------------
def set_all(module, weights, biases):
    if module.sequence:
        module.set_weight_bias({**weights, **biases})
    else:
        module.set_weight_bias({"weight": weights, "bias": biases})


@mixed
def test_weight_bias_api(name, options):
    first, second = make(name, options), make(name, options)
    both = first._weight_bias()
    assert list(both) == ["weight", "bias"]
    assert list(both["weight"]) == list(first.get_weight()) and list(both["bias"]) == list(first.get_bias())
    assert not any(key.startswith("bias_hr") for key in both["bias"])
    set_all(second, **{"weights": both["weight"], "biases": both["bias"]})
    x, hx = inputs_of(first)
    want = first(x, hx)
    assert_same_results(second(x, hx), want)
    key = list(both["weight"])[-1]
    for bad, kind in (
        ({key: qrnn.QTensor(np.ones((2, 2), np.int8), f32(1))}, ValueError),
        ({key: np.ones(first.get_weight()[key].shape)}, TypeError),
    ):
        with pytest.raises(kind, match=key):
            set_all(second, {**both["weight"], **bad}, both["bias"])
    with pytest.raises(KeyError, match=key):
        set_all(second, {k: v for k, v in both["weight"].items() if k != key}, both["bias"])
    if first.bias:
        key = list(both["bias"])[-1]
        with pytest.raises(ValueError, match="all given or all None"):
            set_all(second, both["weight"], {**both["bias"], key: None})
        with pytest.raises(ValueError, match=key):
            set_all(second, both["weight"], {**both["bias"], key: np.ones(99)})
        with pytest.raises(KeyError, match=key):
            set_all(second, both["weight"], {k: v for k, v in both["bias"].items() if k != key})
    assert_same_results(second(x, hx), want, "nothing has changed")
    without = dict.fromkeys(both["bias"])
    set_all(second, both["weight"], without)
    assert second.bias is False and second.get_bias() == without


@mixed
def test_attributes(name, options):
    module = make(name, options)
    for key, value in module.get_bias().items():
        if value is None:
            assert getattr(module, key) is None
            with pytest.raises(AttributeError, match=key):
                setattr(module, key, np.ones(4))
            continue
        setattr(module, key, np.full(value.shape, 0.5))
        assert (getattr(module, key) == 0.5).all() and not getattr(module, key).flags.writeable
        with pytest.raises(ValueError, match=key):
            setattr(module, key, np.ones(99))
    for key in module.get_weight():
        with pytest.raises(AttributeError, match=key):
            getattr(module, key)
        with pytest.raises(AttributeError, match=key):
            setattr(module, key, np.ones(4))
    for key in ("bias_ih_l9", "bias_hr_l0", "_all_weight_values"):
        with pytest.raises(AttributeError, match=key):
            getattr(module, key)


@mixed
@pytest.mark.parametrize("engine", ["qrnn", "fbgemm"])
def test_state_dict(name, options, engine):
    """Plain arrays under PyTorch's names; through a file into a module of either scheme."""
    engine = engine_for(options, engine)
    module, model = make(name, options, engine=engine), getattr(nn, name)(5, 4, **options)
    want = {}
    for key, value in model.state_dict().items():
        if key == "format":
            continue
        if key.startswith("bias"):
            want[key] = ("float32", value.shape)
        else:
            want[key] = ("int8", value.shape)
            want[f"{key}_scale"] = ("float32", value.shape[:1] if engine in ref.ROW_ENGINES else ())
    state = module.state_dict()
    want["format"] = ("uint8", state["format"].shape)
    assert [(k, (v.dtype.name, v.shape)) for k, v in state.items()] == list(want.items())
    assert all(type(v) is np.ndarray for v in state.values())
    file = io.BytesIO()
    np.savez(file, **state)
    for other_engine in {engine, engine_for(options, "qnnpack"), "qrnn"}:
        file.seek(0)
        other = make(name, options, engine=other_engine)
        with np.load(file) as stored, warnings.catch_warnings():
            warnings.simplefilter("error" if other_engine == engine else "ignore")
            skipped = () if other_engine == engine else ("format",)  # which names the engine
            result = other.load_state_dict({key: stored[key] for key in stored if key not in skipped})
        assert result.missing_keys == result.unexpected_keys == []
        for key, value in other.state_dict().items():
            if key not in skipped:
                assert value.shape == state[key].shape and (value == state[key]).all()
        if other_engine == engine:
            x, hx = inputs_of(module)
            assert_same_results(other(x, hx), module(x, hx))


def lstm_and_gru():
    return nn.Sequential(qd.LSTM(4, 3, 2, bidirectional=True, proj_size=2), qd.GRUCell(4, 3))


def test_loads_name_everything_at_once():
    model = lstm_and_gru()
    good = model.state_dict()
    bad = dict(good)
    del bad["0.weight_hr_l1_reverse"], bad["0.weight_hr_l1_reverse_scale"], bad["0.bias_hh_l0"]
    bad["1.weight_hr"] = np.zeros(1)
    bad["0.weight_ih_l1"] = np.zeros((12, 3), np.int8)
    bad["0.weight_hh_l1_scale"] = np.zeros((), f32)
    bad["0.weight_hr_l0_scale"] = np.full(2, np.nan, f32)
    bad["0.weight_hr_l0"] = np.full((2, 3), 0.5)
    bad["1.bias_ih"] = np.zeros(3)
    for strict in (True, False):
        with pytest.raises(RuntimeError) as caught:
            model.load_state_dict(bad, strict=strict)
        lines = str(caught.value).split("\n\t")
        assert lines.pop(0) == "Error(s) in loading state_dict for Sequential:"
        if strict:
            assert lines.pop(0) == (
                'Missing key(s) in state_dict: "0.bias_hh_l0", "0.weight_hr_l1_reverse", '
                '"0.weight_hr_l1_reverse_scale".'
            )
            assert lines.pop(0) == 'Unexpected key(s) in state_dict: "1.weight_hr".'
        assert lines == [
            "0.weight_hr_l0: expected int8 codes, got float64",
            "0.weight_hr_l0_scale: expected finite, positive scales",
            "size mismatch for 0.weight_ih_l1: copying a param with shape (12, 3) from checkpoint, "
            "the shape in current model is (12, 4).",
            "0.weight_hh_l1_scale: expected finite, positive scales",
            "size mismatch for 1.bias_ih: copying a param with shape (3,) from checkpoint, "
            "the shape in current model is (9,).",
        ]
        for key, value in model.state_dict().items():
            np.testing.assert_array_equal(value, good[key], "a failed load changes nothing")


def test_loads_that_are_not_strict():
    model = lstm_and_gru()
    good = model.state_dict()
    part = {"0.weight_hr_l0": np.full((2, 3), 7), "0.weight_hr_l0_scale": 0.5, "0.bias_ih_l1": np.ones(12)}
    part["nothing"] = 1
    with pytest.warns(UserWarning, match=r"got no 0\.format"):
        result = model.load_state_dict(part, strict=False)
    assert result.unexpected_keys == ["nothing"]
    assert set(result.missing_keys) == {key for key in set(good) - set(part) if "format" not in key}
    state = model.state_dict()
    assert (state["0.weight_hr_l0"] == 7).all() and state["0.weight_hr_l0_scale"] == f32(0.5)
    assert (state["0.bias_ih_l1"] == 1).all()
    for key in set(good) - set(part):
        np.testing.assert_array_equal(state[key], good[key])
    for one in ("0.weight_hh_l1_reverse", "0.weight_hh_l1_reverse_scale"):
        with pytest.raises(RuntimeError, match="weight_hh_l1_reverse_scale go together: got only one of them"):
            model.load_state_dict({one: good[one]}, strict=False)


def test_a_float_state_does_not_load():
    with pytest.raises(RuntimeError, match='Missing.*"weight_ih_l0_scale"'):
        qd.LSTM(4, 3).load_state_dict(nn.LSTM(4, 3).state_dict())


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
    for name, options in MIXED:
        for engine in {engine_for(options), "qrnn"}:
            module = make(name, options, engine=engine).eval()
            if name in SEQUENCES:
                module.dropout = 0.25
            module.note = ["kept"]
            new = duplicate(module)
            x, hx = inputs_of(module)
            assert_same_results(new(x, hx), module(x, hx))
            assert type(new) is type(module) and repr(new) == repr(module) and new.note == ["kept"]
            assert (new.kind, new.sequence, new.proj_size) == (module.kind, module.sequence, module.proj_size)
            assert new.engine == engine and new.training is False
            for key, value in module.state_dict().items():
                assert new.state_dict()[key].shape == value.shape


def test_pickles_keep_no_instruction_set():
    for cls in (qd.LSTM, qd.GRUCell):
        scalar = cls(4, 3, isa="scalar")
        assert copy.deepcopy(scalar).isa == "scalar"
        assert pickle.loads(pickle.dumps(scalar)).isa == cls(4, 3).isa
