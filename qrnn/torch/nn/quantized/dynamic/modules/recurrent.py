"""What quantized recurrent cells and layers share."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, TypeVar

from ....._shape import Shape
from .base import QuantizedLayer

__all__ = ["Nonlinear", "Recurrent", "documented"]

C = TypeVar("C", bound=type)

_PARAMETERS = """dtype : qint8
    `qrnn.qint8` or `torch.qint8`.
engine : str, optional
    The arithmetic. Default: the current one, see ``qrnn.engine``.
isa : str, optional
    An instruction set, one of ``qrnn.isas()``. Default: ``QRNN_ISA``, else the best.

Attributes
----------
bias_ih, bias_hh : torch.Tensor, float32, or None
    The biases; layers name them ``bias_ih_l0`` and so on, as PyTorch does.
engine, isa : str
nbytes : int
    Memory of the packed weights.

Raises
------
TypeError
    If a size is no integer, or, for a layer, `bias` or `batch_first` no bool.
ValueError
    If an argument is out of range.
"""


def documented(cls: C) -> C:
    """`cls`, with the parameters that all have in the place of ``{parameters}`` in its text."""
    if cls.__doc__:
        cls.__doc__ = inspect.cleandoc(cls.__doc__).replace("{parameters}", _PARAMETERS)
    return cls


class Recurrent(QuantizedLayer):
    """What cells and layers share."""

    def set_weight_bias(self, weight_bias_dict: Mapping[str, Mapping[str, Any]]) -> None:
        """Replace all weights and biases.

        Parameters
        ----------
        weight_bias_dict : dict
            ``{"weight": {name: QTensor}, "bias": {name: tensor or None}}``, as `_weight_bias` gives it, or
            ``{name: QTensor or tensor}`` in one dict. Quantized torch tensors are taken too.

        Raises
        ------
        KeyError
            If a name is missing.
        TypeError, ValueError
            If a value does not fit. In each case nothing has changed.
        """
        if "weight" in weight_bias_dict:
            self._replace_all(weight_bias_dict["weight"], weight_bias_dict["bias"])
        else:
            self._replace_all(weight_bias_dict, weight_bias_dict)

    def _weight_bias(self) -> dict[str, dict[str, Any]]:
        """``{"weight": get_weight(), "bias": get_bias()}``, as PyTorch's."""
        return {"weight": dict(self.get_weight()), "bias": dict(self.get_bias())}

    @property
    def input_size(self) -> int:
        """Size of an input row."""
        return self._shape.input_size

    @property
    def hidden_size(self) -> int:
        """Size of a hidden row."""
        return self._shape.hidden_size

    @property
    def bias(self) -> bool:
        """Whether there are biases."""
        return self._shape.bias


class Nonlinear:
    """What Elman cells and layers add."""

    _shape: Shape

    @property
    def nonlinearity(self) -> str:
        """``"tanh"`` or ``"relu"``."""
        return self._shape.kind.removeprefix("rnn_")
