"""What rounding by data did to the weights and layers of a model, as tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from ._belongs import belongs
from ._module import Module
from ._public import public
from ._report import Report, percent

__all__ = [
    "CalibrationReport",
    "LayerReport",
    "ModelReport",
    "WeightReport",
    "calibration_report",
    "costly",
    "forget_report",
    "keep_model_report",
    "model_report",
    "report_of",
]


@public("qrnn.quantization")
class WeightReport(NamedTuple):
    """What rounding by data did to one weight.

    Attributes
    ----------
    name : str
        The dotted name of the weight.
    shape : tuple of int
    samples : int
        How many rows its product multiplied; of two products, the smaller number.
    plain, calibrated : float
        The rms error of the product on these rows, divided by the product's rms, with plain rounding and with
        rounding by data (and the corrected bias). Rounding minimized this error, so a user would measure another.
    rows : int
        How many of its rows are better with codes by data; the others have their plain codes.
    scale : tuple of float
        The smallest, mean and largest scale, divided by the plain scale.
    seconds : float
        Time that the rounding took.
    alone : tuple of float or None
        The error of its layer's outputs in float32 if only this weight has codes: its plain codes, and its codes by
        data. It is taken on data that the rounding did not see, as rms over the rms of the outputs about the mean of
        each column, as in `measure`. None if there were too few data to hold some back.
    taken : bool
        Whether the layer uses its codes by data, because they showed a gain.

    Examples
    --------
    >>> import numpy as np, qrnn
    >>> prepared = qrnn.prepare(qrnn.nn.Sequential(qrnn.nn.Linear(6, 3)), qconfig={})
    >>> for x in np.random.default_rng(0).standard_normal((40, 8, 6), dtype=np.float32):
    ...     _ = prepared(x)
    >>> report = qrnn.quantization.calibration_report(qrnn.convert(prepared))
    >>> report[0].name, report[0].shape
    ('0.weight', (3, 6))
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
        The dotted name of the layer.
    pieces : int
        How many pieces of sequences, or rows, were held back.
    plain, calibrated : float
        The error of its outputs computed by its engine: rms over the rms of the outputs about the mean of each
        column, as in `measure`; with plain codes, and as the layer is now.
    weights : float
        The error in float32 of the weights that its codes stand for.

    Examples
    --------
    >>> import numpy as np, qrnn
    >>> prepared = qrnn.prepare(qrnn.nn.Sequential(qrnn.nn.Linear(6, 3)), qconfig={})
    >>> for x in np.random.default_rng(0).standard_normal((40, 8, 6), dtype=np.float32):
    ...     _ = prepared(x)
    >>> report = qrnn.quantization.calibration_report(qrnn.convert(prepared))
    >>> [layer.name for layer in report.layers]
    ['0']
    """

    name: str
    pieces: int
    plain: float
    calibrated: float
    weights: float

    @property
    def activations(self) -> float:
        """The part of the squared error that no weights can help, which is that of the quantized activations."""
        return _activations(self.weights, self.calibrated)


@public("qrnn.quantization")
class ModelReport(NamedTuple):
    """What rounding by data did to a whole model, on sequences that no statistics have seen.

    Attributes
    ----------
    name : str
        The dotted name of the prepared model inside the reported one; empty if they are the same.
    sequences : int
        How many were held back.
    plain, calibrated : float or None
        The error of its outputs with all layers quantized, as in `measure`: with plain codes, and as the model is
        now. None if it was not measured.
    weights : float or None
        The error of what its codes stand for, in float32.
    changed : tuple of float or None
        The part of decisions of the first output (its largest columns) that differ from the float model's: with
        plain codes, and as the model is now. None for a single column.
    taken : bool
        False if layers gained from codes by data but the whole model did not; then all codes are plain.
    unmeasured : str
        Why nothing was measured.

    Examples
    --------
    >>> import numpy as np, qrnn
    >>> prepared = qrnn.prepare(qrnn.nn.Sequential(qrnn.nn.Linear(6, 3)), qconfig={})
    >>> for x in np.random.default_rng(0).standard_normal((40, 8, 6), dtype=np.float32):
    ...     _ = prepared(x)
    >>> report = qrnn.quantization.calibration_report(qrnn.convert(prepared))
    >>> [model.sequences for model in report.models] != [0]
    True
    """

    name: str
    sequences: int
    plain: float | None = None
    calibrated: float | None = None
    weights: float | None = None
    changed: tuple[float, float] | None = None
    taken: bool = True
    unmeasured: str = ""

    @property
    def activations(self) -> float | None:
        """The part of the squared error that no weights can help, which is that of the quantized activations."""
        if self.weights is None or self.calibrated is None:
            return None
        return _activations(self.weights, self.calibrated)


def _activations(weights: float, all_of_it: float) -> float:
    return max(0.0, 1 - (weights / all_of_it) ** 2) if all_of_it else 0.0


ModelReport.__module__ = "qrnn.quantization"  # the path in pickles
LayerReport.__module__ = "qrnn.quantization"  # the path in pickles
WeightReport.__module__ = "qrnn.quantization"  # the path in pickles


@public("qrnn.quantization")
class CalibrationReport(Report[WeightReport]):
    """A row for each weight that was rounded by data, then one for each layer and for the model; HTML in Jupyter.

    Parameters
    ----------
    rows : iterable of WeightReport
    layers : iterable of LayerReport
        The layers, on data that rounding did not see.
    models : iterable of ModelReport
        The whole model on such data: what a user of it would measure. A model that is one layer has none, because the
        row of its layer says the same.

    Attributes
    ----------
    layers : tuple of LayerReport
    models : tuple of ModelReport
        One, or several for a model of parts that were prepared separately.

    Examples
    --------
    >>> import numpy as np, qrnn
    >>> model = qrnn.prepare(qrnn.nn.Sequential(qrnn.nn.Linear(3, 2)), qconfig={})
    >>> y = model(np.random.default_rng(0).standard_normal((100, 3)))
    >>> report = qrnn.quantization.calibration_report(qrnn.convert(model))
    >>> len(report), report[0].name, report[0].shape, report[0].samples
    (1, '0.weight', (2, 3), 74)
    >>> [(each.name, each.calibrated <= each.plain) for each in report.layers]
    [('0', True)]
    >>> str(report).split()[:4]
    ['weight', 'shape', 'samples', 'alone,']
    """

    __module__ = "qrnn.quantization"  # the path in pickles

    _HEADS = ("weight", "shape", "samples", "alone, plain", "by data", "ratio", "taken", "rows by data", "seconds")
    _LAYER_HEADS = ("layer", "held back", "error, plain", "as converted", "ratio", "due to activations")

    _EMPTY = "no weight was rounded by data"

    def __init__(
        self, rows: Iterable[WeightReport], layers: Iterable[LayerReport] = (), models: Iterable[ModelReport] = ()
    ) -> None:
        super().__init__(rows)
        self.layers, self.models = tuple(layers), tuple(models)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Pickles of version 0.1.0 have the rows under another name, and no layers."""
        rows = state["_weights"] if "_weights" in state else state["_rows"]
        self.__dict__.update(_rows=rows, layers=state.get("layers", ()), models=state.get("models", ()))

    def _part(self, rows: Iterable[WeightReport]) -> CalibrationReport:
        """Some of the weights, without the layers."""
        return CalibrationReport(rows)

    def _facts(self) -> dict[str, Any]:
        found: dict[str, tuple[Any, ...]] = {"layers": self.layers, "models": self.models}
        return {
            name: [{**each._asdict(), "activations": each.activations} for each in reports]
            for name, reports in found.items()
        }

    def _cells(self, row: WeightReport) -> tuple[str, ...]:
        plain, new = (None, None) if row.alone is None else row.alone
        return (
            row.name,
            "x".join(map(str, row.shape)),
            f"{row.samples:,}",
            percent(plain),
            percent(new),
            f"{new / plain:.3f}" if plain and new is not None else "",
            "yes" if row.taken else "no",
            f"{row.rows / row.shape[0]:.0%}",
            f"{row.seconds:.2f}",
        )

    def _tables(self) -> list[list[tuple[str, ...]]]:
        layers = [
            _line(each.name or "the model", each.pieces, each.plain, each.calibrated, each.activations)
            for each in self.layers
        ]
        models = [
            _line(_model(each), each.sequences, each.plain, each.calibrated, each.activations or 0.0)
            for each in self.models
            if each.plain is not None and each.calibrated is not None
        ]
        return [[self._LAYER_HEADS, *layers, *models]] if layers or models else []

    def _after(self) -> list[str]:
        few = any(each.alone is None for each in self._rows)
        lines = ["Too few data to hold some back: a matrix without a gain keeps plain rounding."] if few else []
        for each in self.models:
            if each.unmeasured:
                lines.append(f"No error of {_model(each)} as a whole: {each.unmeasured}.")
            if each.changed is not None:
                plain, new = map(percent, each.changed)
                lines.append(
                    f"Decisions of {_model(each)} unlike the float model's: {plain} plain, {new} as converted."
                )
            if not each.taken:
                lines.append(f"As a whole, {_model(each)} showed no gain by data: all of its codes are plain.")
        return lines


