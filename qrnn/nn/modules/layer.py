"""What every computing layer shares: packed weights, copies, pickles, state.

A layer's weights live in one place, the immutable module that the core packed. Attributes read
them back; assignments, loads and setters pack a new one and swap it in, so that a failure changes
nothing and a call that runs keeps what it began with.

To add a layer: a shape class (form, sizes, repr) over `Layer`, and from it a float class with
`FloatLayer` and a quantized one with ``QuantizedLayer``; then a prepared class in
``quantization/prepared.py`` and a row in ``quantization/mappings.py``.
"""

from __future__ import annotations

import copyreg
import functools
import operator
from collections.abc import Mapping
from copy import deepcopy
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from ... import _arrays, _config, _core
from ..._random import uniform
from .module import LoadPlan, Module

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["FloatLayer", "Form", "Layer", "LayerShape", "Matrix", "overrides", "size"]

T = TypeVar("T", bound="Layer")


class Matrix(NamedTuple):
    """One weight matrix as the core takes it."""

    weight: Any  # ndarray, float32 or int8, (rows, columns)
    scale: NDArray[Any] | None  # float32, () or (rows,); None for float weights
    bias: NDArray[Any] | None  # float32, (rows,); None for none


class Form(NamedTuple):
    """What the core computes, sizes and numbers apart."""

    kind: str
    sequence: tuple[int, int, bool] | None = None  # (num_layers, num_directions, batch_first)
    projection: bool = False  # whether each layer and direction has an hr


class LayerShape(NamedTuple):
    """What a constructor's arguments come to."""

    form: Form
    shapes: tuple[tuple[int, int], ...]  # (rows, columns) of each matrix, in the core's order
    bias: bool
    bound: float  # new weights are uniform in +-bound
    dropout: float = 0.0


class Slot(NamedTuple):
    """Where a parameter is packed."""

    matrix: int  # its index in the core's order
    what: str  # "weight" or "bias"


@functools.cache
def matrix_names(form: Form) -> tuple[tuple[str, str | None], ...]:
    """(weight, bias) of each matrix, in the core's order, as PyTorch names them; hr has no bias."""
    if form.kind == "linear":
        return (("weight", "bias"),)
    if form.sequence is None:
        suffixes = [""]
    else:
        num_layers, num_directions, _ = form.sequence
        suffixes = [f"_l{layer}{way}" for layer in range(num_layers) for way in _WAYS[:num_directions]]
    names: list[tuple[str, str | None]] = []
    for suffix in suffixes:
        names += [(f"weight_ih{suffix}", f"bias_ih{suffix}"), (f"weight_hh{suffix}", f"bias_hh{suffix}")]
        if form.projection:
            names.append((f"weight_hr{suffix}", None))
    return tuple(names)


_WAYS = ("", "_reverse")


@functools.cache
def slots(form: Form) -> Mapping[str, Slot]:
    """Every parameter by its name, in the order of PyTorch's state_dict.

    A layer in one direction has its weights, its biases, and then the projection.
    """
    names = matrix_names(form)
    unit = len(names) if form.sequence is None else len(names) // (form.sequence[0] * form.sequence[1])
    found = {}
    for first in range(0, len(names), unit):
        for offset, what in _ORDER:
            if offset < unit:
                weight, bias = names[first + offset]
                name = weight if what == "weight" else bias
                assert name is not None
                found[name] = Slot(first + offset, what)
    return found


_ORDER = ((0, "weight"), (1, "weight"), (0, "bias"), (1, "bias"), (2, "weight"))


