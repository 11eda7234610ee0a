"""load and summary: recurrent layers of TensorFlow Lite files, and whole models where all of it is read."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any, NamedTuple

from .._format_error import FormatError
from .._layer import FloatLayer
from .._public import public
from .._random import other_generator
from ._builder import Builder
from ._constants import Constants
from ._fused import FUSED, Read, read_fused
from ._loops import read_loop
from ._schema import Model, Operator, read_model
from ._steps import add_operator

__all__ = ["LoadedModel", "OperatorSummary", "Summary", "load", "summary"]

#: Recurrent operators, and those that a recurrent layer may be hidden in, which are not read.
_UNREAD = ("RNN", "LSTM", "SVDF", "WHILE", "IF", "CALL", "CALL_ONCE", "STABLEHLO_WHILE", "STABLEHLO_CASE")


#: Of a description what layers of files have alike, and the kind, which comes first.
_NOT_SHOWN = ("bias", "engine", "kind", "num_layers", "version")


@public("qrnn.tflite")
class LoadedModel(NamedTuple):
    """What `load` found in a file.

    Attributes
    ----------
    layers : dict of str to module
        The recurrent layers, by the names of the tensors that they give.
    module : Module or None
        What the model computes, if all of it is read.
    missing : list of str
        What is not read, and why: texts that begin with the names of the tensors that the operators give.
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
        The tensor that it gives, and its kind; "unrolled" for a cell that is there as sums and products.
    weights : str
        "float32", "int8", or "integer" where states are integers too.
    layer : dict or None
        What ``describe()`` gives of the layer.
    problem : str or None
        Why it is not read.
    """

    name: str
    operator: str
    weights: str
    layer: dict[str, Any] | None
    problem: str | None


@public("qrnn.tflite")
class Summary(NamedTuple):
    """What a file has, as `summary` tells it; ``str`` of it is a table.

    Attributes
    ----------
    recurrent : list of OperatorSummary
    others : dict of str to int
        The other operators, and how often they occur.
    missing : list of str
        As `load` gives it.
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
    """What a file has, all of it."""

    model: Model
    read: dict[str, tuple[str, Read]]
    module: Any
    missing: dict[str, str]


def load(path: str | os.PathLike[str]) -> LoadedModel:
    """Read a TensorFlow Lite file: its recurrent layers, and the model where all of it is read.

    TensorFlow is not needed, nor is any other package, and nothing in a file is run.

    Parameters
    ----------
    path : str or PathLike

    Returns
    -------
    LoadedModel
        Layers are those of ``qrnn.nn``, and those of ``qrnn`` where a file has int8 weights beside float inputs: with
        the file's codes and scales. Fully integer ones become float32. They are called as others of ``qrnn``, and
        return states, with ``batch_first`` as the file has it.

    Raises
    ------
    FormatError
        If the file is cut short, changed or of another kind. What it holds that is not read is no error: `missing`
        names it.
    TypeError
        If `path` is no path.
    OSError
        If the file cannot be read.

    Examples
    --------
    >>> import qrnn.tflite
    >>> found = qrnn.tflite.load("model.tflite")  # doctest: +SKIP
    >>> found.layers["sequential/lstm"]  # doctest: +SKIP
    LSTM(40, 64, batch_first=True)
    """
    found = _read(path)
    layers = {name: read.layer for name, (_, read) in found.read.items()}
    return LoadedModel(layers, found.module, _texts(found.missing))


def _texts(missing: dict[str, str]) -> list[str]:
    return [f"{name}: {reason}" for name, reason in missing.items()]


def summary(path: str | os.PathLike[str]) -> Summary:
    """What a TensorFlow Lite file has: its recurrent operators, what surrounds them, and what is not read.

    Parameters
    ----------
    path : str or PathLike

    Returns
    -------
    Summary

    Raises
    ------
    FormatError, TypeError, OSError
        As `load`.

    Examples
    --------
    >>> import qrnn.tflite
    >>> print(qrnn.tflite.summary("model.tflite"))  # doctest: +SKIP
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
        with other_generator():  # none of the program's random numbers is drawn
            return _of_model(read_model(name))
    except FormatError as error:
        raise FormatError(f"{name}: {error}") from None


def _named(model: Model) -> Iterator[tuple[str, Operator]]:
    """The operators of all graphs with names, those of the tensors that they give."""
    taken: set[str] = set()
    for graph in model.graphs:
        for operator in graph.operators:
            first = next((index for index in operator.outputs if index >= 0), None)
            given = "" if first is None else graph.tensors[first].name
            name = base = (given or operator.name.lower()).replace(".", "_")
            count = 1
            while name in taken:
                count += 1
                name = f"{base}_{count}"
            taken.add(name)
            yield name, operator


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
                    read[name] = operator.name, found
                    builder.recurrent(operator, found.layer)
                elif operator.name == "WHILE" and number == 0:
                    read[name] = operator.name, _cell(read_loop(model, builder, operator))
                    builder.unknown(operator)  # what the loop gives besides
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
