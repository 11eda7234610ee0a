"""Quantized layers of qrnn.torch and of qrnn.nn, of every kind."""

from __future__ import annotations

import qrnn
from support.torch_models import make, qt


def quantized(kind, engine="qrnn", **keywords):
    return qt.quantize_dynamic(make(kind, **keywords), engine=engine)


def numpy_module(kind, engine="qrnn", **keywords):
    """Make the same module of qrnn.nn."""
    mod = make(kind, **keywords)
    return getattr(qrnn, kind.partition("-")[0]).from_float(mod, engine=engine)
