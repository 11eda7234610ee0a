"""Rounding of weights by statistics of their inputs, and the statistics: on plain matrices."""

from __future__ import annotations

import copy
import pickle
import signal

import numpy as np
import pytest
from support import assert_same_bits
from support import reference as ref
from support.calibration import correlated

import qrnn
from qrnn import _core, _rounding, nn
from qrnn._quantize import own_rule
from qrnn._rounding import Codes, Inputs, damped, rounded, trust
from qrnn._statistics import BLOCK, Moments, Statistics

f32 = np.float32


def inputs_of(rows):
    wide = rows.astype(np.float64)
    return Inputs(wide.T @ wide / len(wide), wide.mean(0), len(wide))


def plain_codes(weight, per_channel=True):
    if per_channel:
        return Codes(*own_rule(weight))
    codes, scale = ref.weight_torch(weight, per_channel=False)
    return Codes(codes, scale)


def measure(weight, codes, matrix):
    error = weight - codes.values()
    return np.einsum("ij,jk,ik->i", error, matrix, error)


# ---------------------------------------------------------------------------------------------------
# Rounding
# ---------------------------------------------------------------------------------------------------
def gptq(weight, matrix, scale, least):
    """Frantar et al., 2022, algorithm 1 without its blocks: by the Cholesky factor of the inverse."""
    order = np.argsort(-np.diag(matrix), kind="stable")
    inverse = np.linalg.inv(matrix[np.ix_(order, order)])
    upper = np.linalg.cholesky(inverse).T
    left, codes = weight[:, order].astype(np.float64), np.zeros(weight.shape)
    for k in range(weight.shape[1]):
        codes[:, k] = np.clip(np.rint(left[:, k] / scale), least, 127)
        error = (left[:, k] - codes[:, k] * scale) / upper[k, k]
        left[:, k:] -= np.outer(error, upper[k, k:])
    back = np.zeros_like(codes)
    back[:, order] = codes
    return back


@pytest.mark.parametrize("columns", (1, 2, 7, 64, 65, 150))
def test_feedback_is_gptq(columns):
    """The factor U D U^T of A gives the codes that the factor of its inverse gives."""
    rng = np.random.default_rng(columns)
    weight = rng.standard_normal((40, columns)).astype(f32)
    plain = plain_codes(weight)
    matrix = damped(inputs_of(correlated(rng, 500, columns)), 1.0)
    scale = plain.scale.astype(np.float64)
    codes = _rounding._Feedback(matrix).codes(weight.astype(np.float64), plain.scale, (-127, 127))
    assert np.array_equal(codes, gptq(weight, matrix, scale, -127))


@pytest.mark.parametrize("per_channel", (True, False))
@pytest.mark.parametrize("centred", (True, False))
@pytest.mark.parametrize("shape", ((1, 1), (3, 2), (16, 33), (600, 70)))
def test_never_worse_than_plain(shape, centred, per_channel):
    """Row by row, or as a whole where all rows share a scale; and far better on correlated inputs."""
    rng = np.random.default_rng(shape)
    weight = rng.standard_normal(shape).astype(f32)
    inputs = inputs_of(correlated(rng, 2000, shape[1]))
    plain, matrix = plain_codes(weight, per_channel), damped(inputs, trust(inputs) if centred else 0.0)
    new = rounded(weight, plain, inputs, centred)
    before, after = measure(weight, plain, matrix), measure(weight, new.codes, matrix)
    assert (after <= before * (1 + 1e-9)).all() if per_channel else after.sum() <= before.sum()
    assert new.codes.codes.dtype == np.int8 and new.codes.scale.dtype == f32
    assert new.codes.scale.shape == plain.scale.shape
    assert (new.codes.scale > 0).all() and new.codes.codes.min() >= min(-127, plain.codes.min())
    if shape[1] > 30:
        assert after.sum() < 0.4 * before.sum()


