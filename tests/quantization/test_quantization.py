"""quantize_dynamic: what is chosen and how; PyTorch's rules, and where qrnn differs."""

from __future__ import annotations

import numpy as np
import pytest
from support import assert_same_bits, needs_torch
from support import reference as ref
from support.quantization_models import ALL_LEAVES, LEAVES, Everything, Model, X, no_qconfig_is_left, quantized, schemes

import qrnn
from qrnn import nn
from qrnn import quantization as q
from qrnn.nn.quantized import dynamic as qd

pytestmark = pytest.mark.filterwarnings("error")  # one that no test expects is a failure


TENSOR, CHANNEL = q.default_dynamic_qconfig, q.per_channel_dynamic_qconfig


# ---------------------------------------------------------------------------------------------------
# quantize_dynamic
# ---------------------------------------------------------------------------------------------------
def test_everything_by_default():
    model = Model()
    before = model.state_dict()
    new = qrnn.quantize_dynamic(model)
    assert quantized(new) == set(LEAVES) and quantized(model) == set()
    assert new is not model and not new.training and model.training
    assert no_qconfig_is_left(new) and no_qconfig_is_left(model)
    assert list(model.state_dict()) == list(before)
    for name, value in model.state_dict().items():
        assert_same_bits(value, before[name])
    assert np.abs(new(X) - model(X)).max() < 0.1
    assert all(m.engine == "qrnn" for m in new.modules() if isinstance(m, (qd.RNNCell, qd.Linear)))


@pytest.mark.parametrize(
    "model, spec, expected",
    [
        (Model, {nn.RNNCell}, {"cell", "sub.2"}),
        (Model, {nn.Linear}, {"fc", "sub.0"}),
        (Model, {nn.RNNCell, "fc"}, {"cell", "sub.2", "fc"}),
        (Model, {"sub"}, {"sub.0", "sub.2"}),
        (Model, {"sub.0"}, {"sub.0"}),
        (Model, {"cell": TENSOR}, {"cell"}),
        (Model, {nn.RNNCell: TENSOR, "cell": None}, {"sub.2"}),
        (Model, {"sub": TENSOR, "sub.2": None}, {"sub.0"}),
        (Model, {"": TENSOR}, set(LEAVES)),
        (Model, {"": TENSOR, "fc": None}, set(LEAVES) - {"fc"}),
        (Model, None, set(LEAVES)),
        (Model, TENSOR, set(LEAVES)),
        (Everything, {nn.LSTM}, {"lstm"}),
        (Everything, {nn.GRU, nn.RNN}, {"gru", "rnn"}),
        (Everything, {nn.GRUCell, "lstm"}, {"cells.2", "lstm"}),
        (Everything, {nn.LSTMCell: TENSOR, nn.RNN: CHANNEL, "rnn": None}, {"cells.1"}),
        (Everything, {"cells": TENSOR}, {"cells.0", "cells.1", "cells.2"}),
        (Everything, None, set(ALL_LEAVES)),
    ],
    ids=str,
)
def test_spec_by_type_name_set_and_none(model, spec, expected):
    assert quantized(qrnn.quantize_dynamic(model(), spec)) == expected


def test_spec_chooses_the_scheme():
    """A name stands above a type, a type above the parent."""
    spec = {nn.Linear: TENSOR, "sub": CHANNEL, "fc": CHANNEL}
    assert schemes(qrnn.quantize_dynamic(Model(), spec)) == {
        "fc": "channel",
        "sub.0": "tensor",
        "sub.2": "channel",
    }


def test_an_attribute_stands_above_all():
    model = Model()
    model.fc.qconfig = TENSOR
    model.cell.qconfig = None
    got = schemes(qrnn.quantize_dynamic(model, {nn.Linear: CHANNEL, nn.RNNCell: CHANNEL, "fc": CHANNEL}))
    assert got == {"fc": "tensor", "sub.0": "channel", "sub.2": "channel"}


