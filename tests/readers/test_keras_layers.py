"""qrnn.keras.read_layer: what Keras' own layers compute, over their options."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from support.keras_layers import INPUTS, MASKS, built, check, inputs, keras, layers, of_keras, read

import qrnn
import qrnn.keras

UNITS = 3
KINDS = {
    "SimpleRNN": (layers.SimpleRNN, {}),
    "SimpleRNN, relu": (layers.SimpleRNN, {"activation": "relu"}),
    "SimpleRNN without bias": (layers.SimpleRNN, {"use_bias": False}),
    "GRU": (layers.GRU, {}),
    "GRU that resets before": (layers.GRU, {"reset_after": False}),
    "GRU without bias": (layers.GRU, {"use_bias": False}),
    "GRU that resets before, without bias": (layers.GRU, {"use_bias": False, "reset_after": False}),
    "LSTM": (layers.LSTM, {}),
    "LSTM without bias": (layers.LSTM, {"use_bias": False}),
}
STATES = {"SimpleRNN": 1, "GRU": 1, "LSTM": 2}
#: What hard_sigmoid is goes by the version that `read` gives.
ACTIVATIONS = (
    *("celu", "elu", "hard_sigmoid", "leaky_relu", "linear", "relu", "sigmoid", "softplus", "softsign"),
    *("sparse_sigmoid", "tanh"),
)


def flags(*names):
    """Every combination of such options."""
    return [dict(zip(names, values)) for values in itertools.product((False, True), repeat=len(names))]


def checks(rng, layer, directions=1):
    """Calls of a layer with each mask and without one, also with initial states; how many they are."""
    ours, x = read(layer), inputs(rng)
    count = directions * STATES[type(getattr(layer, "forward_layer", layer)).__name__]
    state = [inputs(rng, (INPUTS[0], UNITS)) for _ in range(count)]
    calls = [
        *itertools.product((None, MASKS["holes"]), (None, state)),
        *((mask, None) for mask in list(MASKS.values())[:3]),
    ]
    for mask, initial in calls:
        check(layer, ours, x, mask, initial)
    return len(calls)


@pytest.mark.parametrize("kind", KINDS)
def test_options_and_masks(kind):
    rng, (cls, options) = np.random.default_rng(1), KINDS[kind]
    names = ("return_sequences", "return_state", "go_backwards", "zero_output_for_mask")
    combinations = [each for each in flags(*names) if each["return_sequences"] or not each["return_state"]]
    assert sum(checks(rng, built(rng, cls(UNITS, **options, **each))) for each in combinations) >= 84


@pytest.mark.parametrize("kind", ["SimpleRNN", "GRU", "GRU that resets before, without bias", "LSTM"])
def test_directions_and_merge_modes(kind):
    rng, (cls, options) = np.random.default_rng(2), KINDS[kind]
    count = 0
    for mode, each in itertools.product(("concat", "sum", "mul", "ave", None), flags("return_sequences")):
        inner = cls(UNITS, **options, **each, return_state=mode in ("sum", None))
        count += checks(rng, built(rng, layers.Bidirectional(inner, merge_mode=mode)), directions=2)
    assert count >= 70


@pytest.mark.parametrize("kind", ["GRU", "GRU that resets before", "LSTM"])
def test_every_activation_in_every_place(kind):
    rng, (cls, options) = np.random.default_rng(3), KINDS[kind]
    layer, x = built(rng, cls(UNITS, return_sequences=True, **options)), 0.7 * inputs(rng)
    layer.set_weights([0.6 * each for each in layer.get_weights()])
    for names in itertools.product(ACTIVATIONS, repeat=2):
        layer.cell.activation, layer.cell.recurrent_activation = map(keras.activations.get, names)
        config = layer.get_config()
        assert (config["activation"], config["recurrent_activation"]) == names
        check(layer, read(layer), x, MASKS["holes"])
    two = built(rng, layers.Bidirectional(cls(UNITS, activation="elu", **options)))
    two.backward_layer.cell.activation = keras.activations.get("softsign")
    check(two, read(two), x)


def test_every_activation_of_a_simple_rnn():
    rng, x = np.random.default_rng(4), None
    for name in (*ACTIVATIONS, None, layers.LeakyReLU(0.3), layers.ELU(0.5)):
        layer = built(rng, layers.SimpleRNN(UNITS, activation=name, return_sequences=True))
        x = inputs(rng)
        check(layer, read(layer), x)


@pytest.mark.parametrize("kind", ["SimpleRNN", "GRU", "GRU that resets before", "LSTM without bias"])
def test_stateful(kind):
    rng, (cls, options) = np.random.default_rng(5), KINDS[kind]
    for wrapped, backwards in ((False, False), (False, True), (True, False)):
        # Keras' own Bidirectional does not return its states where it is stateful.
        layer = cls(UNITS, stateful=True, go_backwards=backwards, return_state=not wrapped, **options)
        layer = built(rng, layers.Bidirectional(layer) if wrapped else layer)
        ours, count = read(layer), (2 if wrapped else 1) * STATES[cls.__name__]
        first = check(layer, ours, x := inputs(rng))
        kept = [each.copy() for each in first]
        for each in first:
            each[...] = 7  # they are the caller's
        second = check(layer, ours, x)
        assert (second[0] != kept[0]).any()
        check(layer, ours, x, MASKS["holes"])
        check(layer, ours, x, initial_state=[inputs(rng, (INPUTS[0], UNITS)) for _ in range(count)])
        check(layer, ours, x)
        for each in (layer.forward_layer, layer.backward_layer) if wrapped else (layer,):
            each.reset_state()
        ours.reset_state()
        check(layer, ours, x)
        with pytest.raises(RuntimeError, match="hidden"):
            ours(x[:2])


@pytest.mark.parametrize("cell", [layers.SimpleRNNCell, layers.GRUCell, layers.LSTMCell])
def test_a_layer_around_a_cell(cell):
    rng = np.random.default_rng(6)
    for each in flags("return_sequences", "go_backwards"):
        layer = built(rng, layers.RNN(cell(UNITS, dropout=0.5, recurrent_dropout=0.5), **each))
        for mask in (None, *MASKS.values()):
            check(layer, read(layer), inputs(rng), mask)
    two = built(rng, layers.Bidirectional(layers.RNN(cell(UNITS), return_sequences=True)))
    check(two, read(two), inputs(rng), MASKS["holes"])


@pytest.mark.parametrize("kind", ["GRU", "LSTM"])
def test_weights_in_the_order_of_cudnn(kind):
    """Keras 2 writes a gate's kernel (inputs, units) so: the elements of its transpose, in a row; two biases."""
    rng, (cls, _) = np.random.default_rng(7), KINDS[kind]
    layer, count = built(rng, cls(UNITS, return_sequences=True)), {"GRU": 3, "LSTM": 4}[kind]

    def cudnn(kernel):
        return np.concatenate([part.T.reshape(part.shape) for part in np.split(kernel, count, axis=1)], axis=1)

    kernel, recurrent, bias = layer.get_weights()
    half = rng.standard_normal(bias.shape).astype(np.float32)
    both = bias.reshape(-1) if kind == "GRU" else np.concatenate([half, bias - half])
    weights, x = [cudnn(kernel), cudnn(recurrent), both], inputs(rng)
    config = {"units": UNITS, "return_sequences": True, "name": "fast"}
    for name, entries in ((f"CuDNN{kind}", config), (kind, layer.get_config())):
        ours = qrnn.keras.read_layer(name, entries, weights, version="2.4.0")
        (expected,) = of_keras(layer, x)
        assert np.max(np.abs(ours(x) - expected)) <= 2e-6