def test_the_errors_that_are_reported():
    """As measured on the data themselves: power of the product, error before, error with the new bias."""
    rng = np.random.default_rng(3)
    weight, rows = rng.standard_normal((12, 30)).astype(f32), correlated(rng, 700, 30)
    for centred in (True, False):
        plain = plain_codes(weight)
        new = rounded(weight, plain, inputs_of(rows), centred)
        wide = rows.astype(np.float64)
        assert new.power == pytest.approx(((wide @ weight.T) ** 2).sum(1).mean())
        assert new.plain_error == pytest.approx(((wide @ (weight - plain.values()).T) ** 2).sum(1).mean())
        left = wide @ (weight - new.codes.values()).T - new.bias_change
        assert new.error == pytest.approx((left**2).sum(1).mean(), rel=1e-6)
        assert (abs(left.mean(0)).max() < 0.05 * left.std()) == centred
        assert new.bias_change.any() == centred


def test_the_smallest_scale_is_the_smallest_normal_float():
    """A row whose m / 127 is FLT_MIN has codes; one whose m is a bit less has none, and the scale 1."""
    least = np.finfo(f32).tiny
    largest = f32(127) * least
    below = np.nextafter(largest, f32(0))
    assert largest / f32(127) == least > below / f32(127) > 0
    weight = np.array([[largest, -largest, 0, least], [below, -below, 0, least], [0, 0, 0, 0]], f32)
    codes, scale = own_rule(weight)
    assert codes.tolist() == [[127, -127, 0, 1], [0] * 4, [0] * 4]
    assert scale.tolist() == [least, 1, 1]
    layer = nn.Linear(4, 3, bias=False)
    layer.weight = weight
    state = qrnn.quantize_dynamic(layer).state_dict()
    assert state["weight"].tolist() == codes.tolist() and state["weight_scale"].tolist() == [least, 1, 1]
    small = np.array([[127, 0.6, 0.6, 0.6]], f32) * least
    inputs = Inputs(np.diag([1e-6, 1, 1, 1]), np.zeros(4), 1000)  # a scale of 0.6 least would fit what they weigh
    for factor in (1, 4):
        by_data = rounded(f32(factor) * small, Codes(*own_rule(f32(factor) * small)), inputs, centred=True)
        assert (by_data.codes.scale >= least).all(), "rounding by data takes no scale that is smaller"
        assert (by_data.codes.scale < factor * least).all() == (factor == 4)


@pytest.mark.parametrize("per_channel", (True, False))
def test_a_scale_is_chosen(per_channel):
    """The one that fits the codes best; unless it has to stay."""
    rng = np.random.default_rng(4)
    weight, inputs = rng.standard_normal((60, 40)).astype(f32), inputs_of(correlated(rng, 4000, 40))
    plain = plain_codes(weight, per_channel)
    new, fixed = (rounded(weight, plain, inputs, True, fixed) for fixed in (False, True))
    assert (new.codes.scale != plain.scale).mean() > 0.9 and new.error < fixed.error
    assert np.array_equal(fixed.codes.scale, plain.scale)
    matrix = damped(inputs, trust(inputs))
    for factor in (0.9999, 1.0001):
        other = Codes(new.codes.codes, new.codes.scale * f32(factor))
        assert measure(weight, other, matrix).sum() > measure(weight, new.codes, matrix).sum()


def test_the_mean_is_trusted_as_far_as_the_samples_show_it():
    rng = np.random.default_rng(20)
    white = rng.standard_normal((400, 30))
    assert trust(inputs_of(white)) < 0.3 and trust(inputs_of(white + 1)) > 0.99
    assert trust(inputs_of(white[:1])) == 0 == trust(inputs_of(0 * white))
    assert trust(inputs_of(0 * white + 2)) == 1


