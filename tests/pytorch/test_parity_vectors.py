"""Torch engines have the bits of stored vectors of PyTorch, and their arithmetic beyond what it can show."""

from __future__ import annotations

import numpy as np
import pytest
import support
from support import (
    assert_same_bits,
    hexes,
    pack,
    pack_linear,
    random_rows,
    ulps,
)
from support import golden_vectors as golden
from support import reference as ref

from qrnn import _core

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")


f32 = np.float32
CASES, TIES = golden.load()
ENGINES = ("fbgemm", "x86", "qnnpack", "onednn")


def golden_name(engine):
    return "fbgemm" if engine == "x86" else engine


# ---------------------------------------------------------------------------------------------------
# Stored vectors
# ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", ["x", "h"])
def test_published_activations(isa, engine, name):
    scale, zero_point, codes = golden.ACTIVATIONS[name, 255 if engine == "qnnpack" else 127]
    got = _core.quantize(engine, golden.X if name == "x" else golden.H, isa)
    np.testing.assert_array_equal(got[0], codes)
    assert (got[2] == zero_point).all()
    if engine != "onednn":  # its scale goes through a reciprocal twice
        assert_same_bits(got[1], np.full(2, scale))


@pytest.mark.parametrize("scheme", ["per_tensor", "per_channel"])
def test_published_weights(scheme):
    """From a float cell, through from_float, with the scheme as a QConfig."""
    import qrnn

    qconfig = {
        "per_tensor": qrnn.quantization.default_dynamic_qconfig,
        "per_channel": qrnn.quantization.per_channel_dynamic_qconfig,
    }[scheme]
    cell = qrnn.nn.RNNCell(5, 3)
    cell.weight_ih, cell.weight_hh = golden.WEIGHT_IH, golden.WEIGHT_HH
    cell.qconfig = qconfig
    got = qrnn.nn.quantized.dynamic.RNNCell.from_float(cell, engine="fbgemm").get_weight()
    for name, want in zip(("weight_ih", "weight_hh"), golden.WEIGHTS[scheme]):
        np.testing.assert_array_equal(got[name].int_repr(), want.codes)
        scale = got[name].q_per_channel_scales() if want.scale.ndim else got[name].q_scale()
        assert_same_bits(np.asarray(scale, f32), want.scale)


@pytest.mark.parametrize("scheme, engine", golden.OUTPUTS)
def test_published_outputs(isa, scheme, engine):
    texts = golden.OUTPUTS[scheme, engine]
    ih, hh = golden.WEIGHTS[scheme]
    y_ih = pack_linear(engine, ih, golden.BIAS_IH, isa)(golden.X)
    y_hh = pack_linear(engine, hh, golden.BIAS_HH, isa)(golden.H)
    assert_same_bits(y_ih, hexes(texts[0], (2, 3)), "W_ih x + b_ih")
    assert_same_bits(y_hh, hexes(texts[1], (2, 3)), "W_hh h + b_hh")
    for nonlinearity, text in (("relu", texts[2]), ("tanh", texts[3])):
        cell = ref.Cell(engine, nonlinearity, ih, hh, golden.BIAS_IH, golden.BIAS_HH)
        got = pack(cell, isa)(golden.X, golden.H)
        assert_same_bits(got, (ref.relu if nonlinearity == "relu" else ref.tanh)(y_ih + y_hh))
        if text:  # published tanh: PyTorch's for qnnpack and onednn, correctly rounded for fbgemm
            assert ulps(got, hexes(text, (2, 3))).max() <= (nonlinearity == "tanh" and engine != "fbgemm")


@pytest.mark.parametrize("engine", ENGINES)
def test_golden_cases(isa, engine):
    """210 cells: both linear layers, then the cells with relu and (correctly rounded) tanh."""
    for case in CASES:
        cell = case.cell(engine)
        what = f"case {case.number}"
        ys = case.y[golden_name(engine)]
        for (v, weight, bias), want in zip(((case.x, case.ih, case.bias_ih), (case.h, case.hh, case.bias_hh)), ys):
            module = pack_linear(engine, weight, bias, isa)
            got = module(v)
            if engine == "onednn":
                assert_same_bits(got, ref.linear(engine, v, weight, bias)[1], what)
                acc = _core._gates(module, v)[0]
                got = golden.onednn_avx2(acc, ref.activation(engine, v), weight, bias)
            assert_same_bits(got, want, what)
        pre = ys[0] + ys[1] if engine != "onednn" else cell.gates(case.x, case.h)[2]
        assert_same_bits(pack(cell, isa)(case.x, case.h), ref.relu(pre), what)
        assert_same_bits(pack(case.cell(engine, "tanh"), isa)(case.x, case.h), ref.tanh(pre), what)


