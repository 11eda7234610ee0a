"""What commands give: values for programs, lines for people, and a status for the shell."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

__all__ = [
    "DIFFERENT",
    "FINE",
    "INTERRUPTED",
    "MISSING",
    "NOT_POSSIBLE",
    "NO_FILE",
    "PIPE_CLOSED",
    "CommandError",
    "Result",
    "table",
]

#: The exit statuses; click's own, 2, is that of a command line that cannot be read.
FINE, DIFFERENT, NO_FILE, NOT_POSSIBLE, MISSING = 0, 1, 3, 4, 5
#: As shells have them: 128 and the number of the signal.
INTERRUPTED, PIPE_CLOSED = 130, 141


class Result(NamedTuple):
    """What a command gives."""

    values: dict[str, Any]
    lines: Sequence[str]
    status: int = FINE


class CommandError(Exception):
    """What a user did or has keeps a command from being carried out.

    Parameters
    ----------
    status : int
    text : str
    """

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


def table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """Lines with aligned columns; what looks like a number is set flush right.

    Examples
    --------
    >>> table(("name", "bytes"), [("cell", 12), ("all", 1200)])
    ['name  bytes', 'cell     12', 'all    1200']
    """
    cells = [list(map(str, heads)), *(list(map(str, row)) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    numbers = [all(_is_number(cell) for cell in column[1:]) for column in zip(*cells, strict=True)]
    shown = [
        "  ".join(
            f"{cell:>{width}}" if right else f"{cell:{width}}" for cell, width, right in zip(row, widths, numbers)
        )
        for row in cells
    ]
    return [line.rstrip() for line in shown]


def _is_number(cell: str) -> bool:
    return not cell or cell.replace(",", "").replace(".", "").replace("e-", "").replace("-", "").isdigit()
