"""Quantized layers of qrnn.torch: what travels in a pickle, copies of what refers to itself, moves to other devices."""

from __future__ import annotations

import copy
import io
import pickle

import pytest
from support.torch_layers import quantized
from support.torch_models import assert_equal_results, each_kind, inputs, make, torch

import qrnn.torch as qt
from qrnn import _core
from qrnn.torch.nn.quantized import dynamic


@pytest.mark.parametrize("kind", ["Linear", "LSTMCell", "GRU", "LSTM-projected"])
def test_copies_keep_the_instruction_set_and_pickles_do_not(kind):
    """A pickle may be read where the CPU has others: there the best one of that CPU computes."""
    module, best = qt.quantize_dynamic(make(kind), isa="scalar"), _core.isas()[-1]
    buffer = io.BytesIO()
    torch.save(module, buffer)
    buffer.seek(0)
    assert module.isa == "scalar"
    assert [each(module).isa for each in (copy.copy, copy.deepcopy)] == ["scalar"] * 2
    travelled = pickle.loads(pickle.dumps(module)), torch.load(buffer, weights_only=False)
    assert [each.isa for each in travelled] == [best] * 2
    assert all(value != "scalar" for value in module.__getstate__().values())


@each_kind
@pytest.mark.parametrize("move", ["to", "to_empty", "to from a model", "type"])
def test_weights_stay_where_they_are(kind, move):
    """Codes, scales and biases are the CPU's, whatever a model is moved to."""
    module, args = quantized(kind), inputs(kind)
    want, before = module(*args), dict(module.named_buffers())
    if move == "to":
        module.to("meta")
    elif move == "to_empty":
        module.to_empty(device="meta")
    elif move == "type":
        module.type(torch.float64)
    else:
        model = torch.nn.Sequential(module, torch.nn.Linear(2, 2)).to("meta")
        assert model[1].weight.is_meta
    assert all(tensor is before[name] for name, tensor in module.named_buffers())
    assert_equal_results(module(*args), want)


@pytest.mark.parametrize("kind", ["Linear", "GRUCell", "LSTM"])
@pytest.mark.parametrize("prepared", [False, True])
def test_a_deep_copy_of_a_cycle_refers_to_itself(kind, prepared):
    """The layer of an attribute that leads back to it is copied once, with what the attribute leads to."""
    module = qt.prepare(make(kind), qconfig={}).eval() if prepared else quantized(kind)
    module.notes = {"owner": [module]}
    new = copy.deepcopy(module)
    assert new is not module and new.notes["owner"][0] is new
    assert module.notes["owner"][0] is module
    assert_equal_results(new(*inputs(kind)), module(*inputs(kind)))
    again = pickle.loads(pickle.dumps(module))
    assert again.notes["owner"][0] is again


def test_a_layer_shared_by_a_model_is_copied_once():
    layer = quantized("Linear")
    model = torch.nn.ModuleList([layer, layer])
    new = copy.deepcopy(model)
    assert new[0] is new[1] is not layer


@pytest.mark.parametrize("reverse", [False, True])
def test_a_subclass_and_its_base_in_one_spec(reverse):
    """As on the NumPy side: each goes by its own type, in whatever order they are named."""

    class Mine(torch.nn.Linear):
        pass

    model = torch.nn.Sequential(torch.nn.Linear(3, 3), Mine(3, 3))
    for chosen, want in (
        ({torch.nn.Linear: None, Mine: qt.default_dynamic_qconfig}, [False, True]),
        ({torch.nn.Linear: qt.default_dynamic_qconfig, Mine: None}, [True, False]),
    ):
        spec = dict(reversed(chosen.items())) if reverse else chosen
        assert [isinstance(each, dynamic.Linear) for each in qt.quantize_dynamic(model, spec)] == want
