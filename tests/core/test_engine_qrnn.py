"""Engines that quantize each row by itself: their arithmetic to the bit, their error against float64 in one step."""

from __future__ import annotations

import numpy as np
import pytest
import support
from support import (
    assert_same_bits,
    pack,
    pack_linear,
    random_cell,
    random_rows,
)
from support import reference as ref

from qrnn import _core

f32 = np.float32
FLT_MIN, FLT_MAX = float(ref.FLT_MIN), float(np.finfo(f32).max)


@pytest.fixture(params=ref.ROW_ENGINES)
def engine(request):
    return request.param


LEVELS = {"qrnn13": 4095}  # by which the range is divided, where not by 255


def random_case(rng, engine, number, low=-30.0, high=30.0):
    """A random cell with inputs of any order of magnitude; every kind of row, mixed in one batch."""
    batch = int(rng.integers(1, 10))
    inputs, hidden = (int(n) for n in rng.integers(1, 70, 2))
    cell = random_cell(
        rng,
        engine,
        ("relu", "tanh")[number % 2],
        inputs,
        hidden,
        per_channel=number % 3 > 0,
        bias=number % 4 > 0,
    )
    x, h = (
        np.concatenate([random_rows(rng, 1, n, 10.0 ** rng.uniform(low, high), number + b) for b in range(batch)])
        for n in (inputs, hidden)
    )
    return cell, x, h


def check(cell, x, h, isa=None):
    """One call against the reference: integers, pre-activation, new state."""
    module = pack(cell, isa)
    acc_ih, acc_hh, pre = _core._gates(module, x, h)
    want_ih, want_hh, want = cell.gates(x, h)
    np.testing.assert_array_equal(acc_ih, want_ih)
    np.testing.assert_array_equal(acc_hh, want_hh)
    assert_same_bits(pre, want, "pre")
    out = module(x, h)
    assert_same_bits(out, cell.step(x, h), cell.nonlinearity)
    return out


def test_arithmetic(engine, isa):
    rng = np.random.default_rng(20)
    for number in range(300):
        check(*random_case(rng, engine, number), isa)


def test_linear(engine, isa):
    rng = np.random.default_rng(22)
    for number in range(60):
        cell, x, _ = random_case(rng, engine, number)
        got = pack_linear(engine, cell.ih, cell.bias_ih, isa)(x)
        assert_same_bits(got, ref.linear(engine, x, cell.ih, cell.bias_ih)[1])


def test_not_finite_is_found_at_every_place(engine, isa):
    rng = np.random.default_rng(25)
    for n in range(1, 40):
        module = pack_linear(engine, support.random_weight(rng, 3, n), None, isa)
        for place in range(n):
            for bad in (np.nan, np.inf, -np.inf):
                x = random_rows(rng, 1, n)
                x[0, place] = bad
                assert np.isnan(module(x)).all()
                assert np.isnan(_core.quantize(engine, x, isa)[1]).all()


def test_smallest_scale(engine, isa):
    """Ranges round FLT_MIN of the smallest scale: below it every code stands for 0 and the scale is 1."""
    rng = np.random.default_rng(26)
    weight = support.random_weight(rng, 7, 9)
    levels = LEVELS.get(engine, 255)
    for factor in (*(levels + n for n in (-1, -1e-4, 0, 1e-4, 1, 45)), 1, 1e-3, 1e-7):
        for low, high in ((0, 1), (-1, 0), (-0.5, 0.5), (-0.25, 0.75)):
            x = np.zeros((1, 9), f32)
            x[0, 2], x[0, 5] = low * factor * FLT_MIN, high * factor * FLT_MIN
            want = ref.activation(engine, x)
            codes, scale, zero_point = _core.quantize(engine, x, isa)
            np.testing.assert_array_equal(codes, want.codes)
            assert_same_bits(scale, want.scale)
            np.testing.assert_array_equal(zero_point, want.zero_point)
            bias = rng.uniform(-1, 1, 7).astype(f32)
            got = pack_linear(engine, weight, bias, isa)(x)
            assert_same_bits(got, ref.linear(engine, x, weight, bias)[1])
    for factor, code in ((levels - 1, 0), (2 * levels, levels)):
        codes, _, zero_point = _core.quantize(engine, np.full((1, 9), factor * FLT_MIN, f32), isa)
        assert (codes - zero_point == code).all()


def test_huge_values(engine, isa):
    """Up to FLT_MAX the scale is finite; what overflows after that does so as float32 does."""
    rng = np.random.default_rng(27)
    for low, high in ((0, FLT_MAX), (-FLT_MAX, 0), (-FLT_MAX, FLT_MAX), (-1, FLT_MAX)):
        for number in range(4):
            cell = random_cell(rng, engine, "relu", 11, 6)
            x, h = random_rows(rng, 2, 11), random_rows(rng, 2, 6)
            x[0, 3], x[0, 7] = low, high
            if number % 2:
                h[0, 1] = high
            codes, scale, _ = _core.quantize(engine, x, isa)
            assert np.isfinite(scale).all()
            np.testing.assert_array_equal(codes, ref.activation(engine, x).codes)
            check(cell, x, h, isa)


