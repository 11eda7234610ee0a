"""qrnn.onnx without ONNX: nodes that are refused, by name, and what wrappers share with modules."""

from __future__ import annotations

import copy
import pickle
from types import SimpleNamespace

import numpy as np
import pytest

import qrnn
import qrnn.nn as nn
import qrnn.onnx

PARTS = {"RNN": 1, "GRU": 3, "LSTM": 4}
TYPES = {"f": 1, "i": 2, "s": 3, "floats": 6, "ints": 7, "strings": 8}


def attribute(name, value):
    """What an AttributeProto shows."""
    if isinstance(value, list):
        field = "strings" if value and isinstance(value[0], str) else "floats"
        value = [each.encode() for each in value] if field == "strings" else value
    else:
        field = {str: "s", int: "i", float: "f"}[type(value)]
        value = value.encode() if field == "s" else value
    return SimpleNamespace(name=name, type=TYPES[field], ref_attr_name="", **{field: value})


def node_of(op_type="LSTM", *, domain="", name="node", inputs="x w r b", outputs="y", **attributes):
    """What a NodeProto shows; "-" is an input or output that is left out."""
    names = [["" if each == "-" else each for each in text.split()] for text in (inputs, outputs)]
    found = [attribute(*each) for each in attributes.items()]
    return SimpleNamespace(op_type=op_type, domain=domain, name=name, input=names[0], output=names[1], attribute=found)


def constants(op_type="LSTM", directions=1):
    rng, rows = np.random.default_rng(0), 3 * PARTS.get(op_type, 4)
    shapes = {"w": (rows, 4), "r": (rows, 3), "b": (2 * rows,), "p": (9,)}
    return {name: 0.5 * rng.standard_normal((directions, *shape)) for name, shape in shapes.items()}


BAD_NODES = [
    ({"op_type": "Gemm"}, "Gemm 'node': op_type: expected RNN, GRU or LSTM, got 'Gemm'"),
    ({"op_type": "Gemm", "name": ""}, "^Gemm: op_type: expected RNN, GRU or LSTM, got 'Gemm'"),
    ({"domain": "com.microsoft"}, "LSTM 'node': domain: expected that of ONNX's own operators, got 'com.microsoft'"),
    ({"direction": "sideways"}, "LSTM 'node': direction: expected forward, reverse or bidirectional, got 'sideways'"),
    ({"direction": 1}, "LSTM 'node': attribute direction: expected type 3, got 2"),
    ({"linear_before_reset": 1}, "LSTM 'node': attribute linear_before_reset: LSTM has none of this name"),
    ({"op_type": "RNN", "input_forget": 1}, "RNN 'node': attribute input_forget: RNN has none of this name"),
    ({"dropout": 0.5}, "LSTM 'node': attribute dropout: LSTM has none of this name"),
    ({"clip": 0.0}, "LSTM 'node': clip: expected a positive number, got 0"),
    ({"clip": -1.0}, "LSTM 'node': clip: expected a positive number, got -1"),
    ({"clip": float("inf")}, "LSTM 'node': clip: expected a positive number, got inf"),
    ({"clip": float("nan")}, "LSTM 'node': clip: expected a positive number, got nan"),
    ({"layout": 2}, "LSTM 'node': layout: expected 0 or 1, got 2"),
    ({"input_forget": -1}, "LSTM 'node': input_forget: expected 0 or 1, got -1"),
    ({"hidden_size": 5}, "LSTM 'node': hidden_size: expected that of R, 3, got 5"),
    ({"activations": ["Tanh"]}, "LSTM 'node': activations: expected 3 for each of 1 directions, got 1"),
    ({"activations": ["Gelu", "Tanh", "Tanh"]}, "LSTM 'node': activations: expected one of tanh, .*, got 'Gelu'"),
    (
        {"activations": ["ScaledTanh", "Tanh", "Tanh"]},
        "activation_alpha of ScaledTanh: expected a number, because ONNX has no default",
    ),
    ({"activations": ["Linear", "Tanh", "Tanh"]}, "LSTM 'node': activations: expected one of .*, got 'Linear'"),
    (
        {"activations": ["ScaledTanh", "Tanh", "Tanh"], "activation_alpha": [1.0]},
        "activation_beta of ScaledTanh: expected a number, because ONNX has no default",
    ),
    (
        {"activations": ["Elu", "Tanh", "Tanh"], "activation_alpha": [1.0, 2.0]},
        "LSTM 'node': activation_alpha: expected a value for each of the activations Elu, Tanh, Tanh that takes one, "
        "1 at most, got 2",
    ),
    ({"activation_beta": [0.5]}, "activation_beta: expected a value for each .*, 0 at most, got 1"),
    (
        {"activations": ["Elu", "Tanh", "Tanh"], "activation_alpha": [float("nan")]},
        "activation_alpha of Elu: expected a finite number, got nan",
    ),
    ({"inputs": "x w"}, "LSTM 'node': R: expected this input, got none"),
    ({"inputs": "- w r"}, "LSTM 'node': X: expected this input, got none"),
    ({"inputs": "x w computed"}, "LSTM 'node': R: expected a constant, and 'computed' is none"),
    ({"inputs": "x w r computed"}, "LSTM 'node': B: expected a constant, and 'computed' is none"),
    ({"inputs": "x w r b - - - p more"}, "LSTM 'node': inputs: expected at most 8, got 9"),
    ({"outputs": "a b c d"}, "LSTM 'node': outputs: expected at most 3, got 4"),
    ({"direction": "bidirectional"}, r"LSTM 'node': R: expected shape \(2, any, any\), got \(1, 12, 3\)"),
]


