"""load, layers and summary: models of Keras from their files."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from .._format_error import FormatError
from .._module import Module
from .._public import public
from .._random import other_generator
from ._activations import major_version
from ._archive import ModelFile, config_of, model_file
from ._build import Built, build_all, chained, weighted
from ._model import Model
from ._recurrent_layer import RecurrentLayer
from ._stores import ByName, ByNumber
from ._tree import Tree, tree_of

__all__ = ["LayerSummary", "Summary", "layers", "load", "summary"]


@public("qrnn.keras")
class LayerSummary(NamedTuple):
    """A layer of a file.

    Attributes
    ----------
    name, class_name : str
    recurrent : dict or None
        Of a recurrent layer what ``describe()`` gives of its layer of ``qrnn.nn``, and what it is called with.
    problem : str or None
        Why it is not read.
    """

    name: str
    class_name: str
    recurrent: dict[str, Any] | None
    problem: str | None


@public("qrnn.keras")
class Summary(NamedTuple):
    """What a file of Keras has, as `summary` tells it; ``str`` of it is a table.

    Attributes
    ----------
    kind : str
        ".keras", ".h5" or ".weights.h5", by what is in the file.
    version : str or None
        Keras' version, if it is known.
    layers : list of LayerSummary
        In the order of the config.
    problems : list of str
        All that keeps `load` from reading the model; empty where it does.
    """

    kind: str
    version: str | None
    layers: list[LayerSummary]
    problems: list[str]

    def __str__(self) -> str:
        rows = [(each.name, each.class_name, _shown(each)) for each in self.layers]
        widths = [max([len(row[i]) for row in rows], default=0) for i in (0, 1)]
        lines = [f"{name:{widths[0]}}  {kind:{widths[1]}}  {text}".rstrip() for name, kind, text in rows]
        problems = [f"not read: {each}" for each in self.problems]
        return "\n".join([f"{self.kind} of Keras {self.version or '(version unknown)'}", *lines, *problems])


#: What `describe` says of every layer alike.
_ALIKE = ("num_layers", "batch_first", "dropout", "proj_size", "engine", "version")


def _shown(layer: LayerSummary) -> str:
    """The sizes and options of a recurrent layer, but for those that are False or of all layers."""
    if layer.problem is not None:
        return "not read"
    entries = (layer.recurrent or {}).items()
    return ", ".join(f"{key}={value}" for key, value in entries if key not in _ALIKE and value is not False)


def load(path: str | os.PathLike[str], *, config: Any = None, version: Any = None) -> Model:
    """Read a model of Keras from a file: a Module that computes what it does at inference.

    What the file is, its content says: ``.keras`` of Keras 2.12 to 3, ``.h5`` of Keras 2 and 3, weights alone
    (``.weights.h5``) of both with their config. Neither Keras nor h5py is needed, and nothing in a file is run.

    Parameters
    ----------
    path : str or PathLike
    config : dict, str or PathLike, optional
        The model's config, of a file that has weights alone: what ``model.to_json()`` gives, the path of a file of it,
        or what it holds.
    version : str or int, optional
        Keras' version, where a file does not say it, as weights alone do not; the activation hard_sigmoid asks for it.

    Returns
    -------
    Model
        Its children are the model's layers, by their names.

    Raises
    ------
    FormatError
        If the file is cut short, changed or of another format, or has layers, options or calls that are not read: all
        of them are named.
    TypeError
        If `path` or `config` is nothing of that.
    OSError
        If a file cannot be read.

    Examples
    --------
    >>> import os, tempfile, qrnn, qrnn.keras
    >>> path = os.path.join(tempfile.mkdtemp(), "model.keras")
    >>> with open(path, "wb") as file:
    ...     written = file.write(b"no model")
    >>> try:
    ...     model = qrnn.quantize_dynamic(qrnn.keras.load(path))
    ... except qrnn.FormatError as error:
    ...     print(str(error).removeprefix(path))
    : expected a zip or HDF5 file of Keras, got one that begins with b'no model'
    """
    name = _checked(path)
    with _named(name):
        _, tree, built = _read(name, config, version)
        model, problems = chained(tree, built)
        if problems:
            raise FormatError("; ".join(problems))
        return model


def layers(path: str | os.PathLike[str], *, config: Any = None, version: Any = None) -> dict[str, Module]:
    """The layers of a file that are read, of a model that as a whole is not: by their names, in the config's order.

    Parameters
    ----------
    path, config, version
        As `load` takes them.

    Returns
    -------
    dict of str to Module
        What is a chain inside of the model can be put into a `Model`. Of a layer that gives its states too,
        ``return_state`` is True.

    Raises
    ------
    FormatError, TypeError, OSError
        As `load`, but not for layers that are not read, which `summary` names.

    Examples
    --------
    >>> import os, tempfile, qrnn, qrnn.keras
    >>> try:
    ...     qrnn.keras.layers(os.devnull)
    ... except qrnn.FormatError as error:
    ...     print(str(error).removeprefix(os.devnull))
    : expected a regular file
    """
    name = _checked(path)
    with _named(name):
        _, _, built = _read(name, config, version)
        return {each.entry.name: each.module for each in built if each.module is not None}


def summary(path: str | os.PathLike[str], *, config: Any = None, version: Any = None) -> Summary:
    """What a file of Keras has: its layers, the sizes and options of recurrent ones, and all that `load` cannot read.

    Parameters
    ----------
    path, config, version
        As `load` takes them.

    Returns
    -------
    Summary

    Raises
    ------
    FormatError, TypeError, OSError
        As `load`, but not for layers that are not read.

    Examples
    --------
    >>> import qrnn.keras
    >>> gru = qrnn.keras.LayerSummary("gru", "GRU", {"kind": "GRU", "input_size": 4, "hidden_size": 3}, None)
    >>> code = qrnn.keras.LayerSummary("code", "Lambda", None, "Lambda 'code': ...")
    >>> print(qrnn.keras.Summary(".keras", "3.9.0", [gru, code], ["Lambda 'code': ..."]))  # what it returns
    .keras of Keras 3.9.0
    gru   GRU     kind=GRU, input_size=4, hidden_size=3
    code  Lambda  not read
    not read: Lambda 'code': ...
    """
    name = _checked(path)
    with _named(name):
        file, tree, built = _read(name, config, version)
    found = [LayerSummary(each.entry.name, each.entry.class_name, _recurrent(each), each.problem) for each in built]
    return Summary(file.kind, file.version, found, chained(tree, built)[1])


@contextmanager
def _named(path: str) -> Iterator[None]:
    """Have errors begin with the file's name, and draw none of the program's random numbers."""
    try:
        with other_generator():
            yield
    except FormatError as error:
        raise FormatError(f"{path}: {error}") from None


def _checked(path: Any) -> str:
    try:
        return os.fsdecode(os.fspath(path))
    except TypeError:
        raise TypeError(f"path: expected a str or a PathLike, got {type(path).__name__}") from None


def _read(path: str, config: Any, version: Any) -> tuple[ModelFile, Tree, Sequence[Built]]:
    given = None if config is None else config_of(config)
    file = model_file(path)
    if file.config is None and given is None:
        raise FormatError("expected config=, as the file has weights alone")
    if given is not None:
        file = file._replace(config=given)
    file = file._replace(version=_version(file, version))
    tree = tree_of(file.config)
    has = list(map(weighted, tree.layers))
    weights = (
        ByName.of_file(file.weights, tree.layers, has)
        if file.legacy
        else ByNumber(file.weights).of_layers(tree.layers, has)
    )
    return file, tree, build_all(tree, weights, major_version(file.version))


def _version(file: ModelFile, given: Any) -> str | None:
    """What is given, or the file says, or its config."""
    if given is not None:
        return str(given)
    if file.version is not None or not isinstance(file.config, dict):
        return file.version
    found = file.config.get("keras_version")
    return found if isinstance(found, str) else None


def _recurrent(built: Built) -> dict[str, Any] | None:
    module = built.module
    if not isinstance(module, RecurrentLayer):
        return None
    names = ["return_sequences", "return_state", "stateful", "zero_output_for_mask"]
    names += ["merge_mode"] if module.layer.bidirectional else []
    return {**module.layer.describe(), **{name: getattr(module, name) for name in names}}
