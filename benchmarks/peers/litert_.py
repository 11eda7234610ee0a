"""LiteRT: models of one operator, UNIDIRECTIONAL_SEQUENCE_RNN or _LSTM, written as flatbuffers.

The models are float or "hybrid": int8 weights with one scale for each matrix, and activations quantized at run time,
symmetric or asymmetric. The only bias is b_ih + b_hh. There is no GRU. PyTorch's gates i f g o are TFLite's i f c o.
"""

import itertools

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

from .base import Peer

SIDES = ("weight_ih", "weight_hh")


class Model:
    """A model of tensors and one operator, packed into bytes."""

    def __init__(self):
        self.buffers, self.tensors = [schema.BufferT()], []

    def tensor(self, name, shape, array=None, scale=None, variable=False):
        """Add a float32 tensor, or an int8 one with a scale; return its index."""
        made = schema.TensorT()
        made.name, made.shape, made.isVariable, made.buffer = name, list(shape), variable, 0
        made.type = schema.TensorType.FLOAT32 if scale is None else schema.TensorType.INT8
        if array is not None:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(np.ascontiguousarray(array).tobytes(), np.uint8)
            made.buffer = len(self.buffers)
            self.buffers.append(buffer)
        if scale is not None:
            made.quantization = schema.QuantizationParametersT()
            made.quantization.scale, made.quantization.zeroPoint = [float(scale)], [0]
        self.tensors.append(made)
        return len(self.tensors) - 1

    def matrix(self, name, array, int8):
        if not int8:
            return self.tensor(name, array.shape, array)
        scale = np.abs(array).max() / 127
        return self.tensor(name, array.shape, np.rint(array / scale).astype(np.int8), scale)

    def packed(self, code, version, options_type, options, inputs, x, y):
        operator = schema.OperatorT()
        operator.opcodeIndex, operator.inputs, operator.outputs = 0, inputs, [y]
        operator.builtinOptionsType, operator.builtinOptions = options_type, options
        graph = schema.SubGraphT()
        graph.tensors, graph.inputs, graph.outputs, graph.operators = self.tensors, [x], [y], [operator]
        kind = schema.OperatorCodeT()
        kind.builtinCode = kind.deprecatedBuiltinCode = code
        kind.version = version
        model = schema.ModelT()
        model.version, model.operatorCodes, model.subgraphs, model.buffers = 3, [kind], [graph], self.buffers
        builder = flatbuffers.Builder(1024)
        builder.Finish(model.Pack(builder), b"TFL3")
        return bytes(builder.Output())


def rnn(weights, steps, batch, int8, asymmetric):
    model, (size, inputs) = Model(), weights["weight_ih"].shape
    x = model.tensor("x", (steps, batch, inputs))
    tensors = [
        x,
        *(model.matrix(name, weights[name], int8) for name in SIDES),
        model.tensor("b", (size,), weights["bias_ih"] + weights["bias_hh"]),
        model.tensor("h", (batch, size), variable=True),
    ]
    y = model.tensor("y", (steps, batch, size))
    options = schema.SequenceRNNOptionsT()
    options.timeMajor, options.asymmetricQuantizeInputs = True, asymmetric
    options.fusedActivationFunction = schema.ActivationFunctionType.TANH
    return model.packed(
        schema.BuiltinOperator.UNIDIRECTIONAL_SEQUENCE_RNN,
        1 + int8 + asymmetric,
        schema.BuiltinOptions.SequenceRNNOptions,
        options,
        tensors,
        x,
        y,
    )


def lstm(weights, steps, batch, int8, asymmetric):
    model, inputs, size = Model(), weights["weight_ih"].shape[1], weights["weight_hh"].shape[1]
    x = model.tensor("x", (steps, batch, inputs))
    tensors = [x]
    for name in SIDES:
        tensors += [model.matrix(f"{name}{g}", w, int8) for g, w in enumerate(np.split(weights[name], 4))]
    tensors += [-1] * 3  # no peepholes
    biases = np.split(weights["bias_ih"] + weights["bias_hh"], 4)
    tensors += [model.tensor(f"b{g}", (size,), b) for g, b in enumerate(biases)]
    tensors += [-1] * 2  # no projection
    tensors += [model.tensor(name, (batch, size), variable=True) for name in "hc"]
    tensors += [-1] * 4  # no layer normalisation
    y = model.tensor("y", (steps, batch, size))
    options = schema.UnidirectionalSequenceLSTMOptionsT()
    options.timeMajor, options.asymmetricQuantizeInputs = True, asymmetric
    options.fusedActivationFunction = schema.ActivationFunctionType.TANH
    return model.packed(
        schema.BuiltinOperator.UNIDIRECTIONAL_SEQUENCE_LSTM,
        1 + int8 + asymmetric,
        schema.BuiltinOptions.UnidirectionalSequenceLSTMOptions,
        options,
        tensors,
        x,
        y,
    )


class LiteRT(Peer):
    name = "LiteRT f32"
    distribution = "ai-edge-litert"
    details = "UNIDIRECTIONAL_SEQUENCE_RNN and _LSTM"
    kinds = ("rnn", "lstm")
    int8 = asymmetric = False

    def interpreter(self, kind, weights, steps, batch):
        build = {"rnn": rnn, "lstm": lstm}[kind]
        made = Interpreter(
            model_content=build(weights, steps, batch, self.int8, self.asymmetric), num_threads=self.threads
        )
        made.allocate_tensors()
        x, y = made.get_input_details()[0]["index"], made.get_output_details()[0]["index"]
        return made, made.tensor(x), made.tensor(y)

    def sequence(self, kind, weights, xs):
        made, x, y = self.interpreter(kind, weights, *xs.shape[:2])
        x()[:] = xs

        def run(n):
            for _ in itertools.repeat(None, n):
                made.reset_all_variables()  # the state is zeros again
                made.invoke()
            return y()  # a view, which must be deleted before the next run

        return run

    def step(self, kind, weights, xs):
        """Return run(n): the state is a variable inside the model, x is copied in, and h is returned as a view."""
        made, _, y = self.interpreter(kind, weights, 1, xs.shape[1])
        made.reset_all_variables()
        x = made.get_input_details()[0]["index"]
        give, invoke = made.set_tensor, made.invoke
        inputs = itertools.cycle(list(xs[:, None]))

        def run(n):
            for value in itertools.islice(inputs, n):
                give(x, value)
                invoke()
                y()
            return y()[0].copy()

        return run


class LiteRTSymmetric(LiteRT):
    name = "LiteRT int8 sym"
    precision = "int8"
    details = "the same, hybrid, activations symmetric"
    int8 = True


class LiteRTAsymmetric(LiteRTSymmetric):
    name = "LiteRT int8"
    details = "the same, hybrid, activations asymmetric"
    asymmetric = True


PEERS = (LiteRT, LiteRTSymmetric, LiteRTAsymmetric)
