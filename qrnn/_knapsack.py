"""The cheapest choice of a level for each part that keeps the sum of squared errors under a bound, found exactly."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["MOST", "Choice", "Option", "pareto"]

#: The most choices to keep. If there are more, the cost is divided into so many ranges and the best of each is kept.
#: A model of 20 parts has hundreds.
MOST = 1 << 16


class Option(NamedTuple):
    """One level of one part."""

    cost: float
    square: float  # of the error; may be infinite


class Choice(NamedTuple):
    """A level for each part."""

    cost: float
    square: float
    levels: tuple[int, ...]  # the place of the option of each part


def pareto(parts: Sequence[Sequence[Option]]) -> list[Choice]:
    """The choices for which no other is both cheaper and better, the cheapest first.

    Examples
    --------
    >>> [choice.levels for choice in pareto([[Option(1, 4), Option(3, 0)], [Option(1, 1), Option(2, 2)]])]
    [(0, 0), (1, 0)]
    """
    costs, squares = np.zeros(1), np.zeros(1)
    levels = np.zeros((1, 0), np.intp)
    for options in parts:
        own_costs = np.array([each.cost for each in options], np.float64)
        own_squares = np.array([each.square for each in options], np.float64)
        costs = (costs[:, None] + own_costs).ravel()
        squares = (squares[:, None] + own_squares).ravel()
        count = len(options)
        kept = _front(costs, squares)
        levels = np.column_stack([levels[kept // count], kept % count])
        costs, squares = costs[kept], squares[kept]
    return [
        Choice(float(cost), float(square), tuple(map(int, each)))
        for cost, square, each in zip(costs, squares, levels, strict=True)
    ]


def _front(costs: NDArray[np.float64], squares: NDArray[np.float64]) -> NDArray[np.intp]:
    """The places of the choices for which no other is both cheaper and better, by cost."""
    order = np.lexsort((squares, costs))
    before = np.concatenate([[np.inf], np.minimum.accumulate(squares[order])[:-1]])
    kept = order[squares[order] < before]
    kept = kept if len(kept) else order[:1]  # if all are infinite
    if len(kept) > MOST:
        low, high = costs[kept[0]], costs[kept[-1]]
        ranges = np.ceil((costs[kept] - low) / (high - low) * MOST)
        last = np.append(ranges[1:] != ranges[:-1], True)  # the most expensive one of a range has the least error
        kept = kept[last]
    return kept
