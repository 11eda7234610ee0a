"""Second moments and means of the rows that the quantized products of a layer will multiply.

Rounding the weights of a product ``W v`` by data needs running sums over the rows ``v`` as the engine sees them,
quantized and de-quantized, each with its weight w: ``sum w``, ``sum w^2``, ``sum w v`` and ``sum w v v^T``, in float64.
They can be added up over calls, over blocks of a call, and over copies of a model that saw other data.
"""

from __future__ import annotations

from _thread import allocate_lock  # importing threading takes longer than all of this file
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from . import _core
from ._public import public
from ._reservoir import ROWS, SEQUENCES, OpenPieces, Piece, Reservoir
from ._spec import ENGINES

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["BLOCK", "Moments", "Product", "Statistics"]

#: Rows that are summed at once: enough for a call of the core to pay, and few enough for their doubles to fit caches.
BLOCK = 128

#: A product of a layer: the place of its matrix in the core's order, and which of the matrix's products it is.
Product = tuple[int, int]

# One lock for all, because a lock can be neither copied nor pickled. It is held only while summing.
_LOCK = allocate_lock()


def _symmetric(outer: NDArray[np.float64]) -> NDArray[np.float64]:
    """The symmetric matrix with the upper triangle of `outer`."""
    return np.asarray(np.triu(outer) + np.triu(outer, 1).T)


class _Sums(NamedTuple):
    """The sums to which the core adds in place."""

    rows: NDArray[np.int64]  # (1,)
    weight: NDArray[np.float64]  # (2,): the sums of w and of w^2
    total: NDArray[np.float64]  # (columns,)
    outer: NDArray[np.float64]  # (columns, columns); undefined below the diagonal

    @classmethod
    def of(cls, columns: int) -> _Sums:
        """Sums over no rows: zeros."""
        return cls(np.zeros(1, np.int64), np.zeros(2), np.zeros(columns), np.zeros((columns, columns)))


