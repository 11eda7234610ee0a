"""Second moments and means of the rows that the quantized products of a layer will multiply.

To round the weights of a product ``W v`` by data takes two running sums over the rows ``v`` as the engine sees them,
quantized and de-quantized: ``sum v`` and ``sum v v^T``, in float64. They add up over calls, over blocks of a call, and
over copies of a model that saw other data.
"""

from __future__ import annotations

from _thread import allocate_lock  # threading takes longer to import than all of this file
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from . import _core
from ._public import public
from ._spec import ENGINES

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["BLOCK", "Moments", "Product", "Statistics"]

#: Rows that are summed at once: enough to be worth a call of the core, so few that their doubles stay in the caches.
BLOCK = 128

#: A product of a layer: the place of its matrix in the core's order, and which of the matrix's products it is.
Product = tuple[int, int]

# One for all, as a lock can be neither copied nor pickled. It is held for sums only.
_LOCK = allocate_lock()


def _symmetric(outer: NDArray[np.float64]) -> NDArray[np.float64]:
    """With what stands above the diagonal below it too."""
    return np.asarray(np.triu(outer) + np.triu(outer, 1).T)


class _Sums(NamedTuple):
    """What the core adds to in place."""

    rows: NDArray[np.int64]  # (1,)
    total: NDArray[np.float64]  # (columns,)
    outer: NDArray[np.float64]  # (columns, columns); what lies below the diagonal does not count

    @classmethod
    def of(cls, columns: int) -> _Sums:
        """The sums over no rows."""
        return cls(np.zeros(1, np.int64), np.zeros(columns), np.zeros((columns, columns)))


