"""``qrnn info``: describes what is in a file."""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from .. import _core
from .._described import Described
from .._format_error import FormatError
from .._module import Module
from ..quantization import calibration_report
from ._doors import Door, Opened, door_of, opened
from ._results import CommandError, Result, table

__all__ = ["info", "modules_of"]


def info(path: str) -> Result:
    """Kind, modules or arrays of a file; if it cannot be read completely, its reader's summary."""
    door = door_of(path)
    values: dict[str, Any] = {"file": path, "format": door.name, "bytes": os.path.getsize(path)}
    lines = [f"{path}: {door.name}, {values['bytes']:,} bytes"]
    try:
        found = opened(path)
    except (FormatError, CommandError) as error:
        summary = _summary(door, path)
        if summary is None:
            raise
        values.update(model=False, error=str(error), summary=summary)
        return Result(values, [*lines, f"not read whole: {error}", "", summary])
    more = _of_model(found.model) if found.model is not None else _of_state(found)
    return Result({**values, **more.values}, [*lines, *more.lines])


def _summary(door: Door, path: str) -> str | None:
    """The summary of a file by the package of its format; None if the package makes none."""
    if door.package is None:
        return None
    try:
        function = getattr(importlib.import_module(door.package), "summary", None)
        return None if function is None else str(function(path))
    except (ImportError, FormatError):
        return None


def modules_of(model: Module) -> list[dict[str, Any]]:
    """For each module with weights: name, class, engine, numbers of parameters and bytes; a layer's description."""
    found = []
    for name, module in model.named_modules():
        own = module._own_nbytes()
        if not own:
            continue
        row = {"name": name, "module": type(module).__name__, "shown": repr(module).partition("\n")[0], "bytes": own}
        row["parameters"] = sum(np.size(value) for key, value in module._state().items() if _is_weight(key))
        if isinstance(module, _core.Module):
            row["engine"] = module.engine
        if isinstance(module, Described):
            row["description"] = module.describe()
        found.append(row)
    return found


def _is_weight(key: str) -> bool:
    return not key.endswith("_scale") and key != "format"


def _of_model(model: Module) -> Result:
    modules = modules_of(model)
    total = {"parameters": sum(each["parameters"] for each in modules), "memory": model.nbytes}
    report = calibration_report(model)
    values = {"model": True, **total, "modules": modules, "calibration": report.to_dict()}
    rows = [
        (
            each["name"] or "the model",
            each["shown"].rstrip("("),
            each.get("engine", ""),
            each["parameters"],
            each["bytes"],
        )
        for each in modules
    ]
    lines = ["", *table(("name", "module", "engine", "parameters", "bytes"), rows), ""]
    lines += [f"{type(model).__name__}: {total['parameters']:,} parameters, {total['memory']:,} bytes of memory"]
    if len(report):
        lines += ["", str(report)]
    return Result(values, lines)


def _of_state(found: Opened) -> Result:
    """The arrays of a state dict."""
    state: Mapping[str, Any] = found.state
    arrays = [{"name": name, "dtype": str(array.dtype), "shape": list(array.shape)} for name, array in state.items()]
    rows = [(name, array.dtype, " x ".join(map(str, array.shape)) or "a number") for name, array in state.items()]
    lines = [
        "",
        "a state dict: it does not say what modules its arrays are of",
        "",
        *table(("name", "type", "shape"), rows),
    ]
    return Result({"model": False, "arrays": arrays}, lines)
