"""Builder: collects operations while operators are read, finds cells among them, and makes the `Graph` of all."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from .. import _quantize, nn
from .._foreign import Direction, quantized_layer, quantized_linear
from .._format_error import FormatError
from .._graph import Graph, Step
from .._graph_functions import FUNCTIONS, TYPES
from .._module import OWN_NAMES
from .._qtensor import QTensor
from .._types import per_channel_affine
from ..onnx._build import layers_of
from ..onnx._cells import with_cells
from ..onnx._scope import Op, flat
from ._constants import Constants
from ._schema import Graph as FileGraph
from ._schema import Operator

__all__ = ["ACTIVATIONS", "CLIPS", "Builder", "Names"]

#: Fused activations, and operators with their names, as modules or as bounds of a clip.
ACTIVATIONS: Mapping[str, Callable[[], Any]] = {
    "RELU": nn.ReLU,
    "TANH": nn.Tanh,
    "LOGISTIC": nn.Sigmoid,
    "ELU": nn.ELU,
    "LOG_SOFTMAX": lambda: nn.LogSoftmax(dim=-1),
}
CLIPS = {"RELU6": (0.0, 6.0), "RELU_N1_TO_1": (-1.0, 1.0), "RELU_0_TO_1": (0.0, 1.0)}

#: Names of attributes of a `Graph`, which no child may have.
_TAKEN = frozenset([*dir(Graph), "inputs", "outputs", "steps", "training", *OWN_NAMES])

#: The most numbers in a constant of axes, sizes or limits.
_MOST_NUMBERS = 64

#: The most different scales of a graph. Rows of a cell's weights are compared with each of them, to find those that
#: were quantized together; with more of them none is compared.
_MOST_SCALES = 64


def _free(name: str, *taken: Iterable[str]) -> str:
    while any(name in each for each in taken):
        name += "_"
    return name


def codes_of(weights: Direction, scales: Sequence[float]) -> dict[str, QTensor]:
    """The codes of a cell's weights, if each row is codes times one of `scales`, bit for bit; else empty."""
    found = {name: _codes(getattr(weights, name), scales) for name in ("weight_ih", "weight_hh")}
    return {name: each for name, each in found.items() if each is not None} if all(found.values()) else {}


def _codes(array: Any, scales: Sequence[float]) -> QTensor | None:
    codes, chosen = np.zeros(array.shape, np.int8), np.zeros(len(array), np.float32)
    for scale in map(np.asarray, np.array(scales, np.float32)):
        with np.errstate(over="ignore"):
            numbers = np.rint(array / scale)
        fits = (np.abs(numbers) <= 127).all(axis=1) & (chosen == 0)
        narrow = np.where(fits[:, None], numbers, 0).astype(np.int8)
        fits &= (_quantize.dequantize(narrow, scale) == array).all(axis=1)
        codes[fits], chosen[fits] = narrow[fits], scale
    return QTensor(codes, chosen) if chosen.all() else None


def scales_of(tensor: QTensor) -> Any:
    """The scales of codes: one, or one for each row."""
    return (
        tensor.q_per_channel_scales()
        if tensor.qscheme() is per_channel_affine
        else np.array([tensor.q_scale()], np.float32)
    )


class Names:
    """Gives out names, each only once."""

    def __init__(self) -> None:
        self._taken: set[str] = set()
        self._counts: dict[str, int] = {}

    def free(self, base: str) -> str:
        """Return `base`, with a number if it was used before; the time does not grow with the number of uses."""
        name = base
        while name in self._taken:
            self._counts[base] = self._counts.get(base, 1) + 1
            name = f"{base}_{self._counts[base]}"
        self._taken.add(name)
        return name


class _Children:
    """The modules that steps call, by their names: those of operators, without dots."""

    def __init__(self, constants: Constants) -> None:
        self.modules: dict[str, Any] = {}
        self._made: dict[Any, str] = {}
        self._constants = constants

    def named(self, op: Op) -> str:
        """The name of the module that an operation calls; equal weights share one module."""
        options = op.options
        key = tuple(id(options.get(name)) for name in ("module", "weight", "bias", "codes"))
        if key not in self._made:
            name = _free((op.name or op.kind).replace(".", "_"), self.modules, _TAKEN)
            self._made[key] = name
            if op.kind == "linear":
                self._constants.make(options["weight"].nbytes)
                made = quantized_linear(op.name, options["weight"], options["bias"], options["codes"])
            else:
                made = options["module"]
            self.modules[name] = made
        return self._made[key]


