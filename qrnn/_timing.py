"""Times of several functions, measured in turn, so that what the machine does beside meets all of them alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from ._public import public

__all__ = ["Seconds", "interleaved"]


@public("qrnn.quantization")
class Seconds(NamedTuple):
    """Times of one function over the rounds.

    Attributes
    ----------
    median, low, high : float
        The median, and the quartiles around it.
    """

    median: float
    low: float
    high: float


def interleaved(functions: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, Seconds]:
    """The times of each function in so many rounds, each of which calls all in turn; one more round goes before.

    Examples
    --------
    >>> times = interleaved({"one": lambda: sum(range(10)), "two": lambda: sum(range(100_000))}, rounds=3)
    >>> times["one"].median < times["two"].low
    True
    """
    taken: dict[str, list[float]] = {name: [] for name in functions}
    for round_ in range(rounds + 1):
        for name, function in functions.items():
            start = time.perf_counter()
            function()
            if round_:
                taken[name].append(time.perf_counter() - start)
    return {name: _spread(each) for name, each in taken.items()}


def _spread(values: list[float]) -> Seconds:
    low, median, high = np.quantile(values, (0.25, 0.5, 0.75)).tolist()
    return Seconds(median, low, high)
