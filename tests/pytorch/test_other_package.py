"""What belongs to the other package is refused with its name: arrays in qrnn.torch, PyTorch's modules in qrnn."""

from __future__ import annotations

import numpy as np
import pytest
from support.torch_layers import numpy_module, quantized
from support.torch_models import LAYERS, each_kind, inputs, make, torch

import qrnn
import qrnn.torch as qt

nn = torch.nn

TO_NUMPY = "; arrays and models of qrnn.nn are for the package qrnn$"
TO_TORCH = r"; tensors and models of PyTorch are for the package qrnn\.torch$"


@each_kind
def test_arrays_in_calls(kind):
    args = inputs(kind)
    for module in (
        quantized(kind),
        qt.prepare(make(kind), qconfig={}).train(),
        qt.prepare(make(kind), qconfig={}).eval(),
    ):
        with pytest.raises(TypeError, match="^input: expected a torch.Tensor, got ndarray" + TO_NUMPY):
            module(args[0].numpy())
        with pytest.raises(TypeError, match="^input: expected a torch.Tensor, got list$"):
            module(args[0].tolist())
        if len(args) == 2 and not kind.startswith("LSTM"):
            with pytest.raises(TypeError, match="^hx: expected a torch.Tensor, got ndarray" + TO_NUMPY):
                module(args[0], args[1].numpy())


def test_models_over_numpy():
    model = qrnn.nn.Sequential(qrnn.nn.GRU(4, 3))
    for call in (
        lambda: qt.quantize_dynamic(model),
        lambda: qt.prepare(model, qconfig={}),
        lambda: qt.convert(model),
        lambda: qt.from_torch_ao(model),
        lambda: qt.quantization.propagate_qconfig_(model),
        lambda: qt.GRU.from_float(model[0]),
        lambda: qt.GRU.from_float(qrnn.GRU(4, 3)),
    ):
        with pytest.raises(TypeError, match="got qrnn.nn.*" + TO_NUMPY):
            call()


def test_models_of_torch():
    model = nn.Sequential(nn.GRU(4, 3))
    for call in (
        lambda: qrnn.nn.Sequential(model[0]),
        lambda: qrnn.nn.ModuleList([model]),
        lambda: qrnn.nn.Module().add_module("gru", model),
        lambda: qrnn.GRU.from_float(model),
        lambda: qrnn.quantization.calibration_report(model),
    ):
        with pytest.raises(TypeError, match=TO_TORCH):
            call()
    with pytest.raises(ValueError, match="model: expected a prepared model"):
        qrnn.quantization.merge_statistics(model, model)  # which takes those of both packages


def test_others_are_named_alone():
    with pytest.raises(TypeError, match=r"expected a torch\.nn\.Module, got builtins\.int$"):
        qt.quantize_dynamic(3)
    with pytest.raises(TypeError, match="ndarray is not a Module subclass; arrays"):
        qrnn.nn.Sequential(np.ones(3))


@pytest.mark.parametrize("kind", ["RNNCell", "LSTMCell", *LAYERS])
def test_weights_of_quantized_modules_over_numpy(kind):
    module = numpy_module(kind)
    for name in module.get_weight():
        with pytest.raises(AttributeError, match=f"no attribute '{name}'; its weights are quantized: see get_weight"):
            getattr(module, name)
        assert not hasattr(module, name)
    with pytest.raises(AttributeError, match="has no attribute 'other'$"):
        module.other  # noqa: B018
