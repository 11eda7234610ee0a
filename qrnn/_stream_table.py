"""The table of a stream's states, with a row for each of its streams, and the calls that read and write it."""

from __future__ import annotations

import heapq
import operator
from collections.abc import Iterable, Mapping
from contextvars import ContextVar
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np

from . import _arrays

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ._typing import Array

    Index: TypeAlias = NDArray[np.intp] | slice

__all__ = ["CURRENT", "Call", "Form", "Place", "Table", "current_call"]


class Form(NamedTuple):
    """How a layer is streamed."""

    base: type  # the class that its own class is mixed with
    shapes: dict[str, tuple[int, ...]]  # the shape of a row of each state
    batch_axis: int | None = None  # see Place
    starts: Mapping[str, Any] = MappingProxyType({})  # initial values of states, if they are not zeros


class Place(NamedTuple):
    """Where the states of one layer are."""

    table: Table
    name: str  # the layer's, dotted
    states: tuple[str, ...]  # keys of the table
    batch_axis: int | None  # the batch axis of the input of a layer over sequences; None: it is called step by step

    @property
    def shown(self) -> str:
        """The layer in an error text."""
        return self.name or "the model"


class Table:
    """Arrays with a row for each stream; rows come and go, and keep their numbers."""

    def __init__(self, shapes: Mapping[str, tuple[int, ...]], starts: Mapping[str, Any]) -> None:
        from threading import Lock  # here, because `import qrnn` does not need it

        self.shapes = dict(shapes)
        self._starts: dict[str, Any] = {**dict.fromkeys(shapes, 0), **starts}  # of a row
        self._arrays = {name: np.zeros((0, *shape), np.float32) for name, shape in shapes.items()}
        self._capacity = 0
        self._free: list[int] = []  # a heap
        self._live: set[int] = set()
        self._all: tuple[NDArray[np.intp], Index] | None = None  # None: streams were added or dropped
        self._lock = Lock()

    def checked(self, rows: Any) -> NDArray[np.intp]:
        """The rows of an argument, which have to be live and different; all rows for None."""
        if rows is None:
            return self.rows
        try:
            given = list(rows) if isinstance(rows, Iterable) else [rows]
            if any(isinstance(row, bool | np.bool_) for row in given):  # a mask
                raise TypeError
            numbers = [operator.index(row) for row in given]
        except TypeError:
            raise TypeError(f"rows: expected integers, got {rows!r:.80}") from None
        for place, row in enumerate(numbers):
            if row not in self._live:
                raise ValueError(f"rows: expected rows of this stream, got {row} at {place}")
        if len(set(numbers)) < len(numbers):
            twice = next(row for row in numbers if numbers.count(row) > 1)
            raise ValueError(f"rows: expected each at most once, got {twice} twice")
        return np.array(numbers, np.intp)

    def add(self, count: int, state: Mapping[str, Any] | None) -> list[int]:
        """Make `count` rows live, which start anew or with `state`; returns their numbers."""
        values = None if state is None else self._values(state, count)
        with self._lock:
            missing = count - len(self._free)
            if missing > 0:
                self._grow(max(missing, self._capacity // 2))
            rows = [heapq.heappop(self._free) for _ in range(count)]
            for name, array in self._arrays.items():
                array[rows] = (self._starts if values is None else values)[name]
            self._live.update(rows)
            self._all = None
        return rows

    def _grow(self, count: int) -> None:
        for name, array in self._arrays.items():
            self._arrays[name] = np.concatenate([array, np.zeros((count, *array.shape[1:]), np.float32)])
        for row in range(self._capacity, self._capacity + count):
            heapq.heappush(self._free, row)
        self._capacity += count

    def drop(self, rows: Any) -> None:
        """End live rows."""
        if rows is None:
            raise TypeError("rows: expected integers, got None")
        numbers = self.checked(rows).tolist()
        with self._lock:
            gone = self._live.intersection(numbers)  # another thread may have dropped one meanwhile
            for row in gone:
                heapq.heappush(self._free, row)
            self._live -= gone
            self._all = None

    def __len__(self) -> int:
        return len(self._live)

    @property
    def rows(self) -> NDArray[np.intp]:
        """The live rows, ascending. They are sorted when they are asked for, not at every change."""
        return self._everything()[0]

    def _everything(self) -> tuple[NDArray[np.intp], Index]:
        with self._lock:
            if self._all is None:
                rows = np.array(sorted(self._live), np.intp)
                follow = not len(rows) or rows[-1] - rows[0] == len(rows) - 1
                self._all = rows, slice(rows[0], rows[-1] + 1) if follow and len(rows) else rows
            return self._all

    def index(self, rows: NDArray[np.intp]) -> Index:
        """An index that selects `rows` of an array: a slice if they are consecutive (a third of the time)."""
        everything = self._all
        if everything is not None and rows is everything[0]:
            return everything[1]
        return slice(int(rows[0]), int(rows[0]) + 1) if len(rows) == 1 else rows

    def read(self, name: str, index: Index) -> Array:
        """A copy of some rows of a state."""
        with self._lock:
            found = self._arrays[name][index]
            return found.copy() if isinstance(index, slice) else found

    def write(self, values: Mapping[str, Any], index: Index) -> None:
        """Set some rows of some states; cannot fail."""
        with self._lock:
            for name, value in values.items():
                self._arrays[name][index] = value

    def reset(self, rows: Any) -> None:
        """Restart rows."""
        self.write(self._starts, self.index(self.checked(rows)))

    def state(self) -> dict[str, Array]:
        """The live rows of all states."""
        _, index = self._everything()
        return {name: self.read(name, index) for name in self._arrays}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Set the live rows of all states."""
        rows, index = self._everything()
        self.write(self._values(state, len(rows)), index)

    def _values(self, state: Mapping[str, Any], count: int) -> dict[str, Array]:
        """A state that a user gave for `count` rows, checked."""
        if not isinstance(state, Mapping):
            raise TypeError(f"state: expected a mapping of str to array, got {type(state).__name__}")
        if set(state) != set(self.shapes):
            raise ValueError(f"state: expected {sorted(self.shapes)}, got {sorted(map(str, state))}")
        values = {name: _arrays.to_float32(state[name], f"state: {name}") for name in self.shapes}
        for name, value in values.items():
            if value.shape != (count, *self.shapes[name]):
                raise ValueError(f"state: {name}: expected shape {(count, *self.shapes[name])}, got {value.shape}")
        return values


class Call:
    """A call of a stream. The states that its layers leave are written when the whole call has succeeded."""

    def __init__(self, table: Table, rows: NDArray[np.intp]) -> None:
        self.table, self._count, self._index = table, len(rows), table.index(rows)
        self._taken: set[str] = set()
        self._left: dict[str, Any] = {}

    def take(self, place: Place, batch: int) -> list[Array]:
        """The states that a layer begins with, batch first; RuntimeError for a second call of the layer."""
        if place.name in self._taken:
            raise RuntimeError(f"{place.shown}: expected one call of it in a call of the stream, got a second")
        if batch != self._count:
            expected = f"a batch of {self._count}, as many as the stream's rows of this call"
            raise RuntimeError(f"{place.shown}: expected {expected}, got {batch}")
        self._taken.add(place.name)
        return [self.table.read(state, self._index) for state in place.states]

    def leave(self, place: Place, states: Iterable[Any]) -> None:
        """Keep the states that a layer ended with."""
        for name, state in zip(place.states, states):
            self._left[name] = state

    def finish(self) -> None:
        """Write the states that layers left."""
        self.table.write(self._left, self._index)


#: The call of a stream in which this thread or task is.
CURRENT: ContextVar[Call | None] = ContextVar("qrnn_stream_call", default=None)


def current_call(place: Place) -> Call:
    """The call that the layer at `place` belongs to."""
    call = CURRENT.get()
    if call is None or call.table is not place.table:
        raise RuntimeError(f"{place.shown}: expected to be called by its stream, in the same thread, got another call")
    return call
