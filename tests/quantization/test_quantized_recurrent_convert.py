"""The quantized recurrent layers of every kind: quantize_dynamic, prepare and convert."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from support import assert_same_bits, assert_same_results, needs_torch
from support import reference as ref
from support.layers import CELLS, SEQUENCES, inputs_of
from support.quantized_layers import MIXED, engine_for, make, mixed

import qrnn
from qrnn import nn
from qrnn import quantization as q
from qrnn.nn.quantized import dynamic as qd

pytestmark = pytest.mark.filterwarnings("error", "ignore:LSTM with projections:UserWarning")  # PyTorch's own


f32 = np.float32
ENGINES = ("qrnn", "fbgemm", "x86", "qnnpack", "onednn")
NAMES = (*CELLS, *SEQUENCES)
TENSOR, CHANNEL = q.default_dynamic_qconfig, q.per_channel_dynamic_qconfig


# ---------------------------------------------------------------------------------------------------
# prepare, convert, quantize_dynamic
# ---------------------------------------------------------------------------------------------------
class Everything(nn.Module):
    """A module of each kind, and a few of their options."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Linear(4, 5)
        self.rnn = nn.RNN(5, 4, 2, "relu", bias=False)
        self.lstm = nn.LSTM(4, 6, 2, bidirectional=True, dropout=0.25)
        self.gru = nn.GRU(12, 4)
        self.cells = nn.ModuleList([nn.RNNCell(4, 4), nn.LSTMCell(4, 4, bias=False), nn.GRUCell(4, 4)])

    def forward(self, x, lengths=None):
        y, _ = self.rnn(self.embed(x), lengths=lengths)
        y, (_, c) = self.lstm(y, lengths=lengths)
        y, h = self.gru(y, lengths=lengths)
        h = self.cells[0](y[-1], h[0])
        h, c = self.cells[1](h, (h, c[0, :, :4]))
        return self.cells[2](h, c)


LEAVES = ("embed", "rnn", "lstm", "gru", "cells.0", "cells.1", "cells.2")
X = np.random.default_rng(120).standard_normal((6, 3, 4)).astype(f32)


def named(model, *kinds):
    return {name for name, module in model.named_modules() if isinstance(module, kinds)}


def quantized(model):
    return named(model, *(getattr(qd, name) for name in (*NAMES, "Linear")))


