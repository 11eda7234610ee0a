"""Makes the codes, scales and biases of a quantized layer from the statistics of the prepared one."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _rounding
from ._calibration_report import LayerReport, WeightReport
from ._guards import TOGETHER, Held, shows_gain, threshold
from ._progress import progress
from ._recording import product_rows
from ._rounding import Codes, Inputs, Rounded

if TYPE_CHECKING:
    from ._matrices import Matrix
    from ._spec import LayerSpec
    from ._statistics import Statistics

__all__ = ["LayerRounding"]

#: Multiplications above which rounding may take seconds, long enough for a progress bar.
LONG = 5e9


class LayerRounding:
    """The rounding of one layer by data, matrix by matrix, and the choice of the matrices that gain from it.

    Parameters
    ----------
    spec : LayerSpec
        The specification of the layer.
    statistics : Statistics
        The statistics of what its products multiplied.

    Attributes
    ----------
    report : list of WeightReport
        One for each matrix that was rounded by data; `choose` adds what was chosen.
    layer : LayerReport or None
        The result for the layer; None without enough data.
    plain_layer : LayerReport or None
        The same with plain codes.
    """

    def __init__(self, spec: LayerSpec, statistics: Statistics) -> None:
        self._spec = spec
        self._statistics = statistics
        self._rounded: dict[int, Matrix] = {}
        self.report: list[WeightReport] = []
        self.layer: LayerReport | None = None
        self.plain_layer: LayerReport | None = None

    def round(self, index: int, name: str, matrix: Matrix, plain: Matrix, allowed: tuple[int, int]) -> None:
        """Round the float `matrix` by data, if there are any; `plain` is the matrix rounded without data.

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
            return
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
        self._rounded[index] = plain._replace(weight=new.codes, scale=new.scale, bias=bias)

    def attributes(self) -> dict[str, Any]:
        """The attributes that the quantized layer keeps for `calibration_report`; none without data."""
        layer = {} if self.layer is None else {"_calibrated": self.layer}
        return {"_calibration": tuple(self.report), **layer} if self.report else {}

    def attributes_of_plain(self) -> dict[str, Any]:
        """`attributes` of the layer with plain codes instead of the chosen ones."""
        layer = {} if self.plain_layer is None else {"_calibrated": self.plain_layer}
        report = tuple(each._replace(taken=False) for each in self.report)
        return {"_calibration": report, **layer} if report else {}

    def choose(self, floats: list[Matrix], plain: list[Matrix], engine: str, isa: str | None) -> list[Matrix]:
        """For each matrix its codes by data if they show a gain on held-back data, else its plain codes.

        Parameters
        ----------
        floats, plain : list of Matrix
            All matrices of the layer: float, and quantized without data.
        engine : str
        isa : str or None
            The instruction set that the layer will use.
        """
        if not self._rounded:
            return plain
        if not self._statistics.guarded:
            return [self._rounded.get(index, matrix) for index, matrix in enumerate(plain)]
        held = Held(self._spec, isa, floats, self._statistics.held())
        if held.count < 2:
            self.report = [each._replace(taken=False) for each in self.report]
            return plain
        chosen, errors = list(plain), []
        for index, new in self._rounded.items():
            rough, fine = held.alone(index, plain[index]), held.alone(index, new)
            errors.append((rough.error, fine.error))
            if shows_gain(rough.squares, fine.squares, threshold(rough.error)):
                chosen[index] = new
        before = held.tried(engine, plain)
        after = held.tried(engine, chosen)
        if not shows_gain(before.squares, after.squares, TOGETHER):
            chosen, after = list(plain), before
        self.report = [
            each._replace(alone=error, taken=chosen[index] is new)
            for each, error, (index, new) in zip(self.report, errors, self._rounded.items(), strict=True)
        ]
        self.layer = LayerReport("", held.count, before.error, after.error, held.values(chosen).error)
        self.plain_layer = LayerReport("", held.count, before.error, before.error, held.values(plain).error)
        return chosen

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
    """A progress bar if the work is long; yields the function that counts rows."""
    rows, columns = weight.shape
    if _rounding.PASSES * weight.size * columns >= LONG:
        return progress(rows * _rounding.PASSES, f"rounding {name}")
    return nullcontext(lambda rows: None)
