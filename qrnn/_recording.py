"""Records in `Statistics` what the products of a float layer multiply in a call.

A call of a prepared module first computes its result. The core also returns the outputs of every layer, so the inputs
of every product in every step are known: h before a step is the output of the step before. The core returns as well
what it multiplied inside the steps (r*h, or the input of a projection), and the mean squared slopes of the gates in
each step, which are the step's weight (docs/calibration.md). A cell is called once more, as a layer over a sequence of
one step.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from . import _arrays, _core
from ._matrices import pack, packed_matrices
from ._model_calls import model_call
from ._reservoir import Piece, even_windows, windows
from ._samples import Layout
from ._spec import LayerSpec, Sequence, packed_spec
from ._statistics import Statistics

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float32]

__all__ = ["as_sequence", "product_rows", "recorded_call"]


def product_rows(spec: LayerSpec, matrix: int) -> list[slice]:
    """The rows of a matrix that belong to each of its products.

    `matrix` is its place in the core's order.
    """
    rows = spec.matrices[matrix].rows
    if spec.row.resets_before and matrix % len(spec.directions[0]) == 1:
        last = rows - spec.hidden_size
        return [slice(0, last), slice(last, rows)]  # r and z multiply h; n multiplies r*h
    return [slice(0, rows)]


def as_sequence(spec: LayerSpec) -> LayerSpec:
    """The layer over sequences that computes the steps of a cell; other layers are returned unchanged."""
    if spec.sequence is not None or not spec.row.states:
        return spec
    return spec._replace(sequence=Sequence(1, 1, False))


def recorded_call(
    module: _core.Module, statistics: Statistics, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> Any:
    """Call `module` in C, and record in `statistics` what its products multiplied.

    A call that fails records nothing.
    """
    if isinstance(kwargs.get("lengths"), Iterator):  # an iterator can be read only once
        kwargs = {**kwargs, "lengths": tuple(kwargs["lengths"])}
    given = dict(zip(("input", "hx"), args, strict=False), **kwargs)
    if given.get("out") is not None:  # it may be the state itself, or overlap the input
        given.update({name: _copied(given[name]) for name in ("input", "hx") if name in given})
    spec = packed_spec(module)
    if spec.sequence is None:
        result = _core.Module.__call__(module, *args, **kwargs)
        x, states = _arrays.to_float32(given["input"], "input"), _states(spec, given.get("hx"))
        if not spec.row.states:
            _record_rows(statistics, x)
        elif spec.hidden_size and len(x):
            _record_cell(module, statistics, np.atleast_2d(x), [np.atleast_2d(state) for state in states])
        return result
    result, below, inner, slopes = module._forward_layers(*args, **kwargs)
    x, states = _arrays.to_float32(given["input"], "input"), _states(spec, given.get("hx"))
    if not states and spec.learned:
        states = _learned(module, spec, x)
    inside = _Inside(
        [*below, _arrays.to_float32(result[0], "output")], [] if inner is None else list(inner), list(slopes)
    )
    if x.ndim == 2:  # unbatched
        x, states = x[:, None], [state[:, None] for state in states]
        inside = inside.each(lambda array: array[:, None])
    elif spec.sequence.batch_first:
        x, inside = x.swapaxes(0, 1), inside.each(lambda array: array.swapaxes(0, 1))
    lengths, held = given.get("lengths"), _held(statistics, spec, x)
    if lengths is not None:
        lengths = np.array([operator.index(each) for each in lengths])
        stepping = lengths > 0  # rows of length 0 multiply nothing
        x, lengths, states = x[:, stepping], lengths[stepping], [state[:, stepping] for state in states]
        inside = inside.each(lambda array: array[:, stepping])
        held = None if held is None else held[stepping]
    if x.shape[0] and x.shape[1]:
        _Recorder(spec, statistics, x, states, inside, lengths).sequence(held)
    return result


def _held(statistics: Statistics, spec: LayerSpec, x: Array) -> NDArray[np.bool_] | None:
    """Which rows of the batch in (steps, batch, columns) the call of the whole model holds back; None: none."""
    call = model_call()
    if call is None or not statistics.guarded:
        return None
    return call.held(
        statistics, Layout(len(x), x.shape[1], spec.sequence is not None and spec.sequence.batch_first, None)
    )


def _record_rows(statistics: Statistics, x: Array) -> None:
    """Record the input of a layer without a state."""
    call, rows = model_call(), x.reshape(math.prod(x.shape[:-1]), x.shape[-1])
    if call is None or not statistics.guarded:
        statistics.record_rows(rows)
    elif call.knows_rows:
        statistics.record_rows(rows, call.rows(statistics, x.shape[:-1]))
    else:
        call.wait(statistics, x.shape[:-1], partial(statistics.record_rows, rows.copy()))


def _states(spec: LayerSpec, hx: Any) -> list[Array]:
    """The states that a call was given; empty if they are zeros."""
    states = [] if hx is None else list(hx) if spec.row.states == 2 else [hx]
    return [_arrays.to_float32(state, "hx") for state in states]


def _learned(module: _core.Module, spec: LayerSpec, x: Array) -> list[Array]:
    """The learned states in the shape of a state for the input `x`."""
    first = len(spec.matrices) - len(spec.learned)
    states = [np.asarray(module._unpack(first + i, "weight")) for i in range(len(spec.learned))]
    if x.ndim == 2:  # unbatched
        return states
    assert spec.sequence is not None
    batch = x.shape[0 if spec.sequence.batch_first else 1]
    return [np.repeat(state[:, None], batch, axis=1) for state in states]


def _record_cell(module: _core.Module, statistics: Statistics, x: Array, states: list[Array]) -> None:
    """Record a step of a cell, (batch, columns) each."""
    if statistics.steps is None:
        spec = as_sequence(packed_spec(module))
        statistics.steps = pack(spec, "float32", module.isa, packed_matrices(module))
    steps = statistics.steps
    spec = packed_spec(steps)
    states = [state[None] for state in states]
    hx = None if not states else states[0] if spec.row.states == 1 else (states[0], states[1])
    (output, _), _, inner, slopes = steps._forward_layers(x[None], hx)
    inside = _Inside([output], [] if inner is None else list(inner), list(slopes))
    _Recorder(spec, statistics, x[None], states, inside).cell(_held(statistics, spec, x[None]))


def _copied(value: Any) -> Any:
    """A copy of an argument that the call may overwrite; if it is not an array, the argument itself."""
    if isinstance(value, tuple):
        return tuple(_copied(each) for each in value)
    try:
        return np.array(_arrays.to_float32(value, ""))
    except TypeError:  # None, a list of two different states, or a value that the call refuses
        return [_copied(each) for each in value] if isinstance(value, list) else value


class _Inside(NamedTuple):
    """What the core returns about the inside of a call, (steps, batch, columns) each except the slopes."""

    outputs: list[Array]  # of each layer, directions * state_size columns
    inner: list[Array]  # what each layer and direction multiplied inside its steps; empty where nothing is
    slopes: list[Array]  # of each layer and direction, (steps, batch): the weights of the steps

    def each(self, change: Callable[[Array], Array]) -> _Inside:
        """With every array changed."""
        return _Inside(*([change(array) for array in arrays] for arrays in self))


class _Direction(NamedTuple):
    """One layer in one direction over a sequence."""

    first: int  # place of its W_ih
    reverse: bool
    x: Array  # (steps, batch, columns of W_ih)
    h: Array  # (steps, batch, columns of W_hh): h after each step
    h0: Array  # (batch, columns of W_hh)
    inner: Array | None  # (steps, batch, hidden_size): what each step multiplies inside
    weights: Array  # (steps, batch): of the steps; NaN of those that are not to be summed


class _Recorder:
    """Records the rows of one call of a recurrent layer.

    Parameters
    ----------
    spec : LayerSpec
        The layer's, over sequences.
    statistics : Statistics
    x : ndarray, float32, shape (steps, batch, input_size)
    states : list of ndarray, float32, shape (layers * directions, batch, columns)
        The initial ones; empty for zeros.
    inside : _Inside
    lengths : ndarray of int, optional
        None below 1.
    """

    def __init__(
        self,
        spec: LayerSpec,
        statistics: Statistics,
        x: Array,
        states: list[Array],
        inside: _Inside,
        lengths: NDArray[np.int64] | None = None,
    ) -> None:
        self._spec, self._statistics, self._x, self._inside = spec, statistics, x, inside
        self._steps, self._batch, _ = x.shape
        self._lengths = lengths
        self._valid = None if lengths is None else np.arange(self._steps)[:, None] < lengths
        self._starts_at_zeros = not states
        sizes = (spec.state_size, spec.hidden_size)[: spec.row.states]
        self._states = states or [np.zeros((len(spec.directions), self._batch, size), np.float32) for size in sizes]

    def cell(self, held_rows: NDArray[np.bool_] | None) -> None:
        """Record a call of a cell, a sequence of one step, of which some rows may be held back anyway."""
        before, after = [state[0] for state in self._states], self._inside.outputs[0][0]
        held = self._statistics.hold_step(self._x[0], before, after, self._starts_at_zeros, held_rows)
        for weights in self._inside.slopes:
            weights[0, held] = np.nan
        self._record()

    def sequence(self, held_rows: NDArray[np.bool_] | None) -> None:
        """Record a call of a layer over sequences, of which some rows may be held back anyway."""
        lengths = self._lengths
        rows, starts, steps = even_windows(self._batch, self._steps) if lengths is None else windows(lengths)
        if held_rows is not None:
            rows, starts = rows[held_rows[rows]], starts[held_rows[rows]]
            for weights in self._inside.slopes:
                weights[:, held_rows] = np.nan
        for each in self._statistics.offer(len(rows), held_rows is not None):
            row, start = int(rows[each]), int(starts[each])
            length = self._steps if lengths is None else int(lengths[row])
            stop = min(start + steps, length)
            states = self._states_of(row, start, stop, length)
            self._statistics.hold(Piece([self._x[start:stop, row].copy()], states))
            for weights in self._inside.slopes:
                weights[start:stop, row] = np.nan
        self._record()

    def _states_of(self, row: int, start: int, stop: int, length: int) -> list[Array]:
        """The states of a piece: those of the sequence where they are known, else zeros, as c is within a call."""
        size, states = self._spec.state_size, [state[:, row].copy() for state in self._states]
        count = len(states[0]) // len(self._inside.outputs)
        for place in range(len(states[0])):
            layer, direction = divmod(place, count)
            reverse = direction == 1 or self._spec.reverse
            if stop == length if reverse else start == 0:
                continue
            for state in states:
                state[place] = 0
            if len(states) == 1:
                at = stop if reverse else start - 1
                states[0][place] = self._inside.outputs[layer][at, row, direction * size : (direction + 1) * size]
        return states

    def _record(self) -> None:
        """Record all products but those of steps whose weights are NaN: past the end of a row, or held back."""
        spec, x = self._spec, self._x
        assert spec.sequence is not None
        size, count = spec.state_size, spec.sequence.num_directions
        each = len(spec.directions[0])
        for layer, y in enumerate(self._inside.outputs):
            for direction in range(count):
                place = layer * count + direction
                h = y[..., direction * size : (direction + 1) * size]
                weights = self._inside.slopes[place]
                inner = self._inside.inner[place] if self._inside.inner else None
                h0 = self._states[0][place]
                reverse = direction == 1 or spec.reverse
                self._direction(_Direction(place * each, reverse, x, h, h0, inner, weights))
            x = y

    def _direction(self, direction: _Direction) -> None:
        record, valid, first, weights = self._statistics.record, self._valid, direction.first, direction.weights
        x, all_valid = direction.x, None if valid is None else valid.ravel()
        x = x.reshape(math.prod(x.shape[:2]), x.shape[2])  # at once: an engine with one scale has one for all steps
        record(x, (first, 0), all_valid, weights.ravel())
        if self._statistics.per_row:
            self._record_states(direction)
        else:
            record(self._before(direction), (first + 1, 0), valid, weights)
        if direction.inner is not None:
            record(direction.inner, (first + 2, 0) if self._spec.proj_size else (first + 1, 1), valid, weights)

    def _record_states(self, direction: _Direction) -> None:
        """Record h as each step finds it: that of the step before, or the first one, without a copy of all."""
        record, product, weights = self._statistics.record, (direction.first + 1, 0), direction.weights
        if direction.reverse:
            h, others = direction.h[1:], weights[:-1].copy()
            first, rows = self._at_ends(weights), np.arange(self._batch)
            if self._lengths is not None:
                inside = self._lengths < self._steps
                others[self._lengths[inside] - 1, rows[inside]] = np.nan
        else:
            h, others, first = direction.h[:-1], weights[1:], weights[0]
        record(h, product, None, others)
        if self._starts_at_zeros:
            self._statistics.record_zeros(direction.h0.shape[1], product, first)
        else:
            record(direction.h0, product, None, first)

    def _at_ends(self, steps: Array) -> Array:
        """The last step of each row."""
        return np.asarray(steps[-1] if self._lengths is None else steps[self._lengths - 1, np.arange(self._batch)])

    def _before(self, direction: _Direction) -> Array:
        """h as each step finds it."""
        h, h0 = direction.h, direction.h0
        if not direction.reverse:
            return np.concatenate([h0[None], h[:-1]])
        before = np.concatenate([h[1:], h0[None]])
        if self._lengths is not None:  # a row's reverse direction begins at its own end
            before[self._lengths - 1, np.arange(self._batch)] = h0
        return before
