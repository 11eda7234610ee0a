"""Finds layers that an exporter wrote as Scan or Loop: the body is a cell and nothing else."""

from __future__ import annotations

from typing import Any, NamedTuple

from .._foreign import float_layer
from ._cells import Cell
from ._nodes import Node
from ._recurrent_node import RecurrentNode
from ._scope import Op, Scope

__all__ = ["layer_of_loop"]


class _Steps(NamedTuple):
    """How a loop calls its cell.

    Attributes
    ----------
    cell : Op
    sequence : str
        The value that is read step by step.
    axis : int
        The axis of its steps.
    first : list of str
        The first states.
    last : list of str
        Names of the last states.
    outputs : list of tuple of str and int
        Names of the states of all steps, with the axis of steps.
    backwards : bool
        Whether the last step is read first, and written last.
    """

    cell: Op
    sequence: str
    axis: int
    first: list[str]
    last: list[str]
    outputs: list[tuple[str, int]]
    backwards: bool = False


def layer_of_loop(node: Node, body: Scope) -> bool:
    """If a Scan or Loop is a recurrent layer, make its scope call one; returns whether it is."""
    cells = [op for op in body.ops if op.kind == "cell"]
    if len(cells) != 1:
        return False
    steps = _of_scan(node, body, cells[0]) if node.op_type == "Scan" else _of_loop(node, body, cells[0])
    if steps is None:
        return False
    _add(node, steps)
    return True


def _states(body: Scope, cell: Op, inputs: list[str], results: list[str]) -> list[int] | None:
    """The places of h and c among the states of a body, if it passes them on from step to step."""
    places = []
    for taken, given in zip(cell.inputs[1:], cell.outputs):
        if taken not in inputs or inputs.count(taken) != 1:
            return None
        place = inputs.index(taken)
        if results[place] != given:
            return None
        places.append(place)
    return places


def _of_scan(node: Node, body: Scope, cell: Op) -> _Steps | None:
    count = node.number("num_scan_inputs", 0)
    states = len(node.inputs) - count
    inputs, results = [each.name for each in body.graph.input], body.outputs()
    if node.opset < 9 or count != 1 or len(inputs) != len(node.inputs) or len(results) < states:
        return None
    places = _states(body, cell, inputs[:states], results[:states])
    if places is None or len(places) != states or cell.inputs[0] != inputs[-1]:
        return None
    if any(each != cell.outputs[0] for each in results[states:]):
        return None
    scanned = len(results) - states
    axes = node.numbers("scan_output_axes") or [0] * scanned
    ways = {*(node.numbers("scan_input_directions") or [0]), *(node.numbers("scan_output_directions") or [0] * scanned)}
    axis = (node.numbers("scan_input_axes") or [0])[0]
    if len(ways) != 1 or len(axes) != scanned or not {axis, *axes} <= {0, 1}:
        return None
    outputs = [*node.outputs, *[""] * (len(results) - len(node.outputs))]
    return _Steps(
        cell,
        node.inputs[-1],
        axis,
        [node.inputs[place] for place in places],
        [outputs[place] for place in places],
        list(zip(outputs[states:], axes)),
        ways == {1},
    )


def _of_loop(node: Node, body: Scope, cell: Op) -> _Steps | None:
    inputs, results = [each.name for each in body.graph.input], body.outputs()
    states = len(node.inputs) - 2
    if states < 1 or len(inputs) != states + 2 or len(results) < states + 1:
        return None
    places = _states(body, cell, inputs[2:], results[1 : states + 1])
    unchanged = [i for i in range(states) if results[i + 1] == inputs[i + 2]]
    if places is None or sorted([*places, *unchanged]) != list(range(states)) or not _goes_on(node, body):
        return None
    if any(each != cell.outputs[0] for each in results[states + 1 :]):
        return None
    read = next((op for op in body.ops if cell.inputs[0] in op.outputs and op.kind == "gather"), None)
    if read is None or len(read.inputs) != 2 or read.inputs[1] != inputs[0]:
        return None
    sequence, axis = read.inputs[0], read.options.get("axis", 0)
    if sequence in inputs:
        place = inputs.index(sequence) - 2
        if place not in unchanged:
            return None
        sequence = node.inputs[place + 2]
    if axis not in (0, 1) or not _is_length(node, sequence, axis):
        return None
    outputs = [*node.outputs, *[""] * (len(results) - 1 - len(node.outputs))]
    if any(outputs[i] for i in unchanged):
        return None
    first = [node.inputs[place + 2] for place in places]
    scanned = [(name, 0) for name in outputs[states:]]
    return _Steps(cell, sequence, axis, first, [outputs[place] for place in places], scanned)


