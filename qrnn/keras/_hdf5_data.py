"""Arrays and attributes of HDF5 files: types of numbers, shapes, and where the numbers are stored."""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .._format_error import FormatError
from ._hdf5_bytes import NOWHERE, Bytes, padded

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Array", "Type", "Value", "attribute_value", "dataspace", "datatype", "layout"]

#: An attribute: a text, texts, or numbers.
Value = Any

#: The dimensions that every NumPy supports.
_MAX_DIMS = 32

#: Floats by their bytes, the place and the bits of the exponent, those of the mantissa, and the exponent of 1.
_FLOATS: Mapping[tuple[int, ...], str] = {
    (2, 10, 5, 0, 10, 15): "f2",
    (4, 23, 8, 0, 23, 127): "f4",
    (8, 52, 11, 0, 52, 1023): "f8",
    (2, 7, 8, 0, 7, 127): "bfloat16",
}

_DEFLATE, _SHUFFLE, _CHECKSUM = 1, 2, 3


class Type(NamedTuple):
    """The type of an element.

    Attributes
    ----------
    name : str
        NumPy's name, with the byte order; "bfloat16"; "text" for a text of `size` bytes; "reference" for a text in a
        heap; "bytes" for opaque bytes.
    size : int
    """

    name: str
    size: int


def datatype(file: Bytes, at: int) -> Type:
    """The type in the message at `at`; FormatError if it is not supported."""
    kind, bits, size = file.number(at, 1) & 15, file.number(at + 1, 1), file.number(at + 4, 4)
    order = ">" if bits & 1 else "<"
    if kind == 0 and size in (1, 2, 4, 8):
        return Type(f"{order}{'i' if bits & 8 else 'u'}{size}", size)
    if kind == 1:
        fields = (size, *file.take(at + 12, 4), file.number(at + 16, 4))
        if fields in _FLOATS and not bits & 0x40:
            name = _FLOATS[fields]
            return Type(name if name == "bfloat16" else order + name, size)
    if kind == 3 and size:
        return Type("text", size)
    if kind == 5:
        return Type("bytes", size)
    if kind == 9 and bits & 15 == 1:
        return Type("reference", 16)
    raise FormatError(f"expected numbers or texts, got HDF5's class of types {kind}, of {size} bytes")


def dataspace(file: Bytes, at: int) -> tuple[int, ...]:
    """The shape in the message at `at`; FormatError if there is none."""
    version, dims = file.number(at, 1), file.number(at + 1, 1)
    if version not in (1, 2) or dims > _MAX_DIMS or (version == 2 and file.number(at + 3, 1) == 2):
        raise FormatError(f"expected a shape of at most {_MAX_DIMS} dimensions, got {dims}, version {version}")
    start = at + (8 if version == 1 else 4)
    return tuple(file.number(start + 8 * i, 8) for i in range(dims))


class Array(NamedTuple):
    """An array of a file.

    Attributes
    ----------
    shape : tuple of int
    type : Type
    kind : int
        0: the numbers are in the header; 1: in one piece; 2: in pieces (chunks), which a tree finds.
    start, size : int
        Where the numbers are, and how many bytes; for chunks, where the tree is.
    chunk : tuple of int
        The shape of a chunk.
    filters : tuple of int
        The filters that were applied to chunks, in this order.
    """

    shape: tuple[int, ...]
    type: Type
    kind: int
    start: int
    size: int
    chunk: tuple[int, ...]
    filters: tuple[int, ...]

    def read(self, file: Bytes, bfloat16: bool) -> NDArray[Any]:
        """The numbers. `bfloat16`: opaque elements are bfloat16."""
        if self.type.name in ("text", "reference") or (self.type.name == "bytes" and not bfloat16):
            raise FormatError(f"expected numbers, got {self.type.name}")
        if self.type.name in ("bytes", "bfloat16"):
            if self.type.size != 2:
                raise FormatError(f"expected bfloat16 of 2 bytes, got {self.type.size}")
            bits = self._elements(file, np.dtype("<u2")).astype(np.uint32)
            return np.left_shift(bits, 16, out=bits).view(np.float32)
        array = self._elements(file, np.dtype(self.type.name))
        return array.astype(array.dtype.newbyteorder("="), copy=False)

    def _elements(self, file: Bytes, dtype: np.dtype[Any]) -> NDArray[Any]:
        count = math.prod(self.shape)
        if not count:
            try:
                return np.empty(self.shape, dtype)
            except ValueError as error:
                raise FormatError(f"shape {self.shape}: {error}") from None
        if self.kind == 2:
            return _of_chunks(file, self, dtype)
        if count * dtype.itemsize != self.size:
            raise FormatError(f"expected {count * dtype.itemsize} bytes for shape {self.shape}, got {self.size}")
        if self.start == NOWHERE:
            raise FormatError("expected numbers, got an array that was never written")
        file.spend(self.size)
        return file.numbers(self.start, count, dtype).reshape(self.shape)


def layout(file: Bytes, at: int, shape: tuple[int, ...], type: Type, filters: int | None) -> Array:
    """The array whose place is in the message at `at`; `filters` is the address of the message of filters, if any."""
    version, kind = file.number(at, 1), file.number(at + 1, 1)
    if version not in (3, 4) or kind > 2 or (version == 4 and kind == 2):
        raise FormatError(f"expected a layout that HDF5 1.8 reads, got version {version}, class {kind}")
    steps = () if filters is None else _filters(file, filters)
    if kind == 0:
        return Array(shape, type, kind, at + 4, file.number(at + 2, 2), (), steps)
    if kind == 1:
        return Array(shape, type, kind, file.number(at + 2, 8), file.number(at + 10, 8), (), steps)
    dims, tree = file.number(at + 2, 1) - 1, file.number(at + 3, 8)
    chunk = tuple(file.number(at + 11 + 4 * i, 4) for i in range(dims))
    if dims != len(shape) or not all(chunk) or not dims:
        raise FormatError(f"expected chunks of {len(shape)} dimensions, got {chunk}")
    return Array(shape, type, kind, tree, 0, chunk, steps)


