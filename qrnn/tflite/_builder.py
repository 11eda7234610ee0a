"""Builder: steps of a `Graph`, as operators are read one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from .. import nn
from .._format_error import FormatError
from .._graph import Graph, Step
from .._graph_functions import TYPES
from ._constants import Constants
from ._schema import Graph as FileGraph
from ._schema import Operator

__all__ = ["ACTIVATIONS", "CLIPS", "Builder"]

#: Fused activations, and operators of that name, as modules or as bounds of a clip.
ACTIVATIONS: Mapping[str, Callable[[], Any]] = {
    "RELU": nn.ReLU,
    "TANH": nn.Tanh,
    "LOGISTIC": nn.Sigmoid,
    "ELU": nn.ELU,
    "LOG_SOFTMAX": lambda: nn.LogSoftmax(dim=-1),
}
CLIPS = {"RELU6": (0.0, 6.0), "RELU_N1_TO_1": (-1.0, 1.0), "RELU_0_TO_1": (0.0, 1.0)}

#: Names of attributes of a `Graph`, which no child may have.
_TAKEN = frozenset([*dir(Graph), "inputs", "outputs", "steps", "training"])

#: Axes, sizes and limits are few.
_MOST_NUMBERS = 64


class Builder:
    """Collects the steps of a graph.

    Parameters
    ----------
    constants : Constants
        Of `graph`.
    graph : FileGraph
    """

    def __init__(self, constants: Constants, graph: FileGraph) -> None:
        self.constants, self.tensors, self._graph = constants, graph.tensors, graph
        self._steps: list[Step] = []
        self._modules: dict[str, Any] = {}
        self._kept: dict[str, Any] = {}
        self._names: dict[int, str] = {}
        self._fresh = 0
        self._inputs: dict[str, str] = {}
        for index in graph.inputs:
            tensor = graph.tensors[index]
            if tensor.type not in TYPES or (tensor.quantization is not None and tensor.type != "float32"):
                raise FormatError(f"input {tensor.name!r}: expected float32 or integers, got {tensor.type} codes")
            name = self._free(tensor.name or "input", self._inputs)
            self._inputs[name] = tensor.type
            self._names[index] = name

    @staticmethod
    def _free(name: str, taken: Iterable[str]) -> str:
        while name in taken:
            name += "_"
        return name

    def graph(self) -> Graph:
        """The module of all steps.

        Raises
        ------
        FormatError
            If nothing gives a value that an operator or a result needs.
        """
        outputs = [self.value(index) for index in self._graph.outputs]
        try:
            return Graph(self._inputs, outputs, self._steps, self._modules, self._kept)
        except (TypeError, ValueError, KeyError) as error:
            raise FormatError(str(error)) from error

    # ---- values

    def value(self, index: int) -> str:
        """The name of the value of a tensor, which a constant gets here."""
        if index not in self._names:
            if index < 0 or not self.constants.is_constant(index):
                name = "none" if index < 0 else repr(self.tensors[index].name)
                raise FormatError(f"expected a value that an operator before gives, got {name}")
            name = f"constant_{index}"
            self._kept[name] = self._array(index)
            self._names[index] = name
        return self._names[index]

    def _array(self, index: int) -> Any:
        """A constant: codes as what they stand for."""
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
        """The number of the tensor that an operator takes as its input `at`."""
        if at >= len(operator.inputs) or operator.inputs[at] < 0:
            raise FormatError(f"{operator.name}: expected an input {at}, got none")
        return operator.inputs[at]

    def first(self, operator: Operator) -> str:
        """The name of the value that an operator takes first."""
        return self.value(self.input(operator, 0))

    def number(self, operator: Operator, at: int) -> int:
        """The one integer of a constant input."""
        found = self.numbers(operator, at)
        if len(found) != 1:
            raise FormatError(f"{operator.name}: expected one integer as input {at}, got {len(found)}")
        return found[0]

    def rank(self, operator: Operator, at: int = 0) -> int:
        """How many dimensions an input has."""
        return len(self.tensors[self.input(operator, at)].shape)

    def new(self) -> str:
        """A name for a value between two steps."""
        self._fresh += 1
        return f"value_{self._fresh}"

    def gives(self, index: int, name: str) -> None:
        """Say that the value called `name` is that of the tensor `index`.

        Raises
        ------
        FormatError
            If something else gives that tensor too.
        """
        if index < 0 or index in self._names:
            raise FormatError(f"expected outputs that nothing else gives, got tensor {index}")
        self._names[index] = name

    # ---- steps

    def call(self, module: Any, inputs: Sequence[Any], outputs: Sequence[str], name: str) -> None:
        """A step that calls a module, which becomes a child called `name`."""
        self._modules[name] = module
        self._steps.append(Step(tuple(inputs), tuple(outputs), module=name))

    def apply(self, function: str, inputs: Sequence[str], **options: Any) -> str:
        """A step that calls a function: the name of its result."""
        result = self.new()
        self._steps.append(Step(tuple(inputs), (result,), function=function, options=options))
        return result

    def split(self, value: str, count: int, axis: int, sizes: Sequence[int] | None = None) -> list[str]:
        """A step that divides a value along an axis: the names of the parts."""
        results = [self.new() for _ in range(count)]
        options = {"axis": axis, **({"num_outputs": count} if sizes is None else {"split": list(sizes)})}
        self._steps.append(Step((value,), tuple(results), function="split", options=options))
        return results

    def module(self, module: Any, value: str, word: str) -> str:
        """A step that calls a module without a name of its own: the name of its result."""
        result = self.new()
        self.call(module, (value,), (result,), self._free(f"{word}_{len(self._modules)}", self._modules))
        return result

    def activated(self, value: str, name: str) -> str:
        """What comes out of an activation that is built in or an operator."""
        if name == "NONE":
            return value
        if name in CLIPS:
            low, high = CLIPS[name]
            return self.apply("clip", (value,), min=low, max=high)
        if name not in ACTIVATIONS:
            raise FormatError(f"expected an activation that qrnn.nn has, got {name}")
        return self.module(ACTIVATIONS[name](), value, name.lower())

    def recurrent(self, operator: Operator, layer: Any, name: str) -> None:
        """A step that calls a recurrent layer, from whose results the operator's are its outputs."""
        value, sequence = self.first(operator), self.new()
        if self.rank(operator) != 3:
            raise FormatError(f"{operator.name}: expected an input of 3 dimensions, got {self.rank(operator)}")
        self.call(layer, (value,), (sequence,), self._free(name, _TAKEN))
        if len(operator.outputs) == 1:
            self.gives(operator.outputs[0], sequence)
            return
        for index, half in zip(operator.outputs, self.split(sequence, 2, -1)):
            self.gives(index, half)
