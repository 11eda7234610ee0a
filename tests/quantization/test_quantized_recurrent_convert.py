"""The quantized recurrent layers of every kind: quantize_dynamic, prepare and convert."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from support import assert_same_bits, assert_same_results, needs_torch
from support import reference as ref
from support.layers import CELLS, SEQUENCES, inputs_of
from support.quantization_models import ALL_LEAVES, Everything, no_qconfig_is_left, quantized
from support.quantized_layers import MIXED, any_layer, engine_for, make, mixed, result_of
from support.reference import ENGINES

import qrnn
from qrnn import nn
from qrnn import quantization as q
from qrnn.nn.quantized import dynamic as qd

pytestmark = pytest.mark.filterwarnings("error", "ignore:LSTM with projections:UserWarning")  # PyTorch's own


f32 = np.float32
TENSOR, CHANNEL = q.default_dynamic_qconfig, q.per_channel_dynamic_qconfig


# ---------------------------------------------------------------------------------------------------
# prepare, convert, quantize_dynamic
# ---------------------------------------------------------------------------------------------------
X = np.random.default_rng(120).standard_normal((6, 3, 4)).astype(f32)


@pytest.mark.parametrize("engine", ENGINES)
def test_quantize_dynamic(engine):
    model = Everything()
    new = qrnn.quantize_dynamic(model, engine=engine, isa="scalar")
    assert quantized(new) == set(ALL_LEAVES) and quantized(model) == set() and not new.training
    leaves_ = [module for name, module in new.named_modules() if name in ALL_LEAVES]
    assert {(module.engine, module.isa) for module in leaves_} == {(engine, "scalar")}
    shown = "" if engine == "qrnn" else f", engine={engine}"
    assert repr(new).replace(f"{shown})", ")") == (
        "Everything(\n"
        "  (embed): DynamicQuantizedLinear(in_features=4, out_features=5, dtype=qrnn.qint8, "
        f"qscheme=qrnn.per_{'channel' if engine in ref.ROW_ENGINES else 'tensor'}_affine)\n"
        "  (rnn): DynamicQuantizedRNN(5, 4, num_layers=2, bias=False)\n"
        "  (lstm): DynamicQuantizedLSTM(4, 6, num_layers=2, dropout=0.25, bidirectional=True)\n"
        "  (gru): DynamicQuantizedGRU(12, 4)\n"
        "  (cells): ModuleList(\n"
        "    (0): DynamicQuantizedRNNCell(4, 4)\n"
        "    (1): DynamicQuantizedLSTMCell(4, 4, bias=False)\n"
        "    (2): DynamicQuantizedGRUCell(4, 4)\n"
        "  )\n"
        ")"
    )
    assert repr(new).count(f"{shown})") >= len(ALL_LEAVES)
    assert np.abs(new(X) - model(X)).max() < 0.2
    assert np.abs(new(X, lengths=[6, 2, 4]) - model(X, lengths=[6, 2, 4])).max() < 0.2


@needs_torch
def test_spec_by_torchs_types():
    import torch

    spec = {torch.nn.LSTM, torch.nn.GRUCell, torch.nn.RNN}
    assert quantized(qrnn.quantize_dynamic(Everything(), spec)) == {"lstm", "cells.2", "rnn"}


def test_prepare_and_convert_in_place():
    model = Everything()
    want = model(X)
    assert qrnn.prepare(model, qconfig={}) is model
    assert [type(module).__name__ for name, module in model.named_modules() if name in ALL_LEAVES] == [
        f"Prepared{name}" for name in ("Linear", *SEQUENCES, *CELLS)
    ]
    assert repr(model.lstm) == ("PreparedLSTM(4, 6, num_layers=2, dropout=0.25, bidirectional=True, engine=qrnn)")
    assert repr(model.rnn) == "PreparedRNN(5, 4, num_layers=2, bias=False, engine=qrnn)"
    model.apply(qrnn.quantization.disable_observer)  # else convert rounds by X
    assert_same_bits(model(X), want, "a prepared model computes in float")
    plain = qrnn.quantize_dynamic(pickle.loads(pickle.dumps(model)))
    assert qrnn.convert(model) is model and quantized(model) == set(ALL_LEAVES)
    assert_same_bits(model(X), plain(X))
    assert model.lstm.dropout == 0.25


def test_prepare_copies():
    model = Everything()
    prepared = qrnn.prepare(model, qconfig={}, inplace=False)
    assert prepared is not model and quantized(prepared) == set()
    new = qrnn.convert(prepared)
    assert new is not prepared and quantized(new) == set(ALL_LEAVES) and type(prepared.gru).__name__ == "PreparedGRU"
    assert_same_bits(new(X), qrnn.quantize_dynamic(model)(X))


@mixed
@pytest.mark.parametrize("engine", ["qrnn", "fbgemm", "qnnpack"])
def test_quantized_modules_get_their_codes_back(name, options, engine):
    """Those of weights that did not change, bit for bit; a changed one is quantized anew, and alone."""
    engine = engine_for(options, engine)
    module = make(name, options, engine=engine)
    first, state = next(iter(module.get_weight())), module.state_dict()
    rng = np.random.default_rng(102)  # the largest code is not 127: quantizing once more would move it
    state[first] = rng.integers(-100, 100, state[first].shape).astype(np.int8)
    state[f"{first}_scale"] = np.array(0.0123, f32)
    module.load_state_dict(state)
    model = nn.Sequential(module)
    before, weights = model.state_dict(), model[0].get_weight()
    x, hx = inputs_of(model[0])
    want = model[0](x, hx)
    qrnn.prepare(model, qconfig={})
    prepared = model[0]
    assert isinstance(prepared, getattr(nn, name)) and prepared.engine == "float32"
    assert repr(prepared).startswith(f"Prepared{name}(5, 4") and f"engine={engine}" in repr(prepared)
    for key, value in weights.items():
        assert_same_bits(getattr(prepared, key), value.dequantize())
    if prepared.bias:
        for key in module.get_bias():
            setattr(prepared, key, getattr(prepared, key))  # biases do not count
    kept = copy.deepcopy(model)
    qrnn.convert(model)
    assert model[0].engine == engine, "the engine is kept"
    assert_same_results(model[0](x, hx), want)
    for key, value in model.state_dict().items():
        np.testing.assert_array_equal(value, before[key])
    for change in (lambda weight: weight * 2, lambda weight: np.nextafter(weight, f32(9))):
        changed = copy.deepcopy(kept)
        weight = change(getattr(changed[0], first))
        setattr(changed[0], first, weight)
        new = qrnn.convert(changed).state_dict()
        anew = ref.weight_qrnn(weight) if engine in ref.ROW_ENGINES else ref.weight_torch(weight, False)
        expected = {**before, f"0.{first}": anew.codes, f"0.{first}_scale": anew.scale}
        assert new.keys() == expected.keys()
        for key, value in new.items():
            np.testing.assert_array_equal(value, expected[key])


@any_layer
def test_the_root_itself(name, options):
    """PyTorch returns it unchanged; here it is quantized, but not in place."""
    model = getattr(nn, name)(5, 4, **options)
    new = qrnn.quantize_dynamic(model)
    assert type(new) is getattr(qd, name) and not new.training and model.training
    with pytest.raises(ValueError, match="inplace"):
        qrnn.quantize_dynamic(model, inplace=True)
    assert no_qconfig_is_left(model) and model.training
    for root in (model, new):
        with pytest.raises(ValueError, match="inplace"):
            qrnn.prepare(root, qconfig={}, inplace=True)
        before = type(root)
        prepared = qrnn.prepare(root, qconfig={})
        assert prepared is not root and type(root) is before and type(prepared).__name__ == f"Prepared{name}"
        with pytest.raises(ValueError, match="inplace"):
            qrnn.convert(prepared, inplace=True)
        back = qrnn.convert(prepared)
        assert type(back) is getattr(qd, name)
        assert_same_results(result_of(back), result_of(new))
        if root is model:
            assert_same_results(result_of(prepared), result_of(model))
        assert type(getattr(qd, name).from_float(prepared)) is getattr(qd, name)


@any_layer
def test_shared_modules_stay_one(name, options):
    """PyTorch leaves the second reference float."""
    layer = getattr(nn, name)(5, 4, **options)
    model = nn.Module()
    model.first, model.second, model.list = layer, layer, nn.ModuleList([layer, layer])

    def all_are(model, kind):
        assert type(model.first) is kind and model.first is model.second is model.list[0] is model.list[1]

    all_are(qrnn.quantize_dynamic(model), getattr(qd, name))
    prepared = qrnn.prepare(model, qconfig={}, inplace=False)
    all_are(prepared, type(prepared.first))
    assert type(prepared.first) is not type(layer)
    all_are(qrnn.convert(prepared), getattr(qd, name))
    qrnn.prepare(model, qconfig={})
    all_are(model, type(prepared.first))
    qrnn.convert(model)
    all_are(model, getattr(qd, name))


def test_engines_mix():
    """The engine is fixed at prepare; a quantized module keeps its own."""
    model = nn.Sequential(nn.LSTM(4, 3), qd.GRU(3, 3, engine="qnnpack"))
    with qrnn.engine("fbgemm"):
        qrnn.prepare(model, qconfig={})
    qrnn.convert(model)
    assert [module.engine for module in model] == ["fbgemm", "qnnpack"]
    model = qrnn.prepare(nn.Sequential(nn.LSTM(4, 3)), qconfig={}, engine="onednn")
    with pytest.raises(ValueError, match="0: engine: this module was prepared for 'onednn', got 'qrnn'"):
        qrnn.convert(model, engine="qrnn")


@any_layer
def test_a_subclass_that_overrides_forward_stays_float(name, options):
    class Plain(getattr(nn, name)):
        pass

    class Mine(getattr(nn, name)):
        def forward(self, *args):
            return super().forward(*args)

    model = nn.Sequential(Mine(5, 4, **options), nn.GRU(3, 2), Plain(5, 4, **options))
    with pytest.warns(UserWarning, match=r"^0: .*Mine overrides forward or __call__ and is left float"):
        new = qrnn.quantize_dynamic(model)
    assert quantized(new) == {"1", "2"}
    assert type(new[0]) is Mine and type(new[1]) is qd.GRU and type(new[2]) is getattr(qd, name)


def test_prepared_modules_keep_everything():
    for name, options in MIXED:
        prepared = qrnn.prepare(getattr(nn, name)(5, 4, **options), qconfig=CHANNEL, engine=engine_for(options))
        prepared.apply(qrnn.quantization.disable_observer)
        x, hx = inputs_of(prepared)
        for new in (copy.deepcopy(prepared), pickle.loads(pickle.dumps(prepared)), copy.copy(prepared)):
            assert repr(new) == repr(prepared) and new.qconfig.weight is not None
            assert_same_results(new(x, hx), prepared(x, hx))
            assert_same_results(qrnn.convert(new)(x, hx), qrnn.convert(prepared)(x, hx))


@needs_torch
def test_torchs_float_state_loads_and_converts():
    import torch

    theirs = torch.nn.LSTM(5, 4, 2, bidirectional=True, proj_size=3)
    ours = nn.LSTM(5, 4, 2, bidirectional=True, proj_size=3)
    ours.load_state_dict(theirs.state_dict())
    x, hx = inputs_of(ours)
    assert_same_results(qrnn.quantize_dynamic(ours)(x, hx), qd.LSTM.from_float(theirs)(x, hx))
