"""Elman layers, float and quantized: cells, which compute one time step in a call, and layers over sequences."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._constructors import RNNCellConstructor, RNNConstructor
from ._described import Described
from ._public import public
from ._quantized_layer import QuantizedCell, QuantizedSequence
from ._recurrent import FloatCell, FloatSequence, RecurrentLayer, no_projection
from ._rows import quantizes
from ._signatures import CalledAsCell, CalledAsSequence
from ._spec import cell_spec, rnn_kind, sequence_spec
from ._types import expect_float32

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ._options import CellOptions, SequenceOptions

__all__ = ["RNN", "ElmanCell", "ElmanLayer", "QuantizedRNN", "QuantizedRNNCell", "RNNCell"]


class ElmanLayer(Described):
    """The base of layers with a choice of non-linearity."""

    @property
    def nonlinearity(self) -> str:
        """``"tanh"`` or ``"relu"``."""
        return str(self._spec.options["nonlinearity"])


class ElmanCell(ElmanLayer, RecurrentLayer):
    """A cell whose repr shows the non-linearity, as in PyTorch; that of a sequence does not."""

    def _options_shown(self) -> list[str]:
        own = [] if self.nonlinearity == "tanh" else [f"nonlinearity={self.nonlinearity}"]
        return [*own, *super()._options_shown()]


@public("qrnn.nn")
class RNNCell(ElmanCell, CalledAsCell, FloatCell):
    """An Elman cell in float32, as ``torch.nn.RNNCell``.

    ``h' = tanh(W_ih x + b_ih + W_hh h + b_hh)``, or ``max(0, ...)`` (Elman, 1990, "Finding Structure
    in Time").

    Parameters
    ----------
    input_size : int
        Size of an input row, not negative.
    hidden_size : int
        Size of a hidden row, at least 1.
    bias : bool
        Whether to add ``bias_ih`` and ``bias_hh``.
    nonlinearity : {"tanh", "relu"}
    device : None or "cpu"
    dtype : None or float32
    isa : str, optional
        An instruction set, one of ``qrnn.isas()``. Default: ``QRNN_ISA``, else the best.
    **options
        `activations`, `clip`, see docs/options.md.

    Attributes
    ----------
    weight_ih : ndarray, float32, shape (hidden_size, input_size)
        Read-only; assign a whole array to change it. New: uniform in +-1/sqrt(hidden_size).
    weight_hh : ndarray, float32, shape (hidden_size, hidden_size)
        Likewise.
    bias_ih, bias_hh : ndarray, float32, shape (hidden_size,), or None
        Likewise.
    input_size, hidden_size : int
    bias : bool
    nonlinearity : str
    isa : str
    nbytes : int
        Memory of the packed weights.

    Raises
    ------
    TypeError
        If a size is no integer; or for an unknown option.
    ValueError
        If a size, `nonlinearity`, `device`, `dtype` or `isa` is out of range.

    Notes
    -----
    ``cell(input, hx=None, *, out=None)`` takes `input` of shape (batch, input_size) or
    (input_size,) and `hx` of shape (batch, hidden_size) or (hidden_size,), None for zeros. It returns
    the new state in the shape of `hx`: a new float32 array, or `out`, which may be `hx` itself. A
    shape that does not fit raises RuntimeError or ValueError with PyTorch's text.

    Examples
    --------
    >>> import numpy as np, qrnn.nn as nn
    >>> cell = nn.RNNCell(4, 3)
    >>> h = cell(np.ones((2, 4)))
    >>> h = cell(np.ones((2, 4)), h)
    >>> h.shape, h.dtype
    ((2, 3), dtype('float32'))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        device: Any = None,
        dtype: Any = None,
        *,
        isa: str | None = None,
        **options: Unpack[CellOptions],
    ) -> None:
        super().__init__()
        expect_float32(device, dtype)
        self._fill(cell_spec(rnn_kind(nonlinearity), input_size, hidden_size, bias, **options), isa)


@public("qrnn.nn")
class RNN(ElmanLayer, CalledAsSequence, FloatSequence):
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
        Kept as an attribute; it acts only in training, which qrnn does not do.
    bidirectional : bool
        Whether each layer also runs from the end of a sequence to its start.
    device : None or "cpu"
    dtype : None or float32
    proj_size : None
        Raises ValueError, as in PyTorch.
    isa : str, optional
        An instruction set, one of ``qrnn.isas()``. Default: ``QRNN_ISA``, else the best.
    **options
        `activations`, `clip`, `reverse`, `initial_states`, see docs/options.md.

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
        If a size is no integer, or `bias` or `batch_first` no bool; or for an unknown option.
    ValueError
        If a size, `nonlinearity`, `dropout`, `device`, `dtype` or `isa` is out of range.

    Warns
    -----
    UserWarning
        If `dropout` is not 0 and there is one layer.

    Notes
    -----
    ``rnn(input, hx=None, *, lengths=None, out=None)`` returns ``(output, h_n)``, float32.

    =========  =====================================================  ============================
    input      (steps, batch, input_size)                             or (steps, input_size)
    hx, h_n    (num_layers * directions, batch, hidden_size)          without batch
    output     (steps, batch, directions * hidden_size)               without batch
    lengths    batch integers, each in 0..steps                       one integer
    out        an array for `output`, or a pair (output, h_n)         likewise
    =========  =====================================================  ============================

    `hx` None means zeros. `output` has the h of the last layer at each step. With `lengths`, which
    need not be sorted, rows end early, like packed sequences in PyTorch: `output` is zero past the
    end of a row, `h_n` is the state of its last step, and the reverse direction starts there. A row
    of length 0 keeps its state; where rows share a scale, it is refused. A shape that does not fit
    raises RuntimeError or ValueError with PyTorch's text.

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
        **options: Unpack[SequenceOptions],
    ) -> None:
        super().__init__()
        no_projection(proj_size)
        expect_float32(device, dtype)
        given = bias, batch_first, dropout, bidirectional
        self._fill(sequence_spec(rnn_kind(nonlinearity), input_size, hidden_size, num_layers, *given, **options), isa)


