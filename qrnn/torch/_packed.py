"""What is made of weights, such as the core's packed modules: kept until the weights change.

Weights change in three ways, so there are three rules that tell whether they did, each a `Cache`:

* `BufferCache`, of a quantized layer's buffers. One changes when another tensor takes its place, or in place,
  which PyTorch counts.
* `OperatorCache`, of an operator's arguments. They change in the same ways, but the cache must not keep them
  alive: what was made of them goes with the first of them.
* `ValueCache`, of the weights of a layer in training. Optimisers may change them through ``.data``, which
  PyTorch does not count, so their values are compared.
"""

from __future__ import annotations

import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, Generic, TypeVar

import numpy as np
import torch

__all__ = ["BufferCache", "Cache", "OperatorCache", "ValueCache"]

S = TypeVar("S")
T = TypeVar("T")


class Cache(ABC, Generic[S, T]):
    """Things by key, each made of some sources, and made again when those have changed.

    Any number of threads may use one, as what was made and what it was made of are one entry. Copies are empty.
    """

    def __init__(self) -> None:
        self._entries: dict[Hashable, tuple[Any, T]] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: Hashable, sources: S, make: Callable[[], T]) -> T:
        """What was made of `sources` under `key`, or what `make` makes of them now."""
        entry = self._entries.get(key)
        if entry is not None and self._unchanged(entry[0], sources):
            return entry[1]
        # Remembered first: a source that changes while `make` runs has changed for the next call.
        remembered = self._remember(key, sources)
        made = make()
        self._entries[key] = remembered, made
        return made

    @abstractmethod
    def _remember(self, key: Hashable, sources: S) -> Any:
        """What `_unchanged` needs to know of `sources`."""

    @abstractmethod
    def _unchanged(self, remembered: Any, sources: S) -> bool:
        """Whether `sources` are those that are remembered, and have not changed since."""


def _version_of(tensor: torch.Tensor) -> int | None:
    """The count of changes in place; None for inference tensors, which keep none."""
    return None if tensor.is_inference() else tensor._version


class BufferCache(Cache[Mapping[str, Any], T]):
    """What is made of the buffers that are called `names`; sources are all buffers of a module."""

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__()
        self._names = names

    def __deepcopy__(self, memo: dict[int, Any]) -> BufferCache[T]:
        return BufferCache(self._names)

    def _remember(self, key: Hashable, sources: Mapping[str, Any]) -> Any:
        found = [(name, sources[name]) for name in self._names]
        return [(name, tensor, _version_of(tensor)) for name, tensor in found if tensor is not None]

    def _unchanged(self, remembered: Any, sources: Mapping[str, Any]) -> bool:
        for name, tensor, version in remembered:
            if sources[name] is not tensor or (version is not None and tensor._version != version):
                return False
        return True


class OperatorCache(Cache[Sequence[Any], T]):
    """What is made of tensors that others own."""

    def _remember(self, key: Hashable, sources: Sequence[Any]) -> Any:
        def forget(_: Any) -> None:
            self._entries.pop(key, None)

        references = [weakref.ref(sources[0], forget), *map(weakref.ref, sources[1:])]
        return list(zip(references, map(_version_of, sources), strict=True))

    def _unchanged(self, remembered: Any, sources: Sequence[Any]) -> bool:
        if len(remembered) != len(sources):
            return False
        for (reference, version), tensor in zip(remembered, sources):
            if reference() is not tensor or (version is not None and tensor._version != version):
                return False
        return True


class ValueCache(Cache[Sequence[Any], T]):
    """What is made of arrays, compared by their values, and of other objects, compared by identity."""

    def __deepcopy__(self, memo: dict[int, Any]) -> ValueCache[T]:
        return ValueCache()

    def _remember(self, key: Hashable, sources: Sequence[Any]) -> Any:
        return [each.copy() if isinstance(each, np.ndarray) else each for each in sources]

    def _unchanged(self, remembered: Any, sources: Sequence[Any]) -> bool:
        return all(map(_same, remembered, sources))


def _same(a: Any, b: Any) -> bool:
    return a is b or (isinstance(a, np.ndarray) and np.array_equal(a, b))
