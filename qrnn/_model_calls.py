"""Calls of a whole prepared model. Some sequences are held back from all statistics, to test the quantized model on.

`prepare` sets a `ModelCalls` on the root. While the root is called, its layers ask it which rows of the batch are held
back. They leave these rows out of their sums, and take from them the pieces on which they test their own codes. The
root's arguments for these rows are kept, so that `convert` can call the candidate models with them.
"""

from __future__ import annotations

from _thread import allocate_lock  # importing threading takes longer than all of this file
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar, Token
from copy import deepcopy
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _arrays
from ._divided import rows_of_sample
from ._module import MODEL_CALLS
from ._reservoir import SEQUENCES, SHARE, Reservoir
from ._samples import Layout, Sample

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ._statistics import Statistics

    Mask = NDArray[np.bool_]

__all__ = ["ModelCall", "ModelCalls", "calls_of", "model_call"]

#: The most numbers in the arguments of a held-back sequence; SEQUENCES of these are 16 MiB of float32.
MOST = 1 << 18

# One lock for all, because a lock can be neither copied nor pickled.
_LOCK = allocate_lock()

_current: ContextVar[ModelCall | None] = ContextVar("qrnn_model_call", default=None)


def model_call() -> ModelCall | None:
    """The call of a whole prepared model in which this thread is; None outside of such a call."""
    return _current.get()


def calls_of(model: Any) -> ModelCalls | None:
    """The calls that `prepare` set on the root of a model; None for other modules."""
    found = vars(model).get(MODEL_CALLS)
    return found if isinstance(found, ModelCalls) else None


