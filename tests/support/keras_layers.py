"""Recurrent layers of Keras with random weights, and the layers that qrnn.keras makes of them."""

from __future__ import annotations

import importlib.util
import os
import tempfile

import numpy as np
import pytest

if importlib.util.find_spec("keras") is None or importlib.util.find_spec("torch") is None:
    pytest.skip(
        "KERAS AND PYTORCH ARE NOT BOTH INSTALLED: the reader of Keras' layers was not tested", allow_module_level=True
    )
HOME = tempfile.TemporaryDirectory()  # where Keras writes its settings
os.environ.setdefault("KERAS_HOME", HOME.name)
os.environ["KERAS_BACKEND"] = "torch"
import keras
import torch

import qrnn.keras

layers = keras.layers
INPUTS = (3, 5, 2)  # batch, steps, features

#: Masks of such inputs. In each mask but the first, one row has no step.
MASKS = {
    "right": np.arange(5) < np.array([[5], [2], [1]]),
    "right, a row without steps": np.arange(5) < np.array([[4], [0], [2]]),
    "left": np.arange(5) >= np.array([[0], [3], [5]]),
    "holes": np.array([[1, 0, 1, 0, 1], [0, 1, 1, 0, 0], [0, 0, 0, 0, 0]], bool),
}


def built(rng, layer, features=INPUTS[-1]):
    """Build the layer and give it random weights."""
    layer.build((INPUTS[0], INPUTS[1], features))
    layer.set_weights([0.5 * rng.standard_normal(each.shape) for each in layer.get_weights()])
    return layer


def read(layer, version=keras.__version__):
    """Convert a layer of Keras by qrnn.keras."""
    return qrnn.keras.read_layer(type(layer).__name__, layer.get_config(), layer.get_weights(), version=version)


def inputs(rng, shape=INPUTS):
    return rng.standard_normal(shape, dtype=np.float32)


def of_keras(layer, x, mask=None, initial_state=None):
    """Compute a layer of Keras; return a list of arrays."""
    states = None if initial_state is None else [torch.from_numpy(each) for each in initial_state]
    with torch.no_grad():
        result = layer(torch.from_numpy(x), initial_state=states, mask=None if mask is None else torch.from_numpy(mask))
    return [each.numpy() for each in keras.tree.flatten(result)]


def flat(result):
    return list(result) if isinstance(result, tuple) else [result]


def check(layer, ours, x, mask=None, initial_state=None):
    """Compare a call of ours with Keras': equal shapes, and errors up to 2e-6 of max(1, |y|)."""
    expected = of_keras(layer, x, mask, initial_state)
    computed = flat(ours(x, initial_state, mask))
    assert [each.shape for each in computed] == [each.shape for each in expected]
    for a, b in zip(computed, expected, strict=True):
        assert a.dtype == np.float32 and b.dtype == np.float32
        assert np.max(np.abs(a - b) / np.maximum(1, np.abs(b))) <= 2e-6
    return computed
