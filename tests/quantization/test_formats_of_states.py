"""A state says what layer it is of, and a layer of another kind refuses it."""

from __future__ import annotations

import io
import json
import warnings

import numpy as np
import pytest
from support import assert_same_bits
from support.layers import ALL, OURS, ids
from support.quantized_layers import only_ours, result_of

import qrnn
from qrnn import nn
from qrnn.nn.quantized import dynamic as qd

LAYERS = [*ALL[::7], *OURS, ("Linear", {}), ("Linear", {"bias": False})]
any_layer = pytest.mark.parametrize("name, options", LAYERS, ids=ids)

PAIRS = {
    "reset form": (lambda: nn.GRU(4, 8, reset_after=False), lambda: nn.GRU(4, 8), "reset_after True, got False"),
    "reset form of cells": (
        lambda: nn.GRUCell(4, 8, reset_after=False),
        lambda: nn.GRUCell(4, 8),
        "reset_after True, got False",
    ),
    "quantized, reset form": (
        lambda: qrnn.GRU(4, 8),
        lambda: qrnn.GRU(4, 8, reset_after=False),
        "reset_after False, got True",
    ),
    "nonlinearity": (
        lambda: qrnn.RNN(4, 8, nonlinearity="relu"),
        lambda: qrnn.RNN(4, 8),
        "nonlinearity 'tanh', got 'relu'",
    ),
    "nonlinearity of cells": (
        lambda: qrnn.RNNCell(4, 8),
        lambda: qrnn.RNNCell(4, 8, nonlinearity="relu"),
        "nonlinearity 'relu', got 'tanh'",
    ),
    "engine": (lambda: qrnn.GRU(4, 8, engine="fbgemm"), lambda: qrnn.GRU(4, 8), "engine 'qrnn', got 'fbgemm'"),
    "engine of Linear": (
        lambda: qrnn.Linear(4, 8),
        lambda: qrnn.Linear(4, 8, engine="x86"),
        "engine 'x86', got 'qrnn'",
    ),
    "batch first": (lambda: qrnn.LSTM(4, 8, batch_first=True), lambda: qrnn.LSTM(4, 8), "batch_first False, got True"),
    "a quantized state": (lambda: qrnn.LSTM(4, 8), lambda: nn.LSTM(4, 8), "engine 'float32', got 'qrnn'"),
    "a prepared layer": (
        lambda: qrnn.GRU(4, 8),
        lambda: qrnn.prepare(nn.GRU(4, 8), qconfig={}),
        "engine 'float32', got 'qrnn'",
    ),
}


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("pair", PAIRS)
def test_a_state_of_another_kind_is_refused(pair, strict):
    """What differs is named, for a layer and for one in a model, through a file; nothing changes."""
    make, make_other, text = PAIRS[pair]
    of, into = nn.Sequential(nn.Tanh(), make()), nn.Sequential(nn.Tanh(), make_other())
    before, file = into.state_dict(), io.BytesIO()
    np.savez(file, **of.state_dict())
    file.seek(0)
    for target, state, key in ((into, np.load(file), "1.format"), (into[1], of[1].state_dict(), "format")):
        with pytest.raises(RuntimeError, match=f"\t{key}: expected {text}"):
            target.load_state_dict(state, strict=strict)
    for key, value in into.state_dict().items():
        np.testing.assert_array_equal(value, before[key])


def float_layer(name, options):
    return getattr(nn, name)(5, 4, **options)


@any_layer
def test_what_layers_are(name, options):
    """The description makes the layer again, and its bytes are in every quantized state."""
    for layer in (float_layer(name, options), getattr(qd, name)(5, 4, **changed(name, options))):
        described = layer.describe()
        assert json.loads(json.dumps(described)) == described
        assert described.pop("kind") == name and described.pop("version") == 1
        quantized = isinstance(layer, qd.Linear | qd.RNNCell | qd.LSTMCell | qd.GRUCell | qd.RNN | qd.LSTM | qd.GRU)
        assert described.pop("engine") == ("qrnn" if quantized else "float32")
        assert {**described, **options} == described
        again = type(layer)(**changed(name, described) if quantized else described)
        assert again.describe() == layer.describe()
        state = layer.state_dict()
        assert ("format" in state) == (quantized or options.get("reset_after") is False)
        if "format" in state:
            array = state["format"]
            assert array.dtype == np.uint8 and array.ndim == 1
            text = array.tobytes().decode("ascii")
            assert text == json.dumps(layer.describe(), sort_keys=True, separators=(",", ":"))


