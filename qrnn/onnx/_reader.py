"""Reads the nodes of a graph as operations of a `Scope`: recurrent nodes, bodies, and functions of the file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .._format_error import FormatError
from ._attributes import OPERATORS as RECURRENT
from ._cells import with_cells
from ._file import Source
from ._layers import DYNAMIC_QUANTIZE_LSTM, MICROSOFT, read_quantized_lstm, read_recurrent
from ._loops import layer_of_loop
from ._nodes import Node, Unsupported, domain_of
from ._operators import convert
from ._products import MICROSOFT_PRODUCTS, PRODUCTS, with_products
from ._scope import File, Op, Scope, expect_texts

__all__ = ["read_model"]

#: The deepest nesting of calls of a file's functions.
_MAX_DEPTH = 30

#: The attributes of the nodes that have bodies, which are graphs.
BODIES: Mapping[str, tuple[str, ...]] = {"If": ("then_branch", "else_branch"), "Loop": ("body",), "Scan": ("body",)}


def read_model(source: Source) -> Scope:
    """The graph of a model.

    Raises
    ------
    FormatError
        If it is not valid in ONNX.
    """
    model = source.model
    opsets = {domain_of(each.domain): int(each.version) for each in model.opset_import}
    functions = {(domain_of(each.domain), each.name): each for each in getattr(model, "functions", ())}
    return _read(File(source, opsets, functions), model.graph, None, "")


def _read(file: File, graph: Any, parent: Scope | None, where: str) -> Scope:
    scope = Scope(file, graph, parent, where)
    _read_nodes(scope, graph, 0)
    scope.ops = with_products(scope)
    scope.ops = with_cells(scope)
    return scope


def _read_nodes(scope: Scope, graph: Any, depth: int) -> None:
    for each in getattr(graph, "sparse_initializer", ()):
        _missing(scope, [], [each.values.name], f"{scope.where}sparse initializer {each.values.name!r}", "")
    for proto in graph.node:
        scope.file.count_node()
        node = Node(proto, scope)
        if not any(node.outputs):
            continue
        try:
            _read_node(node, depth)
        except Unsupported as error:
            _missing(scope, node.inputs, node.outputs, f"{node.where}: {error}", node.name)


def _missing(scope: Scope, inputs: list[Any], outputs: list[str], what: str, name: str) -> None:
    """Note that qrnn lacks something."""
    scope.ops.append(Op("missing", [each for each in inputs if each], outputs, {"what": what}, name))


def _read_node(node: Node, depth: int) -> None:
    function = node.scope.file.functions.get((node.domain, node.op_type))
    if function is not None:
        if depth >= _MAX_DEPTH:
            raise FormatError(f"{node.where}: expected functions that call one another {_MAX_DEPTH} deep at most")
        _call(node, function, depth + 1)
    elif (node.domain, node.op_type) == (MICROSOFT, DYNAMIC_QUANTIZE_LSTM):
        read_quantized_lstm(node)
    elif node.domain == MICROSOFT and node.op_type in MICROSOFT_PRODUCTS:
        _product(node, MICROSOFT_PRODUCTS[node.op_type], 3)
    elif node.domain:
        raise Unsupported(f"an operator of the domain {node.domain!r}")
    elif node.op_type in RECURRENT:
        read_recurrent(node)
    elif node.op_type == "If":
        _read_if(node, depth)
    elif node.op_type in BODIES:
        _read_loop(node)
    elif node.op_type in PRODUCTS:
        _product(node, PRODUCTS[node.op_type], 1 if node.op_type == "DynamicQuantizeLinear" else 2)
    else:
        convert(node)


def _product(node: Node, read: Callable[[Node], None], count: int) -> None:
    for index in range(count):
        if not node.given(index):
            raise FormatError(f"{node.where}: expected input {index}, got none")
    read(node)


# ---- nodes with bodies


def _body(node: Node, name: str) -> Scope:
    graph = node.attribute(name)
    if not hasattr(graph, "node"):
        raise FormatError(f"{node.where}: {name}: expected a graph")
    return _read(node.scope.file, graph, node.scope, f"{node.where}: {name}: ")


def _read_if(node: Node, depth: int) -> None:
    """Insert the branch that a constant chooses; or keep both branches."""
    condition = node.constant(0)
    if not node.given(0):
        raise FormatError(f"{node.where}: expected a condition, got none")
    if condition is not None and condition.size == 1:
        graph = node.attribute("then_branch" if condition.any() else "else_branch")
        if not hasattr(graph, "node") or len(graph.output) < len(node.outputs):
            raise FormatError(f"{node.where}: expected a graph with {len(node.outputs)} outputs")
        node.scope.take_over(graph)
        _read_nodes(node.scope, graph, depth)
        for name, each in zip(node.outputs, graph.output):
            if name:
                node.scope.alias(name, each.name)
        return
    bodies = {name: _body(node, name) for name in BODIES["If"]}
    for body in bodies.values():
        if len(body.graph.output) < len(node.outputs):
            raise FormatError(f"{node.where}: expected branches with {len(node.outputs)} outputs")
    taken = [bodies[name].free() for name in BODIES["If"]]
    op = Op("choice", [node.inputs[0], *taken[0], *taken[1]], node.outputs, {"bodies": bodies}, node.name)
    node.scope.ops.append(op)
    node.scope.bodies.append((op, bodies))


def _read_loop(node: Node) -> None:
    body = _body(node, "body")
    if layer_of_loop(node, body):
        return
    what = f"{node.where}: operator"
    _missing(node.scope, [*node.inputs, *body.free()], node.outputs, what + _like_cells(body), node.name)
    node.scope.bodies.append((node.scope.ops[-1], {"body": body}))


def _like_cells(body: Scope) -> str:
    """A note about a body whose operations are like those of a recurrent cell."""
    kinds = [type(op.options.get("module")).__name__ for op in body.ops]
    sigmoids, tanhs = kinds.count("Sigmoid"), kinds.count("Tanh")
    products = sum(op.kind in ("linear", "matmul") for op in body.ops)
    if not products or not tanhs or not sigmoids:
        return ""
    family = "LSTM" if sigmoids >= 3 or tanhs >= 2 else "GRU"
    return f", with {'an' if family == 'LSTM' else 'a'} {family}-like cell inside: re-export it as a node {family}"


# ---- functions of the file


def _call(node: Node, function: Any, depth: int) -> None:
    """Insert the nodes of a function, with names for this call."""
    if len(node.inputs) > len(function.input) or len(node.outputs) > len(function.output):
        raise FormatError(f"{node.where}: expected {len(function.input)} inputs and {len(function.output)} outputs")
    for each in function.opset_import:
        ours = node.scope.file.opsets.setdefault(domain_of(each.domain), int(each.version))
        if ours != each.version and not domain_of(each.domain):
            raise Unsupported(f"a function in version {each.version} of ONNX's operators, where the graph has {ours}")
    given = [*node.proto.input, *[""] * (len(function.input) - len(node.proto.input))]
    names = dict(zip(function.input, given))
    names.update({inner: outer for inner, outer in zip(function.output, node.outputs) if outer})
    attributes = {each.name: each for each in (*function.attribute_proto, *node.proto.attribute)}
    copied = type(function)()
    for proto in function.node:
        new = copied.node.add()
        new.CopyFrom(proto)
        _rename(new, names, f"{node.name}/", attributes)
    _read_nodes(node.scope, copied, depth)


def _rename(proto: Any, names: dict[str, str], prefix: str, attributes: Mapping[str, Any]) -> None:
    """Give a function's node the names and the attribute values of the call of this function."""
    expect_texts(prefix, proto.name, proto.op_type, *proto.input, *proto.output)
    expect_texts(prefix, *(name for each in proto.attribute for name in (each.name, each.ref_attr_name)))
    proto.input[:] = [names.get(name, prefix + name) if name else "" for name in proto.input]
    proto.output[:] = [names.get(name, prefix + name) if name else "" for name in proto.output]
    proto.name = prefix + (proto.name or proto.op_type)
    for index in reversed(range(len(proto.attribute))):
        attribute = proto.attribute[index]
        if attribute.ref_attr_name:
            value, name = attributes.get(attribute.ref_attr_name), attribute.name
            if value is None:
                del proto.attribute[index]
                continue
            attribute.CopyFrom(value)
            attribute.name = name
        for graph in (*([attribute.g] if attribute.type == 5 else []), *attribute.graphs):
            own = {each.name: each.name for each in (*graph.input, *graph.initializer)}
            for inner in graph.node:
                _rename(inner, {**names, **own}, prefix, attributes)
            for each in graph.output:
                each.name = {**names, **own}.get(each.name, prefix + each.name)
