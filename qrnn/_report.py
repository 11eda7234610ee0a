"""Reports: sequences of rows that print as a table, in Jupyter as HTML, and become plain values."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, Generic, TypeVar, overload

__all__ = ["Report", "percent"]

#: The width of a line of text above or below a table.
_WIDTH = 116

R = TypeVar("R")
S = TypeVar("S", bound="Report[Any]")


class Report(Sequence[R], Generic[R]):
    """Rows (named tuples), with lines of text before and after their table.

    A subclass defines the headings of the columns, the texts of each row, and the lines, if any.

    Parameters
    ----------
    rows : iterable
    """

    #: The headings of the columns; the first column holds names and is set flush left.
    _HEADS: ClassVar[tuple[str, ...]]
    #: The text of a report without rows.
    _EMPTY: ClassVar[str] = "nothing"

    def __init__(self, rows: Iterable[R]) -> None:
        self._rows: tuple[R, ...] = tuple(rows)

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, index: int) -> R: ...
    @overload
    def __getitem__(self: S, index: slice) -> S: ...
    def __getitem__(self, index: int | slice) -> Any:
        return self._part(self._rows[index]) if isinstance(index, slice) else self._rows[index]

    def _part(self: S, rows: Iterable[R]) -> S:
        """The same report with some of its rows."""
        new = type(self).__new__(type(self))
        new.__dict__.update(self.__dict__, _rows=tuple(rows))
        return new

    def _cells(self, row: R) -> tuple[str, ...]:
        """The texts of one row."""
        raise NotImplementedError

    def _shown_heads(self) -> tuple[str, ...]:
        """The headings, if they depend on the report."""
        return self._HEADS

    def _before(self) -> list[str]:
        """Lines above the table."""
        return []

    def _after(self) -> list[str]:
        """Lines below the table."""
        return []

    def _tables(self) -> list[list[tuple[str, ...]]]:
        """More tables below, each a list of rows; the first row has the headings."""
        return []

    def to_dict(self) -> dict[str, Any]:
        """The report as plain values: its rows as dicts under ``rows``, and its other facts.

        Returns
        -------
        dict
        """
        return {**plain(self._facts()), "rows": [plain(row) for row in self._rows]}

    def _facts(self) -> dict[str, Any]:
        """The facts of the report besides its rows, by name."""
        return {}

    def _all_tables(self) -> list[list[tuple[str, ...]]]:
        first = [[self._shown_heads(), *map(self._cells, self._rows)]] if self._rows else []
        return [*first, *self._tables()]

    def __str__(self) -> str:
        import textwrap  # here, because only printing needs it

        tables = [_drawn(table) for table in self._all_tables()] or [self._EMPTY]
        before, after = ([textwrap.fill(line, _WIDTH) for line in lines] for lines in (self._before(), self._after()))
        return "\n".join([*before, "\n\n".join(tables), *after])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        from ._html import Room, page, paragraph, table  # here, because only notebooks need it

        room = Room()
        tables = ["".join(table(rows, rows[0][0], room)) for rows in self._all_tables()] or [paragraph(self._EMPTY)]
        return page([*map(paragraph, self._before()), *tables, *map(paragraph, self._after())])


def _drawn(table: Sequence[tuple[str, ...]]) -> str:
    """A table as text, its first column flush left."""
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = []
    for row in table:
        name, *rest = (text.rjust(width) for text, width in zip(row, widths, strict=True))
        lines.append("  ".join([row[0].ljust(len(name)), *rest]).rstrip())
    return "\n".join(lines)


def plain(value: Any) -> Any:
    """A value of a report as dicts, lists, numbers and texts: named tuples become dicts, other tuples lists."""
    if hasattr(value, "_asdict"):
        return {name: plain(each) for name, each in value._asdict().items()}
    if isinstance(value, dict):
        return {name: plain(each) for name, each in value.items()}
    return [plain(each) for each in value] if isinstance(value, (tuple, list)) else value


def percent(value: float | None) -> str:
    """A part of 1 as a percentage with three significant digits; nothing for None."""
    if value is None:
        return ""
    return f"{value:.0%}" if abs(value) >= 1 else f"{100 * value:#.3g}%".replace(".%", "%")
