"""Attributes of ONNX's recurrent operators, as arguments of the layers of ``qrnn.nn``."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from .._format_error import FormatError
from .._options import ACTIVATIONS

__all__ = ["OPERATORS", "NodeOptions", "Operator", "node_options", "read_attributes"]


class Operator(NamedTuple):
    """The differences between the recurrent operators.

    Attributes
    ----------
    order : tuple of int
        The place in ONNX of each gate in PyTorch's order.
    activations : tuple of str
        The activations of a node that names none.
    inputs, outputs : tuple of str
    attributes : tuple of str
        Attributes that the other operators lack.
    """

    order: tuple[int, ...]
    activations: tuple[str, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: tuple[str, ...] = ()


_INPUTS = ("X", "W", "R", "B", "sequence_lens", "initial_h")
_OUTPUTS = ("Y", "Y_h")

OPERATORS: Mapping[str, Operator] = {
    "RNN": Operator((0,), ("Tanh",), _INPUTS, _OUTPUTS),
    "GRU": Operator((1, 0, 2), ("Sigmoid", "Tanh"), _INPUTS, _OUTPUTS, ("linear_before_reset",)),  # z r h
    "LSTM": Operator(  # i o f c
        (0, 2, 3, 1),
        ("Sigmoid", "Tanh", "Tanh"),
        (*_INPUTS, "initial_c", "P"),
        (*_OUTPUTS, "Y_c"),
        ("input_forget",),
    ),
}

#: The field of an AttributeProto that holds a value of each type, and the number of the type.
_INT, _FLOAT, _STRING, _FLOATS, _STRINGS = ("i", 2), ("f", 1), ("s", 3), ("floats", 6), ("strings", 8)
_FIELDS: Mapping[str, tuple[str, int]] = {
    "activation_alpha": _FLOATS,
    "activation_beta": _FLOATS,
    "activations": _STRINGS,
    "clip": _FLOAT,
    "direction": _STRING,
    "hidden_size": _INT,
    "input_forget": _INT,
    "layout": _INT,
    "linear_before_reset": _INT,
    "output_sequence": _INT,  # before opset 7; whether Y is wanted, but Y is always computed
}
_OF_SOME = frozenset(name for operator in OPERATORS.values() for name in operator.attributes)

#: ONNX's names, compared case-insensitively, and the names in ``qrnn.nn``, whose defaults are ONNX's.
_ACTIVATIONS: Mapping[str, str] = {name.replace("_", ""): name for name in ACTIVATIONS if name != "linear"}


class NodeOptions(NamedTuple):
    """The attributes of a node.

    Attributes
    ----------
    num_directions : int
    layout : int
    hidden_size : int, optional
    options : dict
        Further arguments of the layer's class.
    """

    num_directions: int
    layout: int
    hidden_size: int | None
    options: dict[str, Any]


def read_attributes(node: Any, where: str) -> dict[str, Any]:
    """The attributes of a node by name.

    Raises
    ------
    FormatError
        If its operator has no such attribute, or a value of another type.
    """
    operator, found = OPERATORS[node.op_type], dict[str, Any]()
    for attribute in node.attribute:
        name = attribute.name
        if name not in _FIELDS or (name in _OF_SOME and name not in operator.attributes):
            raise FormatError(f"{where}: attribute {name}: {node.op_type} has none of this name")
        if getattr(attribute, "ref_attr_name", ""):
            raise FormatError(f"{where}: attribute {name}: expected a value, got a reference to a function's attribute")
        field, number = _FIELDS[name]
        if attribute.type not in (0, number):  # 0: files of IR version 1 do not say it
            raise FormatError(f"{where}: attribute {name}: expected type {number}, got {attribute.type}")
        value = getattr(attribute, field)
        if field == "strings":
            value = [_text(each) for each in value]
        found[name] = _text(value) if field == "s" else list(value) if field == "floats" else value
    return found


def _text(value: bytes | str) -> str:
    return value if isinstance(value, str) else value.decode("utf-8", "replace")


def node_options(op_type: str, attributes: Mapping[str, Any], where: str) -> NodeOptions:
    """The options in the attributes of a node.

    Raises
    ------
    FormatError
        If a value is not valid in ONNX.
    """
    direction = attributes.get("direction", "forward")
    if direction not in ("forward", "reverse", "bidirectional"):
        raise FormatError(f"{where}: direction: expected forward, reverse or bidirectional, got {direction!r}")
    num_directions = 2 if direction == "bidirectional" else 1
    options = _activation_options(op_type, attributes, num_directions, where)
    if direction == "reverse":
        options["reverse"] = True
    clip = float(attributes.get("clip", 0.0))
    if clip < 0 or not math.isfinite(clip) or (clip == 0 and "clip" in attributes):
        raise FormatError(f"{where}: clip: expected a positive number, got {clip:g}")
    if clip:
        options["clip"] = clip
    if _flag(attributes, "input_forget", where):
        options["input_forget"] = True
    if op_type == "GRU" and not _flag(attributes, "linear_before_reset", where):
        options["reset_after"] = False
    _flag(attributes, "output_sequence", where)
    return NodeOptions(num_directions, _flag(attributes, "layout", where), attributes.get("hidden_size"), options)


def _flag(attributes: Mapping[str, Any], name: str, where: str) -> int:
    """The attribute `name`, which is 0 or 1; 0 if there is none."""
    value = attributes.get(name, 0)
    if value not in (0, 1):
        raise FormatError(f"{where}: {name}: expected 0 or 1, got {value}")
    return int(value)


def _activation_options(op_type: str, attributes: Mapping[str, Any], num_directions: int, where: str) -> dict[str, Any]:
    """The layer's arguments for its activations."""
    defaults = OPERATORS[op_type].activations
    names = attributes.get("activations", list(defaults) * num_directions)
    if len(names) != len(defaults) * num_directions:
        expected = f"{len(defaults)} for each of {num_directions} directions"
        raise FormatError(f"{where}: activations: expected {expected}, got {len(names)}")
    given = [list(attributes.get(f"activation_{name}", ())) for name in ("alpha", "beta")]
    found = [_activation(name, given, where) for name in names]
    for name, left in zip(("alpha", "beta"), given):
        if left:
            came = len(attributes[f"activation_{name}"])
            raise FormatError(
                f"{where}: activation_{name}: expected a value for each of the activations {', '.join(names)} that "
                f"takes one, {came - len(left)} at most, got {came}"
            )
    each = [tuple(found[i : i + len(defaults)]) for i in range(0, len(found), len(defaults))]
    return {"activations": each[0] if num_directions == 1 else tuple(each)}


def _activation(name: str, given: list[list[float]], where: str) -> str | tuple[Any, ...]:
    """An activation in the form of ``qrnn.nn``, with the next alpha and beta, which are removed from `given`."""
    own = _ACTIVATIONS.get(name.lower())
    if own is None:
        raise FormatError(f"{where}: activations: expected one of {', '.join(_ACTIVATIONS)}, got {name!r}")
    values = [
        _next(left, default, f"{where}: activation_{which} of {name}")
        for which, left, default in zip(("alpha", "beta"), given, ACTIVATIONS[own])
    ]
    return (own, *values) if values else own


def _next(values: list[float], default: float | None, where: str) -> float:
    """Remove and return the first of `values`, or return the default if none is left."""
    value = values.pop(0) if values else default
    if value is None:
        raise FormatError(f"{where}: expected a number, because ONNX has no default, got none")
    if not math.isfinite(value):
        raise FormatError(f"{where}: expected a finite number, got {value}")
    return float(value)
