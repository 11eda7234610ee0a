"""autoquantize: the cheapest precision of each weight matrix that keeps the outputs' error under a bound."""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from ._knapsack import Choice, Option, pareto
from ._levels import FLOAT, INT8, QUANTIZED, Level
from ._measure import Metric, measure
from ._progress import progress
from ._public import public
from ._report import percent
from ._sensitivity import PartReport, SensitivityReport, examined, facts_of, trials_of
from ._spec import checked_size
from ._trials import Trials
from ._warn import warn

__all__ = ["ChoiceReport", "autoquantize"]

M = TypeVar("M")

#: The error on held-back data has to stay under this part of the bound, because data in use will differ from them.
MARGIN = 0.9
#: How often the target shrinks after the measured error of a choice was over the bound.
SHRINKS = 10
#: The report tells the smallest bound at which the model has this part of int8's speed.
SPEED = 0.9
#: With fewer sequences than this the error on new data may exceed the bound.
FEW = 16


@public("qrnn.quantization")
class ChoiceReport(SensitivityReport):
    """What `autoquantize` chose, and why: a `SensitivityReport` whose row for each weight matrix has its choice.

    Parameters
    ----------
    rows : iterable of PartReport
    facts : mapping
        Those of `SensitivityReport`, and: ``max_error``; ``error`` of the chosen model; ``changed``, the part of its
        decisions that differ, or None; ``speed_of_int8`` and ``speed_of_float``, its estimated speed as a multiple of
        these; ``in_int8``, the part of its weights that is int8; ``smallest_bound`` that keeps 0.9 of int8's speed;
        ``prevents``, the matrix because of which all stays float, or None; ``nbytes`` of weights and scales as
        ``chosen``, all in ``int8``, and all in ``float``; and ``seconds``, the measured times, or None.

    Examples
    --------
    >>> import numpy as np, qrnn
    >>> model = qrnn.nn.Sequential(qrnn.nn.Linear(4, 3))
    >>> data = list(np.random.default_rng(0).standard_normal((20, 2, 4), dtype=np.float32))
    >>> chosen, report = qrnn.quantization.autoquantize(model, data, max_error=0.5)
    >>> report[0].name, report[0].choice in ("int8", "int8 by data")
    ('0.weight', True)
    """

    _HEADS = (*SensitivityReport._HEADS, "choice")

    def _cells(self, row: PartReport) -> tuple[str, ...]:
        return (*super()._cells(row), str(row.choice))

    def _before(self) -> list[str]:
        bound = percent(self._given["max_error"])
        return [f"The cheapest precisions that keep the error of the outputs under {bound}.", *super()._before()]

    def _after(self) -> list[str]:
        given, lines = self._given, list[str]()
        changed = "" if given["changed"] is None else f" Decisions changed: {percent(given['changed'])}."
        lines.append(
            f"Error as chosen: {percent(given['error'])}; bound: {percent(given['max_error'])}, of which "
            f"{MARGIN:.0%} were aimed at.{changed}"
        )
        lines.append(
            f"Estimated speed, by the sizes of the matrices: {given['speed_of_int8']:.2f} times that of all in int8, "
            f"{given['speed_of_float']:.2f} times that of float. Of the weights, {given['in_int8']:.0%} are int8."
        )
        if given["seconds"] is not None:
            times = (f"{name} {1000 * each['median']:.4g} ms" for name, each in given["seconds"].items())
            lines.append(f"Measured time of a pass over the data held back, median: {', '.join(times)}.")
        if given["prevents"] is not None:
            least = min(row.errors[level.name] for row in self if row.name == given["prevents"] for level in QUANTIZED)
            lines.append(
                f"All is float: {given['prevents']} alone, at its best level, has an error of {percent(least)}."
            )
        lines.append(f"The smallest bound at {SPEED} of int8's speed: {percent(given['smallest_bound'])}.")
        chosen, int8, of_float = (f"{given['nbytes'][name]:,}" for name in ("chosen", "int8", "float"))
        lines.append(f"Bytes of weights: {chosen} as chosen; {int8} all in int8, {of_float} in float.")
        shift = "Nothing here covers a shift of the data: where new ones differ in kind, choose again with them."
        return [*lines, *super()._after(), shift, self._next()]

    def _next(self) -> str:
        """What to do next."""
        if self._given["prevents"] is not None:
            worst = next(iter(self._rows), None)
            if worst is None or not worst.cumulative:
                return "Next: a larger max_error, or the model as it is."
            enough = _rounded_up(worst.cumulative / MARGIN)
            return (
                f"Next: a larger max_error, or the model as it is. With {worst.name} float and all others in int8 the "
                f"error is {percent(worst.cumulative)}, for which max_error={enough:.2g} would do."
            )
        return "Next: keep the returned model, as by qrnn.save: it has these precisions and codes already."


