"""Gated recurrent units, float and quantized: cells, which compute one step in a call, and layers over sequences."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._constructors import GRUCellConstructor, GRUConstructor
from ._described import Described
from ._public import public
from ._quantized_layer import QuantizedCell, QuantizedSequence
from ._recurrent import FloatCell, FloatSequence, no_projection
from ._rows import quantizes
from ._signatures import CalledAsCell, CalledAsSequence
from ._spec import cell_spec, gru_kind, sequence_spec
from ._types import expect_float32

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ._options import CellOptions, SequenceOptions

__all__ = ["GRU", "GRUCell", "QuantizedGRU", "QuantizedGRUCell"]


class GRULayer(Described):
    """The base of layers with a choice of where the reset gate acts."""

    @property
    def reset_after(self) -> bool:
        """Whether the reset gate is applied after the recurrent product, as PyTorch does, or before it."""
        return not self._spec.row.resets_before

    def _options_shown(self) -> list[str]:
        return [*([] if self.reset_after else ["reset_after=False"]), *super()._options_shown()]


@public("qrnn.nn")
class GRUCell(GRULayer, CalledAsCell, FloatCell):
    """A gated recurrent unit in float32, as ``torch.nn.GRUCell``.

    ::

        r = sigmoid(W_ir x + b_ir + W_hr h + b_hr)
        z = sigmoid(W_iz x + b_iz + W_hz h + b_hz)
        n = tanh(W_in x + b_in + r * (W_hn h + b_hn))         reset_after=True
        n = tanh(W_in x + b_in + W_hn (r * h) + b_hn)         reset_after=False
        h' = n + z * (h - n)

    The GRU of Cho et al., 2014, "Learning Phrase Representations using RNN Encoder-Decoder", resets
    before the product (ONNX: ``linear_before_reset=0``); PyTorch and Keras reset after it.

    Parameters
    ----------
    input_size : int
        Size of an input row, not negative.
    hidden_size : int
        Size of a hidden row, at least 1.
    bias : bool
        Whether to add ``bias_ih`` and ``bias_hh``.
    device : None or "cpu"
    dtype : None or float32
    reset_after : bool
        Whether r is applied after the recurrent product, as in PyTorch, or before it.
    isa : str, optional
        An instruction set, one of ``qrnn.isas()``. Default: ``QRNN_ISA``, else the best.
    **options
        `activations`, `clip`, see docs/options.md.

    Attributes
    ----------
    weight_ih : ndarray, float32, shape (3 * hidden_size, input_size)
        Rows of r, z and n in this order. Read-only; assign a whole array to change it. New: uniform
        in +-1/sqrt(hidden_size).
    weight_hh : ndarray, float32, shape (3 * hidden_size, hidden_size)
        Likewise.
    bias_ih, bias_hh : ndarray, float32, shape (3 * hidden_size,), or None
        Likewise.
    input_size, hidden_size : int
    bias, reset_after : bool
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
    Calls are those of `RNNCell`.

    Examples
    --------
    >>> import numpy as np, qrnn.nn as nn
    >>> cell = nn.GRUCell(4, 3)
    >>> h = cell(np.ones((2, 4)))
    >>> cell(np.ones((2, 4)), h).shape
    (2, 3)
    >>> nn.GRUCell(4, 3, reset_after=False)
    GRUCell(4, 3, reset_after=False)
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        reset_after: bool = True,
        isa: str | None = None,
        **options: Unpack[CellOptions],
    ) -> None:
        super().__init__()
        expect_float32(device, dtype)
        self._fill(cell_spec(gru_kind(reset_after), input_size, hidden_size, bias, **options), isa)


@public("qrnn.nn")
class GRU(GRULayer, CalledAsSequence, FloatSequence):
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
        Kept as an attribute; it acts only in training, which qrnn does not do.
    bidirectional : bool
        Whether each layer also runs from the end of a sequence to its start.
    device : None or "cpu"
    dtype : None or float32
    reset_after : bool
        Whether r is applied after the recurrent product, as in PyTorch, or before it.
    proj_size : None
        Raises ValueError, as in PyTorch.
    isa : str, optional
        An instruction set, one of ``qrnn.isas()``. Default: ``QRNN_ISA``, else the best.
    **options
        `activations`, `clip`, `reverse`, `initial_states`, see docs/options.md.

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
        If a size is no integer, or `bias` or `batch_first` no bool; or for an unknown option.
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
        **options: Unpack[SequenceOptions],
    ) -> None:
        super().__init__()
        no_projection(proj_size)
        expect_float32(device, dtype)
        given = bias, batch_first, dropout, bidirectional
        self._fill(sequence_spec(gru_kind(reset_after), input_size, hidden_size, num_layers, *given, **options), isa)


