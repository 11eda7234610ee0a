"""``qrnn compare``: compares models that a user's function returns, and says whether qrnn is behind."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from .. import quantization
from .._compare import CompareReport
from .._compare import compare as compared
from .._compared import apart
from .._quantized_layer import QuantizedLayer
from .._watching import find_framework
from ._results import DIFFERENT, FINE, NOT_POSSIBLE, CommandError, Result

__all__ = ["compare"]

_EXPECTED = "expected it to return (model, data), (models by name, data), or one of these with a metric"


class _Given(NamedTuple):
    """What the function returned."""

    models: Mapping[str, Any]
    data: Any
    metric: Any


def compare(target: str, rounds: int = 20) -> Result:
    """Compare what ``FILE_OR_MODULE:FUNCTION`` returns; a single float model is compared with its quantized forms.

    The status is `DIFFERENT` if another package's model is faster than every quantized one of qrnn by more than the
    spread.
    """
    given = _given(target, _function(target)())
    report = compared(given.models, given.data, given.metric, rounds=rounds)
    ours = [row.name for row in report[1:] if _is_ours(given.models[row.name])]
    if not ours:
        names = ", ".join(given.models)
        raise CommandError(NOT_POSSIBLE, f"{target}: expected a quantized model of qrnn after the first, got {names}")
    theirs = [row.name for row in report if row.name not in ours and not _is_numpy(given.models[row.name])]
    behind = list(_behind(report, ours, theirs))
    values = {**report.to_dict(), "behind": behind}
    verdict = [f"qrnn is behind {each}" for each in behind] or ["qrnn is not behind."]
    return Result(values, [*str(report).splitlines(), "", *verdict], DIFFERENT if behind else FINE)


def _behind(report: CompareReport, ours: list[str], theirs: list[str]) -> Iterator[str]:
    """Lines that say by how much other packages' models are faster than all of qrnn's."""
    for other in theirs:
        ratios = {name: report.time_ratio(name, other) for name in ours}
        known = {name: ratio for name, ratio in ratios.items() if ratio is not None}
        if known and all(apart(ratio.low, ratio.high) > 0 for ratio in known.values()):
            name = min(known, key=lambda each: known[each].median)
            yield f"{other}: {name} takes {known[name]} times its time"


def _is_numpy(model: Any) -> bool:
    framework = find_framework(model)
    return framework is not None and framework.quantized_base is QuantizedLayer


def _is_ours(model: Any) -> bool:
    """Whether a model has quantized layers of qrnn, for NumPy or PyTorch."""
    framework = find_framework(model)
    return framework is not None and any(isinstance(each, framework.quantized_base) for each in model.modules())


def _given(target: str, found: Any) -> _Given:
    if not isinstance(found, tuple) or len(found) not in (2, 3):
        raise CommandError(NOT_POSSIBLE, f"{target}: {_EXPECTED}, got {type(found).__name__}")
    models, data, metric = (*found, None)[:3]
    if isinstance(models, Mapping):
        return _Given({str(name): model for name, model in models.items()}, data, metric)
    framework = find_framework(models)
    if framework is None:
        raise CommandError(NOT_POSSIBLE, f"{target}: {_EXPECTED}, got {type(models).__name__} as the model")
    if not isinstance(data, (list, tuple)):
        data = list(data)
    quantized = quantization.quantize_dynamic(models)
    return _Given({"float32": models, "qrnn": quantized, **framework.of_others(models)}, data, metric)


def _function(target: str) -> Callable[[], Any]:
    """The function of a file or a module that `target` names."""
    place, colon, name = target.rpartition(":")
    if not colon or not name.isidentifier():
        raise CommandError(NOT_POSSIBLE, f"{target}: expected FILE_OR_MODULE:FUNCTION, such as models.py:digits")
    module = _of_file(place) if place.endswith(".py") or os.sep in place else _of_module(place)
    function = getattr(module, name, None)
    if not callable(function):
        raise CommandError(NOT_POSSIBLE, f"{target}: {place} has no function {name}")
    return function  # type: ignore[no-any-return]


def _of_module(name: str) -> Any:
    sys.path.insert(0, os.getcwd())
    return importlib.import_module(name)


def _of_file(path: str) -> Any:
    """Import a file as a module; like a program, it can import the files beside it."""
    path = os.path.abspath(path)
    spec = importlib.util.spec_from_file_location(os.path.basename(path).removesuffix(".py"), path)
    if spec is None or spec.loader is None:
        raise CommandError(NOT_POSSIBLE, f"{path}: expected a file of Python")
    sys.path.insert(0, os.path.dirname(path))
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[spec.name]
        raise
    return module
