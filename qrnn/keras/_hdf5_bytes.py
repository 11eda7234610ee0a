"""The bytes of an HDF5 file: numbers at addresses, and trees, with limits so that circles end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .._format_error import FormatError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["NOWHERE", "Bytes", "Leaf", "padded"]

#: The address of something that does not exist.
NOWHERE = (1 << 64) - 1

#: How many parts (headers and their messages, links and texts) a file may have, plus one for every 2 bytes of it.
_PARTS = 10_000

#: How many times larger than the file unpacked arrays may be. Weights hardly compress; deflate packs zeros 1,000 times.
_EXPANSION = 100


class Leaf(NamedTuple):
    """A key and the address that it leads to."""

    key: int
    child: int


class Bytes:
    """A file, read at addresses.

    The number of parts that are entered is limited: 10,000 and one for every 2 bytes. All names and arrays that are
    read, in all calls together, are at most twice the file, or 100 times the file after unpacking.
    """

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._parts = _PARTS + len(content) // 2
        self._left = {False: 2 * len(content) + 4096, True: _EXPANSION * (len(content) + 4096)}

    def take(self, at: int, count: int) -> bytes:
        """`count` bytes from the address `at` on; FormatError if the file ends before."""
        if at + count > len(self._content):
            raise FormatError(f"HDF5: expected {count} bytes at {at}, got a file of {len(self._content)}")
        return self._content[at : at + count]

    def numbers(self, at: int, count: int, dtype: np.dtype[Any]) -> NDArray[Any]:
        """`count` numbers from `at` on, as a new array."""
        if at + count * dtype.itemsize > len(self._content):
            raise FormatError(f"HDF5: expected {count} numbers at {at}, got a file of {len(self._content)} bytes")
        return np.frombuffer(self._content, dtype, count, at).copy()

    def number(self, at: int, size: int) -> int:
        """The unsigned number of `size` bytes at `at`."""
        return int.from_bytes(self.take(at, size), "little")

    def enter(self, address: int = 0, parts: int = 1) -> None:
        """Count parts; FormatError if the address is nowhere, or there were more parts than a file can have."""
        self._parts -= parts
        if address == NOWHERE:
            raise FormatError("HDF5: expected an address, got that of nothing")
        if self._parts < 0:
            raise FormatError("HDF5: expected parts that end, got a circle of them")

    def spend(self, count: int, compressed: bool = False) -> None:
        """Count bytes of arrays; FormatError if there were more than a file of this size can have."""
        self._left[compressed] -= count
        if self._left[compressed] < 0:
            raise FormatError(f"HDF5: expected no more than a file of {len(self._content)} bytes can hold")

    def leaves(self, tree: int, kind: int, key_size: int, level: int | None = None) -> Iterator[Leaf]:
        """The leaves of a tree of version 1: the addresses of its keys and children."""
        self.enter(tree)
        if self.take(tree, 5) != b"TREE" + bytes([kind]):
            raise FormatError(f"HDF5: expected a tree at {tree}, got {self.take(tree, 5)!r}")
        own = self.number(tree + 5, 1)
        if level is not None and own != level:
            raise FormatError(f"HDF5: expected a part of a tree of level {level}, got {own}")
        for i in range(self.number(tree + 6, 2)):
            key = tree + 24 + i * (key_size + 8)
            child = self.number(key + key_size, 8)
            self.enter(child)
            if own:
                yield from self.leaves(child, kind, key_size, own - 1)
            else:
                yield Leaf(key, child)


def padded(size: int) -> int:
    """`size` rounded up to a multiple of 8."""
    return (size + 7) // 8 * 8
