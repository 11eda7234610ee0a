"""What a module has of its own, beyond the layer that it is one of: what no other layer in its place would have."""

from __future__ import annotations

from typing import Any

from ._computed import computed_elsewhere

__all__ = ["class_adds", "torch_module_adds"]

_CALL = "overrides forward or __call__"


def class_adds(cls: type, base: type) -> str | None:
    """What the subclass `cls` adds to `base`, to follow "which"; None: nothing that counts."""
    for each in cls.__mro__:
        if each is base:
            return None
        if "forward" in each.__dict__ or "__call__" in each.__dict__:
            return _CALL
    return _CALL


def torch_module_adds(mod: Any, base: type) -> str | None:
    """What the torch module `mod` adds to `base`, a layer of PyTorch's or of ours."""
    if "forward" in vars(mod):
        return _CALL
    name = computed_elsewhere(mod)
    return (
        class_adds(type(mod), base)
        if name is None
        else f"has a {name} that is no parameter and that no hook of its computes"
    )
