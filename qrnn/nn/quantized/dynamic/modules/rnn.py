"""The dynamically quantized recurrent layers over whole sequences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ....._types import dtype as _dtype
from ....._types import expect_qint8, qint8
from ....modules import recurrent
from ....modules import rnn as _float
from .base import QuantizedRecurrent

__all__ = ["GRU", "LSTM", "RNN"]


class QuantizedSequence(recurrent.SequenceLayer, QuantizedRecurrent):
    """What quantized sequences share."""

    @property
    def dtype(self) -> _dtype:
        """`qrnn.qint8`."""
        return qint8

    def set_weight_bias(self, weight_bias_dict: Mapping[str, Any]) -> None:
        """Replace all weights and biases.

        Parameters
        ----------
        weight_bias_dict : dict
            ``{name: QTensor or array_like or None}``: weights and biases in one dict, as PyTorch's
            sequence modules take them, here ``{**rnn.get_weight(), **rnn.get_bias()}``. Quantized
            torch tensors are taken too.

        Raises
        ------
        KeyError
            If a name is missing.
        TypeError, ValueError
            If a value does not fit. In each case nothing has changed.
        """
        flat = dict(weight_bias_dict)
        self._replace_all(flat, flat)


class RNN(recurrent.ElmanLayer, QuantizedSequence):
    """Elman layers with int8 weights over whole sequences; PyTorch has none.

    One call computes all steps, layers and directions, as in ``qrnn.nn.RNN``, by products of 8-bit
    integers; ranges as in `RNNCell`.

    Parameters
    ----------
    input_size : int
        Size of an input row, at least 1.
    hidden_size : int
        Size of a hidden row, at least 1.
    num_layers : int
        Layers, each of which reads the output of the one before.
    nonlinearity : {"tanh", "relu"}
    bias : bool
        Whether there are biases.
    batch_first : bool
        Whether input and output are (batch, steps, ...) instead of (steps, batch, ...); states are
        not.
    dropout : float
        Kept as an attribute; it acts in training alone, and so not here.
    bidirectional : bool
        Whether each layer also runs from the end of a sequence to its start.
    dtype : qint8
    proj_size : None
        Raises ValueError, as in PyTorch.
    engine : str, optional
        The arithmetic. Default: the current one, see ``qrnn.engine``.
    isa : str, optional
        An instruction set, one of ``qrnn.isas()``. Default: ``QRNN_ISA``, else the best.

    Attributes
    ----------
    bias_ih_l0, bias_hh_l0, bias_ih_l0_reverse, ... : ndarray, float32, shape (hidden_size,), or None
        Read-only; assign a whole array to change one.
    input_size, hidden_size, num_layers : int
    bias, batch_first, bidirectional : bool
    dropout : float
    nonlinearity, mode, engine, isa : str
    nbytes : int
        Memory of the packed weights.

    Raises
    ------
    TypeError
        If a size is no integer, or `bias` or `batch_first` no bool.
    ValueError
        If a size, `nonlinearity`, `dropout`, `dtype`, `engine` or `isa` is out of range.

    Warns
    -----
    UserWarning
        If `dropout` is not 0 and there is one layer.

    Notes
    -----
    Calls are those of ``qrnn.nn.RNN``, and with engine ``qrnn`` give the bits of the same steps by
    an `RNNCell`. The torch engines quantize the whole input of each layer by one range, and the
    state at each step by that of the rows that `lengths` leaves; one that holds a NaN or an infinity
    raises ValueError.

    Examples
    --------
    >>> import numpy as np, qrnn
    >>> rnn = qrnn.RNN(4, 3, num_layers=2)
    >>> rnn
    DynamicQuantizedRNN(4, 3, num_layers=2)
    >>> output, h_n = rnn(np.ones((5, 2, 4), np.float32))
    >>> output.shape, h_n.shape
    ((5, 2, 3), (2, 2, 3))
    """

    _float_type = _float.RNN
    _torch_type = ("torch.nn.modules.rnn", "RNN")

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
    ) -> None:
        super().__init__()
        recurrent.no_projection(proj_size)
        expect_qint8(dtype)
        kind, options = self._kind(nonlinearity), (bias, batch_first, dropout, bidirectional)
        shape = self._sequence_shape(kind, input_size, hidden_size, num_layers, *options)
        self.dropout = shape.dropout
        self._fill(shape, engine, isa)


class LSTM(recurrent.LSTMLayer, QuantizedSequence):
    """Long short-term memory with int8 weights, as ``torch.ao.nn.quantized.dynamic.LSTM``.

    One call computes all steps, layers and directions, as in ``qrnn.nn.LSTM``, by products of 8-bit
    integers; ranges as in `LSTMCell`.

    Parameters
    ----------
    input_size : int
        Size of an input row, at least 1.
    hidden_size : int
        Size of a row of c, and without a projection of h, at least 1.
    num_layers : int
        Layers, each of which reads the output of the one before.
    bias : bool
        Whether there are biases.
    batch_first : bool
        Whether input and output are (batch, steps, ...) instead of (steps, batch, ...); states are
        not.
    dropout : float
        Kept as an attribute; it acts in training alone, and so not here.
    bidirectional : bool
        Whether each layer also runs from the end of a sequence to its start.
    dtype : qint8
    proj_size : int
        Size of a row of h, less than `hidden_size`; 0: no projection. Only engine ``qrnn`` has
        projections, whose inputs it quantizes row by row.
    engine : str, optional
        The arithmetic. Default: the current one, see ``qrnn.engine``.
    isa : str, optional
        An instruction set, one of ``qrnn.isas()``. Default: ``QRNN_ISA``, else the best.

    Attributes
    ----------
    bias_ih_l0, bias_hh_l0, bias_ih_l0_reverse, ... : ndarray, float32, shape (4 * hidden_size,), or None
        Read-only; assign a whole array to change one.
    input_size, hidden_size, num_layers, proj_size : int
    bias, batch_first, bidirectional : bool
    dropout : float
    mode, engine, isa : str
    nbytes : int
        Memory of the packed weights.

    Raises
    ------
    TypeError
        If a size is no integer, or `bias` or `batch_first` no bool.
    ValueError
        If a size, `dropout`, `dtype`, `engine` or `isa` is out of range, or a torch
        engine is to project.

    Warns
    -----
    UserWarning
        If `dropout` is not 0 and there is one layer.

    Notes
    -----
    Calls are those of ``qrnn.nn.LSTM``, and with engine ``qrnn`` give the bits of the same steps by
    an `LSTMCell`. The torch engines quantize the whole input of each layer by one range, and the
    state at each step by that of the rows that `lengths` leaves; one that holds a NaN or an infinity
    raises ValueError.

    Examples
    --------
    >>> import numpy as np, qrnn
    >>> lstm = qrnn.LSTM(4, 3, bidirectional=True, proj_size=2)
    >>> lstm
    DynamicQuantizedLSTM(4, 3, proj_size=2, bidirectional=True)
    >>> output, (h_n, c_n) = lstm(np.ones((5, 2, 4), np.float32), lengths=[5, 2])
    >>> output.shape, h_n.shape, c_n.shape
    ((5, 2, 4), (2, 2, 2), (2, 2, 3))
    >>> list(lstm.get_weight())[:3]
    ['weight_ih_l0', 'weight_hh_l0', 'weight_hr_l0']
    """

    _float_type = _float.LSTM
    _torch_type = ("torch.nn.modules.rnn", "LSTM")

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
    ) -> None:
        super().__init__()
        expect_qint8(dtype)
        options = bias, batch_first, dropout, bidirectional, proj_size
        shape = self._sequence_shape("lstm", input_size, hidden_size, num_layers, *options)
        self.dropout = shape.dropout
        self._fill(shape, engine, isa)


class GRU(recurrent.GRULayer, QuantizedSequence):
    """Gated recurrent units with int8 weights, as ``torch.ao.nn.quantized.dynamic.GRU``.

    One call computes all steps, layers and directions, as in ``qrnn.nn.GRU``, by products of 8-bit
    integers; ranges as in `GRUCell`.

    Parameters
    ----------
    input_size : int
        Size of an input row, at least 1.
    hidden_size : int
        Size of a hidden row, at least 1.
    num_layers : int
        Layers, each of which reads the output of the one before.
    bias : bool
        Whether there are biases.
    batch_first : bool
        Whether input and output are (batch, steps, ...) instead of (steps, batch, ...); states are
        not.
    dropout : float
        Kept as an attribute; it acts in training alone, and so not here.
    bidirectional : bool
        Whether each layer also runs from the end of a sequence to its start.
    dtype : qint8
    reset_after : bool
        Whether r is applied after the recurrent product or before it, where PyTorch has no option.
        Only engine ``qrnn`` has the latter: it quantizes r * h on its own.
    proj_size : None
        Raises ValueError, as in PyTorch.
    engine : str, optional
        The arithmetic. Default: the current one, see ``qrnn.engine``.
    isa : str, optional
        An instruction set, one of ``qrnn.isas()``. Default: ``QRNN_ISA``, else the best.

    Attributes
    ----------
    bias_ih_l0, bias_hh_l0, bias_ih_l0_reverse, ... : ndarray, float32, shape (3 * hidden_size,), or None
        Read-only; assign a whole array to change one.
    input_size, hidden_size, num_layers : int
    bias, batch_first, bidirectional, reset_after : bool
    dropout : float
    mode, engine, isa : str
    nbytes : int
        Memory of the packed weights.

    Raises
    ------
    TypeError
        If a size is no integer, or `bias` or `batch_first` no bool.
    ValueError
        If a size, `dropout`, `dtype`, `engine` or `isa` is out of range, or a torch
        engine is to reset before the product.

    Warns
    -----
    UserWarning
        If `dropout` is not 0 and there is one layer.

    Notes
    -----
    Calls are those of ``qrnn.nn.GRU``, and with engine ``qrnn`` give the bits of the same steps by
    a `GRUCell`. The torch engines quantize the whole input of each layer by one range, and the
    state at each step by that of the rows that `lengths` leaves; one that holds a NaN or an infinity
    raises ValueError.

    Examples
    --------
    >>> import numpy as np, qrnn
    >>> gru = qrnn.GRU(4, 3, batch_first=True)
    >>> gru
    DynamicQuantizedGRU(4, 3, batch_first=True)
    >>> output, h_n = gru(np.ones((2, 5, 4), np.float32))
    >>> output.shape, h_n.shape
    ((2, 5, 3), (1, 2, 3))
    """

    _float_type = _float.GRU
    _torch_type = ("torch.nn.modules.rnn", "GRU")

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
    ) -> None:
        super().__init__()
        recurrent.no_projection(proj_size)
        expect_qint8(dtype)
        kind, options = self._kind(reset_after), (bias, batch_first, dropout, bidirectional)
        shape = self._sequence_shape(kind, input_size, hidden_size, num_layers, *options)
        self.dropout = shape.dropout
        self._fill(shape, engine, isa)
