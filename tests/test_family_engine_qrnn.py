"""Engine qrnn and float modules, LSTM, GRU and RNN: a sequence is its steps, a row is that row alone.

All of it with ==, on every instruction set. Then the errors: float32 beside torch.nn, int8 over 100 steps
beside torch.ao.
"""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import reference as ref
import reference_sequence
import support
from support import (
    HAVE_TORCH,
    as_hx,
    as_tuple,
    assert_same_bits,
    needs_torch,
    pack_unit,
    pack_units,
    random_rows,
    random_state,
    random_unit,
    random_units,
)

from qrnn import _core

if HAVE_TORCH:
    import support_torch
    import torch

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


def random_lengths(rng, steps, batch):
    return rng.integers(1, steps + 1, batch).tolist()


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
        lengths = random_lengths(rng, steps, batch) if number % 2 else [steps] * batch
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
    for batch in (2, 3, 5, 9, 16, 17, 33, 63, 64, 65, 130):
        inputs, hidden = int(rng.integers(1, 60)), int(rng.integers(6, 40))
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
        state, lengths = random_state(rng, units, batch), random_lengths(rng, 7, batch)
        out, final = module(x, as_hx(state), lengths=lengths)
        for row, length in enumerate(lengths):
            short = np.ascontiguousarray(x[:length, row : row + 1])
            alone = module(short, as_hx(tuple(v[:, row : row + 1] for v in state)))
            assert_same_bits(alone[0], out[:length, row : row + 1], f"row {row}")
            assert_same(alone[1], tuple(v[:, row : row + 1] for v in as_tuple(final)), f"row {row}")
            assert (support.bits(out[length:, row]) == 0).all(), "padding"
        order = rng.permutation(batch)
        hx = as_hx(tuple(np.ascontiguousarray(v[:, order]) for v in state))
        permuted = module(np.ascontiguousarray(x[:, order]), hx, lengths=[lengths[n] for n in order])
        assert_same_bits(permuted[0], out[:, order], "permuted")
        assert_same(permuted[1], tuple(v[:, order] for v in as_tuple(final)), "permuted")


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
    for batch in (1, 3, 66):
        unit = random_unit(rng, kind, engine, 9, 18, proj=proj)
        module = pack_unit(unit, isa)
        row, others = batch // 2, np.arange(batch) != batch // 2
        x, state = random_rows(rng, batch, 9), tuple(v[0] for v in random_state(rng, [[unit]], batch))
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


# ---------------------------------------------------------------------------------------------------
# Float32 beside torch.nn
# ---------------------------------------------------------------------------------------------------
@needs_torch
@pytest.mark.parametrize("name", ["RNN tanh", "RNN relu", "LSTM", "LSTM proj", "GRU"])
@pytest.mark.parametrize("batched", ["batch first", "time first", "unbatched"])
def test_float_sequences_are_torchs(name, batched):
    """Layers 1-3, both directions, lengths, projection, bias, states: within 1e-6 of the largest output.

    Of 8 hidden units or more: the largest of two or three outputs can be what cancellation left, and then
    PyTorch's own is further than that from float64. Small sizes have the reference's bits
    (``test_family_kernels.py``), and the reference is held to rounding's bound.
    """
    rng = np.random.default_rng(96)
    torch.manual_seed(96)
    isas, worst = _core.isas(), 0.0
    for number in range(96):
        layers, directions = number % 3 + 1, number // 3 % 2 + 1
        bias, lengths, initial = (number // n % 2 == 0 for n in (6, 12, 24))
        inputs, hidden = int(rng.integers(1, 70)), int(rng.integers(8, 70))
        options = {"nonlinearity": name.split()[1]} if name.startswith("RNN") else {}
        options |= {"proj_size": int(rng.integers(4, hidden))} if name == "LSTM proj" else {}
        options |= {"num_layers": layers, "bidirectional": directions == 2, "bias": bias}
        layer = getattr(torch.nn, name.split()[0])(inputs, hidden, **options)
        units = support_torch.units_of(layer, "float32")
        batch_first = batched == "batch first" or (number % 5 == 0 and batched == "unbatched")
        module = pack_units(units, isas[number % len(isas)], batch_first=batch_first)
        steps, batch = (int(n) for n in rng.integers(1, 9, 2))
        batch = 1 if batched == "unbatched" else batch
        x = random_rows(rng, steps * batch, inputs).reshape(steps, batch, inputs)
        state = random_state(rng, units, batch) if initial else None
        rows = random_lengths(rng, steps, batch) if lengths and batched != "unbatched" else None
        if rows is not None:
            rows[int(rng.integers(batch))] = steps
        want = support_torch.run(layer, x, state, rows)
        if batched == "unbatched":
            alone = None if state is None else tuple(np.ascontiguousarray(v[:, 0]) for v in state)
            got = module(np.ascontiguousarray(x[:, 0]), as_hx(alone))
            want = want[0][:, 0], tuple(v[:, 0] for v in want[1])
        elif batch_first:
            got = module(np.ascontiguousarray(x.swapaxes(0, 1)), as_hx(state), lengths=rows)
            want = want[0].swapaxes(0, 1), want[1]
        else:
            got = module(x, as_hx(state), lengths=rows)
        for a, b in zip((got[0], *as_tuple(got[1])), (want[0], *want[1]), strict=True):
            assert a.shape == b.shape
            error = np.abs(a - b).max() / np.abs(b).max()
            assert error <= 1e-6, number
            worst = max(worst, error)
    support.report("float32 beside torch.nn", f"{name}, {batched}: worst {worst:.1e} of the largest output")


@needs_torch
@pytest.mark.parametrize("name", ["RNNCell tanh", "RNNCell relu", "LSTMCell", "GRUCell"])
def test_float_cells_are_torchs(name):
    rng = np.random.default_rng(97)
    torch.manual_seed(97)
    isas = _core.isas()
    for number in range(60):
        inputs, hidden = (int(n) for n in rng.integers(1, 100, 2))
        options = {"nonlinearity": name.split()[1]} if name.startswith("RNN") else {}
        cell = getattr(torch.nn, name.split()[0])(inputs, hidden, bias=number % 3 > 0, **options)
        unit = support_torch.unit_of(cell, "float32")
        module = pack_unit(unit, isas[number % len(isas)])
        shape = (int(rng.integers(1, 9)),) if number % 4 else ()
        x = rng.standard_normal((*shape, inputs)).astype(f32)
        state = tuple(rng.standard_normal((*shape, hidden)).astype(f32) for _ in unit.state_sizes)
        state = None if number % 5 == 0 else state
        want = support_torch.arrays(cell(torch.from_numpy(x), support_torch.tensors(state)))
        for a, b in zip(as_tuple(module(x, as_hx(state))), want, strict=True):
            assert a.shape == b.shape
            assert np.abs(a - b).max() <= 1e-6 * np.abs(b).max()


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
        exact = reference_sequence.run(support_torch.units_of(layer, "float64"), x)[0]
        theirs = support_torch.run(support_torch.quantized(layer, "x86"), x)[0]
        ours = pack_units(support_torch.units_of(layer, "qrnn"))(x)[0]
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
