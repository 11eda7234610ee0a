"""LSTM, GRU and RNN on every instruction set against the reference, and so against scalar, with ==.

Cells and sequences, every engine, sizes round every tile, all options; the caller's float settings; the
memory round inputs and results. What only engine qrnn promises is in ``test_family_engine_qrnn.py``.
"""

from __future__ import annotations

import functools
import mmap

import numpy as np
import pytest
import reference as ref
import reference_sequence
import support
from support import (
    as_hx,
    as_tuple,
    assert_same_bits,
    float_environment,
    pack_unit,
    pack_units,
    random_rows,
    random_state,
    random_unit,
    random_units,
)

from qrnn import _core

pytestmark = pytest.mark.core

f32 = np.float32
ENGINES = ("qrnn", "fbgemm", "qnnpack", "onednn", "float32")

# PyTorch has no GRU that resets before the product and no quantized projection.
CASES = [
    (kind, engine)
    for kind in (*ref.KINDS, "lstm with projection")
    for engine in ENGINES
    if engine in ("qrnn", "float32") or kind not in ("gru_reset_before", "lstm with projection")
]
SIZES = (1, 3, 15, 16, 17, 31, 33, 64, 65, 2, 7, 13, 61, 97)
BATCHES = (1, 2, 3, 4, 5, 6, 7, 8, 9, 31, 33, 64, 65, 130)

# (batch, inputs, hidden): each size along each axis with odd partners
SHAPES = sorted({(3, n, 17) for n in (0, *SIZES)} | {(2, 19, n) for n in SIZES} | {(n, 11, 5) for n in BATCHES})
LARGE = ((1, 257, 131), (4, 128, 128), (33, 131, 97), (130, 64, 65))


def split(case):
    """The core's kind, and the size of the projection of so many hidden units."""
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
    """Output and final states of a sequence."""
    assert_same_bits(got[0], want[0], f"{what} output")
    assert_same_states(got[1], want[1], what)


# ---------------------------------------------------------------------------------------------------
# Cells
# ---------------------------------------------------------------------------------------------------
@functools.cache
def cells_and_answers(case):
    """Cells, calls and what the reference says, which is the same for every instruction set."""
    rng = np.random.default_rng(70)
    calls = [(shape, *cell_case(rng, case, number, *shape)) for number, shape in enumerate(SHAPES)]
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
    unit, x, _ = cell_case(rng, case, 1, 5, 9, 18)
    module = pack_unit(unit, isa)
    zeros = unit.zeros(5)
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


# ---------------------------------------------------------------------------------------------------
# Sequences
# ---------------------------------------------------------------------------------------------------
def sequence_case(rng, case, number, sizes=None, most=9):
    """Units and a call: every combination of layers, directions, bias, lengths and state in 48 numbers."""
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
    rows = rng.integers(1, steps + 1, batch).tolist() if lengths else None
    return units, x, state, rows


def swap(v):
    return np.ascontiguousarray(v.swapaxes(0, 1))


@functools.cache
def sequences_and_answers(case):
    rng = np.random.default_rng(76)
    calls = [sequence_case(rng, case, number) for number in range(48)]
    return [(*call, reference_sequence.run(*call)) for call in calls]


@pytest.mark.parametrize("case", CASES, ids="-".join)
def test_sequences(isa, case):
    """Layers 1-3, both directions, lengths, projection, bias, batch first and not."""
    for number, (units, x, state, lengths, want) in enumerate(sequences_and_answers(case)):
        batch_first = number % 7 < 3
        module = pack_units(units, isa, batch_first=batch_first)
        assert module.isa == isa
        got = module(swap(x) if batch_first else x, as_hx(state), lengths=lengths)
        what = f"sequence {number}, x {x.shape}, lengths {lengths}, [{len(units)}][{len(units[0])}]"
        assert_same_run((swap(got[0]) if batch_first else got[0], got[1]), want, what)


@functools.cache
def batches_and_answers(case):
    rng = np.random.default_rng(77)
    answers = []
    for number, batch in enumerate(BATCHES):
        units, x, state, _ = sequence_case(rng, case, number + 1, (4, batch, 5, 9))
        lengths = rng.integers(1, 5, batch).tolist() if number % 3 else None
        answers.append((units, x, state, lengths, reference_sequence.run(units, x, state, lengths)))
    return answers


@pytest.mark.parametrize("case", CASES, ids="-".join)
def test_batches_of_sequences(isa, case):
    """Batches round the sizes of blocks, rows in any order of length."""
    for units, x, state, lengths, want in batches_and_answers(case):
        got = pack_units(units, isa)(x, as_hx(state), lengths=lengths)
        assert_same_run(got, want, f"batch {x.shape[1]}")


