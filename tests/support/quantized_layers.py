"""Quantized recurrent layers of every kind."""

from __future__ import annotations

import pytest

from qrnn.nn.quantized import dynamic as qd
from support.layers import (
    ALL,
    OURS,
    ids,
)

#: Every kind with options of its own.
MIXED = [*ALL[::5], *ALL[-1:], *OURS]


mixed = pytest.mark.parametrize("name, options", MIXED, ids=ids)


def only_ours(options):
    """Whether PyTorch quantizes nothing of the kind, so that its engines refuse it."""
    return bool(options.get("proj_size")) or options.get("reset_after") is False


def engine_for(options, engine="fbgemm"):
    return "qrnn" if only_ours(options) else engine


def make(name, options, sizes=(5, 4), **kwargs):
    return getattr(qd, name)(*sizes, **options, **kwargs)
