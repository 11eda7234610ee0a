"""load, layers and summary: read models of Keras from their files."""

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
        For a recurrent layer, the result of ``describe()`` for its layer of ``qrnn.nn``, and how it is called.
    problem : str or None
        Why it cannot be read.

    Examples
    --------
    >>> import qrnn.keras
    >>> qrnn.keras.LayerSummary("code", "Lambda", None, "Lambda 'code': code is not run").problem
    "Lambda 'code': code is not run"
    """

    name: str
    class_name: str
    recurrent: dict[str, Any] | None
    problem: str | None


@public("qrnn.keras")
class Summary(NamedTuple):
    """The contents of a file of Keras, as `summary` returns them; ``str`` of it is a table.

    Attributes
    ----------
    kind : str
        ".keras", ".h5" or ".weights.h5", by the contents of the file.
    version : str or None
        Keras' version, if it is known.
    layers : list of LayerSummary
        The layers in the order of the config.
    problems : list of str
        The reasons why `load` cannot read the model; empty if it can.

    Examples
    --------
    >>> import qrnn.keras
    >>> gru = qrnn.keras.LayerSummary("gru", "GRU", {"kind": "GRU", "input_size": 4, "hidden_size": 3}, None)
    >>> print(qrnn.keras.Summary(".keras", "3.9.0", [gru], []))
    .keras of Keras 3.9.0
    gru  GRU  kind=GRU, input_size=4, hidden_size=3
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


#: Entries of `describe` that are the same for every layer.
_ALIKE = ("num_layers", "batch_first", "dropout", "proj_size", "engine", "version")


def _shown(layer: LayerSummary) -> str:
    """The sizes and options of a recurrent layer, without those that are False or the same for all layers."""
    if layer.problem is not None:
        return "not read"
    entries = (layer.recurrent or {}).items()
    return ", ".join(f"{key}={value}" for key, value in entries if key not in _ALIKE and value is not False)


def load(path: str | os.PathLike[str], *, config: Any = None, version: Any = None) -> Model:
    """Read a model of Keras from a file, as a Module that computes what the model does at inference.

    The file is recognized by its content: ``.keras`` of Keras 2.12 to 3, ``.h5`` of Keras 2 and 3, or only weights
    (``.weights.h5``) of both, with their config. Neither Keras nor h5py is needed, and nothing in a file is executed.

    Parameters
    ----------
    path : str or PathLike
    config : dict, str or PathLike, optional
        The model's config, for a file that has only weights: the result of ``model.to_json()``, the path of a file of
        it, or the values in it.
    version : str or int, optional
        Keras' version, if the file does not tell it; files of only weights do not. The activation hard_sigmoid needs
        it.

    Returns
    -------
    Model
        Its children are the model's layers, by their names.

    Raises
    ------
    FormatError
        If the file is cut short, changed or of another format, or has layers, options or calls that are not
        supported; the text names all of them.
    TypeError
        If `path` or `config` is something else.
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
    """Read those layers of a file that can be read, even if the whole model cannot: by name, in the config's order.

    Parameters
    ----------
    path, config, version
        As for `load`.

    Returns
    -------
    dict of str to Module
        Layers that form a chain inside the model can be put into a `Model`. ``return_state`` is True for a layer that
        also returns its states.

    Raises
    ------
    FormatError, TypeError, OSError
        As for `load`, but not for layers that cannot be read; `summary` names these.

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
    """Describe a file of Keras: its layers, sizes and options of recurrent ones, and all that `load` cannot read.

    Parameters
    ----------
    path, config, version
        As for `load`.

    Returns
    -------
    Summary

    Raises
    ------
    FormatError, TypeError, OSError
        As for `load`, but not for layers that cannot be read.

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
    """Make errors begin with the file's name, and leave the program's random generator alone."""
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
        raise FormatError("expected config=, as the file has only weights")
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
    """The version from the argument, or the file, or its config."""
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