@pytest.mark.parametrize("case", CASES, ids="-".join)
def test_large_sequences(isa, case):
    """Many steps and hidden units: input products in several pieces. Against scalar."""
    rng = np.random.default_rng(78)
    for number, sizes in enumerate(((90, 1, 7, 33), (40, 9, 65, 64), (33, 3, 16, 130), (3, 70, 31, 97))):
        units, x, state, lengths = sequence_case(rng, case, 13 * number + 4, sizes)
        got, want = (pack_units(units, name)(x, as_hx(state), lengths=lengths) for name in (isa, "scalar"))
        assert_same_run(got, want, f"{sizes}")
        if isa == "scalar" and number == 0:
            assert_same_run(got, reference_sequence.run(units, x, state, lengths), f"{sizes}")


@functools.cache
def unbatched_and_answers(case):
    rng = np.random.default_rng(79)
    calls = [sequence_case(rng, case, number + 24, (6, 1, 5, 7))[:3] for number in range(12)]
    return [(*call, reference_sequence.run(*call)) for call in calls]


@pytest.mark.parametrize("case", CASES, ids="-".join)
def test_unbatched_sequences(isa, case):
    """A sequence without a batch axis is a batch of one, whatever batch_first says."""
    for number, (units, x, state, want) in enumerate(unbatched_and_answers(case)):
        module = pack_units(units, isa, batch_first=number % 2 == 1)
        alone = None if state is None else tuple(v[:, 0] for v in state)
        got = module(np.ascontiguousarray(x[:, 0]), as_hx(alone))
        assert_same_run(got, (want[0][:, 0], tuple(v[:, 0] for v in want[1])), f"sequence {number}")


LENGTHS = ([6] * 5, [1] * 5, [1, 2, 3, 4, 6], [6, 5, 3, 2, 1], [3, 1, 4, 1, 2], [2, 6, 2, 6, 6])


@functools.cache
def lengths_and_answers(case):
    units, x, state, _ = sequence_case(np.random.default_rng(80), case, 4, (6, 5, 3, 4))
    return units, x, state, [reference_sequence.run(units, x, state, lengths) for lengths in LENGTHS]


@pytest.mark.parametrize("case", CASES, ids="-".join)
def test_lengths(isa, case):
    """All equal, all one, rising, falling, none as long as the input; equal ones are no lengths at all."""
    units, x, state, answers = lengths_and_answers(case)
    module = pack_units(units, isa)
    for lengths, want in zip(LENGTHS, answers):
        for given in (lengths, tuple(lengths), np.array(lengths), np.array(lengths, np.int32)):
            assert_same_run(module(x, as_hx(state), lengths=given), want, f"lengths {lengths}")
    assert_same_run(module(x, as_hx(state), lengths=[6] * 5), module(x, as_hx(state)))


@pytest.mark.parametrize("case", CASES, ids="-".join)
def test_what_stands_past_a_rows_end_is_not_read(isa, case):
    """NaN, infinities and huge values in the padding change no bit, with any engine."""
    rng = np.random.default_rng(81)
    units, x, state, _ = sequence_case(rng, case, 4, (6, 5, 3, 4))
    module, lengths = pack_units(units, isa), [4, 1, 6, 2, 5]
    want = module(x, as_hx(state), lengths=lengths)
    for fill in (np.nan, np.inf, 3e38):
        padded = np.where(np.arange(6)[:, None, None] < np.array(lengths)[:, None], x, f32(fill))
        assert_same_run(module(padded, as_hx(state), lengths=lengths), want, f"{fill}")


@pytest.mark.parametrize("engine", ["fbgemm", "qnnpack", "onednn"])
@pytest.mark.parametrize("kind", ["lstm", "gru", "rnn_relu"])
def test_values_that_are_not_finite_are_refused(isa, engine, kind):
    """By engines with one scale for all rows, in x anywhere and in h; c is not quantized."""
    rng = np.random.default_rng(82)
    units = random_units(rng, kind, engine, 5, 4, 2, 2)
    module, cell = pack_units(units, isa), pack_unit(units[0][0], isa)
    for bad in (np.nan, np.inf, -np.inf):
        for place in ((0, 0, 0), (3, 2, 4), (1, 1, 2)):
            x, state = random_rows(rng, 4 * 3, 5).reshape(4, 3, 5), random_state(rng, units, 3)
            hx = as_hx(state)
            x[place] = bad
            with pytest.raises(ValueError, match="input"):
                module(x, hx)
            with pytest.raises(ValueError, match="input"):
                cell(x[place[0]], as_hx(tuple(v[0] for v in state)))
            x[place] = 0
            state[0][place[:2]] = bad
            with pytest.raises(ValueError, match="hx|hidden"):
                module(x, hx)


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


