"""The base of all computing layers: packed weights, copies, pickles, state.

A layer's weights exist once, in the immutable module that the core packed. Attributes read them
back. Assignments, loads and setters pack a new module and swap it in, so a failure changes nothing,
and a running call keeps the weights that it began with.

To add a layer: a file like ``_gru.py``, with a float class over `FloatLayer` and a quantized one
over ``QuantizedLayer``, which the decorator ``quantizes`` joins; for type checkers, a base of
``_signatures.py`` and rows in ``_roots.py``.
"""

from __future__ import annotations

import copyreg
from collections.abc import Iterator
from copy import deepcopy
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import numpy as np

from . import _arrays, _config, _core
from ._calibration_report import forget_report
from ._described import FORMAT, Described, encoded
from ._loading import LoadPlan
from ._matrices import Matrix, pack, packed_matrices
from ._module import Module
from ._random import uniform
from ._spec import ENGINES, LayerSpec, MatrixSpec, Slot, packed_spec

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["FloatLayer", "Layer", "new_matrices"]

T = TypeVar("T", bound="Layer")

#: Attributes that a layer does not pass on to its successor: notes of conversions, and hooks, which calls in C ignore.
_NOT_TAKEN = frozenset(
    {
        "training",
        "dropout",
        "qconfig",
        "_prepared",
        "_calibration",
        "_calibrated",
        "_forward_hooks",
        "_forward_pre_hooks",
    }
)


#: The beginnings of names of parameters.
_STEMS = ("weight", "bias", "h_0", "c_0")


class Layer(_core.Module, Module, Described):
    """A layer that is a packed module of the core, so its calls are computed in C."""

    #: Which parameters are attributes: "weight", "bias" or both.
    _attributes: ClassVar[tuple[str, ...]] = ()

    @property
    def _spec(self) -> LayerSpec:
        """The specification of what is packed."""
        return packed_spec(self)

    def _matrices(self) -> list[Matrix]:
        """Fresh copies of everything that is packed."""
        return packed_matrices(self)

    def _biases(self) -> dict[str, NDArray[Any] | None]:
        """Read-only copies of the biases by name; None for a bias that does not exist."""
        return {name: self._parameter(slot) for name, slot in self._spec.slots.items() if slot.what == "bias"}

    def _parameter(self, slot: Slot) -> NDArray[Any] | None:
        """A read-only copy of a parameter, or None."""
        array = self._unpack(*slot)
        return None if array is None else _arrays.read_only(array)

    @property
    def _precisions(self) -> dict[str, str]:
        default = ENGINES[self.engine].activations
        matrices = enumerate(self._spec.matrices)
        found = {each.weight: self._unpack(i, "activations") for i, each in matrices if each.multiplies}
        return {name: format for name, format in found.items() if format != default}

    def _hold(self, spec: LayerSpec, packed: _core.Module) -> None:
        """Hold the packed module, and the options of `spec` that are not packed."""
        if spec.sequence is not None:
            self.dropout = spec.dropout
        self._take_packed(packed)

    def _packed(self, matrices: list[Matrix]) -> _core.Module:
        """`matrices` packed as this module's are, for `_swap_in`."""
        return pack(self._spec, self.engine, self.isa, matrices)

    def _take_over(self, mod: Any) -> None:
        """Take over the mode of `mod`, which this layer replaces, and, from a layer of qrnn, a user's attributes."""
        self.training = bool(mod.training)
        if isinstance(mod, Layer):
            self.__dict__.update({name: value for name, value in mod.__dict__.items() if name not in _NOT_TAKEN})

    def _swap_in(self, packed: _core.Module) -> None:
        """Hold `packed` from now on, and forget what is known about the old weights; cannot fail."""
        self._take_packed(packed)
        forget_report(self)

    # ---- parameters as attributes

    def _find(self, name: str) -> Slot | None:
        """Where the parameter `name` is packed; None for other names.

        Every assignment, and every look-up of an attribute that does not exist, comes here.
        """
        return self._spec.slots.get(name) if name.startswith(_STEMS) else None

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            found = self._find(name)
            if found is None or not (found.what in self._attributes or self._is_added(found)):
                weights = "" if found is None else "; its weights are quantized: see get_weight()"
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}{weights}")
            return self._parameter(found)

    def _is_added(self, slot: Slot) -> bool:
        """Whether an option adds the parameter at `slot`; it stays float32."""
        return not self._spec.matrices[slot.matrix].multiplies

    def _assign_floats(self, name: str, found: Slot, value: Any) -> None:
        """Pack anew with an array for the float parameter `name`."""
        index, what = found
        matrices = self._matrices()
        old = getattr(matrices[index], what)
        if old is None:
            raise ValueError(f"{name}: this module was made without biases")
        matrices[index] = matrices[index].replaced(what, _arrays.to_weight(value, name, old.shape))
        self._swap_in(self._packed(matrices))

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
        """The state for pickles: attributes, weights and engine, but not the instruction set."""
        matrices = [matrix.parts() for matrix in self._matrices()]
        return {
            "attributes": self.__dict__,
            "form": (self.kind, self.sequence, self.proj_size > 0, *([] if self.options is None else [self.options])),
            "engine": self.engine,
            "matrices": matrices,
        }

    def __reduce__(self) -> tuple[Any, ...]:
        return copyreg.__newobj__, (type(self),), self.__getstate__()  # type: ignore[attr-defined]

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state["attributes"])
        kind, sequence, _, *options = state["form"]
        form = {"sequence": sequence, **({"options": options[0]} if options else {})}
        self._pack(kind, state["engine"], _config.resolve_isa(), *state["matrices"], **form)

    # ---- state

    def _state(self) -> dict[str, NDArray[Any]]:
        matrices, state = self._matrices(), super()._state()
        for name, (index, what) in self._spec.slots.items():
            array, scale = getattr(matrices[index], what), matrices[index].scale
            if array is not None:
                state[name] = array
            if what == "weight" and scale is not None:
                state[f"{name}_scale"] = scale
        if self._says_format():
            state[FORMAT] = encoded(self.describe())
        return state

    def _says_format(self) -> bool:
        """Whether its state holds its description; layers that PyTorch has keep PyTorch's keys."""
        return not self._spec.in_torch

    def _plan_load(self, prefix: str, plan: LoadPlan) -> None:
        super()._plan_load(prefix, plan)
        if id(self) not in plan.matrices:
            plan.matrices[id(self)] = self._matrices()
        matrices = plan.matrices[id(self)]
        before = list(matrices)
        plan.compare(self, prefix, self._spec.slots, self._says_format())
        plan.read(self._spec.slots, prefix, matrices)
        if plan.errors or all(new is old for new, old in zip(matrices, before, strict=True)):
            return
        try:
            packed = self._packed(matrices)
        except ValueError as error:
            plan.errors.append(f"{prefix}{error}")
            return
        plan.commits.append(lambda: self._swap_in(packed))


