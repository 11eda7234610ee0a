"""Helpers for the tests of rounding by data."""

from __future__ import annotations

import numpy as np
import pytest

from qrnn import _layer_rounding, _model_guard, nn
from qrnn._reservoir import Reservoir

f32 = np.float32


def white_cell(rng, inputs, hidden, **options):
    cell = nn.RNNCell(inputs, hidden, **options)
    for name in cell.state_dict():
        shape = getattr(cell, name).shape
        setattr(cell, name, rng.uniform(-1, 1, shape).astype(f32) / f32(np.sqrt(hidden)))
    return cell


@pytest.fixture
def nothing_held(monkeypatch):
    """Have statistics cover all observed data: no reservoir holds any of them back."""
    monkeypatch.setattr(Reservoir, "offer", lambda self, count: [])


@pytest.fixture
def all_taken(monkeypatch):
    """Have every matrix take its codes by data, whether they improve it or not."""
    for module in (_layer_rounding, _model_guard):
        monkeypatch.setattr(module, "shows_gain", lambda *given: True)


def observed(module):
    """{(matrix, product): (count, second moment)} of a prepared module."""
    found = module._prepared.statistics.by_product()
    return {key: (m.count, m.second_moment()) for key, m in found.items()}


def correlated(rng, rows, columns, rank=6):
    """Make inputs like those of trained models: a few directions hold most of the power, and the mean is not 0."""
    mixed = rng.standard_normal((rows, rank)) @ rng.standard_normal((rank, columns))
    return (mixed + 0.2 * rng.standard_normal((rows, columns)) + rng.standard_normal(columns)).astype(f32)
