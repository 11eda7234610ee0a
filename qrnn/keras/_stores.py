"""Finds the weights of a layer in a file: by the names of layers, or by their classes and numbers."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .._format_error import FormatError
from ._entries import Entry
from ._hdf5 import Dataset, Group

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["ByName", "ByNumber", "Weights"]

#: Arrays of layers that are not weights, such as states of random generators.
_IDLE = ("seed_generator", "iterations")

_GROUPS = ("layers", "_layer_checkpoint_dependencies")


class Weights:
    """The weights of a layer."""

    def take(self, names: Sequence[str], where: str, part: str = "") -> list[NDArray[Any]]:
        """The arrays of these names, in this order.

        Parameters
        ----------
        names : sequence of str
            Keras' names of variables: kernel, bias, ... .
        where : str
            The beginning of error texts.
        part : str
            The path of the inner layer that has them.

        Raises
        ------
        FormatError
            If the file has other arrays there.
        """
        raise NotImplementedError

    def inside(self, part: str) -> Weights:
        """The weights of the inner layer `part`."""
        raise NotImplementedError

    def of_layers(self, layers: Sequence[Entry], weighted: Sequence[bool]) -> list[Weights]:
        """The weights of the layers of a model; `weighted` tells which layers have weights.

        Raises
        ------
        FormatError
            If the file has weights for another number of layers.
        """
        raise NotImplementedError

    def finish(self, where: str) -> None:
        """Refuse a layer with arrays that were not taken; FormatError names them."""


class ByNumber(Weights):
    """Weights in files of Keras 3 and .keras files of Keras 2: groups by class and order, with arrays by number."""

    def __init__(self, root: Group, path: str = "") -> None:
        self._root, self._path = root, path

    def take(self, names: Sequence[str], where: str, part: str = "") -> list[NDArray[Any]]:
        path = "/".join(filter(None, (self._path, part, "vars")))
        group = self._root.find(path)
        found = [] if not isinstance(group, Group) else group.names()
        if sorted(found) != sorted(map(str, range(len(names)))):
            raise FormatError(f"{where}: expected {len(names)} arrays at {path}, got {found or 'none'!r:.80}")
        assert isinstance(group, Group) or not names
        return [_array(group.find(str(i)), f"{where}: {name}") for i, name in enumerate(names)]  # type: ignore[union-attr]

    def inside(self, part: str) -> Weights:
        return ByNumber(self._root, f"{self._path}/{part}")

    def of_layers(self, layers: Sequence[Entry], weighted: Sequence[bool]) -> list[Weights]:
        base = next((each for each in _GROUPS if self._root.find(f"{self._path}/{each}") is not None), _GROUPS[0])
        seen, found = Counter[str](), list[Weights]()
        for each in layers:
            name = _snake_case(each.class_name)
            path = f"{self._path}/{base}/{name}_{seen[name]}" if seen[name] else f"{self._path}/{base}/{name}"
            seen[name] += 1
            found.append(ByNumber(self._root, path))
        return found


def _snake_case(name: str) -> str:
    """A class's name in the form that Keras uses in paths."""
    name = re.sub(r"\W+", "", name)
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()


def _array(found: Any, where: str) -> NDArray[Any]:
    if not isinstance(found, Dataset):
        raise FormatError(f"{where}: expected an array in the file, got {'none' if found is None else 'a group'}")
    return found.read()


class ByName(Weights):
    """Weights in .h5 files: groups by the names of layers, each with a list of the names of its arrays.

    The arrays of an inner model, or of the two layers of a Bidirectional, are in one list, in their order.
    """

    def __init__(self, arrays: Sequence[tuple[str, Dataset | None]]) -> None:
        #: Last part of the name, whole name, array.
        self._left = [
            (name.rpartition("/")[2].partition(":")[0], name, found)
            for name, found in arrays
            if not any(idle in name for idle in _IDLE)
        ]

    @classmethod
    def of_file(cls, root: Group, layers: Sequence[Entry], weighted: Sequence[bool]) -> list[Weights]:
        """The weights of the layers of a file's model."""
        groups = {name: named for name in _texts(root, "layer_names") if (named := _arrays(root, name))}
        needed = [each.name for each, has in zip(layers, weighted) if has]
        if not set(needed) <= set(groups):
            if len(needed) != len(groups):
                raise FormatError(f"expected weights of {len(needed)} layers, {needed!r:.80}, got {len(groups)}")
            groups = dict(zip(needed, groups.values()))  # the file's model has other names
        return [cls(groups.get(each.name, ())) for each in layers]

    def take(self, names: Sequence[str], where: str, part: str = "") -> list[NDArray[Any]]:
        found = []
        for name in names:
            index = next((i for i, each in enumerate(self._left) if each[0] == name), None)
            if index is None:
                others = [each[1] for each in self._left]
                raise FormatError(f"{where}: {name}: expected this array in the file, got {others or 'none'!r:.80}")
            found.append(_array(self._left.pop(index)[2], f"{where}: {name}"))
        return found

    def inside(self, part: str) -> Weights:
        return self

    def of_layers(self, layers: Sequence[Entry], weighted: Sequence[bool]) -> list[Weights]:
        frozen = {each.config.get("trainable", True) is True for each, has in zip(layers, weighted) if has}
        if len(frozen) > 1:
            raise FormatError("expected a model inside of it whose layers are all trained, or none of them")
        return [self] * len(layers)

    def finish(self, where: str) -> None:
        if self._left:
            raise FormatError(f"{where}: expected no more arrays, got {[each[1] for each in self._left]!r:.80}")


def _arrays(root: Group, layer: str) -> list[tuple[str, Dataset | None]]:
    group = root.find(layer)
    if not isinstance(group, Group):
        raise FormatError(f"expected a group {layer!r:.80} of weights, got none")
    found = []
    for name in _texts(group, "weight_names"):
        array = group.find(name)
        found.append((name, array if isinstance(array, Dataset) else None))
    return found


def _texts(group: Group, name: str) -> list[str]:
    """An attribute that is a list of texts; a long list is split into several attributes."""
    found = group.attribute(name)
    if found is None:
        found, part = [], group.attribute(f"{name}0")
        count = 0
        while part is not None:
            found += list(part)
            count += 1
            part = group.attribute(f"{name}{count}")
    found = list(found)
    if not all(isinstance(text, str) for text in found):
        raise FormatError(f"{name}: expected a list of texts, got {found!r:.80}")
    return found