@public("qrnn.quantization.statistics")
class Moments:
    """Running sums over weighted rows: how many, their weights, their sum, the sum of their outer products.

    Rows that are not finite are left out, and so are those whose weight is negative or not finite.

    Parameters
    ----------
    engine : str, optional
        An engine that quantizes each row by itself: rows are summed as it sees them. Default: rows are not quantized.

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
        # Few rows are kept until they fill a block: one sum of many rows takes less time than many sums of few.
        self._kept: NDArray[np.float32] | None = None  # (BLOCK, columns), of which the first `_kept_rows` count
        self._kept_weights = np.empty(0, np.float32)
        self._kept_rows = 0

    def add(self, rows: NDArray[np.float32], weights: NDArray[np.float32] | None = None) -> None:
        """Add `rows`, of shape (any, columns), with `weights`, of shape (any,); None means weights of 1."""
        with _LOCK:
            if len(rows) >= BLOCK:
                self._add_rows(rows, weights)
                return
            if self._kept is None:
                self._kept = np.empty((BLOCK, rows.shape[1]), np.float32)
                self._kept_weights = np.empty(BLOCK, np.float32)
            end = self._kept_rows + len(rows)
            if end > BLOCK:
                self._add_kept()
                end = len(rows)
            self._kept[end - len(rows) : end] = rows
            self._kept_weights[end - len(rows) : end] = 1 if weights is None else weights
            self._kept_rows = end

    def add_zeros(self, columns: int, weights: NDArray[np.float32]) -> None:
        """Add a row of zeros for each of `weights`; every engine represents zeros exactly."""
        exact = weights[np.isfinite(weights)].astype(np.float64)
        with _LOCK:
            if self._sums is None:
                self._sums = _Sums.of(columns)
            self._sums.rows[0] += len(exact)
            self._sums.weight[:] += exact.sum(), exact @ exact

    def _add_kept(self) -> None:
        count, self._kept_rows = self._kept_rows, 0  # set first, so that no row counts twice if Ctrl-C comes in between
        if count and self._kept is not None:
            self._add_rows(self._kept[:count], self._kept_weights[:count])

    def _add_rows(self, rows: NDArray[np.float32], weights: NDArray[np.float32] | None) -> None:
        if self._sums is None:
            self._sums = _Sums.of(rows.shape[1])
        _core.add_moments(self._engine, rows, self._sums, weights=weights)

    def _all(self) -> _Sums:
        """The sums including the kept rows; the caller holds the lock."""
        self._add_kept()
        return self._sums or _Sums.of(0)

    @property
    def count(self) -> int:
        """How many rows were summed."""
        with _LOCK:
            return int(self._all().rows[0])

    @property
    def samples(self) -> float:
        """How many rows of equal weight tell as much, which is ``(sum w)^2 / sum w^2``; 0 without weights above 0."""
        with _LOCK:
            total, squares = self._all().weight
            return float(total * total / squares) if squares else 0.0

    def merge(self, other: Moments) -> None:
        """Add the sums of `other`, which stays as it is."""
        with _LOCK:
            own, its = self._all(), other._all()
            if other._sums is None:
                return
            if self._sums is None:
                own = _Sums.of(len(its.total))
            self._sums = _Sums(
                own.rows + its.rows, own.weight + its.weight, own.total + its.total, own.outer + its.outer
            )

    def copy(self) -> Moments:
        """A copy with copies of the sums."""
        new = Moments(self._engine)
        new.merge(self)
        return new

    def __deepcopy__(self, memo: dict[int, Any]) -> Moments:
        return self.copy()

    def __getstate__(self) -> dict[str, Any]:
        with _LOCK:
            sums = self._all()
            return {
                "count": int(sums.rows[0]),
                "_weight": sums.weight.copy(),
                "_sum": sums.total.copy(),
                "_outer": _symmetric(sums.outer),
            }

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__()  # type: ignore[misc]
        if state["count"]:  # arrays of a pickle may share memory with others
            weight = state.get("_weight", [state["count"]] * 2)  # older pickles: rows of weight 1
            arrays = [np.array(each, np.float64, order="C") for each in (weight, state["_sum"], state["_outer"])]
            self._sums = _Sums(np.array([state["count"]], np.int64), *arrays)

    def mean(self) -> NDArray[np.float64]:
        """Weighted mean of the rows, shape (columns,)."""
        with _LOCK:
            sums = self._all()
            return np.asarray(sums.total / (sums.weight[0] or 1))

    def second_moment(self) -> NDArray[np.float64]:
        """Weighted mean of the outer products of the rows, shape (columns, columns)."""
        with _LOCK:
            sums = self._all()
            return _symmetric(sums.outer / (sums.weight[0] or 1))


@public("qrnn.quantization.statistics")
class Statistics:
    """The moments of the products of one layer, and a held-back sample of its calls that is not in them.

    A matrix has one product, or two if its rows multiply different things: ``weight_hh`` of a GRU
    that resets before the product multiplies h for r and z, and r*h for n.

    Parameters
    ----------
    engine : str
        The engine that quantizes the rows.
    engines : tuple of str
        The engine of each matrix, if they differ; nothing is summed for a matrix that stays float.

    Attributes
    ----------
    enabled : bool
        Whether calls are observed.
    guarded : bool
        Whether codes by data are tested on held-back calls. If not, nothing is held back, and all codes are taken.
    steps : Module or None
        A cell's weights, packed as a layer over sequences.
    weights : bytes or None
        The digest of the weights that the statistics belong to, if it is kept.

    Examples
    --------
    >>> import numpy as np, qrnn
    >>> prepared = qrnn.prepare(qrnn.nn.Linear(4, 3), qconfig={})
    >>> _ = prepared(np.ones((2, 4), np.float32))
    >>> prepared._prepared.statistics.enabled
    True
    """

    __module__ = "qrnn.quantization.statistics"  # the path in pickles

    def __init__(self, engine: str, engines: tuple[str, ...] = ()) -> None:
        self.engine, self.engines = engine, engines
        self.per_row = ENGINES[engine].per_row  # whether each row is quantized by itself
        self.enabled = self.guarded = True
        self._moments: dict[Product, Moments] = {}
        self._held = Reservoir(SEQUENCES)
        self._held_rows = Reservoir(ROWS)
        self._open = OpenPieces()
        self.steps: _core.Module | None = None
        self.weights: bytes | None = None

    def record(
        self,
        rows: NDArray[np.float32],
        product: Product,
        valid: NDArray[np.bool_] | None = None,
        weights: NDArray[np.float32] | None = None,
    ) -> None:
        """Add `rows` that the `product` multiplies; rows that are not finite are left out.

        Parameters
        ----------
        rows : ndarray, float32, shape (rows, columns) or (steps, rows, columns)
            An engine with one scale for all rows uses one scale for each step.
        product : Product
        valid : ndarray of bool, shape (rows,) or (steps, rows), optional
            Which of the rows are valid. Default: all. If each row is quantized by itself, `weights` tell it instead.
        weights : ndarray, float32, shape (rows,) or (steps, rows), optional
            Their weights; a row whose weight is NaN is not summed. Default: 1.
        """
        engine = self._engine_of(product)
        if not rows.size or not ENGINES[engine].quantized:
            return
        per_row = ENGINES[engine].per_row
        if not per_row:
            finite = np.isfinite(rows)
            if not finite.all():
                valid = np.logical_and(finite.all(axis=-1), True if valid is None else valid)
            if valid is not None:
                rows = np.where(valid[..., None], rows, np.float32(0))  # zeros do not change a scale
            rows = _core.fake_quantize(engine, rows)
        if valid is not None and not (per_row and weights is not None):
            weights = np.where(valid, np.float32(1) if weights is None else weights, np.float32(np.nan))
        self._of(product).add(rows.reshape(-1, rows.shape[-1]), None if weights is None else weights.reshape(-1))

    def _engine_of(self, product: Product) -> str:
        """The engine that quantizes what a product multiplies."""
        return self.engines[product[0]] if self.engines else self.engine

    def record_rows(self, rows: NDArray[np.float32], held: NDArray[np.bool_] | None = None) -> None:
        """Add the rows of a layer without a state, except those that it holds back: `held`, or some."""
        weights = np.ones(len(rows), np.float32)
        with _LOCK:
            if not self.guarded:
                chosen = np.empty(0, np.intp)
            elif held is None:
                chosen = np.array(self._held_rows.offer(len(rows)), np.intp)
                weights[chosen] = np.nan
            else:
                chosen = np.flatnonzero(held)
                weights[chosen] = np.nan
                chosen = chosen[self._held_rows.offer_held(len(chosen))]
            for each in chosen:
                self._held_rows.put(Piece([rows[None, each].copy()], []))
        self.record(rows, (0, 0), None, weights)

    def offer(self, count: int, held: bool = False) -> list[int]:
        """Which of the next `count` pieces of sequences to `hold` back; `held`: all are held back, which to keep."""
        with _LOCK:
            if not self.guarded:
                return []
            return self._held.offer_held(count) if held else self._held.offer(count)

    def hold(self, piece: Piece) -> None:
        """Hold `piece` back."""
        with _LOCK:
            self._held.put(piece)

    def hold_step(
        self,
        x: NDArray[np.float32],
        before: list[NDArray[np.float32]],
        after: NDArray[np.float32],
        new: bool,
        rows: NDArray[np.bool_] | None = None,
    ) -> list[int]:
        """Add a call of a cell, see `OpenPieces.step`; returns its held-back rows."""
        if not self.guarded:
            return []
        with _LOCK:
            return self._open.step(self._held, x, before, after, new, rows)

    def held(self) -> list[Piece]:
        """The held-back pieces."""
        with _LOCK:
            return [*self._held.pieces, *self._held_rows.pieces]

    @property
    def untouched(self) -> bool:
        """Whether nothing was seen yet, or all of it was forgotten."""
        return not (self._moments or self._held.seen or self._held_rows.seen)

    def record_zeros(self, columns: int, product: Product, weights: NDArray[np.float32]) -> None:
        """Add a row of zeros for each of `weights`, like `record`."""
        if len(weights) and ENGINES[self._engine_of(product)].quantized:
            self._of(product).add_zeros(columns, weights)

    def _of(self, product: Product) -> Moments:
        found = self._moments.get(product)
        if found is None:
            engine = self._engine_of(product)
            found = self._moments.setdefault(product, Moments(engine if ENGINES[engine].per_row else "float32"))
        return found

    def of(self, matrix: int, product: int = 0) -> Moments | None:
        """The moments of a product; None if it saw nothing."""
        found = self._moments.get((matrix, product))
        return found if found is not None and found.count else None

    def by_product(self) -> dict[Product, Moments]:
        """The moments of every product that saw something."""
        found = {product: self.of(*product) for product in sorted(self._moments)}
        return {product: moments for product, moments in found.items() if moments is not None}

    def belong_to(self, weights: bytes) -> None:
        """Forget everything if it was seen with weights of another digest than `weights`."""
        if self.weights not in (None, weights):
            self.forget()
        self.weights = weights

    def merge(self, other: Statistics) -> None:
        """Add what `other`, of the same engine and of a layer of the same shape, saw."""
        self.weights = self.weights or other.weights
        for product, moments in list(other._moments.items()):
            self._of(product).merge(moments)
        with _LOCK:
            self._held.merge(other._held)
            self._held_rows.merge(other._held_rows)

    def forget(self) -> None:
        """Forget everything that was seen, because it belongs to other weights."""
        enabled, guarded = self.enabled, self.guarded
        self.__init__(self.engine, self.engines)  # type: ignore[misc]
        self.enabled, self.guarded = enabled, guarded

    def __getstate__(self) -> dict[str, Any]:
        with _LOCK:
            held, held_rows = self._held.state(), self._held_rows.state()
        return {
            "engine": self.engine,
            "engines": self.engines,
            "enabled": self.enabled,
            "weights": self.weights,
            "guarded": self.guarded,
            "_moments": self.by_product(),
            "_held": held,
            "_held_rows": held_rows,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["engine"], state.get("engines", ()))  # type: ignore[misc]
        self.enabled, self.guarded = state["enabled"], state.get("guarded", True)
        self.weights = state.get("weights")
        for product, moments in state["_moments"].items():
            self._of(product).merge(moments)
        for name in ("_held", "_held_rows"):  # older pickles lack them
            if name in state:
                getattr(self, name).load(state[name])
