"""Whether a whole model gains by data: tried, in its engine, on sequences that no statistics have seen.

Layers are tested each by itself, see ``_guards``. What their errors do to one another, and what the model makes of them
behind its layers, only its own outputs show.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ._calibration_report import ModelReport
from ._errors import leaves
from ._framework import Framework
from ._guards import TOGETHER, shows_gain
from ._measure import Reference
from ._model_calls import ModelCalls, calls_of
from ._precision import dequantized
from ._preparation import Trial

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ._matrices import Matrix
    from ._samples import Sample

__all__ = ["judged"]

#: Standard errors below the threshold. Layers have passed with two, each by itself; a second test as strict as theirs
#: would refuse one in twenty gains of a quarter that trained models have on other data, and here none was refused.
ERRORS = 1.0

#: Characters of an error of the model's that a report shows.
_SHOWN = 200


def judged(
    framework: Framework, model: Any, replacements: Mapping[int, Any], trials: Mapping[int, Trial]
) -> ModelReport | None:
    """What the whole `model` gains by the codes of `replacements`; where it shows no gain, they get their plain ones.

    Parameters
    ----------
    framework : Framework
    model : module
        Prepared; it is not changed.
    replacements : mapping
        What each of its layers is to become, by identity.
    trials : mapping
        What each of them could have been, likewise.

    Returns
    -------
    ModelReport or None
        None of a model that is a layer: its layer was tested.
    """
    if id(model) in replacements:
        return None
    calls = calls_of(model)
    samples = [] if calls is None else calls.samples
    if calls is None or not calls.observed:
        return ModelReport("", 0, unmeasured="it was not called as a whole after prepare, only its layers")
    if len(samples) < 2:
        return ModelReport("", len(samples), unmeasured="its sequences are too few, or too long, to hold some back")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the model's own code, which has warned before
            tried = _tried(framework, model, replacements, trials, samples)
    except Exception as error:  # whatever the model's own code raises
        text = f"{type(error).__name__}: {error}"
        return ModelReport("", len(samples), unmeasured=f"calling it again failed with {text:.{_SHOWN}}")
    if not tried.taken:
        for place, trial in trials.items():
            framework.take_matrices(replacements[place], trial.plain)
            vars(replacements[place]).update(trial.attributes)
    return tried


def _tried(
    framework: Framework,
    model: Any,
    replacements: Mapping[int, Any],
    trials: Mapping[int, Trial],
    samples: list[Sample],
) -> ModelReport:
    def with_matrices(of: Callable[[Trial], list[Matrix]], others: Mapping[int, Any] = replacements) -> Any:
        """A copy of the model whose layers hold what `of` says; those without a trial are `others`."""
        instead = {id(calls_of(model)): ModelCalls(), **others}
        for place, trial in trials.items():
            instead[place] = framework.copied_layer(replacements[place])
            framework.take_matrices(instead[place], of(trial))
        return framework.copied(model, instead)

    exact = with_matrices(lambda trial: trial.floats, {})
    squares = _Squares()
    reference = Reference(exact, samples, squares)

    def tried(of: Callable[[Trial], list[Matrix]]) -> _Outcome:
        squares.found.clear()
        measured = reference.measured(with_matrices(of), "the model", layers=False)
        error = max(each.error for each in measured.outputs)
        return _Outcome(error, measured.outputs[0].changed, list(squares.found))

    before = after = tried(lambda trial: trial.plain)
    taken = True  # where no layer has codes by data there is nothing to refuse
    if any(each.taken for new in replacements.values() for each in vars(new).get("_calibration", ())):
        after = tried(lambda trial: trial.chosen)
        taken = _gains(before.squares, after.squares)
    now = after if taken else before
    weights = tried(lambda trial: [dequantized(each) for each in (trial.chosen if taken else trial.plain)])
    changed = None if before.changed is None or now.changed is None else (before.changed, now.changed)
    return ModelReport("", len(samples), before.error, now.error, weights.error, changed, taken)


class _Outcome(NamedTuple):
    """How one model did."""

    error: float
    changed: float | None
    squares: list[dict[str, float]]  # of each sequence, the sum of squared errors of each output


class _Squares:
    """A metric that notes the squared errors of each sequence."""

    def __init__(self) -> None:
        self.found: list[dict[str, float]] = []

    def __call__(self, reference: Any, output: Any) -> float:
        ours = dict(leaves(output))
        self.found.append(
            {
                name: float(np.square(ours[name].astype(np.float64) - exact).sum())
                for name, exact in leaves(reference)
                if name in ours
            }
        )
        return 0.0


def _gains(plain: list[dict[str, float]], calibrated: list[dict[str, float]]) -> bool:
    """Whether squared errors of sequences show a gain; of several outputs each counts by its error with plain codes."""
    names = set.intersection(*map(set, plain))
    whole = {name: sum(each[name] for each in plain) for name in names}

    def sums(squares: list[dict[str, float]]) -> NDArray[np.float64]:
        return np.array([sum(each[name] / whole[name] for name in names if whole[name]) for each in squares])

    return shows_gain(sums(plain), sums(calibrated), TOGETHER, ERRORS)
