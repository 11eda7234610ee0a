"""Which modules can be quantized, and what they become: the one table."""

from __future__ import annotations

from typing import Any, NamedTuple

from ..nn.modules.cells import GRUCell, LSTMCell, RNNCell
from ..nn.modules.layer import FloatLayer, overrides
from ..nn.modules.linear import Linear
from ..nn.modules.module import Module
from ..nn.modules.rnn import GRU, LSTM, RNN
from ..nn.quantized import dynamic
from ..nn.quantized.dynamic.modules.base import QuantizedLayer
from .prepared import (
    PreparedGRU,
    PreparedGRUCell,
    PreparedLayer,
    PreparedLinear,
    PreparedLSTM,
    PreparedLSTMCell,
    PreparedRNN,
    PreparedRNNCell,
)

__all__ = [
    "TABLE",
    "Quantizable",
    "find",
    "get_default_dynamic_quant_module_mappings",
    "get_default_qconfig_propagation_list",
]


class Quantizable(NamedTuple):
    """A row of the table."""

    float_type: type[FloatLayer]
    quantized_type: type[QuantizedLayer]
    prepared_type: type[PreparedLayer]


TABLE: tuple[Quantizable, ...] = (
    Quantizable(Linear, dynamic.Linear, PreparedLinear),
    Quantizable(RNNCell, dynamic.RNNCell, PreparedRNNCell),
    Quantizable(LSTMCell, dynamic.LSTMCell, PreparedLSTMCell),
    Quantizable(GRUCell, dynamic.GRUCell, PreparedGRUCell),
    Quantizable(RNN, dynamic.RNN, PreparedRNN),
    Quantizable(LSTM, dynamic.LSTM, PreparedLSTM),
    Quantizable(GRU, dynamic.GRU, PreparedGRU),
)


def find(module: Module) -> tuple[Quantizable, type] | None:
    """The row that `module`, float, prepared or quantized, belongs to, and which of its types it is."""
    for row in TABLE:
        for each in (row.prepared_type, row.float_type, row.quantized_type):
            if isinstance(module, each):
                return row, each
    return None


def overridden(module: Module) -> bool:
    """Whether the class of `module`, which has a row, says itself what a call does."""
    found = find(module)
    return found is not None and overrides(type(module), found[1])


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
