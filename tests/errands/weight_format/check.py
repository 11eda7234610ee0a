"""Weights in bfloat16, beside int8 and float32 ones."""

import numpy as np
import pytest
from matrices import Matrix, step
from support import assert_same_bits
from support import reference as ref

f32 = np.float32


def case(gates, inputs, seed=0):
    rng, hidden, batch = np.random.default_rng(seed), 33, 5
    floats = [rng.standard_normal((gates * hidden, n)).astype(f32) / 4 for n in (inputs, hidden)]
    biases = [rng.standard_normal(gates * hidden).astype(f32) for _ in range(2)]
    return floats, biases, *(rng.standard_normal((batch, n)).astype(f32) for n in (inputs, hidden))


class Mixed(ref.Unit):
    """A unit whose arrays are multiplied in float32, and whose codes by engine qrnn."""

    def product(self, v, name):
        weight = getattr(self, name)
        engine = "qrnn" if isinstance(weight, ref.Weight) else "float32"
        return ref.product(engine, v, weight, getattr(self, f"bias_{name}"))


@pytest.mark.parametrize("inputs", [1, 7, 16, 19])
@pytest.mark.parametrize("kind", ["rnn_tanh", "gru"])
def test_beside_an_int8_matrix(kind, inputs, isa):
    (w_ih, w_hh), (b_ih, b_hh), x, h = case(ref.GATES[kind], inputs)
    rounded, coded = ref.bfloat16(w_ih), ref.weight_qrnn(w_hh)
    assert 0 < np.abs(rounded - w_ih).max() < 2.0**-8
    got, read = step(kind, Matrix(values=w_ih, bias=b_ih, format="bfloat16"), Matrix(None, *coded[:2], b_hh), x, h, isa)
    assert_same_bits(got, Mixed(kind, "qrnn", rounded, coded, b_ih, b_hh).step(x, (h,))[0])
    assert_same_bits(read, rounded)


def test_beside_a_float32_matrix(isa):
    (w_ih, w_hh), (b_ih, b_hh), x, h = case(3, 11, 1)
    floats = Matrix(values=w_hh, bias=b_hh, activations="float32")
    got, _ = step("gru", Matrix(values=w_ih, bias=b_ih, format="bfloat16"), floats, x, h, isa)
    assert_same_bits(got, Mixed("gru", "qrnn", ref.bfloat16(w_ih), w_hh, b_ih, b_hh).step(x, (h,))[0])


def test_it_meets_no_codes(isa):
    (w_ih, w_hh), _, x, h = case(1, 4, 2)
    assert (
        step("rnn_tanh", Matrix(values=w_ih, format="bfloat16", activations="u8"), Matrix(values=w_hh), x, h, isa) > 0
    )
