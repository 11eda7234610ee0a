"""The bytes of a file of HDF5: numbers at addresses, and trees, with an end to all that a circle would repeat."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .._format_error import FormatError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["NOWHERE", "Bytes", "Leaf", "padded"]

#: The address of what is not there.
NOWHERE = (1 << 64) - 1

#: Parts, headers and their messages, links and texts, that a file may have, and one for every 2 bytes of it.
_PARTS = 10_000

#: How many times the file's bytes unpacked arrays may have. Weights hardly get smaller; of zeros deflate packs 1,000.
_EXPANSION = 100


class Leaf(NamedTuple):
    """A key and the address that it leads to."""

    key: int
    child: int


class Bytes:
    """A file, read at addresses.

    Each part is entered, and there is an end to how many are: 10,000 and one for every 2 bytes. What is read of names
    and arrays in all calls together is at most twice the file, and 100 times the file once it is unpacked.
    """

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._parts = _PARTS + len(content) // 2
        self._left = {False: 2 * len(content) + 4096, True: _EXPANSION * (len(content) + 4096)}

    def take(self, at: int, count: int) -> bytes:
        """`count` bytes from the address `at` on; FormatError where the file ends before."""
        if at + count > len(self._content):
            raise FormatError(f"HDF5: expected {count} bytes at {at}, got a file of {len(self._content)}")
        return self._content[at : at + count]

    def numbers(self, at: int, count: int, dtype: np.dtype[Any]) -> NDArray[Any]:
        """`count` numbers from `at` on, in memory of their own."""
        if at + count * dtype.itemsize > len(self._content):
            raise FormatError(f"HDF5: expected {count} numbers at {at}, got a file of {len(self._content)} bytes")
        return np.frombuffer(self._content, dtype, count, at).copy()

    def number(self, at: int, size: int) -> int:
        """The unsigned number of `size` bytes at `at`."""
        return int.from_bytes(self.take(at, size), "little")

    def enter(self, address: int = 0, parts: int = 1) -> None:
        """Count parts; FormatError if they are nowhere, or there were more than a file can have."""
        self._parts -= parts
        if address == NOWHERE:
            raise FormatError("HDF5: expected an address, got that of nothing")
        if self._parts < 0:
            raise FormatError("HDF5: expected parts that end, got a circle of them")

    def spend(self, count: int, compressed: bool = False) -> None:
        """Count bytes of arrays; FormatError if there were more than a file of this size can say."""
        self._left[compressed] -= count
        if self._left[compressed] < 0:
            raise FormatError(f"HDF5: expected no more than a file of {len(self._content)} bytes can hold")

    def leaves(self, tree: int, kind: int, key_size: int, level: int | None = None) -> Iterator[Leaf]:
        """What a tree of version 1 leads to: the addresses of its keys and children."""
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
    """`size` up to a multiple of 8."""
    return (size + 7) // 8 * 8
