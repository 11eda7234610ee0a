"""Times of several functions, measured in turn, so that other work of the machine affects all of them equally."""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ._public import public

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Seconds", "Spread", "in_rounds", "interleaved", "spread"]

#: How long a function is repeated in a round, in seconds, so that the time of reading the clock does not matter.
BLOCK = 200e-6


@public("qrnn.quantization")
class Seconds(NamedTuple):
    """The times of one function over all rounds, in seconds.

    Attributes
    ----------
    median, low, high : float
        The median, and the quartiles around it.

    Examples
    --------
    >>> import qrnn
    >>> times = qrnn.quantization.Seconds(median=2e-6, low=1e-6, high=4e-6)
    >>> times.median
    2e-06
    """

    median: float
    low: float
    high: float


@public("qrnn.quantization")
class Spread(NamedTuple):
    """The spread of several values of one quantity.

    Attributes
    ----------
    median, low, high : float
        The median, and the quartiles around it.
    """

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.median:.3g} ({self.low:.3g} to {self.high:.3g})"


def interleaved(functions: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, Seconds]:
    """The times of each function, see `in_rounds`.

    Examples
    --------
    >>> times = interleaved({"one": lambda: sum(range(10)), "two": lambda: sum(range(100_000))}, rounds=3)
    >>> times["one"].median < times["two"].low
    True
    """
    return {name: Seconds(*spread(times)) for name, times in in_rounds(functions, rounds).items()}


def in_rounds(
    functions: Mapping[str, Callable[[], object]], rounds: int, tick: Callable[[int], object] = lambda count: None
) -> dict[str, list[float]]:
    """The seconds that a call of each function takes in each of the rounds.

    A round calls all functions in a new order, and repeats a short one to fill `BLOCK`; a round before the first finds
    out how often. The garbage collector is off meanwhile. `tick` counts the functions of all rounds.
    """
    import random  # here, because only measuring needs it

    order, repeats = random.Random(0), dict.fromkeys(functions, 1)
    taken: dict[str, list[float]] = {name: [] for name in functions}
    with _no_collection():
        for round_ in range(rounds + 1):
            for name in order.sample(list(functions), len(functions)):
                function, count = functions[name], repeats[name]
                start = time.perf_counter()
                for _ in range(count):
                    function()
                seconds = (time.perf_counter() - start) / count
                if round_:
                    taken[name].append(seconds)
                else:
                    repeats[name] = max(1, math.ceil(BLOCK / max(seconds, 1e-9)))
                tick(1)
    return taken


@contextmanager
def _no_collection() -> Iterator[None]:
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


def spread(values: Iterable[float]) -> Spread:
    """Median and quartiles of some values.

    Examples
    --------
    >>> spread([4, 1, 2, 3, 100])
    Spread(median=3.0, low=2.0, high=4.0)
    """
    low, median, high = np.quantile(list(values), (0.25, 0.5, 0.75)).tolist()
    return Spread(median, low, high)