@pytest.mark.parametrize("options, text", BAD_NODES)
def test_nodes(options, text):
    with pytest.raises(qrnn.FormatError, match=text):
        qrnn.onnx.read_node(node_of(**options), constants(options.get("op_type", "LSTM")))


def test_initializers_of_another_type():
    with pytest.raises(TypeError, match="initializers: expected a mapping, got list"):
        qrnn.onnx.read_node(node_of(), [])


def test_references_to_attributes_of_functions():
    node = node_of(layout=0)
    node.attribute[0].ref_attr_name = "outer"
    with pytest.raises(qrnn.FormatError, match="attribute layout: expected a value, got a reference to a function's"):
        qrnn.onnx.read_node(node, constants())


@pytest.mark.parametrize("op_type", PARTS)
def test_weights(op_type):
    good = constants(op_type)
    for name in ("w", "r", "b"):
        for bad, text in (
            (good[name][:, :-1], "expected shape"),
            (good[name][0], "expected shape"),
            (np.full(good[name].shape, np.inf), "expected finite values, got inf"),
            (np.ones(good[name].shape, np.int8), "expected floating-point values, got int8"),
            (None, "expected an array of real numbers, got None"),
        ):
            if op_type == "RNN" and name == "r" and "shape" in text:
                text = "|^RNN 'node': (R|W|B): ".join(["expected shape", "expected shape"])  # rows of R say the size
            with pytest.raises(qrnn.FormatError, match=f"^{op_type} 'node': {name.upper()}: {text}"):
                qrnn.onnx.read_node(node_of(op_type), {**good, name: bad})
    with pytest.raises(qrnn.FormatError, match="W: expected at least one column"):
        qrnn.onnx.read_node(node_of(op_type), {**good, "w": good["w"][..., :0]})


def test_what_the_layer_refuses():
    empty = {"w": np.ones((1, 0, 4)), "r": np.ones((1, 0, 0))}
    with pytest.raises(qrnn.FormatError, match="GRU 'node': hidden_size must be greater than zero"):
        qrnn.onnx.read_node(node_of("GRU", inputs="x w r"), empty)
    large = node_of(activations=["Elu", "Tanh", "Tanh"], activation_alpha=[1e39])
    with pytest.raises(qrnn.FormatError, match="LSTM 'node': activations: elu: expected a finite number, got 1e"):
        qrnn.onnx.read_node(large, constants())


def test_what_a_node_may_leave_out():
    """Trailing names that are empty, biases, outputs; an attribute from before opset 7."""
    given = constants("GRU")
    full = qrnn.onnx.read_node(node_of("GRU", inputs="x w r", output_sequence=0), given)
    same = qrnn.onnx.read_node(node_of("GRU", inputs="x w r - - - - -", outputs="- last -"), given)
    assert (full.inputs, full.outputs) == ({"X": "x"}, {"Y": "y"}) and not full.layer.bias
    assert (same.inputs, same.outputs) == ({"X": "x"}, {"Y_h": "last"})
    named = qrnn.onnx.read_node(node_of("GRU", inputs="x w r b lens h", outputs="y last"), given)
    assert named.inputs == {"X": "x", "sequence_lens": "lens", "initial_h": "h"}
    assert named.outputs == {"Y": "y", "Y_h": "last"} and named.initial_h is None
    default = node_of("GRU", activations=["sigmoid", "TANH"], direction="forward", hidden_size=3, layout=0)
    plain = qrnn.onnx.read_node(default, given).layer
    assert plain.describe() == nn.GRU(4, 3, reset_after=False).describe()  # no options
    relu = node_of("RNN", inputs="x w r b", activations=["Relu", "relu"], direction="bidirectional")
    relu = qrnn.onnx.read_node(relu, constants("RNN", 2)).layer
    assert relu.describe() == nn.RNN(4, 3, nonlinearity="relu", bidirectional=True).describe()


