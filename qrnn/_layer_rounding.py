"""From the statistics of a prepared layer to the codes, scales and biases of the quantized one."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _rounding
from ._calibration_report import WeightReport
from ._progress import progress
from ._recording import product_rows
from ._rounding import Codes, Inputs, Rounded
from ._spec import packed_spec

if TYPE_CHECKING:
    from ._layer import FloatLayer
    from ._matrices import Matrix
    from ._statistics import Statistics

__all__ = ["LayerRounding"]

#: Multiplications above which rounding may take seconds, long enough for a progress bar.
LONG = 5e9


class LayerRounding:
    """The rounding of one layer by data, matrix by matrix.

    Parameters
    ----------
    module : FloatLayer
        The prepared layer.
    statistics : Statistics
        What its products multiplied.

    Attributes
    ----------
    report : list of WeightReport
        One for each matrix that was rounded by data.
    """

    def __init__(self, module: FloatLayer, statistics: Statistics) -> None:
        self._spec = packed_spec(module)
        self._statistics = statistics
        self.report: list[WeightReport] = []

    def rounded(self, index: int, name: str, matrix: Matrix, plain: Matrix, allowed: tuple[int, int]) -> Matrix:
        """The quantized `matrix`: `plain`, which it is without data, or better.

        Parameters
        ----------
        index : int
            Its place in the core's order.
        name : str
        matrix, plain : Matrix
            Float and quantized.
        allowed : tuple of int
            The least and the largest code.
        """
        weight, old = matrix.weight, Codes(plain.weight, np.asarray(plain.scale))
        parts = product_rows(self._spec, index)
        seen = [self._statistics.of(index, product) for product in range(len(parts))]
        if not weight.size or any(moments is None or not moments.samples for moments in seen):
            return plain
        start = time.perf_counter()
        inputs = [Inputs(m.second_moment(), m.mean(), m.samples) for m in seen if m is not None]
        fixed = len(parts) > 1 and old.scale.ndim == 0  # the products share the scale
        centred = matrix.bias is not None
        results = []
        with _progress(name, weight) as tick:
            for rows, each in zip(parts, inputs, strict=True):
                own = Codes(old.codes[rows], old.scale[rows] if old.scale.ndim else old.scale)
                results.append(_rounding.rounded(weight[rows], own, each, centred, fixed, tick, allowed))
        codes = np.concatenate([result.codes.codes for result in results])
        scale = old.scale if fixed else np.concatenate([np.atleast_1d(r.codes.scale) for r in results])
        new = Codes(codes, scale.reshape(old.scale.shape))
        samples = min(m.count for m in seen if m is not None)
        self._note(name, old, new, samples, results, time.perf_counter() - start)
        bias = matrix.bias
        if bias is not None:
            change = np.concatenate([result.bias_change for result in results])
            bias = (bias + change).astype(np.float32)
        return plain._replace(weight=new.codes, scale=new.scale, bias=bias)

    def _note(self, name: str, old: Codes, new: Codes, samples: int, results: list[Rounded], seconds: float) -> None:
        power = sum(result.power for result in results) or 1.0
        plain = sum(result.plain_error for result in results)
        error = sum(result.error for result in results)
        ratio = new.scale.astype(np.float64) / old.scale
        self.report.append(
            WeightReport(
                name,
                new.codes.shape,
                samples,
                float(np.sqrt(plain / power)),
                float(np.sqrt(error / power)),
                int(sum(result.by_data.sum() for result in results)),
                (float(ratio.min()), float(ratio.mean()), float(ratio.max())),
                seconds,
            )
        )


def _progress(name: str, weight: Any) -> AbstractContextManager[Callable[[int], object]]:
    """A progress bar where the work is long: yields what counts rows."""
    rows, columns = weight.shape
    if _rounding.PASSES * weight.size * columns >= LONG:
        return progress(rows * _rounding.PASSES, f"rounding {name}")
    return nullcontext(lambda rows: None)
