"""Passes of several models over the same data, for `qrnn._timing` to time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from typing import Any

from ._framework import Framework
from ._samples import Sample
from ._timing import in_rounds
from ._watching import find_framework

__all__ = ["adapted", "one_pass", "timed"]


def timed(
    models: Mapping[str, Callable[..., Any]],
    samples: Iterable[Sample],
    rounds: int,
    tick: Callable[[int], object] = lambda count: None,
) -> dict[str, list[float]]:
    """The seconds that each model takes for all samples, in each of the rounds.

    Modules are in eval mode and without gradients from the first round to the last. The data are converted to each
    model's own kind of arrays or tensors before the clock starts.
    """
    with ExitStack() as modes:
        passes = {}
        for name, model in models.items():
            framework = find_framework(model)
            if framework is not None:
                modes.enter_context(framework.evaluating(model))
            passes[name] = one_pass(model, [adapted(framework, sample) for sample in samples])
        return in_rounds(passes, rounds, tick)


def adapted(framework: Framework | None, sample: Sample) -> Sample:
    """`sample` in the form that models of `framework` take; unchanged if it is None."""
    if framework is None:
        return sample
    adapt = framework.adapted
    return Sample(tuple(map(adapt, sample.args)), {name: adapt(each) for name, each in sample.kwargs.items()})


def one_pass(model: Callable[..., Any], samples: list[Sample]) -> Callable[[], None]:
    """A function that calls `model` with each sample."""

    def run() -> None:
        for args, kwargs in samples:
            model(*args, **kwargs)

    return run
