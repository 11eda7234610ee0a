"""Numbers, arrays and names as C text."""

from __future__ import annotations

import keyword
import math
import re
from collections.abc import Iterable
from typing import Any

import numpy as np

__all__ = ["array_text", "checked_name", "float_text"]

#: A line of numbers has at most this many characters.
_COLUMNS = 110

#: Reserved words of C and C++ that are not reserved in Python.
_WORDS = """
alignas alignof asm auto bool case catch char const constexpr default delete do double enum explicit export extern false
float friend goto inline int long main mutable namespace new nullptr operator private protected public register restrict
short signed sizeof static struct switch template this throw true typedef typeid typename union unsigned using virtual
void volatile wchar_t
"""
_RESERVED = frozenset(_WORDS.split())


def float_text(value: float) -> str:
    """A float32 as a C constant of type float with the same bits, including the sign of zero.

    Examples
    --------
    >>> float_text(0.1), float_text(-0.0), float_text(1e-45), float_text(float("-inf"))
    ('0.1f', '-0.0f', '1e-45f', '-HUGE_VALF')
    """
    if math.isinf(value):
        return "HUGE_VALF" if value > 0 else "-HUGE_VALF"
    text = str(np.float32(value))
    return f"{text}f"


def array_text(name: str, array: Any) -> str:
    """The definition of a constant array, row-major.

    Examples
    --------
    >>> array_text("scale", np.float32([0.5, 2]))
    'static const float scale[2] = {0.5f,2.0f};'
    """
    flat = np.ravel(array)
    numbers = map(str, flat.tolist()) if flat.dtype == np.int8 else (f"{each}f" for each in flat.astype("U32"))
    head = f"static const {'int8_t' if flat.dtype == np.int8 else 'float'} {name}[{max(flat.size, 1)}] = {{"
    lines = list(_lines(head, numbers if flat.size else ["0"]))
    return "\n".join(lines) + "};"


def _lines(head: str, numbers: Iterable[str]) -> Iterable[str]:
    """`head` and the numbers after it, broken into lines."""
    line: list[str] = []
    size = len(head)
    for number in numbers:
        if line and size + len(number) + 1 > _COLUMNS:
            yield head + ",".join(line) + ","
            head, line, size = "    ", [], 4
        line.append(number)
        size += len(number) + 1
    yield head + ",".join(line)


def checked_name(name: Any, stem: str) -> str:
    """The argument `name`, or, if it is None, a name made from the stem of a file.

    Raises
    ------
    TypeError, ValueError
        If it is not a valid name in C.
    """
    if name is None:
        made = re.sub(r"\W", "_", stem, flags=re.ASCII) or "model"
        return f"model_{made}" if made[0].isdigit() or made[0] == "_" or _is_reserved(made) else made
    if not isinstance(name, str):
        raise TypeError(f"name: expected a str, got {type(name).__name__}")
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name) or _is_reserved(name):
        raise ValueError(f"name: expected a name of C, got {name!r}")
    return name


def _is_reserved(name: str) -> bool:
    return name in _RESERVED or keyword.iskeyword(name) or name.startswith("qrnn")
