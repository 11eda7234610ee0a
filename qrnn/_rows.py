"""The table of layers that can be quantized, and of their quantized types. Each file of layers adds its rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from ._framework import Row
from ._layer import FloatLayer
from ._prepared import prepared_type
from ._quantized_layer import QuantizedLayer

__all__ = [
    "ROWS",
    "get_default_dynamic_quant_module_mappings",
    "get_default_qconfig_propagation_list",
    "quantizes",
]

Q = TypeVar("Q", bound=type[QuantizedLayer])

ROWS: list[Row] = []


def quantizes(float_type: type[FloatLayer]) -> Callable[[Q], Q]:
    """Make a class the quantized type of `float_type`."""

    def added(quantized_type: Q) -> Q:
        quantized_type._float_type = float_type
        ROWS.append(Row(float_type, quantized_type, prepared_type(float_type)))
        return quantized_type

    return added


def get_default_dynamic_quant_module_mappings() -> dict[type, Any]:
    """The type that each float type becomes, as a new dict.

    Examples
    --------
    >>> import qrnn
    >>> mapping = qrnn.quantization.get_default_dynamic_quant_module_mappings()
    >>> mapping[qrnn.nn.RNNCell] is qrnn.nn.quantized.dynamic.RNNCell
    True
    """
    return {row.float_type: row.quantized_type for row in ROWS}


def get_default_qconfig_propagation_list() -> set[type]:
    """The float types that can be quantized.

    Examples
    --------
    >>> import qrnn
    >>> qrnn.nn.GRU in qrnn.quantization.get_default_qconfig_propagation_list()
    True
    """
    return {row.float_type for row in ROWS}
