"""Long short-term memory, float and quantized: cells, which compute one step in a call, and layers over sequences."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._constructors import LSTMCellConstructor, LSTMConstructor
from ._public import public
from ._quantized_layer import QuantizedCell, QuantizedSequence
from ._recurrent import FloatCell, FloatSequence, LSTMLayer
from ._rows import quantizes
from ._signatures import CalledAsLSTM, CalledAsLSTMCell
from ._spec import cell_spec, sequence_spec
from ._types import expect_float32

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ._options import LSTMCellOptions, LSTMOptions

__all__ = ["LSTM", "LSTMCell", "QuantizedLSTM", "QuantizedLSTMCell"]


@public("qrnn.nn")
class LSTMCell(LSTMLayer, CalledAsLSTMCell, FloatCell):
    """A long short-term memory cell in float32, as ``torch.nn.LSTMCell``.

    ::

        i, f, g, o = W_ih x + b_ih + W_hh h + b_hh
        c' = sigmoid(f) * c + sigmoid(i) * tanh(g)
        h' = sigmoid(o) * tanh(c')

    (Hochreiter and Schmidhuber, 1997, "Long Short-Term Memory"; the forget gate f: Gers,
    Schmidhuber and Cummins, 2000, "Learning to Forget").

    Parameters
    ----------
    input_size : int
        Size of an input row, not negative.
    hidden_size : int
        Size of a row of h and of c, at least 1.
    bias : bool
        Whether to add ``bias_ih`` and ``bias_hh``.
    device : None or "cpu"
    dtype : None or float32
    isa : str, optional
        An instruction set, one of ``qrnn.isas()``. Default: ``QRNN_ISA``, else the best.
    **options
        `activations`, `clip`, `peepholes`, `input_forget`, `cell_clip`, `layer_norm`, see docs/options.md.

    Attributes
    ----------
    weight_ih : ndarray, float32, shape (4 * hidden_size, input_size)
        Rows of i, f, g and o in this order. Read-only; assign a whole array to change it. New:
        uniform in +-1/sqrt(hidden_size).
    weight_hh : ndarray, float32, shape (4 * hidden_size, hidden_size)
        Likewise.
    bias_ih, bias_hh : ndarray, float32, shape (4 * hidden_size,), or None
        Likewise.
    input_size, hidden_size : int
    bias : bool
    isa : str
    nbytes : int
        Memory of the packed weights.

    Raises
    ------
    TypeError
        If a size is no integer; or for an unknown option.
    ValueError
        If a size, `device`, `dtype` or `isa` is out of range.

    Notes
    -----
    ``cell(input, hx=None, *, out=None)`` takes `input` of shape (batch, input_size) or
    (input_size,) and `hx`, a pair (h, c) of shape (batch, hidden_size) or (hidden_size,) each, None
    for zeros. It returns the new pair: new float32 arrays, or those of the pair `out`, which may be
    those of `hx`. A shape that does not fit raises RuntimeError or ValueError with PyTorch's text.

    Examples
    --------
    >>> import numpy as np, qrnn.nn as nn
    >>> cell = nn.LSTMCell(4, 3)
    >>> h, c = cell(np.ones((2, 4)))
    >>> h, c = cell(np.ones((2, 4)), (h, c))
    >>> h.shape, c.shape, c.dtype
    ((2, 3), (2, 3), dtype('float32'))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        isa: str | None = None,
        **options: Unpack[LSTMCellOptions],
    ) -> None:
        super().__init__()
        expect_float32(device, dtype)
        self._fill(cell_spec("lstm", input_size, hidden_size, bias, **options), isa)


@public("qrnn.nn")
class LSTM(LSTMLayer, CalledAsLSTM, FloatSequence):
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
        Kept as an attribute; it acts only in training, which qrnn does not do.
    bidirectional : bool
        Whether each layer also runs from the end of a sequence to its start.
    proj_size : int
        Size of a row of h, less than `hidden_size`; 0: no projection.
    device : None or "cpu"
    dtype : None or float32
    isa : str, optional
        An instruction set, one of ``qrnn.isas()``. Default: ``QRNN_ISA``, else the best.
    **options
        `activations`, `clip`, `peepholes`, `input_forget`, `cell_clip`, `layer_norm`, `proj_clip`,
        `reverse`, `initial_states`, see docs/options.md.

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
        If a size is no integer, or `bias` or `batch_first` no bool; or for an unknown option.
    ValueError
        If a size, `dropout`, `device`, `dtype` or `isa` is out of range.

    Warns
    -----
    UserWarning
        If `dropout` is not 0 and there is one layer.

    Notes
    -----
    ``lstm(input, hx=None, *, lengths=None, out=None)`` returns ``(output, (h_n, c_n))``. Calls are
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
        **options: Unpack[LSTMOptions],
    ) -> None:
        super().__init__()
        expect_float32(device, dtype)
        given = bias, batch_first, dropout, bidirectional, proj_size
        self._fill(sequence_spec("lstm", input_size, hidden_size, num_layers, *given, **options), isa)


