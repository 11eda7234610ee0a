"""Inputs whose conversion to float32 would lose something: masks, and numbers beyond the range of float32."""

from __future__ import annotations

import numpy as np
import pytest

import qrnn
from qrnn import nn


@pytest.mark.xfail(strict=True, reason="the mask is dropped")
@pytest.mark.parametrize("layer", [nn.Linear(2, 3), qrnn.Linear(2, 3)])
def test_a_masked_array_is_refused(layer):
    with pytest.raises(TypeError, match="input: "):
        layer(np.ma.array(np.ones((1, 2), np.float32), mask=[[True, False]]))


@pytest.mark.xfail(strict=True, reason="they become infinities")
@pytest.mark.parametrize("layer", [nn.Linear(2, 3), qrnn.Linear(2, 3)])
def test_numbers_beyond_float32_warn(layer):
    with pytest.warns(RuntimeWarning, match="input: "):
        layer(np.array([[1e39, 0], [1, 2]]))
