"""Activations of 6 bits. They are those of a matrix: what one meets does not depend on the other of its layer."""

import numpy as np
import pytest
from support import assert_same_bits
from support import reference as ref

from qrnn import _core

f32 = np.float32
BATCH, INPUTS, HIDDEN = 5, 19, 33


class SixBits(ref.Unit):
    """A unit of engine qrnn whose h has codes of 6 bits."""

    def product(self, v, name):
        if name == "ih":
            return super().product(v, name)
        act = ref.activation_u6(v)
        acc = ref.accumulate(act, self.hh.codes)
        return acc, ref.dequantize("qrnn", acc, act, self.hh, self.bias_hh)


def case(kind, seed, float_ih):
    """A unit, and the arrays of a call. W_ih is in float32 or, as W_hh, in int8."""
    rng, rows = np.random.default_rng(seed), ref.GATES[kind] * HIDDEN
    ih, hh = (rng.standard_normal((rows, n)).astype(f32) / 4 for n in (INPUTS, HIDDEN))
    biases = [rng.standard_normal(rows).astype(f32) for _ in range(2)]
    unit = SixBits(kind, "qrnn", ih if float_ih else ref.weight_qrnn(ih), ref.weight_qrnn(hh), *biases)
    return unit, *(rng.standard_normal((BATCH, n)).astype(f32) for n in (INPUTS, HIDDEN))


def pack(unit, isa, sequence=None, of_h=("u6",)):
    module = _core.Module()
    ih = unit.ih[:2] if isinstance(unit.ih, ref.Weight) else (unit.ih, None)
    module._pack(unit.kind, "qrnn", isa, (*ih, unit.bias_ih), (*unit.hh[:2], unit.bias_hh, *of_h), sequence=sequence)
    return module


@pytest.mark.parametrize("float_ih", [True, False], ids=["float32 W_ih", "int8 W_ih"])
@pytest.mark.parametrize("kind", ["rnn_tanh", "gru"])
def test_a_cell_is_the_reference(kind, float_ih, isa):
    """W_ih and its product in float32, or in int8 with 8 bits of x; W_hh in int8 with 6 bits of h."""
    unit, x, h = case(kind, 0, float_ih)
    got = pack(unit, isa)(x, h)
    assert_same_bits(got, unit.step(x, (h,))[0])
    eight = pack(unit, isa, of_h=())(x, h)
    assert_same_bits(eight, ref.Unit(*unit).step(x, (h,))[0])
    assert 0 < np.abs(got - eight).max() < 0.1


@pytest.mark.parametrize("float_ih", [True, False], ids=["float32 W_ih", "int8 W_ih"])
def test_a_layer_is_its_steps(float_ih, isa):
    unit, x, h = case("gru", 1, float_ih)
    steps = np.stack([x, x[::-1], -x])
    output, last = pack(unit, isa, (1, 1, False))(steps, h[None])
    for x, got in zip(steps, output, strict=True):
        (h,) = unit.step(x, (h,))
        assert_same_bits(got, h)
    assert_same_bits(last[0], h)


def test_rows_by_themselves(isa):
    """A row that is not finite, one of zeros, and one too small for a scale."""
    unit, x, h = case("rnn_tanh", 2, False)
    h[0, 3], h[1], h[2] = np.inf, 0, 1e-40
    got = pack(unit, isa)(x, h)
    assert_same_bits(got, unit.step(x, (h,))[0])
    assert np.isnan(got[0]).all() and np.isfinite(got[1:]).all()


def test_float_weights_do_not_meet_it():
    unit, _, _ = case("rnn_tanh", 3, True)
    with pytest.raises(ValueError, match="no kernel multiplies"):
        _core.Module()._pack("rnn_tanh", "qrnn", None, (unit.ih, None, None, "u6"), (*unit.hh[:2], None))
