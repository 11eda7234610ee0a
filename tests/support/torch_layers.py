"""Quantized layers of qrnn.torch and of the NumPy side, of every kind."""

from __future__ import annotations

import qrnn
from support.torch_models import make, qt


def quantized(kind, engine="qrnn", **keywords):
    return qt.quantize_dynamic(make(kind, **keywords), engine=engine)


def numpy_module(kind, engine="qrnn", **keywords):
    """The same module of the NumPy side."""
    mod = make(kind, **keywords)
    return getattr(qrnn, kind.partition("-")[0]).from_float(mod, engine=engine)
