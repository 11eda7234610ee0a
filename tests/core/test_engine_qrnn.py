"""Engine qrnn: its arithmetic to the bit, the independence of rows, and its error against float64."""

from __future__ import annotations

import itertools
import warnings

import numpy as np
import pytest
import support
from support import (
    assert_same_bits,
    float_environment,
    needs_torch,
    pack,
    pack_linear,
    random_cell,
    random_rows,
)
from support import reference as ref

from qrnn import _core

f32 = np.float32
FLT_MIN, FLT_MAX = float(ref.FLT_MIN), float(np.finfo(f32).max)


def random_case(rng, number, low=-30.0, high=30.0):
    """A random cell with inputs of any order of magnitude; every kind of row, mixed in one batch."""
    batch = int(rng.integers(1, 10))
    inputs, hidden = (int(n) for n in rng.integers(1, 70, 2))
    cell = random_cell(
        rng,
        "qrnn",
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


def test_arithmetic(isa):
    rng = np.random.default_rng(20)
    for number in range(300):
        check(*random_case(rng, number), isa)


def test_without_a_state(isa):
    rng = np.random.default_rng(21)
    for number in range(20):
        cell, x, h = random_case(rng, number)
        module = pack(cell, isa)
        assert_same_bits(module(x), module(x, np.zeros_like(h)))
        assert_same_bits(_core._gates(module, x)[2], cell.gates(x)[2])


def test_linear(isa):
    rng = np.random.default_rng(22)
    for number in range(60):
        cell, x, _ = random_case(rng, number)
        got = pack_linear("qrnn", cell.ih, cell.bias_ih, isa)(x)
        assert_same_bits(got, ref.linear("qrnn", x, cell.ih, cell.bias_ih)[1])


def test_a_row_of_a_batch_is_that_row_alone(isa):
    rng = np.random.default_rng(23)
    for number, batch in enumerate((2, 3, 5, 16, 17, 63, 64, 65, 66, 130)):
        inputs, hidden = (int(n) for n in rng.integers(1, 80, 2))
        cell = random_cell(rng, "qrnn", ("relu", "tanh")[number % 2], inputs, hidden)
        module = pack(cell, isa)
        scale = 10.0 ** rng.uniform(-4, 4, (batch, 1))
        x = (random_rows(rng, batch, inputs) * scale).astype(f32)
        h = random_rows(rng, batch, hidden)
        together = module(x, h)
        for row in range(batch):
            assert_same_bits(together[row : row + 1], module(x[row : row + 1], h[row : row + 1]), f"row {row}")
            assert_same_bits(together[row], module(x[row], h[row]), f"row {row}, unbatched")
        order = rng.permutation(batch)
        assert_same_bits(module(x[order], h[order]), together[order], "permuted")


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, "other nan"])
@pytest.mark.parametrize("where", ["x", "h"])
def test_a_row_that_is_not_finite(isa, bad, where):
    """NaN of one bit pattern in all its outputs, and no bit elsewhere touched."""
    rng = np.random.default_rng(24)
    value = np.array(0xFFABCDEF, np.uint32).view(f32) if bad == "other nan" else f32(bad)
    for number, batch in itertools.product(range(2), (1, 3, 70)):
        cell = random_cell(rng, "qrnn", ("relu", "tanh")[number], 21, 18)
        module = pack(cell, isa)
        x, h = random_rows(rng, batch, 21), random_rows(rng, batch, 18)
        want = module(x, h)
        row = batch // 2
        v = x if where == "x" else h
        v[row, int(rng.integers(v.shape[1]))] = value
        got = module(x, h)
        assert (support.bits(got[row]) == 0x7FC00000).all()
        others = np.arange(batch) != row
        assert_same_bits(got[others], want[others])
        linear = pack_linear("qrnn", cell.ih, None, isa)(x)
        assert (support.bits(linear[row]) == 0x7FC00000).all() or where == "h"


