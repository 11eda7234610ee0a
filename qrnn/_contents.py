"""The arrays that a module itself holds, weights and others: their shapes and types, without reading them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from ._described import Described
from ._spec import ENGINES, LayerSpec

__all__ = ["Content", "contents", "precision_of"]

_FLOAT = "float32"


class Content(NamedTuple):
    """One array."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    multiplies: str = ""  # the format of the activations that a weight matrix multiplies

    @property
    def size(self) -> int:
        """How many numbers it has."""
        return math.prod(self.shape)


def contents(module: Any) -> list[Content]:
    """The weights and biases of a layer of qrnn, and the parameters and buffers of a module of qrnn."""
    own = [Content(name, array.shape, str(array.dtype)) for name, array in _kept(module)]
    return [*(_of_layer(module) if isinstance(module, Described) else ()), *own]


def _kept(module: Any) -> Iterable[tuple[str, Any]]:
    kept = getattr(module, "_kept_arrays", None)
    return () if kept is None else kept()


def _of_layer(layer: Any) -> Iterator[Content]:
    spec: LayerSpec = layer._spec
    engine, own = getattr(layer, "engine", _FLOAT), layer._precisions
    for each in spec.matrices:
        if not each.multiplies:
            yield Content(each.weight, each.shape, _FLOAT)
            continue
        format = own.get(each.weight, ENGINES[engine].activations)
        yield Content(each.weight, each.shape, _FLOAT if format == _FLOAT else "int8", format)
        if each.bias is not None and spec.bias:
            yield Content(each.bias, each.shape[:1], _FLOAT)


def precision_of(found: Iterable[Content]) -> str:
    """The types of the weight matrices in words, such as ``int8 x u8``; without any, the types of all arrays.

    Examples
    --------
    >>> weights = [Content("weight_ih", (4, 3), "float32", "float32"), Content("weight_hh", (4, 4), "int8", "u8")]
    >>> precision_of(weights), precision_of(weights[1:]), precision_of([])
    ('float32, int8 x u8', 'int8 x u8', '')
    """
    found = list(found)
    matrices = [each for each in found if each.multiplies] or found
    kinds = (
        each.dtype if each.multiplies in ("", _FLOAT) else f"{each.dtype} x {each.multiplies}" for each in matrices
    )
    return ", ".join(dict.fromkeys(kinds))
