"""What the products of a float layer multiply in a call, recorded in `Statistics`.

A call of a prepared module computes its result first. Then all hidden states are known, as the core hands out those
of every layer, and so are the inputs of every product of every step: h before a step is the output of the step before
it. r*h and a projection's o*tanh(c) follow from the gates, which one product gives for all steps.
"""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from . import _arrays, _core
from ._spec import LayerSpec, packed_spec
from ._statistics import Product, Statistics

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ._layer import FloatLayer
    from ._spec import Matrix

    Array = NDArray[np.float32]

__all__ = ["product_rows", "recorded_call"]


def product_rows(spec: LayerSpec, matrix: int) -> list[slice]:
    """The rows of a matrix that belong to each of its products.

    `matrix` is its place in the core's order.
    """
    rows = spec.matrices[matrix].rows
    if spec.row.resets_before and matrix % len(spec.directions[0]) == 1:
        last = rows - spec.hidden_size
        return [slice(0, last), slice(last, rows)]  # of h: r and z; of r*h: n
    return [slice(0, rows)]


def recorded_call(module: FloatLayer, statistics: Statistics, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """Call `module` in C, and record in `statistics` what its products multiplied.

    A call that fails records nothing.
    """
    if isinstance(kwargs.get("lengths"), Iterator):  # which can be read but once
        kwargs = {**kwargs, "lengths": tuple(kwargs["lengths"])}
    given = dict(zip(("input", "hx"), args, strict=False), **kwargs)
    if given.get("out") is not None:  # which may be the state itself, or lie over the input
        given.update({name: _copied(given[name]) for name in ("input", "hx") if name in given})
    spec = packed_spec(module)
    below: Iterable[Array] = ()
    if spec.sequence is None:
        result = _core.Module.__call__(module, *args, **kwargs)
    else:
        result, below = module._forward_layers(*args, **kwargs)
    x, hx = _arrays.to_float32(given["input"], "input"), given.get("hx")
    states = [] if hx is None else list(hx) if spec.row.states == 2 else [hx]
    states = [_arrays.to_float32(state, "hx") for state in states]
    if not spec.row.states:
        statistics.record(x.reshape(math.prod(x.shape[:-1]), x.shape[-1]), (0, 0))
    elif spec.sequence is None:
        _Recorder(module, spec, statistics, np.atleast_2d(x)[None]).cell(states)
    else:
        outputs = [*below, np.asarray(result[0])]
        if x.ndim == 2:  # unbatched
            x, states, outputs = x[:, None], [state[:, None] for state in states], [y[:, None] for y in outputs]
        elif spec.sequence.batch_first:
            x, outputs = x.swapaxes(0, 1), [y.swapaxes(0, 1) for y in outputs]
        lengths = given.get("lengths")
        if lengths is not None:
            lengths = np.array([operator.index(each) for each in lengths])
            stepping = lengths > 0  # rows that take no step multiply nothing
            x, lengths = x[:, stepping], lengths[stepping]
            states, outputs = [state[:, stepping] for state in states], [y[:, stepping] for y in outputs]
        if x.shape[0] and x.shape[1]:
            _Recorder(module, spec, statistics, x, lengths).sequence(states, outputs)
    return result


def _copied(value: Any) -> Any:
    """A copy of an argument, which the call may write over; of what is no array, the thing itself."""
    if isinstance(value, tuple):
        return tuple(_copied(each) for each in value)
    try:
        return np.array(_arrays.to_float32(value, ""))
    except TypeError:  # None, a list of two unlike states, or what the call refuses
        return [_copied(each) for each in value] if isinstance(value, list) else value


class _Direction(NamedTuple):
    """One layer in one direction over a sequence; a cell is a sequence of one step."""

    first: int  # place of its W_ih
    reverse: bool
    x: Array  # (steps, batch, columns of W_ih)
    h: Array  # (steps, batch, columns of W_hh): h after each step
    h0: Array  # (batch, columns of W_hh)
    c0: Array | None  # (batch, hidden_size), of an LSTM


class _Recorder:
    """Records the rows of one call of a recurrent layer.

    Parameters
    ----------
    module : FloatLayer
    spec : LayerSpec
        The module's.
    statistics : Statistics
    x : ndarray, float32, shape (steps, batch, input_size)
    lengths : ndarray of int, optional
        None below 1.
    """

    def __init__(self, module: FloatLayer, spec: LayerSpec, statistics: Statistics, x: Array, lengths: Any = None):
        self._module = module
        self._spec = spec
        self._statistics = statistics
        self._x = x
        self._steps, self._batch, _ = x.shape
        self._lengths = lengths
        self._valid = None if self._lengths is None else np.arange(self._steps)[:, None] < self._lengths

    def cell(self, states: list[Array]) -> None:
        """Record a call of a cell."""
        shape = self._batch, self._spec.hidden_size
        h0 = states[0].reshape(shape) if states else np.zeros(shape, np.float32)
        self._statistics.record(self._x[0], (0, 0))
        self._direction(_Direction(0, False, self._x, h0[None], h0, None), ())

    def sequence(self, states: list[Array], outputs: list[Array]) -> None:
        """Record a call of a layer over sequences, from the initial states and the outputs of its layers."""
        spec, x = self._spec, self._x
        assert spec.sequence is not None
        size, count = spec.state_size, spec.sequence.num_directions
        directions = spec.sequence.num_layers * count
        each = len(spec.matrices) // directions
        h0 = states[0] if states else np.zeros((directions, self._batch, size), np.float32)
        c0 = states[1] if len(states) > 1 else np.zeros((directions, self._batch, spec.hidden_size), np.float32)
        # In one direction W_ih of a layer multiplies what W_hh of the layer below does, but for the state at the
        # start of one and at the end of the other.
        chained = count == 1 and self._statistics.per_row
        for layer, y in enumerate(outputs):
            places = range(layer * count, (layer + 1) * count)
            inputs = [(place * each, 0) for place in places]
            if chained and layer:
                self._statistics.record(self._last(x), *inputs)
            else:  # all at once, where they share a scale
                valid = None if self._valid is None else self._valid.ravel()
                self._statistics.record(x.reshape(-1, x.shape[-1]), *inputs, valid=valid)
            above = [(places.stop * each, 0)] if chained and layer < len(outputs) - 1 else []
            for reverse, place in enumerate(places):
                h = y[..., reverse * size : (reverse + 1) * size]
                self._direction(_Direction(place * each, reverse == 1, x, h, h0[place], c0[place]), above)
            x = y

    def _direction(self, direction: _Direction, above: Iterable[Product]) -> None:
        """Record the products that follow W_ih's; those of `above` multiply each h but the last one too."""
        spec, record, valid, first = self._spec, self._statistics.record, self._valid, direction.first
        if self._statistics.per_row:
            h = direction.h[1:] if direction.reverse else direction.h[:-1]
            record(h, (first + 1, 0), *above, valid=None if valid is None else valid[1:])
            record(direction.h0, (first + 1, 0))
        else:
            record(self._before(direction), (first + 1, 0), valid=valid)
        if spec.row.resets_before:
            record(self._reset(direction), (first + 1, 1), valid=valid)
        if spec.proj_size:
            record(self._unprojected(direction), (first + 2, 0), valid=valid)

    def _last(self, rows: Array) -> Array:
        """The rows of the last step of each sequence."""
        return np.asarray(rows[-1] if self._lengths is None else rows[self._lengths - 1, np.arange(self._batch)])

    def _before(self, direction: _Direction) -> Array:
        """h as each step finds it."""
        h, h0 = direction.h, direction.h0
        if not direction.reverse:
            return np.concatenate([h0[None], h[:-1]])
        before = np.concatenate([h[1:], h0[None]])
        if self._lengths is not None:  # a row's reverse direction begins at its own end
            before[self._lengths - 1, np.arange(self._batch)] = h0
        return before

    # ---- what follows from gates

    @functools.cached_property
    def _matrices(self) -> list[Matrix]:
        return self._module._matrices()

    def _gates(self, direction: _Direction, before: Array, rows: slice) -> Array:
        """Pre-activations of all steps, of some rows of W_ih and W_hh."""
        total = np.zeros((self._steps, self._batch, rows.stop - rows.start), np.float32)
        matrices = self._matrices[direction.first : direction.first + 2]
        with np.errstate(over="ignore", invalid="ignore"):  # rows that are not finite are left out later
            for matrix, inputs in zip(matrices, (direction.x, before), strict=True):
                total += inputs @ matrix.weight[rows].T
                if matrix.bias is not None:
                    total += matrix.bias[rows]
        return total

    def _reset(self, direction: _Direction) -> Array:
        """r*h, which W_hn of a GRU that resets before the product multiplies."""
        before = self._before(direction)
        return _sigmoid(self._gates(direction, before, slice(0, self._spec.hidden_size))) * before

    def _unprojected(self, direction: _Direction) -> Array:
        """What the projection of an LSTM multiplies, ``sigmoid(o) * tanh(c')``."""
        hidden = self._spec.hidden_size
        gates = self._gates(direction, self._before(direction), slice(0, 4 * hidden))
        i, f, g, o = (gates[..., k * hidden : (k + 1) * hidden] for k in range(4))
        fresh, keep = _sigmoid(i) * np.tanh(g), _sigmoid(f)
        c, states = direction.c0, np.empty_like(fresh)
        assert c is not None
        for t in range(self._steps)[:: -1 if direction.reverse else 1]:
            new = keep[t] * c + fresh[t]
            c = states[t] = new if self._lengths is None else np.where((t < self._lengths)[:, None], new, c)
        return np.asarray(_sigmoid(o) * np.tanh(states))


def _sigmoid(x: Array) -> Array:
    with np.errstate(over="ignore"):
        return np.asarray(1 / (1 + np.exp(-x)))
