"""Converts ONNX operators: one table, from nodes to operations of a `Scope`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from .. import nn
from .._format_error import FormatError
from ._modules import MODULES
from ._nodes import Node, Unsupported
from ._scope import Op
from ._tensors import DATA_TYPES, type_name

__all__ = ["OPERATORS", "convert"]

#: The most elements of a constant that may become an option of a step.
_MAX_OPTION = 4096


class _Row(NamedTuple):
    """An operator that is a function.

    Attributes
    ----------
    function : str
    inputs : tuple of str
        For each input ``""`` if it is a value, or the name of the function's parameter, for an input that may be a
        constant or, in other versions, an attribute of this name.
    attributes : tuple of str
        Attributes that are options of the same names.
    """

    function: str
    inputs: tuple[str, ...] = ("",)
    attributes: tuple[str, ...] = ()


_BINARY = ("", "")
_WITHOUT_INPUTS = frozenset({"Constant", "Range"})
#: Attributes that are lists of integers, and attributes that are texts; others are numbers.
_LISTS = frozenset({"axes", "ends", "pads", "perm", "repeats", "shape", "split", "starts", "steps"})
_TEXTS = frozenset({"approximate", "mode"})
_REDUCED = ("reduce", ("", "axes"), ("keepdims", "noop_with_empty_axes"))
_ROWS: Mapping[str, _Row] = {
    **{name: _Row(name.lower()) for name in ("Abs", "Ceil", "Cos", "Erf", "Exp", "Floor", "Log", "Neg", "Not")},
    **{name: _Row(name.lower()) for name in ("Reciprocal", "Round", "Sign", "Sin", "Size", "Sqrt")},
    **{name: _Row(name.lower(), _BINARY) for name in ("Add", "And", "Div", "Equal", "Greater", "Less", "Mul", "Or")},
    **{name: _Row(name.lower(), _BINARY) for name in ("Pow", "Sub", "Xor", "MatMul", "PRelu")},
    "ArgMax": _Row("argmax", ("",), ("axis", "keepdims", "select_last_index")),
    "ArgMin": _Row("argmin", ("",), ("axis", "keepdims", "select_last_index")),
    "Clip": _Row("clip", ("", "min", "max")),
    "Concat": _Row("concat", (), ("axis",)),
    "CumSum": _Row("cumsum", ("", "axis"), ("exclusive", "reverse")),
    "Expand": _Row("expand", ("", "shape")),
    "Flatten": _Row("flatten", ("",), ("axis",)),
    "Gather": _Row("gather", ("", "indices"), ("axis",)),
    "GatherElements": _Row("gather_elements", ("", ""), ("axis",)),
    "GatherND": _Row("gather_nd", ("", ""), ("batch_dims",)),
    "Gelu": _Row("gelu", ("",), ("approximate",)),
    "GreaterOrEqual": _Row("greater_or_equal", _BINARY),
    "LessOrEqual": _Row("less_or_equal", _BINARY),
    "Max": _Row("max", ()),
    "Min": _Row("min", ()),
    "Mod": _Row("mod", _BINARY, ("fmod",)),
    "Pad": _Row("pad", ("", "pads", "value", "axes"), ("mode",)),
    "Range": _Row("range", ("start", "limit", "delta")),
    "ReduceL2": _Row("reduce_l2", *_REDUCED[1:]),
    "ReduceMax": _Row("reduce_max", *_REDUCED[1:]),
    "ReduceMean": _Row("reduce_mean", *_REDUCED[1:]),
    "ReduceMin": _Row("reduce_min", *_REDUCED[1:]),
    "ReduceProd": _Row("reduce_prod", *_REDUCED[1:]),
    "ReduceSum": _Row("reduce_sum", *_REDUCED[1:]),
    "ReduceSumSquare": _Row("reduce_sum_square", *_REDUCED[1:]),
    "Reshape": _Row("reshape", ("", "shape"), ("allowzero",)),
    "ReverseSequence": _Row("reverse_sequence", ("", ""), ("batch_axis", "time_axis")),
    "Selu": _Row("selu", ("",), ("alpha", "gamma")),
    "Slice": _Row("slice", ("", "starts", "ends", "axes", "steps")),
    "Squeeze": _Row("squeeze", ("", "axes")),
    "Sum": _Row("sum", ()),
    "Tile": _Row("tile", ("", "repeats")),
    "Transpose": _Row("transpose", ("",), ("perm",)),
    "Unsqueeze": _Row("unsqueeze", ("", "axes")),
    "Where": _Row("where", ("", "", "")),
}


def convert(node: Node) -> None:
    """Add to the node's scope the operations that the node does.

    Raises
    ------
    Unsupported
        If qrnn lacks what the node needs.
    FormatError
        If the node is not valid in ONNX.
    """
    if node.op_type not in _WITHOUT_INPUTS and not node.given(0):
        raise FormatError(f"{node.where}: expected an input, got none")
    special = OPERATORS.get(node.op_type)
    if special is not None:
        special(node)
    elif node.op_type in _ROWS:
        _by_row(node, _ROWS[node.op_type])
    else:
        raise Unsupported("operator")


def _by_row(node: Node, row: _Row) -> None:
    """A function, whose parameters are inputs or, where these are constants, options."""
    node.expect(*row.attributes, *filter(None, row.inputs))
    options = {name: _option(node, name) for name in node.names()}
    inputs = list(node.inputs)
    if len(inputs) > len(row.inputs) > 0 or not inputs:
        raise FormatError(f"{node.where}: expected {len(row.inputs) or 1} inputs, got {len(inputs)}")
    _expect_values(node, row)
    if row.inputs:
        while inputs and row.inputs[len(inputs) - 1] and _is_option(node, len(inputs) - 1):
            name = inputs.pop()
            if name:
                options[row.inputs[len(inputs)]] = node.scope[name].tolist()
    node.scope.add(Op(row.function, inputs, node.outputs, options, node.name))


def _option(node: Node, name: str) -> Any:
    """An attribute that is an option of a function."""
    if name in _LISTS:
        return node.numbers(name)
    value = node.attribute(name)
    if not isinstance(value, str if name in _TEXTS else (int, float)):
        raise FormatError(f"{node.where}: attribute {name}: got {type(value).__name__}")
    return value


def _expect_values(node: Node, row: _Row) -> None:
    for index, parameter in enumerate(row.inputs):
        if not parameter and not node.given(index):
            raise FormatError(f"{node.where}: expected input {index}, got none")


def _is_option(node: Node, index: int) -> bool:
    constant = node.constant(index)
    return not node.given(index) or (constant is not None and constant.size <= _MAX_OPTION)


# ---- constants, types and shapes


def _gather(node: Node) -> None:
    table = node.constant(0)
    axis = node.number("axis", 0)
    if len(node.inputs) == 2:
        sizes = node.scope.sizes.get(node.proto.input[0])
        index = node.constant(1)
        if sizes is not None and index is not None and index.size == 1 and axis == 0:
            at = int(index.item())
            if -len(sizes) <= at < len(sizes) and sizes[at] is not None:
                return node.scope.keep(node.outputs[0], np.full(index.shape, sizes[at], np.int64))
    if table is None or table.ndim != 2 or table.dtype.kind != "f" or axis != 0 or node.constant(1) is not None:
        return _by_row(node, _ROWS["Gather"])
    if not np.isfinite(table).all():
        raise FormatError(f"{node.where}: expected a finite table")
    embedding = nn.Embedding.from_pretrained(table)
    return node.scope.add(Op("module", node.inputs[1:2], node.outputs, {"module": embedding}, node.name))


def _constant(node: Node) -> None:
    kinds = {"value_float": np.float32, "value_floats": np.float32, "value_int": np.int64, "value_ints": np.int64}
    (name,) = node.names() or [""]
    value = node.attribute(name)
    if name == "value" and isinstance(value, np.ndarray):
        node.scope.keep(node.outputs[0], value)
    elif name in kinds:
        node.scope.keep(node.outputs[0], np.array(value, kinds[name]))
    else:
        raise Unsupported(f"attribute {name}")


def _cast(node: Node) -> None:
    node.expect("to", "saturate", "round_mode")
    to = node.number("to", 0)
    if to not in DATA_TYPES:
        raise Unsupported(f"type {type_name(to)}")
    node.scope.add(Op("cast", node.inputs, node.outputs, {"to": DATA_TYPES[to].kind}, node.name))


def _constant_of_shape(node: Node) -> None:
    value = node.attribute("value", np.zeros(1, np.float32))
    if not isinstance(value, np.ndarray) or value.size != 1:
        raise FormatError(f"{node.where}: value: expected one element")
    options: dict[str, Any] = {"value": value.item(), "to": str(value.dtype)}
    inputs, shape = node.inputs, node.constant(0)
    if shape is not None:
        inputs, options["shape"] = [], shape.tolist()
    node.scope.add(Op("constant_of_shape", inputs, node.outputs, options, node.name))


def _shape(node: Node) -> None:
    start, end = node.number("start", 0), node.attribute("end")
    dims = node.scope.known_dims(node.proto.input[0]) if node.inputs else None
    sizes = None if dims is None else list(dims)[start:end]
    if sizes is not None and all(size is not None for size in sizes):
        return node.scope.keep(node.outputs[0], np.array(sizes, np.int64))
    if sizes is not None:
        node.scope.sizes[node.outputs[0]] = sizes
    options = {"start": start, **({} if end is None else {"end": end})}
    return node.scope.add(Op("shape", node.inputs, node.outputs, options, node.name))


def _split(node: Node) -> None:
    node.expect("axis", "num_outputs", "split")
    options: dict[str, Any] = {"axis": node.number("axis", 0)}
    sizes, inputs = node.constant(1), node.inputs
    if sizes is not None:
        inputs, options["split"] = inputs[:1], sizes.tolist()
    elif node.numbers("split") is not None:
        options["split"] = node.numbers("split")
    elif len(inputs) < 2:
        options["num_outputs"] = node.number("num_outputs", len(node.outputs))
    node.scope.add(Op("split", inputs, node.outputs, options, node.name))


OPERATORS: Mapping[str, Callable[[Node], None]] = {
    **MODULES,
    "Cast": _cast,
    "Constant": _constant,
    "ConstantOfShape": _constant_of_shape,
    "Gather": _gather,
    "Shape": _shape,
    "Split": _split,
}
