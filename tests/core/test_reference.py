"""The reference itself: against exact fractions, against stored PyTorch vectors, against live PyTorch.

Nothing here runs the C core.
"""

from __future__ import annotations

import doctest
from fractions import Fraction

import numpy as np
import pytest
from support import assert_same_bits, float32, hexes, needs_torch, random_rows, ties, ulps
from support import golden_vectors as golden
from support import reference as ref

f32 = np.float32
CASES, TIES = golden.load()


def test_doctests():
    for module in (float32, ref):
        assert doctest.testmod(module).failed == 0


def exact_fma(a, b, c):
    """a * b + c by fractions, rounded once to float32."""
    exact = Fraction(float(a)) * Fraction(float(b)) + Fraction(float(c))
    near = f32(float(exact))
    options = np.nextafter(near, f32(-np.inf)), near, np.nextafter(near, f32(np.inf))
    # the nearest; between two equally near ones that with an even last bit
    return min(options, key=lambda v: (abs(Fraction(float(v)) - exact), int(v.view(np.uint32)) & 1))


def hard_fma_operands(rng, n):
    """Products in the middle between two float32 or near it, with addends that decide."""
    a = (1 + rng.integers(0, 2**12, n) * 2.0**-12).astype(f32)
    b = (1 + rng.integers(0, 2**12, n) * 2.0**-12).astype(f32)
    c = (rng.choice([-1, 1], n) * 2.0 ** rng.integers(-80, 2, n)).astype(f32)
    shift = f32(2) ** rng.integers(-70, 40, n)
    return a * shift, b, c * shift * rng.choice([0, 1, 1, 1], n).astype(f32)


def test_fma_rounds_once():
    rng = np.random.default_rng(1)
    a, b, c = hard_fma_operands(rng, 20000)
    got = ref.fma(a, b, c)
    want = np.array([exact_fma(*v) for v in zip(a, b, c)], f32)
    np.testing.assert_array_equal(got, want)
    with np.errstate(all="ignore"):
        twice = (a.astype(np.float64) * b + c).astype(f32)
    assert (twice != want).sum() > 100, "these operands do not show a double rounding"


def test_fma_specials():
    inf, nan = f32(np.inf), f32(np.nan)
    assert np.isnan(ref.fma(f32(0), inf, f32(1))) and np.isnan(ref.fma(inf, f32(1), -inf))
    assert ref.fma(f32(3e38), f32(10), f32(0)) == inf and np.isnan(ref.fma(nan, f32(1), f32(1)))
    assert ref.fma(f32(2**-140), f32(2**-9), f32(2**-149)) == f32(2**-148)  # ties of denormals


def test_tanh_is_correctly_rounded():
    """Against 60 digits, on values of every magnitude."""
    rng = np.random.default_rng(2)
    x = np.concatenate([rng.standard_normal(2000) * 10.0**e for e in (-30, -8, -4, -2, -1, 0, 0.6)])
    x = x.astype(f32)
    np.testing.assert_array_equal(ref.tanh(x), [float32.tanh_decimal(v) for v in x])


def test_tanh_specials():
    x = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1e-45], f32)
    assert_same_bits(ref.tanh(x), np.array([0.0, -0.0, 1, -1, ref.NAN, 1e-45], f32))


# ---------------------------------------------------------------------------------------------------
# Published vectors
# ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("scheme", golden.WEIGHTS)
def test_published_weights(scheme):
    for w, want in zip((golden.WEIGHT_IH, golden.WEIGHT_HH), golden.WEIGHTS[scheme]):
        got = ref.weight_torch(w, scheme == "per_channel")
        np.testing.assert_array_equal(got.codes, want.codes)
        assert_same_bits(got.scale, want.scale)


@pytest.mark.parametrize("engine", ["fbgemm", "x86", "onednn", "qnnpack"])
@pytest.mark.parametrize("name", ["x", "h"])
def test_published_activations(engine, name):
    scale, zero_point, codes = golden.ACTIVATIONS[name, 255 if engine == "qnnpack" else 127]
    act = ref.activation(engine, golden.X if name == "x" else golden.H)
    assert_same_bits(act.scale, np.full(2, scale))
    assert (act.zero_point == zero_point).all()
    np.testing.assert_array_equal(act.codes, codes)


@pytest.mark.parametrize("scheme, engine", golden.OUTPUTS)
def test_published_outputs(scheme, engine):
    texts = golden.OUTPUTS[scheme, engine]
    ih, hh = golden.WEIGHTS[scheme]
    y_ih = ref.linear(engine, golden.X, ih, golden.BIAS_IH)[1]
    y_hh = ref.linear(engine, golden.H, hh, golden.BIAS_HH)[1]
    assert_same_bits(y_ih, hexes(texts[0], (2, 3)))
    assert_same_bits(y_hh, hexes(texts[1], (2, 3)))
    for nonlinearity, text in (("relu", texts[2]), ("tanh", texts[3])):
        if text:
            cell = ref.Cell(engine, nonlinearity, ih, hh, golden.BIAS_IH, golden.BIAS_HH)
            got, want = cell.step(golden.X, golden.H), hexes(text, (2, 3))
            assert ulps(got, want).max() <= (engine != "fbgemm" and nonlinearity == "tanh")


