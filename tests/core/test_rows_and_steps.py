"""Engine qrnn and float modules of every kind: a sequence is its steps, a row is that row alone.

All of it with ==, on every instruction set.
"""

from __future__ import annotations

import numpy as np
import pytest
import support
from support import (
    as_hx,
    as_tuple,
    assert_same_bits,
    pack_unit,
    pack_units,
    random_lengths,
    random_rows,
    random_state,
    random_unit,
    random_units,
    reference_sequence,
)
from support import reference as ref

pytestmark = pytest.mark.core


f32 = np.float32
ENGINES = ("qrnn", "float32")
KINDS = [*((kind, 0) for kind in ref.KINDS), ("lstm", 5)]  # and the size of the projection

every_kind = pytest.mark.parametrize("kind, proj", KINDS)
every_engine = pytest.mark.parametrize("engine", ENGINES)


def assert_same(got, want, what=""):
    got, want = as_tuple(got), as_tuple(want)
    assert len(got) == len(want)
    for a, b in zip(got, want):
        assert_same_bits(a, b, what)


# ---------------------------------------------------------------------------------------------------
# A sequence is its steps
# ---------------------------------------------------------------------------------------------------
def by_steps(units, isa, x, state, lengths):
    """Output and final states by nothing but calls of cells, row by row."""
    cells = [[pack_unit(unit, isa) for unit in layer] for layer in units]
    directions = len(units[0])
    finals = [np.array(v) for v in state]
    for number, layer in enumerate(cells):
        size = units[0][0].state_sizes[0]
        out = np.zeros((*x.shape[:2], directions * size), f32)
        for direction, cell in enumerate(layer):
            place = number * directions + direction
            for row, length in enumerate(lengths):
                hx = tuple(v[place, row : row + 1] for v in finals)
                for t in reversed(range(length)) if direction else range(length):
                    hx = as_tuple(cell(x[t, row : row + 1], as_hx(hx)))
                    out[t, row, direction * size : (direction + 1) * size] = hx[0]
                for v, new in zip(finals, hx):
                    v[place, row] = new
        x = out
    return x, tuple(finals)


@every_engine
@every_kind
def test_a_sequence_is_its_steps(isa, kind, proj, engine):
    rng = np.random.default_rng(90)
    for number in range(18):
        layers, directions = number % 3 + 1, number // 3 % 2 + 1
        inputs, hidden = int(rng.integers(1, 40)), int(rng.integers(6, 40))
        units = random_units(rng, kind, engine, inputs, hidden, layers, directions, proj=proj, bias=number % 4 > 0)
        steps, batch = (int(n) for n in rng.integers(1, 9, 2))
        scale = 10.0 ** rng.uniform(-3, 2, (1, batch, 1))
        x = (rng.standard_normal((steps, batch, inputs)) * scale).astype(f32)
        state = random_state(rng, units, batch)
        lengths = random_lengths(rng, steps, batch, 0) if number % 2 else [steps] * batch
        got = pack_units(units, isa)(x, as_hx(state), lengths=lengths if number % 2 else None)
        want = by_steps(units, isa, x, state, lengths)
        assert_same_bits(got[0], want[0], f"output {number}")
        assert_same(got[1], want[1], f"state {number}")


@every_engine
@every_kind
def test_a_sequence_goes_on_where_one_ended(isa, kind, proj, engine):
    """Cut anywhere, the state handed on: forward only, for backwards the end comes first."""
    rng = np.random.default_rng(91)
    units = random_units(rng, kind, engine, 7, 18, 2, 1, proj=proj)
    module = pack_units(units, isa)
    x = random_rows(rng, 20 * 3, 7).reshape(20, 3, 7)
    want = module(x)
    for cut in (1, 4, 10, 19):
        first = module(np.ascontiguousarray(x[:cut]))
        second = module(np.ascontiguousarray(x[cut:]), first[1])
        assert_same_bits(np.concatenate([first[0], second[0]]), want[0], f"cut at {cut}")
        assert_same(second[1], want[1], f"cut at {cut}")


