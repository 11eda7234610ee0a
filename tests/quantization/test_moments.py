"""Statistics of the inputs by which weights are rounded."""

from __future__ import annotations

import copy
import pickle
import signal

import numpy as np
import pytest
from support import assert_same_bits
from support import reference as ref

from qrnn import _core
from qrnn._statistics import BLOCK, Moments, Statistics

f32 = np.float32


def test_moments_do_not_depend_on_how_the_rows_came():
    rows = np.random.default_rng(7).standard_normal((3 * BLOCK + 5, 6)).astype(f32)
    wide = rows.astype(np.float64)
    together, apart = Moments(), [Moments(), Moments()]
    together.add(rows)
    for place, row in enumerate(rows):
        apart[place % 2].add(row[None])
    apart[0].merge(apart[1])
    for each in (together, apart[0], pickle.loads(pickle.dumps(together)), copy.deepcopy(together)):
        assert each.count == len(rows)
        np.testing.assert_allclose(each.mean(), wide.mean(0), rtol=1e-12)
        np.testing.assert_allclose(each.second_moment(), wide.T @ wide / len(wide), rtol=1e-12)


@pytest.mark.parametrize("engine", ref.ENGINES)
def test_inputs_are_what_the_engine_sees(engine):
    rows = np.random.default_rng(8).standard_normal((2 * BLOCK + 3, 5)).astype(f32)
    rows[7] = 0
    act = ref.activation(engine, rows)
    expected = (act.codes.astype(np.int32) - act.zero_point[:, None]).astype(f32) * act.step[:, None]
    assert_same_bits(_core.fake_quantize(engine, rows), expected)


def test_onednn_sees_through_two_reciprocals():
    """Its step is 1 / float(1 / s), which for some ranges differs from s: values are multiples of that."""
    rows = np.random.default_rng(9).standard_normal((300, 1, 8)).astype(f32)
    other = 0
    for row in rows:
        act = ref.activation("onednn", row)
        centred = (act.codes.astype(np.int32) - act.zero_point[:, None]).astype(f32)
        assert_same_bits(_core.fake_quantize("onednn", row), centred * act.step[:, None])
        other += not np.array_equal(centred * act.scale[:, None], centred * act.step[:, None])
    assert other > 30


def sums_of(columns):
    """Count, weights, sum and outer products of no rows yet."""
    return np.zeros(1, np.int64), np.zeros(2), np.zeros(columns), np.zeros((columns, columns))


@pytest.mark.parametrize("columns", (1, 3, 7, 12, 16, 25, 32, 48, 70))
def test_moments_are_summed_row_by_row(isa, columns):
    """The same bits on every instruction set, as each product of two floats is exact in float64."""
    rng = np.random.default_rng([9, columns])
    got = {engine: sums_of(columns) for engine in ("float32", "qrnn", "qrnn13")}
    expected = {engine: sums_of(columns) for engine in got}
    for rows in (1, 2, 127, 128, 130):  # on from where the last ones ended
        given = (rng.standard_normal((rows, columns)) * np.exp(4 * rng.standard_normal((rows, 1)))).astype(f32)
        given[1::50, 0], given[2::60, -1] = np.nan, -np.inf
        finite = given[np.isfinite(given).all(axis=1)]
        for engine in got:
            seen = finite if engine == "float32" else _core.fake_quantize(engine, finite)
            count, weight, total, outer = expected[engine]
            count += len(seen)
            weight += len(seen)
            for row in seen.astype(np.float64):
                total += row
                outer += np.multiply.outer(row, row)
            assert _core.add_moments(engine, given, got[engine], isa=isa) is None
            assert got[engine][0] == count
            np.testing.assert_array_equal(got[engine][1], weight)
            np.testing.assert_array_equal(got[engine][2], total)
            np.testing.assert_array_equal(np.triu(got[engine][3]), np.triu(outer))


