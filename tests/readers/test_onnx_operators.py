"""Each operator that a Graph computes beside onnxruntime: values, types and shapes, for inputs and for constants."""

from __future__ import annotations

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="ONNX IS NOT INSTALLED: its operators were not compared")
pytest.importorskip("onnxruntime", reason="ONNXRUNTIME IS NOT INSTALLED: ONNX's operators were not compared")
from onnx import helper, numpy_helper
from support.onnx_models import Model, of_onnxruntime

import qrnn.onnx
from qrnn.onnx._operators import OPERATORS

RNG = np.random.default_rng(0)
X = RNG.standard_normal((2, 3, 4)).astype(np.float32)
Y = RNG.standard_normal((3, 1)).astype(np.float32)
POSITIVE, N, M = np.abs(X) + 0.1, RNG.integers(-9, 9, (2, 3)), RNG.integers(1, 5, (2, 3))
P, Q = X > 0, X[:1] > 0.5


class Constant:
    """An input that is an initializer."""

    def __init__(self, value, kind=np.int64):
        self.array = np.asarray(value, kind)


C = Constant
ONE = [(name, [X], {}) for name in ("Abs", "Ceil", "Cos", "Erf", "Exp", "Floor", "Neg", "Sign", "Sin", "Relu", "Tanh")]
ONE += [
    (name, [X], {}) for name in ("Sigmoid", "Softplus", "Softsign", "HardSwish", "Selu", "Elu", "LeakyRelu", "Shape")
]
ONE += [(name, [POSITIVE], {}) for name in ("Log", "Reciprocal", "Sqrt", "Size", "Identity")]
ONE += [("Round", [np.float32([0.5, 1.5, -2.5, 2.4])], {}), ("Not", [P], {}), ("Neg", [N], {}), ("Abs", [N], {})]
TWO = [(name, [X, Y], {}) for name in ("Add", "Sub", "Mul", "Div", "Less", "Greater", "LessOrEqual", "GreaterOrEqual")]
TWO += [(name, [P, Q], {}) for name in ("And", "Or", "Xor")] + [("Equal", [N, M], {}), ("Div", [N, M], {})]
TWO += [("Mod", [N, M], {}), ("Mod", [X, Y], {"fmod": 1}), ("Pow", [POSITIVE, Y], {}), ("PRelu", [X, Y], {})]
TWO += [("MatMul", [X, X.swapaxes(1, 2).copy()], {}), ("MatMul", [C(X[0].T, np.float32), X], {}), ("Sub", [N, M], {})]
MANY = [("Max", [X, Y, X[:1]], {}), ("Min", [X, Y], {}), ("Sum", [X, Y, X], {}), ("Where", [P, X, Y], {})]
MANY += [("Concat", [X, X[:, :1].copy()], {"axis": 1}), ("Concat", [N, M], {"axis": -1})]
SHAPES = [
    ("Reshape", [X, C([0, -1, 2])], {}),
    ("Reshape", [X, np.array([4, -1])], {}),
    ("Squeeze", [X[:1], C([0])], {}),
    ("Squeeze", [X[:1]], {}),
    ("Unsqueeze", [X, C([0, -1])], {}),
    ("Flatten", [X], {"axis": 2}),
    ("Flatten", [X], {"axis": -1}),
    ("Transpose", [X], {"perm": [2, 0, 1]}),
    ("Transpose", [X], {}),
    ("Expand", [Y, C([2, 1, 4])], {}),
    ("Tile", [X, C([1, 2, 1])], {}),
    ("Split", [X], {"axis": 2, "num_outputs": 3}),
    ("Split", [X, C([1, 2])], {"axis": 1}),
    ("Slice", [X, C([0, -1]), C([2**40, -3]), C([0, 2]), C([1, -1])], {}),
    ("Slice", [X, C([1]), C([3])], {}),
    ("Slice", [X, np.array([1]), np.array([3]), C([2])], {}),
    ("Gather", [X, C([[0, 2], [1, -1]])], {"axis": 1}),
    ("Gather", [X, C(1)], {"axis": 2}),
    ("Gather", [X, np.array([1, 0, 1])], {}),
    ("GatherElements", [X, np.array([[[0, 1, 1, 0]]])], {"axis": 1}),
    ("GatherND", [X, np.array([[0, 1], [1, 2]])], {}),
    ("Pad", [X, C([0, 1, 0, 0, 0, 2]), C(1.5, np.float32)], {}),
    ("Pad", [X, C([0, 1, 0, 0, 1, 0])], {"mode": "edge"}),
    ("Pad", [X, C([0, 1, 2, 0, 1, 0])], {"mode": "reflect"}),
    ("Shape", [X], {"start": 1, "end": -1}),
    ("ConstantOfShape", [np.array([2, 3])], {"value": numpy_helper.from_array(np.array([7], np.int64))}),
    ("Range", [np.array(1), np.array(9), C(3)], {}),
    ("ReverseSequence", [X, np.array([2, 1, 2])], {}),
    ("ReverseSequence", [X, np.array([3, 2])], {"batch_axis": 0, "time_axis": 1}),
]
REDUCED = [
    (f"Reduce{name}", [POSITIVE, C(axes)], {"keepdims": keep})
    for name in ("Max", "Mean", "Min", "Prod", "Sum", "L2", "SumSquare")
    for axes, keep in (([1], 1), ([0, -1], 0))
]
REDUCED += [("ReduceMean", [X], {}), ("ReduceSum", [N, C([0])], {}), ("ReduceSum", [X], {"noop_with_empty_axes": 1})]
REDUCED += [("ArgMax", [X], {"axis": -1, "keepdims": 0}), ("ArgMin", [N], {"axis": 1, "select_last_index": 1})]
OTHERS = [
    ("CumSum", [X, C(1)], {}),
    ("CumSum", [X, C(-1)], {"exclusive": 1, "reverse": 1}),
    ("Clip", [X, C(-0.5, np.float32), C(0.5, np.float32)], {}),
    ("Clip", [X, "", C(0.5, np.float32)], {}),
    ("Clip", [X, np.float32(0)], {}),
    ("Cast", [X], {"to": 6}),
    ("Cast", [N], {"to": 1}),
    ("Cast", [N], {"to": 9}),
    ("HardSigmoid", [X], {}),
    ("HardSigmoid", [X], {"alpha": 1 / 6}),
    ("Gelu", [X], {}),
    ("Gelu", [X], {"approximate": "tanh"}),
    ("Softmax", [X], {"axis": 1}),
    ("LogSoftmax", [X], {}),
    ("Dropout", [X], {}),
    ("LayerNormalization", [X, C(X[0, 0], np.float32), C(X[1, 0], np.float32)], {"axis": -1}),
    ("LayerNormalization", [X, C(X[0], np.float32)], {"axis": 1, "epsilon": 0.1}),
    ("Gemm", [X[0], C(X[1], np.float32), C(Y.T, np.float32)], {"transB": 1, "alpha": 0.5, "beta": 2.0}),
    ("Gemm", [X[0], C(X[1], np.float32), np.float32([[1], [2], [3], [4]])], {"transA": 1, "beta": 0.5}),
    ("Conv", [X, C(RNG.standard_normal((6, 1, 2)), np.float32)], {"group": 3, "dilations": [2], "strides": [2]}),
    ("Conv", [X, C(RNG.standard_normal((2, 3, 3)), np.float32), C([1, 2], np.float32)], {"pads": [1, 1]}),
]
CASES = [*ONE, *TWO, *MANY, *SHAPES, *REDUCED, *OTHERS]


