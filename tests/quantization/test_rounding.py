"""Rounding of weights by statistics of their inputs: on plain matrices."""

from __future__ import annotations

import numpy as np
import pytest
from support import reference as ref
from support.calibration import correlated

import qrnn
from qrnn import _rounding, nn
from qrnn._quantize import own_rule
from qrnn._rounding import Codes, Inputs, damped, rounded, trust

f32 = np.float32


def inputs_of(rows):
    wide = rows.astype(np.float64)
    return Inputs(wide.T @ wide / len(wide), wide.mean(0), len(wide))


def plain_codes(weight, per_channel=True):
    if per_channel:
        return Codes(*own_rule(weight))
    codes, scale = ref.weight_torch(weight, per_channel=False)[:2]
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
