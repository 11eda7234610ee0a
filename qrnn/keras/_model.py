"""Model: a chain of Keras layers, with their masks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._containers import Sequential
from .._flatten import Flatten
from .._module import Module
from .._public import public
from ._modules import Masked

__all__ = ["Model"]


@public("qrnn.keras")
class Model(Masked):
    """A chain of layers, called like a model of Keras at inference.

    Masks from Masking and Embedding are passed on as in Keras: recurrent layers, means over steps and Softmax use them,
    layers that keep the steps pass them on, others end them.

    Parameters
    ----------
    layers : mapping of str to Module
        The layers by their names as children.

    Raises
    ------
    TypeError, KeyError
        If a value is not a Module, or a name is not possible for a child.

    Examples
    --------
    >>> import numpy as np, qrnn, qrnn.nn as nn, qrnn.keras
    >>> gru = qrnn.keras.RecurrentLayer(nn.GRU(3, 4, batch_first=True))
    >>> table = qrnn.keras.Embedding(nn.Embedding(10, 3), mask_zero=True)
    >>> model = qrnn.keras.Model({"words": table, "gru": gru, "head": nn.Linear(4, 2)})
    >>> model([[7, 2, 0], [5, 0, 0]]).shape
    (2, 2)
    >>> qrnn.quantize_dynamic(model, {"gru"}).gru
    RecurrentLayer(
      (layer): DynamicQuantizedGRU(3, 4, batch_first=True)
    )
    """

    def __init__(self, layers: Mapping[str, Module]) -> None:
        super().__init__()
        for name, layer in layers.items():
            if not isinstance(layer, Module):
                raise TypeError(f"layers: expected a Module as {name!r}, got {type(layer).__name__}")
            self.add_module(name, layer)

    @classmethod
    def _from_parts(
        cls, options: Mapping[str, Any], children: Mapping[str, Module], arrays: Mapping[str, Any]
    ) -> Model:
        """A model of these children; a file has nothing else about a model."""
        if options or arrays:
            raise ValueError(f"Model: expected children alone, got {sorted([*options, *arrays])}")
        return cls(children)

    def forward(self, inputs: Any, mask: Any = None) -> Any:
        """The output of the last layer.

        Parameters
        ----------
        inputs : array_like
            The batch first, then the dimensions that the first layer takes.
        mask : array_like of bool, shape (batch, steps), optional
            False for steps to leave out.

        Returns
        -------
        ndarray, or tuple of them if a recurrent layer at the end returns several
            Tensors if `inputs` is one.
        """
        return _called(self, inputs, mask)[0]

    def _frame_modules(self) -> list[tuple[str, Module]]:
        """The names and modules that a frame of a stream goes through."""
        return list(self._children())


def _called(layers: Module, x: Any, mask: Any) -> tuple[Any, Any]:
    """Output and mask of the layers of a model, or of a layer and its activation."""
    for layer in (child for _, child in layers._children()):
        if isinstance(layer, (Model, Sequential)):
            x, mask = _called(layer, x, mask)
            continue
        called: Any = layer
        if hasattr(layer, "compute_mask"):
            after = called.compute_mask(x, mask)
            x, mask = called(x, mask=mask), after
        else:
            x, mask = called(x), None if isinstance(layer, Flatten) else mask
    return x, mask
