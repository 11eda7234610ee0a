"""Constructors of quantized layers, shared by the NumPy and the PyTorch package."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._recurrent import no_projection
from ._spec import LayerSpec, cell_spec, gru_kind, linear_spec, rnn_kind, sequence_spec
from ._types import expect_qint8, qint8

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ._options import CellOptions, LSTMCellOptions, LSTMOptions, SequenceOptions

__all__ = [
    "GRUCellConstructor",
    "GRUConstructor",
    "LSTMCellConstructor",
    "LSTMConstructor",
    "LinearConstructor",
    "RNNCellConstructor",
    "RNNConstructor",
]


class _Constructor:
    if TYPE_CHECKING:

        def _fill(self, spec: LayerSpec, engine: str | None, isa: str | None) -> None:
            """Make new weights."""


class LinearConstructor(_Constructor):
    """The constructor of a quantized Linear."""

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias_: bool = True,
        dtype: Any = qint8,
        *,
        engine: str | None = None,
        isa: str | None = None,
    ) -> None:
        super().__init__()
        expect_qint8(dtype)
        self._fill(linear_spec(in_features, out_features, bias_), engine, isa)


class LSTMCellConstructor(_Constructor):
    """The constructor of a quantized LSTM cell."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        dtype: Any = qint8,
        *,
        engine: str | None = None,
        isa: str | None = None,
        **options: Unpack[LSTMCellOptions],
    ) -> None:
        super().__init__()
        expect_qint8(dtype)
        self._fill(cell_spec("lstm", input_size, hidden_size, bias, **options), engine, isa)


class RNNCellConstructor(_Constructor):
    """The constructor of a quantized Elman cell."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        dtype: Any = qint8,
        *,
        engine: str | None = None,
        isa: str | None = None,
        **options: Unpack[CellOptions],
    ) -> None:
        super().__init__()
        expect_qint8(dtype)
        self._fill(cell_spec(rnn_kind(nonlinearity), input_size, hidden_size, bias, **options), engine, isa)


class RNNConstructor(_Constructor):
    """The constructor of quantized Elman layers over sequences."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        dtype: Any = qint8,
        *,
        proj_size: None = None,
        engine: str | None = None,
        isa: str | None = None,
        **options: Unpack[SequenceOptions],
    ) -> None:
        super().__init__()
        no_projection(proj_size)
        expect_qint8(dtype)
        given = bias, batch_first, dropout, bidirectional
        self._fill(
            sequence_spec(rnn_kind(nonlinearity), input_size, hidden_size, num_layers, *given, **options), engine, isa
        )


class LSTMConstructor(_Constructor):
    """The constructor of quantized LSTM layers over sequences."""

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
        proj_size: int = 0,
        engine: str | None = None,
        isa: str | None = None,
        **options: Unpack[LSTMOptions],
    ) -> None:
        super().__init__()
        expect_qint8(dtype)
        given = bias, batch_first, dropout, bidirectional, proj_size
        self._fill(sequence_spec("lstm", input_size, hidden_size, num_layers, *given, **options), engine, isa)


class GRUCellConstructor(_Constructor):
    """The constructor of a quantized GRU cell."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        dtype: Any = qint8,
        *,
        reset_after: bool = True,
        engine: str | None = None,
        isa: str | None = None,
        **options: Unpack[CellOptions],
    ) -> None:
        super().__init__()
        expect_qint8(dtype)
        self._fill(cell_spec(gru_kind(reset_after), input_size, hidden_size, bias, **options), engine, isa)


class GRUConstructor(_Constructor):
    """The constructor of quantized GRU layers over sequences."""

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
        reset_after: bool = True,
        proj_size: None = None,
        engine: str | None = None,
        isa: str | None = None,
        **options: Unpack[SequenceOptions],
    ) -> None:
        super().__init__()
        no_projection(proj_size)
        expect_qint8(dtype)
        given = bias, batch_first, dropout, bidirectional
        spec = sequence_spec(gru_kind(reset_after), input_size, hidden_size, num_layers, *given, **options)
        self._fill(spec, engine, isa)