# ---------------------------------------------------------------------------------------------------
# Vectors of the file
# ---------------------------------------------------------------------------------------------------
def test_golden_weights():
    for case in CASES:
        for w, want in ((case.w_ih, case.ih), (case.w_hh, case.hh)):
            got = ref.weight_torch(w, case.per_channel)
            np.testing.assert_array_equal(got.codes, want.codes, f"case {case.number}")
            assert_same_bits(got.scale, want.scale, f"case {case.number}")


@pytest.mark.parametrize("engine", golden.ENGINES)
def test_golden_linears(engine):
    for case in CASES:
        parts = (case.x, case.ih, case.bias_ih), (case.h, case.hh, case.bias_hh)
        for (v, weight, bias), want in zip(parts, case.y[engine]):
            acc, got = ref.linear(engine, v, weight, bias)
            if engine == "onednn":
                got = golden.onednn_avx2(acc, ref.activation(engine, v), weight, bias)
            assert_same_bits(got, want, f"case {case.number}")


def test_golden_ties():
    for tie in TIES:
        act = ref.activation(tie.engine, tie.x)
        np.testing.assert_array_equal(act.codes.astype(int) - act.zero_point[:, None], tie.codes)


def test_golden_ties_tell_the_roundings_apart():
    """The stored ties are worth something: every wrong rounding fails on them."""
    for engine, others in (("fbgemm", ["onednn"]), ("onednn", ["fbgemm"])):
        for other in others:
            wrong = sum(
                int((ref.activation(other, t.x).codes != ref.activation(engine, t.x).codes).sum())
                for t in TIES
                if t.engine == engine
            )
            assert wrong > 20, (engine, other)


def test_golden_holds_code_128_and_weight_minus_128():
    """Two traps: weight code -128 with PyTorch's observers, and activation code 128 with 7 bits.

    The range of the second is symmetric, so its zero point is a tie, and so is the code of -1.27:
    onednn, which rounds the product first, gets another one.
    """
    assert any((c.ih.codes == -128).any() for c in CASES)
    x = np.array([[-1.27, 1.27]], f32)
    assert ref.activation("onednn", x).codes.tolist() == [[0, 128]]
    assert ref.activation("fbgemm", x).codes.tolist() == [[1, 128]]


# ---------------------------------------------------------------------------------------------------
# Rules of engine qrnn, by hand
# ---------------------------------------------------------------------------------------------------
def test_qrnn_weight_rule():
    w = np.array([[1, -0.5, 0.25], [0, 0, 0], [1e-40, 0, 0], [-3, 2, 1]], f32)
    got = ref.weight_qrnn(w)
    assert got.codes.tolist() == [[127, -64, 32], [0, 0, 0], [0, 0, 0], [-127, 85, 42]]
    assert_same_bits(got.scale, np.array([f32(1) / f32(127), 1, 1, f32(3) / f32(127)], f32))


def test_qrnn_activation_rule():
    v = np.array([[0, 255, 1], [-255, 0, -1], [-127, 128, 0], [0, 0, 0], [np.nan, 1, 2], [5, 5, 5]], f32)
    act = ref.activation("qrnn", v)
    assert act.codes[:4].tolist() == [[0, 255, 1], [0, 255, 254], [0, 255, 127], [0, 0, 0]]
    assert act.zero_point[:4].tolist() == [0, 255, 127, 0]
    assert np.isnan(act.scale[4]) and not act.finite[4] and act.codes[5].tolist() == [255] * 3


# ---------------------------------------------------------------------------------------------------
# Live PyTorch
# ---------------------------------------------------------------------------------------------------
@needs_torch
@pytest.mark.filterwarnings("ignore")
def test_live_torch_linear():
    """Random layers through PyTorch's own quantized linear, as the reference computes them."""
    import torch
    from golden.make_golden import torch_linear, torch_weight

    rng = np.random.default_rng(3)
    engines = ["fbgemm", "qnnpack"] + (["onednn"] if torch.backends.cpu.get_cpu_capability() == "AVX2" else [])
    for number in range(140):
        n, rows = (int(v) for v in rng.integers(1, 90, 2))
        w = (rng.standard_normal((rows, n)) * 10.0 ** rng.uniform(-9, 2)).astype(f32)
        bias = rng.uniform(-1, 1, rows).astype(f32)
        per_channel = number % 2 == 1
        weight = ref.weight_torch(w, per_channel)
        q = torch_weight(w, per_channel)
        np.testing.assert_array_equal(q.int_repr().numpy(), weight.codes)
        for engine in engines:
            qmax = 255 if engine == "qnnpack" else 127
            v = ties(rng, 5, n, qmax) if number % 3 else random_rows(rng, 5, n, 10.0 ** rng.uniform(-8, 6), number)
            acc, got = ref.linear(engine, v, weight, bias)
            if engine == "onednn":
                got = golden.onednn_avx2(acc, ref.activation(engine, v), weight, bias)
            assert_same_bits(got, torch_linear(engine, q, bias, v), f"{engine} layer {number}")
