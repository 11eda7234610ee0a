"""The dynamically quantized Linear."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from .._constructors import LinearConstructor
from .._linear import LinearLayer, quantized_linear_shown
from . import _ops
from ._calls import as_node, call_linear, is_proxy, traced
from ._prepared import PreparedLinearLayer
from ._quantized_layer import QuantizedLayer
from ._rows import quantizes

if TYPE_CHECKING:
    from .._typing import typed_as

__all__ = ["Linear"]


@quantizes(torch.nn.Linear, PreparedLinearLayer)
class Linear(LinearConstructor, LinearLayer, QuantizedLayer):
    """``y = x W^T + b`` with int8 weights, as ``torch.ao.nn.quantized.dynamic.Linear``.

    Parameters
    ----------
    in_features : int
        Size of an input row, not negative.
    out_features : int
        Size of an output row, at least 1.
    bias_ : bool
        Whether to add a bias (PyTorch's name of the argument).
    dtype : qint8
        `qrnn.qint8` or `torch.qint8`.
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

    Examples
    --------
    >>> import torch, qrnn.torch
    >>> layer = qrnn.torch.nn.quantized.dynamic.Linear(4, 3)
    >>> layer(torch.ones(2, 4)).shape
    torch.Size([2, 3])
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``x W^T + b``.

        Parameters
        ----------
        x : torch.Tensor, shape (..., in_features)

        Returns
        -------
        torch.Tensor, shape (..., out_features)
            It has the float type of `x`, float32 for integers, and no gradient.

        Raises
        ------
        TypeError
            If `x` is not a tensor of real numbers on the CPU.
        RuntimeError
            If its last size differs from in_features.
        """
        if traced(x):
            if is_proxy(x):
                return as_node(self, x)  # type: ignore[no-any-return]
            y: torch.Tensor = _ops.call_linear_operator(self, x)
        else:
            y = call_linear(self._packed.get(self), x)
        return y

    if TYPE_CHECKING:

        @typed_as(forward)
        def __call__(self) -> None: ...

    def weight(self) -> Any:
        """The weight, of shape (out_features, in_features): a QTensor, or a float32 tensor if it stays float."""
        return self._weight("weight")

    def bias(self) -> torch.Tensor | None:
        """The bias: float32, shape (out_features,), or None."""
        return self._buffers["bias"]

    def set_weight_bias(self, w: Any, b: Any) -> None:
        """Replace weight and bias.

        Parameters
        ----------
        w : QTensor or quantized torch.Tensor, shape (out_features, in_features)
            A float tensor if the weight stays float.
        b : torch.Tensor, shape (out_features,), or None

        Raises
        ------
        TypeError, ValueError
            If one does not fit; then nothing has changed.
        """
        self._replace_all({"weight": w}, {"bias": b})

    def _weight_bias(self) -> tuple[Any, torch.Tensor | None]:
        """Weight and bias, as PyTorch's."""
        return self.weight(), self.bias()

    def extra_repr(self) -> str:
        return ", ".join([*quantized_linear_shown(self), *self._options_shown()])
