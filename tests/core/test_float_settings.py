"""The caller's float settings change no bit, and are as before after a call."""

from __future__ import annotations

import numpy as np
import pytest
from support import (
    as_hx,
    assert_same_bits,
    float_environment,
    needs_torch,
    pack,
    pack_unit,
    pack_units,
    random_cell,
    random_rows,
    random_unit,
)
from support import reference as ref
from support.kernel_cases import (
    CASES,
    assert_same_gates,
    assert_same_run,
    assert_same_states,
    cell_case,
    sequence_case,
)

from qrnn import _core

pytestmark = pytest.mark.core


f32 = np.float32


SETTINGS = [{"flush": True}, {"rounding": "up"}, {"rounding": "down"}, {"rounding": "zero", "flush": True}]


def rows(rng, number, batch, n):
    """Rows of every kind and magnitude, down to denormals, mixed in one batch."""
    each = [random_rows(rng, 1, n, 10.0 ** rng.uniform(-42, 2), number + row) for row in range(batch)]
    return np.concatenate(each)


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("case", CASES, ids="-".join)
def test_cells(isa, case, settings):
    """Inputs, states, scales and products down to denormals; the settings are as before after each call."""
    rng = np.random.default_rng(83)
    for number in range(36):
        sizes = (3, 9, 21) if number < 12 else (int(rng.integers(1, 10)), *(int(n) for n in rng.integers(1, 70, 2)))
        unit, x, state = cell_case(rng, case, number, *sizes, 10.0 ** rng.uniform(-42, 2))
        if number >= 12:
            x, state = rows(rng, number, *x.shape), tuple(rows(rng, number, *v.shape) for v in state)
        else:
            state = tuple((v * 10.0 ** rng.uniform(-42, 0)).astype(f32) for v in state)
        if number % 3 == 0 and unit.bias_ih is not None:
            unit = unit._replace(bias_ih=unit.bias_ih * f32(1e-38), bias_hh=unit.bias_hh * f32(1e-38))
        module, hx = pack_unit(unit, isa), as_hx(state)
        want, gates = module(x, hx), _core._gates(module, x, hx)
        with float_environment(**settings):
            got, door = module(x, hx), _core._gates(module, x, hx)
        assert_same_states(got, want, f"cell {number}")
        assert_same_gates(door, gates, f"cell {number}")


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("case", CASES, ids="-".join)
def test_sequences(isa, case, settings):
    rng = np.random.default_rng(84)
    for number in range(12):
        units, x, state, lengths = sequence_case(rng, case, number, (5, 3, 4, 6))
        x = (x * 10.0 ** rng.uniform(-42, 2)).astype(f32)
        module, hx = pack_units(units, isa), as_hx(state)
        want = module(x, hx, lengths=lengths)
        with float_environment(**settings):
            got = module(x, hx, lengths=lengths)
        assert_same_run(got, want, f"sequence {number}")


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("engine", ["qrnn", "fbgemm", "qnnpack", "onednn"])
def test_codes(isa, settings, engine):
    rng = np.random.default_rng(29)
    for number in range(60):
        x = rows(rng, number, int(rng.integers(1, 10)), int(rng.integers(1, 70)))
        want = _core.quantize(engine, x, isa)
        with float_environment(**settings):
            got = _core.quantize(engine, x, isa)
        for a, b in zip(got, want, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_functions(isa, settings):
    x = np.arange(0, 2**32, 49999, dtype=np.uint64).astype(np.uint32).view(f32)
    for name in ("tanh", "tanh_exact", "sigmoid", "relu"):
        want = _core.apply(name, x, isa)
        with float_environment(**settings):
            got = _core.apply(name, x, isa)
        assert_same_bits(got, want, name)


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("kind", ref.KINDS)
def test_products_of_float_modules_that_vanish(isa, kind, settings):
    rng = np.random.default_rng(30)
    for _ in range(20):
        unit = random_unit(rng, kind, "float32", 21, 9, bias=False)
        module = pack_unit(unit._replace(ih=unit.ih * f32(1e-19)), isa)
        x = random_rows(rng, 3, 21, 1e-19)
        hx = as_hx(tuple(random_rows(rng, 3, 9, 1e-38) for _ in unit.state_sizes))
        want = module(x, hx)
        with float_environment(**settings):
            got = module(x, hx)
        assert_same_states(got, want)


@needs_torch
def test_torch_set_flush_denormal():
    """The switch that PyTorch users know."""
    import torch

    rng = np.random.default_rng(31)
    cell = random_cell(rng, "qrnn", "relu", 15, 9)
    x, h = random_rows(rng, 4, 15, 1e-38), random_rows(rng, 4, 9, 1e-36)
    module = pack(cell)
    want = module(x, h)
    if not torch.set_flush_denormal(True):
        pytest.skip("THIS CPU has no flush-to-zero mode that PyTorch can set")
    try:
        got = module(x, h)
    finally:
        torch.set_flush_denormal(False)
    assert_same_bits(got, want)
