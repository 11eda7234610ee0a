"""What every computing layer shares: packed weights, copies, pickles, state.

A layer's weights live in one place, the immutable module that the core packed. Attributes read
them back; assignments, loads and setters pack a new one and swap it in, so that a failure changes
nothing and a call that runs keeps what it began with.

To add a layer: a shape class (names of its parameters, sizes, repr) over `Layer`, and from it a
float class with `FloatLayer` and a quantised one with ``QuantisedLayer``; then a row in
``quantization/mappings.py``.
"""

from __future__ import annotations

import copyreg
import operator
from copy import deepcopy
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from ... import _arrays, _config, _core
from ..._random import uniform
from .module import LoadPlan, Module

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Layer", "FloatLayer", "Matrix", "LayerShape", "size", "overrides"]

T = TypeVar("T", bound="Layer")


class Matrix(NamedTuple):
    """One weight matrix as the core takes it."""

    weight: Any  # ndarray, float32 or int8, (rows, columns)
    scale: NDArray[Any] | None  # float32, () or (rows,); None for float weights
    bias: NDArray[Any] | None  # float32, (rows,); None for none


class LayerShape(NamedTuple):
    """What a constructor's arguments come to: the core's kind and the shapes of the matrices."""

    kind: str
    shapes: tuple[tuple[int, int], ...]  # (rows, columns) of each
    bias: bool
    bound: float  # new weights are uniform in +-bound


def new_matrices(shape: LayerShape) -> list[Matrix]:
    """New float weights of `shape`, drawn in PyTorch's order: weights before biases."""
    weights = [uniform(shape.bound, *each) for each in shape.shapes]
    biases = [uniform(shape.bound, each[0]) if shape.bias else None for each in shape.shapes]
    return [Matrix(weight, None, bias) for weight, bias in zip(weights, biases, strict=True)]


def size(value: Any, name: str, least: int) -> int:
    """`value` as an int of at least `least`; TypeError or ValueError naming it otherwise."""
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name}: expected an integer, got {type(value).__name__}") from None
    if number < least:
        raise ValueError(f"{name}: expected at least {least}, got {number}")
    return number


def overrides(cls: type, base: type) -> bool:
    """Whether `cls`, a subclass of `base`, says itself what a call does."""
    for each in cls.__mro__:
        if each is base:
            return False
        if "forward" in each.__dict__ or "__call__" in each.__dict__:
            return True
    return True


class Layer(_core.Module, Module):
    """A layer over one packed module of the core, which computes its calls in C."""

    def _parameter_names(self) -> tuple[tuple[str, str], ...]:
        """(weight, bias) of each matrix, in the core's order.

        Attribute look-ups come here: read only attributes that begin with an underscore.
        """
        raise NotImplementedError

    def _state_names(self) -> list[str]:
        """The parameters in the order of PyTorch's state_dict: weights before biases."""
        names = self._parameter_names()
        return [weight for weight, _ in names] + [bias for _, bias in names]

    def _matrices(self) -> list[Matrix]:
        """Fresh copies of everything that is packed."""
        return [
            Matrix(self._unpack(index, "weight"), self._unpack(index, "scale"), self._unpack(index, "bias"))
            for index in range(len(self._parameter_names()))
        ]

    def _named_matrices(self) -> list[tuple[str, str, Matrix]]:
        """Name of the weight, name of the bias, and a fresh copy of each matrix."""
        return [(*names, m) for names, m in zip(self._parameter_names(), self._matrices(), strict=True)]

    def _adopt(self, module: Any) -> None:
        """Take over from `module`, ours or PyTorch's, the options that are not in its weights.

        For a new object, before anything is packed.
        """
        self.training = bool(module.training)

    def _pack_matrices(self, kind: str, engine: str, isa: str | None, matrices: list[Matrix]) -> None:
        self._pack(kind, engine, isa, *matrices)

    def _packed(self, matrices: list[Matrix]) -> _core.Module:
        """`matrices` packed as this module's are, to be swapped in by `_share`, which cannot fail."""
        packed = _core.Module()
        packed._pack(self.kind, self.engine, self.isa, *matrices)
        return packed

    def _find(self, name: str) -> tuple[int, str] | None:
        """Which matrix a parameter's name means, and whether its weight or bias; None for other names."""
        if name.startswith("_"):
            return None
        for index, pair in enumerate(self._parameter_names()):
            if name in pair:
                return index, "weight" if name == pair[0] else "bias"
        return None

    def __setattr__(self, name: str, value: Any) -> None:
        found = self._find(name)
        if found is not None:
            self._assign(name, found, value)
        elif name == "forward" and self._called_in_c():
            raise AttributeError(
                f"forward: {type(self).__name__} is called in C: define forward in a subclass"
            )
        else:
            super().__setattr__(name, value)

    def _assign(self, name: str, found: tuple[int, str], value: Any) -> None:
        """Pack anew with `value` for the parameter `name`."""
        raise NotImplementedError

    # ---- copies: the same packed module, which never changes

    def _copied(self: T, attributes: dict[str, Any]) -> T:
        new = type(self).__new__(type(self))
        new.__dict__.update(attributes)
        new._share(self)
        return new

    def __copy__(self: T) -> T:
        return self._copied(self.__dict__)

    def __deepcopy__(self: T, memo: dict[int, Any]) -> T:
        new = self._copied({})
        memo[id(self)] = new
        new.__dict__.update(deepcopy(self.__dict__, memo))
        return new

    def __getstate__(self) -> dict[str, Any]:
        """What pickle keeps: attributes, weights and engine, but not the instruction set."""
        matrices = [tuple(matrix) for matrix in self._matrices()]
        return {
            "attributes": self.__dict__,
            "kind": self.kind,
            "engine": self.engine,
            "matrices": matrices,
        }

    def __reduce__(self) -> tuple[Any, ...]:
        return copyreg.__newobj__, (type(self),), self.__getstate__()  # type: ignore[attr-defined]

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state["attributes"])
        matrices = [Matrix(*matrix) for matrix in state["matrices"]]
        self._pack_matrices(state["kind"], state["engine"], _config.resolve_isa(), matrices)


