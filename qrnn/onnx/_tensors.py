"""Reads TensorProtos as arrays, also those whose bytes are in another file."""

from __future__ import annotations

import math
import os
import stat
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .._format_error import FormatError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["DATA_TYPES", "array_of", "type_name"]


class _Type(NamedTuple):
    """A type of elements.

    Attributes
    ----------
    name : str
        ONNX's name.
    dtype : str
        The type of an element in ``raw_data``, little-endian; ``"bfloat16"`` for two bytes for which NumPy has no type.
    field : str
        The field in which a TensorProto without ``raw_data`` has the elements.
    kind : str
        The type in which qrnn computes values of this type.
    """

    name: str
    dtype: str
    field: str
    kind: str


#: The types by their numbers in ``TensorProto.DataType``.
DATA_TYPES: Mapping[int, _Type] = {
    1: _Type("FLOAT", "<f4", "float_data", "float32"),
    2: _Type("UINT8", "u1", "int32_data", "uint8"),
    3: _Type("INT8", "i1", "int32_data", "int8"),
    4: _Type("UINT16", "<u2", "int32_data", "uint16"),
    5: _Type("INT16", "<i2", "int32_data", "int16"),
    6: _Type("INT32", "<i4", "int32_data", "int32"),
    7: _Type("INT64", "<i8", "int64_data", "int64"),
    9: _Type("BOOL", "?", "int32_data", "bool"),
    10: _Type("FLOAT16", "<f2", "int32_data", "float32"),
    11: _Type("DOUBLE", "<f8", "double_data", "float32"),
    12: _Type("UINT32", "<u4", "uint64_data", "uint32"),
    13: _Type("UINT64", "<u8", "uint64_data", "uint64"),
    16: _Type("BFLOAT16", "bfloat16", "int32_data", "float32"),
}

#: The most dimensions of an array that every NumPy supports.
_MAX_DIMENSIONS = 32


def type_name(number: int) -> str:
    """ONNX's name of a type of elements, or its number."""
    return DATA_TYPES[number].name if number in DATA_TYPES else f"type {number}"


def array_of(tensor: Any, where: str, folder: str | None = None) -> NDArray[Any]:
    """The elements of a TensorProto, read-only, floats as float32.

    Parameters
    ----------
    tensor : onnx.TensorProto
    where : str
        The beginning of error texts.
    folder : str, optional
        The folder of files with external data; without it, such data are refused.

    Raises
    ------
    FormatError
        If its elements do not fit its shape, its type is one that NumPy lacks, or its data are in a file outside of
        the folder.
    """
    kind = DATA_TYPES.get(tensor.data_type)
    if kind is None:
        known = ", ".join(each.name for each in DATA_TYPES.values())
        raise FormatError(f"{where}: expected elements of {known}, got {type_name(tensor.data_type)}")
    shape = tuple(int(size) for size in tensor.dims)
    if len(shape) > _MAX_DIMENSIONS or min(shape, default=0) < 0:
        raise FormatError(f"{where}: expected at most {_MAX_DIMENSIONS} sizes, none negative, got {list(shape)[:40]}")
    count = math.prod(shape)
    if tensor.data_location == 1:
        array = _decoded(_external(tensor, where, folder, count * _width(kind)), kind, shape, where)
    elif tensor.HasField("raw_data"):
        array = _decoded(tensor.raw_data, kind, shape, where)
    else:
        array = _of_field(tensor, kind, shape, where)
    if array.dtype.kind == "f":
        with np.errstate(over="ignore", invalid="ignore"):
            array = array.astype(np.float32, copy=False)
    elif not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    array.flags.writeable = False
    return array


def _width(kind: _Type) -> int:
    return 2 if kind.dtype == "bfloat16" else np.dtype(kind.dtype).itemsize


def _decoded(data: bytes, kind: _Type, shape: tuple[int, ...], where: str) -> NDArray[Any]:
    wanted = math.prod(shape) * _width(kind)
    if len(data) != wanted:
        raise FormatError(f"{where}: expected {wanted} bytes for {kind.name} of shape {list(shape)}, got {len(data)}")
    if kind.dtype == "bfloat16":  # the upper halves of float32
        return np.asarray((np.frombuffer(data, "<u2").astype(np.uint32) << 16).view(np.float32).reshape(shape))
    if kind.dtype == "?":
        return np.asarray((np.frombuffer(data, np.uint8) != 0).reshape(shape))
    return np.frombuffer(data, kind.dtype).reshape(shape)


def _of_field(tensor: Any, kind: _Type, shape: tuple[int, ...], where: str) -> NDArray[Any]:
    """The elements in a field of numbers."""
    values = getattr(tensor, kind.field)
    if len(values) != math.prod(shape):
        raise FormatError(f"{where}: expected {math.prod(shape)} elements in {kind.field}, got {len(values)}")
    if kind.field == "int32_data" and kind.kind == "float32":  # halves of float16 and bfloat16
        bits = np.array(values, np.int64).astype("<u2")
        return _decoded(bits.tobytes(), kind, shape, where)
    wide = np.array(values, {"f": np.float64, "u": np.uint64}.get(np.dtype(kind.dtype).kind, np.int64))
    with np.errstate(over="ignore"):
        return np.asarray(wide.astype(np.dtype(kind.dtype).newbyteorder("=")).reshape(shape))


def _external(tensor: Any, where: str, folder: str | None, wanted: int) -> bytes:
    """The bytes of a tensor in a file beside the model; the file must be in the folder and not be a link."""
    fields = {each.key: each.value for each in tensor.external_data}
    location = fields.get("location", "")
    if folder is None:
        raise FormatError(f"{where}: its data are in the file {location!r}: give the path of the model")
    parts = location.split("/")
    if not location or "\\" in location or "\0" in location or any(part in ("", ".", "..") for part in parts):
        raise FormatError(f"{where}: expected data in a file below the model's folder, got {location!r}")
    path = folder
    for index, part in enumerate(parts):
        path = os.path.join(path, part)
        try:
            mode = os.lstat(path).st_mode
        except (OSError, ValueError) as error:
            raise FormatError(f"{where}: its data, {location!r}: {error}") from None
        if not (stat.S_ISREG(mode) if index == len(parts) - 1 else stat.S_ISDIR(mode)):
            raise FormatError(f"{where}: expected its data in a plain file, no link, got {location!r}")
    offset, length = (_number(fields, name, default, where) for name, default in (("offset", 0), ("length", wanted)))
    if length != wanted:
        raise FormatError(f"{where}: expected {wanted} bytes in {location!r}, got length {length}")
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    with open(os.open(path, flags), "rb") as file:
        size = os.fstat(file.fileno()).st_size
        if offset + length > size:
            raise FormatError(f"{where}: expected {length} bytes at {offset} of {location!r}, which has {size}")
        file.seek(offset)
        return file.read(length)


def _number(fields: Mapping[str, str], name: str, default: int, where: str) -> int:
    value = fields.get(name, "")
    if not value:
        return default
    if not (value.isascii() and value.isdigit() and len(value) < 20):
        raise FormatError(f"{where}: external data: expected {name} to be a number, got {value[:40]!r}")
    return int(value)
