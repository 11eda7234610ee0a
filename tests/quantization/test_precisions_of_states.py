"""Layers whose matrices differ in precision: what they say, their weights, states, copies."""

from __future__ import annotations

import copy
import io
import json
import pickle
import warnings

import numpy as np
import pytest
from support import assert_same_bits, leaves
from support.layers import ids
from support.precisions import LAYERS, QCONFIGS, drawn, weights_of
from support.quantized_layers import result_of

import qrnn
from qrnn import nn
from qrnn import quantization as q

pytestmark = pytest.mark.filterwarnings("error")
f32 = np.float32
any_layer = pytest.mark.parametrize("name, options", [*LAYERS, ("Linear", {}), ("Linear", {"bias": False})], ids=ids)


def layer_of(name, options, seed=1):
    """A quantized layer of precisions by chance, and these precisions."""
    layer = getattr(nn, name)(7, 8, **options)
    chosen = drawn(np.random.default_rng(seed), weights_of(layer))
    spec = {weight: QCONFIGS[precision] for weight, precision in chosen.items()}
    return qrnn.quantize_dynamic(layer, {"": q.engine_qconfig, **spec}), chosen


def assert_same_layers(a, b):
    for got, want in zip(leaves(result_of(a)), leaves(result_of(b)), strict=True):
        assert_same_bits(got, want)


@any_layer
@pytest.mark.parametrize("seed", range(3))
def test_states_hold_them(name, options, seed):
    """Through a file, into another layer of the same precisions; a float matrix is a float32 array without a scale."""
    layer, chosen = layer_of(name, options, seed)
    state = layer.state_dict()
    for weight, precision in chosen.items():
        assert state[weight].dtype == (f32 if precision == "float" else np.int8)
        assert (f"{weight}_scale" in state) == (precision != "float")
    described = json.loads(state["format"].tobytes())
    assert described == layer.describe()
    own = {name: {"float": "float32", "13": "s13"}[each] for name, each in chosen.items() if each != "8"}
    assert described.get("precision", {}) == own
    file = io.BytesIO()
    np.savez(file, **state)
    file.seek(0)
    other, _ = layer_of(name, options, seed)
    assert not any(other.load_state_dict(np.load(file)))
    assert_same_layers(other, layer)


