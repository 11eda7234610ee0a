"""Second moments and means of what the quantized products of a layer will see.

For a product ``W v`` the rounding of ``W`` needs two running sums over the rows ``v`` that the engine
will multiply, already quantized and de-quantized: ``sum v`` and ``sum v v^T``, in float64. They add up:
over calls, over blocks of a call, over copies of a model that saw other data.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _core

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Moments", "Statistics", "as_seen"]

#: Rows that are summed at once: long enough for a matrix product, short enough for the cache.
BLOCK = 512

# One for all, as a lock can be neither copied nor pickled: it is held for sums only.
_LOCK = threading.Lock()


def as_seen(engine: str, rows: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
    """`rows`, as `engine` multiplies them: quantized, de-quantized, in blocks.

    Parameters
    ----------
    engine : str
        ``"qrnn"``, whose rows have a scale each, or one of PyTorch's, where all share one.
    rows : ndarray, float32, shape (any, columns)
        Finite.

    Yields
    ------
    ndarray, float32, shape (at most BLOCK, columns)
    """
    whole = None if engine == "qrnn" else _core._quantize(engine, rows)
    for start in range(0, len(rows), BLOCK):
        part = slice(start, start + BLOCK)
        codes, scale, zero_point = _core._quantize(engine, rows[part]) if whole is None else whole
        if whole is not None:
            codes, scale, zero_point = codes[part], scale[part], zero_point[part]
        if engine == "onednn":  # which goes through the reciprocal
            scale = np.float32(1) / (np.float32(1) / scale)
        yield (codes - zero_point[:, None]).astype(np.float32) * scale[:, None]


class Moments:
    """Running sums over rows: how many, their sum, the sum of their outer products.

    Examples
    --------
    >>> moments = Moments()
    >>> moments.add(np.float32([[1, 2], [3, 4]]))
    >>> moments.count, moments.mean().tolist(), moments.second_moment().tolist()
    (2, [2.0, 3.0], [[5.0, 7.0], [7.0, 10.0]])
    """

    def __init__(self) -> None:
        self.count = 0
        self._sum: Any = 0.0
        self._outer: Any = 0.0
        # Single steps are kept until they fill a block: a matrix product instead of outer products.
        self._kept: list[NDArray[np.float32]] = []
        self._rows_kept = 0

    def add(self, rows: NDArray[np.float32]) -> None:
        """Take in `rows`, of shape (any, columns), which may not be changed afterwards."""
        with _LOCK:
            self.count += len(rows)
            self._kept.append(rows)
            self._rows_kept += len(rows)
            if self._rows_kept >= BLOCK:
                self._sum_up()

    def _sum_up(self) -> None:
        kept, self._kept, self._rows_kept = self._kept, [], 0
        if kept:
            rows = np.concatenate(kept).astype(np.float64)
            self._sum = self._sum + rows.sum(axis=0)
            outer = rows.T @ rows
            outer += self._outer
            self._outer = outer

    def merge(self, other: Moments) -> None:
        """Add the sums of `other`, which stays as it is."""
        other = other.copy()
        with _LOCK:
            self._sum_up()
            self.count += other.count
            self._sum = self._sum + other._sum
            self._outer = self._outer + other._outer

    def copy(self) -> Moments:
        """The same sums, apart from these."""
        new = Moments()
        with _LOCK:
            self._sum_up()
            new.count, new._sum, new._outer = self.count, self._sum, self._outer
        return new  # the arrays are never written to: sums replace them

    def __deepcopy__(self, memo: dict[int, Any]) -> Moments:
        return self.copy()

    def __getstate__(self) -> dict[str, Any]:
        return self.copy().__dict__

    def mean(self) -> NDArray[np.float64]:
        """Mean of the rows, shape (columns,)."""
        with _LOCK:
            self._sum_up()
            return np.asarray(self._sum / self.count)

    def second_moment(self) -> NDArray[np.float64]:
        """Mean of the outer products of the rows, shape (columns, columns)."""
        with _LOCK:
            self._sum_up()
            return np.asarray(self._outer / self.count)


class Statistics:
    """The moments of the products of one layer, by matrix.

    A matrix has one product, or two where its rows multiply different things: ``weight_hh`` of a GRU
    that resets before the product multiplies h for r and z, and r*h for n.

    Parameters
    ----------
    engine : str
        Whose quantization the rows go through.
    """

    def __init__(self, engine: str) -> None:
        self.engine = engine
        self.enabled = True
        self._moments: dict[tuple[int, int], Moments] = {}

    def record(self, matrix: int, rows: NDArray[np.float32], product: int = 0) -> None:
        """Take in the `rows` that a product multiplies at once; those that are not finite are left out.

        Parameters
        ----------
        matrix : int
            Its place in the core's order.
        rows : ndarray, float32, shape (any, columns)
            With PyTorch's engines, whose scale belongs to all rows, all of one product.
        product : int
            Which of the matrix's products.
        """
        finite = np.isfinite(rows).all(axis=1)
        if not finite.all():
            rows = rows[finite]
        if not rows.size:
            return
        moments = self._moments.setdefault((matrix, product), Moments())
        for block in as_seen(self.engine, rows):
            moments.add(block)

    def of(self, matrix: int, product: int = 0) -> Moments | None:
        """The moments of a product; None if it saw nothing."""
        return self._moments.get((matrix, product))

    def merge(self, other: Statistics) -> None:
        """Add what `other`, of the same engine and of a layer of the same shape, saw."""
        for key, moments in list(other._moments.items()):
            self._moments.setdefault(key, Moments()).merge(moments)

    def __deepcopy__(self, memo: dict[int, Any]) -> Statistics:
        new = Statistics(self.engine)
        new.enabled = self.enabled
        new._moments = deepcopy(dict(self._moments), memo)
        return new