# ---------------------------------------------------------------------------------------------------
# A row is that row alone
# ---------------------------------------------------------------------------------------------------
@every_engine
@every_kind
def test_a_row_of_a_cell_is_that_row_alone(isa, kind, proj, engine):
    rng = np.random.default_rng(92)
    for batch in (2, 3, 5, 9, 16, 17, 33, 63, 64, 65, 66, 130):
        inputs, hidden = int(rng.integers(1, 80)), int(rng.integers(proj + 1, 80))
        unit = random_unit(rng, kind, engine, inputs, hidden, proj=proj)
        module = pack_unit(unit, isa)
        x = random_rows(rng, batch, inputs) * (10.0 ** rng.uniform(-4, 4, (batch, 1))).astype(f32)
        state = tuple(v[0] for v in random_state(rng, [[unit]], batch))
        together = as_tuple(module(x, as_hx(state)))
        for row in range(batch):
            alone = tuple(v[row] for v in state)
            one = as_tuple(module(x[row : row + 1], as_hx(tuple(v[None] for v in alone))))
            assert_same(one, tuple(v[row : row + 1] for v in together), f"row {row}")
            got = module(x[row], as_hx(alone))
            assert_same(got, tuple(v[row] for v in together), f"row {row}, unbatched")
        order = rng.permutation(batch)
        permuted = module(x[order], as_hx(tuple(v[order] for v in state)))
        assert_same(permuted, tuple(v[order] for v in together), "permuted")


@every_engine
@every_kind
def test_a_padded_row_is_the_short_one_alone(isa, kind, proj, engine):
    rng = np.random.default_rng(93)
    for number, batch in enumerate((2, 5, 9, 65)):
        units = random_units(rng, kind, engine, 6, 11, 2, number % 2 + 1, proj=proj)
        module = pack_units(units, isa)
        x = random_rows(rng, 7 * batch, 6).reshape(7, batch, 6)
        state, lengths = random_state(rng, units, batch), random_lengths(rng, 7, batch, 0)
        out, final = module(x, as_hx(state), lengths=lengths)
        for row, length in enumerate(lengths):
            short, hx = np.ascontiguousarray(x[:length, row : row + 1]), tuple(v[:, row : row + 1] for v in state)
            alone = module(short, as_hx(hx)) if length else (out[:0, row : row + 1], hx)
            assert_same_bits(alone[0], out[:length, row : row + 1], f"row {row}")
            assert_same(alone[1], tuple(v[:, row : row + 1] for v in as_tuple(final)), f"row {row}")
            assert (support.bits(out[length:, row]) == 0).all(), "padding"
        order = rng.permutation(batch)
        hx = as_hx(tuple(np.ascontiguousarray(v[:, order]) for v in state))
        permuted = module(np.ascontiguousarray(x[:, order]), hx, lengths=[lengths[n] for n in order])
        assert_same_bits(permuted[0], out[:, order], "permuted")
        assert_same(permuted[1], tuple(v[:, order] for v in as_tuple(final)), "permuted")


@every_engine
@every_kind
def test_a_row_of_few_units_is_that_row_alone(isa, kind, proj, engine):
    """Up to a panel of units, whose steps a kernel may keep in registers: rows that end, vanish and are not finite."""
    rng = np.random.default_rng(97)
    for hidden in (proj + 1, *(n for n in (1, 2, 3, 5, 8, 13, 15, 16, 17) if n > proj + 1)):
        units = random_units(rng, kind, engine, 4, hidden, 1, hidden % 2 + 1, proj=proj, bias=hidden % 3 > 0)
        module = pack_units(units, isa)
        x = random_rows(rng, 30 * 8, 4).reshape(30, 8, 4)
        x[:, 1] = 0
        x[10:, 2] *= f32(1e-39)
        x[12, 3], x[13, 3] = f32(1e30), f32(-1e30)
        x[5, 4, 1], x[7, 5, 2] = np.nan, np.inf
        state = random_state(rng, units, 8)
        state[0][:, 6] = 0
        state[0][:, 7] = f32(1e-40)
        lengths = [30, 30, 30, 30, 30, 30, 30, 23]
        out, final = module(x, as_hx(state), lengths=lengths)
        for row, length in enumerate(lengths):
            hx = tuple(np.ascontiguousarray(v[:, row : row + 1]) for v in state)
            alone = module(np.ascontiguousarray(x[:length, row : row + 1]), as_hx(hx))
            assert_same_bits(alone[0], out[:length, row : row + 1], f"{hidden} units, row {row}")
            assert_same(alone[1], tuple(v[:, row : row + 1] for v in as_tuple(final)), f"{hidden} units, row {row}")


