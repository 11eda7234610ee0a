"""Caches of objects made from weights, such as the core's packed modules. They are kept until the weights change.

There are three kinds of weights, and a `Cache` for each, which tells whether they have changed:

* `BufferCache`, for the buffers of a quantized layer. A buffer is replaced by another tensor, or changed in place,
  which PyTorch counts.
* `OperatorCache`, for an operator's arguments. They change in the same ways, but the cache must not keep them
  alive: its entry is dropped with the first of them.
* `ValueCache`, for the weights of a layer in training. Optimizers may change them through ``.data``, which
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
    """Objects by key, each made from some sources, and made again when these have changed.

    A subclass's `get` returns the cached object if the sources are unchanged, or makes a new one.

    Several threads may use a cache, because an object and its sources are one entry. Copies are empty.
    """

    def __init__(self) -> None:
        self._entries: dict[Hashable, tuple[Any, T]] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return type(self)()

    @abstractmethod
    def _remember(self, key: Hashable, sources: S) -> Any:
        """A value that tells later whether sources are the same and unchanged."""

    def _renew(self, key: Hashable, sources: S, make: Callable[[], T]) -> T:
        """Call `make` and keep its result."""
        # Remembered first, so that a change while `make` runs counts as a change in the next call.
        remembered = self._remember(key, sources)
        made = make()
        self._entries[key] = remembered, made
        return made


def _version_of(tensor: torch.Tensor | None) -> int | None:
    """The number of changes in place; None for inference tensors, which do not count them."""
    return None if tensor is None or tensor.is_inference() else tensor._version


class BufferCache(Cache[Any, T]):
    """The result of a layer's `_pack` for its buffers."""

    def get(self, layer: Any) -> T:
        """The object for the current buffers of `layer`, always the same one. Part of every eager call."""
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
    """Objects made from tensors that others own; the first tensor is not None."""

    def get(self, key: Hashable, sources: Sequence[Any], make: Callable[[], T]) -> T:
        """The object that was made from `sources` under `key`, or a new one from `make`."""
        entry = self._entries.get(key)  # in one step, because it may be dropped at any moment
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
    """A substitute for a weak reference to None."""


class ValueCache(Cache[Sequence[Any], T]):
    """Objects made from arrays, compared by their values, and from other sources, compared by identity."""

    def get(self, key: Hashable, sources: Sequence[Any], make: Callable[[], T]) -> T:
        """The object that was made from `sources` under `key`, or a new one from `make`."""
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