class Builder:
    """Collects the steps of a graph.

    Parameters
    ----------
    constants : Constants
        The constants of `graph`.
    graph : FileGraph

    Attributes
    ----------
    ops : list of Op
        The operations so far, in order.
    name : str
        The operator to which the next operations belong.
    """

    def __init__(self, constants: Constants, graph: FileGraph) -> None:
        self.constants, self.tensors, self._graph = constants, graph.tensors, graph
        self.ops: list[Op] = []
        self.bodies: tuple[Any, ...] = ()  # empty, for code that also walks through scopes of ONNX
        self.parent = None  # the same
        self._kept: dict[str, Any] = {}
        self._names: dict[int, str] = {}
        self._dims: dict[str, tuple[int, ...]] = {}
        self._count, self._taken = 0, Names()
        self.name = ""
        for index in graph.inputs:
            if index in self._names:
                raise FormatError(f"graph {graph.name!r}: expected each input once, got tensor {index} again")
            name = self._taken.free(self.tensors[index].name or "input")
            self._names[index] = name
            self._dims[name] = self.tensors[index].shape

    # ---- what the search for cells reads, as in a scope of ONNX

    def find(self, name: str) -> Any:
        """The constant of a name, or None."""
        return self._kept.get(name)

    def make(self, count: int) -> None:
        """Count bytes made from constants."""
        self.constants.make(count)

    def known_dims(self, name: str) -> tuple[int, ...] | None:
        """The sizes of a value in the file, or None; a call may have another batch."""
        return self._dims.get(name)

    def cells(self) -> dict[str, Any]:
        """The recurrent layers, and the LSTM and GRU cells among the operations, by operators' names.

        Operations that form a step of a cell are replaced by one that calls it.
        """
        scope: Any = self
        scales = self._scales()
        self.ops = with_cells(scope)
        found, made = layers_of(scope), dict[int, Any]()
        for op in self.ops:
            codes = codes_of(op.options["cell"].weights, scales) if op.kind == "cell" else {}
            if codes:
                cell = op.options["module"]
                op.options["module"] = made.setdefault(id(cell), cell)
                if made[id(cell)] is cell:
                    op.options["module"] = made[id(cell)] = quantized_layer(op.name, cell, codes)
                op.options["codes"] = codes
        return {name: made.get(id(layer), layer) for name, layer in found.items()}

    def _scales(self) -> list[float]:
        """The scales of products with codes. There are few, because most matrices have one; empty if there are many."""
        codes = [op.options["codes"] for op in self.ops if op.kind == "linear"]
        found = {scale for each in codes if each is not None for scale in scales_of(each).tolist()}
        return [] if len(found) > _MOST_SCALES else sorted(found)

    # ---- the whole

    def graph(self) -> Graph:
        """The module of all that the results need.

        Raises
        ------
        FormatError
            If nothing computes a value that an operator or a result needs, or if an input is quantized.
        """
        inputs = {self._names[index]: self._type_of(index) for index in self._graph.inputs}
        outputs = [self.value(index) for index in self._graph.outputs]
        ops = self._needed(outputs)
        children = _Children(self.constants)
        steps = [self._step(op, children) for op in ops]
        used = {name for op in ops for name in flat(op.inputs)} | set(outputs)
        kept = {name: array for name, array in self._kept.items() if name in used}
        try:
            return Graph(inputs, outputs, steps, children.modules, kept)
        except (TypeError, ValueError, KeyError) as error:
            raise FormatError(str(error)) from error

    def _type_of(self, index: int) -> str:
        tensor = self.tensors[index]
        if tensor.type not in TYPES or (tensor.quantization is not None and tensor.type != "float32"):
            raise FormatError(f"input {tensor.name!r}: expected float32 or integers, got {tensor.type} codes")
        return tensor.type

    def _needed(self, outputs: Sequence[str]) -> list[Op]:
        """The operations that values depend on; those that cells replaced are not among them."""
        wanted, found = set(outputs), list[Op]()
        for op in reversed(self.ops):
            if wanted.intersection(op.outputs):
                found.append(op)
                wanted.update(flat(op.inputs))
        return found[::-1]

    @staticmethod
    def _step(op: Op, children: _Children) -> Step:
        taken, given = tuple(op.inputs), tuple(op.outputs)
        if op.kind in FUNCTIONS:
            return Step(taken, given, function=op.kind, options=op.options)
        if op.kind == "cell" and len(taken) == 3:
            taken = (taken[0], (taken[1], taken[2]))
        return Step(taken, given, module=children.named(op))

    # ---- values

    def value(self, index: int) -> str:
        """The name of a tensor's value; a constant gets its name here."""
        if index not in self._names:
            if index < 0 or not self.constants.is_constant(index):
                name = "none" if index < 0 else repr(self.tensors[index].name)
                raise FormatError(f"expected a value that an operator before gives, got {name}")
            name = self._new(f"constant_{index}")
            self._kept[name] = self._array(index)
            self._dims[name] = self._kept[name].shape
            self._names[index] = name
        return self._names[index]

    def _array(self, index: int) -> Any:
        """A constant; codes become their values."""
        tensor = self.tensors[index]
        if tensor.quantization is None and tensor.type not in ("float16", "float32", "float64"):
            return self.constants.numbers(index)
        return self.constants.read(index, f"tensor {tensor.name!r}").array

    def numbers(self, operator: Operator, at: int) -> list[int]:
        """The integers of a constant input: axes, sizes and the like."""
        index = self.input(operator, at)
        array = self.constants.numbers(index)
        if array.dtype.kind not in "iu" or array.size > _MOST_NUMBERS:
            raise FormatError(
                f"{operator.name}: expected a few integers as input {at}, got {array.dtype} {array.shape}"
            )
        return [int(each) for each in array.ravel()]

    def input(self, operator: Operator, at: int) -> int:
        """The number of the tensor that is an operator's input `at`."""
        if at >= len(operator.inputs) or operator.inputs[at] < 0:
            raise FormatError(f"{operator.name}: expected an input {at}, got none")
        return operator.inputs[at]

    def first(self, operator: Operator) -> str:
        """The name of an operator's first value."""
        return self.value(self.input(operator, 0))

    def number(self, operator: Operator, at: int) -> int:
        """The single integer of a constant input."""
        found = self.numbers(operator, at)
        if len(found) != 1:
            raise FormatError(f"{operator.name}: expected one integer as input {at}, got {len(found)}")
        return found[0]

    def rank(self, operator: Operator, at: int = 0) -> int:
        """How many dimensions an input has."""
        return len(self.tensors[self.input(operator, at)].shape)

    def _new(self, name: str) -> str:
        """A new name for a value."""
        name = _free(name, self._dims)
        self._dims.setdefault(name, ())
        return name

    def new(self) -> str:
        """A name for a value between two operations."""
        self._count += 1
        return self._taken.free(f"value_{self._count}")

    def unknown(self, operator: Operator) -> None:
        """Note that the results of an operator exist but are unknown here."""
        for index in operator.outputs:
            if index >= 0 and index not in self._names:
                self.gives(index, self.new())

    def gives(self, index: int, name: str) -> None:
        """Note that `name` is the value of the tensor `index`.

        Raises
        ------
        FormatError
            If that tensor has a value already.
        """
        if index < 0 or index in self._names:
            raise FormatError(f"expected outputs that no other operator computes, got tensor {index}")
        self._names[index] = name
        self._dims.setdefault(name, self.tensors[index].shape)

    # ---- operations

    def _add(self, kind: str, inputs: Sequence[str], outputs: Sequence[str], options: dict[str, Any]) -> None:
        self.ops.append(Op(kind, list(inputs), list(outputs), options, self.name))

    def apply(self, function: str, inputs: Sequence[str], **options: Any) -> str:
        """Add a call of a function; returns the name of its result."""
        result = self.new()
        self._add(function, inputs, [result], options)
        return result

    def split(self, value: str, count: int, axis: int, sizes: Sequence[int] | None = None) -> list[str]:
        """Divide a value along an axis; returns the names of the parts."""
        results = [self.new() for _ in range(count)]
        options = {"axis": axis, **({"num_outputs": count} if sizes is None else {"split": list(sizes)})}
        self._add("split", [value], results, options)
        return results

    def module(self, module: Any, value: str) -> str:
        """Add a call of a module without weights; returns the name of its result."""
        result = self.new()
        self._add("module", [value], [result], {"module": module})
        return result

    def linear(self, value: str, weight: Any, bias: Any, codes: Any) -> str:
        """Multiply by a weight and add a bias; returns the name of the result."""
        result = self.new()
        self._add("linear", [value], [result], {"weight": weight, "bias": bias, "codes": codes})
        return result

    def activated(self, value: str, name: str) -> str:
        """The name of the result of an activation, fused or an operator."""
        if name == "NONE":
            return value
        if name in CLIPS:
            low, high = CLIPS[name]
            return self.apply("clip", (value,), min=low, max=high)
        if name not in ACTIVATIONS:
            raise FormatError(f"expected an activation that qrnn.nn has, got {name}")
        return self.module(ACTIVATIONS[name](), value)

    def recurrent(self, operator: Operator, layer: Any) -> None:
        """Add a call of a recurrent layer; its outputs are the results of the operator."""
        value, sequence = self.first(operator), self.new()
        if self.rank(operator) != 3:
            raise FormatError(f"{operator.name}: expected an input of 3 dimensions, got {self.rank(operator)}")
        self._add("layer", [value], [sequence], {"module": layer})
        if len(operator.outputs) == 1:
            self.gives(operator.outputs[0], sequence)
            return
        for index, half in zip(operator.outputs, self.split(sequence, 2, -1)):
            self.gives(index, half)
