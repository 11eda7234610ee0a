"""Graphs of named values: calls, modules inside of them, what is refused. Functions: readers/test_onnx_models.py."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import support

import qrnn
import qrnn.nn as nn
from qrnn._graph import Graph, Step

RNG = np.random.default_rng(0)


def model():
    """A cell in two steps, whose one module is called twice, and a head."""
    return Graph(
        {"x": "float32", "h": "float32", "c": "float32", "word": "int64"},
        ["c2", "y"],
        [
            Step(("word",), ("row",), module="table"),
            Step(("x", "row"), ("x1",), function="add"),
            Step(("x1", ("h", "c")), ("h1", "c1"), module="cell"),
            Step(("x", ("h1", "c1")), ("h2", "c2"), module="cell"),
            Step(("h2", "gain"), ("wide",), function="mul"),
            Step(("wide",), ("y",), module="fc"),
        ],
        {"table": nn.Embedding(5, 4), "cell": nn.LSTMCell(4, 3), "fc": nn.Linear(3, 2)},
        {"gain": np.float32([1, 2, 3])},
    )


def inputs():
    return [RNG.standard_normal((2, size), dtype=np.float32) for size in (4, 3, 3)] + [np.array([1, 4])]


def test_calls():
    graph, (x, h, c, word) = model(), inputs()
    c2, y = graph(x, h, c, word)
    h1, c1 = graph.cell(x + graph.table(word), (h, c))
    wanted_h, wanted_c = graph.cell(x, (h1, c1))
    support.assert_same_bits(c2, wanted_c)
    support.assert_same_bits(y, graph.fc(wanted_h * np.float32([1, 2, 3])))
    for other in (copy.deepcopy(graph), pickle.loads(pickle.dumps(graph))):
        support.assert_same_bits(other(x, h, word=word, c=c)[1], y)
    assert graph(x.tolist(), h.astype(np.float64), c, [1, 4])[1].dtype == np.float32


def test_it_is_a_model_like_others():
    graph, args = model(), inputs()
    assert [name for name, _ in graph.named_modules()] == ["", "table", "cell", "fc"]
    assert list(graph.state_dict())[:2] == ["gain", "table.weight"]
    quantized = qrnn.quantize_dynamic(graph)
    assert isinstance(quantized.cell, qrnn.LSTMCell) and isinstance(quantized.fc, qrnn.Linear)
    assert 0 < np.abs(quantized(*args)[1] - graph(*args)[1]).max() < 0.1
    prepared = qrnn.prepare(graph, qconfig={}, inplace=False)
    prepared(*args)
    assert np.abs(qrnn.convert(prepared)(*args)[1] - graph(*args)[1]).max() < 0.1
    other = model()
    other.load_state_dict(graph.state_dict())
    support.assert_same_bits(other(*args)[1], graph(*args)[1])
    assert "word: int64 -> c2, y, 6 steps" in repr(graph)


def test_plain_data_make_it_again():
    graph, args = model(), inputs()
    again = Graph(
        graph.inputs, list(graph.outputs), [list(step) for step in graph.steps], constants={"gain": graph.gain}
    )
    for name, child in graph.named_children():
        again.add_module(name, child)
    support.assert_same_bits(again(*args)[1], graph(*args)[1])


def test_refused():
    add = Step(("x", "x"), ("y",), function="add")
    for args, text in (
        ((["x"], ["y"], [Step(("z",), ("y",), function="abs")]), "step 0 takes 'z', which nothing before it gives"),
        ((["x"], ["y"], [add, add]), "step 1 gives 'y', which is given already"),
        ((["x"], ["z"], [add]), "no step gives 'z'"),
        ((["x"], ["y"], [Step(("x",), ("y",), function="eval")]), "expected a module or a function of this version"),
        ((["x"], ["y"], [Step(("x",), ("y",))]), "expected a module or a function of this version"),
        (({"x": "text"}, ["x"], []), "inputs: 'x': expected a type of bool, .*, got 'text'"),
        ((["x"], ["x"], [], {}, {"a.b": [1]}), "constants: expected a name without dots"),
        ((["x"], ["x"], [], {}, {"forward": [1]}), "constants: expected a name without dots"),
        ((["x"], ["x"], [], {}, {"x": [1]}), "inputs: expected names that are not empty and no constant's"),
    ):
        with pytest.raises(ValueError, match=text):
            Graph(*args)
    graph = Graph({"x": "float32", "n": "int64"}, ["y"], [add, Step(("y",), ("z",), module="absent")])
    for args, kwargs, error, text in (
        ((1, 2, 3), {}, TypeError, "expected 2 inputs at most, got 3"),
        ((1,), {}, TypeError, "expected the inputs 'n', got none"),
        ((1, 2), {"x": 1}, TypeError, "input 'x' is given twice"),
        ((1, 2), {"a": 1}, TypeError, "input 'a' is none of 'x', 'n'"),
        ((1, 0.5), {}, TypeError, "n: expected int64, got float64"),
        (("text", 1), {}, TypeError, "x: expected an array of real numbers, got str"),
        ((1, 2), {}, ValueError, "no module is named 'absent'"),
    ):
        with pytest.raises(error, match=text):
            graph(*args, **kwargs)
    wrong = Graph(["a", "b"], ["c"], [Step(("a", "b"), ("c",), function="add")])
    with pytest.raises(ValueError, match=r"add of a \(2,\), b \(3,\): operands could not be broadcast"):
        wrong(np.ones(2), np.ones(3))


def test_tensors_stay_tensors():
    torch = pytest.importorskip("torch", reason="PYTORCH IS NOT INSTALLED: tensors in graphs were not tested")
    results = model()(*map(torch.from_numpy, inputs()))
    assert all(isinstance(each, torch.Tensor) for each in results)
