"""prepare and convert: PyTorch's rules, and where qrnn differs."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from support import assert_same_bits
from support import reference as ref
from support.quantization_models import LEAVES, Model, X, no_qconfig_is_left, quantized, schemes

import qrnn
from qrnn import nn
from qrnn import quantization as q
from qrnn.nn.quantized import dynamic as qd

pytestmark = pytest.mark.filterwarnings("error")  # one that no test expects is a failure


f32 = np.float32

TENSOR, CHANNEL = q.default_dynamic_qconfig, q.per_channel_dynamic_qconfig


# ---------------------------------------------------------------------------------------------------
# prepare and convert
# ---------------------------------------------------------------------------------------------------
def test_prepare_copies_without_qconfig():
    """As in PyTorch: the model is left alone, qconfigs come from attributes."""
    model = Model()
    q.propagate_qconfig_(model, {"": TENSOR})
    prepared = qrnn.prepare(model)
    assert prepared is not model and type(model.cell) is nn.RNNCell and type(prepared.cell) is not nn.RNNCell
    assert_same_bits(prepared(X), model(X))
    new = qrnn.convert(prepared)
    assert new is not prepared and quantized(new) == set(LEAVES) and quantized(prepared) == set()
    assert no_qconfig_is_left(new) and set(schemes(new).values()) == {"tensor"}


def test_a_copy_of_a_marked_model_is_not_marked():
    """prepare(qconfig=...) marks what it prepared in place; a copy of that is converted into another."""
    marked = qrnn.prepare(nn.Sequential(nn.Linear(2, 2)), qconfig={})
    copied = qrnn.prepare(marked, qconfig={}, inplace=False)
    assert qrnn.convert(copied) is not copied
    assert qrnn.convert(marked) is marked


def test_prepare_with_qconfig_works_in_place():
    """The tutorial drops what prepare and convert return."""
    model = Model()
    assert qrnn.prepare(model, qconfig={}) is model
    assert type(model.cell) is not nn.RNNCell and isinstance(model.cell, nn.RNNCell)
    assert qrnn.convert(model) is model
    assert quantized(model) == set(LEAVES) and no_qconfig_is_left(model)
    q.propagate_qconfig_(again := Model(), {"": TENSOR})
    qrnn.prepare(again, inplace=True)
    assert qrnn.convert(again) is not again, "the mark was for one convert of one model only"


def test_the_mark_is_removed():
    model = Model()
    qrnn.prepare(model, qconfig={})
    qrnn.convert(model)
    with pytest.warns(UserWarning, match="qconfig"):
        assert qrnn.convert(model) is model
    assert set(vars(model)) == set(vars(Model()))


@pytest.mark.parametrize("given", [True, False])
def test_inplace_means_what_it_says(given):
    model = Model()
    prepared = qrnn.prepare(model, inplace=given, qconfig={})
    assert (prepared is model) is given
    kept = copy.deepcopy(prepared)
    new = qrnn.convert(prepared)
    assert new is not prepared and quantized(prepared) == set(), "prepare(inplace=...) leaves no mark"
    new = qrnn.convert(kept, inplace=given)
    assert (new is kept) is given and quantized(new) == set(LEAVES)


def test_convert_of_what_nobody_prepared():
    model = Model()
    with pytest.warns(UserWarning, match="None of the submodule got qconfig applied"):
        assert qrnn.convert(model) is model
    with pytest.warns(UserWarning, match="None of the submodule got qconfig applied"):
        qrnn.prepare(nn.Sequential(nn.Tanh()), qconfig={})
    assert quantized(model) == set()


def test_remove_qconfig():
    model = Model()
    q.propagate_qconfig_(model, {nn.RNNCell: TENSOR})
    assert hasattr(qrnn.convert(model, remove_qconfig=False), "qconfig")
    assert no_qconfig_is_left(qrnn.convert(model))


def test_training_between():
    """Weights changed between prepare and convert are what is quantized."""
    model = Model()
    qrnn.prepare(model, qconfig={})
    new_weight = np.random.default_rng(101).standard_normal((4, 4)).astype(f32)
    model.cell.weight_ih = new_weight
    assert_same_bits(model.cell.weight_ih, new_weight)
    qrnn.convert(model)
    want = ref.weight_qrnn(new_weight)
    got = model.cell.get_weight()["weight_ih"]
    np.testing.assert_array_equal(got.int_repr(), want.codes)
    assert_same_bits(got.q_per_channel_scales(), want.scale)


def test_prepared_modules_are_float_modules():
    model = Model()
    want = model(X)
    qrnn.prepare(model, qconfig={}, engine="fbgemm")
    assert_same_bits(model(X), want)
    state = model.state_dict()
    assert list(state) == list(Model().state_dict()), "a float model's state"
    Model().load_state_dict(state)
    for again in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        new = qrnn.convert(again)
        assert quantized(new) == set(LEAVES) and new.cell.engine == "fbgemm"


def test_the_engine_is_fixed_at_prepare():
    model = Model()
    with qrnn.engine("qnnpack"):
        qrnn.prepare(model, qconfig={})
    with pytest.raises(ValueError, match="qnnpack"):
        qrnn.convert(model, engine="fbgemm")
    assert quantized(model) == set()
    with qrnn.engine("fbgemm"):
        qrnn.convert(model)
    assert model.cell.engine == "qnnpack"


def test_prepare_twice():
    model = Model()
    qrnn.prepare(model, qconfig={})
    cell = model.cell
    qrnn.prepare(model, qconfig={})
    assert model.cell is cell
    qrnn.convert(model)
    assert quantized(model) == set(LEAVES)


def test_names_and_types_in_prepare():
    model = Model()
    qrnn.prepare(model, qconfig={nn.RNNCell: CHANNEL, "cell": None})
    assert type(model.cell) is nn.RNNCell and type(model.sub[2]) is not nn.RNNCell
    qrnn.convert(model)
    assert quantized(model) == {"sub.2"}


def test_prepare_one_qconfig_for_all():
    model = Model()
    qrnn.prepare(model, qconfig=TENSOR)
    qrnn.convert(model)
    assert schemes(model) == dict.fromkeys(LEAVES, "tensor")


def test_from_float_of_a_prepared_module():
    prepared = qrnn.prepare(nn.RNNCell(4, 3), qconfig={}, engine="fbgemm")
    assert qd.RNNCell.from_float(prepared).engine == "fbgemm"


def test_hooks_survive_on_modules_that_run_in_python():
    model, calls = Model(), []
    model.sub.register_forward_hook(lambda m, args, result: calls.append(1))
    new = qrnn.quantize_dynamic(model)
    new(X)
    assert calls == [1]


def test_converted_models_copy_pickle_and_save():
    new = qrnn.quantize_dynamic(Model())
    want = new(X)
    for again in (copy.deepcopy(new), pickle.loads(pickle.dumps(new))):
        assert_same_bits(again(X), want)
    other = qrnn.quantize_dynamic(Model())
    other.load_state_dict(new.state_dict())
    assert_same_bits(other(X), want)


def test_size_shrinks():
    """A quarter of the float weights' size, and a little."""
    model = nn.Sequential(nn.RNNCell(256, 256), nn.Linear(256, 64))
    assert qrnn.quantize_dynamic(model).nbytes < 0.28 * model.nbytes
