"""Calls of cells and sequences of every kind and engine, and comparisons of their results."""

from __future__ import annotations

import numpy as np

from qrnn import _core
from support import (
    as_tuple,
    assert_same_bits,
    random_rows,
    random_state,
    random_unit,
    random_units,
)
from support import reference as ref

ENGINES = tuple(name for name in (*ref.ENGINES, "float32") if name != "x86")  # x86 has the arithmetic of fbgemm


def _has(engine, kind):
    """Whether an engine has a kind: PyTorch's have no GRU that resets before the product, and no projection."""
    row = _core.engine_table()[engine]
    return row["resets_before" if kind == "gru_reset_before" else "projects"] or kind in ref.KINDS[:4]


CASES = [(kind, engine) for kind in (*ref.KINDS, "lstm with projection") for engine in ENGINES if _has(engine, kind)]
SIZES = (1, 3, 15, 16, 17, 31, 33, 64, 65, 2, 7, 13, 61, 97)


def split(case):
    """Return the core's kind, the engine, and a function from the hidden size to the projection's size."""
    kind, engine = case
    projected = kind.endswith("projection")
    return kind.split()[0], engine, (lambda hidden: hidden // 2 if projected and hidden > 1 else 0)


def cell_case(rng, case, number, batch, inputs, hidden, scale=1.0):
    kind, engine, proj = split(case)
    unit = random_unit(
        rng,
        kind,
        engine,
        inputs,
        hidden,
        proj=proj(hidden),
        per_channel=number % 3 > 0,
        bias=number % 4 > 0,
        low=(-128, -127)[number // 2 % 2],
    )
    x = random_rows(rng, batch, inputs, scale)
    return unit, x, tuple(v[0] for v in random_state(rng, [[unit]], batch))


def assert_same_gates(got, want, what=""):
    for a, b, name in zip(got[:2], want[:2], ("acc of x", "acc of h")):
        assert (a is None) == (b is None), f"{what} {name}"
        if a is not None:
            np.testing.assert_array_equal(a, b, f"{what} {name}")
    assert_same_bits(got[2], want[2], f"{what} pre")


def assert_same_states(got, want, what=""):
    for a, b, name in zip(as_tuple(got), as_tuple(want), "hc", strict=False):
        assert_same_bits(a, b, f"{what} {name}")
    assert len(as_tuple(got)) == len(as_tuple(want)), what


def assert_same_run(got, want, what=""):
    """Check that two runs of a sequence have the same output and final states."""
    assert_same_bits(got[0], want[0], f"{what} output")
    assert_same_states(got[1], want[1], what)


def sequence_case(rng, case, number, sizes=None, most=9):
    """Make units and a call; 48 numbers give every combination of layers, directions, bias, lengths and state."""
    kind, engine, proj = split(case)
    layers, directions = number % 3 + 1, number // 3 % 2 + 1
    bias, lengths, initial = (number // n % 2 == 0 for n in (6, 12, 24))
    steps, batch, inputs, hidden = sizes or (
        *(int(n) for n in rng.integers(1, most, 2)),
        int(rng.choice(SIZES[:11])),
        int(rng.choice(SIZES[:11])),
    )
    units = random_units(
        rng,
        kind,
        engine,
        inputs,
        hidden,
        layers,
        directions,
        proj=proj(hidden),
        bias=bias,
        per_channel=number % 5 > 0,
        low=(-128, -127)[number // 2 % 2],
    )
    x = random_rows(rng, steps * batch, inputs).reshape(steps, batch, inputs)
    state = random_state(rng, units, batch) if initial else None
    least = 0 if engine in ("float32", "qrnn") else 1  # rows that share a scale all have at least a step
    rows = rng.integers(least, steps + 1, batch).tolist() if lengths else None
    return units, x, state, rows