@pytest.mark.parametrize(
    ("variance", "samples", "want"),
    (
        (0.5, 1, 0),  # of one sample there is no variance
        (0.5, 2, 0.5),
        (0.5, 3, 0.75),
        (0.5, 101, 0.995),
        (1, 2, 0),
        (3, 2, 0),  # never less
        (0, 2, 1),
        (-1e-9, 2, 1),  # nor more, where sums that were rounded leave less than nothing
    ),
)
def test_trust_at_its_bounds(variance, samples, want):
    """1 - variance / ((samples - 1) |m|^2), within 0 and 1."""
    mean = np.array([0.6, 0, 0.8])
    second = np.diag([0.25, 0.5, 0.25]) * (1 + variance)
    assert trust(Inputs(second, mean, samples)) == pytest.approx(want, abs=1e-12)
    assert trust(Inputs(4 * second, 2 * mean, samples)) == pytest.approx(want, abs=1e-12)
    assert trust(Inputs(second, 0 * mean, samples)) == 0
    assert 0 <= trust(Inputs(second, mean, samples)) <= 1


@pytest.mark.parametrize("centred", (True, False))
@pytest.mark.parametrize(
    "rows",
    (
        np.zeros((50, 9), f32),
        np.full((50, 9), 3, f32),
        np.float32([[1, 0, 2, 0, 0, 0, 0, 0, 5]] * 3),
        np.eye(9, dtype=f32)[:4],
        np.repeat(np.arange(40, dtype=f32)[:, None], 9, 1),
        np.full((50, 9), 1e-30, f32),
        np.full((50, 9), 1e18, f32) * np.arange(9, dtype=f32),
        np.ones((1, 9), f32),
    ),
    ids=("zeros", "constant", "dead columns", "fewer than columns", "rank 1", "tiny", "huge", "one row"),
)
def test_inputs_that_leave_the_moments_singular(rows, centred):
    rng = np.random.default_rng(5)
    weight = rng.standard_normal((20, 9)).astype(f32)
    weight[3] = 0
    weight[4] *= 1e-42
    plain = plain_codes(weight)
    with np.errstate(all="raise", under="ignore"):
        new = rounded(weight, plain, inputs_of(rows), centred)
    assert np.isfinite(new.codes.scale).all() and np.isfinite(new.bias_change).all()
    assert new.error <= new.plain_error * (1 + 1e-6) + 1e-30
    far = abs(weight - new.codes.values()).max(1)
    assert (far <= 4 * np.maximum(plain.scale, abs(weight).max(1) / 127)).all(), "weights stay what they were"
    if not rows.any():
        assert np.array_equal(new.codes.codes, plain.codes)


def test_no_code_of_minus_128_that_was_not_there():
    """It would cost AVX2 the fast form of its products."""
    rng = np.random.default_rng(6)
    weight = -abs(rng.standard_normal((30, 20))).astype(f32)
    inputs = inputs_of(correlated(rng, 500, 20))
    assert rounded(weight, plain_codes(weight), inputs, True).codes.codes.min() == -127


# ---------------------------------------------------------------------------------------------------
# Statistics
# ---------------------------------------------------------------------------------------------------
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
    """Count, sum and outer products of no rows yet."""
    return np.zeros(1, np.int64), np.zeros(columns), np.zeros((columns, columns))


@pytest.mark.parametrize("columns", (1, 3, 7, 12, 16, 25, 32, 48, 70))
def test_moments_are_summed_row_by_row(isa, columns):
    """The same bits on every instruction set, as each product of two floats is exact in float64."""
    rng = np.random.default_rng([9, columns])
    got = {engine: sums_of(columns) for engine in ("float32", "qrnn")}
    expected = {engine: sums_of(columns) for engine in got}
    for rows in (1, 2, 127, 128, 130):  # on from where the last ones ended
        given = (rng.standard_normal((rows, columns)) * np.exp(4 * rng.standard_normal((rows, 1)))).astype(f32)
        given[1::50, 0], given[2::60, -1] = np.nan, -np.inf
        finite = given[np.isfinite(given).all(axis=1)]
        for engine, seen in (("float32", finite), ("qrnn", _core.fake_quantize("qrnn", finite))):
            count, total, outer = expected[engine]
            count += len(seen)
            for row in seen.astype(np.float64):
                total += row
                outer += np.multiply.outer(row, row)
            assert _core.add_moments(engine, given, got[engine], isa=isa) is None
            assert got[engine][0] == count
            np.testing.assert_array_equal(got[engine][1], total)
            np.testing.assert_array_equal(np.triu(got[engine][2]), np.triu(outer))