def test_nothing_chosen_warns():
    for spec in ({}, set(), {nn.RNNCell: None}):
        with pytest.warns(UserWarning, match="qconfig"):
            assert quantized(qrnn.quantize_dynamic(Model(), spec)) == set()
    with pytest.warns(UserWarning):
        qrnn.quantize_dynamic(nn.Sequential(nn.ReLU()), {nn.Linear})


def test_a_name_that_is_not_there_warns():
    with pytest.warns(UserWarning, match="nowhere"):
        assert quantized(qrnn.quantize_dynamic(Model(), {"nowhere": TENSOR, "fc": TENSOR})) == {"fc"}


def test_in_place():
    model = Model()
    fc = model.fc
    assert qrnn.quantize_dynamic(model, inplace=True) is model
    assert quantized(model) == set(LEAVES) and model.fc is not fc


def test_bias_free_cells():
    """PyTorch refuses them: 'mod.bias must be True'."""
    model = nn.Sequential(nn.RNNCell(4, 3, bias=False), nn.Linear(3, 2, bias=False))
    new = qrnn.quantize_dynamic(model)
    assert quantized(new) == {"0", "1"} and new[0].bias_ih is None
    assert np.abs(new(X) - model(X)).max() < 0.05


@pytest.mark.parametrize("qconfig, scheme", [(TENSOR, "tensor"), (CHANNEL, "channel")])
def test_qconfigs_reach_the_weights(qconfig, scheme):
    model = nn.Sequential(nn.RNNCell(4, 3))
    got = qrnn.quantize_dynamic(model, {nn.RNNCell: qconfig}, engine="fbgemm")
    assert schemes(got) == {"0": scheme}
    want = ref.weight_torch(model[0].weight_hh, scheme == "channel")
    np.testing.assert_array_equal(got[0].get_weight()["weight_hh"].int_repr(), want.codes)


def test_bad_arguments():
    model = Model()
    for call, kind, text in (
        (lambda: qrnn.quantize_dynamic(3), TypeError, "model"),
        (lambda: qrnn.quantize_dynamic(model, [nn.RNNCell]), TypeError, "qconfig_spec"),
        (lambda: qrnn.quantize_dynamic(model, {3: TENSOR}), TypeError, "qconfig_spec"),
        (lambda: qrnn.quantize_dynamic(model, {nn.RNNCell: 3}), TypeError, "qconfig_spec"),
        (lambda: qrnn.quantize_dynamic(model, dtype=qrnn.float16), ValueError, "float16"),
        (lambda: qrnn.quantize_dynamic(model, dtype=qrnn.quint8), ValueError, "quint8"),
        (lambda: qrnn.quantize_dynamic(model, engine="no"), ValueError, "engine"),
        (lambda: qrnn.quantize_dynamic(model, isa="no"), ValueError, "isa"),
        (lambda: qrnn.prepare(3), TypeError, "model"),
        (lambda: qrnn.prepare(model, qconfig=3), TypeError, "qconfig"),
        (lambda: qrnn.prepare(model, qconfig={}, engine="no"), ValueError, "engine"),
        (lambda: qrnn.convert(3), TypeError, "module"),
        (lambda: qrnn.convert(model, engine="no"), ValueError, "engine"),
        (lambda: q.propagate_qconfig_(model, 3), TypeError, "qconfig_dict"),
    ):
        with pytest.raises(kind, match=text):
            call()
        assert quantized(model) == set() and no_qconfig_is_left(model)


def test_failure_changes_nothing():
    """A weight that cannot be quantized, in place: the model stays as it was, in full."""
    model = Model()
    model.sub[2].weight_hh = np.full((3, 3), np.nan)
    before = list(model.modules())
    with pytest.raises(ValueError, match="weight_hh"):
        qrnn.quantize_dynamic(model, inplace=True)
    assert list(model.modules()) == before and no_qconfig_is_left(model) and model.training


