"""Makes modules from the layers of a config, also for models inside models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from .._format_error import FormatError
from .._module import OWN_NAMES, Module
from ._config import IDLE, expect_known, layer_config, serialized
from ._entries import Entry
from ._layers import ROWS, expect_plain
from ._model import Model
from ._modules import TimeDistributed
from ._read import read_layer
from ._recurrent_layer import RecurrentLayer
from ._stores import Weights
from ._tree import MODELS, Tree, tree_of

__all__ = ["Built", "build_all", "chained", "weighted"]

_RECURRENT = ("SimpleRNN", "GRU", "LSTM", "RNN", "CuDNNGRU", "CuDNNLSTM", "Bidirectional")

#: The deepest nesting of models inside models.
_MAX_DEPTH = 20


class Built(NamedTuple):
    """A layer of a config, and the module made from it.

    Attributes
    ----------
    entry : Entry
    module : Module or None
    problem : str or None
        Why there is no module.
    """

    entry: Entry
    module: Module | None
    problem: str | None


def weighted(entry: Entry) -> bool:
    """Whether a layer has weights, as far as its class is known."""
    if entry.class_name == "TimeDistributed" and isinstance(entry.config.get("layer"), Mapping):
        return weighted(_inner(entry, "layer"))
    if entry.class_name in MODELS:
        return any(map(weighted, tree_of(_as_model(entry)).layers))
    row = ROWS.get(entry.class_name)
    return entry.class_name in _RECURRENT if row is None else row.weighted(entry.config)


def build_all(tree: Tree, weights: Sequence[Weights], version: int | None, depth: int = 0) -> list[Built]:
    """Each layer of a model, in the order of the config."""
    found = []
    for entry, own in zip(tree.layers, weights, strict=True):
        if entry.class_name == "InputLayer":
            found.append(Built(entry, None, None))
            continue
        try:
            found.append(Built(entry, _build(entry, own, version, depth), None))
            if depth == 0:  # layers of an inner model may share one list of weights
                own.finish(entry.where)
        except FormatError as error:
            found.append(Built(entry, None, str(error)))
    return found


def chained(tree: Tree, built: Sequence[Built]) -> tuple[Model, list[str]]:
    """The model of a tree, and the reasons why it would not be equal to Keras'."""
    problems = [each.problem for each in built if each.problem is not None] + tree.problems
    layers: dict[str, Module] = {}
    for place, number in enumerate(tree.chain):
        entry, module, _ = built[number]
        if module is not None:
            last = place == len(tree.chain) - 1
            problem = _outputs(module, tree.outputs if last else 1)
            if problem is not None:
                problems.append(f"{entry.where}: {problem}")
            layers[_child_name(entry.name, layers)] = module
    return Model(layers), problems


def _outputs(module: Module, count: int) -> str | None:
    """Make a layer return `count` outputs; returns the problem if it cannot."""
    if not isinstance(module, RecurrentLayer):
        return None if count == 1 else f"expected one output, got {count}"
    outputs = 2 if module.layer.bidirectional and module.merge_mode is None else 1
    if count == outputs:
        module.return_state = False
        return None
    if outputs == 1 and module.return_state:
        states = (2 if module.layer.mode == "LSTM" else 1) * (2 if module.layer.bidirectional else 1)
        return None if count == 1 + states else f"expected {1 + states} outputs or the first, got {count}"
    return f"expected {outputs} outputs, got {count}"


def _child_name(name: str, taken: Mapping[str, Module]) -> str:
    """A child's name for a layer: without dots, and different from what the model already has."""
    name = name.replace(".", "_") or "layer"
    while name in taken or hasattr(Model, name) or name in ("training", *OWN_NAMES):
        name += "_"
    return name


# ---- one layer


def _build(entry: Entry, weights: Weights, version: int | None, depth: int) -> Module:
    where = entry.where
    if entry.custom is not None:
        raise FormatError(f"{where}: expected a class of Keras, got one of a user's own, of {entry.custom}")
    if entry.class_name == "Lambda":
        raise FormatError(f"{where}: expected a layer without code of its own, which is not run")
    if depth > _MAX_DEPTH:
        raise FormatError(f"{where}: expected at most {_MAX_DEPTH} layers in each other")
    expect_plain(entry.config, where)
    if entry.class_name in _RECURRENT:
        return _recurrent(entry, weights, version)
    if entry.class_name == "TimeDistributed":
        expect_known(entry.config, {*IDLE, "layer"}, where)
        inner = _build(_inner(entry, "layer"), weights.inside("layer"), version, depth + 1)
        if isinstance(inner, RecurrentLayer) and (inner.stateful or _outputs(inner, 1) is not None):
            raise FormatError(f"{where}: layer: expected one output and no state between calls")
        return TimeDistributed(inner)
    if entry.class_name in MODELS:
        tree = tree_of(_as_model(entry))
        parts = weights.of_layers(tree.layers, list(map(weighted, tree.layers)))
        model, problems = chained(tree, build_all(tree, parts, version, depth + 1))
        if problems:
            raise FormatError(f"{where}: {'; '.join(problems)}")
        return model
    row = ROWS.get(entry.class_name)
    if row is None:
        raise FormatError(f"{where}: expected a class that is read here, got another one")
    expect_known(entry.config, {*IDLE, *row.known}, where)
    return row.read(entry.config, weights, version, where)


def _inner(entry: Entry, key: str) -> Entry:
    """The inner layer in the entry `key` of a layer's config."""
    value: Any = entry.config.get(key)
    name, config = serialized(value, f"{entry.where}: {key}")
    own = str(config.get("name", f"{entry.name}/{key}"))
    package = value.get("module", "keras")
    custom = None if str(package).partition(".")[0] in ("keras", "tf_keras", "keras_core") else str(package)
    return Entry(name, own, config, custom)


def _as_model(entry: Entry) -> dict[str, Any]:
    return {"class_name": entry.class_name, "config": entry.config}


def _recurrent(entry: Entry, weights: Weights, version: int | None) -> RecurrentLayer:
    """A recurrent layer or a Bidirectional; the names of its weights depend on its config, or its two configs."""
    config, where = entry.config, entry.where
    if entry.class_name != "Bidirectional":
        parts = [(layer_config(entry.class_name, config, version, where).flags["use_bias"], _part(entry.class_name))]
    else:
        parts = []
        for key, path in (("layer", "forward_layer"), ("backward_layer", "backward_layer")):
            inner = _inner(entry, key if config.get(key) is not None else "layer")
            flags = layer_config(inner.class_name, inner.config, version, f"{where}: {key}").flags
            parts.append((flags["use_bias"], f"{path}/{_part(inner.class_name)}"))
    arrays = []
    for bias, path in parts:
        arrays += weights.take(("kernel", "recurrent_kernel", "bias")[: 3 if bias else 2], where, path.rstrip("/"))
    return read_layer(entry.class_name, config, arrays, version=version)


def _part(class_name: str) -> str:
    """Where a recurrent layer keeps its weights: in its cell, except cuDNN's layers."""
    return "" if class_name.startswith("CuDNN") else "cell"
