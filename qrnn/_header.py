"""The header of a safetensors file: JSON with the types, shapes and places of tensors by name, and with texts.

It is parsed here and not by ``json``, whose objects would take many times the memory of the text. Anything that a
header cannot contain is refused where it begins, and so are keys that occur twice.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple, NoReturn

from ._format_error import FormatError

__all__ = ["METADATA", "Entry", "Header", "parsed"]

#: The key of the texts.
METADATA = "__metadata__"

#: Bytes of an element, by the name of its type.
SIZES: Mapping[str, int] = {
    **{"BOOL": 1, "U8": 1, "I8": 1, "U16": 2, "I16": 2, "U32": 4, "I32": 4, "U64": 8, "I64": 8},
    **{"F16": 2, "BF16": 2, "F32": 4, "F64": 8},
}

#: The most dimensions of an array in NumPy 2.
_MAX_DIMENSIONS = 64

_SPACE = re.compile(r"[ \t\n\r]*")
_NUMBER = re.compile(r"(?:0|[1-9][0-9]{0,18})(?![0-9.eE])")  # fits 64 bits, so that no number takes long to read
_VALUE = json.JSONDecoder().raw_decode


class Entry(NamedTuple):
    """A tensor: its type, and its bytes as offsets from the end of the header."""

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int

    @property
    def nbytes(self) -> int:
        """Bytes of its elements; exact, because Python's integers do not overflow."""
        return math.prod(self.shape) * SIZES[self.dtype]


class Header(NamedTuple):
    """The contents of a header."""

    entries: dict[str, Entry]
    metadata: dict[str, str]


def parsed(text: str, size: int) -> Header:
    """The header `text` of a file with `size` bytes of elements.

    Raises
    ------
    FormatError
        If it is not a header, or its tensors overlap, leave bytes out or reach beyond the end.
    """
    parser = _Parser(text)
    entries: dict[str, Entry] = {}
    metadata: dict[str, str] = {}
    for name in parser.members():
        if name == METADATA:
            metadata.update((key, parser.string()) for key in parser.members())
        else:
            entries[name] = _entry(parser, name)
    parser.end()
    _expect_all_bytes(entries, size)
    return Header(entries, metadata)


def _entry(parser: _Parser, name: str) -> Entry:
    dtype, lists = "", dict[str, tuple[int, ...]]()
    for key in parser.members():
        if key == "dtype":
            dtype = parser.string()
        elif key in ("shape", "data_offsets"):
            lists[key] = parser.numbers()
        else:
            parser.fail(f"a dtype, a shape and data_offsets of {name!r}, got {key!r}")
    if dtype not in SIZES:
        raise FormatError(f"{name}: expected a dtype of {', '.join(SIZES)}, got {dtype or 'none'}")
    shape, offsets = lists.get("shape"), lists.get("data_offsets", ())
    if shape is None:
        raise FormatError(f"{name}: expected a shape, got none")
    if len(offsets) != 2 or offsets[0] > offsets[1]:
        raise FormatError(f"{name}: expected data_offsets of a beginning and an end, got {list(offsets)}")
    entry = Entry(dtype, shape, *offsets)
    if entry.nbytes != entry.end - entry.begin:
        shown = f"{entry.nbytes} bytes, as {dtype} of shape {list(shape)} has"
        raise FormatError(f"{name}: expected {shown}, got {entry.end - entry.begin}")
    return entry


def _expect_all_bytes(entries: Mapping[str, Entry], size: int) -> None:
    """Check that each byte belongs to exactly one tensor, so that nothing is read twice and nothing is hidden."""
    reached = 0
    for name, entry in sorted(entries.items(), key=lambda item: (item[1].begin, item[1].end)):
        if entry.begin != reached:
            raise FormatError(
                f"{name}: expected to begin at byte {reached}, where the one before ends, got {entry.begin}"
            )
        reached = entry.end
    if reached != size:
        raise FormatError(f"expected {reached} bytes of tensors, got {size}")


class _Parser:
    """A position in a JSON text; each method reads one thing and moves on."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def fail(self, expected: str) -> NoReturn:
        """Raise FormatError."""
        raise FormatError(f"header, character {self._at}: expected {expected}")

    def _next(self) -> str:
        """The next character, without moving on; "" at the end."""
        self._at = _SPACE.match(self._text, self._at).end()  # type: ignore[union-attr]
        return self._text[self._at : self._at + 1]

    def _take(self, character: str) -> None:
        found = self._next()
        if found != character:
            self.fail(f"{character!r}, got {found!r}")
        self._at += 1

    def members(self) -> Iterator[str]:
        """The keys of an object; the caller reads the value of each before it asks for the next."""
        self._take("{")
        if self._next() == "}":
            self._at += 1
            return
        seen = set()
        while True:
            key = self.string()
            if key in seen:
                self.fail(f"each key once, got {key!r} again")
            seen.add(key)
            self._take(":")
            yield key
            if self._next() != ",":
                break
            self._at += 1
        self._take("}")

    def string(self) -> str:
        """A text."""
        if self._next() != '"':
            self.fail(f"a text, got {self._next()!r}")
        try:
            value, self._at = _VALUE(self._text, self._at)
            value.encode()  # fails for half a surrogate pair, which is not text
        except ValueError as error:
            raise FormatError(f"header: {error}") from None
        return str(value)

    def numbers(self) -> tuple[int, ...]:
        """A list of integers that are not negative."""
        self._take("[")
        found: list[int] = []
        while self._next() != "]":
            if found:
                self._take(",")
                self._next()
            number = _NUMBER.match(self._text, self._at)
            if number is None or len(found) == _MAX_DIMENSIONS:
                self.fail(f"at most {_MAX_DIMENSIONS} integers of 0 to 19 digits, got {self._next()!r}")
            found.append(int(number.group()))
            self._at = number.end()
        self._take("]")
        return tuple(found)

    def end(self) -> None:
        """The end."""
        if self._next():
            self.fail(f"the end, got {self._next()!r}")
