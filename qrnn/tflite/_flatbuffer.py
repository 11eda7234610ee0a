"""Reading flatbuffers that may be damaged: every place is checked, and the work is bounded by the size.

A table is a signed 32-bit distance back to its vtable, followed by its fields. The vtable holds, in 16 bits each, its
own size, the table's size, and for each slot the distance of its field from the table, 0 for a missing field. A vector
is a 32-bit count and its elements; a text is a vector of bytes. A field that is not a number holds a 32-bit distance to
its value.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import numpy as np

from .._format_error import FormatError

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import NDArray

__all__ = ["Flatbuffer", "Table"]

#: The cost of reading a table, in bytes, and the additional cost of an element.
_TABLE, _ELEMENT = 16, 8
#: How many bytes may be read for each byte of the file: its parts may be shared, but not without limit.
_MOST_READ, _SLACK = 64, 1 << 16


class Flatbuffer:
    """The bytes of a file.

    Parameters
    ----------
    content : bytes
    identifier : bytes
        The four bytes after the first four.

    Raises
    ------
    FormatError
        If the file has another identifier.
    """

    def __init__(self, content: bytes, identifier: bytes) -> None:
        if content[4:8] != identifier:
            raise FormatError(f"expected a file with {identifier!r} at 4, got {content[4:8]!r}")
        self.content = content
        self._left = _MOST_READ * len(content) + _SLACK

    def root(self) -> Table:
        """The table that the file begins with."""
        return Table(self, self.number(0, "I"))

    def spend(self, count: int) -> None:
        """Count bytes that are read.

        Raises
        ------
        FormatError
            If parts of the file are read too often.
        """
        self._left -= count
        if self._left < 0:
            raise FormatError("expected a file whose parts are used a few times, got one that repeats them without end")

    def number(self, at: int, kind: str) -> Any:
        """The number at a place, of a type of ``struct``."""
        try:
            return struct.unpack_from(f"<{kind}", self.content, at)[0] if at >= 0 else self._outside(at)
        except struct.error:
            self._outside(at)

    def slice(self, at: int, size: int) -> bytes:
        """`size` bytes from a place on."""
        if at < 0 or at + size > len(self.content):
            self._outside(at + size)
        return self.content[at : at + size]

    def target(self, at: int) -> int:
        """The place to which the distance stored at a place leads."""
        place: int = at + self.number(at, "I")
        return place

    def _outside(self, at: int) -> Any:
        raise FormatError(f"expected places inside of a file of {len(self.content)} bytes, got {at}")


class Table:
    """A table at a place of a file."""

    __slots__ = ("_at", "_fields", "_file")

    def __init__(self, file: Flatbuffer, at: int) -> None:
        self._file, self._at = file, at
        vtable = at - file.number(at, "i")
        size = file.number(vtable, "H")
        if size < 4 or size % 2:
            raise FormatError(f"expected a vtable of 4 bytes or more, got {size}")
        file.spend(_TABLE + size)
        self._fields = struct.unpack(f"<{size // 2 - 2}H", file.slice(vtable + 4, size - 4))

    def _place(self, slot: int) -> int | None:
        """The place of a field; None if it is missing."""
        distance = self._fields[slot] if slot < len(self._fields) else 0
        return self._at + distance if distance else None

    def number(self, slot: int, kind: str, default: Any = 0) -> Any:
        """A number, of a type of ``struct``."""
        place = self._place(slot)
        return default if place is None else self._file.number(place, kind)

    def table(self, slot: int) -> Table | None:
        """A table, or None if it is missing."""
        place = self._place(slot)
        return None if place is None else Table(self._file, self._file.target(place))

    def _vector(self, slot: int, size: int) -> tuple[int, int]:
        """Where the elements of a vector begin, each of `size` bytes, and how many there are."""
        place = self._place(slot)
        if place is None:
            return 0, 0
        start = self._file.target(place)
        count = self._file.number(start, "I")
        if start + 4 + size * count > len(self._file.content):
            raise FormatError(f"expected a vector inside of the file, got one of {count} elements at {start}")
        return start + 4, count

    def array(self, slot: int, kind: str) -> NDArray[Any]:
        """A vector of numbers of a NumPy type: a view of the file; empty if it is missing."""
        dtype = np.dtype(f"<{kind}")
        start, count = self._vector(slot, dtype.itemsize)
        return np.frombuffer(self._file.content, dtype, count, start) if count else np.empty(0, dtype)

    def numbers(self, slot: int, kind: str) -> list[Any]:
        """A vector of numbers as a list."""
        array = self.array(slot, kind)
        self._file.spend(_ELEMENT * array.size)
        found: list[Any] = array.tolist()
        return found

    def text(self, slot: int) -> str:
        """A text; empty if it is missing."""
        array = self.array(slot, "u1")
        self._file.spend(array.size)
        return array.tobytes().decode("utf-8", "replace")

    def tables(self, slot: int) -> list[Table]:
        """A vector of tables."""
        start, count = self._vector(slot, 4)
        self._file.spend(_ELEMENT * count)
        return [Table(self._file, self._file.target(start + 4 * i)) for i in range(count)]
