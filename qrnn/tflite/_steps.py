"""Reads the operators around recurrent layers as steps of a `Graph`."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from .. import nn
from .._format_error import FormatError
from ._builder import ACTIVATIONS, CLIPS, Builder
from ._schema import Operator

__all__ = ["add_operator", "expect_known"]

#: Operators that are a single function of `Graph`, of one value and of two.
_OF_ONE = {"ABS": "abs", "CEIL": "ceil", "EXP": "exp", "FLOOR": "floor", "LOG": "log", "NEG": "neg", "SQRT": "sqrt"}
_OF_TWO = {"ADD": "add", "DIV": "div", "MAXIMUM": "max", "MINIMUM": "min", "MUL": "mul", "POW": "pow", "SUB": "sub"}
_PLAIN = {**_OF_ONE, **_OF_TWO}


def add_operator(build: Builder, operator: Operator) -> None:
    """Add the steps of an operator.

    Raises
    ------
    FormatError
        If it is not supported, or uses something that is not.
    """
    expect_known(operator)
    name = operator.name
    if name == "DEQUANTIZE" and all(index >= 0 and build.constants.is_constant(index) for index in operator.outputs):
        return  # a weight, which its user reads as a constant
    if name in _PLAIN:
        values = [build.value(build.input(operator, at)) for at in range(2 if name in _OF_TWO else 1)]
        results = [build.apply(_PLAIN[name], values)]
    elif name in ACTIVATIONS or name in CLIPS:
        results = [build.activated(build.first(operator), name)]
    else:
        found = _OPERATORS[name](build, operator)
        results = [found] if isinstance(found, str) else found
    if len(results) != len(operator.outputs):
        raise FormatError(f"{name}: expected {len(results)} outputs, got {len(operator.outputs)}")
    fused = operator.options.get("activation", "NONE")
    if fused not in ("NONE", "RELU", *CLIPS):  # TensorFlow Lite itself ignores it
        raise FormatError(f"{name}: activation: expected NONE, RELU or one with bounds, got {fused}")
    for index, result in zip(operator.outputs, results):
        build.gives(index, build.activated(result, fused))


def expect_known(operator: Operator) -> None:
    """Raise FormatError if an operator is not supported."""
    if not any(operator.name in each for each in (_PLAIN, ACTIVATIONS, CLIPS, _OPERATORS)):
        raise FormatError(f"{operator.name}: no such operator is read")


def _linear(build: Builder, operator: Operator) -> str:
    """FULLY_CONNECTED with constant weights: float, or with the file's codes."""
    if operator.options["weights_format"]:
        raise FormatError(f"{operator.name}: expected weights in their plain order, got a shuffled one")
    found = build.constants.weight(build.input(operator, 1), f"{operator.name}: weights", (None, None))
    rows, columns = found.array.shape
    bias = None
    if len(operator.inputs) > 2 and operator.inputs[2] >= 0:
        bias = build.constants.weight(operator.inputs[2], f"{operator.name}: bias", (rows,)).array
    value = build.first(operator)
    if build.rank(operator) != 2 and not operator.options["keep_num_dims"]:
        value = build.apply("reshape", (value,), shape=[-1, columns])
    hybrid = build.tensors[operator.inputs[0]].type == "float32"
    return build.linear(value, found.array, bias, found.codes if hybrid else None)


def _reshape(build: Builder, operator: Operator) -> str:
    value = build.first(operator)
    if len(operator.inputs) < 2:
        return build.apply("reshape", (value,), shape=list(operator.options["shape"]), allowzero=1)
    return build.apply("reshape", (value, build.value(operator.inputs[1])), allowzero=1)


def _transpose(build: Builder, operator: Operator) -> str:
    return build.apply("transpose", (build.first(operator),), perm=build.numbers(operator, 1))


def _expand_dims(build: Builder, operator: Operator) -> str:
    return build.apply("unsqueeze", (build.first(operator),), axes=build.numbers(operator, 1))


def _squeeze(build: Builder, operator: Operator) -> str:
    axes = operator.options["axes"]
    return build.apply("squeeze", (build.first(operator),), axes=list(axes) if axes else None)


def _concatenation(build: Builder, operator: Operator) -> str:
    return build.apply("concat", [build.value(each) for each in operator.inputs], axis=operator.options["axis"])


def _pack(build: Builder, operator: Operator) -> str:
    return build.apply("stack", [build.value(each) for each in operator.inputs], axis=operator.options["axis"])


def _unpack(build: Builder, operator: Operator) -> list[str]:
    value, axis = build.first(operator), operator.options["axis"]
    return [build.apply("gather", (value,), indices=i, axis=axis) for i in range(len(operator.outputs))]


