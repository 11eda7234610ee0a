"""TensorFlow Lite files: a writer of them, random models of fused operators, and their equations in float64."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest

flatbuffers = pytest.importorskip("flatbuffers", reason="FLATBUFFERS IS NOT INSTALLED: readers of TFLite not tested")
_REASON = "AI-EDGE-LITERT IS NOT INSTALLED: the reader of TFLite files was not tested"
interpreter = pytest.importorskip("ai_edge_litert.interpreter", reason=_REASON)
from ai_edge_litert import schema_py_generated as schema

#: The tables of options whose names differ from the operator's.
_OPTIONS = {
    "UNIDIRECTIONAL_SEQUENCE_RNN": "SequenceRNNOptions",
    "BIDIRECTIONAL_SEQUENCE_RNN": "BidirectionalSequenceRNNOptions",
    "UNIDIRECTIONAL_SEQUENCE_LSTM": "UnidirectionalSequenceLSTMOptions",
    "BIDIRECTIONAL_SEQUENCE_LSTM": "BidirectionalSequenceLSTMOptions",
    "BATCH_MATMUL": "BatchMatMulOptions",
    "LEAKY_RELU": "LeakyReluOptions",
    "MEAN": "ReducerOptions",
    "SUM": "ReducerOptions",
    "REDUCE_MAX": "ReducerOptions",
    "LOGISTIC": None,
    "TANH": None,
    "RELU": None,
    "RELU6": None,
}
_TYPES = {"float32": 0, "float16": 1, "int32": 2, "uint8": 3, "int64": 4, "bool": 6, "int16": 7, "int8": 9}


class Writer:
    """Writes graphs of tensors and operators; the first graph is the model."""

    def __init__(self):
        self._buffers, self._codes, self._graphs = [schema.BufferT()], [], []
        self.graph()

    def graph(self):
        """Begin another graph; return its number."""
        made = schema.SubGraphT()
        made.tensors, made.operators, made.inputs, made.outputs = [], [], [], []
        self._graphs.append(made)
        return len(self._graphs) - 1

    def tensor(self, name, shape=None, array=None, *, scale=None, zero=0, kind="float32", variable=False, axis=0):
        """Add a tensor to the last graph, a constant if there is an array; return its number."""
        made = schema.TensorT()
        if array is not None:
            array = np.asarray(array, order="C")
            shape, kind = array.shape if shape is None else shape, array.dtype.name
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(array.tobytes(), np.uint8)
            made.buffer = len(self._buffers)
            self._buffers.append(buffer)
        else:
            made.buffer = 0
        made.name, made.shape, made.isVariable, made.type = name, list(shape), variable, _TYPES[kind]
        if scale is not None:
            made.quantization = schema.QuantizationParametersT()
            made.quantization.scale = [float(each) for each in np.atleast_1d(scale)]
            made.quantization.zeroPoint = [int(zero)] * len(made.quantization.scale)
            made.quantization.quantizedDimension = axis
        self._graphs[-1].tensors.append(made)
        return len(self._graphs[-1].tensors) - 1

    def operator(self, name, inputs, outputs, version=1, custom=None, **options):
        made = schema.OperatorT()
        made.inputs, made.outputs = list(inputs), list(outputs)
        code = getattr(schema.BuiltinOperator, name)
        if (code, version, custom) not in self._codes:
            self._codes.append((code, version, custom))
        made.opcodeIndex = self._codes.index((code, version, custom))
        table = _OPTIONS.get(name, "".join(part.capitalize() for part in name.split("_")) + "Options")
        if table is not None and hasattr(schema, table + "T"):
            made.builtinOptionsType = getattr(schema.BuiltinOptions, table)
            made.builtinOptions = getattr(schema, table + "T")()
            for option, value in options.items():
                assert hasattr(made.builtinOptions, option), option
                setattr(made.builtinOptions, option, value)
        else:
            assert not options
        self._graphs[-1].operators.append(made)

    def ends(self, inputs, outputs):
        """Set the inputs and outputs of the last graph."""
        self._graphs[-1].inputs, self._graphs[-1].outputs = list(inputs), list(outputs)

    def content(self):
        model = schema.ModelT()
        model.version, model.subgraphs, model.buffers, model.operatorCodes = 3, self._graphs, self._buffers, []
        for code, version, custom in self._codes:
            made = schema.OperatorCodeT()
            made.builtinCode, made.deprecatedBuiltinCode, made.version = code, min(code, 127), version
            made.customCode = custom
            model.operatorCodes.append(made)
        builder = flatbuffers.Builder(1024)
        builder.Finish(model.Pack(builder), b"TFL3")
        return bytes(builder.Output())


def of_litert(content, *arrays):
    """Return the outputs of LiteRT; other tensors are not read, as they may be memory never written."""
    made = interpreter.Interpreter(model_content=content, num_threads=1)
    inputs = made.get_input_details()
    for detail, array in zip(inputs, arrays, strict=True):
        made.resize_tensor_input(detail["index"], array.shape)
    made.allocate_tensors()
    for detail, array in zip(inputs, arrays, strict=True):
        made.set_tensor(detail["index"], array)
    made.invoke()
    return [made.get_tensor(detail["index"]).copy() for detail in made.get_output_details()]


# ---- random models of one fused operator


class Case(NamedTuple):
    """A model: its bytes, an input, the weights used in computing, by direction, and options."""

    content: bytes
    x: np.ndarray
    weights: list
    options: dict
    int8: bool


#: Options of LSTMs to test, and the arguments with which TFLite has them.
LSTMS = {
    "plain": {},
    "batch first": {"time_major": False},
    "coupled": {"cifg": True},
    "peepholes": {"peepholes": True},
    "coupled with peepholes": {"cifg": True, "peepholes": True},
    "a projection": {"projection": 3},
    "a clipped projection": {"projection": 3, "proj_clip": 0.05, "peepholes": True},
    "a clipped cell": {"cell_clip": 0.2, "peepholes": True},
    "layer norm": {"layer_norm": True},
    "layer norm, coupled, a projection": {"layer_norm": True, "cifg": True, "projection": 2},
    "relu": {"activation": "RELU"},
}
PAIRS = {
    "both": {},
    "both, batch first": {"time_major": False, "merge": False},
    "both coupled with peepholes": {"cifg": True, "peepholes": True, "cell_clip": 0.3},
    "both with projections": {"projection": 3, "merge": False},
}
RNNS = {
    "tanh": {},
    "relu": {"activation": "RELU", "time_major": False},
    "linear": {"activation": "NONE"},
    "both": {"pair": True},
    "both, apart": {"pair": True, "merge": False, "activation": "RELU", "time_major": False},
}


class _Weights:
    """Draws weights, writes them, and keeps their values after rounding."""

    def __init__(self, rng, writer, int8):
        self.rng, self.writer, self.int8, self.values, self.codes = rng, writer, int8, {}, {}

    def draw(self, name, shape, scale, quantized=True, offset=0.0):
        """Add a tensor; return its number. Fully integer models have codes for vectors too, float16 ones halves."""
        array = (offset + scale * self.rng.standard_normal(shape)).astype(np.float32)
        if self.int8 == "integer" and len(shape) == 1:
            kind, most = (np.int32, 2**24) if name[0] == "b" else (np.int16, 2**15 - 1)
            step = np.float32(np.abs(array).max() / most)
            codes = np.rint(array / step).astype(kind)
            self.values[name] = (codes * step.astype(np.float64)).astype(np.float32)
            return self.writer.tensor(name, array=codes, scale=step)
        if self.int8 == "float16":
            half = array.astype(np.float16)
            self.values[name] = half.astype(np.float32)
            made = self.writer.tensor(name, shape)
            self.writer.operator("DEQUANTIZE", [self.writer.tensor(f"{name} half", array=half)], [made])
            return made
        if not (self.int8 and quantized):
            self.values[name] = array
            return self.writer.tensor(name, array=array)
        step = np.float32(np.abs(array).max() / 127)
        codes = np.clip(np.rint(array / step), -127, 127).astype(np.int8)
        self.values[name], self.codes[name] = codes * step, (codes, step)
        stored = codes.view(np.uint8) if self.int8 == "uint8" else codes
        return self.writer.tensor(name, array=stored, scale=step)


def _lstm_weights(weights, inputs, hidden, options):
    """Return the 17 inputs of an LSTM after x."""
    size = options.get("projection") or hidden
    gates, cifg = "ifgo", options.get("cifg", False)
    present = [gate for gate in gates if not (cifg and gate == "i")]

    def each(name, shape, scale, quantized=True, of=gates):
        return [weights.draw(name + gate, shape, scale, quantized) if gate in present else -1 for gate in of]

    found = each("w", (hidden, inputs), 0.5) + each("r", (hidden, size), 0.5)
    found += each("p", (hidden,), 0.4, of="ifo") if options.get("peepholes") else [-1] * 3
    found += each("b", (hidden,), 0.3, False)
    found += [weights.draw("projection", (size, hidden), 0.5), -1] if options.get("projection") else [-1, -1]
    return found, size


def lstm_case(rng, options, int8=False, pair=False, asymmetric=True):
    """Make a model of one LSTM in one or two directions."""
    steps, batch, inputs, hidden = (int(rng.integers(low, high)) for low, high in ((1, 6), (1, 4), (1, 6), (4, 8)))
    writer = Writer()
    major = options.get("time_major", True)
    x = rng.standard_normal((steps, batch, inputs) if major else (batch, steps, inputs)).astype(np.float32)
    integer, hybrid = int8 == "integer", bool(int8) and int8 not in ("integer", "float16")
    of_x = {"kind": "int8", "scale": 0.02, "zero": 3} if integer else {}
    given, directions, states = [writer.tensor("x", x.shape, **of_x)], [], []
    for _ in range(2 if pair else 1):
        weights = _Weights(rng, writer, int8)
        found, size = _lstm_weights(weights, inputs, hidden, options)
        given += found
        directions.append(weights)
        states += [(batch, size), (batch, hidden)]
    given += [writer.tensor(f"state {i}", shape, variable=True) for i, shape in enumerate(states)]
    if pair:
        given += [-1] * 9
    else:
        norm = options.get("layer_norm", False)
        cifg = options.get("cifg", False)
        given += [
            directions[0].draw("n" + gate, (hidden,), 0.2, False, 1.0) if norm and not (cifg and gate == "i") else -1
            for gate in "ifgo"
        ]
    merge = pair and options.get("merge", True)
    columns = [2 * size] if merge else [size] * len(directions)
    ends = [writer.tensor(f"y{i}", (*x.shape[:2], each), **of_x) for i, each in enumerate(columns)]
    named = {"cellClip": options.get("cell_clip", 0.0), "projClip": options.get("proj_clip", 0.0), "timeMajor": major}
    named["fusedActivationFunction"] = getattr(schema.ActivationFunctionType, options.get("activation", "TANH"))
    named["asymmetricQuantizeInputs"] = hybrid and asymmetric
    if pair:
        named["mergeOutputs"] = merge
    name = "BIDIRECTIONAL_SEQUENCE_LSTM" if pair else "UNIDIRECTIONAL_SEQUENCE_LSTM"
    writer.operator(name, given, ends, 3 if hybrid else 1, **named)
    writer.ends([0], ends)
    return Case(writer.content(), x, directions, options, hybrid)


def rnn_case(rng, options, int8=False):
    """Make a model of one RNN in one or two directions."""
    steps, batch, inputs, hidden = (int(rng.integers(low, high)) for low, high in ((1, 6), (1, 4), (1, 6), (2, 8)))
    writer, pair, major = Writer(), options.get("pair", False), options.get("time_major", True)
    x = rng.standard_normal((steps, batch, inputs) if major else (batch, steps, inputs)).astype(np.float32)
    given, directions = [writer.tensor("x", x.shape)], []
    for i in range(2 if pair else 1):
        weights = _Weights(rng, writer, int8)
        given += [weights.draw("w", (hidden, inputs), 0.5), weights.draw("r", (hidden, hidden), 0.4)]
        given += [weights.draw("b", (hidden,), 0.3, False)]
        given += [writer.tensor(f"state {i}", (batch, hidden), variable=True)]
        directions.append(weights)
    given += [-1] * 3 if pair else []
    merge = pair and options.get("merge", True)
    columns = [2 * hidden] if merge else [hidden] * len(directions)
    ends = [writer.tensor(f"y{i}", (*x.shape[:2], each)) for i, each in enumerate(columns)]
    named = {"timeMajor": major, "asymmetricQuantizeInputs": bool(int8)}
    named["fusedActivationFunction"] = getattr(schema.ActivationFunctionType, options.get("activation", "TANH"))
    if pair:
        named["mergeOutputs"] = merge
    name = "BIDIRECTIONAL_SEQUENCE_RNN" if pair else "UNIDIRECTIONAL_SEQUENCE_RNN"
    writer.operator(name, given, ends, 3 if int8 else 1, **named)
    writer.ends([0], ends)
    return Case(writer.content(), x, directions, {**options, "rnn": True}, bool(int8))


# ---- the equations, in float64


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


_FUNCTIONS = {"TANH": np.tanh, "RELU": lambda x: np.maximum(x, 0), "NONE": lambda x: x}


def _lstm_step(values, options, x, h, c):
    function = _FUNCTIONS[options.get("activation", "TANH")]

    def gate(name, cell=None):
        total = x @ values["w" + name].T + h @ values["r" + name].T
        if cell is not None and options.get("peepholes"):
            total = total + cell * values["p" + name]
        if options.get("layer_norm"):
            centered = total - total.mean(-1, keepdims=True)
            total = centered / np.sqrt((centered**2).mean(-1, keepdims=True) + 1e-8) * values["n" + name]
        return total + values["b" + name]

    f = sigmoid(gate("f", c))
    i = 1 - f if options.get("cifg") else sigmoid(gate("i", c))
    c = f * c + i * function(gate("g"))
    if options.get("cell_clip"):
        c = np.clip(c, -options["cell_clip"], options["cell_clip"])
    h = sigmoid(gate("o", c)) * function(c)
    if options.get("projection"):
        h = h @ values["projection"].T
        if options.get("proj_clip"):
            h = np.clip(h, -options["proj_clip"], options["proj_clip"])
    return h, c


def of_equations(case):
    """Compute the outputs in float64, from the weights that the file's codes stand for."""
    major = case.options.get("time_major", True)
    x = (case.x if major else case.x.swapaxes(0, 1)).astype(np.float64)
    found = []
    for backwards, weights in enumerate(case.weights):
        values = {name: array.astype(np.float64) for name, array in weights.values.items()}
        lstm = "rnn" not in case.options
        size = values["projection"].shape[0] if "projection" in values else values["rf" if lstm else "r"].shape[1]
        h = np.zeros((x.shape[1], size))
        c = np.zeros((x.shape[1], values["bf"].size)) if lstm else None
        outputs = [None] * len(x)
        for t in reversed(range(len(x))) if backwards else range(len(x)):
            if lstm:
                h, c = _lstm_step(values, case.options, x[t], h, c)
            else:
                total = x[t] @ values["w"].T + h @ values["r"].T + values["b"]
                h = _FUNCTIONS[case.options.get("activation", "TANH")](total)
            outputs[t] = h
        found.append(np.stack(outputs) if major else np.stack(outputs, axis=1))
    merges = len(found) == 2 and case.options.get("merge", True)
    return [np.concatenate(found, axis=-1)] if merges else found


def error(ours, theirs):
    """The largest difference, relative to max(1, |y|)."""
    return max(np.max(np.abs(a - b) / np.maximum(1, np.abs(b)), initial=0) for a, b in zip(ours, theirs, strict=True))