def model_of(op_type, inputs, attributes):
    """A model of a node, with its arrays as inputs and its constants as initializers."""
    names, given, constants = [], {}, []
    for index, each in enumerate(inputs):
        names.append("" if isinstance(each, str) else f"x{index}")
        if isinstance(each, Constant):
            constants.append(numpy_helper.from_array(each.array, f"x{index}"))
        elif not isinstance(each, str):
            given[f"x{index}"] = np.asarray(each)
    outputs = [f"y{i}" for i in range({"Split": 3 if "num_outputs" in attributes else 2}.get(op_type, 1))]
    node = helper.make_node(op_type, names, outputs, **attributes)
    infos = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), [None] * array.ndim)
        for name, array in given.items()
    ]
    ends = [onnx.ValueInfoProto(name=name) for name in outputs]
    graph = helper.make_graph([node], "node", infos, ends, constants)
    return Model(op_type, helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9), given, 0)


def test_operators():
    for op_type, inputs, attributes in CASES:
        model, where = model_of(op_type, inputs, attributes), f"{op_type} {attributes}"
        read = qrnn.onnx.load(model.proto)
        assert read.module is not None, (where, read.missing)
        results = read.module(**model.inputs)
        results = results if isinstance(results, tuple) else (results,)
        for a, b in zip(results, of_onnxruntime(model), strict=True):
            assert a.shape == b.shape and a.dtype == b.dtype, (where, a.shape, a.dtype, b.shape, b.dtype)
            assert np.abs(a.astype(float) - b).max(initial=0) <= 2e-6 * max(1, np.abs(b).max(initial=0)), where


def test_all_operators_are_there():
    """But for a few that other tests have."""
    elsewhere = {"BatchNormalization", "Constant"}
    assert set(OPERATORS) <= {op_type for op_type, _, _ in CASES} | elsewhere


def test_constants_are_folded():
    """The same, of constants alone, is what the graph gives without a step."""
    for op_type, inputs, attributes in (*TWO, *SHAPES, *REDUCED):
        if op_type == "MatMul":
            continue
        constants = [each if isinstance(each, (Constant, str)) else Constant(each, each.dtype) for each in inputs]
        model = model_of(op_type, constants, attributes)
        read = qrnn.onnx.load(model.proto).module
        assert {step.function for step in read.steps} == {"identity"}, op_type
        results = read()
        results = results if isinstance(results, tuple) else (results,)
        for a, b in zip(results, of_onnxruntime(model), strict=True):
            assert a.shape == b.shape and a.dtype == b.dtype, op_type
            assert np.abs(a.astype(float) - b).max(initial=0) <= 2e-6 * max(1, np.abs(b).max(initial=0)), op_type
