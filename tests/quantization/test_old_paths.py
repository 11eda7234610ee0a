"""Where classes can be found: by PyTorch's paths, and by those that pickles of version 0.1.0 name."""

from __future__ import annotations

import importlib
import pickle

import pytest

import qrnn
from qrnn import nn
from qrnn.nn.quantized import dynamic as qd

CELLS = ["RNNCell", "LSTMCell", "GRUCell"]
LAYERS = ["Linear", *CELLS, "RNN", "LSTM", "GRU"]
PATHS = [
    *(("qrnn.nn.modules.cells", name, getattr(nn, name)) for name in CELLS),
    *(("qrnn.nn.modules.rnn", name, getattr(nn, name)) for name in LAYERS[1:]),
    ("qrnn.nn.modules.linear", "Linear", nn.Linear),
    ("qrnn.nn.modules.container", "Sequential", nn.Sequential),
    ("qrnn.nn.modules.activation", "ReLU", nn.ReLU),
    ("qrnn.nn.modules.module", "Module", nn.Module),
    *(("qrnn.nn.quantized.dynamic.modules.cells", name, getattr(qd, name)) for name in CELLS),
    *(("qrnn.nn.quantized.dynamic.modules.rnn", name, getattr(qd, name)) for name in LAYERS[1:]),
    ("qrnn.nn.quantized.dynamic.modules.linear", "Linear", qd.Linear),
    ("qrnn.quantization.observer", "MinMaxObserver", qrnn.quantization.MinMaxObserver),
    ("qrnn.quantization.observer", "_Factory", type(qrnn.quantization.default_weight_observer)),
    ("qrnn.quantization.qconfig", "QConfig", qrnn.quantization.QConfig),
    ("qrnn.quantization.quantize", "prepare", qrnn.prepare),
    ("qrnn.quantization.calibrating", "WeightReport", qrnn.quantization.WeightReport),
    ("qrnn.quantization.calibration", "CalibrationReport", qrnn.quantization.CalibrationReport),
]


@pytest.mark.parametrize("module, name, found", PATHS)
def test_paths(module, name, found):
    assert getattr(importlib.import_module(module), name) is found


@pytest.mark.parametrize("name", LAYERS)
def test_pickles_name_public_paths(name):
    """They would not load where a private file has moved on."""
    float_layer = getattr(nn, name)(4, 3)
    quantized = qrnn.quantize_dynamic(float_layer)
    prepared = [qrnn.prepare(module, qconfig={}) for module in (float_layer, quantized)]
    for module in (float_layer, quantized, *prepared):
        text = pickle.dumps(module)
        assert type(pickle.loads(text)) is type(module)
        assert f"{type(module).__module__}.{type(module).__qualname__}" in (
            f"qrnn.nn.{name}",
            f"qrnn.nn.quantized.dynamic.{name}",
            f"qrnn.quantization.prepared.Prepared{name}",
        )
        assert b"qrnn._" not in text.replace(b"qrnn._types", b"")


def test_prepared_classes_by_their_old_path():
    module = importlib.import_module("qrnn.quantization.prepared")
    for name in LAYERS:
        assert issubclass(getattr(module, f"Prepared{name}"), (module.PreparedLayer, getattr(nn, name)))
    with pytest.raises(AttributeError, match="PreparedModule"):
        module.PreparedModule  # noqa: B018
    for name in ("Preparation", "PreparedLayer"):
        assert getattr(module, name).__name__ == name
    for name in ("Moments", "Statistics"):
        assert hasattr(importlib.import_module("qrnn.quantization.statistics"), name)
    assert hasattr(importlib.import_module("qrnn.nn.modules.layer"), "Matrix")
