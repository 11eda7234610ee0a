"""``qrnn bench``: how long a step of a model takes."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

from .. import _config, quantization
from .._matrices import FLOAT, pack, packed_matrices
from .._module import Module
from .._precision import dequantized
from .._quantized_layer import QuantizedLayer
from .._timing import interleaved
from ._data import drawn, steps_of
from ._doors import opened
from ._results import NOT_POSSIBLE, CommandError, Result, table

__all__ = ["bench"]

#: Steps of a sequence: a number that no other size of an input has, so that the axis of steps is known.
_STEPS = 101


def bench(path: str, batches: Sequence[int] = (1, 4, 32), rounds: int = 20, engine: str | None = None) -> Result:
    """Microseconds for a step of the model in a file and of the same model in float32, by batch.

    A float model is measured beside its form quantized by `engine`, a quantized one beside its float32 form.
    """
    found = opened(path)
    if found.model is None:
        raise CommandError(NOT_POSSIBLE, f"{path}: a state dict, which does not say what modules it is of")
    if any(isinstance(each, QuantizedLayer) for each in found.model.modules()):
        if engine is not None:
            raise CommandError(NOT_POSSIBLE, f"{path}: a quantized model has its engine: --engine is for float ones")
        quantized, plain = found.model, _in_float(found.model)
    else:
        quantized, plain = quantization.quantize_dynamic(found.model, engine=engine), found.model
    rows = [_row(quantized, plain, batch, rounds) for batch in batches]
    shown = [
        (row["batch"], f"{row['quantized']:.4g}", f"{row['float32']:.4g}", f"{row['float32'] / row['quantized']:.2f}")
        for row in rows
    ]
    heads = ("batch", "quantized, us a step", "float32, us a step", "float32 / quantized")
    lines = [f"{path}: medians of {rounds} rounds by turns, one thread unless qrnn is told otherwise"]
    return Result({"file": path, "rounds": rounds, "rows": rows}, [*lines, *table(heads, shown)])


def _row(quantized: Module, plain: Module, batch: int, rounds: int) -> dict[str, Any]:
    x = drawn(plain, batch, _STEPS)
    steps = steps_of(x, _STEPS)
    functions = {"quantized": lambda: quantized(x), "float32": lambda: plain(x)}
    times = interleaved(functions, rounds)
    return {"batch": batch, "steps": steps, **{name: 1e6 * each.median / steps for name, each in times.items()}}


def _in_float(model: Module) -> Module:
    """A copy with float layers instead of quantized ones; their weights are the values of the codes."""
    made: dict[int, Module] = {}

    def float_of(module: Module) -> Module:
        if id(module) in made:
            return made[id(module)]
        new = module
        if isinstance(module, QuantizedLayer):
            spec = module._spec
            new = module._float_type.__new__(module._float_type)
            matrices = [dequantized(each) for each in packed_matrices(module)]
            new._hold(spec, pack(spec, FLOAT, _config.resolve_isa(), matrices))
        made[id(module)] = new
        for name, child in list(module._children()):
            setattr(new, name, float_of(child))
        return new

    return float_of(deepcopy(model))
