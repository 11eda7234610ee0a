"""sensitivity: the error that the precision of each weight matrix causes in the outputs of a model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from ._levels import FLOAT, INT8, QUANTIZED, Level, Part
from ._measure import Metric, expect_metric
from ._module import Module
from ._progress import progress
from ._public import public
from ._report import Report, percent
from ._trials import Trials
from ._watching import find_framework

__all__ = ["PartReport", "SensitivityReport", "examined", "facts_of", "measured_on", "sensitivity", "trials_of"]

#: A sentence about the columns of the table.
_ALONE = (
    "Error of the outputs if this matrix alone is quantized, at each level; in the column behind them, if it and those "
    "above it are float and all others int8."
)


@public("qrnn.quantization")
class PartReport(NamedTuple):
    """The error that one weight matrix causes.

    Attributes
    ----------
    name : str
        The dotted name of the parameter, a key for `prepare` and `quantize_dynamic`.
    shape : tuple of int
    weights, time : float
        Its share of all weights, and of the estimated time of a call with all of them in int8.
    errors : dict of str to float
        The error of the outputs if only this matrix is quantized, by the names of the levels.
    cumulative : float
        The error if this matrix and those above it are float, and all others int8.
    nbytes : int
        Bytes of the matrix in int8, with its scales.
    choice : str or None
        The level that `autoquantize` chose.

    Examples
    --------
    >>> import numpy as np, qrnn
    >>> model = qrnn.nn.Sequential(qrnn.nn.Linear(4, 3))
    >>> data = list(np.random.default_rng(0).standard_normal((20, 2, 4), dtype=np.float32))
    >>> row = qrnn.quantization.sensitivity(model, data)[0]
    >>> row.name, row.shape, row.errors["int8"] < 0.1
    ('0.weight', (3, 4), True)
    """

    name: str
    shape: tuple[int, int]
    weights: float
    time: float
    errors: dict[str, float]
    cumulative: float
    nbytes: int
    choice: str | None = None


@public("qrnn.quantization")
class SensitivityReport(Report[PartReport]):
    """A row for each weight matrix, the largest error first; prints as a table, in Jupyter as HTML.

    Parameters
    ----------
    rows : iterable of PartReport
    facts : mapping
        ``int8``, the error of the model with all matrices in int8; and the data: ``sequences`` in all and
        ``held_back``, the least and the most of ``batch`` and ``steps``.

    Examples
    --------
    >>> import numpy as np, qrnn
    >>> model = qrnn.nn.Sequential(qrnn.nn.Linear(4, 3))
    >>> data = list(np.random.default_rng(0).standard_normal((20, 2, 4), dtype=np.float32))
    >>> report = qrnn.quantization.sensitivity(model, data)
    >>> [row.name for row in report], report.to_dict()["held_back"]
    (['0.weight'], 20)
    """

    _HEADS = ("weight", "shape", "weights", "time", "bytes", *(level.name for level in QUANTIZED), "those above float")

    def __init__(self, rows: Any, facts: Mapping[str, Any]) -> None:
        super().__init__(rows)
        self._given = dict(facts)

    def _facts(self) -> dict[str, Any]:
        return self._given

    def _cells(self, row: PartReport) -> tuple[str, ...]:
        return (
            row.name,
            "x".join(map(str, row.shape)),
            f"{row.weights:.0%}",
            f"{row.time:.0%}",
            f"{row.nbytes:,}",
            *(percent(row.errors[level.name]) for level in QUANTIZED),
            percent(row.cumulative),
        )

    def _before(self) -> list[str]:
        return [_ALONE]

    def _after(self) -> list[str]:
        return [f"All in int8: {percent(self._given['int8'])}. {measured_on(self._given)}"]


def measured_on(facts: Mapping[str, Any]) -> str:
    """A sentence about the data on which errors were measured."""
    held, rest = facts["held_back"], facts["sequences"] - facts["held_back"]
    return (
        f"Measured on {held:,} sequence{'s' * (held != 1)} held back from the {rest:,} that rounded by data, "
        f"in batches of {_range(facts['batch'])} with {_range(facts['steps'])} steps."
    )


def _range(ends: Any) -> str:
    low, high = ends
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def sensitivity(model: Module, data: Any, metric: Metric | None = None) -> SensitivityReport:
    """Measure the error that each weight matrix of a model causes if only it is quantized, at each level.

    Parameters
    ----------
    model : Module
        A float model of ``qrnn.nn`` or of PyTorch; it is not changed.
    data : iterable
        Inputs, one for each call, as for `measure`, with at least 2 sequences. Every other input (of a single input,
        every other row of the batch) is held back to measure errors on. The rest rounds the weights of the levels "by
        data".
    metric : callable, optional
        As for `measure`.

    Returns
    -------
    SensitivityReport
        A row for each W_ih, W_hh, W_hr and Linear, the one with the largest error in int8 first.

    Raises
    ------
    TypeError
        If an argument is of the wrong type.
    ValueError
        If there are fewer than 2 sequences, no layer can be quantized, or outputs are not finite.

    Examples
    --------
    >>> import numpy as np, qrnn
    >>> model = qrnn.nn.Sequential(qrnn.nn.RNNCell(3, 8), qrnn.nn.Linear(8, 2))
    >>> model[0].weight_ih = model[0].weight_ih / [1, 1, 1000]  # for inputs in units of their own
    >>> data = list(np.random.default_rng(0).standard_normal((20, 16, 3)) * [1, 1, 1000])
    >>> report = qrnn.quantization.sensitivity(model, data)
    >>> report[0].name, report[0].errors["int8"] > 10 * report[1].errors["int8"]
    ('0.weight_ih', True)
    """
    trials = trials_of(model, data, metric)
    with progress(len(trials.parts) * (len(QUANTIZED) + 1), "sensitivity") as tick:
        return SensitivityReport(examined(trials, tick), facts_of(trials))


def trials_of(model: Any, data: Any, metric: Any) -> Trials:
    """The `Trials` for a user's arguments."""
    framework = find_framework(model)
    if framework is None:
        raise TypeError(f"model: expected a qrnn.nn.Module or a torch.nn.Module, got {type(model).__name__}")
    framework.expect(model, "model")
    framework.expect_no_loop(model, "model")
    if any(framework.prepared_engine(module) is not None for module in model.modules()):
        raise ValueError("model: expected a float model, got one that is prepared")
    return Trials(framework, model, data, expect_metric(metric))


