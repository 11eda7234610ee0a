"""Reads constants of a graph as weights: floats, and codes with their scales."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .._foreign import weight
from .._format_error import FormatError
from .._qtensor import QTensor
from ._schema import Graph, Model, Tensor

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .._typing import Array

__all__ = ["Constants", "Weight"]


class Weight(NamedTuple):
    """A weight as float32, and its codes if the file has int8 codes with scales."""

    array: Array
    codes: QTensor | None = None


class Constants:
    """The constants of a graph, each read once.

    Parameters
    ----------
    model : Model
    graph : Graph
        One of the model's graphs.
    """

    def __init__(self, model: Model, graph: Graph) -> None:
        self._model, self._graph = model, graph
        self._known: dict[int, Weight | None] = {}
        self._computed = _computed(model, graph)

    def make(self, count: int) -> None:
        """Count bytes made from constants, as many operators may take the same ones.

        Raises
        ------
        FormatError
            If they become many times those of the file.
        """
        self._model.file.spend(count)

    def is_constant(self, index: int) -> bool:
        """Whether the tensor `index` has values in the file."""
        return self._source(index) is not None

    def numbers(self, index: int) -> NDArray[Any]:
        """The values of a constant of any type, such as sizes and axes; codes are not scaled.

        Raises
        ------
        FormatError
            If it is not a constant.
        """
        source = self._source(index)
        array = None if source is None else self._model.constant(source)
        if array is None:
            raise FormatError(f"tensor {self._graph.tensors[index].name!r}: expected a constant, got none")
        self._model.file.spend(array.nbytes)
        return array.astype(array.dtype.newbyteorder("="))

    def weight(self, index: int, where: str, shape: tuple[int | None, ...]) -> Weight:
        """The constant `index` as finite float32 of `shape`; None fits any size.

        Raises
        ------
        FormatError
            If it is not such a constant.
        """
        found = self.read(index, where)
        return Weight(weight(found.array, where, shape), found.codes)

    def read(self, index: int, where: str) -> Weight:
        """The constant `index` as float32, of any shape.

        Raises
        ------
        FormatError
            If it is not a constant, or its codes have no fitting scales.
        """
        if index not in self._known:
            source = None if index < 0 else self._source(index)
            self._known[index] = None if source is None else self._read(source, where, self._graph.tensors[index])
        found = self._known[index]
        if found is None:
            name = "none" if index < 0 else f"{self._graph.tensors[index].name!r}"
            raise FormatError(f"{where}: expected a constant, got {name}")
        return found

    def _source(self, index: int) -> Tensor | None:
        """The tensor of the file that has the values of the tensor `index`."""
        tensor = self._graph.tensors[self._computed.get(index, index)]
        has = self._model.buffers[tensor.buffer].size and not tensor.variable
        return tensor if has else None

    def _read(self, source: Tensor, where: str, shown: Tensor) -> Weight:
        array = self._model.constant(source)
        assert array is not None  # as _source found one
        self._model.file.spend(4 * array.size)
        if array.dtype.kind == "f":
            with np.errstate(over="ignore"):
                return Weight(np.asarray(array, np.float32))
        values = _dequantized(array, source, where)
        keeps = array.dtype.itemsize == 1 and array.ndim == 2 and shown is source
        return Weight(values, _codes(array, source) if keeps else None)


def _computed(model: Model, graph: Graph) -> dict[int, int]:
    """The results of DEQUANTIZE for constants, with these constants: float weights stored in smaller types."""
    return {
        operator.outputs[0]: operator.inputs[0]
        for operator in graph.operators
        if operator.name == "DEQUANTIZE" and len(operator.inputs) == len(operator.outputs) == 1
        if min(operator.inputs + operator.outputs) >= 0 and model.buffers[graph.tensors[operator.inputs[0]].buffer].size
    }


def _scales(array: NDArray[Any], tensor: Tensor, where: str) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Scales and zero points of codes, which broadcast against them."""
    given = tensor.quantization
    if given is None or given.custom or array.dtype.kind not in "iu":
        raise FormatError(f"{where}: expected float values or codes with scales, got {tensor.type}")
    scale = np.array(given.scale, np.float32)
    zero = np.array(given.zero_point or [0] * scale.size, np.int64)
    if zero.size != scale.size or not (np.isfinite(scale) & (scale > 0)).all():
        raise FormatError(f"{where}: expected positive scales and as many zero points, got {given.scale!r:.80}")
    if scale.size != 1:
        axis = given.axis
        if not 0 <= axis < array.ndim or scale.size != array.shape[axis]:
            raise FormatError(f"{where}: expected a scale for each of axis {axis} of {array.shape}, got {scale.size}")
        sizes = [-1 if i == axis else 1 for i in range(array.ndim)]
        return scale.reshape(sizes), zero.reshape(sizes)
    return scale.reshape(()), zero.reshape(())


def _dequantized(array: NDArray[Any], tensor: Tensor, where: str) -> Array:
    scale, zero = _scales(array, tensor, where)
    codes = _signed(array, zero)
    with np.errstate(over="ignore"):
        return np.asarray((codes.astype(np.int64) - zero) * scale.astype(np.float64), np.float32)


def _codes(array: NDArray[Any], tensor: Tensor) -> QTensor | None:
    """Codes and scales of a matrix; None unless its zero points are 0 and its scales are per row or one for all."""
    scale, zero = _scales(array, tensor, tensor.name)
    if zero.any() or (scale.ndim and scale.shape != (array.shape[0], 1)):
        return None
    return QTensor(_signed(array, zero).astype(np.int8), scale.ravel() if scale.ndim else scale)


def _signed(array: NDArray[Any], zero: NDArray[np.int64]) -> NDArray[Any]:
    """Codes as numbers. Old converters wrote signed bytes of weights as uint8; then zero points are 0."""
    return array.view(np.int8) if array.dtype == np.uint8 and not zero.any() else array