class FloatLayer(Layer):
    """A float32 layer: its parameters are read-only arrays, and assignment packs anew."""

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            found = self._find(name)
            if found is None:
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
            array = self._unpack(*found)
            return None if array is None else _arrays.read_only(array)

    def _assign(self, name: str, found: tuple[int, str], value: Any) -> None:
        index, what = found
        matrices = self._matrices()
        old = getattr(matrices[index], what)
        if old is None:
            raise ValueError(f"{name}: this module was made without biases")
        matrices[index] = matrices[index]._replace(**{what: _arrays.to_weight(value, name, old.shape)})
        self._share(self._packed(matrices))

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self._state_names()]

    def _fill(self, shape: LayerShape, isa: str | None) -> None:
        """Pack new weights of `shape`."""
        matrices = new_matrices(shape)
        self._pack_matrices(shape.kind, "float32", _config.resolve_isa(isa), matrices)

    def _state(self) -> dict[str, NDArray[Any]]:
        state = {}
        for name in self._state_names():
            array = self._unpack(*_known(self._find(name)))
            if array is not None:
                state[name] = array
        return state

    def _plan_load(self, prefix: str, plan: LoadPlan) -> None:
        matrices = self._matrices()
        for name, old in self._state().items():
            value = plan.take(prefix + name)
            if value is None:
                continue
            index, what = _known(self._find(name))
            array = read_entry(plan, prefix + name, value, old.shape)
            if array is not None:
                matrices[index] = matrices[index]._replace(**{what: array})
        commit_load(self, matrices, prefix, plan)


def _known(found: tuple[int, str] | None) -> tuple[int, str]:
    assert found is not None
    return found


def read_entry(plan: LoadPlan, key: str, value: Any, shape: tuple[int, ...]) -> NDArray[Any] | None:
    """`value` as float32 of `shape`, or None after noting in `plan` what is wrong with it."""
    try:
        array = _arrays.to_float32(value, key)
    except TypeError as error:
        plan.errors.append(str(error))
        return None
    if array.shape != shape:
        plan.errors.append(mismatch(key, array.shape, shape))
        return None
    return array


def mismatch(key: str, got: tuple[int, ...], expected: tuple[int, ...]) -> str:
    """PyTorch's text for a value of the wrong shape."""
    return (
        f"size mismatch for {key}: copying a param with shape {got} from checkpoint, "
        f"the shape in current model is {expected}."
    )


def commit_load(layer: Layer, matrices: list[Matrix], prefix: str, plan: LoadPlan) -> None:
    """Pack `matrices`, and have the plan swap them into `layer`; note in it if they cannot be."""
    if plan.errors:
        return
    try:
        packed = layer._packed(matrices)
    except ValueError as error:
        plan.errors.append(f"{prefix}{error}")
        return
    plan.commits.append(lambda: layer._share(packed))
