"""The instruction set scalar2 is known, is slower than none but scalar, and a layer runs on it."""

import numpy as np

import qrnn
from qrnn import nn


def test_it_is_known():
    assert qrnn.isas()[:2] == ("scalar", "scalar2")


def test_a_layer_runs_on_it():
    cell, x = nn.GRUCell(19, 33), np.random.default_rng(1).standard_normal((5, 19)).astype(np.float32)
    on_scalar, on_scalar2 = (qrnn.GRUCell.from_float(cell, isa=isa) for isa in ("scalar", "scalar2"))
    assert on_scalar2.isa == "scalar2"
    assert (on_scalar2(x) == on_scalar(x)).all()
