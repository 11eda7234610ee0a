"""``qrnn verify``: whether two files hold models that compute the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .. import _errors
from .._module import Module
from .._progress import progress
from ._data import drawn, read_data
from ._doors import opened
from ._results import DIFFERENT, FINE, NOT_POSSIBLE, CommandError, Result

__all__ = ["verify"]


def verify(first: str, second: str, data: str | None = None, tolerance: float = 1e-5) -> Result:
    """Compare the outputs of two models, or, if one file holds a state dict, the arrays of both.

    Parameters
    ----------
    first, second : str
        Files.
    data : str, optional
        A file of inputs. None: a random input.
    tolerance : float
        The largest allowed difference, relative to max(1, |first|).
    """
    a, b = opened(first), opened(second)
    if a.model is not None and b.model is not None:
        calls = [drawn(a.model)] if data is None else read_data(data)
        found = _of_outputs(a.model, b.model, calls)
        what = "on a drawn input" if data is None else f"on {len(calls)} inputs"
    elif data is not None:
        named = first if a.model is None else second
        raise CommandError(NOT_POSSIBLE, f"{named}: a state dict: --data needs two models")
    else:
        found, what = _of_arrays(a.state, b.state), "of arrays"
    same = not found["missing"] and found["largest"] <= tolerance
    values = {"first": first, "second": second, **found, "tolerance": tolerance, "same": same}
    error = "" if found["error"] is None else f", error {100 * found['error']:.4g} %"
    lines = [f"largest difference {what} {found['largest']:.4g}{error}, tolerance {tolerance:g}"]
    lines += [f"not alike: {each}" for each in found["missing"]]
    lines.append("the same" if same else "DIFFERENT")
    return Result(values, lines, FINE if same else DIFFERENT)


def _of_outputs(a: Module, b: Module, calls: list[Any]) -> dict[str, Any]:
    largest, wrong, size, missing = 0.0, 0.0, 0.0, list[str]()
    with progress(len(calls), "comparing") as done:
        for call in calls:
            given, named = ((), call) if isinstance(call, dict) else ((call,), {})
            one, other = ([x for _, x in _errors.leaves(model(*given, **named))] for model in (a, b))
            if [x.shape for x in one] != [x.shape for x in other]:
                shapes = [[list(x.shape) for x in each] for each in (one, other)]
                return _different(f"outputs of shapes {shapes[0]} and {shapes[1]}")
            for x, y in zip(one, other):
                largest = max(largest, _largest(x, y))
                wrong += float(np.square(x.astype(np.float64) - y).sum())
                size += float(np.square(x.astype(np.float64)).sum())
            done(1)
    error = (wrong / size) ** 0.5 if size else (0.0 if not wrong else float("inf"))
    return {"largest": largest, "error": error, "missing": missing}


def _different(text: str) -> dict[str, Any]:
    return {"largest": float("inf"), "error": None, "missing": [text]}


def _largest(x: Any, y: Any) -> float:
    """The largest difference relative to max(1, |x|); equal infinities and NaN do not differ."""
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if not x.size:
        return 0.0
    with np.errstate(all="ignore"):
        parts = np.abs(x - y) / np.maximum(1, np.abs(x))
    parts[(x == y) | (np.isnan(x) & np.isnan(y))] = 0
    parts[np.isnan(parts)] = np.inf
    return float(parts.max())


def _of_arrays(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, Any]:
    missing = [f"{name} is in one file alone" for name in sorted(set(a) ^ set(b))]
    largest = 0.0
    for name in a:
        if name not in b:
            continue
        if np.shape(a[name]) != np.shape(b[name]):
            missing.append(f"{name} of shape {list(np.shape(a[name]))} and {list(np.shape(b[name]))}")
        else:
            largest = max(largest, _largest(a[name], b[name]))
    return {"largest": largest, "error": None, "missing": missing}
