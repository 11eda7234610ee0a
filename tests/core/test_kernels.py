"""Every instruction set of this CPU against the scalar kernels and against the reference, with ==.

The cases aim at the kernels: sizes round every tile, extreme codes, the longest allowed sum, the codes of activations,
tanh and sigmoid. Cells and sequences are in the files beside this one.
"""

from __future__ import annotations

import numpy as np
import pytest
import support
from support import (
    SHAPES,
    assert_same_bits,
    pack_float,
    pack_linear,
    random_bias,
    random_rows,
    random_weight,
)
from support import reference as ref

from qrnn import _core

pytestmark = pytest.mark.core

f32 = np.float32
QUANTIZED = ("qrnn", "fbgemm", "qnnpack", "onednn")


def test_scalar_is_first_and_supported():
    isas, known = _core.isas(), _core.known_isas()
    assert isas[0] == known[0] == "scalar"
    assert [name for name in known if name in isas] == list(isas), "order differs"
    assert len(set(known)) == len(known)


@pytest.mark.parametrize("engine", QUANTIZED)
@pytest.mark.parametrize("codes", ["-128", "-127", "127", "mixed", "alternating"])
def test_extreme_codes(isa, engine, codes):
    """The largest products: codes 0 and 255 (128 with 7 bits), zero points 0 and 255, largest weights."""
    rng = np.random.default_rng(11)
    for inputs in (1, 3, 4, 16, 63, 200, 1001):
        hidden = 21
        w = {
            "-128": np.full((hidden, inputs), -128),
            "-127": np.full((hidden, inputs), -127),
            "127": np.full((hidden, inputs), 127),
            "mixed": rng.choice([-128, 127], (hidden, inputs)),
            "alternating": np.where((np.arange(hidden * inputs) % 2).reshape(hidden, inputs), 127, -128),
        }[codes].astype(np.int8)
        weight = ref.Weight(w, np.full(hidden, 0.01, f32))
        for x in (
            np.full((2, inputs), 7, f32),  # all codes the largest
            np.full((2, inputs), -7, f32),  # all codes 0, zero point the largest
            rng.choice([-1.27, 1.27], (3, inputs)).astype(f32),  # both ends, code 128 with 7 bits
            rng.choice([0, 3], (2, inputs)).astype(f32),
        ):
            want, y = ref.linear(engine, x, weight, None)
            acc, none, pre = _core._gates(pack_linear(engine, weight, None, isa), x)
            np.testing.assert_array_equal(acc, want)
            assert none is None
            assert_same_bits(pre, y)


@pytest.mark.parametrize("engine", ["qrnn", "qnnpack"])
@pytest.mark.parametrize("sign", [1, -1])
def test_longest_sum(isa, engine, sign):
    """65793 inputs with code 255 and weight -128: the sum is 32 short of -2**31."""
    depth = 65793
    weight = ref.Weight(np.full((2, depth), -128, np.int8), np.full(2, 1e-9, f32))
    weight.codes[1] = 127
    x = np.full((1, depth), sign, f32)
    acc, _, pre = _core._gates(pack_linear(engine, weight, np.zeros(2, f32), isa), x)
    assert acc.tolist() == [[-255 * 128 * depth * sign, 255 * 127 * depth * sign]]
    assert_same_bits(pre, ref.linear(engine, x, weight, np.zeros(2, f32))[1])


@pytest.mark.parametrize("engine", QUANTIZED)
def test_rows_of_tiles(isa, engine):
    """Rows and inputs of whole tiles of 16 x 64, one more, one less, and the fewest that tiles multiply."""
    rng = np.random.default_rng(13)
    for rows, inputs in ((2, 256), (4, 128), (15, 300), (16, 64), (17, 65), (31, 127), (33, 250), (48, 96), (50, 1000)):
        weight, bias = random_weight(rng, 35, inputs), random_bias(rng, 35)
        x = random_rows(rng, rows, inputs)
        want, y = ref.linear(engine, x, weight, bias)
        module = pack_linear(engine, weight, bias, isa)
        acc, _, pre = _core._gates(module, x)
        np.testing.assert_array_equal(acc, want, f"{rows} rows, {inputs} inputs")
        assert_same_bits(pre, y, f"{rows} rows, {inputs} inputs")
        assert_same_bits(module(x), y, f"{rows} rows, {inputs} inputs")