def test_not_finite_is_found_at_every_place(isa):
    rng = np.random.default_rng(25)
    for n in range(1, 40):
        module = pack_linear("qrnn", support.random_weight(rng, 3, n), None, isa)
        for place in range(n):
            for bad in (np.nan, np.inf, -np.inf):
                x = random_rows(rng, 1, n)
                x[0, place] = bad
                assert np.isnan(module(x)).all()
                assert np.isnan(_core.quantize("qrnn", x, isa)[1]).all()


def test_smallest_scale(isa):
    """Ranges round 255 * FLT_MIN: below it every code is 0 and the scale 1."""
    rng = np.random.default_rng(26)
    weight = support.random_weight(rng, 7, 9)
    for factor in (254, 254.9999, 255, 255.0001, 256, 300, 1, 1e-3, 1e-7):
        for low, high in ((0, 1), (-1, 0), (-0.5, 0.5), (-0.25, 0.75)):
            x = np.zeros((1, 9), f32)
            x[0, 2], x[0, 5] = low * factor * FLT_MIN, high * factor * FLT_MIN
            want = ref.activation("qrnn", x)
            codes, scale, zero_point = _core.quantize("qrnn", x, isa)
            np.testing.assert_array_equal(codes, want.codes)
            assert_same_bits(scale, want.scale)
            np.testing.assert_array_equal(zero_point, want.zero_point)
            bias = rng.uniform(-1, 1, 7).astype(f32)
            got = pack_linear("qrnn", weight, bias, isa)(x)
            assert_same_bits(got, ref.linear("qrnn", x, weight, bias)[1])
    x = np.full((1, 9), 254 * FLT_MIN, f32)
    assert _core.quantize("qrnn", x, isa)[0].tolist() == [[0] * 9]
    assert _core.quantize("qrnn", 2 * x, isa)[0].tolist() == [[255] * 9]


def test_huge_values(isa):
    """Up to FLT_MAX the scale is finite; what overflows after that does so as float32 does."""
    rng = np.random.default_rng(27)
    for low, high in ((0, FLT_MAX), (-FLT_MAX, 0), (-FLT_MAX, FLT_MAX), (-1, FLT_MAX)):
        for number in range(4):
            cell = random_cell(rng, "qrnn", "relu", 11, 6)
            x, h = random_rows(rng, 2, 11), random_rows(rng, 2, 6)
            x[0, 3], x[0, 7] = low, high
            if number % 2:
                h[0, 1] = high
            codes, scale, _ = _core.quantize("qrnn", x, isa)
            assert np.isfinite(scale).all()
            np.testing.assert_array_equal(codes, ref.activation("qrnn", x).codes)
            check(cell, x, h, isa)


def test_weight_scales_that_overflow_or_vanish(isa):
    """s * sw beyond float32, and below it: inf, NaN and zeros as in float32 arithmetic, on every isa."""
    rng = np.random.default_rng(28)
    for factor in (1e37, 1e-38, 1e-44):
        for scale in (1e30, 1e-30, 1.0):
            cell = random_cell(rng, "qrnn", "relu", 9, 17)
            ih = cell.ih._replace(scale=np.full(17, factor, f32))
            cell = cell._replace(ih=ih)
            x, h = random_rows(rng, 3, 9, scale), random_rows(rng, 3, 17)
            module = pack(cell, isa)
            assert_same_bits(_core._gates(module, x, h)[2], cell.gates(x, h)[2])
            assert_same_bits(module(x, h), pack(cell, "scalar")(x, h))


