"""What rounding by data did to the weights of a layer, as plain values in files, and back."""

from __future__ import annotations

import typing
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from ._calibration_report import WeightReport
from ._format_error import FormatError
from ._module import Module
from ._quantized_layer import QuantizedLayer

__all__ = ["CALIBRATION", "keep_reports", "plain", "plain_reports", "reports_of", "reports_of_layer"]

#: The key of the reports in what a file says of a layer.
CALIBRATION = "calibration"


def plain(value: Any) -> Any:
    """A number, a text, or a list of such, as JSON has them."""
    if isinstance(value, (tuple, list)):
        return [plain(each) for each in value]
    return value.item() if isinstance(value, np.generic) else value


def plain_reports(layer: Any) -> dict[str, Any]:
    """An entry with the reports of a layer's weights; none where nothing is known."""
    reports = vars(layer).get("_calibration")
    if not reports:
        return {}
    return {CALIBRATION: [{name: plain(value) for name, value in each._asdict().items()} for each in reports]}


def reports_of_layer(value: Any) -> tuple[WeightReport, ...]:
    """The reports of a layer's weights; TypeError or ValueError if `value`, of a file, does not hold such."""
    hints, reports = typing.get_type_hints(WeightReport), []
    for row in [] if value is None else value:
        if not isinstance(row, dict) or not all(name in hints and _fits(row[name], hints[name]) for name in row):
            raise ValueError(f"expected {CALIBRATION} to have rows of {', '.join(hints)}, got {row!r:.80}")
        fields: dict[str, Any] = {name: tuple(it) if isinstance(it, list) else it for name, it in row.items()}
        reports.append(WeightReport(**fields))
    return tuple(reports)


def _fits(value: Any, hint: Any) -> bool:
    """Whether a plain value is of a type of the fields of a report."""
    kinds = typing.get_args(hint)
    if not kinds:
        return type(value) is hint
    if typing.get_origin(hint) is not tuple:
        return any(_fits(value, kind) for kind in kinds)
    if not isinstance(value, list):
        return False
    own: Iterable[Any] = [kinds[0]] * len(value) if kinds[-1] is ... else kinds
    return len(value) == len(list(own)) and all(map(_fits, value, own))


def reports_of(entries: Iterable[tuple[str, Mapping[str, Any]]]) -> dict[str, tuple[WeightReport, ...]]:
    """The reports of each layer of which there are some; FormatError if they are none."""
    try:
        return {name: reports_of_layer(entry[CALIBRATION]) for name, entry in entries if CALIBRATION in entry}
    except (TypeError, ValueError) as error:
        raise FormatError(str(error)) from None


def keep_reports(model: Module, reports: Mapping[str, tuple[WeightReport, ...]]) -> None:
    """Have `calibration_report` know what rounding by data did to the weights that were loaded into `model`."""
    modules = dict(model.named_modules(remove_duplicate=False)) if reports else {}
    for name, report in reports.items():
        layer: Any = modules.get(name)
        if isinstance(layer, QuantizedLayer):
            layer._calibration = report