@pytest.mark.parametrize("columns", (1, 7, 16, 48))
def test_weighted_moments_are_summed_row_by_row(isa, columns):
    """Rows times the roots of their weights, in float32; a row without a weight that can be is left out."""
    rng = np.random.default_rng([10, columns])
    got = {engine: sums_of(columns) for engine in ("float32", "qrnn", "qrnn13")}
    expected = {engine: sums_of(columns) for engine in got}
    for rows in (1, 127, 130):
        given = rng.standard_normal((rows, columns)).astype(f32)
        weights = (rng.random(rows) ** 4).astype(f32)
        given[3::50, 0], weights[1::40], weights[2::45], weights[4::60] = np.nan, np.nan, -1, 0
        counts = np.isfinite(given).all(axis=1) & (weights >= 0)
        roots = np.sqrt(weights[counts])
        for engine in got:
            count, weight, total, outer = expected[engine]
            seen = given[counts] if engine == "float32" else _core.fake_quantize(engine, given[counts])
            count += len(seen)
            for root, row in zip(roots, seen, strict=True):
                scaled = (root * row).astype(np.float64)
                weight += np.float64(root) ** 2, np.float64(root) ** 4
                total += np.float64(root) * scaled
                outer += np.multiply.outer(scaled, scaled)
            _core.add_moments(engine, given, got[engine], isa=isa, weights=weights)
            for mine, theirs in zip(got[engine][:3], expected[engine][:3], strict=True):
                np.testing.assert_array_equal(mine, theirs)
            np.testing.assert_array_equal(np.triu(got[engine][3]), np.triu(outer))


@pytest.mark.parametrize("weights", (np.ones(3), np.ones((4, 1)), np.float64(1)))
def test_weights_are_one_a_row(weights):
    sums = sums_of(2)
    with pytest.raises(ValueError, match=r"weights: expected one for each row of v, of shape \(4,\), got"):
        _core.add_moments("qrnn", np.ones((4, 2), f32), sums, weights=weights)
    with pytest.raises(TypeError, match="weights"):
        _core.add_moments("qrnn", np.ones((4, 2), f32), sums, weights="text")
    assert not any(each.any() for each in sums)


def test_samples_are_those_of_equal_weight():
    moments = Moments()
    assert moments.samples == 0
    moments.add(np.ones((200, 2), f32), np.repeat(f32([3, 0]), 100))
    moments.add(np.ones((4, 2), f32), np.zeros(4, f32))
    assert moments.count == 204 and abs(moments.samples - 100) < 1e-9
    np.testing.assert_allclose(moments.mean(), 1, rtol=1e-6)
    nothing = Moments()
    nothing.add(np.ones((200, 2), f32), np.zeros(200, f32))
    assert nothing.samples == 0 and not nothing.mean().any() and not nothing.second_moment().any()


def test_rows_that_overflow_as_they_are_quantized_are_left_out(isa):
    """255 of the scale of the first row are more than a float holds."""
    most = np.finfo(f32).max
    rows = np.float32([[-1e33, most], [-most / 2, most / 2], [1, 2]])
    sums = sums_of(2)
    _core.add_moments("qrnn", rows, sums, isa=isa)
    seen = _core.fake_quantize("qrnn", rows, isa=isa).astype(np.float64)
    finite = seen[np.isfinite(seen).all(axis=1)]
    assert len(finite) == sums[0] == 2
    np.testing.assert_array_equal(sums[2], finite[0] + finite[1])


def read_only(array):
    array.flags.writeable = False
    return array