def test_constants_that_a_call_may_replace():
    rng, lens = np.random.default_rng(1), np.array([5, 2], np.int32)
    given = {**constants(), "lens": lens, "h": rng.standard_normal((1, 2, 3)).astype(np.float32)}
    node, x = node_of(inputs="x w r b lens h"), rng.standard_normal((5, 2, 4)).astype(np.float32)
    ours, bare = qrnn.onnx.read_node(node, given), qrnn.onnx.read_node(node, constants())
    assert (ours.sequence_lens == lens).all() and (ours.initial_h == given["h"]).all() and ours.initial_c is None
    for a, b in zip(ours(x), bare(x, lens, given["h"]), strict=True):
        assert (a == b).all()
    for a, b in zip(ours(x, [1, 5], 0 * given["h"]), bare(x, [1, 5]), strict=True):
        assert (a == b).all()
    (y, *_), c = bare(x, initial_c=np.ones((1, 2, 3))), np.ones((1, 2, 3), np.float32)
    assert (y == bare(x, initial_h=np.zeros((1, 2, 3)), initial_c=c)[0]).all()


def test_calls():
    gru = qrnn.onnx.read_node(node_of("GRU"), constants("GRU"))
    lstm = qrnn.onnx.read_node(node_of(layout=1), constants())
    x, state = np.zeros((5, 2, 4), np.float32), np.zeros((1, 2, 3))
    for call, error, text in (
        (lambda: gru(None), TypeError, "X: expected an array of real numbers, got None"),
        (lambda: gru(x[0]), ValueError, r"X: expected 3 dimensions, got shape \(2, 4\)"),
        (lambda: gru(x[..., :3]), RuntimeError, "input"),
        (lambda: gru(x, initial_c=state), TypeError, "initial_c: GRU has no such state"),
        (lambda: gru(x, initial_h=state[0]), ValueError, r"initial_h: expected 3 dimensions, got shape \(2, 3\)"),
        (lambda: gru(x, initial_h="h"), TypeError, "initial_h: expected an array of real numbers"),
        (lambda: gru(x, [1, 6]), ValueError, "lengths"),
        (
            lambda: lstm(x, initial_c=state),
            RuntimeError,
            "hidden",
        ),  # (directions, batch) where layout 1 has a batch of 5
    ):
        with pytest.raises(error, match=text):
            call()


def test_options_stay_in_int8():
    """Each option of a node is one of the layer, which keeps it."""
    options = {"clip": 0.5, "input_forget": 1, "activations": ["HardSigmoid", "Elu", "Softsign"], "layout": 1}
    node = node_of(inputs="x w r b - - - p", direction="reverse", **options)
    read, x = qrnn.onnx.read_node(node, constants()), np.ones((2, 5, 4), np.float32)
    shown = "peepholes=True, input_forget=True, reverse=True"
    assert shown in repr(read.layer) and shown in repr(quantized := qrnn.quantize_dynamic(read))
    assert 0 < max(np.max(np.abs(a - b)) for a, b in zip(quantized(x), read(x), strict=True)) < 0.05


def test_it_is_a_module():
    """Quantized, copied, pickled, and by its state."""
    rng = np.random.default_rng(2)
    given = {**constants("GRU", 2), "h": rng.standard_normal((2, 2, 3)).astype(np.float32)}
    node = qrnn.onnx.read_node(node_of("GRU", inputs="x w r b - h", direction="bidirectional"), given)
    x = rng.standard_normal((5, 2, 4)).astype(np.float32)
    for each in (copy.deepcopy(node), pickle.loads(pickle.dumps(node))):
        assert all((a == b).all() for a, b in zip(each(x), node(x), strict=True))
    prepared = qrnn.prepare(node, qconfig={}, inplace=False)
    assert np.max(np.abs(prepared(x)[0] - node(x)[0])) <= 1e-6  # observed
    calibrated = qrnn.convert(prepared)
    assert 0 < np.max(np.abs(calibrated(x)[0] - node(x)[0])) < 0.05
    quantized = qrnn.quantize_dynamic(node)
    assert type(quantized) is qrnn.onnx.RecurrentNode and quantized.layer.engine == "qrnn"
    assert 0 < np.max(np.abs(quantized(x)[0] - node(x)[0])) < 0.05
    layer = nn.GRU(4, 3, bidirectional=True, reset_after=False)
    again = qrnn.onnx.RecurrentNode(layer, initial_h=np.zeros((2, 2, 3), np.float32))
    again.load_state_dict(node.state_dict())
    assert (again(x)[0] == node(x)[0]).all()
