"""The results of commands: values for programs, lines for people, and a status for the shell."""

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

#: The exit statuses. Status 2 is click's, for a command line that cannot be parsed.
FINE, DIFFERENT, NO_FILE, NOT_POSSIBLE, MISSING = 0, 1, 3, 4, 5
#: As in shells: 128 plus the number of the signal.
INTERRUPTED, PIPE_CLOSED = 130, 141


class Result(NamedTuple):
    """The result of a command."""

    values: dict[str, Any]
    lines: Sequence[str]
    status: int = FINE


class CommandError(Exception):
    """A command cannot be carried out because of what the user gave or has installed.

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
