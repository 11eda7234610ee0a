"""The cheapest choice of a level for each part under a bound on the sum of squares, against every choice."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from qrnn import _knapsack
from qrnn._knapsack import Option, pareto


def parts_of(rng, count, ties):
    """Costs that rise with the level while most errors fall; some levels are worse and dearer than others."""
    parts = []
    for _ in range(count):
        size = rng.integers(1, 9)
        costs = [1, 1, 1.9, 1.9, 3.7] if ties else rng.uniform(1, 4, 5)
        squares = [*rng.lognormal(-4, 1.5, 4), 0.0]
        parts.append([Option(float(size * cost), float(square)) for cost, square in zip(costs, squares)])
    return parts


def every_choice(parts):
    for levels in itertools.product(*(range(len(options)) for options in parts)):
        options = [each[level] for each, level in zip(parts, levels)]
        yield sum(each.cost for each in options), sum(each.square for each in options)


@pytest.mark.parametrize("count", (1, 2, 4, 6))
@pytest.mark.parametrize("ties", (False, True))
@pytest.mark.parametrize("seed", range(5))
def test_as_good_as_every_choice(count, ties, seed):
    parts = parts_of(np.random.default_rng([count, ties, seed]), count, ties)
    front, known = pareto(parts), sorted(every_choice(parts))
    for bound in (0, 1e-4, 1e-3, 0.01, 0.03, 0.1, 1, 10):
        best = min((each for each in known if each[1] <= bound), key=lambda each: each[0])
        found = next(each for each in front if each.square <= bound)
        assert found.cost == pytest.approx(best[0], rel=1e-12)
        assert found.square <= min(square for cost, square in known if cost <= best[0] * (1 + 1e-12)) * (1 + 1e-12)
        options = [each[level] for each, level in zip(parts, found.levels, strict=True)]
        assert found.cost == pytest.approx(sum(each.cost for each in options))
        assert found.square == pytest.approx(sum(each.square for each in options))


def test_the_front_rises_in_cost_and_falls_in_error():
    front = pareto(parts_of(np.random.default_rng(1), 7, False))
    assert all(a.cost < b.cost and a.square > b.square for a, b in itertools.pairwise(front))
    assert front[-1].square == 0


def test_infinite_errors():
    """A level that destroys the outputs is chosen where there is no other."""
    assert [each.levels for each in pareto([[Option(1, math.inf), Option(3, 0.0)]])] == [(1,)]
    assert [each.levels for each in pareto([[Option(2, math.inf), Option(1, math.inf)]])] == [(1,)]
    assert [each.levels for each in pareto([])] == [()]


def test_of_too_many_choices_the_best_of_each_cost_stay(monkeypatch):
    """Never over the bound, and dearer than the best by little."""
    sizes = np.random.default_rng(2).uniform(1, 2, 12)
    parts = [[Option(1.0, float(size)), Option(1.0 + float(size), 0.0)] for size in sizes]  # none is in vain
    exact = pareto(parts)
    monkeypatch.setattr(_knapsack, "MOST", 500)
    thinned = pareto(parts)
    assert len(thinned) <= 501 < len(exact)
    for bound in (1, 5, 10):
        best, found = (next(each for each in front if each.square <= bound) for front in (exact, thinned))
        assert best.cost <= found.cost < 1.02 * best.cost
