"""Modules that readers of other frameworks made come back from files whole, without those packages."""

from __future__ import annotations

import json

import numpy as np
import pytest
from support import assert_same_bits, leaves, run_python
from support.safetensors_files import as_bytes, assert_same_arrays, parts

import qrnn
import qrnn.keras
import qrnn.onnx
from qrnn import nn
from qrnn._graph import Choice, Graph, Step
from qrnn._module_rows import READERS, reader_type

pytestmark = pytest.mark.filterwarnings("error")
ENGINES = (None, "qrnn", "qrnn13", "fbgemm", "qnnpack", "onednn")


def of_onnx(layer, layout=0, **constants):
    return qrnn.onnx.RecurrentNode(layer, layout, {"X": "frames"}, {"Y": "all", "Y_h": "last"}, **constants)


def graph():
    """An encoder whose last state chooses between two heads."""
    heads = [Graph(["x"], ["y"], [Step(("x",), ("y",), module="fc")], {"fc": nn.Linear(4, 2)}) for _ in range(2)]
    return Graph(
        {"frames": "float32"},
        ["scores", "all"],
        [
            Step(("frames",), ("all", "last"), module="gru"),
            Step(("last",), ("mean",), function="reduce_mean", options={"keepdims": 0}),
            Step(("mean", "zero"), ("positive",), function="greater"),
            Step(("positive", "last", "last"), ("head",), module="choice"),
            Step(("head", "gain"), ("scores",), function="mul"),
        ],
        {"gru": nn.GRU(5, 4), "choice": Choice(*heads)},
        {"zero": np.float32(0), "gain": np.arange(2, dtype=np.float32)},
    )


#: Modules by the kind of their row, each with the shape of an input.
CASES = {
    "onnx.RecurrentNode": [
        (lambda: of_onnx(nn.GRU(5, 4, bidirectional=True)), (6, 3, 5)),
        (lambda: of_onnx(nn.RNN(5, 4, batch_first=True, bias=False), 1, sequence_lens=[2, 6, 1]), (3, 6, 5)),
        (lambda: of_onnx(nn.LSTM(5, 4), initial_c=np.full((1, 3, 4), 0.5)), (6, 3, 5)),
    ],
    "keras.RecurrentLayer": [
        (lambda: qrnn.keras.RecurrentLayer(nn.GRU(5, 4, batch_first=True), return_state=True), (3, 6, 5)),
        (
            lambda: qrnn.keras.RecurrentLayer(
                nn.LSTM(5, 4, batch_first=True, bidirectional=True), return_sequences=True, merge_mode="ave"
            ),
            (3, 6, 5),
        ),
    ],
    "keras.Model": [(lambda: qrnn.keras.Model({"layer": nn.Linear(5, 4)}), (3, 5))],
    "keras.TimeDistributed": [(lambda: qrnn.keras.TimeDistributed(nn.Linear(5, 4)), (3, 6, 5))],
}
CASES["_graph.Graph"] = [(lambda: graph(), (6, 3, 5))]
#: Those in which nothing is quantized.
PLAIN = {
    "_graph.Choice": [],
    "keras.Activation": [
        (lambda: qrnn.keras.Activation("relu", (None, 0.1, 0.2)), (3, 5)),
        (lambda: qrnn.keras.Activation("gelu"), (3, 5)),
    ],
    "keras.Convolution": [
        (lambda: qrnn.keras.Convolution(nn.Conv1d(5, 4, 3, padding="causal"), "causal"), (3, 6, 5)),
        (lambda: qrnn.keras.Convolution(nn.Conv1d(5, 4, 3, stride=2), "same"), (3, 6, 5)),
    ],
    "keras.Embedding": [(lambda: qrnn.keras.Embedding(nn.Embedding(9, 4), True), None)],
    "keras.GlobalPooling": [(lambda: qrnn.keras.GlobalPooling("max", True), (3, 6, 5))],
    "keras.MaskedSoftmax": [(lambda: qrnn.keras.MaskedSoftmax(1), (3, 5))],
    "keras.Masking": [(lambda: qrnn.keras.Masking(0.5), (3, 6, 5))],
    "keras.Normalization": [
        (lambda: qrnn.keras.Normalization(nn.BatchNorm1d(5), 2), (3, 6, 5)),
        (lambda: qrnn.keras.Normalization(nn.LayerNorm((6, 5)), (1, 2)), (3, 6, 5)),
    ],
    "keras.Permute": [(lambda: qrnn.keras.Permute((2, 1)), (3, 6, 5))],
    "keras.Pooling": [(lambda: qrnn.keras.Pooling("max", 2, 2, "same"), (3, 5, 5))],
    "keras.Repeat": [(lambda: qrnn.keras.Repeat(3), (3, 5))],
    "keras.Reshape": [(lambda: qrnn.keras.Reshape((5, -1)), (3, 6, 5))],
}
PLAIN_ONES = [pytest.param(*case, id=f"{kind}-{i}") for kind, cases in PLAIN.items() for i, case in enumerate(cases)]
ALL = [pytest.param(*case, id=f"{kind}-{i}") for kind, cases in CASES.items() for i, case in enumerate(cases)]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.safetensors"


