"""Cells and Linears without units, as PyTorch makes them: results without columns, states that load, no sequence."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
from support.reference import ENGINES

import qrnn
from qrnn import nn

CELLS = ["RNNCell", "LSTMCell", "GRUCell"]
X = np.ones((2, 3), np.float32)


def shapes(result: Any) -> list[tuple[int, ...]]:
    return [each.shape for each in (result if isinstance(result, tuple) else (result,))]


def assert_without_columns(module: Any) -> None:
    """Calls, with a state and without, and every copy, give rows of no columns."""
    other = copy.deepcopy(module)
    other.load_state_dict(module.state_dict())
    for each in (module, other, pickle.loads(pickle.dumps(module))):
        result = each(X)
        assert set(shapes(result)) == {(2, 0)}
        if not isinstance(module, nn.Linear | qrnn.Linear):
            assert set(shapes(each(X, result))) == {(2, 0)}
            assert set(shapes(each(X[0]))) == {(0,)}


@pytest.mark.parametrize("name", [*CELLS, "Linear"])
def test_float_layers_without_units(name):
    assert_without_columns(getattr(nn, name)(3, 0))


@pytest.mark.parametrize("engine", [engine for engine in ENGINES if engine != "float32"])
@pytest.mark.parametrize("name", [*CELLS, "Linear"])
def test_quantized_layers_without_units(name, engine):
    quantized = getattr(qrnn, name)
    assert_without_columns(quantized(3, 0, engine=engine))
    found = quantized.from_float(getattr(nn, name)(3, 0), engine=engine)
    assert_without_columns(found)
    weight = found.get_weight()["weight" if name == "Linear" else "weight_hh"]
    assert weight.shape == ((0, 3) if name == "Linear" else (0, 0))
    assert weight.int_repr().dtype == np.int8
    per_row = engine in ("qrnn", "qrnn13")
    scales = weight.q_per_channel_scales() if per_row else weight.q_scale()
    assert np.shape(scales) == ((0,) if per_row else ())


def test_a_cell_without_units_goes_through_prepare_and_convert():
    model = nn.Sequential(nn.GRUCell(3, 0, reset_after=False))
    prepared = qrnn.prepare(model, qconfig={}, inplace=False)
    prepared(X)
    assert qrnn.convert(prepared)(X).shape == (2, 0)


@pytest.mark.parametrize("package", [nn, qrnn])
@pytest.mark.parametrize("name", ["RNN", "LSTM", "GRU"])
def test_sequences_need_units(package, name):
    with pytest.raises(ValueError, match="hidden_size must be greater than zero"):
        getattr(package, name)(3, 0)


def test_what_is_wrong_is_still_said():
    cell = qrnn.LSTMCell(3, 0)
    with pytest.raises(RuntimeError, match="got 4, expected 3"):
        cell(np.ones((2, 4), np.float32))
    with pytest.raises(RuntimeError, match="hidden_size: got 1, expected 0"):
        cell(X, (np.ones((2, 1), np.float32), np.ones((2, 0), np.float32)))
    with pytest.raises(ValueError, match="hidden_size: expected at least 0, got -1"):
        nn.RNNCell(3, -1)
