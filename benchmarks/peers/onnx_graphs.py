"""ONNX models of one layer, as bytes: the float operators, and int8 graphs.

PyTorch orders gates i f g o and r z n, ONNX i o f c and z r h. In every model the batch is the middle axis.
"""

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from .base import quantize_rows, reordered, state_names

GATES = {"rnn": (0,), "lstm": (0, 3, 1, 2), "gru": (1, 0, 2)}
INT8_GATES = {"rnn": (0,), "lstm": (0, 1, 3, 2), "gru": (0, 1, 2)}  # the gates with a sigmoid side by side
OPERATORS = {"rnn": "RNN", "lstm": "LSTM", "gru": "GRU"}


def value(name, shape):
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def model(nodes, inputs, outputs, constants):
    """Make a model; inputs and outputs are {name: shape}, constants {name: array}."""
    graph = helper.make_graph(
        nodes,
        "layer",
        [value(*i) for i in inputs.items()],
        [value(*o) for o in outputs.items()],
        [numpy_helper.from_array(np.ascontiguousarray(a), name) for name, a in constants.items()],
    )
    made = helper.make_model(
        graph, ir_version=7, opset_imports=[helper.make_opsetid("", 14), helper.make_opsetid("com.microsoft", 1)]
    )
    return made.SerializeToString()


def float_layer(kind, weights, steps, batch, states):
    """Make a model of the operator RNN, LSTM or GRU: x -> y or, with `states`, x, h (, c) -> h1 (, c1)."""
    inputs, size = weights["weight_ih"].shape[1], weights["weight_hh"].shape[1]
    w, r, b_w, b_r = (
        reordered(kind, weights[n], GATES)[None] for n in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    )
    constants = {"W": w, "R": r, "B": np.concatenate([b_w, b_r], axis=1)}
    shape = (steps, batch, inputs, size)
    return _layer(kind, OPERATORS[kind], ["x", "W", "R", "B"], constants, shape, states)


def int8_lstm(weights, steps, batch, states):
    """Make a model of ONNX Runtime's DynamicQuantizeLSTM, with one scale for each output of a matrix."""
    inputs, size = weights["weight_ih"].shape[1], weights["weight_hh"].shape[1]
    b = np.concatenate([reordered("lstm", weights[n], GATES) for n in ("bias_ih", "bias_hh")])[None]
    constants = {"B": b}
    for name, key in (("W", "weight_ih"), ("R", "weight_hh")):
        codes, scale = quantize_rows(reordered("lstm", weights[key], GATES))
        constants |= {
            name: codes.T[None],
            f"{name}_scale": scale[None],
            f"{name}_zero": np.zeros((1, len(scale)), np.int8),
        }
    return _layer("lstm", "DynamicQuantizeLSTM", ["x", "W", "R", "B"], constants, (steps, batch, inputs, size), states)


def _layer(kind, operator, arguments, constants, shape, states):
    steps, batch, inputs, size = shape
    lstm, state = kind == "lstm", (1, batch, size)
    quantized = operator.startswith("Dynamic")
    given, made = {"x": (steps, batch, inputs)}, {}
    if states:
        given |= {"h": state} | ({"c": state} if lstm else {})
        made = {"h1": state} | ({"c1": state} if lstm else {})
        arguments = [*arguments, "", "h", *(["c"] if lstm else [])]
        results = ["", *made]
    else:
        made = {"y": (steps, 1, batch, size)}
        results = ["y"]
    if quantized:
        arguments = arguments + [""] * (8 - len(arguments))
        arguments += ["W_scale", "W_zero", "R_scale", "R_zero"]
    options = {"hidden_size": size}
    if kind == "gru":
        options["linear_before_reset"] = 1
    domain = "com.microsoft" if quantized else ""
    node = helper.make_node(operator, arguments, results, domain=domain, **options)
    return model([node], given, made, constants)


