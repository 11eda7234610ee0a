"""The dynamically quantized recurrent cells: one time step a call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ....._types import expect_qint8, qint8
from ....modules import cells as _float
from ....modules import recurrent
from .base import QuantizedRecurrent

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["GRUCell", "LSTMCell", "RNNCell"]


class QuantizedCell(recurrent.CellLayer, QuantizedRecurrent):
    """What quantized cells share."""

    bias_ih: NDArray[Any] | None
    bias_hh: NDArray[Any] | None

    def set_weight_bias(self, weight_bias_dict: Mapping[str, Mapping[str, Any]]) -> None:
        """Replace all weights and biases.

        Parameters
        ----------
        weight_bias_dict : dict
            ``{"weight": {name: QTensor}, "bias": {name: array_like or None}}``, as `_weight_bias`
            gives. Quantized torch tensors are taken too.

        Raises
        ------
        KeyError
            If a name is missing.
        TypeError, ValueError
            If a value does not fit. In each case nothing has changed.
        """
        if not isinstance(weight_bias_dict, Mapping):
            raise TypeError(f"weight_bias_dict: expected a dict, got {type(weight_bias_dict).__name__}")
        self._replace_all(dict(weight_bias_dict["weight"]), dict(weight_bias_dict["bias"]))


class RNNCell(recurrent.RNNCellLayer, QuantizedCell):
    """An Elman cell with int8 weights, as ``torch.ao.nn.quantized.dynamic.RNNCell``.

    ``h' = tanh(W_ih x + b_ih + W_hh h + b_hh)``, or ``max(0, ...)``; both products are of 8-bit
    integers. Each call quantizes x and h: with engine ``qrnn`` every row by its own range, with the
    torch engines the whole batch by one, in PyTorch's arithmetic.

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
        If a size is no integer.
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

    _float_type = _float.RNNCell
    _torch_type = ("torch.nn.modules.rnn", "RNNCell")

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
    ) -> None:
        super().__init__()
        expect_qint8(dtype)
        shape = self._cell_shape(self._kind(nonlinearity), input_size, hidden_size, bias)
        self._fill(shape, engine, isa)


class LSTMCell(recurrent.LSTMLayer, QuantizedCell):
    """A long short-term memory cell with int8 weights, as ``torch.ao.nn.quantized.dynamic.LSTMCell``.

    Both products are of 8-bit integers. Each call quantizes x and h, but not c: with engine ``qrnn``
    every row by its own range, with the torch engines the whole batch by one, in PyTorch's
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
        If a size is no integer.
    ValueError
        If a size, `dtype`, `engine` or `isa` is out of range.

    Notes
    -----
    Calls and equations are those of ``qrnn.nn.LSTMCell``. With the torch engines an input or state that
    holds a NaN or an infinity raises ValueError;
    with engine ``qrnn`` it makes its own row NaN (in x or h).


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

    _float_type = _float.LSTMCell
    _torch_type = ("torch.nn.modules.rnn", "LSTMCell")

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
        self._fill(self._cell_shape("lstm", input_size, hidden_size, bias), engine, isa)


class GRUCell(recurrent.GRULayer, QuantizedCell):
    """A gated recurrent unit with int8 weights, as ``torch.ao.nn.quantized.dynamic.GRUCell``.

    Both products are of 8-bit integers. Each call quantizes x and h: with engine ``qrnn`` every row by
    its own range, with the torch engines the whole batch by one, in PyTorch's arithmetic.

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
        Whether r is applied after the recurrent product or before it, where PyTorch has no option.
        Only engine ``qrnn`` has the latter: it quantizes r * h on its own.
    engine : str, optional
        The arithmetic. Default: the current one, see ``qrnn.engine``.
    isa : str, optional
        An instruction set, one of ``qrnn.isas()``. Default: ``QRNN_ISA``, else the best.

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
        If a size is no integer.
    ValueError
        If a size, `dtype`, `engine` or `isa` is out of range, or a torch engine is to
        reset before the product.

    Notes
    -----
    Calls and equations are those of ``qrnn.nn.GRUCell``. With the torch engines an input or state that
    holds a NaN or an infinity raises ValueError;
    with engine ``qrnn`` it makes its own row NaN.


    Examples
    --------
    >>> import numpy as np, qrnn
    >>> cell = qrnn.GRUCell(4, 3, engine="fbgemm")
    >>> cell
    DynamicQuantizedGRUCell(4, 3)
    >>> cell(np.ones((2, 4), np.float32)).shape
    (2, 3)
    """

    _float_type = _float.GRUCell
    _torch_type = ("torch.nn.modules.rnn", "GRUCell")

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
    ) -> None:
        super().__init__()
        expect_qint8(dtype)
        self._fill(self._cell_shape(self._kind(reset_after), input_size, hidden_size, bias), engine, isa)
