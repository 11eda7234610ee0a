"""Activations of 6 bits, and of a matrix: what one meets does not depend on the other of its cell."""

import numpy as np
import pytest
from matrices import Matrix, step
from support import assert_same_bits
from support import reference as ref

f32 = np.float32
BATCH, INPUTS, HIDDEN = 5, 19, 33


def case(gates, seed=0):
    rng = np.random.default_rng(seed)
    floats = [rng.standard_normal((gates * HIDDEN, n)).astype(f32) / 4 for n in (INPUTS, HIDDEN)]
    biases = [rng.standard_normal(gates * HIDDEN).astype(f32) for _ in range(2)]
    return floats, biases, *(rng.standard_normal((BATCH, n)).astype(f32) for n in (INPUTS, HIDDEN))


class Products(ref.Unit):
    """A unit of engine qrnn whose product of x is `of_x`, and whose h has codes of 6 bits."""

    of_x = None

    def product(self, v, name):
        if name == "ih":
            return self.of_x(v, self.ih, self.bias_ih)
        act = ref.activation_u6(v)
        acc = ref.accumulate(act, self.hh.codes)
        return acc, ref.dequantize("qrnn", acc, act, self.hh, self.bias_hh)


class FloatInput(Products):
    def of_x(self, v, weight, bias):
        return ref.product("float32", v, weight, bias)


class CodedInput(Products):
    def of_x(self, v, weight, bias):
        return ref.product("qrnn", v, weight, bias)


@pytest.mark.parametrize("kind", ["rnn_tanh", "gru"])
def test_a_float32_matrix_beside_an_int8_one(kind, isa):
    """W_ih and its product in float32; W_hh in int8, and its h in 6 bits."""
    (w_ih, w_hh), (b_ih, b_hh), x, h = case(ref.GATES[kind])
    coded = ref.weight_qrnn(w_hh)
    got, _ = step(kind, Matrix(values=w_ih, bias=b_ih), Matrix(None, *coded, b_hh, activations="u6"), x, h, isa)
    assert_same_bits(got, FloatInput(kind, "qrnn", w_ih, coded, b_ih, b_hh).step(x, (h,))[0])


@pytest.mark.parametrize("kind", ["rnn_tanh", "gru"])
def test_eight_bits_beside_six(kind, isa):
    floats, (b_ih, b_hh), x, h = case(ref.GATES[kind], 1)
    ih, hh = map(ref.weight_qrnn, floats)
    got, _ = step(kind, Matrix(None, *ih, b_ih), Matrix(None, *hh, b_hh, activations="u6"), x, h, isa)
    assert_same_bits(got, CodedInput(kind, "qrnn", ih, hh, b_ih, b_hh).step(x, (h,))[0])
    eight, _ = step(kind, Matrix(None, *ih, b_ih), Matrix(None, *hh, b_hh), x, h, isa)
    assert_same_bits(eight, ref.Unit(kind, "qrnn", ih, hh, b_ih, b_hh).step(x, (h,))[0])
    assert 0 < np.abs(got - eight).max() < 0.1


def test_rows_by_themselves(isa):
    """A row that is not finite, one of zeros, and one too small for a scale."""
    floats, (b_ih, b_hh), x, h = case(1, 2)
    h[0, 3], h[1], h[2] = np.inf, 0, 1e-40
    ih, hh = map(ref.weight_qrnn, floats)
    got, _ = step("rnn_tanh", Matrix(None, *ih, b_ih), Matrix(None, *hh, b_hh, activations="u6"), x, h, isa)
    assert_same_bits(got, CodedInput("rnn_tanh", "qrnn", ih, hh, b_ih, b_hh).step(x, (h,))[0])
    assert np.isnan(got[0]).all() and np.isfinite(got[1:]).all()


def test_what_no_kernel_multiplies(isa):
    (w_ih, w_hh), _, x, h = case(1, 3)
    assert step("rnn_tanh", Matrix(values=w_ih, activations="u6"), Matrix(values=w_hh), x, h, isa) > 0
