"""The argument ``mapping=``, by which a user says what each float type becomes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ._framework import Framework

__all__ = ["TORCH_AO", "read_mapping"]

#: The module of ``torch.ao`` that has its dynamically quantized types, under the names of the float types.
TORCH_AO = "torch.ao.nn.quantized.dynamic"


def read_mapping(framework: Framework, mapping: Any) -> dict[type, Any]:
    """The user's `mapping` as a dict of type to type; the framework's own for None.

    A table of PyTorch is translated: a dynamically quantized type of ``torch.ao`` becomes the type of qrnn that
    corresponds to it. Rows for float types that qrnn does not quantize, such as embeddings, are left out.

    Raises
    ------
    TypeError
        If it is not a mapping of types to types with ``from_float``.
    ValueError
        If a type of ``torch.ao`` is quantized in another way, such as statically.
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
