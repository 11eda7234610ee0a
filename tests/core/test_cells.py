"""Cells of every kind and engine on every instruction set against the reference, with ==."""

from __future__ import annotations

import functools

import numpy as np
import pytest
from support import (
    SHAPES,
    as_hx,
    pack_unit,
    pack_units,
    random_unit,
)
from support.kernel_cases import (
    CASES,
    assert_same_gates,
    assert_same_states,
    cell_case,
)

from qrnn import _core

pytestmark = pytest.mark.core


f32 = np.float32
SIZES = (1, 3, 15, 16, 17, 31, 33, 64, 65, 2, 7, 13, 61, 97)
BATCHES = (1, 2, 3, 4, 5, 6, 7, 8, 9, 31, 33, 64, 65, 130)

# (batch, inputs, hidden): each size along each axis with odd partners
FEW_SHAPES = sorted({(3, n, 17) for n in (0, *SIZES)} | {(2, 19, n) for n in SIZES} | {(n, 11, 5) for n in BATCHES})
FLOAT_SHAPES = ((1, 1, 1), (2, 5, 3), (7, 31, 33), (65, 9, 17), (1, 64, 48))
LARGE = ((1, 257, 131), (4, 128, 128), (33, 131, 97), (130, 64, 65))


@functools.cache
def cells_and_answers(case):
    """Cells, calls and what the reference says, which is the same for every instruction set."""
    rng = np.random.default_rng(70)
    calls = [(shape, *cell_case(rng, case, number, *shape)) for number, shape in enumerate(FEW_SHAPES)]
    if case[0].startswith("rnn"):  # one gate: the most sizes, for the least time
        for number, shape in enumerate(SHAPES):
            if case[1] != "float32" or np.prod(shape) <= 100_000:
                calls.append((shape, *cell_case(rng, case, number, *shape, 3.0)))
    if case[1] == "float32":
        for shape in FLOAT_SHAPES:
            calls += [(shape, *cell_case(rng, case, number, *shape)) for number in range(2)]  # without biases and with
    return [(*call, call[1].gates(*call[2:]), call[1].step(*call[2:])) for call in calls]


@pytest.mark.parametrize("case", CASES, ids="-".join)
def test_cells(isa, case):
    for shape, unit, x, state, gates, after in cells_and_answers(case):
        module, what = pack_unit(unit, isa), f"batch, inputs, hidden = {shape}"
        assert module.isa == isa
        assert_same_gates(_core._gates(module, x, as_hx(state)), gates, what)
        assert_same_states(module(x, as_hx(state)), after, what)


@pytest.mark.parametrize("case", CASES, ids="-".join)
def test_large_cells(isa, case):
    """Sizes beyond several tiles and blocks: against scalar, and scalar against the reference."""
    rng = np.random.default_rng(71)
    for number, shape in enumerate(LARGE):
        unit, x, state = cell_case(rng, case, number, *shape)
        module, scalar, hx = pack_unit(unit, isa), pack_unit(unit, "scalar"), as_hx(state)
        assert_same_gates(_core._gates(module, x, hx), _core._gates(scalar, x, hx), f"{shape}")
        got = module(x, hx)
        assert_same_states(got, scalar(x, hx), f"{shape}")
        if isa == "scalar" and number == 1:
            assert_same_states(got, unit.step(x, state), f"{shape}")


@pytest.mark.parametrize("case", CASES, ids="-".join)
def test_a_state_left_out_is_zeros(isa, case):
    rng = np.random.default_rng(72)
    for number, shape in enumerate(((5, 9, 18), (1, 69, 1), (9, 1, 69), (4, 33, 31), (7, 16, 48))):
        unit, x, _ = cell_case(rng, case, number + 1, *shape, 10.0 ** rng.uniform(-30, 30) if number else 1.0)
        module, zeros = pack_unit(unit, isa), unit.zeros(len(x))
        assert_same_states(module(x), unit.step(x), "none")
        assert_same_states(module(x, as_hx(zeros)), module(x), "zeros")
        assert_same_gates(_core._gates(module, x), unit.gates(x))


@pytest.mark.parametrize("case", CASES, ids="-".join)
def test_values_of_every_magnitude(isa, case):
    """From denormals to values whose products overflow; the last bits of infinities and NaN too."""
    rng = np.random.default_rng(73)
    for number in range(40):
        inputs, hidden = (int(n) for n in rng.integers(1, 40, 2))
        unit, x, state = cell_case(rng, case, number, 3, inputs, hidden, 10.0 ** rng.uniform(-44, 37))
        state = tuple((v * 10.0 ** rng.uniform(-44, 10)).astype(f32) for v in state)
        module = pack_unit(unit, isa)
        assert_same_gates(_core._gates(module, x, as_hx(state)), unit.gates(x, state), f"cell {number}")
        assert_same_states(module(x, as_hx(state)), unit.step(x, state), f"cell {number}")


@pytest.mark.parametrize("case", CASES, ids="-".join)
def test_saturated_gates(isa, case):
    """Pre-activations far beyond where sigmoid and tanh are flat, of both signs."""
    rng = np.random.default_rng(74)
    for number in range(6):
        unit, x, state = cell_case(rng, case, number, 7, 21, 19, 10.0**number)
        assert_same_states(pack_unit(unit, isa)(x, as_hx(state)), unit.step(x, state), f"cell {number}")


@pytest.mark.parametrize("engine", ["fbgemm", "x86", "qnnpack", "onednn"])
def test_what_pytorch_has_not_is_refused(engine):
    rng = np.random.default_rng(75)
    for kind, proj in (("gru_reset_before", 0), ("lstm", 3)):
        unit = random_unit(rng, kind, "qrnn", 5, 8, proj=proj)._replace(engine=engine)
        with pytest.raises(ValueError):
            pack_unit(unit)
        with pytest.raises(ValueError):
            pack_units([[unit]])