def facts_of(trials: Trials) -> dict[str, Any]:
    """The facts of a report about all parts and about the data."""
    return {
        "int8": trials.error(trials.all()),
        "sequences": trials.divided.sequences,
        "held_back": trials.divided.held,
        "batch": trials.batch,
        "steps": trials.steps,
    }


def examined(trials: Trials, tick: Callable[[int], object]) -> list[PartReport]:
    """The rows of a report, the largest error in int8 first; `tick` counts len(QUANTIZED) + 1 for each."""
    errors = {part.name: _singles(trials, part, tick) for part in trials.parts}
    order = sorted(trials.parts, key=lambda part: -errors[part.name][INT8.name])
    weights, time = sum(part.size for part in order) or 1, trials.cost(trials.all()) or 1.0
    rows, choice = [], trials.all()
    for part in order:
        choice[part.name] = FLOAT
        rows.append(
            PartReport(
                part.name,
                (part.rows, part.columns),
                part.size / weights,
                trials.cost_of(part, INT8) / time,
                errors[part.name],
                trials.error(choice),
                part.nbytes(INT8),
            )
        )
        tick(1)
    return rows


def _singles(trials: Trials, part: Part, tick: Callable[[int], object]) -> dict[str, float]:
    """The error of a single part at each level; if data change no code, it is that of plain rounding."""
    errors: dict[str, float] = {}
    own = trials.levels(part)
    for level in QUANTIZED:
        tried = level if level in own else _plain(level)
        errors[level.name] = trials.error({part.name: tried})
        tick(1)
    return errors


def _plain(level: Level) -> Level:
    """The level without rounding by data."""
    return next(each for each in QUANTIZED if each.qconfig is level.qconfig and not each.calibrated)
