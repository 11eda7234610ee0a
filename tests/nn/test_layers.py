"""The layers of qrnn.nn that are no sequences: activations, linear layers, cells."""

from __future__ import annotations

import numpy as np
import pytest
from support import assert_same_bits, leaves, needs_torch, ulps
from support import reference as ref
from support.layers import CELLS, OPTIONS, ids, inputs_of, make

import qrnn
from qrnn import nn
from qrnn.nn.quantized import dynamic as qd

f32 = np.float32


# ---------------------------------------------------------------------------------------------------
# Layers
# ---------------------------------------------------------------------------------------------------
def test_activations():
    x = np.linspace(-9, 9, 1001, dtype=f32).reshape(7, 143)
    assert_same_bits(nn.ReLU()(x), np.maximum(x, 0))
    assert ulps(nn.Tanh()(x), ref.tanh(x)).max() <= 2
    assert ulps(nn.Sigmoid()(x), (1 / (1 + np.exp(-x.astype(float)))).astype(f32)).max() <= 2
    assert nn.Identity(1, a=2)(x) is x and nn.Dropout(0.5)(x) is x
    assert nn.ReLU()([-1, 2]).tolist() == [0, 2]
    for p in (-0.1, 1.5):
        with pytest.raises(ValueError, match="dropout"):
            nn.Dropout(p)


def test_relu_in_place():
    x = np.array([-1, 2], f32)
    assert nn.ReLU(inplace=True)(x) is x and x.tolist() == [0, 2]


@needs_torch
def test_relu_in_place_of_tensors():
    import torch

    relu = nn.ReLU(inplace=True)
    for x in (torch.tensor([[-1.0, 2.0], [3.0, -4.0]]), torch.tensor([[-1.0, 3.0], [2.0, -4.0]]).T):
        assert relu(x) is x and x.tolist() == [[0, 2], [3, 0]]
    weight, x = torch.ones(2, requires_grad=True), torch.ones(2)
    y = (weight * x).sum()
    relu(x)
    with pytest.raises(RuntimeError, match="inplace operation"):  # autograd knows that x changed
        y.backward()
    for bad in (
        torch.ones(2, dtype=torch.float64),
        torch.ones(2, dtype=torch.bfloat16),
        torch.ones(2, requires_grad=True),
        torch.ones(1).expand(2),
    ):
        with pytest.raises(ValueError, match="^input: expected a .*tensor.*inplace=True"):
            relu(bad)
    with pytest.raises(TypeError, match="^input: expected an array of real numbers"):
        relu(torch.ones(2, device="meta"))


def test_relu_in_place_of_what_cannot_be_written_over():
    relu, fixed = nn.ReLU(inplace=True), np.ones(3, f32)
    fixed.flags.writeable = False
    for bad in (np.ones(3), fixed, np.ones((3, 4), f32)[:, ::2]):
        with pytest.raises(ValueError, match="^input: expected .*inplace=True.*, got"):
            relu(bad)
    for bad in ([1.0], None, "x", 3):
        with pytest.raises(TypeError, match="^input: expected .* got"):
            relu(bad)


@pytest.mark.parametrize("name, options", [(name, options) for name in CELLS for options in OPTIONS[name]], ids=ids)
def test_float_cells(name, options):
    """Attributes, shapes, and the values of the float64 reference."""
    cell = make(name, options)
    gates = ref.GATES[cell.kind]
    assert cell.weight_ih.shape == (4 * gates, 5) and cell.weight_hh.shape == (4 * gates, 4)
    assert cell.bias is options["bias"] and (cell.bias_ih is not None) == options["bias"]
    assert getattr(cell, "nonlinearity", None) == options.get("nonlinearity")
    assert (cell.input_size, cell.hidden_size) == (5, 4)
    unit = ref.Unit(cell.kind, "float64", cell.weight_ih, cell.weight_hh, cell.bias_ih, cell.bias_hh)
    x, hx = inputs_of(cell)
    state = leaves(hx)
    for got, want in zip(leaves(cell(x, hx)), unit.step(x, state), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)
        assert got.shape == (3, 4) and got.dtype == f32


def test_assignment_packs_anew():
    cell = nn.RNNCell(3, 2)
    x = np.ones((1, 3), f32)
    cell.weight_ih, cell.weight_hh = [[1, 2, 3], [0, 0, 0]], np.zeros((2, 2))
    cell.bias_ih, cell.bias_hh = [0, 1], [0, 0]
    np.testing.assert_allclose(cell(x), np.tanh([[6, 1]]), rtol=1e-6)
    source = np.ones((2, 3), f32)
    cell.weight_ih = source
    source[:] = 5
    assert (cell.weight_ih == 1).all(), "the module keeps its own copy"


def test_new_weights():
    """Uniform in +-1/sqrt(hidden_size), from the generator that manual_seed seeds."""
    for build in (lambda: nn.RNNCell(50, 64), lambda: nn.Linear(64, 50)):
        qrnn.manual_seed(5)
        a = build().state_dict()
        b = build().state_dict()
        qrnn.manual_seed(5)
        again = build().state_dict()
        for name, value in a.items():
            assert_same_bits(value, again[name])
            assert not (value == b[name]).all()
            assert np.abs(value).max() <= 1 / 8
        assert np.abs(a["weight_hh" if "weight_hh" in a else "weight"]).max() > 0.12
    qrnn.manual_seed(6)
    q = qd.RNNCell(50, 64).get_weight()["weight_hh"].dequantize()
    qrnn.manual_seed(6)
    assert_same_bits(q, qd.RNNCell.from_float(nn.RNNCell(50, 64)).get_weight()["weight_hh"].dequantize())
