"""The caller's float settings change no bit, and are as before after a call."""

from __future__ import annotations

import numpy as np
import pytest
from support import (
    as_hx,
    float_environment,
    pack_unit,
    pack_units,
)
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


# ---------------------------------------------------------------------------------------------------
# The caller's float environment
# ---------------------------------------------------------------------------------------------------
SETTINGS = [{"flush": True}, {"rounding": "up"}, {"rounding": "down"}, {"rounding": "zero", "flush": True}]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("case", CASES, ids="-".join)
def test_the_callers_float_settings_change_no_bit(isa, case, settings):
    """Inputs and states down to denormals, cells and sequences; the settings are as before afterwards."""
    rng = np.random.default_rng(83)
    for number in range(12):
        unit, x, state = cell_case(rng, case, number, 3, 9, 21, 10.0 ** rng.uniform(-42, 2))
        state = tuple((v * 10.0 ** rng.uniform(-42, 0)).astype(f32) for v in state)
        module, hx = pack_unit(unit, isa), as_hx(state)
        want, gates = module(x, hx), _core._gates(module, x, hx)
        with float_environment(**settings):
            got, door = module(x, hx), _core._gates(module, x, hx)
        assert_same_states(got, want, f"cell {number}")
        assert_same_gates(door, gates, f"cell {number}")
        units, x, state, lengths = sequence_case(rng, case, number, (5, 3, 4, 6))
        x = (x * 10.0 ** rng.uniform(-42, 2)).astype(f32)
        module, hx = pack_units(units, isa), as_hx(state)
        want = module(x, hx, lengths=lengths)
        with float_environment(**settings):
            got = module(x, hx, lengths=lengths)
        assert_same_run(got, want, f"sequence {number}")
