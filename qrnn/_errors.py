"""The outputs of a model as rows that can be compared, without padding."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _arrays
from ._comparison import Batch, Rows
from ._samples import is_packed

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ._samples import Layout

    Floats = NDArray[np.floating[Any]]

__all__ = ["arrays_of", "leaves", "rows_of", "without_padding"]


def arrays_of(result: Any) -> Any:
    """The result of a call with arrays instead of tensors, in the same tuples, lists and dicts."""
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
    """Whether an output of this shape has ``"steps"`` or ``"batch"`` as its first axis; None: neither.

    An output of two axes counts only if there is padding, because its last axis may be columns as well.
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
        row = np.broadcast_to(np.arange(layout.batch)[:, None, None], steps.shape)
        if valid is not None:
            by_step, steps, row = by_step[valid], steps[valid], row[valid]
        values = by_step.reshape(-1, array.shape[-1] if array.ndim > 2 else 1)
        return Rows(values, steps.reshape(-1), Batch(row.reshape(-1), layout.batch))
    columns = array.shape[-1] if array.ndim else 1
    rows = array.reshape(-1, columns) if array.size else np.zeros((0, columns), np.float32)
    unbatched = layout is not None and layout.batch == 1 and array.ndim == 2 and len(array) == layout.steps
    return Rows(rows, np.arange(len(rows)) if unbatched else None, _batch(array.shape, len(rows), layout))


def _batch(shape: tuple[int, ...], rows: int, layout: Layout | None) -> Batch | None:
    """The batch row of each row of an output that has no rows for steps; None: they are the same."""
    if layout is None or layout.batch == rows:
        return None
    if layout.batch == 1:
        return Batch(np.zeros(rows, np.intp), 1)
    for axis in (-2, 0):  # states are (layers, batch, columns)
        if len(shape) > 1 and shape[axis] == layout.batch:
            inner = math.prod(shape[axis:-1][1:])
            return Batch(np.arange(rows) // inner % layout.batch, layout.batch)
    return None


def without_padding(result: Any, layout: Layout | None) -> Any:
    """The result of a call, as `arrays_of` returns it, with zeros instead of padding."""
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