def autoquantize(
    model: M, data: Any, max_error: float = 0.02, metric: Metric | None = None, *, rounds: int = 0
) -> tuple[M, ChoiceReport]:
    """Choose the cheapest precision for each weight matrix that keeps the error of the outputs under a bound.

    Each W_ih, W_hh, W_hr and Linear either stays float or becomes int8, with activations of 8 or 13 bits and with
    codes rounded plainly or by data.

    Parameters
    ----------
    model : Module
        A float model of ``qrnn.nn`` or of PyTorch; it is not changed.
    data : iterable
        Inputs, one for each call, as for `sensitivity`. They need at least 2 sequences, better 32 or more, like
        those in use.
    max_error : float
        The bound on the error of the outputs on held-back data: by default the rms of the error, divided by the rms
        of the float model's output about its mean, for the worst output.
    metric : callable, optional
        As for `measure`. For small errors its values should be proportional to them.
    rounds : int
        How many rounds to measure the times of the float model, of all in int8 and of the choice, for the report.
        The choice itself uses estimates, which do not depend on what else the machine does.

    Returns
    -------
    model : Module
        A new model in eval mode, of engine ``qrnn``. It shares the layers of `model` in which every matrix stays float.
    report : ChoiceReport

    Raises
    ------
    TypeError
        If an argument is of the wrong type.
    ValueError
        If `max_error` is not positive, there are fewer than 2 sequences, no layer can be quantized, or outputs are
        not finite.

    Warns
    -----
    UserWarning
        If there are fewer than 16 sequences: on new data the error may be over the bound.

    Notes
    -----
    The squared errors of single matrices add up to that of the whole model within a few percent. So the cheapest
    choice whose sum is under a target is found exactly (a knapsack). Then the whole model is measured; if its error
    is over 0.9 of the bound, the target shrinks, at most 10 times. See docs/precision.md.

    Examples
    --------
    >>> import numpy as np, qrnn
    >>> model = qrnn.nn.Sequential(qrnn.nn.RNNCell(3, 8), qrnn.nn.Linear(8, 2))
    >>> model[0].weight_ih = model[0].weight_ih / [1, 1, 1000]  # for inputs in units of their own
    >>> data = list(np.random.default_rng(0).standard_normal((20, 16, 3)) * [1, 1, 1000])
    >>> chosen, report = qrnn.quantization.autoquantize(model, data, max_error=0.02)
    >>> report.to_dict()["error"] <= 0.02, [row.choice for row in report if row.name == "0.weight_ih"]
    (True, ['float'])
    """
    bound = _checked_bound(max_error)
    rounds = checked_size(rounds, "rounds", 0)
    trials = trials_of(model, data, metric)
    if trials.divided.sequences < FEW:
        warn(
            f"data: expected {FEW} sequences at least, got {trials.divided.sequences}: on new data the error may well "
            "be over the bound"
        )
    steps = len(trials.parts) * (len(QUANTIZED) + 1) + SHRINKS
    with progress(steps, "autoquantize") as tick:
        rows = examined(trials, tick)
        errors = {row.name: row.errors for row in rows}
        front = _front(trials, errors)
        choice = _chosen(trials, front, bound)
    chosen: M = trials.built(choice)
    facts = {**facts_of(trials), **_facts(trials, errors, front, choice, bound)}
    facts["seconds"] = _seconds(trials, model, chosen, rounds) if rounds else None
    report = ChoiceReport([row._replace(choice=choice[row.name].name) for row in rows], facts)
    return chosen, report


