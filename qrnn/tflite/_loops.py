"""Reads WHILE as a recurrent layer: its body is a step of an LSTM or GRU, over the steps of a value."""

from __future__ import annotations

from typing import Any

from .._foreign import float_layer, quantized_layer
from .._format_error import FormatError
from ..onnx._scope import Op
from ._builder import Builder
from ._constants import Constants
from ._schema import Graph, Model, Operator
from ._steps import add_operator

__all__ = ["read_loop"]


def read_loop(model: Model, outer: Builder, operator: Operator) -> Any:
    """Read a WHILE as a layer over sequences, which replaces the operator in `outer`.

    The body reads ``GATHER(x, t)`` along the first axis, t counts from 0 to the length, and states go from one step to
    the next.

    Raises
    ------
    FormatError
        If it is something else.
    """
    graphs = [operator.options[name] for name in ("cond", "body")]
    if not all(0 < each < len(model.graphs) for each in graphs):
        raise FormatError(f"WHILE: expected graphs below {len(model.graphs)}, got {graphs}")
    cond, body = (model.graphs[each] for each in graphs)
    count = len(operator.inputs)
    if {len(cond.inputs), len(body.inputs), len(body.outputs), len(operator.outputs)} != {count}:
        raise FormatError(f"WHILE: expected {count} values to go in and out of its graphs")
    loop = _Loop(model, outer, operator, body)
    loop.expect_steps(cond)
    return loop.replace()


