"""The error of h against float64 over 100 steps, beside torch.ao's."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import support
from support import (
    HAVE_TORCH,
    needs_torch,
    pack_units,
    reference_sequence,
)

if HAVE_TORCH:
    import torch
    from support import torch_units


pytestmark = pytest.mark.core


f32 = np.float32


# ---------------------------------------------------------------------------------------------------
# Error over 100 steps, beside torch.ao's LSTM and GRU
# ---------------------------------------------------------------------------------------------------
DRIFT_SIZES = ((16, 16), (10, 20), (64, 64), (28, 96), (128, 128))


def drift(name, batch, rng):
    """Sums of squares over 100 steps and all sizes: torch.ao's error, ours, the output itself."""
    sums = np.zeros(3)
    for inputs, hidden in DRIFT_SIZES:
        layer = getattr(torch.nn, name)(inputs, hidden)
        x = rng.standard_normal((100, batch, inputs)).astype(f32)
        exact = reference_sequence.run(torch_units.units_of(layer, "float64"), x)[0]
        theirs = torch_units.run(torch_units.quantized(layer, "x86"), x)[0]
        ours = pack_units(torch_units.units_of(layer, "qrnn"))(x)[0]
        sums += [((v - exact) ** 2).sum() for v in (theirs, ours)] + [(exact**2).sum()]
    return sums


@needs_torch
@pytest.mark.parametrize("name", ["LSTM", "GRU"])
def test_error_over_100_steps_beside_torch_ao(name):
    """At most half of torch.ao's at batch 8 and 32, at most 0.65 at batch 1; the table is printed."""
    rng = np.random.default_rng(98)
    torch.manual_seed(98)
    title = "LSTM and GRU: error against float64 over 100 steps"
    if title not in support.tables:
        head = "batch   torch.ao (x86)   engine qrnn    ratio   bound    (relative RMS error of h)"
        support.report(title, f"       {head}")
    failed = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for batch, bound in ((1, 0.65), (8, 0.5), (32, 0.5)):
            theirs, ours, size = drift(name, batch, rng)
            ratio = np.sqrt(ours / theirs)
            errors = f"{np.sqrt(theirs / size):14.3%}   {np.sqrt(ours / size):11.3%}"
            support.report(title, f"{name:4s}   {batch:5d}   {errors}   {ratio:6.3f}   {bound:5.2f}")
            if not ratio <= bound:
                failed.append((batch, ratio))
    assert not failed