@quantizes(GRUCell)
@public("qrnn.nn.quantized.dynamic", "GRUCell")
class QuantizedGRUCell(GRUCellConstructor, GRULayer, CalledAsCell, QuantizedCell):
    """A gated recurrent unit with int8 weights, as ``torch.ao.nn.quantized.dynamic.GRUCell``.

    Both products multiply 8-bit integers. Each call quantizes x and h: engine ``qrnn`` each row by its
    own range, the torch engines the whole batch by one range, in PyTorch's arithmetic.

    Parameters
    ----------
    input_size : int
        Size of an input row, not negative.
    hidden_size : int
        Size of a hidden row, at least 1.
    bias : bool
        Whether there are biases.
    dtype : qint8
    reset_after : bool
        Whether r is applied after the recurrent product, as in PyTorch, or before it.
        Engines of PyTorch reset only after it. The others quantize r * h by its own ranges.
    engine : str, optional
        The arithmetic. Default: the current one, see ``qrnn.engine``.
    isa : str, optional
        An instruction set, one of ``qrnn.isas()``. Default: ``QRNN_ISA``, else the best.
    **options
        `activations`, `clip`, see docs/options.md.

    Attributes
    ----------
    bias_ih, bias_hh : ndarray, float32, shape (3 * hidden_size,), or None
        Read-only; assign a whole array to change one.
    input_size, hidden_size : int
    bias, reset_after : bool
    engine, isa : str
    nbytes : int
        Memory of the packed weights.

    Raises
    ------
    TypeError
        If a size is no integer; or for an unknown option.
    ValueError
        If a size, `dtype`, `engine` or `isa` is out of range, or `reset_after` is False with a torch
        engine.

    Notes
    -----
    Calls and equations are those of ``qrnn.nn.GRUCell``. With the torch engines an input or state that
    holds a NaN or an infinity raises ValueError; with engine ``qrnn`` it makes its own row NaN.

    Examples
    --------
    >>> import numpy as np, qrnn
    >>> cell = qrnn.GRUCell(4, 3, engine="fbgemm")
    >>> cell
    DynamicQuantizedGRUCell(4, 3, engine=fbgemm)
    >>> cell(np.ones((2, 4), np.float32)).shape
    (2, 3)
    """


@quantizes(GRU)
@public("qrnn.nn.quantized.dynamic", "GRU")
class QuantizedGRU(GRUConstructor, GRULayer, CalledAsSequence, QuantizedSequence):
    """Gated recurrent units with int8 weights, as ``torch.ao.nn.quantized.dynamic.GRU``.

    One call computes all steps, layers and directions, as in ``qrnn.nn.GRU``, with products of 8-bit
    integers; the ranges are those of `GRUCell`.

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
        Kept as an attribute; it acts only in training, which qrnn does not do.
    bidirectional : bool
        Whether each layer also runs from the end of a sequence to its start.
    dtype : qint8
    reset_after : bool
        Whether r is applied after the recurrent product, as in PyTorch, or before it.
        Engines of PyTorch reset only after it. The others quantize r * h by its own ranges.
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
        If a size is no integer, or `bias` or `batch_first` no bool; or for an unknown option.
    ValueError
        If a size, `dropout`, `dtype`, `engine` or `isa` is out of range, or `reset_after` is False
        with a torch engine.

    Warns
    -----
    UserWarning
        If `dropout` is not 0 and there is one layer.

    Notes
    -----
    Calls are those of ``qrnn.nn.GRU``. With engine ``qrnn`` they give the bits of the same steps by
    a `GRUCell`. The torch engines quantize the whole input of each layer by one range, and the
    state at each step by the range of the rows that are active by `lengths`; an input or state that
    holds a NaN or an infinity raises ValueError.

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
