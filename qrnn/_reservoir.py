"""A sample of a layer's inputs that its statistics never see; rounding by data is tested on it.

It consists of pieces of sequences, each with its initial state. A quarter of the first candidates is held back, and a
smaller and smaller part of later ones, so that all data are equally likely to be in the sample.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float32]

__all__ = ["ROWS", "SEQUENCES", "SHARE", "STEPS", "OpenPieces", "Piece", "Reservoir", "even_windows", "windows"]

#: The most pieces of a reservoir, and the most steps of one.
SEQUENCES, STEPS = 16, 96
#: The fewest steps of a piece, for calls of few steps; and for how few rows pieces of single steps are that short.
FEWEST, FEW_ROWS = 8, 8
#: The most pieces for a layer without a state, where a piece is a row.
ROWS = SEQUENCES * STEPS
#: One in so many of the first candidates is held back.
SHARE = 4


class Piece(NamedTuple):
    """Some steps of a sequence.

    Attributes
    ----------
    steps : list of ndarray, float32, shape (any, columns)
        The steps of x, one after the other.
    states : list of ndarray, float32, shape (layers * directions, columns)
        The states before the first step (backwards, after the last): h, and for an LSTM c.
    """

    steps: list[Array]
    states: list[Array]

    @property
    def x(self) -> Array:
        """All its steps, (steps, columns)."""
        return np.concatenate(self.steps)


class Reservoir:
    """At most `capacity` pieces of all that were offered.

    Attributes
    ----------
    seen : int
        How many were offered.
    pieces : list
        The `Piece` objects, or other objects, that were put in.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._puts = 0
        self.seen = 0
        self.pieces: list[Any] = []

    def offer(self, count: int) -> list[int]:
        """Which of the next `count` candidates to hold back; they go to `put`."""
        # Seeded by the number of candidates so far, so that the same data give the same sample again.
        random = np.random.default_rng(self.seen)
        numbers = self.seen + np.arange(count)
        chosen = random.random(count) < self._capacity / (numbers + 1)
        if self.seen < SHARE * self._capacity:
            early = numbers[: SHARE * self._capacity - self.seen]
            chosen[: len(early)] = early % SHARE == ((early // SHARE + 1) * 2654435761 >> 16) % SHARE
        self.seen += count
        return [int(each) for each in chosen.nonzero()[0]]

    def offer_held(self, count: int) -> list[int]:
        """As `offer`, for candidates that are held back anyway."""
        numbers = self.seen + np.arange(count)
        chances = np.random.default_rng(self.seen).random(count)
        self.seen += count
        return [int(each) for each in np.flatnonzero(chances < self._capacity / (numbers + 1))]

    def put(self, piece: Any) -> None:
        """Add `piece`; if there is no room, it replaces another one."""
        self._puts += 1  # so that several pieces of one call go to different places
        if len(self.pieces) < self._capacity:
            self.pieces.append(piece)
        else:
            self.pieces[int(np.random.default_rng([self.seen, self._puts]).integers(self._capacity))] = piece

    def merge(self, other: Reservoir) -> None:
        """Add the pieces of `other`; if there is no room for all, chance decides."""
        pieces, self.seen = [*self.pieces, *other.pieces], self.seen + other.seen
        if len(pieces) > self._capacity:
            order = np.random.default_rng(self.seen).permutation(len(pieces))[: self._capacity]
            pieces = [pieces[each] for each in np.sort(order)]
        self.pieces = pieces

    def state(self) -> dict[str, Any]:
        """The state for pickles: `seen`, and x and states of each piece."""
        return {"seen": self.seen, "pieces": [(piece.x, piece.states) for piece in list(self.pieces)]}

    def load(self, state: dict[str, Any]) -> None:
        """Restore a state."""
        self.seen = state["seen"]
        self.pieces = [Piece([np.array(x)], [np.array(each) for each in states]) for x, states in state["pieces"]]


def windows(lengths: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
    """The candidates of a batch of sequences: row and first step of each, row after row; and their number of steps.

    They have STEPS steps; if the call is short, fewer, so that there are about 32 candidates.
    """
    steps = min(STEPS, max(FEWEST, -(-int(lengths.sum()) // (2 * SEQUENCES))))
    counts = -(-lengths // steps)
    turns = [np.flatnonzero(counts > turn) for turn in range(int(counts.max(initial=0)))]
    rows = np.concatenate([np.empty(0, np.int64), *turns])
    starts = np.repeat(np.arange(len(turns)) * steps, [len(turn) for turn in turns])
    return rows, starts, steps


@functools.lru_cache(maxsize=16)
def even_windows(batch: int, steps: int) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
    """The candidates of rows that all have `steps` steps. The arrays must not be changed."""
    return windows(np.full(batch, steps))


class OpenPieces:
    """Pieces put together from single steps. A call continues a piece if its state is the result of the last call.

    A call that does not, or the step after STEPS steps, begins new pieces, with the states that it is given. The first
    pieces of calls of few rows are shorter, so that some exist early.
    """

    def __init__(self) -> None:
        self._last: Array | None = None
        self._rows: NDArray[np.bool_] | None = None
        self._steps = 0
        self._pieces: dict[int, Piece] = {}

    def step(
        self,
        reservoir: Reservoir,
        x: Array,
        before: list[Array],
        after: Array,
        new: bool,
        rows: NDArray[np.bool_] | None = None,
    ) -> list[int]:
        """Add a call; returns its held-back rows.

        Parameters
        ----------
        reservoir : Reservoir
        x : ndarray, float32, shape (batch, columns)
        before : list of ndarray, float32, shape (batch, columns)
            The states that the call was given.
        after : ndarray, float32, shape (batch, columns)
            The h that it returned.
        new : bool
            Whether it was given no state.
        rows : ndarray of bool, shape (batch,), optional
            Rows that are held back anyway; then no others are.
        """
        most = STEPS if len(x) >= FEW_ROWS or reservoir.seen > SHARE * SEQUENCES else 2 * FEWEST
        new = new or self._steps >= most or rows is not self._rows
        if new or self._last is None or not np.array_equal(self._last, before[0]):
            chosen = reservoir.offer(len(x)) if rows is None else _of_these(np.flatnonzero(rows), reservoir)
            self._pieces = {row: Piece([], [each[None, row].copy() for each in before]) for row in chosen}
            for piece in self._pieces.values():
                reservoir.put(piece)
            self._steps, self._rows = 0, rows
        for row, piece in self._pieces.items():
            piece.steps.append(x[None, row].copy())
        self._steps += 1
        self._last = np.array(after)
        return list(self._pieces) if rows is None else [int(each) for each in np.flatnonzero(rows)]


def _of_these(rows: NDArray[np.intp], reservoir: Reservoir) -> list[int]:
    """Which of `rows`, which are all held back, the reservoir keeps."""
    return [int(rows[each]) for each in reservoir.offer_held(len(rows))]
