"""What rounding by data did to the weights of a model, as a table."""

from __future__ import annotations

from typing import Any, NamedTuple

from ._belongs import belongs
from ._module import Module
from ._public import public
from ._report import Report

__all__ = ["CalibrationReport", "LayerReport", "WeightReport", "calibration_report"]


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
    alone : tuple of float or None
        Error of the outputs of its layer, in float32, where this weight alone has its plain codes, and its codes by
        data, on data that the rounding did not see: rms over rms of the outputs about the mean of each column, as of
        `measure`. None with too few data to hold some back.
    taken : bool
        Whether the layer has its codes by data: they showed a gain.
    """

    name: str
    shape: tuple[int, ...]
    samples: int
    plain: float
    calibrated: float
    rows: int
    scale: tuple[float, float, float]
    seconds: float
    alone: tuple[float, float] | None = None
    taken: bool = True


@public("qrnn.quantization")
class LayerReport(NamedTuple):
    """What rounding by data did to one layer, on data that it did not see.

    Attributes
    ----------
    name : str
        The layer's, dotted.
    pieces : int
        Of sequences, or of rows, that were held back.
    plain, calibrated : float
        Error of its outputs, all of it in its engine: rms over rms of the outputs about the mean of each column, as of
        `measure`; with plain codes, and as it is.
    weights : float
        The error of what its codes stand for, in float32.
    """

    name: str
    pieces: int
    plain: float
    calibrated: float
    weights: float

    @property
    def activations(self) -> float:
        """The part of the squared error that no weights can help: that of the quantized activations."""
        return max(0.0, 1 - (self.weights / self.calibrated) ** 2) if self.calibrated else 0.0


LayerReport.__module__ = "qrnn.quantization"  # the path in pickles
WeightReport.__module__ = "qrnn.quantization"  # the path in pickles


@public("qrnn.quantization")
class CalibrationReport(Report[WeightReport]):
    """A row for each weight that was rounded by data; prints as a table, in Jupyter as HTML.

    Parameters
    ----------
    rows : iterable of WeightReport

    Examples
    --------
    >>> import numpy as np, qrnn
    >>> model = qrnn.prepare(qrnn.nn.Sequential(qrnn.nn.Linear(3, 2)), qconfig={})
    >>> y = model(np.random.default_rng(0).standard_normal((100, 3)))
    >>> report = qrnn.quantization.calibration_report(qrnn.convert(model))
    >>> len(report), report[0].name, report[0].shape, report[0].samples
    (1, '0.weight', (2, 3), 75)
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

    _EMPTY = "no weight was rounded by data"

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Version 0.1.0 pickled the rows under another name."""
        self.__dict__.update(_rows=state["_weights"] if "_weights" in state else state["_rows"])

    def _cells(self, row: WeightReport) -> tuple[str, ...]:
        low, mean, high = row.scale
        return (
            row.name,
            "x".join(map(str, row.shape)),
            f"{row.samples:,}",
            f"{row.plain:.3%}",
            f"{row.calibrated:.3%}",
            f"{row.calibrated / row.plain:.3f}" if row.plain else "",
            f"{row.rows / row.shape[0]:.0%}",
            f"{mean:.3f} ({low:.2f}-{high:.2f})",
            f"{row.seconds:.2f}",
        )


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
