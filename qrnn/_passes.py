"""Passes of several models over the same data, as `qrnn._timing` takes their times."""

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
    """Seconds that each model takes for all samples, in each of so many rounds.

    Modules are in eval mode and without gradients from the first round to the last, and every model has arrays, or
    tensors, of its own kind before the clock starts.
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
    """`sample` as models of `framework` take it; None: as it is."""
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
