"""Recurrent layers in float32: whole sequences, through all layers and directions, in one call."""

from __future__ import annotations

from typing import Any

from ..._types import expect_float32
from .layer import FloatLayer
from .recurrent import ElmanLayer, GRULayer, LSTMLayer, SequenceLayer, no_projection

__all__ = ["GRU", "LSTM", "RNN"]


class RNN(ElmanLayer, SequenceLayer, FloatLayer):
    """Elman layers over whole sequences in float32, as ``torch.nn.RNN``.

    Each layer in each direction computes the steps of an `RNNCell`.

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
        Whether to add biases.
    batch_first : bool
        Whether input and output are (batch, steps, ...) instead of (steps, batch, ...); states are
        not.
    dropout : float
        Kept as an attribute; it acts in training alone, and so not here.
    bidirectional : bool
        Whether each layer also runs from the end of a sequence to its start.
    device : None or "cpu"
    dtype : None or float32
    proj_size : None
        Raises ValueError, as in PyTorch.
    isa : str, optional
        An instruction set, one of ``qrnn.isas()``. Default: ``QRNN_ISA``, else the best.

    Attributes
    ----------
    weight_ih_l0, weight_ih_l0_reverse, weight_ih_l1, ... : ndarray, float32
        Of shape (hidden_size, input_size), from the second layer on (hidden_size, directions *
        hidden_size). Read-only; assign a whole array to change one. New: uniform in
        +-1/sqrt(hidden_size).
    weight_hh_l0, ... : ndarray, float32, shape (hidden_size, hidden_size)
        Likewise.
    bias_ih_l0, bias_hh_l0, ... : ndarray, float32, shape (hidden_size,), or None
        Likewise.
    input_size, hidden_size, num_layers : int
    bias, batch_first, bidirectional : bool
    dropout : float
    nonlinearity, mode, isa : str
    nbytes : int
        Memory of the packed weights.

    Raises
    ------
    TypeError
        If a size is no integer, or `bias` or `batch_first` no bool.
    ValueError
        If a size, `nonlinearity`, `dropout`, `device`, `dtype` or `isa` is out of range.

    Warns
    -----
    UserWarning
        If `dropout` is not 0 and there is one layer.

    Notes
    -----
    ``rnn(input, hx=None, *, lengths=None, out=None)`` gives ``(output, h_n)``, float32.

    =========  =====================================================  ============================
    input      (steps, batch, input_size)                             or (steps, input_size)
    hx, h_n    (num_layers * directions, batch, hidden_size)          without batch
    output     (steps, batch, directions * hidden_size)               without batch
    lengths    batch integers, each in 1..steps                       one integer
    out        an array for `output`, or a pair (output, h_n)         likewise
    =========  =====================================================  ============================

    `hx` is zeros where it is None. `output` has the h of the last layer at each step. With
    `lengths`, which need not be sorted, rows end early, as packed sequences do in PyTorch: `output`
    is zero past the end of a row, `h_n` is that of its last step, and the reverse direction starts
    there. A shape that does not fit raises RuntimeError or ValueError with PyTorch's text.

    Examples
    --------
    >>> import numpy as np, qrnn.nn as nn
    >>> rnn = nn.RNN(4, 3, num_layers=2, bidirectional=True)
    >>> output, h_n = rnn(np.ones((5, 2, 4)), lengths=[5, 3])
    >>> output.shape, h_n.shape
    ((5, 2, 6), (4, 2, 3))
    >>> bool((output[3:, 1] == 0).all())
    True
    """

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
        device: Any = None,
        dtype: Any = None,
        *,
        proj_size: None = None,
        isa: str | None = None,
    ) -> None:
        super().__init__()
        no_projection(proj_size)
        expect_float32(device, dtype)
        kind, options = self._kind(nonlinearity), (bias, batch_first, dropout, bidirectional)
        shape = self._sequence_shape(kind, input_size, hidden_size, num_layers, *options)
        self.dropout = shape.dropout
        self._fill(shape, isa)


