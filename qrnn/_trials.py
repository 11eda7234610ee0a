"""Builds models from one float model with a precision for each matrix, and measures them on held-back data."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ._arrays import to_numpy
from ._convert import Converter
from ._divided import Divided, divided
from ._framework import Framework
from ._levels import FLOAT, INT8, QUANTIZED, Level, Part, cost
from ._measure import Measured, Metric, Reference
from ._samples import Layout, read_samples
from ._shadow import rounded_by_data
from ._types import qint8
from ._watching import called, layer_names, layout_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ._spec import LayerSpec

__all__ = ["Trials"]


class Trials:
    """The trials of one model.

    Parameters
    ----------
    framework : Framework
        The framework of the model.
    model : module
        The float model; it is not changed.
    data : iterable
        As for `measure`. One half calibrates, the other half is for measuring.
    metric : callable, optional
        As for `measure`.

    Attributes
    ----------
    parts : list of Part
    divided : Divided
        The data.
    batch, steps : tuple of int
        The least and the most rows of an input, and the same for steps.
    """

    def __init__(self, framework: Framework, model: Any, data: Any, metric: Metric | None) -> None:
        self._framework, self._model = framework, model
        samples, names = read_samples(data, "data"), layer_names(model)
        with_int8 = Converter(framework, "qrnn").quantize_dynamic(model, None, qint8, None, False)
        layouts, products = list[Layout | None](), dict[str, float]()
        for sample in samples:
            _, seen = called(model, sample, names)
            layouts.append(layout_of(model, sample, seen))
            for each in seen:
                rows = each.output.size // max(1, each.output.shape[-1])
                products[each.name] = products.get(each.name, 0) + rows
        self.parts = _parts(framework, model, with_int8, products)
        state = with_int8.state_dict()
        self._plain = {key: to_numpy(state[key], key) for part in self.parts for key in _keys(part) if key in state}
        self.divided: Divided = divided(samples, layouts)
        found = [layout for layout in layouts if layout is not None]
        self.batch = min(each.batch for each in found), max(each.batch for each in found)
        self.steps = min(each.steps for each in found), max(each.steps for each in found)
        self._reference = Reference(model, self.divided.held_back, metric)
        if sum(1 if each is None else each.batch for each in self._reference.layouts) != self.divided.held:
            raise ValueError("data: expected at least 2 inputs, or one whose arrays have the rows of its batch")
        levels = [level for level in QUANTIZED if level.calibrated]
        self._by_data = rounded_by_data(framework, model, self.parts, levels, self.divided.calibration)
        self._measured: dict[tuple[Level, ...], Measured] = {}

    def measured(self, choice: Mapping[str, Level]) -> Measured:
        """Measure the model with the levels in `choice`, all other parts float; each choice is measured once."""
        key = tuple(choice.get(part.name, FLOAT) for part in self.parts)
        if key not in self._measured:
            self._measured[key] = self._reference.measured(self.built(choice), "the model", layers=False)
        return self._measured[key]

    def error(self, choice: Mapping[str, Level]) -> float:
        """The error of the model with the levels in `choice`."""
        return self.measured(choice).error

    def built(self, choice: Mapping[str, Level]) -> Any:
        """A new model with the levels in `choice`, in eval mode."""
        of_module: dict[str, dict[str, Level]] = {}
        for part in self.parts:
            of_module.setdefault(part.module, {})[part.name] = choice.get(part.name, FLOAT)
        spec = {
            name: level.qconfig
            for own in of_module.values()
            if any(level is not FLOAT for level in own.values())  # else the layer stays as it is
            for name, level in own.items()
        }
        if not spec:
            return self._framework.copied(self._model).eval()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the first model has warned about what stays float
            model = Converter(self._framework, "qrnn").quantize_dynamic(self._model, spec, qint8, None, False)
        self._put(model, [part for part in self.parts if choice.get(part.name, FLOAT).calibrated], choice)
        return model

    def _put(self, model: Any, parts: list[Part], choice: Mapping[str, Level]) -> None:
        """Load the codes of `parts` that were rounded by data."""
        state = dict(model.state_dict())
        for part in parts:
            by_data = self._by_data[choice[part.name].name]
            for key in _keys(part):
                if key in by_data and key in state:
                    state[key] = self._framework.adapted(by_data[key])
        if parts:
            model.load_state_dict(state)

    def levels(self, part: Part) -> list[Level]:
        """The levels, except float, at which a part differs from earlier levels: data may change none of its codes."""
        keys = _keys(part)
        return [level for level in QUANTIZED if not level.calibrated or self._changed(keys, self._by_data[level.name])]

    def _changed(self, keys: tuple[str, ...], by_data: Mapping[str, NDArray[Any]]) -> bool:
        """Whether the codes that a part gets by data differ from those of plain rounding."""
        same = all(key not in by_data or by_data[key].tobytes() == self._plain[key].tobytes() for key in keys)
        return not same and by_data[keys[0]].dtype == self._plain[keys[0]].dtype

    def cost(self, choice: Mapping[str, Level]) -> float:
        """The estimated time of a pass over the data, in multiplications of 8 bits."""
        return sum(self.cost_of(part, choice.get(part.name, FLOAT)) for part in self.parts)

    def cost_of(self, part: Part, level: Level) -> float:
        """The estimated time of one part."""
        return cost(part, level, self.batch[1])

    def all(self, level: Level = INT8) -> dict[str, Level]:
        """Every part at one level."""
        return {part.name: level for part in self.parts}


def _keys(part: Part) -> tuple[str, ...]:
    """The keys of a part in a state: codes, scale and bias."""
    prefix = f"{part.module}." if part.module else ""
    own = (part.weight, f"{part.weight}_scale", *([] if part.bias is None else [part.bias]))
    return tuple(prefix + name for name in own)


def _parts(framework: Framework, model: Any, quantized: Any, products: Mapping[str, float]) -> list[Part]:
    """The weight matrices of the layers that are float in `model` but not in `quantized`."""
    before, parts = dict(model.named_modules()), list[Part]()
    kind: Any = framework.quantized_base
    for name, module in quantized.named_modules():
        if not isinstance(module, kind) or isinstance(before.get(name), kind):
            continue
        spec: LayerSpec = module._spec
        each = len(spec.directions[0])
        for index, matrix in enumerate(spec.matrices):
            if not matrix.multiplies:
                continue
            full = f"{name}.{matrix.weight}" if name else matrix.weight
            recurrent = spec.row.states > 0 and index % each > 0
            bias = matrix.bias if spec.bias else None
            size = matrix.rows, matrix.columns
            parts.append(Part(full, name, matrix.weight, bias, *size, recurrent, products.get(name, 0)))
    if not parts:
        raise ValueError("model: expected layers of float weights that can be quantized, got none")
    return parts