class FloatLayer(Layer):
    """A float32 layer: its parameters are read-only arrays, and assignment packs anew."""

    _attributes = ("weight", "bias")

    def _assign(self, name: str, found: Slot, value: Any) -> None:
        self._assign_floats(name, found, value)

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self._spec.slots]

    def _own_parameters(self) -> Iterator[tuple[str, NDArray[Any]]]:
        for name, slot in self._spec.slots.items():
            array = self._parameter(slot)
            if array is not None:
                yield name, array
        yield from super()._own_parameters()

    def _fill(self, spec: LayerSpec, isa: str | None) -> None:
        """Pack new weights."""
        self._hold(spec, pack(spec, "float32", _config.resolve_isa(isa), new_matrices(spec)))


def new_added(matrix: MatrixSpec, bound: float) -> NDArray[Any]:
    """New values for a matrix that an option adds: peepholes are random, gains are 1, the others 0."""
    if matrix.weight.startswith("weight_ch"):
        return uniform(bound, *matrix.shape)
    return np.full(matrix.shape, matrix.weight.startswith("weight"), np.float32)


def new_matrices(spec: LayerSpec) -> list[Matrix]:
    """New float weights, drawn in the order of PyTorch's parameters."""
    matrices, bound = spec.matrices, spec.bound
    drawn: dict[tuple[int, str], NDArray[Any]] = {}
    for index, what in spec.slots.values():
        rows, columns = matrices[index].shape
        if not matrices[index].multiplies:
            drawn[index, what] = new_added(matrices[index], bound)
        elif what == "weight":
            drawn[index, what] = uniform(bound, rows, columns)
        elif spec.bias:
            drawn[index, what] = uniform(bound, rows)
    return [Matrix(drawn[index, "weight"], None, drawn.get((index, "bias"))) for index in range(len(matrices))]
