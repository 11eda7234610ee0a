"""What rounding by data did to the weights of a model, as a table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, overload

from ._belongs import belongs
from ._module import Module
from ._public import public

__all__ = ["CalibrationReport", "WeightReport", "calibration_report"]


@public("qrnn.quantization")
class WeightReport(NamedTuple):
    """What rounding by data did to one weight.

    Attributes
    ----------
    name : str
        The weight's, dotted.
    shape : tuple of int
    samples : int
        Rows that its product multiplied; of two products, the smaller number.
    plain, calibrated : float
        Rms error of the product on them, as a part of the product's rms, by plain rounding and by
        rounding by data (with the corrected bias).
    rows : int
        Rows that came out better by data; the others have their plain codes.
    scale : tuple of float
        Smallest, mean and largest scale as a part of the plain one.
    seconds : float
        Time that the rounding took.
    """

    name: str
    shape: tuple[int, ...]
    samples: int
    plain: float
    calibrated: float
    rows: int
    scale: tuple[float, float, float]
    seconds: float


WeightReport.__module__ = "qrnn.quantization"  # the path in pickles


@public("qrnn.quantization")
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

    __module__ = "qrnn.quantization"  # the path in pickles

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
        raise TypeError(f"model: expected a qrnn.nn.Module, got {type(model).__name__}{belongs(model)}")
    weights = []
    for name, module in model.named_modules():
        for each in module.__dict__.get("_calibration", ()):
            weights.append(each._replace(name=f"{name}.{each.name}" if name else each.name))
    return CalibrationReport(weights)
