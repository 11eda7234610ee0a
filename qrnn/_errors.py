"""How far the outputs of one model are from another's: by rows without padding, by step, in decisions."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from . import _arrays
from ._samples import is_packed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ._watching import Layout

    Floats = NDArray[np.floating[Any]]

__all__ = ["Comparison", "Rows", "Scale", "arrays_of", "leaves", "rows_of", "without_padding"]


class Rows(NamedTuple):
    """What one call gives as one output: a row for each step of each sequence, or for each sequence."""

    values: Floats  # (rows, columns)
    steps: NDArray[np.intp] | None  # the step of each row; None where rows are no steps

    def one_column(self) -> Rows:
        """All values as one column, for an output whose last axis has another length in each call."""
        return Rows(self.values.reshape(-1, 1), None)


def arrays_of(result: Any) -> Any:
    """The result of a call with arrays in the place of tensors, in the same tuples, lists and dicts."""
    if is_packed(result):
        return _arrays.to_numpy(result.data, "output")
    if isinstance(result, dict):
        return {key: arrays_of(each) for key, each in result.items()}
    if isinstance(result, (tuple, list)):
        parts = [arrays_of(each) for each in result]
        return parts if isinstance(result, list) else tuple(parts)
    return _arrays.to_numpy(result, "output") if _arrays.is_tensor(result) else result


def leaves(result: Any, name: str = "output") -> Iterator[tuple[str, Floats]]:
    """Name and array of each output of float numbers in what `arrays_of` returned."""
    if isinstance(result, dict):
        for key, each in result.items():
            yield from leaves(each, f"{name}[{key!r}]")
    elif isinstance(result, (tuple, list)):
        for place, each in enumerate(result):
            yield from leaves(each, f"{name}[{place}]")
    elif result is not None:
        array = _arrays.to_numpy(result, name)
        if array.dtype.kind == "f":
            yield name, array


def _by_steps(shape: tuple[int, ...], layout: Layout | None) -> str | None:
    """Whether an output of that shape has its rows by ``"steps"`` first or by ``"batch"``; None: by neither.

    One of two axes counts only where there is padding: its last axis may be columns as well.
    """
    if layout is None or len(shape) < (2 if layout.lengths is not None else 3):
        return None
    found = {(layout.steps, layout.batch): "steps", (layout.batch, layout.steps): "batch"}
    if layout.steps == layout.batch and shape[:2] in found:
        return "batch" if layout.batch_first else "steps"
    return found.get((shape[0], shape[1]))


def _batch_first(array: Floats, layout: Layout | None) -> Floats | None:
    """`array` as (batch, steps, ..., columns), if it has a row for each step."""
    by = _by_steps(array.shape, layout)
    if by is None:
        return None
    array = array[..., None] if array.ndim == 2 else array
    return array.swapaxes(0, 1) if by == "steps" else array


def rows_of(array: Floats, layout: Layout | None) -> Rows:
    """The rows of one output, without those of padding."""
    by_step = _batch_first(array, layout)
    if by_step is not None and layout is not None:
        valid = layout.valid()
        steps = np.broadcast_to(np.arange(layout.steps), by_step.shape[:2])
        inner = math.prod(by_step.shape[2:-1])
        steps = np.repeat(steps[..., None], inner, axis=2)
        if valid is not None:
            by_step, steps = by_step[valid], steps[valid]
        return Rows(by_step.reshape(-1, array.shape[-1] if array.ndim > 2 else 1), steps.reshape(-1))
    columns = array.shape[-1] if array.ndim else 1
    rows = array.reshape(-1, columns) if array.size else np.zeros((0, columns), np.float32)
    unbatched = layout is not None and layout.batch == 1 and array.ndim == 2 and len(array) == layout.steps
    return Rows(rows, np.arange(len(rows)) if unbatched else None)


def without_padding(result: Any, layout: Layout | None) -> Any:
    """The result of a call, as `arrays_of` gives it, with zeros in the place of padding."""
    valid = None if layout is None else layout.valid()
    if valid is None:
        return result
    if isinstance(result, dict):
        return {key: without_padding(each, layout) for key, each in result.items()}
    if isinstance(result, (tuple, list)):
        return type(result)(without_padding(each, layout) for each in result)
    by = _by_steps(np.shape(result), layout)
    if by is None:
        return result
    mask = valid.T if by == "steps" else valid
    array = np.asarray(result)
    return np.where(mask.reshape(*mask.shape, *(1,) * (array.ndim - 2)), array, array.dtype.type(0))


class Scale(NamedTuple):
    """What errors of one output are relative to."""

    rms: float  # of a row of the reference about the mean of each column
    columns: int

    @classmethod
    def of(cls, reference: Sequence[Rows]) -> Scale:
        """The scale of all rows of a reference. One row has no mean to be about: then about 0."""
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
        Of the reference.
    """

    def __init__(self, scale: Scale) -> None:
        self._scale = scale
        self._squares, self._largest, self._rows = 0.0, 0.0, 0
        self._changed, self._decided = 0, 0
        self._by_step: dict[int, tuple[float, int]] = {}

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
        """Rms of the error over the scale."""
        return self._relative(math.sqrt(self._squares / self._rows)) if self._rows else 0.0

    @property
    def worst(self) -> float:
        """The largest error of one number, over the rms of one number of the reference about its mean."""
        return self._relative(self._largest * math.sqrt(self._scale.columns))

    @property
    def changed(self) -> float | None:
        """The part of rows whose largest column is another; None for a single column."""
        return self._changed / self._decided if self._decided else None

    @property
    def by_step(self) -> tuple[float, ...]:
        """`error` of the rows of each step; empty where rows are no steps."""
        return tuple(
            self._relative(math.sqrt(total / count)) if count else 0.0 for total, count in self._by_step.values()
        )
