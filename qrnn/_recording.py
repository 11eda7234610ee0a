"""What the products of a float layer multiply in a call, recorded in `Statistics`.

A call of a prepared module computes its result first. Then all hidden states are known, as the core hands out those
of every layer, and so are the inputs of every product of every step: h before a step is the output of the step before
it. The core hands out too what it multiplied inside the steps, r*h or what a projection takes.
"""

from __future__ import annotations

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
    inner: Iterable[Array] | None = None
    if spec.sequence is None:
        result = _core.Module.__call__(module, *args, **kwargs)
    else:
        result, below, inner = module._forward_layers(*args, **kwargs)
    x, hx = _arrays.to_float32(given["input"], "input"), given.get("hx")
    states = [] if hx is None else list(hx) if spec.row.states == 2 else [hx]
    states = [_arrays.to_float32(state, "hx") for state in states]
    if not spec.row.states:
        statistics.record(x.reshape(math.prod(x.shape[:-1]), x.shape[-1]), (0, 0))
    elif spec.sequence is None:
        _Recorder(module, spec, statistics, np.atleast_2d(x)[None]).cell(states)
    else:
        outputs = [*below, _arrays.to_float32(result[0], "output")]
        inside = [] if inner is None else list(inner)
        if x.ndim == 2:  # unbatched
            x, states = x[:, None], [state[:, None] for state in states]
            outputs, inside = ([each[:, None] for each in arrays] for arrays in (outputs, inside))
        elif spec.sequence.batch_first:
            x = x.swapaxes(0, 1)
            outputs, inside = ([each.swapaxes(0, 1) for each in arrays] for arrays in (outputs, inside))
        lengths = given.get("lengths")
        if lengths is not None:
            lengths = np.array([operator.index(each) for each in lengths])
            stepping = lengths > 0  # rows that take no step multiply nothing
            x, lengths = x[:, stepping], lengths[stepping]
            states, outputs, inside = ([each[:, stepping] for each in arrays] for arrays in (states, outputs, inside))
        if x.shape[0] and x.shape[1]:
            _Recorder(module, spec, statistics, x, lengths).sequence(states, outputs, inside)
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
    inner: Array | None  # (steps, batch, hidden_size): what each step multiplies inside


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
        self._starts_at_zeros = False

    def cell(self, states: list[Array]) -> None:
        """Record a call of a cell."""
        shape = self._batch, self._spec.hidden_size
        h0 = states[0].reshape(shape) if states else np.zeros(shape, np.float32)
        self._starts_at_zeros = not states
        self._statistics.record(self._x[0], (0, 0))
        inner = self._reset(h0)[None] if self._spec.row.resets_before else None
        self._direction(_Direction(0, False, self._x, h0[None], h0, inner), ())

    def _reset(self, h0: Array) -> Array:
        """r*h of a cell that resets before the product."""
        hidden = self._spec.hidden_size
        gates = np.zeros_like(h0)
        with np.errstate(over="ignore", invalid="ignore"):  # rows that are not finite are left out later
            for matrix, rows in zip(self._module._matrices(), (self._x[0], h0), strict=True):
                gates += rows @ matrix.weight[:hidden].T
                if matrix.bias is not None:
                    gates += matrix.bias[:hidden]
            return np.asarray(_core.apply("sigmoid", gates) * h0)

    def sequence(self, states: list[Array], outputs: list[Array], inside: list[Array]) -> None:
        """Record a call of a layer over sequences.

        Parameters
        ----------
        states : list of ndarray
            The initial ones; empty for zeros.
        outputs : list of ndarray, float32, shape (steps, batch, directions * state_size)
            Of each layer.
        inside : list of ndarray, float32, shape (steps, batch, hidden_size)
            What each layer and direction multiplied inside its steps; empty where nothing is.
        """
        spec, x = self._spec, self._x
        assert spec.sequence is not None
        size, count = spec.state_size, spec.sequence.num_directions
        directions = spec.sequence.num_layers * count
        each = len(spec.matrices) // directions
        h0 = states[0] if states else [np.zeros((self._batch, size), np.float32)] * directions
        self._starts_at_zeros = not states
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
                inner = inside[place] if inside else None
                self._direction(_Direction(place * each, reverse == 1, x, h, h0[place], inner), above)
            x = y

    def _direction(self, direction: _Direction, above: Iterable[Product]) -> None:
        """Record the products that follow W_ih's; those of `above` multiply each h but the last one too."""
        spec, record, valid, first = self._spec, self._statistics.record, self._valid, direction.first
        if self._statistics.per_row:
            h = direction.h[1:] if direction.reverse else direction.h[:-1]
            record(h, (first + 1, 0), *above, valid=None if valid is None else valid[1:])
            if self._starts_at_zeros:
                self._statistics.record_zeros(*direction.h0.shape, (first + 1, 0))
            else:
                record(direction.h0, (first + 1, 0))
        else:
            record(self._before(direction), (first + 1, 0), valid=valid)
        if direction.inner is not None:
            record(direction.inner, (first + 2, 0) if spec.proj_size else (first + 1, 1), valid=valid)

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