def test_hard_sigmoid_goes_by_the_version():
    config = {"units": 1, "activation": "hard_sigmoid", "use_bias": False}
    weights = [np.ones((1, 1)), np.zeros((1, 1))]
    x = np.linspace(-4, 4, 33, dtype=np.float32).reshape(-1, 1, 1)
    for version, slope in (("1.2.2", 0.2), ("2.15.0", 0.2), (2, 0.2), ("3.0.0", 1 / 6), (3, 1 / 6)):
        ours = qrnn.keras.read_layer("SimpleRNN", config, weights, version=version)
        assert np.max(np.abs(ours(x) - np.clip(slope * x[:, 0] + 0.5, 0, 1))) <= 2e-7
    with pytest.raises(qrnn.FormatError, match="SimpleRNN: activation: hard_sigmoid: expected version="):
        qrnn.keras.read_layer("SimpleRNN", config, weights)


def test_a_mask_of_ones_is_none_and_tensors_stay_tensors():
    import torch

    rng = np.random.default_rng(8)
    layer = built(rng, layers.Bidirectional(layers.LSTM(UNITS, return_state=True), merge_mode=None))
    ours, x = read(layer), inputs(rng)
    assert all((a == b).all() for a, b in zip(ours(x), ours(x, mask=np.ones(INPUTS[:2]))))
    results = ours(torch.from_numpy(x), initial_state=None)
    assert len(results) == 6 and all(isinstance(each, torch.Tensor) for each in results)