def input_of(shape):
    if shape is None:
        return np.arange(6).reshape(2, 3)
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def assert_same(got, want, x):
    assert type(got) is type(want) and repr(got) == repr(want)
    assert_same_arrays(got.state_dict(), want.state_dict())
    for one, other in zip(leaves(got(x)), leaves(want(x)), strict=True):
        assert_same_bits(one, other)


def test_every_row_has_cases():
    assert {*CASES, *PLAIN} == set(READERS)
    for kind, cases in {**CASES, **PLAIN}.items():
        assert all(type(make()) is reader_type(kind) for make, _ in cases)


@pytest.mark.parametrize("make, shape", ALL)
@pytest.mark.parametrize("engine", ENGINES)
def test_round_trips(path, make, shape, engine):
    model = make()
    model = model if engine is None else qrnn.quantize_dynamic(model, engine=engine)
    qrnn.save(model, path)
    again = qrnn.load(path)
    assert_same(again, model, input_of(shape))
    kept = {key: value for key, value in vars(model).items() if not isinstance(value, np.ndarray)}
    kept = {key: value for key, value in kept.items() if key != "training" and not isinstance(value, nn.Module)}
    assert {key: vars(again)[key] for key in kept} == kept
    assert_same(qrnn.load(path, into=again), model, input_of(shape))


@pytest.mark.parametrize("make, shape", PLAIN_ONES)
def test_round_trips_of_what_stays(path, make, shape):
    qrnn.save(model := make(), path)
    assert_same(qrnn.load(path), model, input_of(shape))


@pytest.mark.parametrize("make, shape", ALL)
def test_calibrated(path, make, shape):
    prepared = qrnn.prepare(make(), qconfig={}, inplace=False)
    prepared(input_of(shape))
    model = qrnn.convert(prepared)
    qrnn.save(model, path)
    again = qrnn.load(path)
    assert_same(again, model, input_of(shape))
    assert list(qrnn.quantization.calibration_report(again)) == list(qrnn.quantization.calibration_report(model))


def test_inside_of_others(path):
    """In containers, one in another, and twice."""
    layer = qrnn.GRU(5, 4)
    model = nn.ModuleDict({"a": nn.ModuleList([of_onnx(layer), of_onnx(nn.GRU(5, 4))]), "b": of_onnx(layer)})
    qrnn.save(model, path)
    again = qrnn.load(path)
    assert repr(again) == repr(model) and again["a"][0].layer is again["b"].layer
    assert_same(again["a"][1], model["a"][1], input_of((6, 3, 5)))


def test_without_the_packages(path):
    """Reading one imports neither them nor what reads the other framework."""
    qrnn.save(of_onnx(nn.GRU(5, 4)), path)
    program = f"""
import sys, qrnn
assert not {{"qrnn.onnx", "qrnn.keras"}} & set(sys.modules)
assert type(qrnn.load({str(path)!r})).__name__ == "RecurrentNode"
assert not {{"onnx", "qrnn.keras", "torch"}} & set(sys.modules)
"""
    run_python(program)


def test_what_differs_is_named(path):
    qrnn.save(of_onnx(nn.GRU(5, 4)), path)
    into = qrnn.onnx.RecurrentNode(nn.GRU(5, 4))  # names of a graph change no result
    qrnn.load(path, into=into)
    with pytest.raises(RuntimeError, match="the model: expected layout 1, got 0"):
        qrnn.load(path, into=of_onnx(nn.GRU(5, 4, batch_first=True), 1))
    with pytest.raises(RuntimeError, match=r"expected kind 'keras.RecurrentLayer', got 'onnx.RecurrentNode'"):
        qrnn.load(path, into=qrnn.keras.RecurrentLayer(nn.GRU(5, 4, batch_first=True)))


class Subclass(qrnn.onnx.RecurrentNode):
    pass


def test_a_subclass_is_the_users(path):
    qrnn.save(Subclass(nn.GRU(5, 4)), path)
    with pytest.raises(qrnn.FormatError, match="expected into=, a model to load into"):
        qrnn.load(path)


def entry(**values):
    return lambda modules: modules[0][1].update(values)