class _Loop:
    """A WHILE whose body is read."""

    def __init__(self, model: Model, outer: Builder, operator: Operator, body: Graph) -> None:
        self.model, self.outer, self.operator = model, outer, operator
        self.body = Builder(Constants(model, body), body)
        for each in body.operators:
            try:
                add_operator(self.body, each)
            except FormatError:
                self.body.unknown(each)
        self.body.cells()
        self.raw = {index: each for each in body.operators for index in each.outputs}
        self.inputs = [self.body.value(index) for index in body.inputs]
        self.outputs = [self.body.value(index) for index in body.outputs]
        self.results = body.outputs
        self.makers = {name: op for op in self.body.ops for name in op.outputs}
        cells = [op for op in self.body.ops if op.kind == "cell"]
        if len(cells) != 1:
            raise FormatError("WHILE: expected a body that is a step of one LSTM or GRU, as its equations are written")
        self.cell = cells[0]
        self.states = [self._state(*pair) for pair in zip(self.cell.inputs[1:], self.cell.outputs)]
        self.sequence, self.counter = self._read_from()

    def _state(self, taken: str, given: str) -> int:
        """The place of a state among the values that go from step to step."""
        if self.inputs.count(taken) != 1 or self.outputs[self.inputs.index(taken)] != given:
            raise FormatError("WHILE: expected states that go from one step to the next, got others")
        return self.inputs.index(taken)

    def _read_from(self) -> tuple[int, int]:
        """The places of the sequence and of the number of the step."""
        read = self.makers.get(self.cell.inputs[0])
        if read is None or read.kind != "gather" or read.options.get("axis", 0) != 0 or len(read.inputs) != 2:
            raise FormatError("WHILE: expected x to be gathered from a sequence, step by step")
        sequence, step = read.inputs
        if sequence not in self.inputs or step not in self.inputs:
            raise FormatError("WHILE: expected x to be gathered from a value that comes from outside of it")
        places = self.inputs.index(sequence), self.inputs.index(step)
        if not self.is_unchanged(places[0]) or not self.is_counter(places[1]):
            raise FormatError("WHILE: expected x to be gathered by a number that counts from 0")
        return places

    def is_unchanged(self, place: int) -> bool:
        """Whether a value is the same in all steps."""
        return self.outputs[place] == self.inputs[place]

    def is_counter(self, place: int) -> bool:
        """Whether a value counts from 0 on by ones."""
        made = self.makers.get(self.outputs[place])
        start = self._constant(place)
        if made is None or made.kind != "add" or start is None or start.size != 1 or start.any():
            return False
        for one, other in (made.inputs, made.inputs[::-1]) if len(made.inputs) == 2 else ():
            constant = self.body.find(other)
            if one == self.inputs[place] and constant is not None:
                return bool(constant.size == 1 and constant.item() == 1)
        return False

    def _constant(self, place: int) -> Any:
        """The constant that a value begins with, or None."""
        index = self.operator.inputs[place]
        if index < 0 or not self.outer.constants.is_constant(index):
            return None
        return self.outer.find(self.outer.value(index))

    def expect_steps(self, cond: Graph) -> None:
        """Raise FormatError unless the loop does as many steps as the sequence has."""
        constants = Constants(self.model, cond)
        limits: dict[int, list[int]] = {}
        for each in cond.operators:
            if len(each.inputs) != 2 or len(each.outputs) != 1 or min(each.inputs) < 0:
                raise FormatError(f"WHILE: expected steps to be counted, got {each.name}")
            one, other = each.inputs
            if each.name == "LOGICAL_AND" and one in limits and other in limits:
                limits[each.outputs[0]] = limits[one] + limits[other]
            elif each.name == "LESS" and one in cond.inputs and self.is_counter(cond.inputs.index(one)):
                limits[each.outputs[0]] = [self._limit(constants, cond, other)]
            else:
                raise FormatError(f"WHILE: expected steps to be counted, got {each.name}")
        found = limits.get(cond.outputs[0]) if len(cond.outputs) == 1 else None
        shape = self.outer.tensors[self.operator.inputs[self.sequence]].shape
        if found is None or len(shape) != 3 or min(found) != shape[0]:
            raise FormatError(f"WHILE: expected as many steps as x has, of shape {shape}, got {found}")

    def _limit(self, constants: Constants, cond: Graph, index: int) -> int:
        array = constants.numbers(index) if constants.is_constant(index) else None
        if array is None and index in cond.inputs:
            place = cond.inputs.index(index)
            array = self._constant(place) if self.is_unchanged(place) else None
        if array is None or array.size != 1 or array.dtype.kind not in "iu":
            raise FormatError("WHILE: expected a number of steps that is a constant")
        return int(array.item())

    def _writes_all(self, place: int) -> bool:
        """Whether a value is a sequence into which each step writes the new h at its place."""
        written = self.raw.get(self.results[place])
        if written is None or written.name != "DYNAMIC_UPDATE_SLICE" or len(written.inputs) != 3:
            return False
        into, update, start = (self.body.value(index) for index in written.inputs)
        made, begin = self.makers.get(update), self.makers.get(start)
        if into != self.inputs[place] or made is None or begin is None or begin.kind not in ("concat", "stack"):
            return False
        zeros = [self.body.find(name) for name in begin.inputs[1:]]
        first = self._through(begin.inputs[0], ("reshape", "unsqueeze"))
        counted = first == self.inputs[self.counter] and all(each is not None and not each.any() for each in zeros)
        whole = self.body.known_dims(into), self.outer.tensors[self.operator.inputs[self.sequence]].shape
        as_long = whole[0] is not None and whole[0][:1] == whole[1][:1]
        return counted and as_long and self._through(update, ("unsqueeze",)) == self.cell.outputs[0]

    def _through(self, name: str, kinds: tuple[str, ...]) -> str:
        """The value from which `name` came by operations that keep its numbers."""
        op = self.makers.get(name)
        while op is not None and op.kind in kinds:
            name = op.inputs[0]
            op = self.makers.get(name)
        return name

    def replace(self) -> Any:
        """Make `outer` call a layer instead of the WHILE; returns the layer."""
        cell = self.cell.options["cell"]
        options: dict[str, Any] = {} if cell.family == "LSTM" else {"reset_after": cell.reset_after}
        layer: Any = float_layer("WHILE", cell.family, [cell.weights], False, options)
        codes = self.cell.options.get("codes", {})
        if codes:
            layer = quantized_layer("WHILE", layer, {f"{name}_l0": tensor for name, tensor in codes.items()})
        called: list[Any] = [self.outer.value(self.operator.inputs[self.sequence])]
        starts = [self._constant(place) for place in self.states]
        if any(each is None or each.any() for each in starts):
            values = [self.outer.value(self.operator.inputs[place]) for place in self.states]
            states = [self.outer.apply("unsqueeze", (value,), axes=[0]) for value in values]
            called.append(tuple(states) if len(states) == 2 else states[0])
        results = [self.outer.new() for _ in range(1 + len(self.states))]
        self.outer.ops.append(Op("layer", called, results, {"module": layer}, self.outer.name))
        given = {place: self.outer.apply("squeeze", (each,), axes=[0]) for place, each in zip(self.states, results[1:])}
        for place, index in enumerate(self.operator.outputs):
            if place in given:
                self.outer.gives(index, given[place])
            elif self.is_unchanged(place):
                self.outer.gives(index, self.outer.value(self.operator.inputs[place]))
            elif self._writes_all(place):
                self.outer.gives(index, results[0])
        return layer