@pytest.mark.parametrize("engine", ENGINES)
def test_golden_ties(isa, engine):
    for tie in TIES:
        if tie.engine == golden_name(engine):
            codes, _, zero_point = _core.quantize(engine, tie.x, isa)
            np.testing.assert_array_equal(codes.astype(int) - zero_point[:, None], tie.codes)


@pytest.mark.parametrize("per_channel", [False, True])
def test_golden_weights(per_channel):
    """Float weights of all cases through from_float: PyTorch's codes and scales."""
    import qrnn

    qconfigs = qrnn.quantization
    for case in CASES:
        if case.per_channel != per_channel:
            continue
        cell = qrnn.nn.RNNCell(case.w_ih.shape[1], len(case.w_ih))
        cell.weight_ih, cell.weight_hh, cell.bias_ih, cell.bias_hh = (
            case.w_ih,
            case.w_hh,
            case.bias_ih,
            case.bias_hh,
        )
        cell.qconfig = qconfigs.per_channel_dynamic_qconfig if per_channel else qconfigs.default_dynamic_qconfig
        q = qrnn.nn.quantized.dynamic.RNNCell.from_float(cell, engine="qnnpack")
        for name, want in (("weight_ih", case.ih), ("weight_hh", case.hh)):
            got = q.get_weight()[name]
            np.testing.assert_array_equal(got.int_repr(), want.codes, f"case {case.number}")
            scale = got.q_per_channel_scales() if per_channel else np.asarray(got.q_scale(), f32)
            assert_same_bits(scale, want.scale, f"case {case.number}")


# ---------------------------------------------------------------------------------------------------
# The arithmetic beyond what PyTorch can show
# ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("bias", [True, False])
def test_against_the_reference(isa, engine, bias):
    rng = np.random.default_rng(40)
    for number in range(150):
        batch = int(rng.integers(1, 10))
        inputs, hidden = (int(n) for n in rng.integers(1, 70, 2))
        cell = support.random_cell(rng, engine, "relu", inputs, hidden, per_channel=number % 2 == 1, bias=bias)
        x = random_rows(rng, batch, inputs, 10.0 ** rng.uniform(-40, 30), number)
        h = random_rows(rng, batch, hidden, 10.0 ** rng.uniform(-8, 6), number // 7)
        module = pack(cell, isa)
        for got, want in zip(_core._gates(module, x, h)[:2], cell.gates(x, h)[:2]):
            np.testing.assert_array_equal(got, want)
        assert_same_bits(_core._gates(module, x, h)[2], cell.gates(x, h)[2], f"cell {number}")
        assert_same_bits(module(x, h), cell.step(x, h), f"cell {number}")


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("bias", [True, False])
def test_products_that_overflow_or_vanish(isa, engine, bias):
    """Scales whose product is beyond float32 or below it: infinities, NaN, zeros and their signs."""
    rng = np.random.default_rng(51)
    for factor in (1e-44, 1e-38, 1e-30, 1e30, 3e38):
        for scale in (1e-12, 1e-3, 1.0, 1e30, 3e38):
            cell = support.random_cell(rng, engine, "relu", 7, 19, bias=bias)
            weight = cell.ih._replace(scale=np.full(19, factor, f32))
            cell = cell._replace(ih=weight, hh=cell.hh._replace(scale=np.full(19, factor, f32)))
            x = random_rows(rng, 3, 7).clip(-1, 1) * f32(scale)
            y = ref.linear(engine, x, weight, cell.bias_ih)[1]
            y[np.isnan(y)] = ref.NAN
            assert_same_bits(pack_linear(engine, weight, cell.bias_ih, isa)(x), y, f"{factor} {scale}")
            h = random_rows(rng, 3, 19, 1e-12)
            assert_same_bits(_core._gates(pack(cell, isa), x, h)[2], cell.gates(x, h)[2], f"{factor} {scale}")


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("batch", [1, 63, 64, 65, 200])
def test_one_scale_for_the_whole_batch(isa, engine, batch):
    """Also where a call works through its batch in blocks: the last row's range counts for the first."""
    rng = np.random.default_rng(41)
    cell = support.random_cell(rng, engine, "relu", 13, 9)
    x, h = random_rows(rng, batch, 13), random_rows(rng, batch, 9)
    x[-1, -1], h[-1, 0] = 40, -50
    assert_same_bits(pack(cell, isa)(x, h), cell.step(x, h))
    in_place = h.copy()
    pack(cell, isa)(x, in_place, out=in_place)
    assert_same_bits(in_place, cell.step(x, h))