def _filters(file: Bytes, at: int) -> tuple[int, ...]:
    """The filters that were applied to chunks; FormatError if one cannot be undone."""
    version, count = file.number(at, 1), file.number(at + 1, 1)
    if version not in (1, 2):
        raise FormatError(f"expected filters of version 1 or 2, got {version}")
    at += 8 if version == 1 else 2
    found = []
    for _ in range(count):
        number = file.number(at, 2)
        if number not in (_DEFLATE, _SHUFFLE, _CHECKSUM) or number in found:
            raise FormatError(f"expected the filters deflate, shuffle and fletcher32, once each, got that of {number}")
        named = version == 1
        name, values = (file.number(at + 2, 2) if named else 0), file.number(at + (6 if named else 4), 2)
        at += (8 + padded(name) if named else 6) + 4 * values + (4 if named and values % 2 else 0)
        found.append(number)
    return tuple(found)


def _of_chunks(file: Bytes, array: Array, dtype: np.dtype[Any]) -> NDArray[Any]:
    """The numbers of an array in chunks; every chunk has to exist."""
    chunk, steps = array.chunk, array.filters
    length, total = math.prod(chunk) * dtype.itemsize, math.prod(array.shape) * dtype.itemsize
    needed = math.prod(-(-size // step) for size, step in zip(array.shape, chunk))
    file.spend(total + needed * length, compressed=True)
    result, seen = np.empty(array.shape, dtype), set[tuple[int, ...]]()
    for leaf in file.leaves(array.start, 1, 16 + 8 * len(chunk)):
        stored, mask = file.number(leaf.key, 4), file.number(leaf.key + 4, 4)
        corner = tuple(file.number(leaf.key + 8 + 8 * i, 8) for i in range(len(chunk)))
        if any(at % step or at >= size for at, step, size in zip(corner, chunk, array.shape)) or corner in seen:
            raise FormatError(f"expected chunks side by side, got one at {corner}")
        seen.add(corner)
        file.spend(stored)
        content = _undone(file.take(leaf.child, stored), steps, mask, dtype.itemsize, length)
        if len(content) != length:
            raise FormatError(f"expected chunks of {length} bytes, got {len(content)}")
        place = tuple(slice(at, at + step) for at, step in zip(corner, chunk))
        target = result[place]
        target[...] = np.frombuffer(content, dtype).reshape(chunk)[tuple(map(slice, target.shape))]
    if len(seen) != needed:
        raise FormatError(f"expected {needed} chunks, got {len(seen)}")
    return result


def _undone(content: bytes, steps: Sequence[int], mask: int, size: int, length: int) -> bytes:
    """A chunk of `length` bytes with its filters undone; bits of `mask` tell which were not applied."""
    for index in reversed(range(len(steps))):
        if mask >> index & 1:
            continue
        if steps[index] == _DEFLATE:
            unpack = zlib.decompressobj()
            try:
                content = unpack.decompress(content, length + 4)  # and the checksum, perhaps
            except zlib.error as error:
                raise FormatError(f"expected a chunk that deflate made: {error}") from None
        elif steps[index] == _CHECKSUM:
            content = content[:-4]
        elif size > 1:
            whole = len(content) // size * size
            lanes = np.frombuffer(content[:whole], np.uint8).reshape(size, -1)
            content = lanes.T.tobytes() + content[whole:]
    return content


# ---- attributes


def attribute_value(file: Bytes, type_at: int, shape_at: int, at: int, stop: int) -> Value:
    """The value of an attribute, which ends at `stop`: a text, a list of texts, or an array of numbers."""
    type, shape = datatype(file, type_at), dataspace(file, shape_at)
    count = math.prod(shape)
    if at + count * type.size > stop:
        raise FormatError(f"expected {count} elements of {type.size} bytes, got {stop - at} bytes")
    file.spend(count * type.size, compressed=True)
    if type.name in ("text", "reference"):
        file.enter(parts=count)
    if type.name == "text":
        texts = [_text(file.take(at + i * type.size, type.size).split(b"\0")[0]) for i in range(count)]
    elif type.name == "reference":
        texts = [_text(_of_heap(file, at + 16 * i)) for i in range(count)]
    elif type.name in ("bytes", "bfloat16"):
        raise FormatError(f"expected texts or numbers, got {type.name}")
    else:
        return np.frombuffer(file.take(at, count * type.size), type.name).reshape(shape).copy()
    return texts if shape else texts[0]


def _of_heap(file: Bytes, at: int) -> bytes:
    """The bytes that a reference of 16 bytes (a length, the address of a heap, a number in it) refers to."""
    length, heap, number = file.number(at, 4), file.number(at + 4, 8), file.number(at + 12, 4)
    if not length:
        return b""
    if file.take(heap, 4) != b"GCOL":
        raise FormatError(f"expected a heap of texts at {heap}")
    at, stop = heap + 16, heap + file.number(heap + 8, 8)
    while at + 16 <= stop:
        file.enter()
        found, size = file.number(at, 2), file.number(at + 8, 8)
        if found == number and found:
            file.spend(length, compressed=True)
            return file.take(at + 16, min(length, size))
        if not found:
            break
        at += 16 + padded(size)
    raise FormatError(f"expected text {number} in the heap at {heap}, got none")


def _text(content: bytes) -> str:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise FormatError(f"expected a text: {error.reason} at byte {error.start}") from None