@pytest.mark.parametrize("engine", ENGINES)
def test_quantize_dynamic(engine):
    model = Everything()
    new = qrnn.quantize_dynamic(model, engine=engine, isa="scalar")
    assert quantized(new) == set(LEAVES) and quantized(model) == set() and not new.training
    leaves_ = [module for name, module in new.named_modules() if name in LEAVES]
    assert {(module.engine, module.isa) for module in leaves_} == {(engine, "scalar")}
    assert repr(new) == (
        "Everything(\n"
        "  (embed): DynamicQuantizedLinear(in_features=4, out_features=5, dtype=qrnn.qint8, "
        f"qscheme=qrnn.per_{'channel' if engine == 'qrnn' else 'tensor'}_affine)\n"
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
    assert np.abs(new(X) - model(X)).max() < 0.2
    assert np.abs(new(X, lengths=[6, 2, 4]) - model(X, lengths=[6, 2, 4])).max() < 0.2


@pytest.mark.parametrize(
    "spec, expected",
    [
        ({nn.LSTM}, {"lstm"}),
        ({nn.GRU, nn.RNN}, {"gru", "rnn"}),
        ({nn.GRUCell, "lstm"}, {"cells.2", "lstm"}),
        ({nn.LSTMCell: TENSOR, nn.RNN: CHANNEL, "rnn": None}, {"cells.1"}),
        ({"cells": TENSOR}, {"cells.0", "cells.1", "cells.2"}),
        (None, set(LEAVES)),
    ],
    ids=str,
)
def test_spec(spec, expected):
    assert quantized(qrnn.quantize_dynamic(Everything(), spec)) == expected


@needs_torch
def test_spec_by_torchs_types():
    import torch

    spec = {torch.nn.LSTM, torch.nn.GRUCell, torch.nn.RNN}
    assert quantized(qrnn.quantize_dynamic(Everything(), spec)) == {"lstm", "cells.2", "rnn"}


def test_prepare_and_convert_in_place():
    model = Everything()
    want = model(X)
    assert qrnn.prepare(model, qconfig={}) is model
    assert [type(module).__name__ for name, module in model.named_modules() if name in LEAVES] == [
        f"Prepared{name}" for name in ("Linear", *SEQUENCES, *CELLS)
    ]
    assert repr(model.lstm) == ("PreparedLSTM(4, 6, num_layers=2, dropout=0.25, bidirectional=True, engine=qrnn)")
    assert repr(model.rnn) == "PreparedRNN(5, 4, num_layers=2, bias=False, engine=qrnn)"
    model.apply(qrnn.quantization.disable_observer)  # else convert rounds by X
    assert_same_bits(model(X), want, "a prepared model computes in float")
    plain = qrnn.quantize_dynamic(pickle.loads(pickle.dumps(model)))
    assert qrnn.convert(model) is model and quantized(model) == set(LEAVES)
    assert_same_bits(model(X), plain(X))
    assert model.lstm.dropout == 0.25


def test_prepare_copies():
    model = Everything()
    prepared = qrnn.prepare(model, qconfig={}, inplace=False)
    assert prepared is not model and quantized(prepared) == set()
    new = qrnn.convert(prepared)
    assert new is not prepared and quantized(new) == set(LEAVES) and type(prepared.gru).__name__ == "PreparedGRU"
    assert_same_bits(new(X), qrnn.quantize_dynamic(model)(X))


@mixed
@pytest.mark.parametrize("engine", ["qrnn", "fbgemm"])
def test_quantized_modules_get_their_codes_back(name, options, engine):
    """Those of weights that did not change; a changed one is quantized anew, and alone."""
    engine = engine_for(options, engine)
    model = nn.Sequential(make(name, options, engine=engine))
    before, weights = model.state_dict(), model[0].get_weight()
    x, hx = inputs_of(model[0])
    want = model[0](x, hx)
    qrnn.prepare(model, qconfig={})
    assert repr(model[0]).startswith(f"Prepared{name}(5, 4") and model[0]._prepared.engine == engine
    for key, value in weights.items():
        assert_same_bits(getattr(model[0], key), value.dequantize())
    kept = copy.deepcopy(model)
    qrnn.convert(model)
    assert_same_results(model[0](x, hx), want)
    for key, value in model.state_dict().items():
        np.testing.assert_array_equal(value, before[key])
    changed = next(iter(weights))
    weight = getattr(kept[0], changed) * 2
    setattr(kept[0], changed, weight)
    new = qrnn.convert(kept).state_dict()
    assert (new.pop(f"0.{changed}_scale") != before.pop(f"0.{changed}_scale")).any()
    anew = ref.weight_qrnn(weight) if engine == "qrnn" else ref.weight_torch(weight, False)
    before[f"0.{changed}"] = anew.codes
    for key, value in new.items():
        np.testing.assert_array_equal(value, before[key])


@mixed
def test_the_root_itself(name, options):
    model = getattr(nn, name)(5, 4, **options)
    new = qrnn.quantize_dynamic(model)
    assert type(new) is getattr(qd, name) and not new.training and model.training
    with pytest.raises(ValueError, match="inplace"):
        qrnn.quantize_dynamic(model, inplace=True)
    prepared = qrnn.prepare(model, qconfig={})
    assert prepared is not model and type(prepared).__name__ == f"Prepared{name}"
    back = qrnn.convert(prepared)
    x, hx = inputs_of(model)
    assert_same_results(prepared(x, hx), model(x, hx))
    assert_same_results(back(x, hx), new(x, hx))
    assert type(getattr(qd, name).from_float(prepared)) is getattr(qd, name)


def test_shared_submodules_stay_one():
    lstm, cell = nn.LSTM(4, 4, proj_size=3), nn.GRUCell(4, 4, reset_after=False)
    model = nn.Module()
    model.first, model.second, model.cells = lstm, lstm, nn.ModuleList([cell, cell])
    new = qrnn.quantize_dynamic(model)
    assert new.first is new.second and new.cells[0] is new.cells[1]
    assert type(new.first) is qd.LSTM and type(new.cells[0]) is qd.GRUCell
    qrnn.prepare(model, qconfig={})
    assert model.first is model.second and model.cells[0] is model.cells[1]
    qrnn.convert(model)
    assert model.first is model.second and type(model.first) is qd.LSTM


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


def test_a_subclass_that_overrides_forward_stays_float():
    class Mine(nn.LSTM):
        def forward(self, input, hx=None):
            return super().forward(input, hx)[0]

    model = nn.Sequential(Mine(4, 3), nn.GRU(3, 2))
    with pytest.warns(UserWarning, match=r"^0: .*Mine overrides forward or __call__ and is left float"):
        new = qrnn.quantize_dynamic(model)
    assert type(new[0]) is Mine and type(new[1]) is qd.GRU


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
