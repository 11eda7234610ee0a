"""Reads ONNX operators that are modules of ``qrnn.nn``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from .. import nn
from .._format_error import FormatError
from ._nodes import Node, Unsupported
from ._scope import Op

__all__ = ["MODULES"]


def _module(node: Node, module: nn.Module) -> None:
    node.scope.add(Op("module", node.inputs[:1], node.outputs[:1], {"module": module}, node.name))


def _plain(make: Callable[[], nn.Module]) -> Callable[[Node], None]:
    def converted(node: Node) -> None:
        node.expect()
        _module(node, make())

    return converted


def _leaky_relu(node: Node) -> None:
    _module(node, nn.LeakyReLU(node.number("alpha", 0.01)))


def _elu(node: Node) -> None:
    _module(node, nn.ELU(node.number("alpha", 1.0)))


def _softplus(node: Node) -> None:
    node.expect()
    _module(node, nn.Softplus(threshold=40.0))  # float32 shows no difference there; ONNX has no threshold


def _hard_sigmoid(node: Node) -> None:
    alpha, beta = node.number("alpha", 0.2), node.number("beta", 0.5)
    if np.float32(alpha) == np.float32(1 / 6) and beta == 0.5:
        return _module(node, nn.Hardsigmoid())
    return node.scope.add(Op("hard_sigmoid", node.inputs, node.outputs, {"alpha": alpha, "beta": beta}, node.name))


def _hard_swish(node: Node) -> None:
    inner = f"{node.outputs[0]}:hard_sigmoid"
    node.scope.add(Op("module", node.inputs, [inner], {"module": nn.Hardsigmoid()}, node.name))
    node.scope.add(Op("mul", [node.inputs[0], inner], node.outputs, {}, node.name))


def _softmax(cls: Any) -> Callable[[Node], None]:
    def converted(node: Node) -> None:
        axis = node.number("axis", -1 if node.opset >= 13 else 1)
        dims = node.scope.known_dims(node.proto.input[0])
        last = dims is not None and axis in (-1, len(dims) - 1)
        if node.opset >= 13 or last:
            return _module(node, cls(axis))
        # Before version 13 all dimensions from the axis on count as one.
        flat, made, shape = (f"{node.outputs[0]}:{name}" for name in ("flat", "made", "shape"))
        scope = node.scope
        scope.add(Op("shape", node.inputs, [shape], {}, node.name))
        scope.add(Op("flatten", node.inputs, [flat], {"axis": axis}, node.name))
        scope.add(Op("module", [flat], [made], {"module": cls(1)}, node.name))
        return scope.add(Op("reshape", [made, shape], node.outputs, {"allowzero": 1}, node.name))

    return converted


def _identity(node: Node) -> None:
    """Give a value another name. Dropout does nothing at inference; its mask is not computed."""
    if len(node.outputs) > 1 and node.outputs[1]:
        raise Unsupported("the output mask")
    node.scope.alias(node.outputs[0], node.inputs[0])


def _dropout(node: Node) -> None:
    training = node.constant(2)
    if node.given(2) and (training is None or training.any()):
        raise Unsupported("training_mode")
    _identity(node)


def _matmul(node: Node) -> None:
    weight = node.constant(1)
    if len(node.inputs) != 2:
        raise FormatError(f"{node.where}: expected 2 inputs, got {len(node.inputs)}")
    if weight is None or weight.ndim != 2 or weight.dtype.kind != "f" or node.constant(0) is not None:
        node.scope.add(Op("matmul", node.inputs, node.outputs, {}, node.name))
        return
    _linear(node, node.inputs[0], weight.T, None, node.outputs[0])


def _linear(node: Node, x: str, weight: Any, bias: Any, output: str) -> None:
    if min(weight.shape) == 0:
        raise Unsupported("a weight without elements")
    if not (np.isfinite(weight).all() and (bias is None or np.isfinite(bias).all())):
        raise FormatError(f"{node.where}: expected finite weights")
    node.scope.add(Op("linear", [x], [output], {"weight": weight, "bias": bias}, node.name))


def _gemm(node: Node) -> None:
    node.expect("alpha", "beta", "transA", "transB", "broadcast")
    alpha, beta = node.number("alpha", 1.0), node.number("beta", 1.0)
    weight, bias, x, scope, out = node.constant(1), node.constant(2), node.inputs[0], node.scope, node.outputs[0]
    if weight is None or weight.ndim != 2 or weight.dtype.kind != "f":
        raise Unsupported("a product of two values")
    weight = weight if node.number("transB", 0) else weight.T
    if alpha != 1:
        scope.file.make(weight.nbytes)
        weight = (weight * np.float32(alpha)).astype(np.float32)
    if node.number("transA", 0):
        scope.add(Op("transpose", [x], [f"{out}:x"], {"perm": [1, 0]}, node.name))
        x = f"{out}:x"
    added = node.inputs[2] if node.given(2) else ""
    if (
        bias is not None
        and bias.ndim <= 2
        and bias.size in (1, weight.shape[0])
        and (bias.ndim < 2 or bias.shape[0] == 1)
    ):
        row = bias.reshape(-1)
        if beta != 1 or row.size != weight.shape[0]:
            row = (np.broadcast_to(row, weight.shape[:1]) * np.float32(beta)).astype(np.float32)
        return _linear(node, x, weight, row, out)
    _linear(node, x, weight, None, f"{out}:product" if added else out)
    if added and beta != 1:
        scope.keep(f"{out}:beta", np.array(beta, np.float32))
        scope.add(Op("mul", [added, f"{out}:beta"], [f"{out}:added"], {}, node.name))
        added = f"{out}:added"
    if added:
        scope.add(Op("add", [f"{out}:product", added], [out], {}, node.name))
    return None


def _layer_norm(node: Node) -> None:
    node.expect("axis", "epsilon", "stash_type")
    scale, bias = node.constant(1), node.constant(2)
    if scale is None or (node.given(2) and bias is None) or any(node.outputs[1:]):
        raise Unsupported("a weight that is no constant, or the mean among its outputs")
    shape, axis = scale.shape, node.number("axis", -1)
    dims = node.scope.known_dims(node.proto.input[0])
    count = -axis if axis < 0 else len(dims) - axis if dims is not None else None
    if count != len(shape) or (bias is not None and bias.shape != shape) or not shape:
        raise Unsupported("an axis that is not that of its weight")
    layer = nn.LayerNorm(shape, node.number("epsilon", 1e-5), bias=bias is not None)
    _set(node, layer, weight=scale, bias=bias)
    _module(node, layer)


def _batch_norm(node: Node) -> None:
    if node.number("training_mode", 0) or any(node.outputs[1:]) or node.number("spatial", 1) != 1:
        raise Unsupported("statistics of the batch")
    arrays = [node.constant(i) for i in range(1, 5)]
    if any(each is None or each.ndim != 1 or each.shape != arrays[0].shape for each in arrays):  # type: ignore[union-attr]
        raise Unsupported("weights that are no constants of one shape")
    assert arrays[0] is not None
    layer = nn.BatchNorm1d(arrays[0].size, node.number("epsilon", 1e-5))
    _set(node, layer, **dict(zip(("weight", "bias", "running_mean", "running_var"), arrays)))
    _module(node, layer)


def _set(node: Node, layer: nn.Module, **arrays: Any) -> None:
    for name, array in arrays.items():
        if array is None:
            continue
        try:
            setattr(layer, name, array)
        except (TypeError, ValueError) as error:
            raise FormatError(f"{node.where}: {error}") from None


def _conv(node: Node) -> None:
    node.expect("auto_pad", "dilations", "group", "kernel_shape", "pads", "strides")
    weight, bias = node.constant(1), node.constant(2)
    if weight is None or weight.ndim != 3 or weight.dtype.kind != "f" or (node.given(2) and bias is None):
        raise Unsupported("more than one dimension, or a weight that is no constant")
    if node.attribute("auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
        raise Unsupported("auto_pad")
    if node.numbers("kernel_shape", [weight.shape[2]]) != [weight.shape[2]]:
        raise FormatError(f"{node.where}: kernel_shape: expected that of the weight")
    pads = node.numbers("pads", [0, 0]) or [0, 0]
    if len(pads) != 2 or min(pads) < 0:
        raise FormatError(f"{node.where}: pads: expected 2 numbers, got {pads[:8]}")
    group = node.number("group", 1)
    (stride,), (dilation,) = (node.numbers(name, [1]) or [1] for name in ("strides", "dilations"))
    x, out = node.inputs[0], node.outputs[0]
    if pads[0] != pads[1]:
        node.scope.add(Op("pad", [x], [f"{out}:padded"], {"pads": [0, 0, pads[0], 0, 0, pads[1]]}, node.name))
        x, pads = f"{out}:padded", [0, 0]
    try:
        layer = nn.Conv1d(
            weight.shape[1] * group, weight.shape[0], weight.shape[2], stride, pads[0], dilation, group,
            bias=bias is not None,
        )  # fmt: skip
    except (TypeError, ValueError) as error:
        raise FormatError(f"{node.where}: {error}") from None
    _set(node, layer, weight=weight, bias=bias)
    node.scope.add(Op("module", [x], [out], {"module": layer}, node.name))


MODULES: Mapping[str, Callable[[Node], None]] = {
    "BatchNormalization": _batch_norm,
    "Conv": _conv,
    "Dropout": _dropout,
    "Elu": _elu,
    "Gemm": _gemm,
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": _hard_swish,
    "Identity": _identity,
    "LayerNormalization": _layer_norm,
    "LeakyRelu": _leaky_relu,
    "LogSoftmax": _softmax(nn.LogSoftmax),
    "MatMul": _matmul,
    "Relu": _plain(nn.ReLU),
    "Sigmoid": _plain(nn.Sigmoid),
    "Softmax": _softmax(nn.Softmax),
    "Softplus": _softplus,
    "Softsign": _plain(nn.Softsign),
    "Tanh": _plain(nn.Tanh),
}