def _line(name: str, held: int, plain: float, new: float, activations: float) -> tuple[str, ...]:
    """The texts of a layer or a model."""
    ratio = f"{new / plain:.3f}" if plain else ""
    return name, f"{held}", percent(plain), percent(new), ratio, f"{activations:.0%}"


def _model(report: ModelReport) -> str:
    return report.name or "the model"


def calibration_report(model: Module) -> CalibrationReport:
    """What rounding by data did to each weight and layer of a converted model.

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

    Examples
    --------
    >>> import numpy as np, qrnn
    >>> prepared = qrnn.prepare(qrnn.nn.Sequential(qrnn.nn.Linear(6, 3)), qconfig={})
    >>> for x in np.random.default_rng(0).standard_normal((40, 8, 6), dtype=np.float32):
    ...     _ = prepared(x)
    >>> report = qrnn.quantization.calibration_report(qrnn.convert(prepared))
    >>> [weight.name for weight in report]
    ['0.weight']
    """
    if not isinstance(model, Module):
        raise TypeError(f"model: expected a qrnn.nn.Module, got {type(model).__name__}{belongs(model)}")
    return report_of(model.named_modules())


def report_of(modules: Iterable[tuple[str, Any]]) -> CalibrationReport:
    """The report of converted layers, by their names."""
    weights, layers, models = [], [], []
    for name, module in modules:
        whole = module.__dict__.get(_MODEL)
        models += [] if whole is None or not whole.holds(module) else [whole.report._replace(name=name)]
        found = module.__dict__.get("_calibration")
        if found is None:
            continue
        weights += [each._replace(name=f"{name}.{each.name}" if name else each.name) for each in found]
        layer = module.__dict__.get("_calibrated")
        layers += [] if layer is None else [layer._replace(name=name)]
    return CalibrationReport(weights, layers, models)