SUMS_THAT_CANNOT = {
    "no tuple": (lambda s: list(s), TypeError, "sums: expected a tuple of four arrays, got "),
    "three": (lambda s: s[:3], TypeError, "sums: expected a tuple of four arrays, got "),
    "no array": (lambda s: (3, *s[1:]), TypeError, "sums[0]: expected an int64 array, got int"),
    "count in float64": (
        lambda s: (s[0].astype(float), *s[1:]),
        ValueError,
        "sums[0]: expected dtype int64, got float64",
    ),
    "sum in float32": (
        lambda s: (*s[:2], s[2].astype(f32), s[3]),
        ValueError,
        "sums[2]: expected dtype float64, got",
    ),
    "other byte order": (lambda s: (*s[:3], s[3].astype(">f8")), ValueError, "sums[3]: expected dtype float64"),
    "too many counts": (lambda s: (np.zeros(2, int), *s[1:]), ValueError, "sums[0]: expected shape (1,), got (2,)"),
    "one weight": (lambda s: (s[0], s[1][:1], *s[2:]), ValueError, "sums[1]: expected shape (2,), got (1,)"),
    "other columns": (lambda s: (*s[:2], s[2][:2], s[3]), ValueError, "sums[2]: expected shape (3,), got (2,)"),
    "no square": (lambda s: (*s[:3], s[3][:2]), ValueError, "sums[3]: expected shape (3, 3), got (2, 3)"),
    "transposed": (lambda s: (*s[:3], s[3].T), ValueError, "sums[3]: expected a C-contiguous array, got"),
    "read-only": (lambda s: (*s[:3], read_only(s[3])), ValueError, "sums[3]: expected a writeable array, got"),
    "sum in outer": (lambda s: (*s[:2], s[3][1], s[3]), ValueError, "sums[3]: expected memory of its own, got"),
    "count in sum": (
        lambda s: (s[2].view(np.int64)[1:2], *s[1:]),
        ValueError,
        "sums[2]: expected memory of its own, got memory of v or of another sum",
    ),
}


@pytest.mark.parametrize("change, kind, text", SUMS_THAT_CANNOT.values(), ids=SUMS_THAT_CANNOT)
def test_sums_that_cannot_be_added_to_stay_as_they_are(change, kind, text):
    given = change(sums_of(3))
    arrays = [each for each in given if isinstance(each, np.ndarray)]
    with pytest.raises(kind) as caught:
        _core.add_moments("qrnn", np.ones((200, 3), f32), given)
    assert str(caught.value).startswith(text)
    assert not any(each.any() for each in arrays)


def test_rows_may_not_lie_in_the_sums():
    sums = sums_of(4)
    with pytest.raises(ValueError, match=r"sums\[3\]: expected memory of its own, got memory of v or of another sum"):
        _core.add_moments("qrnn", sums[3].view(f32).reshape(8, 4), sums)
    with pytest.raises(ValueError, match=r"sums\[2\]: expected memory of its own, got memory of v or of another sum"):
        _core.add_moments("qrnn", np.ones((8, 4), f32), sums, weights=sums[2].view(f32))
    assert not any(each.any() for each in sums)


@pytest.mark.parametrize("engine", ref.ENGINES)
def test_each_step_is_quantized_by_itself(engine):
    steps = np.random.default_rng(10).standard_normal((4, 3, 5)).astype(f32) * f32([[[1]], [[2]], [[9]], [[0]]])
    expected = [_core.fake_quantize(engine, step) for step in steps]
    np.testing.assert_array_equal(_core.fake_quantize(engine, steps), np.stack(expected))
    assert _core.fake_quantize(engine, steps[:0]).shape == (0, 3, 5)
    with pytest.raises(ValueError, match="2D"):
        _core.quantize(engine, steps)


@pytest.mark.parametrize("engine, name", (("fbgemm", None), ("none", None), ("qrnn", "none")))
def test_moments_need_a_scale_for_each_row_and_a_set_that_is_there(engine, name):
    sums = sums_of(3)
    with pytest.raises(ValueError, match="isa" if name else "engine"):
        _core.add_moments(engine, np.ones((2, 3), f32), sums, isa=name)
    with pytest.raises(ValueError, match="v: expected a 2D array, got 1D"):
        _core.add_moments("qrnn", np.ones(3, f32), sums)
    assert not any(each.any() for each in sums)


