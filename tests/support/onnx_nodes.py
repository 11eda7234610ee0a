"""Recurrent nodes of ONNX: random ones, onnxruntime's results, and the specification's equations in float64."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="ONNX IS NOT INSTALLED: the reader of its nodes was not tested")
onnxruntime = pytest.importorskip(
    "onnxruntime", reason="ONNXRUNTIME IS NOT INSTALLED: the reader of ONNX nodes was not tested"
)
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

__all__ = ["ReferenceEvaluator"]

INPUTS = {
    "RNN": ("X", "W", "R", "B", "sequence_lens", "initial_h"),
    "GRU": ("X", "W", "R", "B", "sequence_lens", "initial_h"),
    "LSTM": ("X", "W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P"),
}
OUTPUTS = {"RNN": ("Y", "Y_h"), "GRU": ("Y", "Y_h"), "LSTM": ("Y", "Y_h", "Y_c")}
GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
DEFAULTS = {"RNN": ("Tanh",), "GRU": ("Sigmoid", "Tanh"), "LSTM": ("Sigmoid", "Tanh", "Tanh")}
WEIGHTS = ("W", "R", "B", "P")

#: Activations, with the alpha and beta of the tests.
ACTIVATIONS = {
    "Tanh": ((), ()),
    "Sigmoid": ((), ()),
    "Relu": ((), ()),
    "Softsign": ((), ()),
    "Softplus": ((), ()),
    "Elu": ((0.7,), ()),
    "LeakyRelu": ((0.1,), ()),
    "ThresholdedRelu": ((0.3,), ()),
    "Affine": ((0.5,), (0.2,)),
    "ScaledTanh": ((1.2,), (0.6,)),
    "HardSigmoid": ((0.3,), (0.4,)),
}


class Case(NamedTuple):
    """A node and its inputs, by ONNX's names; layout 0."""

    op_type: str
    attributes: dict
    arrays: dict

    def node(self, layout=0, **attributes):
        names = [name if name in self.arrays else "" for name in INPUTS[self.op_type]]
        outputs = OUTPUTS[self.op_type]
        attributes = {**self.attributes, **attributes, **({"layout": layout} if layout else {})}
        return helper.make_node(self.op_type, names, outputs, name="node", **attributes)

    def weights(self):
        return {name: numpy_helper.from_array(self.arrays[name], name) for name in WEIGHTS if name in self.arrays}

    def inputs(self):
        return {name: array for name, array in self.arrays.items() if name not in WEIGHTS}


def random_case(rng, op_type, attributes, *, optional=("B", "initial_h", "initial_c", "P", "sequence_lens")):
    """Make a case with random weights and sizes; inputs of `optional` that the operator has are included."""
    steps, batch, columns, hidden = (int(rng.integers(1, high)) for high in (6, 4, 6, 6))
    directions, gates = 2 if attributes.get("direction") == "bidirectional" else 1, GATES[op_type]
    shapes = {
        "X": (steps, batch, columns),
        "W": (directions, gates * hidden, columns),
        "R": (directions, gates * hidden, hidden),
        "B": (directions, 2 * gates * hidden),
        "initial_h": (directions, batch, hidden),
        "initial_c": (directions, batch, hidden),
        "P": (directions, 3 * hidden),
    }
    # Weights are small, because unbounded activations (of gates too) would amplify the rounding of float32.
    scale = {"W": 0.4, "R": 0.4 / np.sqrt(hidden), "B": 0.3, "P": 0.4, "initial_h": 0.6, "initial_c": 0.6}
    wanted = [name for name in INPUTS[op_type] if name in ("X", "W", "R") or name in optional]
    arrays = {
        name: (scale.get(name, 1.0) * rng.standard_normal(shapes[name])).astype(np.float32)
        for name in wanted
        if name in shapes
    }
    if "sequence_lens" in wanted:
        arrays["sequence_lens"] = rng.integers(1, steps + 1, batch).astype(np.int32)
    return Case(op_type, {"hidden_size": hidden, **attributes}, arrays)


def model_of(case, layout=0):
    """Make a model of the node alone, with the node's inputs except its weights."""
    kinds = {"sequence_lens": TensorProto.INT32}
    inputs = [
        helper.make_tensor_value_info(name, kinds.get(name, TensorProto.FLOAT), [None] * array.ndim)
        for name, array in case.inputs().items()
    ]
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in OUTPUTS[case.op_type]]
    graph = helper.make_graph([case.node(layout)], "node", inputs, outputs, list(case.weights().values()))
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)