#: The attribute of a converted model that holds its `_Whole`.
_MODEL = "_calibrated_model"


class _Whole(NamedTuple):
    """What is known about a converted model as a whole."""

    report: ModelReport
    layers: tuple[str, ...]  # those with codes, or tried codes, by data

    def holds(self, model: Any) -> bool:
        """Whether `model` still has the codes that the report is about."""
        known = {name for name, each in model.named_modules() if "_calibration" in vars(each)}
        return known.issuperset(self.layers)


def keep_model_report(model: Any, report: ModelReport | None) -> None:
    """Keep `report` about the whole `model` for `calibration_report`; None keeps nothing."""
    vars(model).pop(_MODEL, None)
    if report is not None:
        names = tuple(name for name, each in model.named_modules() if "_calibration" in vars(each))
        vars(model)[_MODEL] = _Whole(report, names)


def model_report(model: Any) -> ModelReport | None:
    """The report about the whole `model`, or None."""
    whole = vars(model).get(_MODEL)
    return whole.report if isinstance(whole, _Whole) and whole.holds(model) else None


#: The attributes of a converted layer that hold its report.
_CALIBRATED = ("_calibration", "_calibrated")


def forget_report(module: Any) -> None:
    """Forget what rounding did to a converted layer's weights, because the layer got other weights."""
    for name in _CALIBRATED:
        module.__dict__.pop(name, None)


#: `convert` warns if plain codes of one weight cause a larger error of its layer's outputs than this.
COSTLY = 0.05
#: Rows of data for each column of a weight with which rounding by data gains most of what it can (docs/calibration.md).
ENOUGH = 10


def costly(module: Any, name: str) -> Iterator[str]:
    """Warnings about weights of the converted layer `name` for which 8 bits are too few."""
    for each in module.__dict__.get("_calibration", ()):
        if each.alone is None or each.taken or each.alone[0] <= COSTLY:
            continue
        key = f"{name}.{each.name}" if name else each.name
        (rows, columns), weights = each.shape, sum(matrix.rows * matrix.columns for matrix in module._spec.matrices)
        if each.samples < ENOUGH * columns:
            why = (
                f"{each.samples:,} rows of data were too few to better them: call the prepared model with more, "
                f"{ENOUGH * columns:,} at least; or"
            )
        else:
            why = "data do not better them, as where inputs differ by orders of magnitude:"
        yield (
            f"{key}: its codes alone cost {percent(each.alone[0])} of what the layer gives, and {why} keep it and what "
            f"it multiplies in float32, {rows * columns / weights:.0%} of the layer's weights, by "
            f'prepare(model, qconfig={{"": engine_qconfig, "{key}": float_qconfig}}) of qrnn.quantization'
        )