BAD = {
    "an option of another type": (entry(layout="0"), "the model: .* layout: expected 0 or 1, got '0'"),
    "an option that the layer contradicts": (entry(layout=1), "layer: expected batch_first=True for layout=1"),
    "names that are none": (entry(inputs=[1]), "inputs: expected a mapping of str to str, got list"),
    "no option": (
        lambda modules: modules[0][1].pop("layout"),
        "expected the options of onnx.RecurrentNode, and layout",
    ),
    "another option": (entry(merge_mode=None), "and merge_mode is not in both"),
    "another module in the layer's place": (
        lambda modules: modules.insert(1, ["other", {"kind": "Tanh"}]),
        "unexpected keyword argument 'other'",
    ),
    "a kind of no row": (entry(kind="onnx.read_node"), "expected a kind of this version, got 'onnx.read_node'"),
    "a module of ours": (entry(kind="_files.save"), "expected a kind of this version"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_descriptions(path, case):
    qrnn.save(of_onnx(nn.GRU(5, 4)), path)
    change, text = BAD[case]
    header, data = parts(path)
    described = json.loads(header["__metadata__"]["qrnn"])
    change(described["modules"])
    header["__metadata__"]["qrnn"] = json.dumps(described)
    path.write_bytes(as_bytes(header, data))
    with pytest.raises(qrnn.FormatError, match=text):
        qrnn.load(path)


def test_bad_parts(path):
    """A module without its layer, and with one that it cannot have."""
    for make, text in (
        (lambda: nn.Sequential(), "missing 1 required positional argument: 'layer'"),
        (lambda: nn.Sequential({"layer": nn.Linear(5, 4)}), "expected an RNN, GRU or LSTM of qrnn, got Linear"),
        (lambda: nn.Sequential({"layer": nn.GRU(5, 4, 2)}), "expected one of num_layers=1, got 2"),
    ):
        qrnn.save(make(), path)
        header, data = parts(path)
        described = json.loads(header["__metadata__"]["qrnn"])
        described["modules"][0][1] = {"kind": "onnx.RecurrentNode", "layout": 0, "inputs": {}, "outputs": {}}
        header["__metadata__"]["qrnn"] = json.dumps(described)
        path.write_bytes(as_bytes(header, data))
        with pytest.raises(qrnn.FormatError, match=text):
            qrnn.load(path)


BAD_GRAPHS = {
    "no dict": ({"inputs": ["frames"]}, "expected inputs, a dict"),
    "another type": ({"inputs": {"frames": "complex"}}, "expected a type of"),
    "a function that there is not": (
        {"steps": [[["frames"], ["all"], "", "eval", {}]]},
        "function of this version, got ''",
    ),
    "a module that there is not": (
        {"steps": [[["frames"], ["all"], "no", "", {}]], "outputs": ["all"]},
        "no module is named 'no'",
    ),
    "no steps": ({"steps": [1]}, "expected the parts of Graph"),
    "a number for a name": ({"steps": [[["frames"], [5], "gru", "", {}]], "outputs": [5]}, "names that are str, got 5"),
    "an output of no step": ({"outputs": ["nothing"]}, "no step gives 'nothing'"),
}


@pytest.mark.parametrize("case", BAD_GRAPHS)
def test_bad_graphs(path, case):
    qrnn.save(graph(), path)
    change, text = BAD_GRAPHS[case]
    header, data = parts(path)
    described = json.loads(header["__metadata__"]["qrnn"])
    described["modules"][0][1].update(change)
    header["__metadata__"]["qrnn"] = json.dumps(described)
    path.write_bytes(as_bytes(header, data))
    with pytest.raises(qrnn.FormatError, match=text):
        qrnn.load(path)


@pytest.mark.parametrize(
    "arguments, error, text",
    [
        ({"layer": nn.GRUCell(5, 4)}, TypeError, "layer: expected an RNN, GRU or LSTM of qrnn, got GRUCell"),
        ({"layout": 2}, ValueError, "layout: expected 0 or 1, got 2"),
        ({"inputs": {"X": 1}}, TypeError, "inputs: expected a mapping of str to str, got 1 in it"),
        ({"sequence_lens": [0.5]}, ValueError, "sequence_lens: expected integers in 1 dimensions, got float64"),
        ({"initial_h": [1.0]}, ValueError, "initial_h: expected numbers in 3 dimensions, got float64 of shape"),
    ],
)
def test_bad_arguments_of_nodes(arguments, error, text):
    with pytest.raises(error, match=text):
        qrnn.onnx.RecurrentNode(**{"layer": nn.GRU(5, 4), **arguments})


def test_bad_arguments_of_layers():
    with pytest.raises(TypeError, match="stateful: expected a bool, got int"):
        qrnn.keras.RecurrentLayer(nn.GRU(5, 4, batch_first=True), stateful=1)