def changed(name, options):
    """Arguments as the quantized class names them."""
    return {"bias_" if name == "Linear" and key == "bias" else key: value for key, value in options.items()}


@any_layer
@pytest.mark.parametrize("engine", ["qrnn", "fbgemm"])
def test_states_load_into_their_like_without_a_warning(name, options, engine):
    engine = "qrnn" if only_ours(options) else engine
    of, into = (qrnn.quantize_dynamic(float_layer(name, options), engine=engine) for _ in range(2))
    file = io.BytesIO()
    np.savez(file, **of.state_dict())
    file.seek(0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert str(into.load_state_dict(np.load(file))) == "<All keys matched successfully>"
        other = float_layer(name, options)
        other.load_state_dict(float_layer(name, options).state_dict())
    for a, b in zip(np.atleast_1d(result_of(of)[0]), np.atleast_1d(result_of(into)[0]), strict=True):
        assert_same_bits(a, b)


@any_layer
def test_states_of_the_first_version_load_with_a_warning(name, options):
    of, into = (nn.Sequential(getattr(qd, name)(5, 4, **changed(name, options)), nn.Linear(4, 2)) for _ in range(2))
    state = of.state_dict()
    del state["0.format"]
    with pytest.warns(UserWarning, match=r"^load_state_dict: got no 0\.format: .* were not compared") as caught:
        assert not any(into.load_state_dict(state))
    assert len(caught) == 1 and caught[0].filename == __file__
    for key, value in state.items():
        np.testing.assert_array_equal(into.state_dict()[key], value)


def test_float_states_of_layers_that_pytorch_has_are_pytorchs():
    assert set(nn.GRU(4, 3).state_dict()) == {"weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"}
    layer = nn.GRU(4, 3, reset_after=False)
    state = {key: value for key, value in nn.GRU(4, 3).state_dict().items() if key != "format"}
    with pytest.warns(UserWarning, match="got no format"):
        assert not any(layer.load_state_dict(state))


def test_weights_of_a_layer_renamed_are_those_of_a_cell():
    layer, cell = qrnn.GRU(4, 3, batch_first=True), qrnn.GRUCell(4, 3)
    cell.load_state_dict({name.removesuffix("_l0"): value for name, value in rename(layer)})
    x = np.ones((2, 1, 4), np.float32)
    assert_same_bits(cell(x[:, 0]), layer(x)[0][:, 0])
    for other in (qrnn.GRUCell(4, 3, reset_after=False), qrnn.GRUCell(4, 3, engine="fbgemm"), qrnn.RNNCell(4, 9)):
        with pytest.raises(RuntimeError, match="format: expected"):
            other.load_state_dict(dict(rename(layer)))


def rename(layer):
    return [(name.replace("_l0", ""), value) for name, value in layer.state_dict().items()]


def as_bytes(text):
    return np.frombuffer(text.encode(), np.uint8)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (as_bytes("{"), "expected JSON"),
        (as_bytes("[1]"), "expected the description of a layer"),
        (as_bytes('{"kind": "GRU"}'), "expected the description of a layer"),
        (as_bytes('{"version": 2}'), "expected version 1 at most, got 2: use a later qrnn"),
        (as_bytes('{"version": 1}'), "expected kind 'GRU', got 'None'"),
        (np.frombuffer(b"\xff\xfe\xfd", np.uint8), "expected JSON"),
        (np.zeros((2, 2), np.uint8), r"expected bytes of uint8, got uint8 of shape \(2, 2\)"),
        (np.zeros(3, np.float32), "expected bytes of uint8, got float32"),
        ("GRU", "expected an array of real numbers, got str"),
    ],
)
def test_formats_that_are_none(value, text):
    layer = qrnn.GRU(4, 3)
    with pytest.raises(RuntimeError, match=f"format: {text}"):
        layer.load_state_dict({**layer.state_dict(), "format": value})


def test_a_shared_layer_is_compared_under_each_name():
    shared = qrnn.GRU(4, 3)
    state = nn.Sequential(shared, shared).state_dict()
    state["1.format"] = qrnn.GRU(4, 3, engine="qnnpack").state_dict()["format"]
    with pytest.raises(RuntimeError, match=r"1\.format: expected engine 'qrnn'"):
        nn.Sequential(shared, shared).load_state_dict(state)