def _split(build: Builder, operator: Operator) -> list[str]:
    """SPLIT: axis, x. SPLIT_V: x, sizes, axis."""
    equal = operator.name == "SPLIT"
    value, axis = build.value(build.input(operator, 1 if equal else 0)), build.number(operator, 0 if equal else 2)
    sizes = None if equal else build.numbers(operator, 1)
    return build.split(value, len(operator.outputs), axis, sizes)


def _strided_slice(build: Builder, operator: Operator) -> str:
    options, rank = operator.options, build.rank(operator)
    begin, end, strides = (build.numbers(operator, at) for at in (1, 2, 3))
    if options["ellipsis"] or options["new_axis"] or options["offset"] or not len(begin) == len(end) == len(strides):
        raise FormatError(f"{operator.name}: expected plain slices, got an ellipsis, a new axis or an offset")
    if len(begin) > rank or 0 in strides:
        raise FormatError(f"{operator.name}: expected slices of {rank} axes, got {len(begin)}")
    starts, ends, shrunk = [], [], []
    for axis, (low, high, stride) in enumerate(zip(begin, end, strides)):
        bit = 1 << axis
        first, last = (0, _FAR) if stride > 0 else (_FAR, -_FAR)
        starts.append(first if options["begin"] & bit else low)
        ends.append(last if options["end"] & bit else high)
        if options["shrink"] & bit:
            starts[-1], ends[-1] = low, low + 1 if low != -1 else _FAR
            strides[axis] = 1
            shrunk.append(axis)
    value = build.apply("slice", (build.first(operator),), starts=starts, ends=ends, steps=strides)
    return build.apply("squeeze", (value,), axes=shrunk) if shrunk else value


#: A position after the end of every axis.
_FAR = 1 << 31


def _slice(build: Builder, operator: Operator) -> str:
    begin, sizes = build.numbers(operator, 1), build.numbers(operator, 2)
    ends = [_FAR if size == -1 else low + size for low, size in zip(begin, sizes)]
    return build.apply("slice", (build.first(operator),), starts=begin, ends=ends)


def _gather(build: Builder, operator: Operator) -> str:
    if operator.options["batch_dims"]:
        raise FormatError(f"{operator.name}: batch_dims: expected 0, got {operator.options['batch_dims']}")
    values = [build.value(each) for each in operator.inputs]
    return build.apply("gather", values, axis=operator.options["axis"])


def _reverse(build: Builder, operator: Operator) -> str:
    axes = build.numbers(operator, 1)
    far, backwards = [_FAR] * len(axes), [-1] * len(axes)
    ends = [-_FAR] * len(axes)
    return build.apply("slice", (build.first(operator),), starts=far, ends=ends, axes=axes, steps=backwards)


def _reduce(build: Builder, operator: Operator) -> str:
    function = {"MEAN": "reduce_mean", "SUM": "reduce_sum", "REDUCE_MAX": "reduce_max"}[operator.name]
    keep = int(operator.options["keep_dims"])
    return build.apply(function, (build.first(operator),), axes=build.numbers(operator, 1), keepdims=keep)


def _softmax(build: Builder, operator: Operator) -> str:
    value, beta = build.first(operator), operator.options["beta"]
    if beta != 1:
        raise FormatError(f"{operator.name}: beta: expected 1, got {beta:g}")
    return build.module(nn.Softmax(dim=-1), value)


def _leaky_relu(build: Builder, operator: Operator) -> str:
    return build.module(nn.LeakyReLU(operator.options["alpha"]), build.first(operator))


def _same(build: Builder, operator: Operator) -> str:
    """QUANTIZE and DEQUANTIZE of computed values, which are float here."""
    return build.first(operator)


def _shape(build: Builder, operator: Operator) -> str:
    return build.apply("shape", (build.first(operator),))


def _fill(build: Builder, operator: Operator) -> str:
    return build.apply("expand", (build.value(build.input(operator, 1)), build.first(operator)))


#: Functions that add the steps of an operator, and return the name of its result or the names of several.
_OPERATORS: Mapping[str, Callable[[Builder, Operator], str | list[str]]] = {
    "CONCATENATION": _concatenation,
    "DEQUANTIZE": _same,
    "EXPAND_DIMS": _expand_dims,
    "FILL": _fill,
    "FULLY_CONNECTED": _linear,
    "GATHER": _gather,
    "LEAKY_RELU": _leaky_relu,
    "MEAN": _reduce,
    "PACK": _pack,
    "QUANTIZE": _same,
    "REDUCE_MAX": _reduce,
    "RESHAPE": _reshape,
    "REVERSE_V2": _reverse,
    "SHAPE": _shape,
    "SLICE": _slice,
    "SOFTMAX": _softmax,
    "SPLIT": _split,
    "SPLIT_V": _split,
    "SQUEEZE": _squeeze,
    "STRIDED_SLICE": _strided_slice,
    "SUM": _reduce,
    "TRANSPOSE": _transpose,
    "UNPACK": _unpack,
}
