"""What the products of a float layer multiply in a call: the rows that `Statistics` records.

A call of a prepared module computes its result first. Then, as all hidden states are known, the inputs
of every product of every step are too: h before step t is the output of the step before it; r*h and a
projection's o*tanh(c) follow from the gates, which one product gives for all steps.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .. import _arrays, _core
from .statistics import Statistics

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..nn.modules.layer import FloatLayer, Matrix

    Array = NDArray[np.float32]

__all__ = ["observe", "observed_call", "products"]


def products(kind: str, matrix: int, rows: int) -> list[slice]:
    """The rows of a matrix that belong to each of its products.

    `matrix` is its place among those of its layer and direction: W_ih, W_hh, W_hr.
    """
    if kind == "gru_reset_before" and matrix == 1:
        return [slice(0, rows // 3 * 2), slice(rows // 3 * 2, rows)]  # of h: r and z; of r*h: n
    return [slice(0, rows)]


def observed_call(module: FloatLayer, statistics: Statistics, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """Call `module` in C, and record in `statistics` what its products multiplied.

    A call that fails records nothing.
    """
    if isinstance(kwargs.get("lengths"), Iterator):  # which can be read but once
        kwargs = {**kwargs, "lengths": tuple(kwargs["lengths"])}
    given = dict(zip(("input", "hx"), args, strict=False), **kwargs)
    if given.get("out") is not None:  # which may be the state itself, or lie over the input
        given.update({name: _kept(given[name]) for name in ("input", "hx") if name in given})
    result = _core.Module.__call__(module, *args, **kwargs)
    observe(module, statistics, given["input"], given.get("hx"), given.get("lengths"), result)
    return result


def observe(module: FloatLayer, statistics: Statistics, input: Any, hx: Any, lengths: Any, result: Any) -> None:
    """Record in `statistics` what the products of a call multiplied.

    Parameters
    ----------
    module : FloatLayer
        With the weights that gave `result`.
    statistics : Statistics
    input, hx, lengths : array_like
        The arguments of the call; an `hx` or `lengths` of None is what it is there.
    result : array or tuple
        What it returned.
    """
    x = _arrays.to_float32(input, "input")
    states = [] if hx is None else list(hx) if module.kind == "lstm" else [hx]
    states = [_arrays.to_float32(state, "hx") for state in states]
    if module.kind == "linear":
        statistics.record(0, x.reshape(int(np.prod(x.shape[:-1])), x.shape[-1]))
    elif module.sequence is None:
        _cell(module, statistics, x, states)
    else:
        _sequence(module, statistics, x, states, lengths, result[0])


def _kept(value: Any) -> Any:
    """A copy of an argument, which the call may write over; of what is no array, the thing itself."""
    if isinstance(value, tuple):
        return tuple(_kept(each) for each in value)
    try:
        return np.array(_arrays.to_float32(value, ""))
    except TypeError:  # None, a list of two unlike states, or what the call refuses
        return [_kept(each) for each in value] if isinstance(value, list) else value


class _Unit(NamedTuple):
    """One layer in one direction over one sequence; a cell is a sequence of one step."""

    kind: str
    first: int  # place of its first matrix
    matrices: list[Matrix]
    x: Array  # (steps, batch, columns of W_ih)
    before: Array  # (steps, batch, columns of W_hh): h as the step finds it
    cell: Array | None  # (batch, hidden): c at the start of an LSTM
    valid: NDArray[np.bool_]  # (steps, batch)
    reverse: bool


def _cell(module: FloatLayer, statistics: Statistics, x: Array, states: list[Array]) -> None:
    matrices = module._matrices() if module.kind == "gru_reset_before" else []
    batch, hidden = 1 if x.ndim == 1 else len(x), module.hidden_size
    x = x.reshape(1, batch, x.shape[-1])
    h = states[0].reshape(1, batch, hidden) if states else np.zeros((1, batch, hidden), np.float32)
    valid = np.ones((1, batch), bool)
    _record(statistics, _Unit(module.kind, 0, matrices, x, h, None, valid, False))


def _sequence(
    module: FloatLayer, statistics: Statistics, x: Array, states: list[Array], lengths: Any, output: Any
) -> None:
    assert module.sequence is not None
    layers, directions, batch_first = module.sequence
    if x.ndim == 2:  # unbatched
        x, states = x[:, None], [state[:, None] for state in states]
        output = np.asarray(output)[:, None]
    else:
        output = np.asarray(output)
        if batch_first:
            x, output = x.swapaxes(0, 1), output.swapaxes(0, 1)
    steps, batch, _ = x.shape
    if not steps or not batch:
        return
    ends = np.array([steps] * batch if lengths is None else [operator.index(each) for each in lengths])
    valid = np.arange(steps)[:, None] < ends
    size = module.proj_size or module.hidden_size
    h0 = states[0] if states else np.zeros((layers * directions, batch, size), np.float32)
    c0 = states[1] if len(states) > 1 else np.zeros((len(h0), batch, module.hidden_size), np.float32)
    matrices = module._matrices()
    each = len(matrices) // (layers * directions)
    for layer in range(layers):
        units = slice(layer * directions, (layer + 1) * directions)
        own = matrices[units.start * each : units.stop * each]
        last = layer == layers - 1
        y = output if last else _one_layer(module, own, x, h0[units], c0[units], lengths)
        for direction in range(directions):
            unit = units.start + direction
            h = y[..., direction * size : (direction + 1) * size]
            before = _before(h, h0[unit], ends, reverse=direction == 1)
            part = own[direction * each : (direction + 1) * each]
            _record(
                statistics,
                _Unit(module.kind, unit * each, part, x, before, c0[unit], valid, direction == 1),
            )
        x = y


def _one_layer(module: FloatLayer, matrices: list[Matrix], x: Array, h0: Array, c0: Array, lengths: Any) -> Array:
    """The output of one layer of a deeper module."""
    packed = _core.Module()
    packed._pack(module.kind, "float32", module.isa, *matrices, sequence=(1, module.num_directions, False))
    hx = (h0, c0) if module.kind == "lstm" else h0
    return np.asarray(packed(x, hx, lengths=lengths)[0])


def _before(h: Array, h0: Array, ends: NDArray[Any], reverse: bool) -> Array:
    """The state that each step finds, from those that each step leaves."""
    if not reverse:
        return np.concatenate([h0[None], h[:-1]])
    before = np.concatenate([h[1:], np.zeros_like(h[:1])])
    before[ends - 1, np.arange(len(ends))] = h0  # where a row's reverse direction begins
    return before


def _record(statistics: Statistics, unit: _Unit) -> None:
    valid, first = unit.valid, unit.first
    statistics.record(first, unit.x[valid])
    if unit.kind == "gru_reset_before":
        _record_steps(statistics, first + 1, unit.before, valid)
        hidden = unit.before.shape[-1]
        r = _sigmoid(_gates(unit, slice(0, hidden)))
        _record_steps(statistics, first + 1, r * unit.before, valid, product=1)
        return
    _record_steps(statistics, first + 1, unit.before, valid)
    if len(unit.matrices) == 3:
        _record_steps(statistics, first + 2, _unprojected(unit), valid)


def _record_steps(statistics: Statistics, matrix: int, rows: Array, valid: NDArray[np.bool_], product: int = 0) -> None:
    """Record what a product multiplies step by step."""
    if statistics.engine == "qrnn":  # every row by itself
        statistics.record(matrix, rows[valid], product)
    else:
        for step, active in zip(rows, valid, strict=True):
            statistics.record(matrix, step[active], product)


def _gates(unit: _Unit, rows: slice) -> Array:
    """Pre-activations of all steps, of some rows of both matrices."""
    total = np.zeros((*unit.x.shape[:2], rows.stop - rows.start), np.float32)
    with np.errstate(over="ignore", invalid="ignore"):  # rows that are not finite are left out later
        for matrix, inputs in zip(unit.matrices, (unit.x, unit.before), strict=False):
            total += inputs @ matrix.weight[rows].T
            if matrix.bias is not None:
                total += matrix.bias[rows]
    return total


def _unprojected(unit: _Unit) -> Array:
    """What an LSTM's projection multiplies, ``sigmoid(o) * tanh(c')``, of all steps."""
    hidden = unit.matrices[2].weight.shape[1]
    gates = _gates(unit, slice(0, 4 * hidden))
    i, f, g, o = (gates[..., k * hidden : (k + 1) * hidden] for k in range(4))
    fresh, keep = _sigmoid(i) * np.tanh(g), _sigmoid(f)
    c, states = unit.cell, np.empty_like(fresh)
    assert c is not None
    for t in range(len(fresh))[:: -1 if unit.reverse else 1]:
        c = states[t] = np.where(unit.valid[t][:, None], keep[t] * c + fresh[t], c)
    return np.asarray(_sigmoid(o) * np.tanh(states))


def _sigmoid(x: Array) -> Array:
    with np.errstate(over="ignore"):
        return np.asarray(1 / (1 + np.exp(-x)))