@quantizes(LSTMCell)
@public("qrnn.nn.quantized.dynamic", "LSTMCell")
class QuantizedLSTMCell(LSTMCellConstructor, LSTMLayer, CalledAsLSTMCell, QuantizedCell):
    """A long short-term memory cell with int8 weights, as ``torch.ao.nn.quantized.dynamic.LSTMCell``.

    Both products multiply 8-bit integers. Each call quantizes x and h, but not c: engine ``qrnn``
    each row by its own range, the torch engines the whole batch by one range, in PyTorch's
    arithmetic.

    Parameters
    ----------
    input_size : int
        Size of an input row, not negative.
    hidden_size : int
        Size of a row of h and of c, at least 1.
    bias : bool
        Whether there are biases.
    dtype : qint8
    engine : str, optional
        The arithmetic. Default: the current one, see ``qrnn.engine``.
    isa : str, optional
        An instruction set, one of ``qrnn.isas()``. Default: ``QRNN_ISA``, else the best.
    **options
        `activations`, `clip`, `peepholes`, `input_forget`, `cell_clip`, `layer_norm`, see docs/options.md.

    Attributes
    ----------
    bias_ih, bias_hh : ndarray, float32, shape (4 * hidden_size,), or None
        Read-only; assign a whole array to change one.
    input_size, hidden_size : int
    bias : bool
    engine, isa : str
    nbytes : int
        Memory of the packed weights.

    Raises
    ------
    TypeError
        If a size is no integer; or for an unknown option.
    ValueError
        If a size, `dtype`, `engine` or `isa` is out of range.

    Notes
    -----
    Calls and equations are those of ``qrnn.nn.LSTMCell``. With the torch engines an input or state that
    holds a NaN or an infinity raises ValueError; with engine ``qrnn`` it makes its own row NaN (in x or
    h).

    Examples
    --------
    >>> import numpy as np, qrnn
    >>> cell = qrnn.LSTMCell(4, 3)
    >>> cell
    DynamicQuantizedLSTMCell(4, 3)
    >>> h, c = cell(np.ones((2, 4), np.float32))
    >>> h, c = cell(np.ones((2, 4), np.float32), (h, c), out=(h, c))
    >>> h.shape, c.dtype
    ((2, 3), dtype('float32'))
    """


@quantizes(LSTM)
@public("qrnn.nn.quantized.dynamic", "LSTM")
class QuantizedLSTM(LSTMConstructor, LSTMLayer, CalledAsLSTM, QuantizedSequence):
    """Long short-term memory with int8 weights, as ``torch.ao.nn.quantized.dynamic.LSTM``.

    One call computes all steps, layers and directions, as in ``qrnn.nn.LSTM``, with products of 8-bit
    integers; the ranges are those of `LSTMCell`.

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
        Kept as an attribute; it acts only in training, which qrnn does not do.
    bidirectional : bool
        Whether each layer also runs from the end of a sequence to its start.
    dtype : qint8
    proj_size : int
        Size of a row of h, less than `hidden_size`; 0: no projection. Engines of PyTorch have no
        projections. The others quantize the inputs of a projection row by row.
    engine : str, optional
        The arithmetic. Default: the current one, see ``qrnn.engine``.
    isa : str, optional
        An instruction set, one of ``qrnn.isas()``. Default: ``QRNN_ISA``, else the best.
    **options
        `activations`, `clip`, `peepholes`, `input_forget`, `cell_clip`, `layer_norm`, `proj_clip`,
        `reverse`, `initial_states`, see docs/options.md.

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
        If a size is no integer, or `bias` or `batch_first` no bool; or for an unknown option.
    ValueError
        If a size, `dropout`, `dtype`, `engine` or `isa` is out of range, or `proj_size` is given with
        a torch engine.

    Warns
    -----
    UserWarning
        If `dropout` is not 0 and there is one layer.

    Notes
    -----
    Calls are those of ``qrnn.nn.LSTM``. With engine ``qrnn`` they give the bits of the same steps by
    an `LSTMCell`. The torch engines quantize the whole input of each layer by one range, and the
    state at each step by the range of the rows that are active by `lengths`; an input or state that
    holds a NaN or an infinity raises ValueError.

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