def _goes_on(node: Node, body: Scope) -> bool:
    """Whether only the number of steps ends a loop."""
    condition, given = node.constant(1), body.outputs()[0]
    if node.given(1) and (condition is None or not condition.all()):
        return False
    constant = body.find(given)
    return given == body.graph.input[1].name or (constant is not None and bool(constant.all()))


def _is_length(node: Node, sequence: str, axis: int) -> bool:
    """Whether a Loop's number of steps is the size of this axis of the value."""
    scope, count = node.scope, node.constant(0)
    if count is not None:
        dims = scope.known_dims(sequence)
        return dims is not None and axis < len(dims) and count.size == 1 and dims[axis] == int(count.item())
    makers = {name: op for op in scope.ops for name in op.outputs}
    op = makers.get(node.inputs[0]) if node.given(0) else None
    start, stop = 0, None
    while op is not None and op.kind in ("squeeze", "reshape", "cast", "gather", "slice"):
        if op.kind == "gather":
            start = _only(op.options.get("indices"))
        if op.kind == "slice":
            start, stop = _only(op.options.get("starts")), _only(op.options.get("ends"))
        op = makers.get(op.inputs[0])
    if op is None or op.kind != "shape" or op.inputs != [sequence]:
        return False
    return start + op.options.get("start", 0) == axis and stop in (None, axis + 1)


def _only(value: Any) -> int:
    """The single number of an option; -1 if there is not exactly one."""
    while isinstance(value, list) and len(value) == 1:
        value = value[0]
    return value if isinstance(value, int) else -1


def _add(node: Node, steps: _Steps) -> None:
    """Add the operations that replace a loop: a layer, and changes of axes, which differ from those of ONNX's nodes."""
    scope, cell = node.scope, steps.cell.options["cell"]
    assert isinstance(cell, Cell)
    options: dict[str, Any] = {"reset_after": cell.reset_after} if cell.family == "GRU" else {}
    if steps.backwards:
        options["reverse"] = True
    layer = float_layer(node.where, cell.family, [cell.weights], False, options)
    base = node.name
    x, states = steps.sequence, list[str]()
    if steps.axis == 1:
        x = f"{base}:steps"
        scope.add(Op("transpose", [steps.sequence], [x], {"perm": [1, 0, 2]}, base))
    for name, value in zip("hc", steps.first):
        constant = scope.find(value)
        if constant is not None and not constant.any():
            states.append("")
            continue
        states.append(f"{base}:{name}")
        scope.add(Op("unsqueeze", [value], [states[-1]], {"axes": [0]}, base))
    names = [f"{base}:Y", *(f"{base}:Y_{name}" for name, _ in zip("hc", steps.first))]
    called = [x, "", *states]
    while not called[-1]:
        called.pop()
    known = dict(zip(("X", "sequence_lens", "initial_h", "initial_c"), called))
    outputs = dict(zip(("Y", "Y_h", "Y_c"), names))
    module = RecurrentNode(layer, 0, {key: value for key, value in known.items() if value}, outputs)
    note = f"from a {node.op_type}"
    scope.add(Op("layer", called, names, {"module": module, "note": note}, base))
    for name, value in zip(steps.last, names[1:]):
        if name:
            scope.add(Op("squeeze", [value], [name], {"axes": [0]}, base))
    for name, axis in steps.outputs:
        if name:
            flat = name if axis == 0 else f"{name}:steps"
            scope.add(Op("squeeze", [names[0]], [flat], {"axes": [1]}, base))
            if axis == 1:
                scope.add(Op("transpose", [flat], [name], {"perm": [1, 0, 2]}, base))
