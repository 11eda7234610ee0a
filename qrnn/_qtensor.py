"""QTensor: int8 codes with their scale, the counterpart of PyTorch's quantized tensor."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _arrays, _quantize, _types
from ._matrices import Matrix
from ._spec import LayerSpec, MatrixSpec

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["QTensor", "replaced"]


class QTensor:
    """A quantized matrix: ``value = code * scale``, with one scale for all or one for each row.

    Parameters
    ----------
    codes : array_like of int8, shape (rows, columns)
    scale : array_like of float32, shape () or (rows,)
        Finite and positive.

    Raises
    ------
    TypeError, ValueError
        If `codes` are not 8-bit integers, or `scale` does not fit them.

    Examples
    --------
    >>> import numpy as np, qrnn
    >>> q = qrnn.QTensor(np.int8([[1, -2], [3, 4]]), np.float32([0.5, 0.25]))
    >>> q
    QTensor(shape=(2, 2), dtype=qrnn.qint8, qscheme=qrnn.per_channel_affine)
    >>> q.dequantize().tolist()
    [[0.5, -1.0], [0.75, 1.0]]
    """

    __slots__ = ("_codes", "_scale")

    def __init__(self, codes: Any, scale: Any) -> None:
        self._codes: NDArray[np.int8] = _arrays.read_only(_arrays.to_codes(codes, "codes").copy())
        self._scale: NDArray[np.float32] = _arrays.read_only(_arrays.to_scale(scale, "scale", len(self._codes)).copy())

    def __reduce__(self) -> tuple[Any, ...]:
        """Copies and pickles call the constructor, so that their arrays are read-only too."""
        return type(self), (self._codes, self._scale)

    @classmethod
    def of(cls, obj: Any, name: str) -> QTensor:
        """`obj`, a QTensor or a quantized tensor of PyTorch, as a QTensor.

        Parameters
        ----------
        obj : QTensor or torch.Tensor
            A tensor must be qint8 with zero points of 0, per tensor or per row.
        name : str
            The argument's name, for error texts.

        Raises
        ------
        TypeError
            If `obj` is something else.
        ValueError
            If a tensor is quantized in another way.
        """
        if isinstance(obj, cls):
            return obj
        if not (_arrays.is_tensor(obj) and obj.is_quantized):
            raise TypeError(f"{name}: expected a QTensor, got {type(obj).__name__}")
        _types.expect_qint8(obj.dtype, f"{name}: dtype")
        if _types.as_qscheme(obj.qscheme()) in (_types.per_channel_affine, _types.per_channel_symmetric):
            scale, zero_point = obj.q_per_channel_scales(), obj.q_per_channel_zero_points()
            if obj.q_per_channel_axis() != 0:
                raise ValueError(f"{name}: expected scales along axis 0, got {obj.q_per_channel_axis()}")
        else:
            scale, zero_point = obj.q_scale(), obj.q_zero_point()
        if np.any(np.asarray(zero_point) != 0):
            raise ValueError(f"{name}: expected zero points of 0, got {zero_point}")
        return cls(obj.int_repr(), np.asarray(scale, dtype=np.float32))

    @property
    def shape(self) -> tuple[int, ...]:
        """(rows, columns)."""
        return self._codes.shape

    @property
    def dtype(self) -> _types.dtype:
        """`qrnn.qint8`."""
        return _types.qint8

    def qscheme(self) -> _types.qscheme:
        """`per_tensor_affine` or `per_channel_affine`, which PyTorch reports for symmetric ones too."""
        return _types.per_channel_affine if self._scale.ndim else _types.per_tensor_affine

    def int_repr(self) -> NDArray[np.int8]:
        """The codes: int8, shape (rows, columns), read-only."""
        return self._codes

    def dequantize(self) -> NDArray[np.float32]:
        """``code * scale``: a new float32 array of shape (rows, columns)."""
        return _quantize.dequantize(self._codes, self._scale)

    def q_scale(self) -> float:
        """The scale of a matrix quantized per tensor; RuntimeError for one per channel."""
        if self._scale.ndim:
            raise RuntimeError("q_scale: quantized per channel: use q_per_channel_scales()")
        return float(self._scale)

    def q_zero_point(self) -> int:
        """0; RuntimeError for a matrix quantized per channel."""
        if self._scale.ndim:
            raise RuntimeError("q_zero_point: quantized per channel: use q_per_channel_zero_points()")
        return 0

    def q_per_channel_scales(self) -> NDArray[np.float32]:
        """The scale of each row: float32, shape (rows,), read-only; RuntimeError for one per tensor."""
        if not self._scale.ndim:
            raise RuntimeError("q_per_channel_scales: quantized per tensor: use q_scale()")
        return self._scale

    def q_per_channel_zero_points(self) -> NDArray[np.int64]:
        """Zeros: int64, shape (rows,); RuntimeError for a matrix quantized per tensor."""
        if not self._scale.ndim:
            raise RuntimeError("q_per_channel_zero_points: quantized per tensor: use q_zero_point()")
        return np.zeros(len(self._scale), np.int64)

    def q_per_channel_axis(self) -> int:
        """0: scales belong to rows; RuntimeError for a matrix quantized per tensor."""
        if not self._scale.ndim:
            raise RuntimeError("q_per_channel_axis: quantized per tensor")
        return 0

    def _repr_html_(self) -> str:
        """For Jupyter: shape, range of the scales, and the distribution of codes, which unfolds."""
        from ._qtensor_html import shown

        return shown(repr(self), self._codes, self._scale)

    def __repr__(self) -> str:
        return f"QTensor(shape={self.shape}, dtype={self.dtype}, qscheme={self.qscheme()})"


def replaced(spec: LayerSpec, old: list[Matrix], weights: Mapping[str, Any], biases: Mapping[str, Any]) -> list[Matrix]:
    """The matrices `old` of a quantized layer with other weights and biases.

    Parameters
    ----------
    spec : LayerSpec
    old : list of Matrix
    weights : mapping of str to QTensor or quantized torch.Tensor, or to array_like for a weight that stays float
    biases : mapping of str to array_like or None

    Raises
    ------
    KeyError
        If a name is missing.
    TypeError, ValueError
        If a value is something else, or of another shape, or some biases are None and some are not.
    """
    matrices, given = [], dict[str, bool]()
    for each, matrix in zip(spec.matrices, old, strict=True):
        bias = None if each.bias is None else biases[each.bias]
        if each.bias is not None:
            given[each.bias] = bias is not None
            bias = None if bias is None else _arrays.to_weight(bias, each.bias, each.shape[:1])
        matrices.append(_with_weight(matrix, weights[each.weight], each)._replace(bias=bias))
    if len(set(given.values())) > 1:
        raise ValueError(f"expected {' and '.join(given)} all given or all None")
    return matrices


def _with_weight(old: Matrix, weight: Any, spec: MatrixSpec) -> Matrix:
    if old.scale is None:
        if isinstance(weight, QTensor):
            raise TypeError(f"{spec.weight}: expected float values, as this weight stays float32, got a QTensor")
        return old._replace(weight=_arrays.to_weight(weight, spec.weight, spec.shape))
    tensor = QTensor.of(weight, spec.weight)
    if tensor.shape != spec.shape:
        raise ValueError(f"{spec.weight}: expected shape {spec.shape}, got {tensor.shape}")
    return old._replace(weight=tensor._codes, scale=tensor._scale)
