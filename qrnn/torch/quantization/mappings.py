"""Which torch modules can be quantized, and what they become: the one table."""

from __future__ import annotations

from typing import Any

import torch

from ..._framework import Row
from ..nn.quantized import dynamic
from . import prepared

__all__ = [
    "TABLE",
    "get_default_dynamic_quant_module_mappings",
    "get_default_qconfig_propagation_list",
]


TABLE: tuple[Row, ...] = (
    Row(torch.nn.Linear, dynamic.Linear, prepared.PreparedLinear),
    Row(torch.nn.RNNCell, dynamic.RNNCell, prepared.PreparedRNNCell),
    Row(torch.nn.LSTMCell, dynamic.LSTMCell, prepared.PreparedLSTMCell),
    Row(torch.nn.GRUCell, dynamic.GRUCell, prepared.PreparedGRUCell),
    Row(torch.nn.RNN, dynamic.RNN, prepared.PreparedRNN),
    Row(torch.nn.LSTM, dynamic.LSTM, prepared.PreparedLSTM),
    Row(torch.nn.GRU, dynamic.GRU, prepared.PreparedGRU),
)


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