@pytest.mark.parametrize("depth", [250, 257, 5000, 16381, 16385, 33000])
def test_rows_of_many_codes(isa, depth):
    """More codes than a kernel keeps at once: in one row, and in the rows of a batch."""
    rng = np.random.default_rng(12)
    weight, bias = random_weight(rng, 37, depth), random_bias(rng, 37)
    x = rng.standard_normal((7 if depth > 300 else 70, depth)).astype(f32)
    want, y = ref.linear("qrnn", x, weight, bias)
    acc, _, pre = _core._gates(pack_linear("qrnn", weight, bias, isa), x)
    np.testing.assert_array_equal(acc, want)
    assert_same_bits(pre, y)


@pytest.mark.parametrize("engine", ["qrnn", "fbgemm", "float32"])
def test_gates_of_more_rows_than_a_block(engine):
    """The door of a linear shows what a call returns, and has memory for it, however many rows there are."""
    rng = np.random.default_rng(41)
    x = rng.standard_normal((1000, 8)).astype(f32)
    if engine == "float32":
        module = pack_float("linear", (rng.standard_normal((64, 8)).astype(f32), None))
    else:
        module = pack_linear(engine, random_weight(rng, 64, 8), random_bias(rng, 64))
    assert_same_bits(_core._gates(module, x)[2], module(x))


def test_sum_longer_than_that_is_refused():
    weight = ref.Weight(np.ones((1, 65794), np.int8), np.ones(1, f32))
    with pytest.raises(ValueError, match="65793"):
        pack_linear("qrnn", weight, None)


def test_float32_products(isa):
    """Four partial sums a output, of any order of magnitude, in the order that is written down."""
    rng = np.random.default_rng(12)
    for number, (batch, inputs, hidden) in enumerate(SHAPES):
        if batch * inputs * hidden > 100_000:
            continue
        spread = 10.0 ** rng.uniform(-3, 3, inputs)
        w = (rng.standard_normal((hidden, inputs)) * spread).astype(f32)
        bias = random_bias(rng, hidden, number % 3 > 0)
        x = random_rows(rng, batch, inputs, 2.0)
        got = pack_float("linear", (w, bias), isa=isa)(x)
        assert_same_bits(got, ref.linear_float32(x, w, bias), f"{(batch, inputs, hidden)}")


@pytest.mark.parametrize("batch", [11, 13, 24, 33])
def test_float32_products_of_a_large_matrix(isa, batch):
    """Above 1.5 MiB tiles of 6 rows, of which there are 1, none, 4 and 3, prefetch what comes next."""
    rng = np.random.default_rng(14)
    w, x = rng.standard_normal((610, 651)).astype(f32), rng.standard_normal((batch, 651)).astype(f32)
    assert_same_bits(pack_float("linear", (w, None), isa=isa)(x), ref.linear_float32(x, w, None))