# ---------------------------------------------------------------------------------------------------
# Results in place, memory
# ---------------------------------------------------------------------------------------------------
def framed(shape):
    """An array of 77 with as much again before and behind it, and a check that those are untouched."""
    size = int(np.prod(shape))
    frame = np.full(size + 64, 77, f32)
    return frame[32 : 32 + size].reshape(shape), lambda: (frame[:32] == 77).all() and (frame[32 + size :] == 77).all()


@pytest.mark.parametrize("case", CASES, ids="-".join)
def test_cells_write_only_their_output(isa, case):
    rng = np.random.default_rng(84)
    for number, shape in enumerate(((1, 3, 1), (2, 16, 15), (3, 17, 17), (66, 5, 33), (5, 0, 7))):
        unit, x, state = cell_case(rng, case, number, *shape)
        module, hx = pack_unit(unit, isa), as_hx(state)
        want = module(x, hx)
        arrays, untouched = zip(*(framed(v.shape) for v in state))
        module(x, hx, out=as_hx(arrays))
        assert_same_states(arrays, as_tuple(want), f"{shape}")
        assert all(check() for check in untouched)
        module(x, hx, out=hx)
        assert_same_states(hx, want, f"{shape}: in place")


@pytest.mark.parametrize("case", CASES, ids="-".join)
def test_sequences_write_only_their_output(isa, case):
    rng = np.random.default_rng(85)
    for number in range(12):
        units, x, state, lengths = sequence_case(rng, case, number, most=7)
        state = random_state(rng, units, x.shape[1])
        module, hx = pack_units(units, isa), as_hx(state)
        want = module(x, hx, lengths=lengths)
        arrays, untouched = zip(*(framed(v.shape) for v in (want[0], *as_tuple(want[1]))))
        module(x, hx, lengths=lengths, out=arrays[0])
        assert_same_bits(arrays[0], want[0])
        arrays[0][:] = 77
        module(x, hx, lengths=lengths, out=(arrays[0], as_hx(arrays[1:])))
        assert_same_run((arrays[0], arrays[1:]), want, f"sequence {number}")
        assert all(check() for check in untouched)
        module(x, hx, lengths=lengths, out=(arrays[0], hx))
        assert_same_run((arrays[0], hx), want, f"sequence {number}: states in place")


PAGES = """
import ctypes, mmap
import numpy as np
from support import *
from test_family_kernels import *

libc = ctypes.CDLL(None, use_errno=True)
libc.mprotect.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
page = mmap.PAGESIZE
keep = []

def fenced(a):
    '''Copies of a between two pages that may not be touched: flush with the right one, then the left.'''
    size = (a.nbytes + page - 1) // page * page
    memory = mmap.mmap(-1, size + 2 * page)
    base = np.frombuffer(memory, np.uint8).ctypes.data
    assert libc.mprotect(base, page, 0) == 0 and libc.mprotect(base + page + size, page, 0) == 0
    keep.append(memory)
    for offset in (page + size - a.nbytes, page):
        view = np.frombuffer(memory, np.float32, a.size, offset).reshape(a.shape)
        view[...] = a
        yield view

rng = np.random.default_rng(86)
for case in CASES:
    if case[1] == "qnnpack":
        continue
    for number, shape in enumerate(((1, 1, 1), (1, 17, 5), (2, 16, 16), (3, 33, 31), (7, 4, 47), (65, 3, 9))):
        unit, x, state = cell_case(rng, case, number, *shape)
        module = pack_unit(unit, ISA)
        want = module(x, as_hx(state))
        for a, *b in zip(fenced(x), *map(fenced, state)):
            module(a, as_hx(b), out=as_hx(b))
            assert_same_states(tuple(b), want)
    for number in range(0, 48, 5):
        units, x, state, lengths = sequence_case(rng, case, number)
        state = random_state(rng, units, x.shape[1])
        module = pack_units(units, ISA)
        want = module(x, as_hx(state), lengths=lengths)
        for a, c, *b in zip(fenced(x), fenced(want[0]), *map(fenced, state)):
            module(a, as_hx(b), lengths=lengths, out=(c, as_hx(b)))
            assert_same_run((c, tuple(b)), want)
print("survived")
"""


@pytest.mark.skipif(not hasattr(mmap, "MAP_PRIVATE"), reason="NO mprotect ON THIS SYSTEM: page test not run")
def test_arrays_at_the_end_of_their_pages(isa):
    """Inputs, states and outputs between unmapped pages: one read or write beside them kills the process."""
    assert support.run_python(f"ISA = {isa!r}\n{PAGES}").strip() == "survived"
