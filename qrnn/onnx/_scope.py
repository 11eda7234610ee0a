"""A graph that is being read: its values, its constants, and the operations that are not constant."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from .._format_error import FormatError
from .._graph_functions import FUNCTIONS
from .._module import Module
from ._file import Source
from ._tensors import array_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["File", "Op", "Scope", "expect_texts", "flat"]

#: How many bytes constants may take beyond eight times the file's size; constants that graphs compute are small.
_SLACK = 1 << 25

#: The most nodes to read from a small file; a larger file may have one more for each four bytes. The nodes of a
#: function count at each call.
_MAX_NODES = 20_000
#: Layers may take this many times the bytes of constants, as many nodes may use the same weights.
_TIMES_MADE = 4

#: Functions whose results may be larger than their arguments.
_GROWING = frozenset({"constant_of_shape", "expand", "pad", "range", "tile"})
#: Functions that are not computed while reading, because their cost is not a sum of sizes.
_NOT_FOLDED = frozenset({"matmul"})


@dataclass
class Op:
    """An operation of a graph.

    Attributes
    ----------
    kind : str
        A function of ``_graph_functions``; or ``"linear"``, with its weight and bias among the options; ``"module"``
        and ``"layer"``, with the module; ``"cell"``, with its weights; ``"choice"``, with the branches of an If;
        ``"missing"``, with a text about what is missing.
    inputs, outputs : list of str
    options : dict
    name : str
        The name of the node, or a substitute if it has none.
    """

    kind: str
    inputs: list[Any]
    outputs: list[str]
    options: dict[str, Any] = field(default_factory=dict)
    name: str = ""


@dataclass
class File:
    """The data that all graphs of a file share.

    Attributes
    ----------
    source : Source
    opsets : dict of str to int
        The version of each domain's operators.
    functions : dict
        The file's own functions by domain and name.
    most, taken, made : int
        Bytes that constants may take, that they have taken so far, and that layers made of them have taken.
    nodes : int
        How many nodes were read so far.
    names, op_types : dict
        How often a name occurred so far, and the operators of nodes by their names.
    """

    source: Source
    opsets: dict[str, int]
    functions: dict[tuple[str, str], Any]
    most: int = 0
    taken: int = 0
    made: int = 0
    nodes: int = 0
    names: dict[str, int] = field(default_factory=dict)
    op_types: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.most = 8 * self.source.size + self.source.external + _SLACK

    @property
    def opset(self) -> int:
        """The version of ONNX's own operators."""
        return self.opsets.get("", 1)

    def take(self, count: int) -> None:
        """Count bytes of constants; FormatError if a file needs many times its own size."""
        self.taken += count
        if self.taken > self.most:
            raise FormatError(
                f"{self.source.name}: its constants take {self.taken} bytes, many times those of the file"
            )

    def make(self, count: int) -> None:
        """Count bytes of layers; FormatError if they become many times those of the file."""
        self.made += count
        if self.made > _TIMES_MADE * self.most:
            raise FormatError(f"{self.source.name}: its layers take {self.made} bytes, many times those of the file")

    def count_node(self) -> None:
        self.nodes += 1
        most = _MAX_NODES + self.source.size // 4
        if self.nodes > most:
            raise FormatError(f"{self.source.name}: expected at most {most} nodes, those of functions at each call")

    def unique(self, name: str) -> str:
        """`name`, with a number added if it occurred before."""
        count = self.names.get(name, 0)
        self.names[name] = count + 1
        return self.unique(f"{name}_{count}") if count else name


