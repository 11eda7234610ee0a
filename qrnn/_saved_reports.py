"""Converts reports about rounding by data to plain values for files, and back."""

from __future__ import annotations

import typing
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from ._calibration_report import LayerReport, ModelReport, WeightReport, keep_model_report, model_report
from ._format_error import FormatError
from ._module import Module
from ._quantized_layer import QuantizedLayer

__all__ = ["REPORTS", "Reports", "keep_reports", "plain", "plain_reports", "reports_of", "reports_of_entry"]

#: The keys of reports in a file's entry for a module: about a layer's weights, about the layer, about a whole model.
WEIGHTS, LAYER, MODEL = REPORTS = ("calibration", "calibrated", "calibrated_model")


class Reports(typing.NamedTuple):
    """The reports of one module."""

    weights: tuple[WeightReport, ...] = ()
    layer: LayerReport | None = None
    model: ModelReport | None = None

    def keep(self, module: Any) -> None:
        """Keep the reports on `module` for `calibration_report`; a model's after those of its layers."""
        if self.weights:
            vars(module)["_calibration"] = self.weights
            if self.layer is not None:
                vars(module)["_calibrated"] = self.layer
        if self.model is not None:
            keep_model_report(module, self.model)


def plain(value: Any) -> Any:
    """`value` as a number, a text, or a list or dict of these, for JSON."""
    if isinstance(value, (tuple, list)):
        return [plain(each) for each in value]
    if isinstance(value, dict):
        return {name: plain(each) for name, each in value.items()}
    return value.item() if isinstance(value, np.generic) else value


def _plain_row(report: Any) -> dict[str, Any]:
    return {name: plain(value) for name, value in report._asdict().items()}


def plain_reports(module: Any) -> dict[str, Any]:
    """An entry with the reports of a module; empty if there are none."""
    weights, layer, model = vars(module).get("_calibration"), vars(module).get("_calibrated"), model_report(module)
    found: dict[str, Any] = {}
    if weights:
        found[WEIGHTS] = [_plain_row(each) for each in weights]
        if layer is not None:
            found[LAYER] = _plain_row(layer)
    if model is not None:
        found[MODEL] = _plain_row(model)
    return found


def reports_of_entry(entry: Mapping[str, Any]) -> Reports:
    """The reports in an entry of a file; TypeError or ValueError if they are not valid."""
    weights = entry.get(WEIGHTS)
    return Reports(
        tuple(_report(WeightReport, row, f"{WEIGHTS} to have rows") for row in ([] if weights is None else weights)),
        None if entry.get(LAYER) is None else _report(LayerReport, entry[LAYER], f"{LAYER} to be a dict"),
        None if entry.get(MODEL) is None else _report(ModelReport, entry[MODEL], f"{MODEL} to be a dict"),
    )


def _report(kind: Any, row: Any, expected: str) -> Any:
    hints = typing.get_type_hints(kind)
    if not isinstance(row, dict) or not all(name in hints and _fits(row[name], hints[name]) for name in row):
        raise ValueError(f"expected {expected} of {', '.join(hints)}, got {row!r:.80}")
    return kind(**{name: tuple(it) if isinstance(it, list) else it for name, it in row.items()})


def _fits(value: Any, hint: Any) -> bool:
    """Whether a plain value fits the type of a report's field."""
    kinds = typing.get_args(hint)
    if not kinds:
        return type(value) is hint
    if typing.get_origin(hint) is not tuple:
        return any(_fits(value, kind) for kind in kinds)
    if not isinstance(value, list):
        return False
    own: Iterable[Any] = [kinds[0]] * len(value) if kinds[-1] is ... else kinds
    return len(value) == len(list(own)) and all(map(_fits, value, own))


def reports_of(entries: Iterable[tuple[str, Mapping[str, Any]]]) -> dict[str, Reports]:
    """The reports of each module that has some, children first; FormatError if they are not valid."""
    try:
        return {
            name: reports_of_entry(entry)
            for name, entry in reversed(list(entries))
            if any(key in entry for key in REPORTS)
        }
    except (TypeError, ValueError) as error:
        raise FormatError(str(error)) from None


def keep_reports(model: Module, reports: Mapping[str, Reports]) -> None:
    """Keep reports for the weights that were loaded into `model`, for `calibration_report`."""
    modules = dict(model.named_modules(remove_duplicate=False)) if reports else {}
    for name, report in reports.items():
        module: Any = modules.get(name)
        if module is not None:
            (report if isinstance(module, QuantizedLayer) else Reports(model=report.model)).keep(module)