def test_weight_scales_that_overflow_or_vanish(engine, isa):
    """s * sw beyond float32, and below it: inf, NaN and zeros as in float32 arithmetic, on every isa."""
    rng = np.random.default_rng(28)
    for factor in (1e37, 1e-38, 1e-44):
        for scale in (1e30, 1e-30, 1.0):
            cell = random_cell(rng, engine, "relu", 9, 17)
            ih = cell.ih._replace(scale=np.full(17, factor, f32))
            cell = cell._replace(ih=ih)
            x, h = random_rows(rng, 3, 9, scale), random_rows(rng, 3, 17)
            module = pack(cell, isa)
            assert_same_bits(_core._gates(module, x, h)[2], cell.gates(x, h)[2])
            assert_same_bits(module(x, h), pack(cell, "scalar")(x, h))


# ---------------------------------------------------------------------------------------------------
# Codes in two planes
# ---------------------------------------------------------------------------------------------------
def test_ties_of_13_bits(isa):
    """Values at and beside the middle of two codes, with the largest at either end."""
    rng = np.random.default_rng(34)
    for number in range(60):
        largest = f32(10.0 ** rng.uniform(-30, 30))
        scale = largest * (f32(1) / f32(4095))
        v = support.step_ulps(
            ((rng.integers(-4095, 4095, (5, 37)) + 0.5) * scale).astype(f32), rng.integers(-2, 3, (5, 37))
        )
        v = np.clip(v, -largest, largest)
        v[:, 11] = largest * (-1) ** number
        want = ref.activation("qrnn13", v)
        codes, scales, zero_point = _core.quantize("qrnn13", v, isa)
        np.testing.assert_array_equal(codes, want.codes)
        assert_same_bits(scales, want.scale)
        assert (zero_point == 4096).all() and codes.min() >= 1 and codes.max() <= 8191


@pytest.mark.parametrize("depth", [4095, 4096, 4097, 9000, 65793])
def test_sums_of_13_bits_are_exact_at_every_depth(depth, isa):
    """Up to 2^31 in 4096 columns, and beyond: one rounding makes them floats. The probe shows their lower 32 bits."""
    rng = np.random.default_rng(depth)
    weight = support.random_weight(rng, 20, depth)
    weight.codes[0], weight.codes[1] = -128, 127
    for batch in (1, 2, 3, 4):
        x = random_rows(rng, batch, depth)
        x[0] = 1
        for sign in (1, -1):
            bias = support.random_bias(rng, 20, sign > 0)
            module, want = pack_linear("qrnn13", weight, bias, isa), ref.linear("qrnn13", sign * x, weight, bias)
            got = _core._gates(module, sign * x)
            np.testing.assert_array_equal(got[0], want[0])
            assert_same_bits(got[2], want[1])
            assert_same_bits(module(sign * x), want[1])


# ---------------------------------------------------------------------------------------------------
# Weights and modules of these engines
# ---------------------------------------------------------------------------------------------------
def test_weights_are_quantized_by_their_rule(engine):
    import qrnn

    rng = np.random.default_rng(32)
    for scale in (1e-44, 1e-38, 1e-6, 1.0, 1e30):
        float_cell = qrnn.nn.RNNCell(13, 11)
        w = {n: random_rows(rng, 11, c, scale) for n, c in (("weight_ih", 13), ("weight_hh", 11))}
        w["weight_ih"][4] = 0
        for name, value in w.items():
            setattr(float_cell, name, value)
        q = qrnn.nn.quantized.dynamic.RNNCell.from_float(float_cell, engine=engine).get_weight()
        for name, value in w.items():
            want = ref.weight_qrnn(value)
            np.testing.assert_array_equal(q[name].int_repr(), want.codes)
            assert_same_bits(q[name].q_per_channel_scales(), want.scale)


@pytest.mark.parametrize("nonlinearity", ["tanh", "relu"])
def test_error_against_float64_is_the_roundings_size(engine, nonlinearity):
    """One step, without PyTorch: the error is bounded by half a step of every operand.

    |W x - Q(W) Q(x)| <= sum |W| |dx| + |dW| |x| + |dW| |dx| with |dx| <= s (zero point and code are both
    rounded: half a step each) and |dW| <= sw / 2.
    """
    import qrnn

    rng = np.random.default_rng(33)
    for inputs, hidden in ((7, 5), (64, 64), (129, 33)):
        cell = qrnn.nn.RNNCell(inputs, hidden, nonlinearity=nonlinearity)
        q = qrnn.nn.quantized.dynamic.RNNCell.from_float(cell, engine=engine)
        x, h = random_rows(rng, 6, inputs), random_rows(rng, 6, hidden)
        parts = (cell.weight_ih, cell.weight_hh, cell.bias_ih, cell.bias_hh)
        want = ref.cell_float64(nonlinearity, x, h, *parts)
        bound = 0
        for w, v in ((parts[0], x), (parts[1], h)):
            dw = ref.weight_qrnn(w).scale.astype(np.float64) / 2
            dx = ref.activation(engine, v).scale.astype(np.float64)[:, None]
            size = np.abs(w.astype(np.float64)).sum(1)
            norm = np.abs(v.astype(np.float64)).sum(1)[:, None]
            bound = bound + dx * size + dw * norm + dx * dw * w.shape[1] + 1e-5
        error = np.abs(q(x, h) - want)
        assert (error <= bound).all() and error.max() > 1e-6
