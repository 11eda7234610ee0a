"""The dynamically quantised recurrent layers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ....._types import dtype as _dtype
from ....._types import expect_qint8, qint8
from ....modules import rnn as _float
from .base import QuantisedLayer

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["RNNCell", "QuantisedCell"]


class QuantisedCell(QuantisedLayer):
    """What quantised cells share: PyTorch's setters and getters."""

    bias_ih: NDArray[Any] | None
    bias_hh: NDArray[Any] | None

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            found = self._find(name)
            if found is None or found[1] != "bias":
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
            return self._biases()[name]

    def _assign(self, name: str, found: tuple[int, str], value: Any) -> None:
        if found[1] == "weight" or self._unpack(*found) is None:
            super()._assign(name, found, value)
        self._replace_all(self._qtensors(), {**self._biases(), name: value})

    @property
    def weight_dtype(self) -> _dtype:
        """`qrnn.qint8`."""
        return qint8

    def set_weight_bias(self, weight_bias_dict: Mapping[str, Mapping[str, Any]]) -> None:
        """Replace all weights and biases.

        Parameters
        ----------
        weight_bias_dict : dict
            ``{"weight": {name: QTensor}, "bias": {name: array_like or None}}``, as `_weight_bias`
            gives. Quantised torch tensors are taken too.

        Raises
        ------
        KeyError
            If a name is missing.
        TypeError, ValueError
            If a value does not fit. In each case nothing has changed.
        """
        self._replace_all(dict(weight_bias_dict["weight"]), dict(weight_bias_dict["bias"]))

    def _weight_bias(self) -> dict[str, dict[str, Any]]:
        """``{"weight": get_weight(), "bias": get_bias()}``, as PyTorch's."""
        return {"weight": dict(self.get_weight()), "bias": dict(self.get_bias())}


class RNNCell(_float.RNNCellLayer, QuantisedCell):
    """An Elman cell with int8 weights, as ``torch.ao.nn.quantized.dynamic.RNNCell``.

    ``h' = tanh(W_ih x + b_ih + W_hh h + b_hh)``, or ``max(0, ...)``; both products are of 8-bit
    integers. Each call quantises x and h: with engine ``qrnn`` every row by its own range, with the
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
