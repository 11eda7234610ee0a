"""The functions of arrays that a `Graph` calls by name: ONNX's operators of the same names, in their newest version.

Each takes arrays, and keyword options that a file can hold: numbers, texts and lists of them. Some inputs of operators
are constants as a rule, such as axes; they are parameters that may be given either way.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Values = NDArray[Any]
    Ints = Sequence[int] | Values

__all__ = ["FUNCTIONS", "TYPES"]

#: The types to which `cast` casts. Graphs of other float types are computed in float32.
TYPES = ("bool", "float32", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")


def _ints(values: Any) -> list[int]:
    return [int(each) for each in np.asarray(values).ravel()]


def _axes(axes: Any, ndim: int) -> tuple[int, ...]:
    """Axes of an array of `ndim` dimensions, none negative."""
    found = _ints(axes)
    if len({each % ndim if ndim else each for each in found}) != len(found):
        raise ValueError(f"axes: expected each once, got {found}")
    for each in found:
        if not -ndim <= each < ndim:
            raise ValueError(f"axes: expected numbers in {-ndim}..{ndim - 1}, got {each}")
    return tuple(each % ndim for each in found)


# ---- element by element


def _div(a: Values, b: Values) -> Values:
    """The quotient; for integers it is rounded towards zero."""
    if a.dtype.kind == "f":
        return np.divide(a, b)
    quotient = np.floor_divide(a, b)
    return np.asarray(quotient + ((quotient < 0) & (quotient * b != a)), a.dtype)


def _mod(a: Values, b: Values, *, fmod: int = 0) -> Values:
    return np.asarray(np.fmod(a, b) if fmod else np.mod(a, b), a.dtype)


def _pow(a: Values, b: Values) -> Values:
    return np.asarray(np.power(a, b), a.dtype)


def _clip(x: Values, min: Any = None, max: Any = None) -> Values:
    low = x if min is None else np.maximum(x, np.asarray(min, x.dtype))
    return low if max is None else np.minimum(low, np.asarray(max, x.dtype))


def _erf(x: Values) -> Values:
    return np.asarray(np.frompyfunc(math.erf, 1, 1)(x.astype(np.float64)), np.float32)


def _gelu(x: Values, *, approximate: str = "none") -> Values:
    wide = x.astype(np.float64)
    if approximate == "tanh":
        inner = np.tanh(math.sqrt(2 / math.pi) * (wide + 0.044715 * wide**3))
    else:
        inner = _erf(np.asarray(wide / math.sqrt(2)))
    return np.asarray(wide * (1 + inner) / 2, np.float32)


def _hard_sigmoid(x: Values, *, alpha: float = 0.2, beta: float = 0.5) -> Values:
    return np.asarray(np.clip(x.astype(np.float64) * alpha + beta, 0, 1), np.float32)


def _selu(x: Values, *, alpha: float = 1.6732631921768188, gamma: float = 1.0507010221481323) -> Values:
    wide = x.astype(np.float64)
    return np.asarray(gamma * np.where(wide > 0, wide, alpha * np.expm1(np.minimum(wide, 0))), np.float32)


def _prelu(x: Values, slope: Values) -> Values:
    return np.where(x < 0, x * slope, x)


def _cast(x: Values, *, to: str) -> Values:
    if to not in TYPES:
        raise ValueError(f"to: expected one of {', '.join(TYPES)}, got {to!r}")
    return x.astype(to)


def _many(function: Callable[..., Values]) -> Callable[..., Values]:
    """`function`, which takes two arrays, as a function of any number of arrays."""

    def of_all(first: Values, *rest: Values) -> Values:
        for each in rest:
            first = function(first, each)
        return first

    return of_all


# ---- shapes


def _reshape(x: Values, shape: Ints, *, allowzero: int = 0) -> Values:
    sizes = _ints(shape)
    if not allowzero:
        sizes = [x.shape[i] if size == 0 and i < x.ndim else size for i, size in enumerate(sizes)]
    return x.reshape(sizes)


def _squeeze(x: Values, axes: Ints | None = None) -> Values:
    return np.squeeze(x, None if axes is None else _axes(axes, x.ndim))


def _unsqueeze(x: Values, axes: Ints) -> Values:
    return np.expand_dims(x, _axes(axes, x.ndim + np.asarray(axes).size))


def _flatten(x: Values, *, axis: int = 1) -> Values:
    if not -x.ndim <= axis <= x.ndim:
        raise ValueError(f"axis: expected a number in {-x.ndim}..{x.ndim}, got {axis}")
    axis = axis + x.ndim if axis < 0 else axis
    return x.reshape(math.prod(x.shape[:axis]), math.prod(x.shape[axis:]))


def _transpose(x: Values, *, perm: Sequence[int] | None = None) -> Values:
    return np.transpose(x, perm)


def _concat(*inputs: Values, axis: int) -> Values:
    return np.concatenate(inputs, axis)


def _stack(*inputs: Values, axis: int) -> Values:
    return np.stack(inputs, axis)


def _split(
    x: Values, split: Ints | None = None, *, axis: int = 0, num_outputs: int | None = None
) -> tuple[Values, ...]:
    (axis,) = _axes([axis], x.ndim)
    size = x.shape[axis]
    if split is None:
        if num_outputs is None or num_outputs < 1:
            raise ValueError(f"num_outputs: expected a positive number, got {num_outputs}")
        each = -(-size // num_outputs)
        sizes = [max(0, min(each, size - i * each)) for i in range(num_outputs)]
    else:
        sizes = _ints(split)
    if sum(sizes) != size or min(sizes, default=0) < 0:
        raise ValueError(f"split: expected sizes of which {size} is the sum, got {sizes}")
    return tuple(np.split(x, np.cumsum(sizes)[:-1], axis))


def _slice(x: Values, starts: Ints, ends: Ints, axes: Ints | None = None, steps: Ints | None = None) -> Values:
    begin, end = _ints(starts), _ints(ends)
    places = range(len(begin)) if axes is None else _axes(axes, x.ndim)
    strides = [1] * len(begin) if steps is None else _ints(steps)
    if not len(begin) == len(end) == len(places) == len(strides):
        raise ValueError("starts: expected as many as there are ends, axes and steps")
    index = [slice(None)] * x.ndim
    for place, *each in zip(places, begin, end, strides):
        index[place] = slice(*each)
    return x[tuple(index)]


def _gather(x: Values, indices: Any, *, axis: int = 0) -> Values:
    return np.take(x, np.asarray(indices), axis)


def _gather_elements(x: Values, indices: Values, *, axis: int = 0) -> Values:
    index: list[Any] = list(np.indices(indices.shape, sparse=True))
    index[axis] = indices
    return np.asarray(x[tuple(index)])


def _gather_nd(x: Values, indices: Values, *, batch_dims: int = 0) -> Values:
    if batch_dims:
        raise ValueError(f"batch_dims: expected 0, got {batch_dims}")
    return np.asarray(x[tuple(np.moveaxis(indices, -1, 0))])


def _expand(x: Values, shape: Ints) -> Values:
    return np.broadcast_to(x, np.broadcast_shapes(x.shape, tuple(_ints(shape))))


def _tile(x: Values, repeats: Ints) -> Values:
    return np.tile(x, _ints(repeats))


def _pad(x: Values, pads: Ints, value: Any = None, axes: Ints | None = None, *, mode: str = "constant") -> Values:
    places = tuple(range(x.ndim)) if axes is None else _axes(axes, x.ndim)
    sizes, width = _ints(pads), [(0, 0)] * x.ndim
    if len(sizes) != 2 * len(places):
        raise ValueError(f"pads: expected {2 * len(places)} numbers, got {len(sizes)}")
    for place, before, after in zip(places, sizes, sizes[len(places) :]):
        x = x[(slice(None),) * place + (slice(max(0, -before), x.shape[place] - max(0, -after)),)]
        width[place] = max(before, 0), max(after, 0)
    if mode == "constant":
        return np.pad(x, width, constant_values=0 if value is None else np.asarray(value).item())
    if mode not in ("reflect", "edge", "wrap"):
        raise ValueError(f"mode: expected constant, reflect, edge or wrap, got {mode!r}")
    padded: Values = np.pad(x, width, mode)  # type: ignore[call-overload]
    return padded


def _shape(x: Values, *, start: int = 0, end: int | None = None) -> Values:
    return np.array(x.shape[start:end], np.int64)


def _size(x: Values) -> Values:
    return np.array(x.size, np.int64)


def _constant_of_shape(shape: Ints, *, value: float = 0.0, to: str = "float32") -> Values:
    return _cast(np.full(_ints(shape), value), to=to)


def _range(start: Any, limit: Any, delta: Any) -> Values:
    first, last, step = (np.asarray(each).item() for each in (start, limit, delta))
    return np.asarray(np.arange(first, last, step), np.float32 if isinstance(first, float) else np.int64)


def _reverse_sequence(x: Values, lengths: Values, *, batch_axis: int = 1, time_axis: int = 0) -> Values:
    rows = np.moveaxis(x, (time_axis, batch_axis), (0, 1)).copy()
    for row, length in enumerate(_ints(lengths)):
        rows[:length, row] = rows[:length, row][::-1]
    return np.moveaxis(rows, (0, 1), (time_axis, batch_axis))


# ---- sums and products


def _reduce(function: Any, x: Values, axes: Any, keepdims: int, noop: int) -> Values:
    """`function` over axes of contiguous rows, in float64, so that a row has the same bits with any number of rows."""
    found = [] if axes is None else _ints(axes)
    if not found:
        if noop:
            return x
        found = list(range(x.ndim))
    places = _axes(found, x.ndim)
    kept = [i for i in range(x.ndim) if i not in places]
    rows = x.transpose(*kept, *places).reshape(*(x.shape[i] for i in kept), math.prod(x.shape[i] for i in places))
    result = function(rows.astype(np.float64) if x.dtype.kind == "f" else rows, axis=-1)
    result = np.asarray(result, x.dtype)
    return np.expand_dims(result, places) if keepdims else result


def _reduction(function: Any) -> Callable[..., Values]:
    def reduced(x: Values, axes: Ints | None = None, *, keepdims: int = 1, noop_with_empty_axes: int = 0) -> Values:
        return _reduce(function, x, axes, keepdims, noop_with_empty_axes)

    return reduced


def _mean(rows: Values, axis: int) -> Values:
    return np.asarray(np.add.reduce(rows, axis=axis) / rows.shape[axis])


def _norm(rows: Values, axis: int) -> Values:
    return np.asarray(np.sqrt(np.add.reduce(rows * rows, axis=axis)))


def _sum_square(rows: Values, axis: int) -> Values:
    return np.asarray(np.add.reduce(rows * rows, axis=axis))


def _argument(function: Any) -> Callable[..., Values]:
    def found(x: Values, *, axis: int = 0, keepdims: int = 1, select_last_index: int = 0) -> Values:
        (place,) = _axes([axis], x.ndim)
        if select_last_index:
            result = x.shape[place] - 1 - function(np.flip(x, place), axis=place)
        else:
            result = function(x, axis=place)
        result = np.asarray(result, np.int64)
        return np.expand_dims(result, place) if keepdims else result

    return found


def _cumsum(x: Values, axis: Any, *, exclusive: int = 0, reverse: int = 0) -> Values:
    (place,) = _axes([int(np.asarray(axis).item())], x.ndim)
    rows = np.moveaxis(np.flip(x, place) if reverse else x, place, -1)
    sums = np.cumsum(rows.astype(np.float64) if x.dtype.kind == "f" else rows, axis=-1)
    if exclusive:
        sums = sums - rows
    sums = np.moveaxis(np.asarray(sums, x.dtype), -1, place)
    return np.flip(sums, place) if reverse else sums


def _matmul(a: Values, b: Values) -> Values:
    """The product of two values; a constant weight is a `Linear`."""
    if a.dtype.kind == "f":
        return np.asarray(np.matmul(a.astype(np.float64), b.astype(np.float64)), np.float32)
    return np.asarray(np.matmul(a, b))


FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "abs": np.abs,
    "add": np.add,
    "and": np.logical_and,
    "argmax": _argument(np.argmax),
    "argmin": _argument(np.argmin),
    "cast": _cast,
    "ceil": np.ceil,
    "clip": _clip,
    "concat": _concat,
    "constant_of_shape": _constant_of_shape,
    "cos": np.cos,
    "cumsum": _cumsum,
    "div": _div,
    "equal": np.equal,
    "erf": _erf,
    "exp": np.exp,
    "expand": _expand,
    "flatten": _flatten,
    "floor": np.floor,
    "gather": _gather,
    "gather_elements": _gather_elements,
    "gather_nd": _gather_nd,
    "gelu": _gelu,
    "greater": np.greater,
    "greater_or_equal": np.greater_equal,
    "hard_sigmoid": _hard_sigmoid,
    "identity": np.asarray,
    "less": np.less,
    "less_or_equal": np.less_equal,
    "log": np.log,
    "matmul": _matmul,
    "max": _many(np.maximum),
    "min": _many(np.minimum),
    "mod": _mod,
    "mul": np.multiply,
    "neg": np.negative,
    "not": np.logical_not,
    "or": np.logical_or,
    "pad": _pad,
    "pow": _pow,
    "prelu": _prelu,
    "range": _range,
    "reciprocal": np.reciprocal,
    "reduce_l2": _reduction(_norm),
    "reduce_max": _reduction(np.max),
    "reduce_mean": _reduction(_mean),
    "reduce_min": _reduction(np.min),
    "reduce_prod": _reduction(np.multiply.reduce),
    "reduce_sum": _reduction(np.add.reduce),
    "reduce_sum_square": _reduction(_sum_square),
    "reshape": _reshape,
    "reverse_sequence": _reverse_sequence,
    "round": np.rint,
    "selu": _selu,
    "shape": _shape,
    "sign": np.sign,
    "sin": np.sin,
    "size": _size,
    "slice": _slice,
    "split": _split,
    "sqrt": np.sqrt,
    "squeeze": _squeeze,
    "stack": _stack,
    "sub": np.subtract,
    "sum": _many(np.add),
    "tile": _tile,
    "transpose": _transpose,
    "unsqueeze": _unsqueeze,
    "where": np.where,
    "xor": np.logical_xor,
}