@pytest.mark.parametrize("engine", ("qrnn", "fbgemm"))
def test_rows_that_are_not_finite_are_left_out(engine):
    rows = np.ones((4, 3), f32)
    rows[1, 2], rows[3, 0] = np.nan, np.inf
    statistics = Statistics(engine)
    statistics.record(rows, (0, 0))
    statistics.record(rows[1:2], (0, 0))
    statistics.record(rows[:1], (0, 0), weights=f32([np.nan]))
    assert statistics.of(0).count == 2 and np.isfinite(statistics.of(0).second_moment()).all()


def test_memory_does_not_grow_with_the_data():
    moments = Moments()
    for _ in range(200):
        moments.add(np.ones((97, 4), f32))
    assert moments._kept.shape == (BLOCK, 4) and moments.count == 200 * 97


def ones(count, moments=None):
    """`moments` with so many rows of ones more."""
    moments = Moments() if moments is None else moments
    moments.add(np.ones((count, 4), f32))
    return moments


def count_of(moments):
    """How many rows of ones, by each of the three sums."""
    assert (moments.mean() == 1).all() and (moments.second_moment() == 1).all()
    return moments.count


@pytest.mark.parametrize("rows", (5, BLOCK, 3 * BLOCK + 1))
def test_copies_and_merged_moments_share_no_sums(rows):
    moments, other = ones(rows), ones(7)
    copies = [copy.deepcopy(moments), moments.copy(), pickle.loads(pickle.dumps(moments)), Moments()]
    copies[-1].merge(moments)
    other.merge(moments)
    for place, each in enumerate(copies):
        ones(BLOCK * (place + 1), each)
    ones(2 * BLOCK, other)
    assert [count_of(each) for each in copies] == [rows + BLOCK * (place + 1) for place in range(4)]
    assert count_of(other) == 7 + rows + 2 * BLOCK and count_of(moments) == rows
    moments.merge(moments)
    assert count_of(moments) == 2 * rows


@pytest.mark.parametrize("engine", ("float32", "qrnn"))
def test_zeros_count_as_rows_of_zeros(engine):
    rows = np.random.default_rng(12).standard_normal((50, 4)).astype(f32)
    counted, added = Moments(engine), Moments(engine)
    weights = f32([1, 2, 0, np.nan, 0.5, 1, 3, 4])
    counted.add_zeros(4, weights)
    added.add(np.zeros((8, 4), f32), weights)
    for each in (counted, added):
        each.add(rows)
    assert counted.count == added.count == 57
    np.testing.assert_allclose(counted.mean(), added.mean(), rtol=1e-7)
    np.testing.assert_allclose(counted.second_moment(), added.second_moment(), rtol=1e-6, atol=1e-12)


def test_moments_from_memory_that_others_share_go_on():
    """As joblib hands them to processes: the arrays of the pickle lie in memory that is read-only."""
    buffers = []
    data = pickle.dumps(ones(3 * BLOCK), 5, buffer_callback=buffers.append)
    shared = [bytes(each.raw()) for each in buffers]
    assert len(shared) == 3
    moments = pickle.loads(data, buffers=shared)
    assert count_of(ones(BLOCK, moments)) == 4 * BLOCK


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no timer that sends signals")
def test_interrupts_leave_sums_of_the_same_rows():
    class Interrupt(Exception):
        pass

    def handler(number, frame):
        raise Interrupt

    moments, added, interrupts = Moments("qrnn"), 0, 0
    before = signal.signal(signal.SIGALRM, handler)
    try:
        for turn in range(300):
            try:
                signal.setitimer(signal.ITIMER_REAL, 1e-4 + 1e-6 * turn)
                while True:
                    ones(40 if turn % 2 else 400, moments)
                    added += 40 if turn % 2 else 400
            except Interrupt:
                interrupts += 1
                added += 400  # which may have been added
    finally:
        signal.signal(signal.SIGALRM, before)
    assert interrupts == 300 and count_of(moments) <= added