def new_matrices(shape: LayerShape) -> list[Matrix]:
    """New float weights of `shape`, drawn in the order of PyTorch's parameters."""
    drawn: dict[Slot, NDArray[Any]] = {}
    for slot in slots(shape.form).values():
        rows, columns = shape.shapes[slot.matrix]
        if slot.what == "weight":
            drawn[slot] = uniform(shape.bound, rows, columns)
        elif shape.bias:
            drawn[slot] = uniform(shape.bound, rows)
    return [
        Matrix(drawn[Slot(index, "weight")], None, drawn.get(Slot(index, "bias"))) for index in range(len(shape.shapes))
    ]


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

    def _form(self) -> Form:
        """What is packed; only for a module that has something packed."""
        return Form(self.kind, self.sequence, self.proj_size > 0)

    @classmethod
    def _form_of(cls, module: Any) -> Form:
        """What a float module, ours or PyTorch's, computes."""
        return Form(cls._kind_of(module))

    @classmethod
    def _kind_of(cls, module: Any) -> str:
        """The core's kind for a float module, ours or PyTorch's."""
        raise NotImplementedError

    def _matrices(self) -> list[Matrix]:
        """Fresh copies of everything that is packed."""
        return [
            Matrix(self._unpack(index, "weight"), self._unpack(index, "scale"), self._unpack(index, "bias"))
            for index in range(len(matrix_names(self._form())))
        ]

    def _named_matrices(self) -> list[tuple[str, str | None, Matrix]]:
        """Name of the weight, name of the bias, and a fresh copy of each matrix."""
        return [(*names, m) for names, m in zip(matrix_names(self._form()), self._matrices(), strict=True)]

    def _biases(self) -> dict[str, NDArray[Any] | None]:
        """Read-only copies of the biases by name; None where there are none."""
        biases = {}
        for name, slot in slots(self._form()).items():
            if slot.what == "bias":
                array = self._unpack(*slot)
                biases[name] = None if array is None else _arrays.read_only(array)
        return biases

    def _adopt(self, module: Any) -> None:
        """Take over from `module`, ours or PyTorch's, the options that are not packed.

        For a new object, before anything is packed.
        """
        self.training = bool(module.training)

    def _pack_matrices(self, form: Form, engine: str, isa: str | None, matrices: list[Matrix]) -> None:
        self._pack(form.kind, engine, isa, *matrices, sequence=form.sequence)

    def _packed(self, matrices: list[Matrix]) -> _core.Module:
        """`matrices` packed as this module's are, for `_swap_in`."""
        packed = _core.Module()
        packed._pack(self.kind, self.engine, self.isa, *matrices, sequence=self.sequence)
        return packed

    def _swap_in(self, packed: _core.Module) -> None:
        """Hold `packed` from here on, and forget what is known of the old weights; cannot fail."""
        self._take_packed(packed)
        self.__dict__.pop("_calibration", None)

    def _find(self, name: str) -> Slot | None:
        """Where the parameter `name` is packed; None for other names.

        Every look-up of an attribute that is not there and every assignment comes here.
        """
        return slots(self._form()).get(name) if name.startswith(("weight", "bias")) else None

    def __setattr__(self, name: str, value: Any) -> None:
        found = self._find(name)
        if found is not None:
            self._assign(name, found, value)
        elif name == "forward" and self._called_in_c():
            raise AttributeError(f"forward: {type(self).__name__} is called in C: define forward in a subclass")
        else:
            super().__setattr__(name, value)

    def _assign(self, name: str, found: Slot, value: Any) -> None:
        """Pack anew with `value` for the parameter `name`."""
        raise NotImplementedError

    # ---- copies: the same packed module, which never changes

    def _copied(self: T, attributes: dict[str, Any]) -> T:
        new = type(self).__new__(type(self))
        new.__dict__.update(attributes)
        new._take_packed(self)
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
            "form": tuple(self._form()),
            "engine": self.engine,
            "matrices": matrices,
        }

    def __reduce__(self) -> tuple[Any, ...]:
        return copyreg.__newobj__, (type(self),), self.__getstate__()  # type: ignore[attr-defined]

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state["attributes"])
        matrices = [Matrix(*matrix) for matrix in state["matrices"]]
        self._pack_matrices(Form(*state["form"]), state["engine"], _config.resolve_isa(), matrices)


class FloatLayer(Layer):
    """A float32 layer: its parameters are read-only arrays, and assignment packs anew."""

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            found = self._find(name)
            if found is None:
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
            array = self._unpack(*found)
            return None if array is None else _arrays.read_only(array)

    def _assign(self, name: str, found: Slot, value: Any) -> None:
        index, what = found
        matrices = self._matrices()
        old = getattr(matrices[index], what)
        if old is None:
            raise ValueError(f"{name}: this module was made without biases")
        matrices[index] = matrices[index]._replace(**{what: _arrays.to_weight(value, name, old.shape)})
        self._swap_in(self._packed(matrices))

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *slots(self._form())]

    def _fill(self, shape: LayerShape, isa: str | None) -> None:
        """Pack new weights of `shape`."""
        matrices = new_matrices(shape)
        self._pack_matrices(shape.form, "float32", _config.resolve_isa(isa), matrices)

    def _state(self) -> dict[str, NDArray[Any]]:
        state = {name: self._unpack(*slot) for name, slot in slots(self._form()).items()}
        return {name: array for name, array in state.items() if array is not None}

    def _plan_load(self, prefix: str, plan: LoadPlan) -> None:
        matrices = planned(self, plan)
        before = list(matrices)
        for name, (index, what) in slots(self._form()).items():
            old = getattr(matrices[index], what)
            value = None if old is None else plan.take(prefix + name)
            array = None if value is None else read_entry(plan, prefix + name, value, old.shape)
            if array is not None:
                matrices[index] = matrices[index]._replace(**{what: array})
        commit_load(self, before, matrices, prefix, plan)


def planned(layer: Layer, plan: LoadPlan) -> list[Matrix]:
    """What `layer` holds after all of `plan` so far; the load changes it."""
    if id(layer) not in plan.matrices:
        plan.matrices[id(layer)] = layer._matrices()
    return plan.matrices[id(layer)]


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


def commit_load(layer: Layer, before: list[Matrix], matrices: list[Matrix], prefix: str, plan: LoadPlan) -> None:
    """Pack `matrices`, and have the plan swap them into `layer`; note in it if they cannot be.

    Where they are those of `before`, no entry was taken, and there is nothing to do.
    """
    if plan.errors or all(new is old for new, old in zip(matrices, before, strict=True)):
        return
    try:
        packed = layer._packed(matrices)
    except ValueError as error:
        plan.errors.append(f"{prefix}{error}")
        return
    plan.commits.append(lambda: layer._swap_in(packed))