def of_onnxruntime(case):
    """Return the outputs of onnxruntime: Y, Y_h and, for an LSTM, Y_c."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    session = onnxruntime.InferenceSession(
        model_of(case).SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return session.run(None, case.inputs())


# ---- the specification, in float64


def activation(name, alpha, beta):
    """An activation of the specification's list."""
    functions = {
        "Tanh": np.tanh,
        "Sigmoid": lambda x: 1 / (1 + np.exp(-x)),
        "Relu": lambda x: np.maximum(x, 0),
        "Softsign": lambda x: x / (1 + np.abs(x)),
        "Softplus": lambda x: np.logaddexp(x, 0),
        "Elu": lambda x: np.where(x < 0, alpha * np.expm1(np.minimum(x, 0)), x),
        "LeakyRelu": lambda x: np.where(x < 0, alpha * x, x),
        "ThresholdedRelu": lambda x: np.where(x > alpha, x, 0),  # the operator; RNN's text says >=
        "Affine": lambda x: alpha * x + beta,
        "ScaledTanh": lambda x: alpha * np.tanh(beta * x),
        "HardSigmoid": lambda x: np.clip(alpha * x + beta, 0, 1),
    }
    return functions[name]


def _activations(case, directions):
    """Return the activations of each direction; alphas and betas go, in order, to the functions that take one."""
    names = case.attributes.get("activations", DEFAULTS[case.op_type] * directions)
    alphas, betas = (iter(case.attributes.get(f"activation_{name}", ())) for name in ("alpha", "beta"))
    found = [
        activation(name, next(alphas) if ACTIVATIONS[name][0] else None, next(betas) if ACTIVATIONS[name][1] else None)
        for name in names
    ]
    each = len(DEFAULTS[case.op_type])
    return [found[i * each : (i + 1) * each] for i in range(directions)]


def _step(case, clip, functions, x, states, W, R, B, P):
    """One step of one row; the equations are those of the specification, with its names."""
    gates, parts = GATES[case.op_type], np.split
    (Wb, Rb), f = parts(B, 2), functions[0]
    if case.op_type == "RNN":
        (h,) = states
        return (f(clip(W @ x + R @ h + Wb + Rb)),)
    if case.op_type == "GRU":
        (h,), g = states, functions[1]
        (xz, xr, xh), (Rz, Rr, Rh), (bz, br, bh) = (parts(each, gates) for each in (W @ x + Wb, R, Rb))
        z, r = f(clip(xz + Rz @ h + bz)), f(clip(xr + Rr @ h + br))
        if case.attributes.get("linear_before_reset", 0):
            n = g(clip(xh + r * (Rh @ h + bh)))
        else:
            n = g(clip(xh + Rh @ (r * h) + bh))
        return ((1 - z) * n + z * h,)
    (h, c), (_, g, last) = states, functions
    (i, o, forget, n), (Pi, Po, Pf) = parts(W @ x + R @ h + Wb + Rb, gates), parts(P, 3)
    i = f(clip(i + Pi * c))
    forget = 1 - i if case.attributes.get("input_forget", 0) else f(clip(forget + Pf * c))
    c = forget * c + i * g(clip(n))
    return f(clip(o + Po * c)) * last(c), c


def of_specification(case):
    """Compute the specification's equations in float64: Y, Y_h and, for an LSTM, Y_c."""
    arrays = {name: array.astype(np.float64) for name, array in case.arrays.items() if name != "sequence_lens"}
    X, W, R = (arrays[name] for name in ("X", "W", "R"))
    (steps, batch, _), (directions, rows, hidden) = X.shape, R.shape
    lens = case.arrays.get("sequence_lens", [steps] * batch)
    clip, direction = case.attributes.get("clip"), case.attributes.get("direction", "forward")
    clipped = (lambda v: v) if clip is None else (lambda v: np.clip(v, -clip, clip))
    B = arrays.get("B", np.zeros((directions, 2 * rows)))
    P = arrays.get("P", np.zeros((directions, 3 * hidden)))
    zeros = np.zeros((directions, batch, hidden))
    states = [arrays.get(name, zeros) for name in ("initial_h", "initial_c")[: len(OUTPUTS[case.op_type]) - 1]]
    Y, last = np.zeros((steps, directions, batch, hidden)), [each.copy() for each in states]
    functions = _activations(case, directions)
    for d in range(directions):
        for row in range(batch):
            now, order = tuple(each[d, row] for each in states), range(lens[row])
            for t in reversed(order) if direction == "reverse" or d else order:
                now = _step(case, clipped, functions[d], X[t, row], now, W[d], R[d], B[d], P[d])
                Y[t, d, row] = now[0]
            for each, value in zip(last, now, strict=True):
                each[d, row] = value
    return [Y, *last]


def error(ours, theirs):
    """The largest difference, relative to max(1, |y|)."""
    return max(
        (np.max(np.abs(a - b) / np.maximum(1, np.abs(b)), initial=0) for a, b in zip(ours, theirs, strict=True)),
        default=0,
    )