# ---------------------------------------------------------------------------------------------------
# The caller's float environment
# ---------------------------------------------------------------------------------------------------
SETTINGS = [{"flush": True}, {"rounding": "up"}, {"rounding": "down"}, {"rounding": "zero", "flush": True}]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("engine", ["qrnn", "fbgemm", "qnnpack", "onednn"])
def test_the_callers_float_settings_change_no_bit(isa, settings, engine):
    """Inputs, scales and products down to denormals; the settings are as before after each call."""
    rng = np.random.default_rng(29)
    for number in range(60):
        _, x, h = random_case(rng, number, -42.0, 2.0)
        cell = random_cell(rng, engine, ("relu", "tanh")[number % 2], x.shape[1], h.shape[1])
        if number % 3 == 0:
            cell = cell._replace(bias_ih=cell.bias_ih * f32(1e-38), bias_hh=cell.bias_hh * f32(1e-38))
        module = pack(cell, isa)
        want, pre = module(x, h), _core._gates(module, x, h)[2]
        with float_environment(**settings):
            got = module(x, h)
            gates = _core._gates(module, x, h)
            codes = _core.quantize(engine, x, isa)
        assert_same_bits(got, want)
        assert_same_bits(gates[2], pre)
        for a, b in zip(codes, _core.quantize(engine, x, isa)):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_functions_under_the_callers_float_settings(isa, settings):
    x = np.arange(0, 2**32, 49999, dtype=np.uint64).astype(np.uint32).view(f32)
    for name in ("tanh", "tanh_exact", "sigmoid", "relu"):
        want = _core.apply(name, x, isa)
        with float_environment(**settings):
            got = _core.apply(name, x, isa)
        assert_same_bits(got, want, name)


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_float_modules_under_the_callers_float_settings(isa, settings):
    rng = np.random.default_rng(30)
    for _ in range(20):
        w_ih, w_hh = random_rows(rng, 9, 21, 1e-19), random_rows(rng, 9, 9)
        x, h = random_rows(rng, 3, 21, 1e-19), random_rows(rng, 3, 9, 1e-38)
        module = support.pack_float("rnn_relu", (w_ih, None), (w_hh, None), isa)
        want = module(x, h)
        with float_environment(**settings):
            got = module(x, h)
        assert_same_bits(got, want)


@needs_torch
def test_torch_set_flush_denormal():
    """The switch that PyTorch users know."""
    import torch

    rng = np.random.default_rng(31)
    cell = random_cell(rng, "qrnn", "relu", 15, 9)
    x, h = random_rows(rng, 4, 15, 1e-38), random_rows(rng, 4, 9, 1e-36)
    module = pack(cell)
    want = module(x, h)
    if not torch.set_flush_denormal(True):
        pytest.skip("THIS CPU has no flush-to-zero mode that PyTorch can set")
    try:
        got = module(x, h)
    finally:
        torch.set_flush_denormal(False)
    assert_same_bits(got, want)


# ---------------------------------------------------------------------------------------------------
# Weights and modules of this engine
# ---------------------------------------------------------------------------------------------------
def test_weights_are_quantized_by_its_rule():
    import qrnn

    rng = np.random.default_rng(32)
    for scale in (1e-44, 1e-38, 1e-6, 1.0, 1e30):
        float_cell = qrnn.nn.RNNCell(13, 11)
        w = {n: random_rows(rng, 11, c, scale) for n, c in (("weight_ih", 13), ("weight_hh", 11))}
        w["weight_ih"][4] = 0
        for name, value in w.items():
            setattr(float_cell, name, value)
        q = qrnn.nn.quantized.dynamic.RNNCell.from_float(float_cell, engine="qrnn").get_weight()
        for name, value in w.items():
            want = ref.weight_qrnn(value)
            np.testing.assert_array_equal(q[name].int_repr(), want.codes)
            assert_same_bits(q[name].q_per_channel_scales(), want.scale)


