"""The contents of a TensorFlow Lite file: graphs of tensors and operators, and constants.

The slots are those of the schema (schema.fbs, version 3).
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .._format_error import FormatError
from ._flatbuffer import Flatbuffer, Table
from ._operator_names import OPERATORS

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["OPTIONS", "Graph", "Model", "Operator", "Quantization", "Tensor", "read_model"]

IDENTIFIER = b"TFL3"

#: The most dimensions of a tensor; an array of NumPy can have no more.
_MAX_DIMENSIONS = 32

#: The types of tensors by their codes; NumPy's names for those whose constants are read.
TYPES = (
    *("float32", "float16", "int32", "uint8", "int64", "string", "bool", "int16", "complex64", "int8", "float64"),
    *("complex128", "uint64", "resource", "variant", "uint32", "uint16", "int4", "bfloat16", "int2", "uint4"),
    *("float8_e4m3fn", "float8_e5m2"),
)
_DTYPES = {
    name: np.dtype(name).newbyteorder("<")
    for name in ("float32", "float16", "float64", "int8", "uint8", "int16", "int32", "int64", "bool")
}

#: The activations that an operator may have fused, by their codes.
ACTIVATIONS = ("NONE", "RELU", "RELU_N1_TO_1", "RELU6", "TANH", "SIGN_BIT")

_ACTIVATION = ("activation", "b", 0)
_LSTM = (("cell_clip", "f", 0.0), ("proj_clip", "f", 0.0))
#: Options of operators: the code of their table, and name, type and default of each slot; "*" is a vector of int32.
OPTIONS: Mapping[str, tuple[int, tuple[tuple[str, str, Any], ...]]] = {
    "ADD": (11, (_ACTIVATION,)),
    "BATCH_MATMUL": (101, (("adj_x", "?", False), ("adj_y", "?", False))),
    "BIDIRECTIONAL_SEQUENCE_LSTM": (
        69,
        (_ACTIVATION, *_LSTM, ("merge_outputs", "?", False), ("time_major", "?", True)),
    ),
    "BIDIRECTIONAL_SEQUENCE_RNN": (70, (("time_major", "?", False), _ACTIVATION, ("merge_outputs", "?", False))),
    "CONCATENATION": (10, (("axis", "i", 0), _ACTIVATION)),
    "DIV": (29, (_ACTIVATION,)),
    "FULLY_CONNECTED": (8, (_ACTIVATION, ("weights_format", "b", 0), ("keep_num_dims", "?", False))),
    "GATHER": (23, (("axis", "i", 0), ("batch_dims", "i", 0))),
    "LEAKY_RELU": (75, (("alpha", "f", 0.0),)),
    "MEAN": (27, (("keep_dims", "?", False),)),
    "MUL": (21, (_ACTIVATION,)),
    "PACK": (59, (("count", "i", 0), ("axis", "i", 0))),
    "REDUCE_MAX": (27, (("keep_dims", "?", False),)),
    "RESHAPE": (17, (("shape", "*", ()),)),
    "SHAPE": (55, (("type", "b", 0),)),
    "SOFTMAX": (9, (("beta", "f", 0.0),)),
    "SPLIT": (35, (("count", "i", 0),)),
    "SPLIT_V": (79, (("count", "i", 0),)),
    "SQUEEZE": (30, (("axes", "*", ()),)),
    "STRIDED_SLICE": (
        32,
        (*((name, "i", 0) for name in ("begin", "end", "ellipsis", "new_axis", "shrink")), ("offset", "?", False)),
    ),
    "SUB": (28, (_ACTIVATION,)),
    "SUM": (27, (("keep_dims", "?", False),)),
    "UNIDIRECTIONAL_SEQUENCE_LSTM": (
        71,
        (
            _ACTIVATION,
            *_LSTM,
            ("time_major", "?", False),
            ("asymmetric", "?", False),
            ("diagonal_recurrent_tensors", "?", False),
        ),
    ),
    "UNIDIRECTIONAL_SEQUENCE_RNN": (31, (("time_major", "?", False), _ACTIVATION)),
    "UNPACK": (64, (("count", "i", 0), ("axis", "i", 0))),
    "WHILE": (93, (("cond", "i", 0), ("body", "i", 0))),
}


class Quantization(NamedTuple):
    """How to read codes: ``(code - zero_point) * scale``, with one of each or with several along an axis."""

    scale: list[float]
    zero_point: list[int]
    axis: int
    custom: bool  # quantized in another way


class Tensor(NamedTuple):
    """A value of a graph; it is a constant if its buffer has bytes."""

    name: str
    shape: tuple[int, ...]
    type: str
    buffer: int
    quantization: Quantization | None
    variable: bool
    sparse: bool


class Operator(NamedTuple):
    """An operator; a missing input is -1. `options` is empty for an operator that is not supported."""

    name: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Mapping[str, Any]


class Graph(NamedTuple):
    """The graph of a model, or the body of a loop."""

    name: str
    tensors: list[Tensor]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    operators: list[Operator]


class Model(NamedTuple):
    """The contents of a file."""

    file: Flatbuffer
    graphs: list[Graph]
    buffers: list[NDArray[np.uint8]]

    def constant(self, tensor: Tensor) -> NDArray[Any] | None:
        """The codes or numbers of a constant, in the file's memory; None if the tensor is not a constant.

        Raises
        ------
        FormatError
            If their type is not supported, or their number does not fit the shape.
        """
        data = self.buffers[tensor.buffer]
        if not data.size or tensor.variable:
            return None
        where = f"tensor {tensor.name!r}"
        dtype = _DTYPES.get(tensor.type)
        if dtype is None or tensor.sparse:
            raise FormatError(f"{where}: expected dense numbers, got {'sparse ' * tensor.sparse}{tensor.type}")
        count = math.prod(tensor.shape)
        if count * dtype.itemsize != data.size:
            expected = f"{count} numbers of {dtype.itemsize} bytes for shape {tensor.shape}"
            raise FormatError(f"{where}: expected {expected}, got {data.size} bytes")
        return data.view(dtype).reshape(tensor.shape)


def read_model(path: str | os.PathLike[str]) -> Model:
    """The graphs of a file.

    Raises
    ------
    FormatError
        If the file is damaged or of another kind.
    OSError
        If it cannot be read.
    """
    with open(path, "rb") as opened:
        content = opened.read()
    file = Flatbuffer(content, IDENTIFIER)
    root = file.root()
    version = root.number(0, "I")
    if version != 3:
        raise FormatError(f"version: expected 3, got {version}")
    codes = [_operator_name(code) for code in root.tables(1)]
    buffers = [_buffer(file, buffer) for buffer in root.tables(4)]
    graphs = [_graph(graph, codes, len(buffers)) for graph in root.tables(2)]
    if not graphs:
        raise FormatError("subgraphs: expected at least one, got none")
    return Model(file, graphs, buffers)


def _operator_name(table: Table) -> str:
    """The name of an operator; a custom operator is called "CUSTOM name"."""
    code = max(table.number(0, "b"), table.number(3, "i"))
    if not 0 <= code < len(OPERATORS):
        return f"operator {code}"
    return f"CUSTOM {table.text(1)}" if OPERATORS[code] == "CUSTOM" else OPERATORS[code]


def _buffer(file: Flatbuffer, table: Table) -> NDArray[np.uint8]:
    """The bytes of a constant. In files above 2 GB they are after the flatbuffer, at a place in the whole file."""
    offset, size = table.number(1, "Q"), table.number(2, "Q")
    if offset > 1:
        return np.frombuffer(file.slice(offset, size), np.uint8)
    return table.array(0, "u1")


def _graph(table: Table, codes: list[str], buffers: int) -> Graph:
    tensors = [_tensor(each, buffers) for each in table.tables(0)]
    inputs, outputs = (_indices(table.numbers(slot, "i4"), len(tensors)) for slot in (1, 2))
    operators = [_operator(each, codes, len(tensors)) for each in table.tables(3)]
    return Graph(table.text(4), tensors, inputs, outputs, operators)


def _indices(found: list[int], count: int, least: int = 0) -> tuple[int, ...]:
    for each in found:
        if not least <= each < count:
            raise FormatError(f"expected an index of {count} tensors, got {each}")
    return tuple(found)


def _tensor(table: Table, buffers: int) -> Tensor:
    name, code, buffer = table.text(3), table.number(1, "b"), table.number(2, "I")
    where = f"tensor {name!r}"
    if not 0 <= code < len(TYPES):
        raise FormatError(f"{where}: expected a type below {len(TYPES)}, got {code}")
    if buffer >= buffers:
        raise FormatError(f"{where}: expected one of {buffers} buffers, got {buffer}")
    shape = tuple(table.numbers(0, "i4"))
    if len(shape) > _MAX_DIMENSIONS or any(each < 0 for each in shape):
        raise FormatError(f"{where}: expected at most {_MAX_DIMENSIONS} sizes of 0 or more, got shape {shape!s:.80}")
    given = table.table(4)
    quantization = None if given is None else _quantization(given)
    sparse = table.table(6) is not None
    return Tensor(name, shape, TYPES[code], buffer, quantization, table.number(5, "?"), sparse)


def _quantization(table: Table) -> Quantization | None:
    """How to read codes; None if the file only has a range."""
    scale, zero_point = table.numbers(2, "f4"), table.numbers(3, "i8")
    custom = bool(table.number(4, "B"))
    if not scale and not custom:
        return None
    return Quantization(scale, zero_point, table.number(6, "i"), custom)


def _operator(table: Table, codes: list[str], tensors: int) -> Operator:
    index = table.number(0, "I")
    if index >= len(codes):
        raise FormatError(f"expected one of {len(codes)} kinds of operators, got {index}")
    name = codes[index]
    inputs, outputs = (_indices(table.numbers(slot, "i4"), tensors, -1) for slot in (1, 2))
    return Operator(name, inputs, outputs, _options(table, name))


def _options(table: Table, name: str) -> dict[str, Any]:
    """The options of an operator by their names; defaults for those that the file lacks."""
    known = OPTIONS.get(name)
    if known is None:
        return {}
    code, slots = known
    given = table.table(4) if table.number(3, "B") == code else None
    found = {}
    for slot, (option, kind, default) in enumerate(slots):
        if given is None:
            found[option] = default
        elif kind == "*":
            found[option] = tuple(given.numbers(slot, "i4"))
        else:
            found[option] = given.number(slot, kind, default)
    if "activation" in found:
        activation = found["activation"]
        if not 0 <= activation < len(ACTIVATIONS):
            raise FormatError(f"{name}: expected an activation below {len(ACTIVATIONS)}, got {activation}")
        found["activation"] = ACTIVATIONS[activation]
    return found