@quantizes(RNNCell)
@public("qrnn.nn.quantized.dynamic", "RNNCell")
class QuantizedRNNCell(RNNCellConstructor, ElmanCell, CalledAsCell, QuantizedCell):
    """An Elman cell with int8 weights, as ``torch.ao.nn.quantized.dynamic.RNNCell``.

    ``h' = tanh(W_ih x + b_ih + W_hh h + b_hh)``, or ``max(0, ...)``; both products multiply 8-bit
    integers. Each call quantizes x and h: engine ``qrnn`` each row by its own range, the torch
    engines the whole batch by one range, in PyTorch's arithmetic.

    Parameters
    ----------
    input_size : int
        Size of an input row, not negative.
    hidden_size : int
        Size of a hidden row, at least 1.
    bias : bool
        Whether there are biases.
    nonlinearity : {"tanh", "relu"}
    dtype : qint8
    engine : str, optional
        The arithmetic. Default: the current one, see ``qrnn.engine``.
    isa : str, optional
        An instruction set, one of ``qrnn.isas()``. Default: ``QRNN_ISA``, else the best.
    **options
        `activations`, `clip`, see docs/options.md.

    Attributes
    ----------
    bias_ih, bias_hh : ndarray, float32, shape (hidden_size,), or None
        Read-only; assign a whole array to change one.
    input_size, hidden_size : int
    bias : bool
    nonlinearity : str
    engine, isa : str
    nbytes : int
        Memory of the packed weights.

    Raises
    ------
    TypeError
        If a size is no integer; or for an unknown option.
    ValueError
        If a size, `nonlinearity`, `dtype`, `engine` or `isa` is out of range.

    Notes
    -----
    Calls are those of ``qrnn.nn.RNNCell``. With the torch engines an input or state that holds a
    NaN or an infinity raises ValueError; with engine ``qrnn`` it makes its own row NaN.

    Examples
    --------
    >>> import numpy as np, qrnn
    >>> cell = qrnn.RNNCell(4, 3)
    >>> cell
    DynamicQuantizedRNNCell(4, 3)
    >>> h = cell(np.ones((2, 4), np.float32))
    >>> h.shape, h.dtype
    ((2, 3), dtype('float32'))
    >>> cell.get_weight()["weight_ih"]
    QTensor(shape=(3, 4), dtype=qrnn.qint8, qscheme=qrnn.per_channel_affine)
    """


@quantizes(RNN)
@public("qrnn.nn.quantized.dynamic", "RNN")
class QuantizedRNN(RNNConstructor, ElmanLayer, CalledAsSequence, QuantizedSequence):
    """Elman layers with int8 weights over whole sequences, which PyTorch lacks.

    One call computes all steps, layers and directions, as in ``qrnn.nn.RNN``, with products of 8-bit
    integers; the ranges are those of `RNNCell`.

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
        Kept as an attribute; it acts only in training, which qrnn does not do.
    bidirectional : bool
        Whether each layer also runs from the end of a sequence to its start.
    dtype : qint8
    proj_size : None
        Raises ValueError, as in PyTorch.
    engine : str, optional
        The arithmetic. Default: the current one, see ``qrnn.engine``.
    isa : str, optional
        An instruction set, one of ``qrnn.isas()``. Default: ``QRNN_ISA``, else the best.
    **options
        `activations`, `clip`, `reverse`, `initial_states`, see docs/options.md.

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
        If a size is no integer, or `bias` or `batch_first` no bool; or for an unknown option.
    ValueError
        If a size, `nonlinearity`, `dropout`, `dtype`, `engine` or `isa` is out of range.

    Warns
    -----
    UserWarning
        If `dropout` is not 0 and there is one layer.

    Notes
    -----
    Calls are those of ``qrnn.nn.RNN``. With engine ``qrnn`` they give the bits of the same steps by
    an `RNNCell`. The torch engines quantize the whole input of each layer by one range, and the
    state at each step by the range of the rows that are active by `lengths`; an input or state that
    holds a NaN or an infinity raises ValueError.

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
