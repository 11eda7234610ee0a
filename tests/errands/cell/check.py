"""Minimal gated units as users meet them: in float, prepared, converted, saved, on every instruction set.

Their bits are those of the reference: the suite's tests of kinds have taken the new one from it.
"""

import pickle

import numpy as np
import pytest
from qrnn._minimal_gru import MinimalGRU, MinimalGRUCell, QuantizedMinimalGRU, QuantizedMinimalGRUCell
from support import assert_same_bits
from support import reference as ref

import qrnn
from qrnn import nn

f32 = np.float32
X = np.random.default_rng(3).standard_normal((6, 5, 7)).astype(f32)


def reference_of(cell, engine):
    """The reference's unit with the weights of a float cell."""
    weights = [cell.weight_ih, cell.weight_hh]
    if engine in ref.ROW_ENGINES:
        weights = [ref.weight_qrnn(w) for w in weights]
    return ref.Unit("minimal_gru", engine, *weights, cell.bias_ih, cell.bias_hh)


@pytest.mark.parametrize("engine", ["float32", "qrnn"])
def test_a_cell_is_the_reference(engine, isa):
    cell = MinimalGRUCell(7, 33, isa=isa)
    made = cell if engine == "float32" else QuantizedMinimalGRUCell.from_float(cell, isa=isa)
    assert made.isa == isa
    h, want = None, (np.zeros((5, 33), f32),)
    for x in X:
        h, want = made(x, h), reference_of(cell, engine).step(x, want)
        assert_same_bits(h, want[0])


@pytest.mark.parametrize("engine", qrnn.backends.quantized.supported_engines)
def test_prepare_and_convert(engine):
    model = nn.Sequential(MinimalGRUCell(7, 33), nn.Linear(33, 4))
    prepared = qrnn.prepare(model, qconfig={}, engine=engine)
    prepared(X[0])
    converted = qrnn.convert(prepared)
    assert type(converted[0]) is QuantizedMinimalGRUCell and converted[0].engine == engine
    assert_same_bits(converted(X[0]), qrnn.quantize_dynamic(model, engine=engine)(X[0]))
    assert np.abs(converted(X[0]) - model(X[0])).max() < 0.05


@pytest.mark.parametrize("bidirectional", [False, True])
def test_a_sequence_is_its_steps(bidirectional):
    layer = QuantizedMinimalGRU.from_float(MinimalGRU(7, 33, num_layers=2, bidirectional=bidirectional))
    output, h_n = layer(X, lengths=[6, 5, 4, 3, 2])
    assert output.shape == (6, 5, 66 if bidirectional else 33) and len(h_n) == (4 if bidirectional else 2)
    again = pickle.loads(pickle.dumps(layer))
    assert_same_bits(again(X, lengths=[6, 5, 4, 3, 2])[0], output)
    other = QuantizedMinimalGRU(7, 33, num_layers=2, bidirectional=bidirectional)
    other.load_state_dict(layer.state_dict())
    assert_same_bits(other(X, lengths=[6, 5, 4, 3, 2])[0], output)
    assert sorted(layer.state_dict()) == sorted(other.state_dict())