def tied():
    """A layer under two names at the top, and one in two parts of the model."""
    model = nn.Module()
    model.a = nn.Linear(2, 2)
    model.b = model.a
    model.c = nn.Linear(2, 2)
    model.p = nn.Sequential(nn.Linear(2, 2))
    model.q = nn.Sequential(model.p[0])
    return model


@pytest.mark.parametrize(
    "spec, expected",
    [
        ({"b", "c"}, {"a", "c"}),
        ({"a", "b"}, {"a"}),
        ({nn.Linear: CHANNEL, "b": None}, {"c", "p.0"}),
        ({nn.Linear: CHANNEL, "a": None, "q.0": None}, {"c"}),
        ({"q"}, {"p.0"}),
        ({"q.0"}, {"p.0"}),
        ({"": CHANNEL, "p": None, "q": None}, {"a", "c"}),
        ({"p": None, "q": CHANNEL, "q.0": TENSOR}, {"p.0"}),
    ],
)
def test_every_name_of_a_shared_module_counts(spec, expected):
    new = qrnn.quantize_dynamic(tied(), spec)
    assert quantized(new) == expected
    assert new.a is new.b and new.p[0] is new.q[0]


@pytest.mark.parametrize(
    "spec, names",
    [({"a": CHANNEL, "b": None}, ("a", "b")), ({"a": CHANNEL, "b": TENSOR}, ("a", "b")),
     ({"": CHANNEL, "q": None}, ("p.0", "q.0"))],
)  # fmt: skip
def test_names_of_a_shared_module_that_disagree(spec, names):
    model = tied()
    one, two = names
    text = f"^qconfig_spec: expected one choice for '{one}' and '{two}', which are the same module, got "
    with pytest.raises(ValueError, match=text):
        qrnn.quantize_dynamic(model, spec, inplace=True)
    with pytest.raises(ValueError, match="^qconfig: expected one choice"):
        qrnn.prepare(model, qconfig=spec)
    assert not quantized(model) and type(model.a) is nn.Linear


@needs_torch
def test_names_of_a_shared_module_in_torch_models():
    import torch

    import qrnn.torch as qt

    linear = torch.nn.Linear(5, 5)
    model = torch.nn.ModuleDict({"a": linear, "b": torch.nn.Sequential(linear), "c": torch.nn.Linear(5, 5)})
    for spec in ({"b"}, {"b.0"}, {"a", "b.0"}):
        new = qt.quantize_dynamic(model, spec)
        assert new["a"] is new["b"][0] and "DynamicQuantized" in repr(new["a"])
        assert type(new["c"]) is torch.nn.Linear
    new = qt.quantize_dynamic(model, {torch.nn.Linear: CHANNEL, "b.0": None})
    assert type(new["a"]) is torch.nn.Linear and "DynamicQuantized" in repr(new["c"])
    with pytest.raises(ValueError, match="^qconfig_spec: expected one choice for 'a' and 'b.0', which"):
        qt.quantize_dynamic(model, {"": CHANNEL, "b": None})


def test_a_choice_in_a_model_with_a_cycle():
    model = tied()
    model.p.top = model
    q.propagate_qconfig_(model, {"b": CHANNEL, "p.0": TENSOR})
    assert [each.qconfig for each in (model.a, model.c, model.q[0])] == [CHANNEL, None, TENSOR]


def test_mapping():
    class Mine(nn.Module):
        @classmethod
        def from_float(cls, mod):
            assert mod.qconfig is not None
            new = cls()
            new.was = type(mod)
            return new

    new = qrnn.quantize_dynamic(Model(), mapping={nn.Linear: Mine})
    assert type(new.fc) is Mine and new.fc.was is nn.Linear and type(new.cell) is nn.RNNCell
    mapping = q.get_default_dynamic_quant_module_mappings()
    names = ("Linear", "RNNCell", "LSTMCell", "GRUCell", "RNN", "LSTM", "GRU")
    assert mapping == {getattr(nn, name): getattr(qd, name) for name in names}
    mapping.clear()
    assert q.get_default_dynamic_quant_module_mappings(), "each call gives a new dict"
