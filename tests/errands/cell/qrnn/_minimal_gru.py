"""Minimal gated units, float and quantized: cells, one time step a call, and whole sequences."""

from __future__ import annotations

from typing import Any

from ._layer import FloatLayer
from ._quantized_layer import QuantizedCell, QuantizedSequence
from ._recurrent import FloatCell, SequenceLayer
from ._rows import quantizes
from ._spec import cell_spec, sequence_spec
from ._types import expect_qint8, qint8

__all__ = ["MinimalGRU", "MinimalGRUCell", "QuantizedMinimalGRU", "QuantizedMinimalGRUCell"]


class MinimalGRUCell(FloatCell):
    """A minimal gated unit in float32.

    ::

        f = sigmoid(W_if x + b_if + W_hf h + b_hf)
        n = tanh(W_in x + b_in + f * (W_hn h + b_hn))
        h' = h + f * (n - h)

    Zhou et al., 2016, "Minimal Gated Unit for Recurrent Neural Networks"; here the gate acts after the product.
    """

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, *, isa: str | None = None) -> None:
        super().__init__()
        self._fill(cell_spec("minimal_gru", input_size, hidden_size, bias), isa)


class MinimalGRU(SequenceLayer, FloatLayer):
    """Minimal gated units over whole sequences in float32."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        *,
        isa: str | None = None,
    ) -> None:
        super().__init__()
        options = bias, batch_first, dropout, bidirectional
        self._fill(sequence_spec("minimal_gru", input_size, hidden_size, num_layers, *options), isa)


@quantizes(MinimalGRUCell)
class QuantizedMinimalGRUCell(QuantizedCell):
    """A minimal gated unit with int8 weights."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        dtype: Any = qint8,
        *,
        engine: str | None = None,
        isa: str | None = None,
    ) -> None:
        super().__init__()
        expect_qint8(dtype)
        self._fill(cell_spec("minimal_gru", input_size, hidden_size, bias), engine, isa)


@quantizes(MinimalGRU)
class QuantizedMinimalGRU(QuantizedSequence):
    """Minimal gated units with int8 weights over whole sequences."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        dtype: Any = qint8,
        *,
        engine: str | None = None,
        isa: str | None = None,
    ) -> None:
        super().__init__()
        expect_qint8(dtype)
        options = bias, batch_first, dropout, bidirectional
        self._fill(sequence_spec("minimal_gru", input_size, hidden_size, num_layers, *options), engine, isa)