class Scope(Mapping[str, Any]):
    """A graph, or the body of a node, which can use the values of the graph around it.

    As a mapping it holds the constants that it can use, by their names.

    Parameters
    ----------
    file : File
    graph : onnx.GraphProto
    parent : Scope, optional
        The scope around it.
    where : str
        The place of the graph, for texts: ``""`` or ``"If 'x': then_branch: "``.
    """

    def __init__(self, file: File, graph: Any, parent: Scope | None = None, where: str = "") -> None:
        self.file, self.graph, self.parent, self.where = file, graph, parent, where
        self.ops: list[Op] = []
        self.bodies: list[tuple[Op, dict[str, Scope]]] = []
        self._constants: dict[str, NDArray[Any]] = {}
        self._aliases: dict[str, str] = {}
        self._tensors: dict[str, Any] = {each.name: each for each in graph.initializer}
        #: The known sizes of a value's dimensions; for a value that holds sizes, its known elements.
        self.dims: dict[str, tuple[int | None, ...]] = {}
        self.sizes: dict[str, list[int | None]] = {}
        ends = (each.name for each in (*graph.input, *graph.output))
        expect_texts(f"{file.source.name}: {where}", *ends, *self._tensors)
        self._note_dims(graph)

    def _note_dims(self, graph: Any) -> None:
        for infos in ("input", "output", "value_info"):
            for info in getattr(graph, infos):
                if info.type.tensor_type.HasField("shape"):
                    self.dims[info.name] = tuple(_size(dim) for dim in info.type.tensor_type.shape.dim)

    def take_over(self, graph: Any) -> None:
        """Take over the constants of `graph`, whose nodes are read as nodes of this graph."""
        self._tensors.update((each.name, each) for each in graph.initializer)
        self._note_dims(graph)

    # ---- constants

    def find(self, name: str) -> NDArray[Any] | None:
        """The constant of this name, here or in the scopes around; None if it is not a constant."""
        if name in self._constants:
            return self._constants[name]
        if name in self._tensors:
            tensor = self._tensors[name]
            array = array_of(tensor, f"{self.where}{name!r}", self.file.source.folder)
            self.file.take(array.nbytes)
            self._constants[name] = array
            return array
        if name in self._aliases:
            return self.find(self._aliases[name])
        return None if self.parent is None else self.parent.find(name)

    def __getitem__(self, name: str) -> NDArray[Any]:
        found = self.find(name)
        if found is None:
            raise KeyError(name)
        return found

    def __iter__(self) -> Iterator[str]:
        return iter({**self._constants, **self._tensors})

    def __len__(self) -> int:
        return len({**self._constants, **self._tensors})

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self.find(name) is not None

    def outputs(self) -> list[str]:
        """The outputs of the graph, by their first names."""
        return [self.named(each.name) for each in self.graph.output]

    def free(self) -> list[str]:
        """The values of scopes around it that its operations use."""
        own = {each.name for each in self.graph.input} | {name for op in self.ops for name in op.outputs}
        taken = [name for op in self.ops for name in flat(op.inputs)] + self.outputs()
        return [name for name in dict.fromkeys(taken) if name and name not in own and self.find(name) is None]

    def keep(self, name: str, array: NDArray[Any]) -> None:
        """Make the value `name` a constant."""
        self._constants[name] = array

    def make(self, count: int) -> None:
        """Count bytes made from constants."""
        self.file.make(count)

    # ---- values

    def alias(self, name: str, of: str) -> None:
        """Make `name` another name of the value `of`."""
        self._aliases[name] = self.named(of)

    def named(self, name: str) -> str:
        """The first name of the value `name`."""
        if name in self._aliases:
            return self._aliases[name]
        return name if self.parent is None else self.parent.named(name)

    def known_dims(self, name: str) -> tuple[int | None, ...] | None:
        """The sizes of a value's dimensions, None for an unknown one; None if nothing is known."""
        constant = self.find(name) if name in self._constants or name in self._tensors else None
        if constant is not None:
            return constant.shape
        if name in self.dims:
            return self.dims[name]
        return None if self.parent is None else self.parent.known_dims(name)

    # ---- operations

    def add(self, op: Op) -> None:
        """Compute an operation now if it takes only constants, else keep it."""
        if op.kind in FUNCTIONS and op.kind not in _NOT_FOLDED:
            values = [None if not name else self.find(name) for name in op.inputs]
            if all(value is not None for value, name in zip(values, op.inputs) if name):
                self._fold(op, values)
                return
        if isinstance(op.options.get("module"), Module):
            self.file.make(op.options["module"].nbytes)
        self.ops.append(op)

    def _fold(self, op: Op, values: list[Any]) -> None:
        where = f"{self.where}{op.name}"
        try:
            self.file.take(_most_bytes(op, values))
            with np.errstate(all="ignore"):
                result = FUNCTIONS[op.kind](*values, **op.options)
        except FormatError:
            raise
        except (TypeError, ValueError, LookupError, AttributeError, ArithmeticError, MemoryError) as error:
            raise FormatError(f"{where}: {op.kind}: {error}") from None
        results = result if isinstance(result, tuple) else (np.asarray(result),)
        if len(results) < len(op.outputs):
            raise FormatError(f"{where}: expected {len(op.outputs)} results, got {len(results)}")
        for name, each in zip(op.outputs, results):
            if name:
                self.keep(name, each)


