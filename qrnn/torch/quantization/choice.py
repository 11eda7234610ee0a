"""Which modules of a torch model are quantised, and how: what its user chose."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import torch

from ... import _config
from ...quantization.qconfig import engine_qconfig
from ...quantization.quantize import _is_qconfig
from ..nn.quantized.dynamic.modules.base import overrides_call
from .mappings import TABLE, Quantisable, find
from .prepared import PreparedLayer

__all__ = ["check", "choose", "expect_model", "keeps_its_call", "normalised", "quantisable"]

Module = torch.nn.Module


def expect_model(model: Any, name: str) -> None:
    if not isinstance(model, Module):
        cls = type(model)
        raise TypeError(f"{name}: expected a torch.nn.Module, got {cls.__module__}.{cls.__qualname__}")


def check(engine: Any, isa: Any) -> None:
    if engine is not None:
        _config.check_engine(engine)
    _config.resolve_isa(isa)


def _everything(qconfig: Any) -> dict[Any, Any]:
    return {row.float_type: qconfig for row in TABLE}


def normalised(spec: Any, argument: str, empty_is_all: bool) -> dict[Any, Any]:
    """What a user may give as a choice of modules, as a dict of type or name to QConfig or None."""
    if spec is None or (empty_is_all and isinstance(spec, Mapping) and not spec):
        return _everything(engine_qconfig)
    if _is_qconfig(spec):
        return _everything(spec)
    if isinstance(spec, (set, frozenset)):
        spec = dict.fromkeys(spec, engine_qconfig)
    if not isinstance(spec, Mapping):
        raise TypeError(
            f"{argument}: expected a mapping of type or name to QConfig, a set of types and names, a QConfig "
            f"or None, got {type(spec).__name__}"
        )
    for key, value in spec.items():
        if not isinstance(key, (str, type)):
            raise TypeError(f"{argument}: expected types and names as keys, got {key!r}")
        if value is not None and not _is_qconfig(value):
            raise TypeError(f"{argument}: expected QConfig or None for {key!r}, got {type(value).__name__}")
    return dict(spec)


def choose(model: Module, spec: dict[Any, Any], argument: str) -> dict[int, Any]:
    """The qconfig of every module, by identity: its attribute, else name, else type, else parent's."""
    chosen: dict[int, Any] = {}
    names = set()

    def visit(module: Module, name: str, qconfig: Any) -> None:
        names.add(name)
        if id(module) in chosen:
            return
        for each in _types_of(module):
            if each in spec:
                qconfig = spec[each]
                break
        qconfig = spec.get(name, qconfig)
        qconfig = getattr(module, "qconfig", qconfig)
        if qconfig is not None and not _is_qconfig(qconfig):
            where = f"{name}.qconfig" if name else "qconfig"
            raise TypeError(f"{where}: expected a QConfig or None, got {type(qconfig).__name__}")
        chosen[id(module)] = qconfig
        for child_name, child in module._modules.items():
            if child is not None:
                visit(child, f"{name}.{child_name}" if name else child_name, qconfig)

    visit(model, "", None)
    unknown = sorted(key for key in spec if isinstance(key, str) and key not in names)
    if unknown:
        warnings.warn(f"{argument}: no submodule is named {', '.join(unknown)}", UserWarning, stacklevel=3)
    return chosen


def _types_of(module: Module) -> tuple[type, ...]:
    """The types under which a choice may name `module`: its own, and those of its row."""
    found = find(module)
    row = () if found is None else (found[0].float_type, found[0].quantised_type)
    return (type(module), *row)


def quantisable(model: Module, chosen: Mapping[int, Any]) -> Iterator[tuple[str, Module, Quantisable, Any]]:
    """Name, module, row of the table and qconfig of each module that is chosen and has a row."""
    for name, module in model.named_modules():
        found = find(module)
        if found is not None and chosen[id(module)] is not None:
            yield name, module, found[0], chosen[id(module)]


def keeps_its_call(module: Module, base: type | None = None) -> bool:
    """Whether `module` says itself what a call does, below `base`, and so cannot be replaced."""
    found = find(module)
    if found is not None and (base is None or isinstance(module, PreparedLayer)):
        base = found[1]
    return base is not None and overrides_call(module, base)
