"""summary: lists the recurrent nodes of an ONNX model and their neighbors, without making modules."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar, NamedTuple

from .._described import description
from .._module import Module
from .._public import public
from .._random import other_generator
from .._report import Report
from ._affine import Forms
from ._build import all_ops, layers_of
from ._load import scope_of
from ._recurrent_node import RecurrentNode
from ._scope import Op, Scope, flat

__all__ = ["NodeRow", "Summary", "summary"]

#: Options that the text of a row does not repeat.
_SAID = frozenset(
    {"kind", "num_layers", "input_size", "hidden_size", "bidirectional", "reverse", "version", "engine", "precision"}
)


class NodeRow(NamedTuple):
    """A recurrent node.

    Attributes
    ----------
    name, op : str
        The name of the node, and its operator: RNN, GRU, LSTM, DynamicQuantizeLSTM, Scan or Loop; or ``"LSTM cell"``
        or ``"GRU cell"`` if other nodes compute a step.
    input_size, hidden_size : int
    direction : str
    options : dict
        The other entries of `describe` for the layer of ``qrnn.nn``.
    where : str
        The bodies around it.
    producers, consumers : list of str
        The nodes (operator and name) that its inputs come from and its outputs go to; also the graph's inputs and
        outputs.
    note : str
    """

    name: str
    op: str
    input_size: int
    hidden_size: int
    direction: str
    options: dict[str, Any]
    where: str
    producers: list[str]
    consumers: list[str]
    note: str = ""


@public("qrnn.onnx")
class Summary(Report[NodeRow]):
    """The recurrent nodes of a model: a sequence of `NodeRow`, which prints as a table.

    Attributes
    ----------
    unsupported : list of str
        All that qrnn lacks, by node, whether it is needed or not: unknown operators and domains, loops.
    opsets : dict of str to int

    Examples
    --------
    >>> import numpy as np, onnx, qrnn.onnx
    >>> W, R = np.zeros((1, 9, 4), np.float32), np.zeros((1, 9, 3), np.float32)
    >>> graph = onnx.parser.parse_model('''<ir_version: 8, opset_import: ["" : 17]>
    ... g (float[t, b, 4] x) => (float[t, 1, b, 3] y) { y = GRU <hidden_size = 3> (x, W, R) }''')
    >>> graph.graph.initializer.extend([onnx.numpy_helper.from_array(W, "W"), onnx.numpy_helper.from_array(R, "R")])
    >>> [(row.op, row.hidden_size) for row in qrnn.onnx.summary(graph)]
    [('GRU', 3)]
    """

    _HEADS = ("node", "operator", "in", "hidden", "direction", "options", "from", "to")
    _EMPTY: ClassVar[str] = "no recurrent node"

    def __init__(self, rows: Iterable[NodeRow], unsupported: list[str], opsets: dict[str, int], name: str) -> None:
        super().__init__(rows)
        self.unsupported, self.opsets, self._name = unsupported, opsets, name

    def _cells(self, row: NodeRow) -> tuple[str, ...]:
        options = ", ".join(f"{key}={value}" for key, value in row.options.items() if key not in _SAID and value)
        sizes = str(row.input_size), str(row.hidden_size)
        around = ", ".join(row.producers), ", ".join(row.consumers)
        return (row.where + row.name, row.op, *sizes, row.direction, options, *around)

    def _before(self) -> list[str]:
        versions = ", ".join(f"{domain or 'ai.onnx'} {version}" for domain, version in self.opsets.items())
        return [f"{self._name}: operators of {versions}"]

    def _after(self) -> list[str]:
        notes = [f"{row.where}{row.name}: {row.note}" for row in self if row.note]
        return [*notes, *(f"not supported: {text}" for text in self.unsupported)]

    def _facts(self) -> dict[str, Any]:
        return {"name": self._name, "opsets": self.opsets, "unsupported": self.unsupported}


def summary(path: Any) -> Summary:
    """List the recurrent nodes of an ONNX model, their neighbors, and what qrnn lacks.

    Parameters
    ----------
    path : path, bytes or onnx.ModelProto

    Returns
    -------
    Summary

    Raises
    ------
    ImportError, TypeError, FormatError, OSError
        As for `load`.

    Examples
    --------
    >>> import numpy as np, onnx, qrnn.onnx
    >>> text = '''
    ... <ir_version: 8, opset_import: ["" : 17, "mine" : 1]>
    ... model (float[steps, batch, 4] frames) => (float[1, batch, 3] y) {
    ...     , last = GRU <hidden_size = 3> (frames, W, R)
    ...     y = mine.Gate(last)
    ... }'''
    >>> model = onnx.parser.parse_model(text)
    >>> shapes = {"W": (1, 9, 4), "R": (1, 9, 3)}
    >>> weights = [onnx.numpy_helper.from_array(np.ones(shape, np.float32), name) for name, shape in shapes.items()]
    >>> model.graph.initializer.extend(weights)
    >>> qrnn.onnx.summary(model)
    model: operators of ai.onnx 17, mine 1
    node  operator  in  hidden  direction  options          from           to
    GRU        GRU   4       3    forward           input frames  Gate 'Gate'
    not supported: Gate 'Gate': an operator of the domain 'mine'
    """
    scope = scope_of(path)
    with other_generator():
        layers_of(scope)
    rows, unsupported, seen = list[NodeRow](), list[str](), set[int]()
    around: dict[int, _Around] = {}
    for inside, op in all_ops(scope):
        if op.kind == "missing":
            unsupported.append(op.options["what"])
        if op.kind in ("layer", "cell") and id(op.options["module"]) not in seen:
            seen.add(id(op.options["module"]))
            if id(inside) not in around:
                around[id(inside)] = _Around(inside)
            rows.append(_row(inside, op, around[id(inside)]))
    return Summary(rows, unsupported, dict(scope.file.opsets), scope.file.source.name)


def _row(scope: Scope, op: Op, around: _Around) -> NodeRow:
    module: Module = op.options["module"]
    layer: Any = module.layer if isinstance(module, RecurrentNode) else module
    described = layer.describe() if hasattr(layer, "describe") else description(layer._spec)
    both, reverse = described.get("bidirectional", False), described.get("reverse", False)
    family = layer.mode if hasattr(layer, "mode") else described["kind"].removesuffix("Cell")
    return NodeRow(
        op.name,
        f"{family} cell" if op.kind == "cell" else scope.file.op_types.get(op.name, family),
        described["input_size"],
        described["hidden_size"],
        "bidirectional" if both else "reverse" if reverse else "forward",
        described,
        scope.where,
        *around.neighbours(op),
        op.options.get("note", ""),
    )


class _Around:
    """The operations that compute and take the values of a scope, by the names of these."""

    def __init__(self, scope: Scope) -> None:
        self._scope, self._forms = scope, Forms(scope, scope.ops)
        self._inputs = {each.name for each in scope.graph.input}
        self._outputs: dict[str, list[str]] = {}
        for each in scope.graph.output:
            self._outputs.setdefault(scope.named(each.name), []).append(f"output {each.name}")

    def neighbours(self, op: Op) -> tuple[list[str], list[str]]:
        """The nodes before and after an operation."""
        forms, taken, given = self._forms, flat(op.inputs), [name for name in op.outputs if name]
        before = [f"input {name}" for name in taken if name in self._inputs]
        before += self._shown(op, {forms.index[name] for name in taken if name in forms.index})
        after = self._shown(op, {place for name in given for place in forms.users.get(name, ())})
        after += [text for name in given for text in self._outputs.get(name, ())]
        return list(dict.fromkeys(before)), list(dict.fromkeys(after))

    def _shown(self, op: Op, places: set[int]) -> list[str]:
        others = [self._forms.ops[place] for place in sorted(places) if self._forms.ops[place] is not op]
        return [f"{self._scope.file.op_types.get(other.name, other.kind)} {other.name!r}" for other in others]
