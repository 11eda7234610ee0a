"""What is made of weights, such as the core's packed modules: kept until the weights change.

Weights change in three ways, so there are three rules that tell whether they did, each a `Cache`:

* `BufferCache`, of the buffers of a quantized layer. One changes when another tensor takes its place, or in place,
  which PyTorch counts.
* `OperatorCache`, of an operator's arguments. They change in the same ways, but the cache must not keep them
  alive: what was made of them goes with the first of them.
* `ValueCache`, of the weights of a layer in training. Optimisers may change them through ``.data``, which
  PyTorch does not count, so their values are compared.
"""

from __future__ import annotations

import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Sequence
from typing import Any, Generic, TypeVar

import numpy as np
import torch

__all__ = ["BufferCache", "Cache", "OperatorCache", "ValueCache"]

S = TypeVar("S")
T = TypeVar("T")


class Cache(ABC, Generic[S, T]):
    """Things by key, each made of some sources, and made again when those have changed.

    A subclass's `get` returns what was made of sources that are unchanged, or makes it now.

    Any number of threads may use one, as what was made and what it was made of are one entry. Copies are empty.
    """

    def __init__(self) -> None:
        self._entries: dict[Hashable, tuple[Any, T]] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return type(self)()

    @abstractmethod
    def _remember(self, key: Hashable, sources: S) -> Any:
        """What tells whether other sources are the same, and unchanged."""

    def _renew(self, key: Hashable, sources: S, make: Callable[[], T]) -> T:
        """What `make` makes now, kept."""
        # Remembered first: a source that changes while `make` runs has changed for the next call.
        remembered = self._remember(key, sources)
        made = make()
        self._entries[key] = remembered, made
        return made


def _version_of(tensor: torch.Tensor | None) -> int | None:
    """The count of changes in place; None for inference tensors, which keep none."""
    return None if tensor is None or tensor.is_inference() else tensor._version


class BufferCache(Cache[Any, T]):
    """What a layer's `_pack` makes of its buffers."""

    def get(self, layer: Any) -> T:
        """What is made of the present buffers of `layer`, always the same one; this is part of every eager call."""
        if None in self._entries:
            buffers, (remembered, made) = layer._buffers, self._entries[None]
            for name, tensor, version in remembered:
                if buffers[name] is not tensor or (version is not None and tensor._version != version):
                    break
            else:
                return made
        return self._renew(None, layer, layer._pack)

    def _remember(self, key: Hashable, sources: Any) -> Any:
        found = [(name, sources._buffers[name]) for name in sources._weight_names()]
        return [(name, tensor, _version_of(tensor)) for name, tensor in found]


class OperatorCache(Cache[Sequence[Any], T]):
    """What is made of tensors that others own, the first of them no None."""

    def get(self, key: Hashable, sources: Sequence[Any], make: Callable[[], T]) -> T:
        """What was made of `sources` under `key`, or what `make` makes of them now."""
        entry = self._entries.get(key)  # in one step, as it may go at any moment
        if entry is not None and len(entry[0]) == len(sources):
            for (reference, version), tensor in zip(entry[0], sources):
                if reference() is not tensor or (version is not None and tensor._version != version):
                    break
            else:
                return entry[1]
        return self._renew(key, sources, make)

    def _remember(self, key: Hashable, sources: Sequence[Any]) -> Any:
        def forget(_: Any) -> None:
            self._entries.pop(key, None)

        references: list[Callable[[], Any]] = [weakref.ref(sources[0], forget)]
        references += [_nothing if each is None else weakref.ref(each) for each in sources[1:]]
        return list(zip(references, map(_version_of, sources), strict=True))


def _nothing() -> None:
    """What stands for a weak reference to None."""


class ValueCache(Cache[Sequence[Any], T]):
    """What is made of arrays, compared by their values, and of other objects, compared by identity."""

    def get(self, key: Hashable, sources: Sequence[Any], make: Callable[[], T]) -> T:
        """What was made of `sources` under `key`, or what `make` makes of them now."""
        if key in self._entries:
            remembered, made = self._entries[key]
            for old, new in zip(remembered, sources):
                if old is not new and not (isinstance(old, np.ndarray) and np.array_equal(old, new)):
                    break
            else:
                return made
        return self._renew(key, sources, make)

    def _remember(self, key: Hashable, sources: Sequence[Any]) -> Any:
        return [each.copy() if isinstance(each, np.ndarray) else each for each in sources]