class LSTM(LSTMLayer, SequenceLayer, FloatLayer):
    """Long short-term memory over whole sequences in float32, as ``torch.nn.LSTM``.

    Each layer in each direction computes the steps of an `LSTMCell`. With a projection (Sak, Senior
    and Beaufays, 2014, "Long Short-Term Memory Based Recurrent Neural Network Architectures for
    Large Vocabulary Speech Recognition") ``h' = W_hr (sigmoid(o) * tanh(c'))``.

    Parameters
    ----------
    input_size : int
        Size of an input row, at least 1.
    hidden_size : int
        Size of a row of c, and without a projection of h, at least 1.
    num_layers : int
        Layers, each of which reads the output of the one before.
    bias : bool
        Whether to add biases.
    batch_first : bool
        Whether input and output are (batch, steps, ...) instead of (steps, batch, ...); states are
        not.
    dropout : float
        Kept as an attribute; it acts in training alone, and so not here.
    bidirectional : bool
        Whether each layer also runs from the end of a sequence to its start.
    proj_size : int
        Size of a row of h, less than `hidden_size`; 0: no projection.
    device : None or "cpu"
    dtype : None or float32
    isa : str, optional
        An instruction set, one of ``qrnn.isas()``. Default: ``QRNN_ISA``, else the best.

    Attributes
    ----------
    weight_ih_l0, weight_ih_l0_reverse, weight_ih_l1, ... : ndarray, float32
        Rows of i, f, g and o in this order: of shape (4 * hidden_size, input_size), from the second
        layer on (4 * hidden_size, directions * size of h). Read-only; assign a whole array to
        change one. New: uniform in +-1/sqrt(hidden_size).
    weight_hh_l0, ... : ndarray, float32, shape (4 * hidden_size, size of h)
        Likewise.
    weight_hr_l0, ... : ndarray, float32, shape (proj_size, hidden_size)
        Likewise; only with a projection.
    bias_ih_l0, bias_hh_l0, ... : ndarray, float32, shape (4 * hidden_size,), or None
        Likewise.
    input_size, hidden_size, num_layers, proj_size : int
    bias, batch_first, bidirectional : bool
    dropout : float
    mode, isa : str
    nbytes : int
        Memory of the packed weights.

    Raises
    ------
    TypeError
        If a size is no integer, or `bias` or `batch_first` no bool.
    ValueError
        If a size, `dropout`, `device`, `dtype` or `isa` is out of range.

    Warns
    -----
    UserWarning
        If `dropout` is not 0 and there is one layer.

    Notes
    -----
    ``lstm(input, hx=None, *, lengths=None, out=None)`` gives ``(output, (h_n, c_n))``. Calls are
    those of `RNN`, but `hx` is a pair (h, c), and `out` the array for `output` or a tuple shaped
    like the result; c is of shape (num_layers * directions, batch, hidden_size).

    Examples
    --------
    >>> import numpy as np, qrnn.nn as nn
    >>> lstm = nn.LSTM(4, 3, batch_first=True, proj_size=2)
    >>> output, (h_n, c_n) = lstm(np.ones((8, 5, 4)))
    >>> output.shape, h_n.shape, c_n.shape
    ((8, 5, 2), (1, 8, 2), (1, 8, 3))
    >>> list(lstm.state_dict())
    ['weight_ih_l0', 'weight_hh_l0', 'bias_ih_l0', 'bias_hh_l0', 'weight_hr_l0']
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Any = None,
        dtype: Any = None,
        *,
        isa: str | None = None,
    ) -> None:
        super().__init__()
        expect_float32(device, dtype)
        options = bias, batch_first, dropout, bidirectional, proj_size
        shape = self._sequence_shape("lstm", input_size, hidden_size, num_layers, *options)
        self.dropout = shape.dropout
        self._fill(shape, isa)


class GRU(GRULayer, SequenceLayer, FloatLayer):
    """Gated recurrent units over whole sequences in float32, as ``torch.nn.GRU``.

    Each layer in each direction computes the steps of a `GRUCell`.

    Parameters
    ----------
    input_size : int
        Size of an input row, at least 1.
    hidden_size : int
        Size of a hidden row, at least 1.
    num_layers : int
        Layers, each of which reads the output of the one before.
    bias : bool
        Whether to add biases.
    batch_first : bool
        Whether input and output are (batch, steps, ...) instead of (steps, batch, ...); states are
        not.
    dropout : float
        Kept as an attribute; it acts in training alone, and so not here.
    bidirectional : bool
        Whether each layer also runs from the end of a sequence to its start.
    device : None or "cpu"
    dtype : None or float32
    reset_after : bool
        Whether r is applied after the recurrent product or before it, where PyTorch has no option.
    proj_size : None
        Raises ValueError, as in PyTorch.
    isa : str, optional
        An instruction set, one of ``qrnn.isas()``. Default: ``QRNN_ISA``, else the best.

    Attributes
    ----------
    weight_ih_l0, weight_ih_l0_reverse, weight_ih_l1, ... : ndarray, float32
        Rows of r, z and n in this order: of shape (3 * hidden_size, input_size), from the second
        layer on (3 * hidden_size, directions * hidden_size). Read-only; assign a whole array to
        change one. New: uniform in +-1/sqrt(hidden_size).
    weight_hh_l0, ... : ndarray, float32, shape (3 * hidden_size, hidden_size)
        Likewise.
    bias_ih_l0, bias_hh_l0, ... : ndarray, float32, shape (3 * hidden_size,), or None
        Likewise.
    input_size, hidden_size, num_layers : int
    bias, batch_first, bidirectional, reset_after : bool
    dropout : float
    mode, isa : str
    nbytes : int
        Memory of the packed weights.

    Raises
    ------
    TypeError
        If a size is no integer, or `bias` or `batch_first` no bool.
    ValueError
        If a size, `dropout`, `device`, `dtype` or `isa` is out of range.

    Warns
    -----
    UserWarning
        If `dropout` is not 0 and there is one layer.

    Notes
    -----
    Calls are those of `RNN`.

    Examples
    --------
    >>> import numpy as np, qrnn.nn as nn
    >>> gru = nn.GRU(4, 3, num_layers=2)
    >>> gru
    GRU(4, 3, num_layers=2)
    >>> output, h_n = gru(np.ones((5, 2, 4)))
    >>> output.shape, h_n.shape
    ((5, 2, 3), (2, 2, 3))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: Any = None,
        *,
        reset_after: bool = True,
        proj_size: None = None,
        isa: str | None = None,
    ) -> None:
        super().__init__()
        no_projection(proj_size)
        expect_float32(device, dtype)
        kind, options = self._kind(reset_after), (bias, batch_first, dropout, bidirectional)
        shape = self._sequence_shape(kind, input_size, hidden_size, num_layers, *options)
        self.dropout = shape.dropout
        self._fill(shape, isa)
