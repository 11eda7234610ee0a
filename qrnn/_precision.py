"""The precision of each matrix: what QConfigs say about it, and the quantization of float matrices."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from . import _quantize, _types
from ._matrices import FLOAT, Matrix, beside
from ._observers import PlaceholderObserver
from ._qconfig import MOST_13, LayerQConfig, float_qconfig
from ._spec import LayerSpec

__all__ = [
    "activations_of",
    "base_of",
    "dequantized",
    "of_matrix",
    "quantize_matrices",
    "quantize_matrix",
    "with_matrices",
]

#: The formats of activations that a QConfig asks for by the range of its observer.
_FORMATS: Mapping[Any, str] = {(-MOST_13, MOST_13): "s13"}
#: How many nested calls of ``with_args`` are looked through.
_MOST_WRAPPED = 8


def base_of(qconfig: Any) -> Any:
    """`qconfig` without its parts for single matrices: what modules below inherit."""
    return qconfig.base if isinstance(qconfig, LayerQConfig) else qconfig


def with_matrices(qconfig: Any, own: dict[str, Any]) -> Any:
    """The `qconfig` of a layer, or None, with the QConfigs in `own` for its weights; None in `own` means float32."""
    known = dict(qconfig.matrices) if isinstance(qconfig, LayerQConfig) else {}
    base = base_of(qconfig)
    if not own or (base is None and not any(own.values())):
        return qconfig
    known.update({name: float_qconfig if each is None else each for name, each in own.items()})
    return LayerQConfig(float_qconfig if base is None else base, tuple(sorted(known.items())))


def of_matrix(qconfig: Any, name: str) -> Any:
    """The QConfig of the weight `name` of a layer."""
    return dict(qconfig.matrices).get(name, qconfig.base) if isinstance(qconfig, LayerQConfig) else qconfig


def activations_of(qconfig: Any) -> str | None:
    """The format of activations that the QConfig of a matrix asks for; None: the engine's."""
    kind, given = _factory(getattr(qconfig, "weight", None))
    if kind == PlaceholderObserver.__name__ and _types.as_dtype(given.get("dtype")) is _types.float32:
        return FLOAT
    _, given = _factory(getattr(qconfig, "activation", None))
    return _FORMATS.get((given.get("quant_min"), given.get("quant_max")))


def _factory(factory: Any) -> tuple[str, dict[str, Any]]:
    """The class name and keywords of a factory of observers, of qrnn or PyTorch; the factory is not called."""
    given: dict[str, Any] = {}
    for _ in range(_MOST_WRAPPED):
        factory = getattr(factory, "p", factory)  # PyTorch's wrapper of a functools.partial
        keywords = getattr(factory, "keywords", None)
        if not isinstance(keywords, dict):
            break
        given = {**keywords, **given}
        factory = getattr(factory, "func", getattr(factory, "cls", None))
    return getattr(factory, "__name__", ""), given


def dequantized(matrix: Matrix) -> Matrix:
    """The float matrix that the codes of `matrix` stand for."""
    if matrix.scale is None:
        return matrix
    return Matrix(_quantize.dequantize(matrix.weight, np.asarray(matrix.scale)), None, matrix.bias)


def quantize_matrices(spec: LayerSpec, matrices: list[Matrix], engine: str, qconfig: Any = None) -> list[Matrix]:
    """Quantize the float weights of a layer as its engine or its QConfig says; biases stay as they are."""
    return [
        quantize_matrix(matrix, each.weight, engine, own, activations_of(own) if each.multiplies else FLOAT)
        for each, matrix in zip(spec.matrices, matrices, strict=True)
        for own in [of_matrix(qconfig, each.weight)]
    ]


def quantize_matrix(matrix: Matrix, name: str, engine: str, qconfig: Any, activations: str | None) -> Matrix:
    """Quantize a float matrix to codes and scale, see `quantize_weight`; or leave it, if `activations` is float32.

    `activations` is the format of the activations that it will multiply; None: the engine's.
    """
    if activations == FLOAT:
        return matrix
    codes, scale = _quantize.quantize_weight(matrix.weight, name, engine, qconfig)
    return Matrix(codes, scale, matrix.bias, beside(engine, activations))
