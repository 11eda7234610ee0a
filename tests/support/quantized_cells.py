"""Helpers for the tests of quantized modules."""

from __future__ import annotations

import numpy as np

from support import random_rows


def inputs_of(cell, batch=4, seed=90):
    rng = np.random.default_rng(seed)
    return random_rows(rng, batch, cell.input_size), random_rows(rng, batch, cell.hidden_size)
