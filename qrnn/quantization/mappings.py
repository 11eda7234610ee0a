"""Which modules can be quantized, and what they become: the one table."""

from __future__ import annotations

from typing import Any

from .._framework import Row
from ..nn.modules.cells import GRUCell, LSTMCell, RNNCell
from ..nn.modules.linear import Linear
from ..nn.modules.rnn import GRU, LSTM, RNN
from ..nn.quantized import dynamic
from .prepared import (
    PreparedGRU,
    PreparedGRUCell,
    PreparedLinear,
    PreparedLSTM,
    PreparedLSTMCell,
    PreparedRNN,
    PreparedRNNCell,
)

__all__ = [
    "TABLE",
    "get_default_dynamic_quant_module_mappings",
    "get_default_qconfig_propagation_list",
]


TABLE: tuple[Row, ...] = (
    Row(Linear, dynamic.Linear, PreparedLinear),
    Row(RNNCell, dynamic.RNNCell, PreparedRNNCell),
    Row(LSTMCell, dynamic.LSTMCell, PreparedLSTMCell),
    Row(GRUCell, dynamic.GRUCell, PreparedGRUCell),
    Row(RNN, dynamic.RNN, PreparedRNN),
    Row(LSTM, dynamic.LSTM, PreparedLSTM),
    Row(GRU, dynamic.GRU, PreparedGRU),
)


def get_default_dynamic_quant_module_mappings() -> dict[type, Any]:
    """What each float type becomes: a new dict.

    Examples
    --------
    >>> import qrnn
    >>> mapping = qrnn.quantization.get_default_dynamic_quant_module_mappings()
    >>> mapping[qrnn.nn.RNNCell] is qrnn.nn.quantized.dynamic.RNNCell
    True
    """
    return {row.float_type: row.quantized_type for row in TABLE}


def get_default_qconfig_propagation_list() -> set[type]:
    """The float types that can be quantized."""
    return {row.float_type for row in TABLE}