class ModelCalls:
    """The calls of one prepared model as a whole, and a sample of them.

    Attributes
    ----------
    observed : int
        How many calls of the whole model its layers observed.
    """

    def __init__(self) -> None:
        self._held = Reservoir(SEQUENCES)
        self.observed = 0
        self._divisible = True  # whether the layers see the same batch rows as the model

    @property
    def seen(self) -> int:
        """How many sequences that could be held back were in its calls."""
        return self._held.seen

    @property
    def samples(self) -> list[Sample]:
        """Calls of one sequence each, which no statistics have seen."""
        with _LOCK:
            return list(self._held.pieces)

    @property
    def now(self) -> ModelCall | None:
        """The call of the model in which this thread is."""
        call = _current.get()
        return call if call is not None and call.calls is self else None

    @property
    def entered(self) -> bool:
        """Whether this thread is in a call of the model."""
        return self.now is not None

    @contextmanager
    def call(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Iterator[None]:
        """A call of the model, while the context lasts."""
        call, done = self.enter(args, kwargs), False
        try:
            yield
            done = True
        finally:
            self.leave(call, done)

    def enter(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> ModelCall:
        """Begin a call of the model."""
        call = ModelCall(self, Sample(args, kwargs))
        call.token = _current.set(call)
        return call

    def leave(self, call: ModelCall, done: bool) -> None:
        """End the call that `enter` began; `done`: it did not fail."""
        _current.reset(call.token)
        samples = call.finished(done)
        with _LOCK:
            self.observed += call.knows_rows
            for each in samples:
                self._held.put(each)

    def chosen(self, count: int) -> list[int]:
        """Which of the next `count` sequences to hold back."""
        with _LOCK:
            return self._held.offer(count)

    def forget(self) -> None:
        """Drop what is held back, because the statistics begin anew."""
        with _LOCK:
            self._held = Reservoir(SEQUENCES)

    def merge(self, other: ModelCalls) -> None:
        """Add the calls of a copy of the model."""
        with _LOCK:
            self._held.merge(other._held)
            self.observed += other.observed
            self._divisible = self._divisible and other._divisible

    @property
    def divisible(self) -> bool:
        """Whether rows of the batch can be told apart."""
        return self._divisible

    def never_divide(self) -> None:
        """Hold back only whole calls from now on, because a layer sees other rows than the model."""
        self._divisible = False

    def __deepcopy__(self, memo: dict[int, Any]) -> ModelCalls:
        new = type(self)()
        memo[id(self)] = new
        new.__setstate__(self.__getstate__())
        return new

    def __getstate__(self) -> dict[str, Any]:
        with _LOCK:
            samples = [tuple(each) for each in self._held.pieces]
            held = {"seen": self._held.seen, "samples": samples}
            return {**held, "observed": self.observed, "divisible": self._divisible}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__()  # type: ignore[misc]
        self._held.seen, self.observed, self._divisible = state["seen"], state["observed"], state["divisible"]
        self._held.pieces = [Sample(*each) for each in state["samples"]]


class ModelCall:
    """One call of a whole model. Its layers ask it which rows are held back.

    The first layer that knows the rows of the batch decides for all layers. A `Linear` before it waits with its rows
    until then. If the model holds nothing back, or rows cannot be told apart, each layer holds back its own pieces.
    """

    token: Token[ModelCall | None]

    def __init__(self, calls: ModelCalls, sample: Sample) -> None:
        self.calls, self._sample = calls, sample
        self._layout: Layout | None = None
        self._held: Mask | None = None  # (batch,); None: no row
        self._samples: list[Sample] = []
        self._waiting: list[tuple[tuple[int, ...], Callable[[Mask | None], object]]] = []

    def held(self, statistics: Statistics, layout: Layout) -> Mask | None:
        """Which rows of the batch of a recurrent layer are held back, (batch,); None: this call holds none back."""
        self._expect_fresh(statistics)
        if self._layout is None:
            self._decide(layout)
        if self._held is None or len(self._held) == layout.batch:
            return self._held
        return self._of_all(layout.batch)

    @property
    def knows_rows(self) -> bool:
        """Whether a layer has told which rows the batch has."""
        return self._layout is not None

    def rows(self, statistics: Statistics, shape: tuple[int, ...]) -> Mask | None:
        """Which rows of a layer without a state are held back, of all in `shape`, flat; None: none by this call."""
        self._expect_fresh(statistics)
        return self._of_rows(shape)

    def wait(self, statistics: Statistics, shape: tuple[int, ...], record: Callable[[Mask | None], object]) -> None:
        """Call ``record(held)`` when it is known which of the rows in `shape` are held back."""
        self._expect_fresh(statistics)
        self._waiting.append((shape, record))

    def finished(self, done: bool) -> list[Sample]:
        """The held-back sequences of the call, after its last layer."""
        if self._layout is None and self._waiting and done:
            batch, steps = (*self._waiting[0][0], 1, 1)[:2]
            # A row without a state tells little, so rows are held back in groups: a quarter of the first call.
            self._decide(Layout(steps, batch, True, None), max(1, -(-batch // (SHARE * SEQUENCES))))
        self._record_waiting()
        return self._samples if done else []

    def _expect_fresh(self, statistics: Statistics) -> None:
        if self.calls.samples and statistics.untouched:
            self.calls.forget()

    def _decide(self, layout: Layout, rows: int = 1) -> None:
        """Choose what to hold back of a call with this layout, in parts of `rows` rows of the batch."""
        self._layout = layout
        if layout.batch and layout.steps:
            divided = self.calls.divisible and self._part(layout, slice(rows)) is not None
            parts = [slice(first, first + rows) for first in range(0, layout.batch, rows)] if divided else [slice(None)]
            if _numbers(self._sample) <= len(parts) * MOST:
                chosen = [parts[place] for place in self.calls.chosen(len(parts))]
                kept = [_kept((self._part(layout, each) if divided else None) or self._sample) for each in chosen]
                self._hold(layout, chosen, kept)
            if self._held is None and self.calls.samples:
                self._held = np.zeros(layout.batch, bool)
        self._record_waiting()

    def _hold(self, layout: Layout, chosen: list[slice], kept: list[Sample | None]) -> None:
        samples = [each for each in kept if each is not None]
        if chosen and len(samples) == len(chosen):
            self._samples, self._held = samples, np.zeros(layout.batch, bool)
            for part in chosen:
                self._held[part] = True

    def _record_waiting(self) -> None:
        waiting, self._waiting = self._waiting, []
        for shape, record in waiting:
            record(self._of_rows(shape))

    def _part(self, layout: Layout, rows: slice) -> Sample | None:
        """The call with some rows of the batch; None if it is unknown which of its numbers belong to them."""
        square = (layout.batch, layout.batch)
        shapes = [getattr(each, "shape", ()) for each in _leaves(self._sample)]
        if layout.batch > 1 and layout.steps == 1 and any(shape[:2] == square for shape in shapes):
            return None
        try:
            part = rows_of_sample(self._sample, layout, rows)
        except (ValueError, TypeError, IndexError):  # a PackedSequence, or another value that cannot be cut
            return None
        return part if layout.batch == 1 or _numbers(part) < _numbers(self._sample) else None

    def _of_rows(self, shape: tuple[int, ...]) -> Mask | None:
        """Which of the rows of this shape are held back, flat."""
        layout, held = self._layout, self._held
        if held is None or layout is None:
            return None
        steps, batch = layout.steps, layout.batch
        if held.all() or not held.any():
            return np.full(prod(shape), held.any())
        if shape[:2] == (steps, batch) and not (steps == batch and layout.batch_first):
            held = np.broadcast_to(held[None, :], shape[:2])
        elif shape[:1] == (batch,):
            held = held[:, None] if len(shape) > 1 else held
        elif shape[1:2] == (batch,):
            held = np.broadcast_to(held[None, :], shape[:2])
        else:
            return self._of_all(prod(shape))
        held = held.reshape(*held.shape, *(1,) * (len(shape) - held.ndim))
        return np.broadcast_to(held, shape).reshape(-1)

    def _of_all(self, rows: int) -> Mask | None:
        """What to hold back of `rows` rows that are not those of the batch: all or nothing."""
        assert self._held is not None
        if self._held.all() or not self._held.any():
            return np.full(rows, self._held.any())
        self.calls.never_divide()
        self._held, self._samples = None, []
        return None


def _leaves(value: Any) -> Iterator[Any]:
    """The arrays, tensors and other values in tuples, lists and dicts."""
    if isinstance(value, dict):
        value = tuple(value.values())
    if not isinstance(value, (tuple, list)):
        yield value
        return
    for each in value:
        yield from _leaves(each)


def _numbers(sample: Sample) -> int:
    """How many numbers the arguments of a call are."""
    return sum(prod(each.shape) if hasattr(each, "shape") else 1 for each in _leaves(sample))


def _kept(sample: Sample) -> Sample | None:
    """A copy of a call that other code cannot change; None if it cannot be copied, such as an iterator."""
    if any(isinstance(each, Iterator) for each in _leaves(sample)):
        return None
    try:
        return Sample(tuple(map(_copied, sample.args)), {name: _copied(each) for name, each in sample.kwargs.items()})
    except Exception:  # a user's class may raise anything when it is copied
        return None


def _copied(value: Any) -> Any:
    if _arrays.is_tensor(value):
        return value.detach().clone()
    return np.array(value) if isinstance(value, np.ndarray) else deepcopy(value)
