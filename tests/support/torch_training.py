"""Prepared modules of qrnn.torch, and a loss of what they return."""

from __future__ import annotations

import qrnn.torch as qt
from support.torch_models import (
    flat,
    make,
    torch,
)


def prepared(kind, engine="qrnn", seed=0, **keywords):
    return qt.prepare(make(kind, seed, **keywords), engine=engine, qconfig={})


def loss_of(result):
    return sum(tensor.square().sum() for tensor in flat(result))


def pair(*shape):
    return (torch.zeros(shape),) * 2
