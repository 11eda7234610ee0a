"""Engine plain8: the codes of engine qrnn, a row at a time; sums become floats by two roundings; an exact tanh.

Its bits are those of the reference: the suite's tests of engines have taken the new one from it.
"""

import numpy as np
import pytest
from support import assert_same_bits
from support import reference as ref

import qrnn
from qrnn import nn

f32 = np.float32
X = np.random.default_rng(3).standard_normal((6, 5, 7)).astype(f32)


def test_it_is_known():
    assert "plain8" in qrnn.backends.quantized.supported_engines
    assert "plain8" in ref.ENGINES


def test_a_layer_is_the_reference(isa):
    cell = nn.LSTMCell(7, 33)
    made = qrnn.LSTMCell.from_float(cell, engine="plain8", isa=isa)
    weights = [ref.weight_qrnn(w) for w in (cell.weight_ih, cell.weight_hh)]
    unit = ref.Unit("lstm", "plain8", *weights, cell.bias_ih, cell.bias_hh)
    got, want = None, unit.zeros(5)
    for x in X:
        got, want = made(x, got), unit.step(x, want)
        for a, b in zip(got, want, strict=True):
            assert_same_bits(a, b)


def test_prepare_and_convert():
    model = nn.Sequential(nn.Linear(7, 9), nn.GRUCell(9, 33))
    with qrnn.engine("plain8"):
        converted = qrnn.convert(qrnn.prepare(model, qconfig={}))
    assert [layer.engine for layer in converted] == ["plain8", "plain8"]
    assert_same_bits(converted(X[0])[:1], converted(X[0, :1]))


def test_it_lacks_what_its_row_says():
    with pytest.raises(ValueError, match="reset_after: expected True with engine 'plain8'"):
        qrnn.GRU(4, 3, reset_after=False, engine="plain8")