class Int8Graph:
    """A layer written as its equations, with dynamically quantized products.

    Gates are ordered so that one operator computes all sigmoids: i f o g and r z n. A name says how products are made:

    integer   DynamicQuantizeLinear, MatMulInteger and a scaling
    fused     ONNX Runtime's DynamicQuantizeMatMul
    weights   DequantizeLinear of the weights and MatMul, which OpenVINO fuses and quantizes itself
    """

    def __init__(self, kind, weights, products):
        self.kind, self.products = kind, products
        self.inputs, self.size = weights["weight_ih"].shape[1], weights["weight_hh"].shape[1]
        self.constants, self.nodes = {}, []
        b_ih, b_hh = (reordered(kind, weights[n], INT8_GATES) for n in ("bias_ih", "bias_hh"))
        if kind == "gru":  # r multiplies n's recurrent bias; the other biases may be summed
            keep = np.arange(len(b_hh)) >= 2 * self.size
            self.biases = {
                "x": b_ih + np.where(keep, 0, b_hh).astype(np.float32),
                "h": np.where(keep, b_hh, 0).astype(np.float32),
            }
        else:
            self.biases = {"x": b_ih + b_hh, "h": None}
        for name, key in (("x", "weight_ih"), ("h", "weight_hh")):
            codes, scale = quantize_rows(reordered(kind, weights[key], INT8_GATES))
            self.constants[f"{name}_codes"] = codes.T
            self.constants[f"{name}_scale"] = scale
            if self.biases[name] is not None:
                self.constants[f"{name}_bias"] = self.biases[name]
        sigmoids = 3 if kind == "lstm" else 2
        self.constants["halves"] = np.array([sigmoids * self.size, self.size], np.int64)
        self.constants["parts"] = np.array([self.size] * sigmoids, np.int64)

    def node(self, operator, inputs, outputs, **options):
        self.nodes.append(helper.make_node(operator, inputs.split(), outputs.split(), **options))

    def product(self, name, given, result):
        """Add nodes for result = given @ W.T (+ bias) with a quantized product."""
        bias = self.biases[name] is not None
        if self.products == "fused":
            arguments = f"{given} {name}_codes {name}_scale"
            self.nodes.append(
                helper.make_node(
                    "DynamicQuantizeMatMul",
                    [*arguments.split(), "", *([f"{name}_bias"] if bias else [])],
                    [result],
                    domain="com.microsoft",
                )
            )
            return
        p = f"{name}_"
        product = f"{p}y" if bias else result
        if self.products == "weights":
            self.node("DequantizeLinear", f"{p}codes {p}scale", f"{p}real", axis=1)
            self.node("MatMul", f"{given} {p}real", product)
        else:
            self.node("DynamicQuantizeLinear", given, f"{p}q {p}s {p}zp")
            self.node("MatMulInteger", f"{p}q {p}codes {p}zp", f"{p}acc")
            self.node("Cast", f"{p}acc", f"{p}real", to=TensorProto.FLOAT)
            self.node("Mul", f"{p}s {p}scale", f"{p}both")
            self.node("Mul", f"{p}real {p}both", product)
        if bias:
            self.node("Add", f"{p}y {p}bias", result)

    def advance(self):
        """Add nodes for y, h (, c) -> h1 (, c1), where y is the product of x.

        y is always the second term of a sum: with y as the first, OpenVINO 2026.4 computes another sum in the Scan of
        an RNN (h is 68 % off).
        """
        self.product("h", "h", "yh")
        if self.kind == "rnn":
            self.node("Add", "yh y", "pre")
            self.node("Tanh", "pre", "h1")
        elif self.kind == "lstm":
            self.node("Add", "yh y", "pre")
            self.node("Split", "pre halves", "pre_ifo pre_g", axis=-1)
            self.node("Sigmoid", "pre_ifo", "ifo")
            self.node("Split", "ifo parts", "i f o", axis=-1)
            self.node("Tanh", "pre_g", "g")
            self.node("Mul", "f c", "kept")
            self.node("Mul", "i g", "new")
            self.node("Add", "kept new", "c1")
            self.node("Tanh", "c1", "tanh_c")
            self.node("Mul", "o tanh_c", "h1")
        else:
            self.node("Split", "y halves", "y_rz y_n", axis=-1)
            self.node("Split", "yh halves", "yh_rz yh_n", axis=-1)
            self.node("Add", "yh_rz y_rz", "pre_rz")
            self.node("Sigmoid", "pre_rz", "rz")
            self.node("Split", "rz parts", "r z", axis=-1)
            self.node("Mul", "r yh_n", "reset")
            self.node("Add", "y_n reset", "pre_n")
            self.node("Tanh", "pre_n", "n")
            self.node("Sub", "h n", "gap")
            self.node("Mul", "z gap", "part")
            self.node("Add", "n part", "h1")

    def states(self, batch):
        shape = (batch, self.size)
        names = state_names(self.kind)
        return dict.fromkeys(names, shape), {f"{n}1": shape for n in names}

    def one_step(self, batch):
        """Make the model x, h (, c) -> h1 (, c1), all [batch, size]."""
        self.product("x", "x", "y")
        self.advance()
        given, made = self.states(batch)
        return model(self.nodes, {"x": (batch, self.inputs)} | given, made, self.constants)

    def whole(self, steps, batch):
        """Make the model x [steps, batch, inputs] -> y_all [steps, batch, size]: a product of x, and a Scan over h."""
        self.product("x", "x", "from_x")
        outside, self.nodes = self.nodes, []
        self.advance()
        self.node("Identity", "h1", "h_out")
        given, made = self.states(batch)
        rows = len(self.constants["x_scale"])
        body = helper.make_graph(
            self.nodes,
            "step",
            [value(*i) for i in given.items()] + [value("y", (batch, rows))],
            [value(*o) for o in made.items()] + [value("h_out", (batch, self.size))],
        )
        zeros = {f"{n}0": np.zeros((batch, self.size), np.float32) for n in given}
        scan = helper.make_node(
            "Scan", [*zeros, "from_x"], [*(f"{n}_last" for n in given), "y_all"], body=body, num_scan_inputs=1
        )
        return model(
            [*outside, scan],
            {"x": (steps, batch, self.inputs)},
            {"y_all": (steps, batch, self.size)},
            self.constants | zeros,
        )
