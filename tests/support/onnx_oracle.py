"""Compare a model of ONNX, as qrnn reads it, with onnxruntime."""

from __future__ import annotations

import numpy as np

import qrnn.onnx
from support.onnx_models import of_onnxruntime

__all__ = ["BOUND", "expect_same"]

#: The largest error relative to max(1, |y|): both sides compute in float32, in different orders.
BOUND = 2e-6


def expect_same(model):
    """Read a model, check its layers and its outputs against onnxruntime; return the largest difference."""
    read = qrnn.onnx.load(model.proto)
    assert read.module is not None, f"{model.name}: {read.missing}"
    assert len(read.layers) == model.layers, f"{model.name}: {list(read.layers)}"
    results, worst = read.module(**model.inputs), 0.0
    wanted = of_onnxruntime(model)
    results = results if isinstance(results, tuple) else (results,)
    for a, b in zip(results, wanted, strict=True):
        assert a.shape == b.shape and a.dtype == b.dtype, f"{model.name}: {a.dtype} {a.shape}, {b.dtype} {b.shape}"
        worst = max(worst, float(np.max(np.abs(a.astype(float) - b) / np.maximum(1, np.abs(b)), initial=0)))
    assert worst <= BOUND, f"{model.name}: {worst}"
    return worst
