"""What the tests of rounding by data share."""

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
    """Statistics of all that was seen: no reservoir holds any of it back."""
    monkeypatch.setattr(Reservoir, "offer", lambda self, count: [])


@pytest.fixture
def all_taken(monkeypatch):
    """Every matrix has its codes by data, whether they showed a gain or not."""
    for module in (_layer_rounding, _model_guard):
        monkeypatch.setattr(module, "shows_gain", lambda *given: True)


def observed(module):
    """{(matrix, product): (count, second moment)} of a prepared module."""
    found = module._prepared.statistics.by_product()
    return {key: (m.count, m.second_moment()) for key, m in found.items()}


def correlated(rng, rows, columns, rank=6):
    """Inputs as trained models have them: a few directions hold most of the power, the mean is not 0."""
    mixed = rng.standard_normal((rows, rank)) @ rng.standard_normal((rank, columns))
    return (mixed + 0.2 * rng.standard_normal((rows, columns)) + rng.standard_normal(columns)).astype(f32)
