"""Finds the layers in a model's config, and the order in which they are called."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from .._format_error import FormatError
from ._config import serialized
from ._entries import Call, Entry
from ._masks import masks_of

__all__ = ["MODELS", "Tree", "tree_of"]

#: Classes of models, of all versions.
MODELS = ("Sequential", "Functional", "Model")

#: Packages whose classes are Keras' own.
_PACKAGES = ("keras", "tf_keras", "keras_core", "tensorflow")


class Tree(NamedTuple):
    """The layers of a model.

    Attributes
    ----------
    layers : list of Entry
        All layers, in the order of the config, which is also the order of the weights.
    chain : list of int
        The numbers of the layers that are called, in this order.
    outputs : int
        How many outputs of the last layer are outputs of the model.
    problems : list of str
        The reasons why the model is not a chain.
    """

    layers: list[Entry]
    chain: list[int]
    outputs: int
    problems: list[str]


def tree_of(config: Any) -> Tree:
    """The layers of a model's config: a dict of class and config, or the bare list of old files.

    Raises
    ------
    FormatError
        If it is not such a config, or the class is neither Sequential nor functional.
    """
    if isinstance(config, list):
        return _sequential(config)
    name, inner = _serialized(config)
    custom = _custom(config)
    if name not in MODELS or custom is not None:
        own = f" of {custom}" if custom else ""
        raise FormatError(f"config: expected a model of the class {', '.join(MODELS)}, got {name!r:.80}{own}")
    layers = inner.get("layers")
    if not isinstance(layers, list):
        raise FormatError(f"config: expected layers, a list, got {layers!r:.80}")
    if name == "Sequential" or "output_layers" not in inner:
        return _sequential(layers)
    return _functional(layers, inner)


def _serialized(config: Any) -> tuple[str, Mapping[str, Any]]:
    """Class and config; in old files the config may be a bare list."""
    if isinstance(config, Mapping) and isinstance(config.get("config"), list):
        return str(config.get("class_name")), {"layers": config["config"]}
    return serialized(config, "config")


def _custom(config: Any) -> str | None:
    """The package of a user's own class; None for Keras' own classes."""
    package, registered = config.get("module"), config.get("registered_name")
    if ">" in str(registered):
        return str(registered).partition(">")[0]
    if "module" in config and str(package).partition(".")[0] not in _PACKAGES:
        return str(package)
    return None


def _entries(layers: list[Any]) -> list[Entry]:
    entries: list[Entry] = []
    for index, each in enumerate(layers):
        class_name, config = serialized(each, f"config: layer {index}")
        name = config.get("name", each.get("name"))
        if name is None:
            name = f"{class_name}_{index}"
        if not isinstance(name, str):
            raise FormatError(f"config: layer {index}: name: expected a text, got {name!r:.80}")
        entries.append(Entry(class_name, name, config, _custom(each)))
    name, count = Counter(each.name for each in entries).most_common(1)[0] if entries else ("", 1)
    if count > 1:
        raise FormatError(f"config: expected each name once, got {name!r} {count} times")
    return entries


def _sequential(layers: list[Any]) -> Tree:
    entries = _entries(layers)
    return Tree(entries, [i for i, each in enumerate(entries) if each.class_name != "InputLayer"], 1, [])


# ---- models of calls


def _functional(layers: list[Any], config: Mapping[str, Any]) -> Tree:
    """Follow the calls backwards from the output to the input; each layer must have one input."""
    entries, problems = _entries(layers), list[str]()
    numbers = {each.name: i for i, each in enumerate(entries)}
    calls = [_calls(each, entry.where) for each, entry in zip(layers, entries)]
    outputs, inputs = (list(_tensors(config.get(key), key)) for key in ("output_layers", "input_layers"))
    if not outputs or {name for name, _, _ in outputs} != {outputs[0][0]} or len(inputs) != 1:
        problems.append(f"expected one input and the outputs of one layer, got {len(inputs)} and {len(outputs)}")
        return Tree(entries, [], len(outputs), problems)
    if [number for _, _, number in outputs] not in ([0], list(range(len(outputs)))):
        problems.append(f"{outputs[0][0]}: expected all its outputs, or the first one")
    chain: dict[int, None] = {}
    place = outputs[0][0]
    while place != inputs[0][0]:
        number = numbers.get(place)
        if number is None or number in chain:
            raise FormatError(f"config: expected the name of a layer before its others, got {place!r:.80}")
        chain[number] = None
        problem = _problem(calls[number])
        if problem is not None:
            problems.append(f"{entries[number].where}: {problem}")
            return Tree(entries, [], len(outputs), problems)
        place = calls[number][0].inputs[0][0]
    order = list(chain)[::-1]
    idle, wrong = masks_of(entries, calls, order, numbers)
    problems += wrong
    beside = [i for i, each in enumerate(entries) if i not in chain and each.class_name != "InputLayer"]
    if not set(beside) <= idle:
        names = ", ".join(entries[i].name for i in beside if i not in idle)
        problems.append(f"expected layers one after the other, got others beside them: {names}")
    kept = [i for i in range(len(entries)) if i not in idle]
    places = {number: place for place, number in enumerate(kept)}
    return Tree([entries[i] for i in kept], [places[i] for i in order], len(outputs), problems)


def _problem(calls: list[Call]) -> str | None:
    if len(calls) != 1:
        return f"expected one call, got {len(calls)}"
    if len(calls[0].inputs) != 1 or calls[0].inputs[0][2] != 0:
        return f"expected one input, the first output of a layer, got {len(calls[0].inputs)}: {calls[0].inputs!r:.80}"
    if calls[0].others:
        return f"expected a call without {', '.join(calls[0].others)}"
    return None


def _calls(layer: Mapping[str, Any], where: str) -> list[Call]:
    nodes = layer.get("inbound_nodes", [])
    if not isinstance(nodes, list):
        raise FormatError(f"config: {where}: inbound_nodes: expected a list, got {nodes!r:.80}")
    return [_call(each, where) for each in nodes]


def _call(node: Any, where: str) -> Call:
    """A call, as arguments that contain outputs (Keras 3) or as a list of outputs."""
    if isinstance(node, Mapping):
        given, args = node.get("kwargs"), node.get("args")
        keywords = given if isinstance(given, Mapping) else {}
        masks = list(_histories(keywords.get("mask")))
        constants = [each for each in args if not isinstance(each, (Mapping, list))] if isinstance(args, list) else []
        mask = masks[0] if len(masks) == 1 else None
        return Call(list(_histories(args)), constants, mask, _others(keywords, mask))
    found = list(_tensors(node, f"{where}: inbound_nodes"))
    keywords = {key: value for each in _lists(node) for part in each[3:4] for key, value in part.items()}
    return Call(found, [], None, _others(keywords, None))


def _others(keywords: Mapping[str, Any], mask: Any) -> list[str]:
    """Names of arguments that may change results."""
    known = {"training"} if mask is None else {"training", "mask"}
    return [str(key) for key, value in keywords.items() if value is not None and key not in known]


def _histories(value: Any) -> Iterator[tuple[str, int, int]]:
    """The outputs inside the arguments of a call."""
    if isinstance(value, Mapping):
        if value.get("class_name") == "__keras_tensor__":
            config = value.get("config")
            history = config.get("keras_history") if isinstance(config, Mapping) else None
            yield from _tensors(history, "keras_history")
        else:
            value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from _histories(each)


def _lists(value: Any) -> Iterator[list[Any]]:
    """The innermost lists [name, number of its call, number of its output, perhaps arguments]."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list) and value and isinstance(value[0], str):
        yield value
    elif isinstance(value, list):
        for each in value:
            yield from _lists(each)


def _tensors(value: Any, where: str) -> Iterator[tuple[str, int, int]]:
    for each in _lists(value):
        numbers = each[1:3]
        if len(numbers) != 2 or not all(isinstance(number, int) for number in numbers):
            raise FormatError(f"config: {where}: expected a name and two numbers, got {each!r:.80}")
        if not all(isinstance(part, Mapping) for part in each[3:4]):
            raise FormatError(f"config: {where}: expected arguments, got {each[3]!r:.80}")
        yield each[0], each[1], each[2]
