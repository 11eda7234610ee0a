"""Makes modules from a scope: the layers, and, if nothing is missing, a `Graph` of everything."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from .. import nn
from .._foreign import quantized_linear
from .._format_error import FormatError
from .._graph import Choice, Graph, Step
from .._graph_functions import FUNCTIONS
from .._module import Module
from ._affine import identity
from ._cells import Cell
from ._scope import Op, Scope, flat
from ._tensors import DATA_TYPES

__all__ = ["all_ops", "inputs_of", "layers_of", "module_of"]


def all_ops(scope: Scope) -> Iterator[tuple[Scope, Op]]:
    """The operations of a scope and of the bodies inside, in order."""
    bodies = {id(op): inside for op, inside in scope.bodies}
    for op in scope.ops:
        yield scope, op
        for body in bodies.get(id(op), {}).values():
            yield from all_ops(body)


def layers_of(scope: Scope) -> dict[str, Module]:
    """The recurrent layers and cells by the names of their nodes; one that is called several times comes once."""
    cells: dict[tuple[Any, ...], Module] = {}
    found: dict[str, Module] = {}
    for _, op in all_ops(scope):
        if op.kind == "layer":
            found[op.name] = op.options["module"]
        elif op.kind == "cell":
            cell: Cell = op.options["cell"]
            key = (cell.family, cell.reset_after, *map(identity, cell.weights))
            if key not in cells:
                cells[key] = found[op.name] = _cell_module(cell)
            op.options["module"] = cells[key]
    return found


def _cell_module(cell: Cell) -> Module:
    hidden, columns = cell.weights.weight_hh.shape[1], cell.weights.weight_ih.shape[1]
    weights = {name: array for name, array in cell.weights._asdict().items() if array is not None}
    bias = "bias_ih" in weights
    if bias and "bias_hh" not in weights:
        weights["bias_hh"] = np.zeros_like(weights["bias_ih"])
    module: Any
    if cell.family == "LSTM":
        module = nn.LSTMCell(columns, hidden, bias)
    elif cell.family == "RNN":
        module = nn.RNNCell(columns, hidden, bias)
    else:
        module = nn.GRUCell(columns, hidden, bias, reset_after=cell.reset_after)
    module.load_state_dict({**module.state_dict(), **weights})
    return module  # type: ignore[no-any-return]


def inputs_of(scope: Scope) -> tuple[dict[str, str], list[str]]:
    """The inputs of a graph with their types, and texts about inputs that are not arrays."""
    found, wrong = dict[str, str](), list[str]()
    for each in scope.graph.input:
        if scope.find(each.name) is not None:
            continue  # files of IR version 3 list initializers among the inputs too
        kind = DATA_TYPES.get(each.type.tensor_type.elem_type) if each.type.HasField("tensor_type") else None
        if kind is None:
            wrong.append(f"input {each.name!r}: a type that is no array of numbers")
        found[each.name] = "float32" if kind is None else kind.kind
    return found, wrong


def module_of(scope: Scope) -> tuple[Graph | None, list[str]]:
    """A module of all that the outputs of the graph need, or None, and texts about what is missing for it."""
    inputs, missing = inputs_of(scope)
    ops = _needed(_fused(scope), scope.outputs())
    missing += _missing_of(ops)
    if missing:
        return None, missing
    return _graph(scope, ops, inputs), []


def _missing_of(ops: Sequence[Op]) -> list[str]:
    found = list[str]()
    for op in ops:
        if op.kind == "missing":
            found.append(op.options["what"])
        for body in op.options.get("bodies", {}).values():
            found += _missing_of(_needed(_fused(body), body.outputs()))
    return found


def _needed(ops: Sequence[Op], outputs: Sequence[str]) -> list[Op]:
    """The operations that values depend on."""
    wanted, found = set(outputs), list[Op]()
    for op in reversed(ops):
        if wanted.intersection(op.outputs):
            found.append(op)
            wanted.update(flat(op.inputs))
    return found[::-1]


def _fused(scope: Scope) -> list[Op]:
    """The operations. A constant that is added to a product becomes its bias, if only the sum uses the product."""
    users: dict[str, int] = dict.fromkeys(scope.outputs(), 1)
    for op in scope.ops:
        for name in flat(op.inputs):
            users[name] = users.get(name, 0) + 1
    products = {op.outputs[0]: op for op in scope.ops if op.kind == "linear" and op.options["bias"] is None}
    gone, found = set[int](), list[Op]()
    for op in scope.ops:
        new = _with_bias(scope, op, products) if op.kind == "add" and len(op.inputs) == 2 else None
        if new is not None and users[new[0].outputs[0]] == 1:
            gone.add(id(new[0]))
            op = new[1]
        found.append(op)
    return [op for op in found if id(op) not in gone]


def _with_bias(scope: Scope, op: Op, products: dict[str, Op]) -> tuple[Op, Op] | None:
    """If `op` adds a constant row to a product: that product, and the two as one operation."""
    for x, y in ((op.inputs[0], op.inputs[1]), (op.inputs[1], op.inputs[0])):
        product, bias = products.get(x), scope.find(y)
        if product is None or bias is None or bias.dtype.kind != "f":
            continue
        if bias.shape == product.options["weight"].shape[:1] and np.isfinite(bias).all():
            options = {**product.options, "bias": bias}
            return product, Op("linear", product.inputs, op.outputs, options, product.name)
    return None


class _Parts:
    """The steps, modules and constants of a graph that is being made."""

    def __init__(self, scope: Scope, values: set[str]) -> None:
        self.scope = scope
        self.steps: list[Step] = []
        self.modules: dict[str, Module] = {}
        self.constants: dict[str, Any] = {}
        self._taken = values
        self._made: dict[Any, str] = {}
        self._names: dict[str, str] = {}

    def free_name(self, wanted: str) -> str:
        """A free name for a child or a constant."""
        name = base = re.sub(r"\W+", "_", wanted, flags=re.ASCII).strip("_") or "unnamed"
        number = 1
        while name in self._taken or name in self.modules or name in self.constants or hasattr(Graph, name):
            name, number = f"{base}_{number}", number + 1
        return name

    def value(self, name: Any, given: set[str]) -> Any:
        """The name under which a step finds a value; constants become the graph's own."""
        if not isinstance(name, str):
            return tuple(self.value(each, given) for each in name)
        if not name or name in given:
            return name
        constant = self.scope.find(name)
        if constant is None:
            raise FormatError(f"{self.scope.file.source.name}: {name!r} is taken, and nothing before it gives it")
        if name not in self._names:
            self._names[name] = self.free_name(f"constant_{name}")
            self.constants[self._names[name]] = constant
        return self._names[name]

    def module(self, op: Op) -> str:
        """The name of the child that an operation calls."""
        if op.kind == "linear":
            arrays = (op.options["weight"], op.options["bias"])
            key: Any = tuple(map(identity, arrays))
        else:
            key = id(op.options["module"])
        if key not in self._made:
            name = self._made[key] = self.free_name(op.name)
            if op.kind == "linear":
                self.scope.make(arrays[0].nbytes)
                self.modules[name] = quantized_linear(op.name, *arrays, op.options.get("codes"))
            else:
                self.modules[name] = op.options["module"]
        return self._made[key]


