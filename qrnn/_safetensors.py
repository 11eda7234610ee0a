"""Reads and writes files of the safetensors format: arrays by name, and texts.

A file has the length of the header in 8 bytes, the header in JSON, and the elements of all tensors, little-endian, one
after the other. Reading trusts nothing: it allocates only what the file has bytes for, and executes nothing.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from ._format_error import FormatError
from ._header import METADATA, SIZES, Entry, Header, parsed
from ._whole_file import written_whole

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["read", "write"]

#: The longest header, as in the package safetensors.
_MAX_HEADER = 100_000_000

#: Tensors begin at multiples of this, so that other readers can map them.
_ALIGNMENT = 8

#: Elements of bfloat16 that become float32 at a time.
_CHUNK = 1 << 18

#: NumPy's types for those in a file, except bfloat16, which NumPy lacks.
_DTYPES: Mapping[str, np.dtype[Any]] = {
    name: np.dtype("?" if name == "BOOL" else f"<{name[0].lower()}{size}")
    for name, size in SIZES.items()
    if name != "BF16"
}
_NAMES: Mapping[np.dtype[Any], str] = {dtype: name for name, dtype in _DTYPES.items()}


def read(path: str) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
    """Read the arrays and the texts of a file.

    Returns
    -------
    dict of str to ndarray
        New writable arrays, in the order of the header; bfloat16 as float32.
    dict of str to str
        The metadata.

    Raises
    ------
    FormatError
        If the file is not of this format, or is incomplete.
    OSError
        If it cannot be read.
    """
    with open(path, "rb") as file:
        try:
            header = _header(file, os.fstat(file.fileno()).st_size)
            order = sorted(header.entries, key=lambda name: header.entries[name][2:])
            arrays = {name: _array(file, name, header.entries[name]) for name in order}
        except FormatError as error:
            raise FormatError(f"{path}: {error}") from None
    return {name: arrays[name] for name in header.entries}, header.metadata


def _header(file: BinaryIO, size: int) -> Header:
    start = file.read(8)
    if len(start) < 8:
        raise FormatError(f"expected a safetensors file, got {len(start)} bytes")
    length, most = int.from_bytes(start, "little"), min(size - 8, _MAX_HEADER)
    if length > most:
        raise FormatError(f"expected a file that begins with the length of its header, {most} at most, got {length}")
    return parsed(_decoded(file.read(length)), size - 8 - length)


def _decoded(text: bytes) -> str:
    if text[:1] != b"{":
        raise FormatError(f"expected a header that begins with '{{', got {text[:8]!r}")
    try:
        return text.decode("utf-8")
    except UnicodeDecodeError as error:
        raise FormatError(f"header: {error.reason} at byte {error.start}") from None


def _array(file: BinaryIO, name: str, entry: Entry) -> NDArray[Any]:
    """Read the elements of a tensor from the current position of `file`."""
    narrow = entry.dtype == "BF16"
    try:
        array: NDArray[Any] = np.empty(entry.shape, np.float32 if narrow else _DTYPES[entry.dtype])
    except ValueError as error:  # NumPy does not support the dimensions
        raise FormatError(f"{name}: shape {list(entry.shape)}: {error}") from None
    flat = array.reshape(-1)
    if narrow:
        _read_bfloat16(file, name, flat)
        return array
    _fill(file, name, flat)
    if array.dtype == np.bool_ and flat.size and flat.view(np.uint8).max() > 1:
        raise FormatError(f"{name}: expected booleans, 0 or 1, got {flat.view(np.uint8).max()}")
    if not array.dtype.isnative:
        array = array.byteswap(inplace=True).view(array.dtype.newbyteorder("="))
    return array


def _read_bfloat16(file: BinaryIO, name: str, flat: NDArray[np.float32]) -> None:
    """Read bfloat16, which are the upper halves of float32, bit for bit."""
    bits, chunk = flat.view(np.uint32), np.empty(min(_CHUNK, flat.size), "<u2")
    for start in range(0, flat.size, _CHUNK):
        part = chunk[: flat.size - start]
        _fill(file, name, part)
        np.left_shift(part, 16, out=bits[start : start + part.size], dtype=np.uint32)


def _fill(file: Any, name: str, flat: NDArray[Any]) -> None:
    if flat.size and file.readinto(flat.view(np.uint8).data) != flat.nbytes:
        raise FormatError(f"{name}: the file ended before its elements did")


def write(path: str, arrays: Mapping[str, NDArray[Any]], metadata: Mapping[str, str]) -> None:
    """Write arrays and texts; equal ones give equal bytes.

    Raises
    ------
    ValueError
        If such a file cannot hold a name or a type, or `path` exists and is not a regular file.
    OSError
        If `path` cannot be written; an existing file is then unchanged.
    """
    # The largest elements come first, so that all are aligned to their size.
    order = sorted(arrays, key=lambda name: -arrays[name].dtype.itemsize)
    places, reached = dict[str, int](), 0
    for name in order:
        places[name] = reached
        reached += arrays[name].nbytes
    header: dict[str, Any] = {METADATA: dict(metadata)} if metadata else {}
    for name, array in arrays.items():
        end = places[name] + array.nbytes
        header[_checked_name(name)] = {
            **{"dtype": _type_name(name, array), "shape": list(array.shape)},
            "data_offsets": [places[name], end],
        }
    text = json.dumps(header, separators=(",", ":")).encode("ascii")
    text += b" " * (-len(text) % _ALIGNMENT)
    if len(text) > _MAX_HEADER:
        raise ValueError(f"expected a header of at most {_MAX_HEADER} bytes, got one of {len(text)}")
    with written_whole(path) as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name in order:
            array = arrays[name]
            file.write(np.ascontiguousarray(array, array.dtype.newbyteorder("<")).reshape(-1).view(np.uint8).data)


def _checked_name(name: str) -> str:
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError(f"expected names that are text, got {name!r}") from None
    if name == METADATA:
        raise ValueError(f"expected other names than {METADATA}, which files keep for texts")
    return name


def _type_name(name: str, array: NDArray[Any]) -> str:
    found = _NAMES.get(array.dtype.newbyteorder("<"))
    if found is None:
        raise ValueError(f"{name}: expected one of the types {', '.join(map(str, _NAMES))}, got {array.dtype}")
    return found
