"""How far the rows of one output are from those of another: the error that all measuring uses."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.floating[Any]]

__all__ = ["Batch", "Comparison", "Rows", "Scale"]


class Batch(NamedTuple):
    """Which row of the batch each row of an output belongs to."""

    row: NDArray[np.intp]
    rows: int  # of the batch, including rows of length 0


class Rows(NamedTuple):
    """One output of one call: a row for each step of each sequence, or a row for each sequence."""

    values: Floats  # (rows, columns)
    steps: NDArray[np.intp] | None  # the step of each row; None if rows are not steps
    batch: Batch | None = None  # None: each row is a row of the batch

    def one_column(self) -> Rows:
        """All values as one column, for an output whose last axis has another length in each call."""
        return Rows(self.values.reshape(-1, 1), None)


class Scale(NamedTuple):
    """The size that errors of one output are relative to."""

    rms: float  # of a row of the reference about the mean of each column
    columns: int

    @classmethod
    def of(cls, reference: Sequence[Rows]) -> Scale:
        """The scale of all rows of a reference, about their mean; about 0 if there is a single row."""
        count, columns = sum(len(each.values) for each in reference), reference[0].values.shape[1]
        if not count:
            return cls(0.0, columns)
        mean = sum(each.values.sum(axis=0, dtype=np.float64) for each in reference) / count
        squares = _squares(each.values - mean for each in reference)
        if count > 1 and squares > 0:
            return cls(math.sqrt(squares / (count - 1)), columns)
        return cls(math.sqrt(_squares(each.values for each in reference) / count), columns)


def _squares(arrays: Iterable[Any]) -> float:
    return math.fsum(float(np.square(each, dtype=np.float64).sum()) for each in arrays)


class Comparison:
    """Errors of one output, summed over calls.

    Parameters
    ----------
    scale : Scale
        The scale of the reference.
    """

    def __init__(self, scale: Scale) -> None:
        self._scale = scale
        self._squares, self._largest, self._rows = 0.0, 0.0, 0
        self._changed, self._decided = 0, 0
        self._by_step: dict[int, tuple[float, int]] = {}
        self._by_row: list[NDArray[np.float64]] = []  # mean square of each row of the batch, one array for each call

    def add(self, reference: Rows, output: Rows) -> None:
        """Compare the rows of one call."""
        with np.errstate(over="ignore", invalid="ignore"):
            difference = output.values.astype(np.float64) - reference.values
        squares = np.square(difference).sum(axis=1)
        squares[~np.isfinite(squares)] = math.inf
        self._squares += float(squares.sum())
        self._rows += len(squares)
        largest = np.abs(difference).max(initial=0.0)
        self._largest = max(self._largest, float(largest) if np.isfinite(largest) else math.inf)
        if self._scale.columns > 1:
            self._changed += int((output.values.argmax(axis=1) != reference.values.argmax(axis=1)).sum())
            self._decided += len(squares)
        self._by_row.append(_means(squares, reference.batch))
        if reference.steps is not None:
            sums = np.bincount(reference.steps, squares)
            for step, (total, count) in enumerate(zip(sums, np.bincount(reference.steps), strict=True)):
                before, rows = self._by_step.get(step, (0.0, 0))
                self._by_step[step] = before + float(total), rows + int(count)

    @property
    def compared(self) -> bool:
        """Whether there were rows to compare."""
        return self._rows > 0

    def _relative(self, value: float) -> float:
        return value / self._scale.rms if self._scale.rms else math.inf if value else 0.0

    @property
    def error(self) -> float:
        """The rms of the error, divided by the scale."""
        return self._relative(math.sqrt(self._squares / self._rows)) if self._rows else 0.0

    @property
    def worst(self) -> float:
        """The largest error of a single number, divided by the rms of a number of the reference about its mean."""
        return self._relative(self._largest * math.sqrt(self._scale.columns))

    @property
    def changed(self) -> float | None:
        """The part of rows whose largest column differs from the reference's; None for a single column."""
        return self._changed / self._decided if self._decided else None

    @property
    def by_step(self) -> tuple[float, ...]:
        """`error` of the rows of each step; empty if rows are not steps."""
        return tuple(
            self._relative(math.sqrt(total / count)) if count else 0.0 for total, count in self._by_step.values()
        )

    @property
    def by_row(self) -> tuple[float, ...]:
        """`error` of each row of the batch, call after call; 0 for a row of length 0."""
        return tuple(self._relative(math.sqrt(mean)) for each in self._by_row for mean in each.tolist())


def _means(squares: NDArray[np.float64], batch: Batch | None) -> NDArray[np.float64]:
    """The mean of `squares` over the rows that belong to each row of the batch."""
    if batch is None:
        return squares
    counts = np.bincount(batch.row, minlength=batch.rows)
    sums: NDArray[Any] = np.bincount(batch.row, squares, minlength=batch.rows)
    return sums / np.maximum(counts, 1)  # type: ignore[no-any-return, unused-ignore]
