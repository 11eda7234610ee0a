"""Calls write their results and nothing beside them."""

from __future__ import annotations

import mmap

import numpy as np
import pytest
import support
from support import (
    as_hx,
    as_tuple,
    assert_same_bits,
    pack_unit,
    pack_units,
    random_state,
)
from support.kernel_cases import (
    CASES,
    assert_same_run,
    assert_same_states,
    cell_case,
    sequence_case,
)

pytestmark = pytest.mark.core


f32 = np.float32


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
from support.kernel_cases import *
from qrnn import _core

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
for n in (1, 7, 8, 15, 16, 31, 33, 1001):
    x = random_rows(rng, 1, n)
    for a, b in zip(fenced(x), fenced(x)):
        for name in ("tanh", "tanh_exact", "sigmoid", "relu"):
            _core.apply(name, a, ISA, out=b)
print("survived")
"""


@pytest.mark.skipif(not hasattr(mmap, "MAP_PRIVATE"), reason="NO mprotect ON THIS SYSTEM: page test not run")
def test_arrays_at_the_end_of_their_pages(isa):
    """Inputs, states and outputs between unmapped pages: one read or write beside them kills the process."""
    assert support.run_python(f"ISA = {isa!r}\n{PAGES}").strip() == "survived"
