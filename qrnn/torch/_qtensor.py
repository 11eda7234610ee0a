"""QTensor with torch tensors."""

from __future__ import annotations

from typing import Any

import torch

from .. import _arrays
from .._qtensor import QTensor as _QTensor

__all__ = ["QTensor"]


class QTensor(_QTensor):
    """A quantized matrix, ``value = code * scale``, whose parts are torch tensors.

    It corresponds to a tensor of dtype ``torch.qint8`` in ``torch.ao``, which PyTorch deprecates.

    Parameters
    ----------
    codes : torch.Tensor or array_like of int8, shape (rows, columns)
    scale : torch.Tensor or array_like of float32, shape () or (rows,)
        Finite and positive.

    Raises
    ------
    TypeError, ValueError
        If `codes` are not 8-bit integers, or `scale` does not fit them.

    Examples
    --------
    >>> import torch, qrnn.torch
    >>> q = qrnn.torch.QTensor(torch.tensor([[1, -2]], dtype=torch.int8), torch.tensor(0.5))
    >>> q.int_repr(), q.q_scale()
    (tensor([[ 1, -2]], dtype=torch.int8), 0.5)
    """

    __slots__ = ()

    def int_repr(self) -> Any:
        """A copy of the codes: int8, shape (rows, columns)."""
        return torch.from_numpy(self._codes.copy())

    def dequantize(self) -> Any:
        """``code * scale``: float32, shape (rows, columns)."""
        return torch.from_numpy(super().dequantize())

    def q_per_channel_scales(self) -> Any:
        """A copy of the scales: float32, shape (rows,); RuntimeError for one per tensor."""
        return torch.from_numpy(super().q_per_channel_scales().copy())

    def q_per_channel_zero_points(self) -> Any:
        """Zeros: int64, shape (rows,); RuntimeError for a matrix quantized per tensor."""
        return torch.from_numpy(super().q_per_channel_zero_points())

    @classmethod
    def of(cls, obj: Any, name: str) -> QTensor:
        """`obj`, a QTensor or a quantized torch tensor, as a QTensor of this class."""
        tensor = _QTensor.of(obj, name)
        return tensor if isinstance(tensor, cls) else cls(tensor._codes, tensor._scale)

    def parts(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Codes and scale, each a new tensor."""
        return self.int_repr(), torch.from_numpy(_arrays.to_float32(self._scale, "scale").copy())