def _graph(scope: Scope, ops: Sequence[Op], inputs: dict[str, str]) -> Graph:
    parts = _Parts(scope, {name for op in ops for name in op.outputs} | set(inputs))
    given = set(inputs)
    for op in ops:
        taken = list(op.inputs)
        if op.kind == "choice":
            branches = [
                _graph(body, _needed(_fused(body), body.outputs()), dict.fromkeys(body.free(), "any"))
                for body in op.options["bodies"].values()
            ]
            op.options["module"] = Choice(*branches)
        if op.kind == "cell" and len(taken) == 3:
            taken = [taken[0], (taken[1], taken[2])]
        names = tuple(parts.value(name, given) for name in taken)
        if op.kind in FUNCTIONS:
            step = Step(names, tuple(op.outputs), function=op.kind, options=op.options)
        else:
            step = Step(names, tuple(op.outputs), module=parts.module(op))
        parts.steps.append(step)
        given.update(op.outputs)
    results = list[str]()
    for each in scope.graph.output:
        source = parts.value(scope.named(each.name), given)
        if source != each.name and each.name not in given:
            parts.steps.append(Step((source,), (each.name,), function="identity"))
            given.add(each.name)
        results.append(each.name)
    try:
        return Graph(inputs, results, parts.steps, parts.modules, parts.constants)
    except (TypeError, ValueError, KeyError) as error:
        raise FormatError(f"{scope.file.source.name}: {error}") from None