def _rounded_up(value: float) -> float:
    """The least number of two digits that is not below `value`."""
    unit = 10.0 ** (math.floor(math.log10(value)) - 1)
    return math.ceil(value / unit) * unit


def _checked_bound(max_error: Any) -> float:
    if isinstance(max_error, bool) or not isinstance(max_error, numbers.Real):
        raise TypeError(f"max_error: expected a number, got {type(max_error).__name__}")
    if not 0 < float(max_error) < math.inf:
        raise ValueError(f"max_error: expected a positive number, such as 0.02 for 2 %, got {max_error}")
    return float(max_error)


def _levels(trials: Trials, index: int) -> list[Level]:
    """The levels of a part, float last."""
    return [*trials.levels(trials.parts[index]), FLOAT]


def _front(trials: Trials, errors: Mapping[str, Mapping[str, float]]) -> list[Choice]:
    """The choices for which no other is both cheaper and, by the sum of squares, better."""
    options = []
    for index, part in enumerate(trials.parts):
        own = errors[part.name]
        options.append(
            [
                Option(trials.cost_of(part, level), 0.0 if level is FLOAT else own[level.name] ** 2)
                for level in _levels(trials, index)
            ]
        )
    return pareto(options)


def _by_name(trials: Trials, choice: Choice) -> dict[str, Level]:
    """The level of each part."""
    return {
        part.name: _levels(trials, index)[level]
        for index, (part, level) in enumerate(zip(trials.parts, choice.levels, strict=True))
    }


def _chosen(trials: Trials, front: Sequence[Choice], bound: float) -> dict[str, Level]:
    """The cheapest choice whose measured error is under the bound with its margin; all float if none is found."""
    aim = target = MARGIN * bound
    for _ in range(SHRINKS + 1):
        choice = next((each for each in front if math.sqrt(each.square) <= target), front[-1])
        error = trials.error(_by_name(trials, choice))
        if error <= aim:
            return _by_name(trials, choice)
        predicted = math.sqrt(choice.square)
        target = min(predicted * aim / error, math.nextafter(predicted, 0.0))
    return trials.all(FLOAT)


def _facts(
    trials: Trials,
    errors: Mapping[str, Mapping[str, float]],
    front: Sequence[Choice],
    choice: Mapping[str, Level],
    bound: float,
) -> dict[str, Any]:
    """The facts of the report about the choice."""
    measured, cost, of_int8 = trials.measured(choice), trials.cost(choice), trials.cost(trials.all())
    best = [each for each in front if each.cost <= of_int8 / SPEED][-1]
    least = max(trials.error(_by_name(trials, best)), math.sqrt(best.square))
    quantized = sum(part.size for part in trials.parts if choice[part.name] is not FLOAT)
    all_float = not quantized
    return {
        "max_error": bound,
        "error": measured.error,
        "changed": measured.changed,
        "speed_of_int8": of_int8 / cost if cost else 1.0,
        "speed_of_float": trials.cost(trials.all(FLOAT)) / cost if cost else 1.0,
        "in_int8": quantized / (sum(part.size for part in trials.parts) or 1),
        "smallest_bound": least / MARGIN,
        "nbytes": {
            "chosen": sum(part.nbytes(choice[part.name]) for part in trials.parts),
            "int8": sum(part.nbytes(INT8) for part in trials.parts),
            "float": sum(part.nbytes(FLOAT) for part in trials.parts),
        },
        "prevents": max(errors, key=lambda name: min(errors[name].values())) if all_float else None,
    }


def _seconds(trials: Trials, model: Any, chosen: Any, rounds: int) -> dict[str, dict[str, float]]:
    """The times of the float model, of all in int8, and of the choice."""
    models = {"float": model, "int8": trials.built(trials.all()), "chosen": chosen}
    samples = [(*sample.args, dict(sample.kwargs)) for sample in trials.divided.held_back]
    report = measure(models, samples, layers=False, rounds=rounds)
    return {row.name: row.seconds._asdict() for row in report if row.seconds is not None}
