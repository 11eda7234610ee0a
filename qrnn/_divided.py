"""Data divided into a part for calibration and a part for measuring."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from . import _arrays
from ._samples import Layout, Sample, is_packed

__all__ = ["Divided", "divided", "rows_of_sample"]


class Divided(NamedTuple):
    """Inputs in two halves."""

    calibration: list[Sample]
    held_back: list[Sample]
    sequences: int  # in both halves
    held: int  # sequences held back


def divided(samples: Sequence[Sample], layouts: Sequence[Layout | None]) -> Divided:
    """Hold back every other input; of a single input, every other row of its batch.

    Raises
    ------
    ValueError
        If there are fewer than two sequences, or a single input cannot be divided.
    """
    counts = [1 if layout is None else layout.batch for layout in layouts]
    if sum(counts) < 2:
        raise ValueError(
            "data: expected at least 2 sequences, one to round the weights by and another to measure on, got "
            f"{sum(counts)}"
        )
    if len(samples) > 1:
        return Divided(list(samples[::2]), list(samples[1::2]), sum(counts), sum(counts[1::2]))
    (sample,), (layout,) = samples, layouts
    assert layout is not None
    even, odd = (rows_of_sample(sample, layout, slice(first, None, 2)) for first in (0, 1))
    return Divided([even], [odd], counts[0], counts[0] // 2)


def rows_of_sample(sample: Sample, layout: Layout, rows: slice) -> Sample:
    """Return the call with some rows of the batch; ValueError if an argument is a PackedSequence."""
    return Sample(
        tuple(_rows(each, layout, rows) for each in sample.args),
        {name: _rows(each, layout, rows) for name, each in sample.kwargs.items()},
    )


def _rows(value: Any, layout: Layout, rows: slice) -> Any:
    """Some rows of the batch of one argument; an argument without a batch stays."""
    if is_packed(value):
        raise ValueError("data: expected at least 2 inputs, as a PackedSequence cannot be divided, got one")
    if isinstance(value, dict):
        return {name: _rows(each, layout, rows) for name, each in value.items()}
    if isinstance(value, (tuple, list)):
        if len(value) == layout.batch and all(isinstance(each, (int, np.integer)) for each in value):
            return value[rows]  # lengths
        return type(value)(_rows(each, layout, rows) for each in value)
    if not (hasattr(value, "__array__") or _arrays.is_tensor(value)):
        return value
    axis = _batch_axis(tuple(value.shape), layout)
    return value if axis is None else value[(slice(None),) * axis + (rows,)]


def _batch_axis(shape: tuple[int, ...], layout: Layout) -> int | None:
    """The axis of an array that has the batch: (batch, ...), (steps, batch, ...) or (layers, batch, ...)."""
    if shape[:2] == (layout.steps, layout.batch) == (layout.batch, layout.steps):
        return 0 if layout.batch_first else 1
    if shape[:1] == (layout.batch,) and (len(shape) != 2 or shape[1] != layout.batch):
        return 0
    return 1 if len(shape) > 1 and shape[1] == layout.batch else None
