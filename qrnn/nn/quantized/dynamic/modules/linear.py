"""The dynamically quantized Linear."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ....._qtensor import QTensor
from ....._types import expect_qint8, qint8
from ....modules import linear as _float
from .base import QuantizedLayer

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Linear"]


class Linear(_float.LinearLayer, QuantizedLayer):
    """``y = x W^T + b`` with int8 weights, as ``torch.ao.nn.quantized.dynamic.Linear``.

    Each call quantizes its input to 8 bits (the torch engines on x86 to 7): with engine ``qrnn``
    every row by its own range, with the others the whole input by one.

    Parameters
    ----------
    in_features : int
        Size of an input row, not negative.
    out_features : int
        Size of an output row, at least 1.
    bias_ : bool
        Whether to add a bias (PyTorch's name of the argument).
    dtype : qint8
    engine : str, optional
        The arithmetic. Default: the current one, see ``qrnn.engine``.
    isa : str, optional
        An instruction set, one of ``qrnn.isas()``. Default: ``QRNN_ISA``, else the best.

    Attributes
    ----------
    in_features, out_features : int
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
    Calls are those of ``qrnn.nn.Linear``. With the torch engines an input that holds a NaN or an
    infinity raises ValueError; with engine ``qrnn`` it makes its own row NaN.

    Examples
    --------
    >>> import numpy as np, qrnn
    >>> layer = qrnn.Linear(4, 3, engine="fbgemm")
    >>> layer
    DynamicQuantizedLinear(in_features=4, out_features=3, dtype=qrnn.qint8, qscheme=qrnn.per_tensor_affine)
    >>> layer(np.ones((2, 4), np.float32)).shape
    (2, 3)
    """

    _float_type = _float.Linear
    _torch_type = ("torch.nn.modules.linear", "Linear")

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
        self._fill(self._shape(in_features, out_features, bias_), engine, isa)

    def weight(self) -> QTensor:
        """The weight, of shape (out_features, in_features)."""
        return self._qtensors()["weight"]

    def bias(self) -> NDArray[Any] | None:
        """The bias: a read-only float32 array of shape (out_features,), or None."""
        return self._biases()["bias"]

    def set_weight_bias(self, w: Any, b: Any) -> None:
        """Replace weight and bias.

        Parameters
        ----------
        w : QTensor or quantized torch.Tensor, shape (out_features, in_features)
        b : array_like, shape (out_features,), or None

        Raises
        ------
        TypeError, ValueError
            If one does not fit; nothing has changed then.
        """
        self._replace_all({"weight": w}, {"bias": b})

    def _weight_bias(self) -> tuple[QTensor, NDArray[Any] | None]:
        """Weight and bias, as PyTorch's."""
        return self.weight(), self.bias()

    def extra_repr(self) -> str:
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, "
            f"dtype={self.weight_dtype}, qscheme={self.weight().qscheme()}"
        )