# ---------------------------------------------------------------------------------------------------
# Activation codes
# ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("engine", QUANTIZED)
def test_quantize(isa, engine):
    rng = np.random.default_rng(14)
    qmax = 255 if engine in ("qrnn", "qnnpack") else 127
    for number in range(400):
        n = int(rng.integers(1, 150))
        if number % 2:
            v = support.ties(rng, 4, n, qmax)
        else:
            v = random_rows(rng, 4, n, 10.0 ** rng.uniform(-38, 38), number // 2)
        want = ref.activation(engine, v)
        codes, scale, zero_point = _core.quantize(engine, v, isa)
        np.testing.assert_array_equal(codes, want.codes, f"batch {number}")
        np.testing.assert_array_equal(zero_point, want.zero_point, f"batch {number}")
        assert_same_bits(scale, want.step, f"batch {number}")


@pytest.mark.parametrize("engine", ["fbgemm", "qnnpack", "onednn"])
def test_smallest_scale_of_the_torch_engines(isa, engine):
    """Ranges round 6.1e-5 a code, where scale and range are stretched, and so small that 0.1 is taken."""
    rng = np.random.default_rng(18)
    edge = f32(6.1e-5) * f32(255 if engine == "qnnpack" else 127)
    for size in (
        *support.step_ulps(edge, np.arange(-4, 5)),
        edge / 3,
        f32(1e-20),
        f32(3e-39),
        f32(1e-37),
        f32(1e-45),
    ):
        for share in (0, 1, 0.5, 0.25, rng.random()):
            v = (rng.uniform(-share, 1 - share, (2, 11)) * size).astype(f32)
            v[0, 0], v[1, 3] = -share * size, (1 - share) * size
            want = ref.activation(engine, v)
            codes, scale, zero_point = _core.quantize(engine, v, isa)
            np.testing.assert_array_equal(codes, want.codes, f"size {size}, share {share}")
            np.testing.assert_array_equal(zero_point, want.zero_point)
            assert_same_bits(scale, want.step)


def test_quantize_ties_of_engine_qrnn(isa):
    """v * inv at k + 1/2: half to even before the zero point is added, not after."""
    for low, high in ((-100, 155), (-101, 154), (0, 255), (-255, 0), (-127.5, 127.5)):
        v = np.array([[low, high, *np.arange(-60.5, 60)]], f32).clip(low, high)
        want = ref.activation("qrnn", v)
        np.testing.assert_array_equal(_core.quantize("qrnn", v, isa)[0], want.codes)


# ---------------------------------------------------------------------------------------------------
# Functions
# ---------------------------------------------------------------------------------------------------
FUNCTIONS = ("tanh", "tanh_exact", "sigmoid", "relu")
FAST = {"tanh": ref.tanh_fast, "sigmoid": ref.sigmoid_fast}


def sampled_floats(step):
    """Every step-th bit pattern: all exponents, both signs, infinities' and NaNs' neighbourhoods."""
    patterns = np.arange(0, 2**32, step, dtype=np.uint64).astype(np.uint32)
    edges = np.array([0, 1, 0x7FFFFF, 0x800000, 0x3F800000, 0x7F7FFFFF, 0x7F800000, 0x7F800001, 0x7FC00001])
    edges = np.concatenate([edges, edges | 0x80000000]).astype(np.uint32)
    return np.concatenate([patterns, edges]).view(f32)


def true_values(name, x):
    """f(x) correctly rounded (sigmoid: to within an error of float64)."""
    if name == "relu":
        return np.where(np.isnan(x), ref.NAN, ref.relu(x))
    if name == "sigmoid":
        with np.errstate(all="ignore"):
            return np.where(np.isnan(x), ref.NAN, (1 / (1 + np.exp(-x.astype(np.float64)))).astype(f32))
    return ref.tanh(x)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions(isa, name):
    x = sampled_floats(9973)
    got = _core.apply(name, x, isa)
    support.exercised.add(isa)
    assert_same_bits(got, _core.apply(name, x, "scalar"), name)
    want = true_values(name, x)
    if name in ("tanh_exact", "relu"):
        assert_same_bits(got, want, name)
    else:
        assert_same_bits(got, FAST[name](x), name)
        assert support.ulps(got, want)[~np.isnan(want)].max() <= 2
    np.testing.assert_array_equal(np.isnan(got), np.isnan(x))
    assert (support.bits(got[np.isnan(x)]) == 0x7FC00000).all()


def test_functions_where_they_bend(isa):
    """Dense samples where tanh and sigmoid are neither linear nor flat."""
    x = np.concatenate([np.linspace(-12, 12, 200_001), np.geomspace(1e-6, 12, 50_000)]).astype(f32)
    for name in ("tanh", "sigmoid"):
        got = _core.apply(name, x, isa)
        assert_same_bits(got, FAST[name](x), name)
        assert support.ulps(got, true_values(name, x)).max() <= 2
    assert_same_bits(_core.apply("tanh_exact", x, isa), ref.tanh(x))
    for value, want in (("tanh", f32(1)), ("sigmoid", f32(1))):
        assert np.abs(_core.apply(value, x, isa)).max() <= want


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_write_only_their_output(isa, name):
    """All sizes round a register, with canaries before and behind the output."""
    rng = np.random.default_rng(15)
    for n in range(70):
        x = random_rows(rng, 1, n)[0]
        frame = np.full(n + 64, 77, f32)
        got = _core.apply(name, x, isa, out=frame[32 : 32 + n])
        assert_same_bits(frame[32 : 32 + n], _core.apply(name, x, "scalar"))
        assert got.base is frame or np.shares_memory(got, frame) or n == 0
        assert (frame[:32] == 77).all() and (frame[32 + n :] == 77).all()
        again = x.copy()
        _core.apply(name, again, isa, out=again)
        assert_same_bits(again, frame[32 : 32 + n], "in place")


def test_functions_keep_the_shape(isa):
    x = np.arange(24, dtype=f32).reshape(2, 3, 4) - 12
    assert_same_bits(_core.apply("relu", x, isa), np.maximum(x, 0))
    assert _core.apply("tanh", f32(0.5), isa).shape == ()
