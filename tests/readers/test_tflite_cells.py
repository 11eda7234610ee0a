"""Cells of TensorFlow Lite that are unrolled or in a WHILE: LiteRT's results."""

from __future__ import annotations

import numpy as np
import pytest
from support.tflite_cells import BATCH, FAMILIES, HIDDEN, INPUTS, STEPS, as_codes, looped, unrolled, weights_of
from support.tflite_models import Writer, error, of_litert

import qrnn
import qrnn.tflite
from qrnn import nn

LIMIT = 2e-6


@pytest.fixture
def load(tmp_path):
    def loaded(content):
        (tmp_path / "model.tflite").write_bytes(content)
        return qrnn.tflite.load(tmp_path / "model.tflite")

    return loaded


def drawn(*shape):
    return np.random.default_rng(3).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize(("family", "option"), FAMILIES)
@pytest.mark.parametrize("seed", range(3))
def test_unrolled_cells(load, family, option, seed):
    """One cell for all steps, called step by step."""
    content, x = (
        unrolled(weights_of(np.random.default_rng(seed), family, option), family, option),
        drawn(BATCH, STEPS, 3),
    )
    found = load(content)
    (cell,) = found.layers.values()
    assert type(cell) is getattr(nn, f"{family}Cell") and found.missing == []
    assert [type(each) for each in found.module.modules()].count(type(cell)) == 1
    assert error(found.module(x), of_litert(content, x)) < LIMIT
    assert error(qrnn.quantize_dynamic(found.module)(x), of_litert(content, x)) < 0.05


@pytest.mark.parametrize(("family", "option"), FAMILIES)
def test_codes_of_cells(load, family, option):
    """Those of the file, row by row in PyTorch's order, and results within what both err by."""
    floats = weights_of(np.random.default_rng(5), family, option)
    weights = as_codes(floats)
    for content, x, kind in (
        (unrolled(weights, family, option), drawn(BATCH, STEPS, INPUTS), f"{family}Cell"),
        (looped(weights, family, option), drawn(STEPS, BATCH, INPUTS), family),
    ):
        found = load(content)
        (layer,) = found.layers.values()
        assert type(layer) is getattr(qrnn, kind)
        assert error(found.module(x), of_litert(content, x)) < 0.02
        own = layer.get_weight()["weight_ih" if "Cell" in kind else "weight_ih_l0"]
        codes, scale = weights["joined" if family == "LSTM" and option else "w"]
        parts = np.split(codes[:, :INPUTS], 4 if family == "LSTM" else 3)
        order = (0, 1, 2, 3) if family == "LSTM" else (1, 0, 2)
        np.testing.assert_array_equal(own.int_repr(), np.concatenate([parts[k] for k in order]))
        assert set(own.q_per_channel_scales().tolist()) == {float(scale)}


def test_steps_of_other_weights_are_other_cells(load):
    rng = np.random.default_rng(0)
    content = unrolled([weights_of(rng, "GRU", True) for _ in range(STEPS)], "GRU", True)
    x = drawn(BATCH, STEPS, INPUTS)
    assert len(load(content).layers) == STEPS
    assert error(load(content).module(x), of_litert(content, x)) < LIMIT


@pytest.mark.parametrize(("family", "option"), FAMILIES)
@pytest.mark.parametrize("first", [False, True])
def test_loops(load, tmp_path, family, option, first):
    """A layer over the whole sequence."""
    content = looped(weights_of(np.random.default_rng(1), family, option), family, option, first)
    states = [drawn(BATCH, HIDDEN) for _ in range(2 if family == "LSTM" else 1)] if first else []
    found = load(content)
    (layer,) = found.layers.values()
    assert type(layer) is getattr(nn, family) and found.missing == []
    x = drawn(STEPS, BATCH, INPUTS)
    assert error(found.module(x, *states), of_litert(content, x, *states)) < LIMIT
    assert qrnn.tflite.summary(tmp_path / "model.tflite").recurrent[0].operator == "WHILE"


@pytest.mark.parametrize("limit", [STEPS - 1, STEPS + 1])
def test_loops_that_stop_elsewhere_are_named(load, limit):
    """Their cells are there all the same."""
    found = load(looped(weights_of(np.random.default_rng(1), "GRU", True), "GRU", True, limit=limit))
    assert [type(each) for each in found.layers.values()] == [nn.GRUCell] and found.module is None
    assert found.missing[0].startswith(f"t: WHILE: expected as many steps as x has, of shape ({STEPS}, ")


def test_other_loops_are_named(load):
    writer = Writer()
    x, y = writer.tensor("x", (2, 4)), writer.tensor("y", (2, 4))
    writer.operator("WHILE", [x], [y], condSubgraphIndex=1, bodySubgraphIndex=2)
    writer.ends([x], [y])
    for kind, shape in (("bool", ()), ("float32", (2, 4))):
        writer.graph()
        value, result = writer.tensor("value", (2, 4)), writer.tensor("result", shape, kind=kind)
        writer.operator("TANH", [value], [result])
        writer.ends([value], [result])
    expected = ["y: WHILE: expected a body that is a step of one LSTM or GRU, as its equations are written"]
    assert load(writer.content()).missing == expected


def test_loops_inside_of_loops_are_named(load, tmp_path):
    writer = Writer()
    for number, (cond, body) in enumerate([(1, 2), (0, 0), (1, 1)]):
        if number:
            writer.graph()
        x, y = writer.tensor(f"x{number}", (2, 4)), writer.tensor(f"y{number}", (2, 4))
        if number == 1:
            writer.operator("TANH", [x], [y])
        else:
            writer.operator("WHILE", [x], [y], condSubgraphIndex=cond, bodySubgraphIndex=body)
        writer.ends([x], [y])
    assert [text[:3] for text in load(writer.content()).missing] == ["y0:", "y2:"]
    assert [each.name for each in qrnn.tflite.summary(tmp_path / "model.tflite").recurrent] == ["y0", "y2"]


def test_long_chains(load):
    """Thousands of sums behind a product: neither the time nor the depth grows out of bounds."""
    writer = Writer()
    x = value = writer.tensor("x", (2, 4))
    weight, one = (
        writer.tensor("w", array=np.eye(4, dtype=np.float32)),
        writer.tensor("one", array=np.ones(4, np.float32)),
    )
    for name, inputs in [("FULLY_CONNECTED", [weight, -1]), *[("ADD", [one])] * 2000, ("LOGISTIC", [])]:
        result = writer.tensor(name, (2, 4))
        writer.operator(name, [value, *inputs], [result])
        value = result
    gate, candidate, product = (writer.tensor(name, (2, 4)) for name in ("gate", "candidate", "product"))
    writer.operator("TANH", [value], [candidate])
    writer.operator("MUL", [value, candidate], [product])
    writer.operator("ADD", [product, product], [gate])
    writer.ends([x], [gate])
    assert load(writer.content()).module(np.zeros((2, 4))).shape == (2, 4)
