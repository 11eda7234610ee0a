"""Which modules of a torch model are quantized, and how: what its user chose."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from ... import _config
from ...quantization.choice import Chooser
from ..nn.quantized.dynamic.modules.base import overrides_call
from .mappings import TABLE, find
from .prepared import PreparedLayer

__all__ = ["check", "choose", "expect_model", "keeps_its_call", "normalised", "quantizable"]

Module = torch.nn.Module


def expect_model(model: Any, name: str) -> None:
    if not isinstance(model, Module):
        cls = type(model)
        raise TypeError(f"{name}: expected a torch.nn.Module, got {cls.__module__}.{cls.__qualname__}")


def check(engine: Any, isa: Any) -> None:
    if engine is not None:
        _config.check_engine(engine)
    _config.resolve_isa(isa)


def _children(module: Module) -> Iterator[tuple[str, Module]]:
    """Every child, one referenced twice both times."""
    return ((name, child) for name, child in module._modules.items() if child is not None)


_CHOOSER = Chooser(TABLE, find, _children)
normalised, choose, quantizable = _CHOOSER.normalised, _CHOOSER.choose, _CHOOSER.quantizable


def keeps_its_call(module: Module, base: type | None = None) -> bool:
    """Whether `module` says itself what a call does, below `base`, and so cannot be replaced."""
    found = find(module)
    if found is not None and (base is None or isinstance(module, PreparedLayer)):
        base = found[1]
    return base is not None and overrides_call(module, base)
