"""Whether a whole model gains from codes by data: tested in its engine, on sequences that no statistics have seen.

``_guards`` tests each layer by itself. How the errors of layers act on one another, and what the rest of the model does
with them, only the outputs of the model show.
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

#: By how many standard errors a gain has to exceed the threshold. Each layer has passed with two before. A second test
#: as strict would refuse one in twenty gains of a quarter that trained models have on other data; this refuses none.
ERRORS = 1.0

#: The most characters that a report shows of the text of the model's own error.
_SHOWN = 200


def judged(
    framework: Framework, model: Any, replacements: Mapping[int, Any], trials: Mapping[int, Trial]
) -> ModelReport | None:
    """What the whole `model` gains from the codes of `replacements`; without a gain they get their plain codes.

    Parameters
    ----------
    framework : Framework
    model : module
        The prepared model; it is not changed.
    replacements : mapping
        The quantized layer for each of its layers, by identity.
    trials : mapping
        The trial of each of these layers, likewise.

    Returns
    -------
    ModelReport or None
        None for a model that is a layer, because the layer was tested.
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
            warnings.simplefilter("ignore")  # the model's own code has warned before
            tried = _tried(framework, model, replacements, trials, samples)
    except Exception as error:  # the model's own code may raise anything
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
        """A copy of the model whose layers hold the matrices that `of` returns; layers without a trial are `others`."""
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
    taken = True  # if no layer has codes by data, there is nothing to refuse
    if any(each.taken for new in replacements.values() for each in vars(new).get("_calibration", ())):
        after = tried(lambda trial: trial.chosen)
        taken = _gains(before.squares, after.squares)
    now = after if taken else before
    weights = tried(lambda trial: [dequantized(each) for each in (trial.chosen if taken else trial.plain)])
    changed = None if before.changed is None or now.changed is None else (before.changed, now.changed)
    return ModelReport("", len(samples), before.error, now.error, weights.error, changed, taken)


class _Outcome(NamedTuple):
    """The errors of one model."""

    error: float
    changed: float | None
    squares: list[dict[str, float]]  # for each sequence, the sum of squared errors of each output


class _Squares:
    """A metric that records the squared errors of each sequence."""

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
    """Whether squared errors of sequences show a gain; outputs are weighted by their errors with plain codes."""
    names = set.intersection(*map(set, plain))
    whole = {name: sum(each[name] for each in plain) for name in names}

    def sums(squares: list[dict[str, float]]) -> NDArray[np.float64]:
        return np.array([sum(each[name] / whole[name] for name in names if whole[name]) for each in squares])

    return shows_gain(sums(plain), sums(calibrated), TOGETHER, ERRORS)