@pytest.mark.parametrize("nonlinearity", ["tanh", "relu"])
def test_error_against_float64_is_the_roundings_size(nonlinearity):
    """One step, without PyTorch: the error is bounded by half a step of every operand.

    |W x - Q(W) Q(x)| <= sum |W| |dx| + |dW| |x| + |dW| |dx| with |dx| <= s (zero point and code are both
    rounded: half a step each) and |dW| <= sw / 2.
    """
    import qrnn

    rng = np.random.default_rng(33)
    for inputs, hidden in ((7, 5), (64, 64), (129, 33)):
        cell = qrnn.nn.RNNCell(inputs, hidden, nonlinearity=nonlinearity)
        q = qrnn.nn.quantized.dynamic.RNNCell.from_float(cell, engine="qrnn")
        x, h = random_rows(rng, 6, inputs), random_rows(rng, 6, hidden)
        parts = (cell.weight_ih, cell.weight_hh, cell.bias_ih, cell.bias_hh)
        want = ref.cell_float64(nonlinearity, x, h, *parts)
        bound = 0
        for w, v in ((parts[0], x), (parts[1], h)):
            dw = ref.weight_qrnn(w).scale.astype(np.float64) / 2
            dx = ref.activation("qrnn", v).scale.astype(np.float64)[:, None]
            size = np.abs(w.astype(np.float64)).sum(1)
            norm = np.abs(v.astype(np.float64)).sum(1)[:, None]
            bound = bound + dx * size + dw * norm + dx * dw * w.shape[1] + 1e-5
        error = np.abs(q(x, h) - want)
        assert (error <= bound).all() and error.max() > 1e-6


# ---------------------------------------------------------------------------------------------------
# Error over 100 steps, beside torch.ao's default cell
# ---------------------------------------------------------------------------------------------------
DRIFT_SIZES = ((16, 16), (10, 20), (64, 64), (28, 96), (128, 128))


def drift(nonlinearity, batch, rng):
    """Sums of squares over 100 steps and all sizes: torch.ao's error, ours, the state itself."""
    import torch
    import torch.ao.nn.quantized.dynamic as tqd
    from torch.ao.quantization import default_dynamic_qconfig

    import qrnn.nn.quantized.dynamic as qd

    sums = np.zeros(3)
    for inputs, hidden in DRIFT_SIZES:
        cell = torch.nn.RNNCell(inputs, hidden, nonlinearity=nonlinearity)
        cell.qconfig = default_dynamic_qconfig
        theirs = tqd.RNNCell.from_float(cell)
        del cell.qconfig
        ours = qd.RNNCell.from_float(cell, engine="qrnn")
        parts = [getattr(cell, n).detach().numpy() for n in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
        exact = np.zeros((batch, hidden))
        h_theirs, h_ours = torch.zeros(batch, hidden), np.zeros((batch, hidden), f32)
        for x in rng.standard_normal((100, batch, inputs)).astype(f32):
            exact = ref.cell_float64(nonlinearity, x, exact, *parts)
            h_theirs, h_ours = theirs(torch.from_numpy(x), h_theirs), ours(x, h_ours)
            sums += [((v - exact) ** 2).sum() for v in (h_theirs.numpy(), h_ours)] + [(exact**2).sum()]
    return sums


@needs_torch
def test_error_over_100_steps_beside_torch_ao():
    """At most half of torch.ao's at batch 8 and 32, at most 0.65 at batch 1; the table is printed."""
    import torch

    rng = np.random.default_rng(34)
    torch.manual_seed(34)
    lines = ["cell  batch   torch.ao (x86)   engine qrnn    ratio   bound    (relative RMS error of h)"]
    failed = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.backends.quantized.engine = "x86"
        for nonlinearity in ("tanh", "relu"):
            for batch, bound in ((1, 0.65), (8, 0.5), (32, 0.5)):
                theirs, ours, size = drift(nonlinearity, batch, rng)
                ratio = np.sqrt(ours / theirs)
                errors = f"{np.sqrt(theirs / size):14.3%}   {np.sqrt(ours / size):11.3%}"
                lines.append(f"{nonlinearity}  {batch:5d}   {errors}   {ratio:6.3f}   {bound:5.2f}")
                if not ratio <= bound:
                    failed.append((nonlinearity, batch, ratio))
    for line in lines:
        support.report("error against float64 over 100 steps", line)
    assert not failed
