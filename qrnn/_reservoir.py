"""A sample of what a layer was called with, which its statistics never see: what rounding by data is tested on.

Pieces of sequences, each with the state that it begins with. A quarter of the first candidates is held back, of later
ones less and less, so that all of the data are as likely to be in it.
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
#: The steps of one where a call has few; of single steps, where their rows are so few.
FEWEST, FEW_ROWS = 8, 8
#: The most rows of one of a layer without a state, where a piece is a row.
ROWS = SEQUENCES * STEPS
#: Of the first candidates, one in so many is held back.
SHARE = 4


class Piece(NamedTuple):
    """Some steps of a sequence.

    Attributes
    ----------
    steps : list of ndarray, float32, shape (any, columns)
        Of x, one after the other.
    states : list of ndarray, float32, shape (layers * directions, columns)
        Before the first of them, or, backwards, behind the last: h, and of an LSTM c.
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
        Of `Piece`, or of whatever else was put in.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._puts = 0
        self.seen = 0
        self.pieces: list[Any] = []

    def offer(self, count: int) -> list[int]:
        """Which of the next `count` candidates are to be held back; `put` takes them."""
        # Seeded by how many there were: a model that is called twice with the same data keeps the same.
        random = np.random.default_rng(self.seen)
        numbers = self.seen + np.arange(count)
        chosen = random.random(count) < self._capacity / (numbers + 1)
        if self.seen < SHARE * self._capacity:
            early = numbers[: SHARE * self._capacity - self.seen]
            chosen[: len(early)] = early % SHARE == ((early // SHARE + 1) * 2654435761 >> 16) % SHARE
        self.seen += count
        return [int(each) for each in chosen.nonzero()[0]]

    def offer_held(self, count: int) -> list[int]:
        """As `offer`, of candidates that are held back whatever is said of them."""
        numbers = self.seen + np.arange(count)
        chances = np.random.default_rng(self.seen).random(count)
        self.seen += count
        return [int(each) for each in np.flatnonzero(chances < self._capacity / (numbers + 1))]

    def put(self, piece: Any) -> None:
        """Take `piece` in, where there is no room in the place of another."""
        self._puts += 1  # several pieces of one call do not all come into the same place
        if len(self.pieces) < self._capacity:
            self.pieces.append(piece)
        else:
            self.pieces[int(np.random.default_rng([self.seen, self._puts]).integers(self._capacity))] = piece

    def merge(self, other: Reservoir) -> None:
        """Take in what `other` holds; what no room is for is drawn by chance."""
        pieces, self.seen = [*self.pieces, *other.pieces], self.seen + other.seen
        if len(pieces) > self._capacity:
            order = np.random.default_rng(self.seen).permutation(len(pieces))[: self._capacity]
            pieces = [pieces[each] for each in np.sort(order)]
        self.pieces = pieces

    def state(self) -> dict[str, Any]:
        """What pickles keep: `seen`, and of each piece x and its states."""
        return {"seen": self.seen, "pieces": [(piece.x, piece.states) for piece in list(self.pieces)]}

    def load(self, state: dict[str, Any]) -> None:
        """Hold what `state` tells of."""
        self.seen = state["seen"]
        self.pieces = [Piece([np.array(x)], [np.array(each) for each in states]) for x, states in state["pieces"]]


def windows(lengths: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
    """The candidates of a batch of sequences: row and first step of each, those of all rows in turn; their steps.

    They have STEPS steps, but where a call has few, so many that it has some 32 candidates.
    """
    steps = min(STEPS, max(FEWEST, -(-int(lengths.sum()) // (2 * SEQUENCES))))
    counts = -(-lengths // steps)
    turns = [np.flatnonzero(counts > turn) for turn in range(int(counts.max(initial=0)))]
    rows = np.concatenate([np.empty(0, np.int64), *turns])
    starts = np.repeat(np.arange(len(turns)) * steps, [len(turn) for turn in turns])
    return rows, starts, steps


@functools.lru_cache(maxsize=16)
def even_windows(batch: int, steps: int) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
    """Those of rows that all have so many steps, not to be written to."""
    return windows(np.full(batch, steps))


class OpenPieces:
    """Pieces of single steps, put together: a call goes on where the state that it is given is what the last one gave.

    A call that does not, or the step after STEPS of them, begins new pieces, with the states that it is given. The
    first pieces of calls of few rows are shorter, so that there are some.
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
        """Take in a call; returns its rows that are held back.

        Parameters
        ----------
        reservoir : Reservoir
        x : ndarray, float32, shape (batch, columns)
        before : list of ndarray, float32, shape (batch, columns)
            The states that it was given.
        after : ndarray, float32, shape (batch, columns)
            The h that it gave.
        new : bool
            Whether it was given none.
        rows : ndarray of bool, shape (batch,), optional
            Those that are held back whatever is said of them; then no others are.
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
    """Which of `rows`, all held back, the reservoir takes."""
    return [int(rows[each]) for each in reservoir.offer_held(len(rows))]