# ---------------------------------------------------------------------------------------------------
# Rows that are not finite
# ---------------------------------------------------------------------------------------------------
BAD = [np.nan, np.inf, -np.inf, "other nan"]


def bad_value(bad):
    return np.array(0xFFABCDEF, np.uint32).view(f32) if bad == "other nan" else f32(bad)


@pytest.mark.parametrize("bad", BAD)
@every_engine
@every_kind
def test_a_row_of_a_cell_that_is_not_finite(isa, kind, proj, engine, bad):
    """No bit of another row changes. Engine qrnn: all h' of the row are NaN, of the one bit pattern."""
    rng = np.random.default_rng(94)
    for batch, inputs in ((1, 9), (3, 9), (66, 9), (1, 21), (3, 21), (70, 21)):
        unit = random_unit(rng, kind, engine, inputs, 18, proj=proj)
        module = pack_unit(unit, isa)
        row, others = batch // 2, np.arange(batch) != batch // 2
        x, state = random_rows(rng, batch, inputs), tuple(v[0] for v in random_state(rng, [[unit]], batch))
        want = as_tuple(module(x, as_hx(state)))
        for number, v in enumerate((x, *state)):
            place = row, int(rng.integers(v.shape[1]))
            kept, v[place] = v[place], bad_value(bad)
            got = as_tuple(module(x, as_hx(state)))
            assert_same(got, unit.step(x, state), "reference")
            assert_same(tuple(a[others] for a in got), tuple(a[others] for a in want), "other rows")
            if engine == "qrnn" and number < 2:
                assert (support.bits(got[0][row]) == 0x7FC00000).all()
            for a in got:
                assert (support.bits(a)[np.isnan(a)] == 0x7FC00000).all()
            v[place] = kept


@pytest.mark.parametrize("bad", BAD)
def test_a_row_of_a_linear_layer_that_is_not_finite(isa, bad):
    rng = np.random.default_rng(24)
    for batch in (1, 3, 70):
        module = support.pack_linear("qrnn", support.random_weight(rng, 18, 21), None, isa)
        row, others = batch // 2, np.arange(batch) != batch // 2
        x = random_rows(rng, batch, 21)
        want = module(x)
        x[row, int(rng.integers(21))] = bad_value(bad)
        got = module(x)
        assert (support.bits(got[row]) == 0x7FC00000).all()
        assert_same_bits(got[others], want[others], "other rows")


@pytest.mark.parametrize("bad", BAD)
@every_engine
@every_kind
def test_a_row_of_a_sequence_that_is_not_finite(isa, kind, proj, engine, bad):
    rng = np.random.default_rng(95)
    for number, batch in enumerate((1, 4, 66)):
        units = random_units(rng, kind, engine, 5, 8, 2, number % 2 + 1, proj=proj)
        module, scalar = pack_units(units, isa), pack_units(units, "scalar")
        row, others = batch // 2, np.arange(batch) != batch // 2
        x = random_rows(rng, 5 * batch, 5).reshape(5, batch, 5)
        state = random_state(rng, units, batch)
        lengths = None if number == 0 else [5] * batch
        want = module(x, as_hx(state), lengths=lengths)
        for v, place in ((x, (2, row, 3)), *((v, (1, row, 0)) for v in state)):
            kept, v[place] = v[place], bad_value(bad)
            got = module(x, as_hx(state), lengths=lengths)
            if isa == "scalar":
                exact = reference_sequence.run(units, x, state)
            else:
                exact = scalar(x, as_hx(state), lengths=lengths)
            assert_same_bits(got[0], exact[0], "reference")
            assert_same(got[1], exact[1], "reference")
            assert_same_bits(got[0][:, others], want[0][:, others], "other rows")
            for a, b in zip(as_tuple(got[1]), as_tuple(want[1])):
                assert_same_bits(a[:, others], b[:, others], "other rows")
            v[place] = kept