def expect_texts(where: str, *values: Any) -> None:
    """Raise FormatError if one of the names in a file is not text, but bytes that are not UTF-8."""
    for value in values:
        if not isinstance(value, str):
            raise FormatError(f"{where}: expected names in UTF-8, got {value!r:.80}")


def flat(inputs: Iterable[Any]) -> list[str]:
    """Names of the values that an operation takes, including those in pairs."""
    return [name for each in inputs for name in ((each,) if isinstance(each, str) else each)]


def _size(dim: Any) -> int | None:
    return int(dim.dim_value) if dim.HasField("dim_value") and dim.dim_value >= 0 else None


def _most_bytes(op: Op, values: list[Any]) -> int:
    """The most bytes that the results for constants can take; ValueError if unknown."""
    arrays = [value for value in values if value is not None]
    if op.kind in _GROWING:
        return 8 * _grown(op, values)
    if op.kind == "gather":
        indices = values[1] if len(values) > 1 else np.asarray(op.options["indices"])
        rows = values[0].shape[op.options.get("axis", 0)]
        return 8 * int(values[0].size // max(rows, 1) * np.size(indices))
    if op.kind == "gather_nd":
        x, indices = values
        rest = x.shape[indices.shape[-1] if indices.ndim else 0 :]
        return int(8 * math.prod(indices.shape[:-1]) * math.prod(rest))
    if op.kind in ("concat", "stack"):
        return 8 * sum(int(each.size) for each in arrays)
    shapes = np.broadcast_shapes(*(each.shape for each in arrays)) if op.kind in _BROADCAST else ()
    return 8 * max(math.prod(shapes), *(int(each.size) for each in arrays), 0)


_BROADCAST = frozenset(
    {
        "add",
        "and",
        "clip",
        "div",
        "equal",
        "gather_elements",
        "greater",
        "greater_or_equal",
        "less",
        "less_or_equal",
        "max",
    }
    | {"min", "mod", "mul", "or", "pow", "prelu", "sub", "sum", "where", "xor"}
)


def _grown(op: Op, values: list[Any]) -> int:
    """How many elements the result of a function in `_GROWING` has, by its arguments."""

    def numbers(index: int, name: str) -> list[float]:
        given = values[index] if index < len(values) else op.options[name]
        return [float(each) for each in np.asarray(given).ravel()]

    if op.kind == "range":
        start, limit, delta = (numbers(i, name)[0] for i, name in enumerate(("start", "limit", "delta")))
        return max(0, math.ceil((limit - start) / delta))
    if op.kind == "constant_of_shape":
        return int(math.prod(numbers(0, "shape")))
    x = values[0]
    if op.kind == "pad":
        sizes = numbers(1, "pads")
        return int(math.prod(size + max(0, sum(map(abs, sizes))) for size in x.shape))
    if op.kind == "tile":
        return int(x.size * math.prod(numbers(1, "repeats")))
    return int(math.prod(np.maximum(1, numbers(1, "shape"))) * max(x.size, 1))
