"""Values as affine forms of other values, such as a gate of an unrolled cell before its activation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ._scope import Op, Scope, flat

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float32]

__all__ = ["Affine", "Forms", "identity"]

#: How many nested sums and slices are followed; there are a few between a product and an activation.
_DEEPEST = 30


class Affine(NamedTuple):
    """``sum of weight @ value + bias``, with weights of shape (rows, columns).

    Attributes
    ----------
    parts : dict of str to ndarray
        The weights by the names of the values.
    bias : ndarray, shape (rows,), or None
    rows : int
    """

    parts: Mapping[str, Array]
    bias: Array | None
    rows: int

    def of_rows(self, start: int, stop: int) -> Affine:
        """Some of its rows."""
        bias = None if self.bias is None else self.bias[start:stop]
        return Affine({name: weight[start:stop] for name, weight in self.parts.items()}, bias, stop - start)


class Forms:
    """The operations of a scope by their results, and the affine forms of values, each computed once."""

    def __init__(self, scope: Scope, ops: Sequence[Op]) -> None:
        self.scope = scope
        self.index = {name: i for i, op in enumerate(ops) for name in op.outputs if name}
        self.ops = ops
        self.users: dict[str, list[int]] = {}
        for i, op in enumerate(ops):
            for name in flat(op.inputs):
                self.users.setdefault(name, []).append(i)
        self._known: dict[str, Affine | None] = {}
        self._depth = 0
        self._made: dict[Any, tuple[Array, Any]] = {}
        self._zeros: dict[int, Array] = {}

    def op(self, name: str) -> Op | None:
        """The operation of this scope that computes a value; None if there is none."""
        return self.ops[self.index[name]] if name in self.index else None

    def is_module(self, name: str, kind: str) -> str | None:
        """The argument of the activation of class `kind` that computes the value `name`; else None."""
        op = self.op(name)
        if op is not None and op.kind == "module" and type(op.options["module"]).__name__ == kind:
            return str(op.inputs[0])
        return None

    def pair(self, name: str, kind: str) -> tuple[str, str] | None:
        """The two arguments of the function `kind` that computes the value `name`; else None."""
        op = self.op(name)
        return (op.inputs[0], op.inputs[1]) if op is not None and op.kind == kind and len(op.inputs) == 2 else None

    def affine(self, name: str) -> Affine | None:
        """The value as an affine form of others; None if it is not one."""
        if name not in self._known:
            self._known[name] = None  # stays so for a value that depends on itself, or on a long chain
            op = self.op(name)
            if op is not None and self._depth < _DEEPEST:
                self._depth += 1
                self._known[name] = self._of(op, name)
                self._depth -= 1
        return self._known[name]

    def _of(self, op: Op, name: str) -> Affine | None:
        if op.kind == "linear":
            weight, bias = op.options["weight"], op.options["bias"]
            return Affine({op.inputs[0]: weight}, bias, weight.shape[0])
        if op.kind == "add":
            return self._sum(*op.inputs)
        if op.kind in ("split", "slice") and len(op.inputs) == 1:
            whole = self.affine(op.inputs[0])
            bounds = None if whole is None else _bounds(op, name, whole.rows, self._rank(op.inputs[0]))
            return None if whole is None or bounds is None else whole.of_rows(*bounds)
        return None

    def _rank(self, name: str) -> int | None:
        dims = self.scope.known_dims(name)
        return None if dims is None else len(dims)

    def _sum(self, a: str, b: str) -> Affine | None:
        left, right = (self.affine(each) or self._constant(each) for each in (a, b))
        if left is None or right is None or not (left.parts or right.parts):
            return None
        rows = max(left.rows, right.rows)
        if min(left.rows, right.rows) not in (1, rows) or (left.parts and right.parts and left.rows != right.rows):
            return None
        if any(each.parts and each.rows != rows for each in (left, right)):
            return None
        parts = dict(left.parts)
        for name, weight in right.parts.items():
            if name in parts and parts[name].shape != weight.shape:
                return None
            parts[name] = self.made(np.add, parts[name], weight) if name in parts else weight
        biases = [np.broadcast_to(each.bias, (rows,)) for each in (left, right) if each.bias is not None]
        if len(biases) == 2:
            biases = [self.made(np.add, *biases)]
        return Affine(parts, biases[0] if biases else None, rows)

    def made(self, function: Any, *arrays: Array) -> Array:
        """The result of a function of arrays, computed once, so that steps with the same weights share it."""
        key = (function, *map(identity, arrays))
        if key not in self._made:
            made = function(*arrays)
            self.scope.make(made.nbytes)
            self._made[key] = (made, arrays)  # keeps the arrays alive, so that their keys stay valid
        return self._made[key][0]

    def joined(self, *arrays: Array) -> Array:
        """Arrays joined along their first axis."""
        return self.made(_joined, *arrays)

    def zeros(self, rows: int) -> Array:
        """A bias of zeros."""
        return self._zeros.setdefault(rows, np.zeros(rows, np.float32))

    def _constant(self, name: str) -> Affine | None:
        """A constant row."""
        value = self.scope.find(name)
        if value is None or value.dtype.kind != "f" or (value.ndim and value.size != value.shape[-1]):
            return None
        return Affine({}, value.reshape(-1), value.size)


def identity(array: Array | None) -> Any:
    """A key that is equal for arrays of the same elements in the same memory, as long as it is not freed."""
    return None if array is None else (array.ctypes.data, array.shape, array.strides)


def _joined(*arrays: Array) -> Array:
    return np.concatenate(arrays)


def _list(value: Any) -> list[int]:
    """The numbers of an option, which may be a single number."""
    return [int(each) for each in np.ravel(value)]


def _bounds(op: Op, name: str, rows: int, rank: int | None) -> tuple[int, int] | None:
    """The rows of the last axis that a split or a slice keeps."""
    axes = _list(op.options.get("axes", 0) if op.kind == "slice" else op.options.get("axis", 0))
    if len(axes) != 1 or axes[0] not in ((-1,) if rank is None else (-1, rank - 1)) + ((1,) if rank is None else ()):
        return None
    if op.kind == "slice":
        numbers = [_list(op.options.get(key, 1)) for key in ("starts", "ends", "steps")]
        if any(len(each) != 1 for each in numbers) or numbers[2] != [1]:
            return None
        start, stop, _ = slice(numbers[0][0], numbers[1][0]).indices(rows)
        return (start, stop) if start < stop else None
    sizes = _list(op.options.get("split", []))
    if not sizes:
        count = op.options.get("num_outputs", 0)
        if count < 1 or rows % count:
            return None
        sizes = [rows // count] * count
    if sum(sizes) != rows or min(sizes) < 1:
        return None
    at = op.outputs.index(name)
    return sum(sizes[:at]), sum(sizes[: at + 1])
