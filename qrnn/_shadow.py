"""Rounds the layers of a model, of either package, by the inputs that they get in the float model."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from . import _config
from ._computed import computed_weights
from ._containers import Sequential
from ._convert import Converter
from ._framework import Framework
from ._layer import FloatLayer
from ._levels import Level, Part
from ._matrices import float_matrices, pack
from ._numpy_framework import NUMPY
from ._samples import Sample, is_packed
from ._spec import module_spec
from ._watching import Seen, called, padded

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["rounded_by_data"]


def rounded_by_data(
    framework: Framework, model: Any, parts: Sequence[Part], levels: Iterable[Level], samples: Iterable[Sample]
) -> dict[str, dict[str, NDArray[Any]]]:
    """For the name of each level, the codes, scales and biases of `parts` by the names of the model's parameters.

    NumPy layers with the same weights are prepared, and called with the inputs of the model's layers.
    """
    names = list(dict.fromkeys(part.module for part in parts))
    modules = dict(model.named_modules())
    layers = Sequential(*(_float_layer(framework, modules[name]) for name in names))
    prepared = {}
    for level in levels:
        spec = {f"{names.index(part.module)}.{part.weight}": level.qconfig for part in parts}
        prepared[level.name] = Converter(NUMPY, "qrnn").prepare(layers, False, None, spec)
        for layer in prepared[level.name].children():
            layer._prepared.statistics.guarded = False  # the model's outputs show how good each level is
    place = {name: index for index, name in enumerate(names)}
    for sample in samples:
        for seen in called(model, sample, names)[1]:
            args, kwargs = _arguments(layers[place[seen.name]], seen)
            for each in prepared.values():
                each[place[seen.name]](*args, **kwargs)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # warnings about large errors: these are what is being measured
        converted = {name: Converter(NUMPY).convert(each, None, False, True) for name, each in prepared.items()}
    return {name: _named(each, names) for name, each in converted.items()}


def _float_layer(framework: Framework, module: Any) -> FloatLayer:
    """A float NumPy layer with the weights of `module`."""
    if isinstance(module, FloatLayer):
        return module
    found = framework.find(module)
    assert found is not None
    name = found[0].float_type.__name__
    cls = next(row.float_type for row in NUMPY.rows if row.float_type.__name__ == name)
    spec = module_spec(name, module)
    new: FloatLayer = cls.__new__(cls)
    new.training = False
    matrices = float_matrices(module, spec, computed_weights(module, spec).values)
    new._hold(spec, pack(spec, "float32", _config.resolve_isa(None), matrices))
    return new


def _arguments(layer: FloatLayer, seen: Seen) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments for a NumPy layer that correspond to those of a seen call."""
    kwargs = {name: value for name, value in seen.kwargs.items() if name != "out"}
    if not is_packed(seen.input):
        return seen.args, kwargs
    rows, lengths = padded(seen.input)
    kwargs.pop("input", None)
    batch_first = getattr(layer, "batch_first", False)
    return (rows.swapaxes(0, 1) if batch_first else rows, *seen.args[1:]), {**kwargs, "lengths": lengths}


def _named(quantized: Any, names: Sequence[str]) -> dict[str, NDArray[Any]]:
    """The state of the layers under the names that they have in the model."""
    state = {}
    for key, value in quantized.state_dict().items():
        index, _, rest = key.partition(".")
        name = names[int(index)]
        state[f"{name}.{rest}" if name else rest] = value
    return state