@public("qrnn.quantization.statistics")
class Moments:
    """Running sums over rows: how many, their sum, the sum of their outer products.

    Rows that are not finite are left out.

    Parameters
    ----------
    engine : str, optional
        An engine that quantizes each row by itself: rows are summed as it sees them. Default: as they are.

    Examples
    --------
    >>> import numpy as np
    >>> from qrnn._statistics import Moments
    >>> moments = Moments()
    >>> moments.add(np.float32([[1, 2], [3, 4]]))
    >>> moments.count, moments.mean().tolist(), moments.second_moment().tolist()
    (2, [2.0, 3.0], [[5.0, 7.0], [7.0, 10.0]])
    """

    __module__ = "qrnn.quantization.statistics"  # the path in pickles

    def __init__(self, engine: str = "float32") -> None:
        self._engine = engine
        self._sums: _Sums | None = None  # None before the first row
        # A few rows are kept until they fill a block: one sum of many takes less time than many of few.
        self._kept: NDArray[np.float32] | None = None  # (BLOCK, columns), of which the first `_kept_rows` count
        self._kept_rows = 0

    def add(self, rows: NDArray[np.float32]) -> None:
        """Take in `rows`, of shape (any, columns)."""
        with _LOCK:
            if len(rows) >= BLOCK:
                self._add_rows(rows)
                return
            if self._kept is None:
                self._kept = np.empty((BLOCK, rows.shape[1]), np.float32)
            end = self._kept_rows + len(rows)
            if end > BLOCK:
                self._add_kept()
                end = len(rows)
            self._kept[end - len(rows) : end] = rows
            self._kept_rows = end

    def add_zeros(self, count: int, columns: int) -> None:
        """Take in so many rows of zeros, which every engine sees as they are."""
        with _LOCK:
            if self._sums is None:
                self._sums = _Sums.of(columns)
            self._sums.rows[0] += count

    def _add_kept(self) -> None:
        count, self._kept_rows = self._kept_rows, 0  # first: if Ctrl-C comes between, no row counts twice
        if count and self._kept is not None:
            self._add_rows(self._kept[:count])

    def _add_rows(self, rows: NDArray[np.float32]) -> None:
        if self._sums is None:
            self._sums = _Sums.of(rows.shape[1])
        _core.add_moments(self._engine, rows, self._sums)

    def _all(self) -> _Sums:
        """The sums, with the rows that are kept; to be called with the lock."""
        self._add_kept()
        return self._sums or _Sums.of(0)

    @property
    def count(self) -> int:
        """How many rows were summed."""
        with _LOCK:
            return int(self._all().rows[0])

    def merge(self, other: Moments) -> None:
        """Add the sums of `other`, which stays as it is."""
        with _LOCK:
            own, its = self._all(), other._all()
            if other._sums is None:
                return
            if self._sums is None:
                self._sums = _Sums(its.rows.copy(), its.total.copy(), its.outer.copy())
            else:
                self._sums = _Sums(own.rows + its.rows, own.total + its.total, own.outer + its.outer)

    def copy(self) -> Moments:
        """The same sums, apart from these."""
        new = Moments(self._engine)
        new.merge(self)
        return new

    def __deepcopy__(self, memo: dict[int, Any]) -> Moments:
        return self.copy()

    def __getstate__(self) -> dict[str, Any]:
        with _LOCK:
            sums = self._all()
            return {"count": int(sums.rows[0]), "_sum": sums.total.copy(), "_outer": _symmetric(sums.outer)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__()  # type: ignore[misc]
        if state["count"]:  # arrays of a pickle may lie in memory that others share
            total, outer = (np.array(state[name], np.float64, order="C") for name in ("_sum", "_outer"))
            self._sums = _Sums(np.array([state["count"]], np.int64), total, outer)

    def mean(self) -> NDArray[np.float64]:
        """Mean of the rows, shape (columns,)."""
        with _LOCK:
            sums = self._all()
            return np.asarray(sums.total / sums.rows)

    def second_moment(self) -> NDArray[np.float64]:
        """Mean of the outer products of the rows, shape (columns, columns)."""
        with _LOCK:
            sums = self._all()
            return _symmetric(sums.outer / sums.rows)


@public("qrnn.quantization.statistics")
class Statistics:
    """The moments of the products of one layer.

    A matrix has one product, or two where its rows multiply different things: ``weight_hh`` of a GRU
    that resets before the product multiplies h for r and z, and r*h for n.

    Parameters
    ----------
    engine : str
        Whose quantization the rows go through.
    engines : tuple of str
        Likewise, where each matrix has its own; of one that stays float nothing is summed.
    """

    __module__ = "qrnn.quantization.statistics"  # the path in pickles

    def __init__(self, engine: str, engines: tuple[str, ...] = ()) -> None:
        self.engine, self.engines = engine, engines
        self.per_row = ENGINES[engine].per_row  # whether each row is quantized by itself
        self.enabled = True
        # Rows that several products multiply are summed once.
        self._moments: dict[tuple[Product, ...], Moments] = {}

    def record(self, rows: NDArray[np.float32], *products: Product, valid: NDArray[np.bool_] | None = None) -> None:
        """Take in `rows` that each of the `products` multiplies; those that are not finite are left out.

        Parameters
        ----------
        rows : ndarray, float32, shape (rows, columns) or (steps, rows, columns)
            An engine with one scale for all rows has one for each step.
        *products : Product
        valid : ndarray of bool, shape (rows,) or (steps, rows), optional
            Which of the rows count. Default: all.
        """
        for engine, own in self._by_engine(products) if rows.size else ():
            self._record(engine, rows, own, valid)

    def _record(
        self, engine: str, rows: NDArray[np.float32], products: tuple[Product, ...], valid: NDArray[np.bool_] | None
    ) -> None:
        if not ENGINES[engine].per_row:
            finite = np.isfinite(rows)
            if not finite.all():
                valid = np.logical_and(finite.all(axis=-1), True if valid is None else valid)
            if valid is not None:
                rows = np.where(valid[..., None], rows, np.float32(0))  # no scale depends on a 0
            rows = _core.fake_quantize(engine, rows)
        rows = rows.reshape(-1, rows.shape[-1]) if valid is None else rows[valid]
        if len(rows):
            self._of_all(products).add(rows)

    def record_zeros(self, count: int, columns: int, *products: Product) -> None:
        """Take in so many rows of zeros, as `record` takes rows."""
        for _, own in self._by_engine(products) if count else ():
            self._of_all(own).add_zeros(count, columns)

    def _engine_of(self, product: Product) -> str:
        """The engine that quantizes what a product multiplies."""
        return self.engines[product[0]] if self.engines else self.engine

    def _by_engine(self, products: tuple[Product, ...]) -> list[tuple[str, tuple[Product, ...]]]:
        """Those of the `products` whose rows are quantized, by the engines that do so."""
        engines = dict.fromkeys(map(self._engine_of, products))
        return [
            (engine, tuple(each for each in products if self._engine_of(each) == engine))
            for engine in engines
            if ENGINES[engine].quantized
        ]

    def _of_all(self, products: tuple[Product, ...]) -> Moments:
        """The moments of the rows that exactly these products share."""
        found = self._moments.get(products)
        if found is None:
            engine = self._engine_of(products[0])
            found = self._moments.setdefault(products, Moments(engine if ENGINES[engine].per_row else "float32"))
        return found

    def of(self, matrix: int, product: int = 0) -> Moments | None:
        """The moments of a product; None if it saw nothing."""
        total = Moments()
        for products, moments in list(self._moments.items()):
            if (matrix, product) in products:
                total.merge(moments)
        return total if total.count else None

    def by_product(self) -> dict[Product, Moments]:
        """The moments of every product that saw something."""
        products = sorted({product for shared in list(self._moments) for product in shared})
        found = {product: self.of(*product) for product in products}
        return {product: moments for product, moments in found.items() if moments is not None}

    def merge(self, other: Statistics) -> None:
        """Add what `other`, of the same engine and of a layer of the same shape, saw."""
        for products, moments in list(other._moments.items()):
            self._of_all(products).merge(moments)

    def __getstate__(self) -> dict[str, Any]:
        return {
            "engine": self.engine,
            "engines": self.engines,
            "enabled": self.enabled,
            "_moments": self.by_product(),
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["engine"], state.get("engines", ()))  # type: ignore[misc]
        self.enabled = state["enabled"]
        for product, moments in state["_moments"].items():
            self._of_all((product,)).merge(moments)
