"""``qrnn convert`` and ``qrnn export-c``: a model from one file into another."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable

import numpy as np

from .. import _files, quantization
from .._export_c import export_c
from .._graph import Graph
from .._layer import FloatLayer
from .._module import Module
from .._progress import progress
from .._quantized_layer import QuantizedLayer
from .._whole_file import written_whole
from ._data import Call, drawn, read_data
from ._doors import Opened, opened
from ._results import NO_FILE, NOT_POSSIBLE, CommandError, Result

__all__ = ["convert", "export"]


def convert(
    source: str, target: str, engine: str | None = None, calibrate: str | None = None, max_error: float | None = None
) -> Result:
    """Read a file, quantize the model in it if that is asked for, and write it.

    Without options the model is written unchanged. `engine` quantizes it; `calibrate`, a file of inputs, rounds by
    data; with `max_error` in addition each matrix gets the cheapest precision that keeps the error below it. To write
    ONNX the model is called with the first of the inputs, or with a drawn input.
    """
    if max_error is not None and calibrate is None:
        raise CommandError(NOT_POSSIBLE, "--max-error needs --calibrate: the error is measured on data")
    if max_error is not None and engine not in (None, "qrnn"):
        raise CommandError(NOT_POSSIBLE, f"--max-error chooses precisions of engine qrnn, got --engine {engine}")
    write = _writer(target)
    found = opened(source)
    report, data = "", None if calibrate is None else read_data(calibrate)
    if engine is not None or calibrate is not None:
        model, report = _quantized(found, engine, data, max_error)
        found = found._replace(model=model, state=model.state_dict())
    before = os.path.getsize(source)  # `target` may be the same file
    write(found, target, data)
    after = os.path.getsize(target)
    layers = [] if found.model is None else [each for each in found.model.modules() if isinstance(each, QuantizedLayer)]
    engines = sorted({each.engine for each in layers})
    values = {
        **{"source": source, "format": found.door.name, "target": target, "bytes_before": before, "bytes": after},
        **{"quantized_layers": len(layers), "engines": engines},
    }
    what = f"{len(layers)} quantized layers ({', '.join(engines)})" if layers else "nothing quantized"
    lines = [f"{source} ({found.door.name}, {before:,} bytes) -> {target} ({after:,} bytes): {what}"]
    return Result(values, lines + ([report] if report else []))


def _writer(target: str) -> Callable[[Opened, str, list[Call] | None], None]:
    ending = os.path.splitext(target)[1].lower()
    writers = {".safetensors": _to_safetensors, ".npz": _to_npz, ".onnx": _to_onnx}
    if ending not in writers:
        raise CommandError(NOT_POSSIBLE, f"{target}: expected a name that ends with {' or '.join(writers)}")
    folder = os.path.dirname(target) or "."
    if not os.path.isdir(folder):
        raise CommandError(NO_FILE, f"{target}: no folder {folder}")
    return writers[ending]


def _to_safetensors(found: Opened, target: str, data: list[Call] | None) -> None:
    _files.save(found.state if found.model is None else found.model, target)


def _to_npz(found: Opened, target: str, data: list[Call] | None) -> None:
    with written_whole(target) as file:
        np.savez(file, **found.state)  # type: ignore[arg-type]


def _to_onnx(found: Opened, target: str, data: list[Call] | None) -> None:
    from ..onnx import export  # imported here, because it needs further packages

    model = _expect_model(found, "written as ONNX")
    example = drawn(model) if data is None else data[0]
    if isinstance(example, dict):
        names = model.inputs if isinstance(model, Graph) else inspect.signature(model.forward).parameters
        example = tuple(example[name] for name in names if name in example)
    export(model, example, target)


def _quantized(
    found: Opened, engine: str | None, data: list[Call] | None, max_error: float | None
) -> tuple[Module, str]:
    """The quantized model, and a report about rounding by data."""
    model = _expect_model(found, "quantized")
    if not any(isinstance(each, FloatLayer) for each in model.modules()):
        raise CommandError(NOT_POSSIBLE, f"{found.path}: no float layer that could be quantized")
    if data is None:
        return quantization.quantize_dynamic(model, engine=engine), ""
    if max_error is not None:
        calls = [each if isinstance(each, dict) else (each,) for each in data]
        chosen, report = quantization.autoquantize(model, calls, max_error=max_error)
        return chosen, str(report)
    prepared = quantization.prepare(model, qconfig={}, inplace=False, engine=engine)
    with progress(len(data), "calibrating") as done:
        for each in data:
            prepared(**each) if isinstance(each, dict) else prepared(each)
            done(1)
    converted = quantization.convert(prepared)
    return converted, str(quantization.calibration_report(converted))


def _expect_model(found: Opened, what: str) -> Module:
    if found.model is None:
        raise CommandError(
            NOT_POSSIBLE, f"{found.path}: a state dict does not say what modules it is of, and cannot be {what}"
        )
    return found.model


def export(source: str, target: str, name: str | None = None) -> Result:
    """Write the model in a file as a C header."""
    export_c(_expect_model(opened(source), "exported"), target, name)
    size = os.path.getsize(target)
    return Result({"source": source, "target": target, "bytes": size}, [f"{source} -> {target} ({size:,} bytes)"])
