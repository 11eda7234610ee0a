"""Which torch modules can be quantized, and what they become: the one table."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch.nn.modules.linear import NonDynamicallyQuantizableLinear

from ..nn.quantized import dynamic
from ..nn.quantized.dynamic.modules.base import QuantizedLayer
from . import prepared
from .prepared import PreparedLayer

__all__ = [
    "TABLE",
    "Quantizable",
    "find",
    "get_default_dynamic_quant_module_mappings",
    "get_default_qconfig_propagation_list",
]


class Quantizable(NamedTuple):
    """A row of the table."""

    float_type: type[torch.nn.Module]
    quantized_type: type[QuantizedLayer]
    prepared_type: type[PreparedLayer]


TABLE: tuple[Quantizable, ...] = (
    Quantizable(torch.nn.Linear, dynamic.Linear, prepared.PreparedLinear),
    Quantizable(torch.nn.RNNCell, dynamic.RNNCell, prepared.PreparedRNNCell),
    Quantizable(torch.nn.LSTMCell, dynamic.LSTMCell, prepared.PreparedLSTMCell),
    Quantizable(torch.nn.GRUCell, dynamic.GRUCell, prepared.PreparedGRUCell),
    Quantizable(torch.nn.RNN, dynamic.RNN, prepared.PreparedRNN),
    Quantizable(torch.nn.LSTM, dynamic.LSTM, prepared.PreparedLSTM),
    Quantizable(torch.nn.GRU, dynamic.GRU, prepared.PreparedGRU),
)


def find(module: torch.nn.Module) -> tuple[Quantizable, type] | None:
    """The row that `module`, float, prepared or quantized, belongs to, and which of its types it is.

    The output projection of PyTorch's attention belongs to none: its weight is read, it is not called.
    """
    if isinstance(module, NonDynamicallyQuantizableLinear):
        return None
    for row in TABLE:
        for each in (row.prepared_type, row.float_type, row.quantized_type):
            if isinstance(module, each):
                return row, each
    return None


def get_default_dynamic_quant_module_mappings() -> dict[type, Any]:
    """What each float type becomes: a new dict.

    Examples
    --------
    >>> import torch, qrnn.torch
    >>> mapping = qrnn.torch.quantization.get_default_dynamic_quant_module_mappings()
    >>> mapping[torch.nn.RNNCell] is qrnn.torch.nn.quantized.dynamic.RNNCell
    True
    """
    return {row.float_type: row.quantized_type for row in TABLE}


def get_default_qconfig_propagation_list() -> set[type]:
    """The float types that can be quantized."""
    return {row.float_type for row in TABLE}