def test_rows_that_overflow_as_they_are_quantized_are_left_out(isa):
    """255 of the scale of the first row are more than a float holds."""
    most = np.finfo(f32).max
    rows = np.float32([[-1e33, most], [-most / 2, most / 2], [1, 2]])
    sums = sums_of(2)
    _core.add_moments("qrnn", rows, sums, isa=isa)
    seen = _core.fake_quantize("qrnn", rows, isa=isa).astype(np.float64)
    finite = seen[np.isfinite(seen).all(axis=1)]
    assert len(finite) == sums[0] == 2
    np.testing.assert_array_equal(sums[1], finite[0] + finite[1])


def read_only(array):
    array.flags.writeable = False
    return array


SUMS_THAT_CANNOT = {
    "no tuple": (lambda s: list(s), TypeError, "sums: expected a tuple of three arrays, got "),
    "two": (lambda s: s[:2], TypeError, "sums: expected a tuple of three arrays, got "),
    "no array": (lambda s: (3, s[1], s[2]), TypeError, "sums[0]: expected an int64 array, got int"),
    "count in float64": (
        lambda s: (s[0].astype(float), s[1], s[2]),
        ValueError,
        "sums[0]: expected dtype int64, got float64",
    ),
    "sum in float32": (lambda s: (s[0], s[1].astype(f32), s[2]), ValueError, "sums[1]: expected dtype float64, got"),
    "other byte order": (lambda s: (s[0], s[1], s[2].astype(">f8")), ValueError, "sums[2]: expected dtype float64"),
    "too many counts": (lambda s: (np.zeros(2, int), *s[1:]), ValueError, "sums[0]: expected shape (1,), got (2,)"),
    "other columns": (lambda s: (s[0], s[1][:2], s[2]), ValueError, "sums[1]: expected shape (3,), got (2,)"),
    "no square": (lambda s: (s[0], s[1], s[2][:2]), ValueError, "sums[2]: expected shape (3, 3), got (2, 3)"),
    "transposed": (lambda s: (s[0], s[1], s[2].T), ValueError, "sums[2]: expected a C-contiguous array, got"),
    "read-only": (lambda s: (s[0], s[1], read_only(s[2])), ValueError, "sums[2]: expected a writeable array, got"),
    "sum in outer": (lambda s: (s[0], s[2][1], s[2]), ValueError, "sums[2]: expected memory of its own, got"),
    "count in sum": (
        lambda s: (s[1].view(np.int64)[1:2], *s[1:]),
        ValueError,
        "sums[1]: expected memory of its own, got what v or another sum has",
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
    with pytest.raises(ValueError, match=r"sums\[2\]: expected memory of its own, got what v or another sum has"):
        _core.add_moments("qrnn", sums[2].view(f32).reshape(8, 4), sums)
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
    counted.add_zeros(7, 4)
    added.add(np.zeros((7, 4), f32))
    for each in (counted, added):
        each.add(rows)
    assert counted.count == added.count == 57
    np.testing.assert_array_equal(counted.mean(), added.mean())
    np.testing.assert_array_equal(counted.second_moment(), added.second_moment())


def test_moments_from_memory_that_others_share_go_on():
    """As joblib hands them to processes: the arrays of the pickle lie in memory that is read-only."""
    buffers = []
    data = pickle.dumps(ones(3 * BLOCK), 5, buffer_callback=buffers.append)
    shared = [bytes(each.raw()) for each in buffers]
    assert len(shared) == 2
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
