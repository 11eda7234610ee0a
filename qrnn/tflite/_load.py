"""load and summary: read recurrent layers of TensorFlow Lite files, and whole models if all of it is supported."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any, NamedTuple

from .._format_error import FormatError
from .._layer import FloatLayer
from .._public import public
from .._random import other_generator
from ._builder import Builder, Names
from ._constants import Constants
from ._fused import FUSED, Read, read_fused
from ._loops import read_loop
from ._schema import Model, Operator, read_model
from ._steps import add_operator

__all__ = ["LoadedModel", "OperatorSummary", "Summary", "load", "summary"]

#: Operators that are, or may contain, recurrent layers and are not supported.
_UNREAD = ("RNN", "LSTM", "SVDF", "WHILE", "IF", "CALL", "CALL_ONCE", "STABLEHLO_WHILE", "STABLEHLO_CASE")


#: Entries of a description that are the same for all layers of files; and the kind, which is shown first.
_NOT_SHOWN = ("bias", "engine", "kind", "num_layers", "version")


@public("qrnn.tflite")
class LoadedModel(NamedTuple):
    """The result of `load`.

    Attributes
    ----------
    layers : dict of str to module
        The recurrent layers, by the names of their output tensors.
    module : Module or None
        The whole model, if all of it is supported.
    missing : list of str
        What is not supported, and why; each text begins with the name of the operator's output tensor.

    Examples
    --------
    >>> import qrnn, qrnn.tflite
    >>> found = qrnn.tflite.LoadedModel({"lstm": qrnn.nn.LSTM(4, 3)}, None, ["y: operator CUSTOM is not read"])
    >>> found.layers["lstm"], found.module is None
    (LSTM(4, 3), True)
    """

    layers: dict[str, Any]
    module: Any
    missing: list[str]


@public("qrnn.tflite")
class OperatorSummary(NamedTuple):
    """An operator that is, or may hold, a recurrent layer.

    Attributes
    ----------
    name, operator : str
        Its output tensor, and its kind; "unrolled" for a cell that consists of sums and products.
    weights : str
        "float32", "int8", or "integer" if states are integers too.
    layer : dict or None
        The result of ``describe()`` for the layer.
    problem : str or None
        Why it is not read.

    Examples
    --------
    >>> import qrnn.tflite
    >>> row = qrnn.tflite.OperatorSummary("lstm", "UNIDIRECTIONAL_SEQUENCE_LSTM", "float32", None, "why it is not read")
    >>> row.operator
    'UNIDIRECTIONAL_SEQUENCE_LSTM'
    """

    name: str
    operator: str
    weights: str
    layer: dict[str, Any] | None
    problem: str | None


@public("qrnn.tflite")
class Summary(NamedTuple):
    """The contents of a file, as `summary` returns them; ``str`` of it is a table.

    Attributes
    ----------
    recurrent : list of OperatorSummary
    others : dict of str to int
        The other operators, and how often they occur.
    missing : list of str
        As in the result of `load`.

    Examples
    --------
    >>> import qrnn.tflite
    >>> print(qrnn.tflite.Summary([], {"ADD": 2}, []))
    no recurrent operator
    others: 2 ADD
    """

    recurrent: list[OperatorSummary]
    others: dict[str, int]
    missing: list[str]

    def __str__(self) -> str:
        lines = [f"{each.name}: {each.operator}, {_shown(each)}" for each in self.recurrent]
        others = [f"{count} {name}" for name, count in self.others.items()]
        reasons = [f"not read: {each}" for each in self.missing]
        return "\n".join([*(lines or ["no recurrent operator"]), f"others: {', '.join(others) or 'none'}", *reasons])


def _shown(each: OperatorSummary) -> str:
    if each.layer is None:
        return "not read"
    shown = {key: value for key, value in each.layer.items() if value and key not in _NOT_SHOWN}
    return ", ".join([f"{each.weights} {each.layer['kind']}", *(f"{key}={value}" for key, value in shown.items())])


class _Found(NamedTuple):
    """The complete contents of a file."""

    model: Model
    read: dict[str, tuple[str, Read]]
    module: Any
    missing: dict[str, str]


def load(path: str | os.PathLike[str]) -> LoadedModel:
    """Read a TensorFlow Lite file: its recurrent layers, and the whole model if all of it is supported.

    Neither TensorFlow nor any other package is needed, and nothing in a file is executed.

    Parameters
    ----------
    path : str or PathLike

    Returns
    -------
    LoadedModel
        Layers are those of ``qrnn.nn``; if a file has int8 weights and float inputs, those of ``qrnn`` with the
        file's codes and scales. Fully integer layers become float32. They are called like others of ``qrnn`` and
        return states; ``batch_first`` is as in the file.

    Raises
    ------
    FormatError
        If the file is cut short, changed or of another kind. Unsupported contents are not an error: `missing` names
        them.
    TypeError
        If `path` is not a path.
    OSError
        If the file cannot be read.

    Examples
    --------
    >>> import os, tempfile, qrnn, qrnn.tflite
    >>> path = os.path.join(tempfile.mkdtemp(), "model.tflite")
    >>> with open(path, "wb") as file:
    ...     written = file.write(b"no model")
    >>> try:
    ...     layers = qrnn.tflite.load(path).layers  # by name: {"sequential/lstm": LSTM(40, 64, batch_first=True)}
    ... except qrnn.FormatError as error:
    ...     print("FormatError" + str(error).removeprefix(path)[:1])
    FormatError:
    """
    found = _read(path)
    layers = {name: read.layer for name, (_, read) in found.read.items()}
    return LoadedModel(layers, found.module, _texts(found.missing))


def _texts(missing: dict[str, str]) -> list[str]:
    return [f"{name}: {reason}" for name, reason in missing.items()]


def summary(path: str | os.PathLike[str]) -> Summary:
    """Describe a TensorFlow Lite file: its recurrent operators, the others, and what is not supported.

    Parameters
    ----------
    path : str or PathLike

    Returns
    -------
    Summary

    Raises
    ------
    FormatError, TypeError, OSError
        As for `load`.

    Examples
    --------
    >>> import qrnn.tflite
    >>> layer = {"kind": "LSTM", "input_size": 6, "hidden_size": 3}
    >>> operator = qrnn.tflite.OperatorSummary("lstm", "UNIDIRECTIONAL_SEQUENCE_LSTM", "int8", layer, None)
    >>> print(qrnn.tflite.Summary([operator], {"MUL": 1, "FULLY_CONNECTED": 2}, []))  # what it returns
    lstm: UNIDIRECTIONAL_SEQUENCE_LSTM, int8 LSTM, input_size=6, hidden_size=3
    others: 1 MUL, 2 FULLY_CONNECTED
    """
    found = _read(path)
    recurrent: list[OperatorSummary] = []
    others: dict[str, int] = {}
    for name, operator in _named(found.model):
        if name in found.read:
            kind, read = found.read[name]
            recurrent.append(OperatorSummary(name, kind, read.weights, read.layer.describe(), None))
        elif _is_recurrent(operator):
            recurrent.append(OperatorSummary(name, operator.name, "", None, found.missing.get(name, "")))
        else:
            others[operator.name] = others.get(operator.name, 0) + 1
    return Summary(recurrent, others, _texts(found.missing))


def _is_recurrent(operator: Operator) -> bool:
    return operator.name in FUSED or operator.name in _UNREAD


def _read(path: str | os.PathLike[str]) -> _Found:
    try:
        name = os.fsdecode(path)
    except TypeError:
        raise TypeError(f"path: expected a str or a PathLike, got {type(path).__name__}") from None
    try:
        with other_generator():  # temporary random weights do not change the program's generator
            return _of_model(read_model(name))
    except FormatError as error:
        raise FormatError(f"{name}: {error}") from None


def _named(model: Model) -> Iterator[tuple[str, Operator]]:
    """The operators of all graphs, with the names of their output tensors."""
    names = Names()
    for graph in model.graphs:
        for operator in graph.operators:
            first = next((index for index in operator.outputs if index >= 0), None)
            given = "" if first is None else graph.tensors[first].name
            yield names.free((given or operator.name.lower()).replace(".", "_")), operator


def _cell(layer: Any) -> Read:
    return Read(layer, "float32" if isinstance(layer, FloatLayer) else "int8")


def _of_model(model: Model) -> _Found:
    names = {id(operator): name for name, operator in _named(model)}
    read: dict[str, tuple[str, Read]] = {}
    missing: dict[str, str] = {}
    module, loops = None, set[int]()
    for number, graph in enumerate(model.graphs):
        if number in loops:
            continue
        builder = Builder(Constants(model, graph), graph)
        for operator in graph.operators:
            name = names[id(operator)]
            builder.name = name
            try:
                if operator.name in FUSED:
                    found = read_fused(builder.constants, graph, operator, operator.name)
                    builder.make(found.layer.nbytes)
                    read[name] = operator.name, found
                    builder.recurrent(operator, found.layer)
                elif operator.name == "WHILE" and number == 0:
                    read[name] = operator.name, _cell(read_loop(model, builder, operator))
                    builder.unknown(operator)  # the other results of the loop
                    loops |= {operator.options["cond"], operator.options["body"]}
                else:
                    add_operator(builder, operator)
            except FormatError as error:
                builder.unknown(operator)
                if number == 0 or _is_recurrent(operator):
                    missing[name] = str(error)
        cells = builder.cells()
        read.update({name: ("unrolled", _cell(cell)) for name, cell in cells.items() if name not in read})
        if number == 0 and not missing:
            try:
                module = builder.graph()
            except FormatError as error:
                missing["model"] = str(error)
    return _Found(model, read, module, missing)
