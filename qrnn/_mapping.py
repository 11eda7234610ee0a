"""What each float type becomes, where a user says so: ``mapping=``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ._framework import Framework

__all__ = ["TORCH_AO", "read_mapping"]

#: Where ``torch.ao`` has what it quantizes dynamically, under the names of the float types.
TORCH_AO = "torch.ao.nn.quantized.dynamic"


def read_mapping(framework: Framework, mapping: Any) -> dict[type, Any]:
    """What a user gives as `mapping`, as a dict of type to type; the framework's own for None.

    PyTorch's table means ours: a dynamically quantized type of ``torch.ao`` is read as the type that stands for
    it here, and what ``torch.ao`` makes of other float types, of embeddings say, is left out.

    Raises
    ------
    TypeError
        If it is no mapping of types to types with ``from_float``.
    ValueError
        If a type is quantized in another way by ``torch.ao``, statically say.
    """
    if mapping is None:
        return framework.mappings()
    if not isinstance(mapping, Mapping):
        raise TypeError(f"mapping: expected a mapping of type to type, got {type(mapping).__name__}")
    own, table = framework.mappings(), {}
    for key, target in mapping.items():
        if not isinstance(key, type):
            raise TypeError(f"mapping: expected types as keys, got {key!r}")
        if not hasattr(target, "from_float"):
            raise TypeError(f"mapping: expected a type with from_float for {key.__name__}, got {target!r}")
        key = framework.known_as(key)
        place = getattr(target, "__module__", "")
        if place.partition(".")[0] != "torch":
            table[key] = target
        elif place.startswith(TORCH_AO) and target.__name__ == key.__name__ and key in own:
            table[key] = own[key]
        elif key in own:
            raise ValueError(
                f"mapping: expected a dynamically quantized type for {key.__name__}, such as {own[key].__module__}."
                f"{own[key].__name__}, got {place}.{target.__name__}"
            )
    return table
