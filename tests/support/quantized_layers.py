"""Quantized recurrent layers of every kind."""

from __future__ import annotations

import numpy as np
import pytest

from qrnn.nn.quantized import dynamic as qd
from support.layers import (
    ALL,
    OURS,
    ids,
    inputs_of,
)

#: Layers of every kind, each with different options.
MIXED = [*ALL[::5], *ALL[-1:], *OURS]


mixed = pytest.mark.parametrize("name, options", MIXED, ids=ids)
any_layer = pytest.mark.parametrize("name, options", [*MIXED, ("Linear", {}), ("Linear", {"bias": False})], ids=ids)


def only_ours(options):
    """Whether PyTorch cannot quantize a layer with these options, so that its engines refuse it."""
    return bool(options.get("proj_size")) or options.get("reset_after") is False


def engine_for(options, engine="fbgemm"):
    return "qrnn" if only_ours(options) else engine


def make(name, options, sizes=(5, 4), **kwargs):
    return getattr(qd, name)(*sizes, **options, **kwargs)


def result_of(module):
    """Return the result of a module of any kind, float or quantized, for a fixed input."""
    if hasattr(module, "in_features"):
        return module(np.random.default_rng(110).standard_normal((3, module.in_features)).astype(np.float32))
    return module(*inputs_of(module))