@any_layer
def test_copies_and_pickles_keep_them(name, options):
    layer, _ = layer_of(name, options)
    for each in (copy.copy(layer), copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert each.describe() == layer.describe() and repr(each) == repr(layer)
        assert_same_layers(each, layer)


@any_layer
def test_states_of_other_precisions_are_refused(name, options):
    """Each that differs is named, whatever `strict` is, and nothing changes."""
    layer, chosen = layer_of(name, options)
    other, theirs = layer_of(name, options, seed=3)
    if chosen == theirs:
        pytest.skip("by chance the same")
    shown = {"8": "u8", "13": "s13", "float": "float32"}
    before = other.state_dict()
    for strict in (True, False):
        with pytest.raises(RuntimeError) as error:
            other.load_state_dict(layer.state_dict(), strict=strict)
        for weight, precision in chosen.items():
            text = f"format: expected {weight} '{shown[theirs[weight]]}', got '{shown[precision]}'"
            assert (text in str(error.value)) == (precision != theirs[weight])
    for key, value in other.state_dict().items():
        np.testing.assert_array_equal(value, before[key])


def test_states_without_a_format_are_refused_by_their_arrays():
    layer = qrnn.quantize_dynamic(nn.GRUCell(4, 3), {"": q.engine_qconfig, "weight_ih": q.float_qconfig})
    plain = qrnn.GRUCell(4, 3)
    for of, into, text in (
        (layer, plain, "weight_ih: expected int8 codes, got float32"),
        (plain, layer, "weight_ih: expected floating-point values, got int8, as codes are"),
    ):
        state = of.state_dict()
        del state["format"]
        with pytest.raises(RuntimeError, match=text):
            into.load_state_dict(state, strict=False)
    with pytest.raises(RuntimeError, match='Unexpected key.*"weight_ih_scale"'):
        layer.load_state_dict(plain.state_dict())


def test_a_layers_weights_renamed_are_a_cells():
    """Of one layer in one direction; of more nobody knows which was renamed."""
    spec = {"": q.engine_qconfig, "weight_ih_l0": q.float_qconfig}
    cell_spec = {"": q.engine_qconfig, "weight_ih": q.float_qconfig}
    layer, cell = qrnn.quantize_dynamic(nn.GRU(4, 3), spec), qrnn.quantize_dynamic(nn.GRUCell(4, 3), cell_spec)
    state = {key.replace("_l0", ""): value for key, value in layer.state_dict().items()}
    assert not any(cell.load_state_dict(state))
    with pytest.raises(RuntimeError, match="format: expected weight_ih 'u8', got 'float32'"):
        qrnn.GRUCell(4, 3).load_state_dict(state)
    two = qrnn.quantize_dynamic(nn.GRU(3, 3, num_layers=2), {"": q.engine_qconfig, "weight_hh_l0": None})
    second = {key.replace("_l1", ""): value for key, value in two.state_dict().items() if "_l0" not in key}
    assert not any(qrnn.GRUCell(3, 3).load_state_dict(second))


def test_a_precision_that_is_none():
    layer, text = qrnn.GRUCell(4, 3), "format: expected precision to be a dict, got 'u8'"
    described = json.dumps({**layer.describe(), "precision": "u8"})
    with pytest.raises(RuntimeError, match=text):
        layer.load_state_dict({**layer.state_dict(), "format": np.frombuffer(described.encode(), np.uint8)})


def test_an_engine_and_its_format_named_are_the_same():
    named = qrnn.quantize_dynamic(nn.GRUCell(4, 3), q.int13_dynamic_qconfig, engine="qrnn13")
    assert "precision" not in named.describe()
    assert repr(named) == "DynamicQuantizedGRUCell(4, 3, engine=qrnn13)"
    other = qrnn.quantize_dynamic(nn.GRUCell(4, 3), engine="qrnn13")
    assert not any(other.load_state_dict(named.state_dict()))


# ---------------------------------------------------------------------------------------------------
# Weights, texts, sizes
# ---------------------------------------------------------------------------------------------------
@any_layer
def test_weights_come_and_go(name, options):
    layer, chosen = layer_of(name, options)
    weights = {"weight": layer.weight()} if name == "Linear" else layer.get_weight()
    for weight, precision in chosen.items():
        assert isinstance(weights[weight], np.ndarray if precision == "float" else qrnn.QTensor)
        if precision == "float":
            assert weights[weight].dtype == f32 and not weights[weight].flags.writeable
    before = result_of(layer)
    if name == "Linear":
        layer.set_weight_bias(layer.weight(), layer.bias())
    elif name.endswith("Cell"):
        layer.set_weight_bias({"weight": weights, "bias": layer.get_bias()})
    else:
        layer.set_weight_bias({**weights, **layer.get_bias()})
    for got, want in zip(leaves(result_of(layer)), leaves(before), strict=True):
        assert_same_bits(got, want)


def test_weights_that_do_not_fit_their_precision():
    layer = qrnn.quantize_dynamic(nn.RNNCell(4, 3), {"": q.engine_qconfig, "weight_ih": q.float_qconfig})
    good, bias, state = layer.get_weight(), layer.get_bias(), layer.state_dict()
    plain = qrnn.RNNCell(4, 3).get_weight()
    for name, value, kind, text in (
        ("weight_ih", plain["weight_ih"], TypeError, "weight_ih: expected float values, .* got a QTensor"),
        ("weight_ih", np.ones((3, 4), np.int8), TypeError, "weight_ih: expected floating-point values, got int8"),
        ("weight_ih", np.ones((3, 5), f32), ValueError, r"weight_ih: expected shape \(3, 4\), got \(3, 5\)"),
        ("weight_ih", np.full((3, 4), np.nan, f32), ValueError, "weight_ih: expected finite weights, got nan"),
        ("weight_hh", np.ones((3, 3), f32), TypeError, "weight_hh: expected a QTensor, got ndarray"),
    ):
        with pytest.raises(kind, match=f"^{text}"):
            layer.set_weight_bias({"weight": {**good, name: value}, "bias": bias})
    with pytest.raises(ValueError, match="^bias_ih: expected finite values, got nan"):
        layer.set_weight_bias({"weight": good, "bias": {**bias, "bias_ih": np.full(3, np.nan, f32)}})
    for key, value in layer.state_dict().items():
        np.testing.assert_array_equal(value, state[key])
    layer.set_weight_bias({"weight": {**good, "weight_ih": np.ones((3, 4)).tolist()}, "bias": bias})
    assert layer.get_weight()["weight_ih"].tolist() == np.ones((3, 4)).tolist()
    layer.bias_ih = np.zeros(3, f32)
    assert layer.bias_ih.tolist() == [0, 0, 0] and layer.get_weight()["weight_ih"].dtype == f32


def test_texts():
    spec = {"": q.engine_qconfig, "weight_ih_l0": q.float_qconfig, "weight_hh_l0_reverse": q.int13_dynamic_qconfig}
    layer = qrnn.quantize_dynamic(nn.GRU(4, 3, bidirectional=True), spec, engine="fbgemm")
    own = "weight_ih_l0=float32, weight_hh_l0_reverse=s13"
    assert repr(layer) == f"DynamicQuantizedGRU(4, 3, bidirectional=True, engine=fbgemm, {own})"
    assert layer.dtype is qrnn.qint8 and layer.weight_dtype is qrnn.qint8
    floats = qrnn.quantize_dynamic(nn.Linear(4, 3), q.float_qconfig)
    assert floats.weight_dtype is qrnn.float32
    shown = "in_features=4, out_features=3, dtype=qrnn.float32, weight=float32"
    assert repr(floats) == f"DynamicQuantizedLinear({shown})"
    assert repr(q.int13_dynamic_qconfig.activation()) == "PlaceholderObserver(dtype=qrnn.int16, is_dynamic=True)"


def test_float_matrices_take_four_times_the_memory():
    layer = nn.LSTM(64, 64)
    small, large = (qrnn.quantize_dynamic(layer, {"": q.engine_qconfig, **own}).nbytes for own in ({}, ONE_FLOAT))
    assert large - small == 256 * (3 * 64 - 12)  # codes come with a sum of their row and scales
    assert qrnn.quantize_dynamic(layer, q.int13_dynamic_qconfig).nbytes == small


ONE_FLOAT = {"weight_ih_l0": q.float_qconfig}


def test_no_warning_where_a_state_says_what_it_is_of():
    layer, _ = layer_of("LSTM", {})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        layer.load_state_dict(layer.state_dict())


def test_qconfigs_survive_pickle():
    model = nn.Sequential(nn.LSTM(4, 3))
    q.propagate_qconfig_(model, {"": q.engine_qconfig, "0.weight_ih_l0": q.float_qconfig})
    own = model[0].qconfig
    assert isinstance(own, q.LayerQConfig) and own.weight is None and own.activation is q.engine_qconfig.activation
    again = pickle.loads(pickle.dumps(own))
    assert again == own and hash(again) is not None
    model[0].qconfig = again
    assert qrnn.convert(model)[0].describe()["precision"] == {"weight_ih_l0": "float32"}
