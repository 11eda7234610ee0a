"""Sequences of every kind and engine on every instruction set against the reference, with ==."""

from __future__ import annotations

import functools

import numpy as np
import pytest
from support import (
    as_hx,
    pack_unit,
    pack_units,
    random_rows,
    random_state,
    random_units,
    reference_sequence,
)
from support.kernel_cases import (
    CASES,
    assert_same_run,
    sequence_case,
)

pytestmark = pytest.mark.core


f32 = np.float32
BATCHES = (1, 2, 3, 4, 5, 6, 7, 8, 9, 31, 33, 64, 65, 130)


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


@pytest.mark.parametrize("engine", ["fbgemm", "x86", "qnnpack", "onednn"])
@pytest.mark.parametrize("kind", ["lstm", "gru", "rnn_relu", "rnn_tanh"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_refused(isa, engine, kind, bad):
    """By engines with one scale for all rows, in x anywhere and in h; c is not quantized. Nothing is written.

    PyTorch returns garbage or fails by chance.
    """
    rng = np.random.default_rng(82)
    units = random_units(rng, kind, engine, 9, 5, 2, 2)
    module, cell = pack_units(units, isa), pack_unit(units[0][0], isa)

    def refused(name, call, x, state):
        out = tuple(np.full(v.shape, 77, f32) for v in state)
        with pytest.raises(ValueError, match=name):
            call(x, as_hx(state), out=as_hx(out))
        assert all((v == 77).all() for v in out)

    for place in ((0, 0, 0), (3, 2, 8), (1, 1, 4), (2, 1, 0), (2, 1, 8)):
        x, state = random_rows(rng, 4 * 3, 9).reshape(4, 3, 9), random_state(rng, units, 3)
        x[place] = bad
        with pytest.raises(ValueError, match="input"):
            module(x, as_hx(state))
        refused("input", cell, x[place[0]], tuple(v[0] for v in state))
        x[place] = 0
        state[0][place[:2]] = bad
        with pytest.raises(ValueError, match="hx|hidden"):
            module(x, as_hx(state))
    for place in (0, 3, 4):
        x, state = random_rows(rng, 3, 9), tuple(v[0] for v in random_state(rng, units, 3))
        state[0][1, place] = bad
        refused("hx|hidden", cell, x, state)
