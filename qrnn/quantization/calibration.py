"""Calibration: rounding weights by the data that a prepared model was called with.

Between `prepare` and `convert`, calls of the model are observed; `convert` rounds by what they
showed. See docs/calibration.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, overload

from ..nn.modules.module import Module
from .calibrating import WeightReport
from .prepared import PreparedLayer

__all__ = [
    "CalibrationReport",
    "WeightReport",
    "calibration_report",
    "disable_observer",
    "enable_observer",
    "merge_statistics",
]


def enable_observer(mod: Module) -> None:
    """Have a prepared module observe its inputs again: ``model.apply(enable_observer)``.

    Parameters
    ----------
    mod : Module
        One that is not prepared is left alone.
    """
    _observe(mod, True)


def disable_observer(mod: Module) -> None:
    """Have a prepared module observe nothing, but keep what it saw: ``model.apply(disable_observer)``.

    For training between `prepare` and `convert`, and for data that calibration is not to see.

    Parameters
    ----------
    mod : Module
        One that is not prepared is left alone.

    Examples
    --------
    >>> import qrnn
    >>> model = qrnn.prepare(qrnn.nn.Sequential(qrnn.nn.Linear(3, 2)), qconfig={})
    >>> model = model.apply(qrnn.quantization.disable_observer)
    """
    _observe(mod, False)


def _observe(mod: Module, enabled: bool) -> None:
    if isinstance(mod, PreparedLayer):
        mod._prepared.statistics.enabled = enabled


def merge_statistics(model: Module, *others: Module) -> Module:
    """Add to a prepared model what copies of it observed, each on data of its own.

    Parameters
    ----------
    model : Module
        Prepared; its statistics are changed.
    *others : Module
        Copies of it (``copy.deepcopy``, or pickled from another process), made before they were called:
        what a model had observed when it was copied would count twice.

    Returns
    -------
    Module
        `model`.

    Raises
    ------
    TypeError
        If an argument is no Module.
    ValueError
        If one has not the same prepared modules under the same names. Nothing has changed then.

    Examples
    --------
    >>> import copy, numpy as np, qrnn
    >>> model = qrnn.prepare(qrnn.nn.Linear(3, 2), qconfig={})
    >>> other = copy.deepcopy(model)
    >>> x = np.random.default_rng(0).standard_normal((10, 3), dtype=np.float32)
    >>> y, z = model(x[:5]), other(x[5:])
    >>> new = qrnn.convert(qrnn.quantization.merge_statistics(model, other))
    >>> qrnn.quantization.calibration_report(new)[0].samples
    10
    """
    own = _prepared(model, "model")
    pairs = []
    for place, other in enumerate(others):
        theirs = _prepared(other, f"others[{place}]")
        for name in own.keys() | theirs.keys():
            if name not in own or name not in theirs or _summable(own[name]) != _summable(theirs[name]):
                raise ValueError(
                    f"others[{place}]: expected the same prepared modules as in model, but "
                    f"{name or 'the model'} differs"
                )
            pairs.append((own[name], theirs[name]))
    for mine, its in pairs:
        mine._prepared.statistics.merge(its._prepared.statistics)
    return model


def _prepared(model: Any, argument: str) -> dict[str, PreparedLayer]:
    if not isinstance(model, Module):
        raise TypeError(f"{argument}: expected a qrnn.nn.Module, got {type(model).__name__}")
    found = {name: each for name, each in model.named_modules() if isinstance(each, PreparedLayer)}
    if not found:
        raise ValueError(f"{argument}: expected a prepared model, got one without prepared modules")
    return found


def _summable(layer: PreparedLayer) -> tuple[Any, ...]:
    """What has to agree for statistics to add up."""
    shapes = tuple(matrix.weight.shape for matrix in layer._matrices())
    return layer._form(), layer._prepared.engine, shapes


class CalibrationReport(Sequence[WeightReport]):
    """A row for each weight that was rounded by data; prints as a table, in Jupyter as HTML.

    Parameters
    ----------
    weights : iterable of WeightReport

    Examples
    --------
    >>> import numpy as np, qrnn
    >>> model = qrnn.prepare(qrnn.nn.Sequential(qrnn.nn.Linear(3, 2)), qconfig={})
    >>> y = model(np.random.default_rng(0).standard_normal((100, 3)))
    >>> report = qrnn.quantization.calibration_report(qrnn.convert(model))
    >>> len(report), report[0].name, report[0].shape, report[0].samples
    (1, '0.weight', (2, 3), 100)
    >>> report[0].calibrated <= report[0].plain
    True
    >>> str(report).split()[:6]
    ['weight', 'shape', 'samples', 'plain', 'error', 'calibrated']
    """

    _HEADS = (
        "weight",
        "shape",
        "samples",
        "plain error",
        "calibrated",
        "ratio",
        "by data",
        "scale of plain",
        "seconds",
    )

    def __init__(self, weights: Iterable[WeightReport]) -> None:
        self._weights: tuple[WeightReport, ...] = tuple(weights)

    def __len__(self) -> int:
        return len(self._weights)

    @overload
    def __getitem__(self, index: int) -> WeightReport: ...
    @overload
    def __getitem__(self, index: slice) -> CalibrationReport: ...
    def __getitem__(self, index: int | slice) -> WeightReport | CalibrationReport:
        if isinstance(index, slice):
            return CalibrationReport(self._weights[index])
        return self._weights[index]

    def _cells(self) -> Iterator[tuple[str, ...]]:
        for each in self._weights:
            low, mean, high = each.scale
            yield (
                each.name,
                "x".join(map(str, each.shape)),
                f"{each.samples:,}",
                f"{each.plain:.3%}",
                f"{each.calibrated:.3%}",
                f"{each.calibrated / each.plain:.3f}" if each.plain else "",
                f"{each.rows / each.shape[0]:.0%}",
                f"{mean:.3f} ({low:.2f}-{high:.2f})",
                f"{each.seconds:.2f}",
            )

    def __str__(self) -> str:
        if not self._weights:
            return "no weight was rounded by data"
        table = [self._HEADS, *self._cells()]
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        lines = []
        for row in table:
            name, *rest = (text.rjust(width) for text, width in zip(row, widths, strict=True))
            lines.append("  ".join([row[0].ljust(len(name)), *rest]))
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        import html  # 1.5 ms, for notebooks alone

        def line(tag: str, row: tuple[str, ...]) -> str:
            return "<tr>" + "".join(f"<{tag}>{html.escape(text)}</{tag}>" for text in row) + "</tr>"

        if not self._weights:
            return f"<p>{self}</p>"
        body = "".join(line("td", row) for row in self._cells())
        return f"<table><thead>{line('th', self._HEADS)}</thead><tbody>{body}</tbody></table>"


def calibration_report(model: Module) -> CalibrationReport:
    """What rounding by data did to each weight of a converted model.

    Parameters
    ----------
    model : Module
        As `convert` returned it, or a copy of that.

    Returns
    -------
    CalibrationReport
        A sequence of WeightReport; empty if the model was converted without data. A layer whose
        weights or biases were replaced since has no rows.

    Raises
    ------
    TypeError
        If `model` is no Module.
    """
    if not isinstance(model, Module):
        raise TypeError(f"model: expected a qrnn.nn.Module, got {type(model).__name__}")
    weights = []
    for name, module in model.named_modules():
        for each in module.__dict__.get("_calibration", ()):
            weights.append(each._replace(name=f"{name}.{each.name}" if name else each.name))
    return CalibrationReport(weights)
