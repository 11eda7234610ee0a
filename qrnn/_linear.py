"""Linear, float and quantized."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._constructors import LinearConstructor
from ._described import Described
from ._layer import FloatLayer
from ._public import public
from ._qtensor import QTensor
from ._quantized_layer import QuantizedLayer
from ._rows import quantizes
from ._signatures import CalledAsLinear
from ._spec import linear_spec
from ._types import expect_float32

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Linear", "LinearLayer", "QuantizedLinear", "quantized_linear_shown"]


class LinearLayer(Described):
    """The sizes under PyTorch's names."""

    @property
    def in_features(self) -> int:
        """Size of an input row."""
        return self._spec.input_size

    @property
    def out_features(self) -> int:
        """Size of an output row."""
        return self._spec.hidden_size


@public("qrnn.nn")
class Linear(LinearLayer, CalledAsLinear, FloatLayer):
    """``y = x W^T + b`` in float32, as ``torch.nn.Linear``.

    Parameters
    ----------
    in_features : int
        Size of an input row, not negative.
    out_features : int
        Size of an output row, at least 1.
    bias : bool
        Whether to add ``bias``.
    device : None or "cpu"
    dtype : None or float32
    isa : str, optional
        An instruction set, one of ``qrnn.isas()``. Default: ``QRNN_ISA``, else the best.

    Attributes
    ----------
    weight : ndarray, float32, shape (out_features, in_features)
        Read-only; assign a whole array to change it. New: uniform in +-1/sqrt(in_features).
    bias : ndarray, float32, shape (out_features,), or None
        Likewise.
    in_features, out_features : int
    isa : str
    nbytes : int
        Memory of the packed weights.

    Raises
    ------
    TypeError
        If a size is no integer.
    ValueError
        If a size, `device`, `dtype` or `isa` is out of range.

    Notes
    -----
    ``layer(input, *, out=None)`` takes `input` of shape (..., in_features) and returns (...,
    out_features), float32: a new array, or `out`. RuntimeError if the last size differs.

    Examples
    --------
    >>> import numpy as np, qrnn.nn as nn
    >>> layer = nn.Linear(2, 1)
    >>> layer.weight, layer.bias = [[2, 3]], [1]
    >>> layer(np.float32([[1, 1], [0, 2]])).tolist()
    [[6.0], [7.0]]
    """

    weight: NDArray[Any]
    bias: NDArray[Any] | None

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        isa: str | None = None,
    ) -> None:
        super().__init__()
        expect_float32(device, dtype)
        self._fill(linear_spec(in_features, out_features, bias), isa)

    def extra_repr(self) -> str:
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"


def quantized_linear_shown(layer: Any) -> list[str]:
    """What PyTorch's repr shows of a quantized Linear; for the Linears of both packages."""
    weight = layer.weight()
    scheme = [f"qscheme={weight.qscheme()}"] if isinstance(weight, QTensor) else []
    sizes = f"in_features={layer.in_features}", f"out_features={layer.out_features}"
    return [*sizes, f"dtype={layer.weight_dtype}", *scheme]


@quantizes(Linear)
@public("qrnn.nn.quantized.dynamic", "Linear")
class QuantizedLinear(LinearConstructor, LinearLayer, CalledAsLinear, QuantizedLayer):
    """``y = x W^T + b`` with int8 weights, as ``torch.ao.nn.quantized.dynamic.Linear``.

    Each call quantizes its input to 8 bits (the torch engines for x86 to 7): engine ``qrnn`` each row
    by its own range, the torch engines the whole input by one range.

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
    DynamicQuantizedLinear(in_features=4, out_features=3, dtype=qrnn.qint8, qscheme=qrnn.per_tensor_affine, \
engine=fbgemm)
    >>> layer(np.ones((2, 4), np.float32)).shape
    (2, 3)
    """

    def weight(self) -> Any:
        """The weight, of shape (out_features, in_features): a QTensor, or a read-only array if it stays float32."""
        return self._weights()["weight"]

    def bias(self) -> NDArray[Any] | None:
        """The bias: a read-only float32 array of shape (out_features,), or None."""
        return self._biases()["bias"]

    def set_weight_bias(self, w: Any, b: Any) -> None:
        """Replace weight and bias.

        Parameters
        ----------
        w : QTensor or quantized torch.Tensor, shape (out_features, in_features)
            An array_like if the weight stays float.
        b : array_like, shape (out_features,), or None

        Raises
        ------
        TypeError, ValueError
            If one does not fit; then nothing has changed.
        """
        self._replace_all({"weight": w}, {"bias": b})

    def _weight_bias(self) -> tuple[Any, NDArray[Any] | None]:
        """Weight and bias, as PyTorch's."""
        return self.weight(), self.bias()

    def extra_repr(self) -> str:
        return ", ".join([*quantized_linear_shown(self), *self._options_shown()])
