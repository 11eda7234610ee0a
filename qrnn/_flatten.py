"""Flatten."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, overload

from . import _arrays
from ._module import Module
from ._public import public
from ._softmax import checked_dim

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ._typing import Input, T, Tensor, typed_as

__all__ = ["Flatten"]


@public("qrnn.nn")
class Flatten(Module):
    """Merges several dimensions into one, as ``torch.nn.Flatten``.

    Parameters
    ----------
    start_dim, end_dim : int
        The first and the last of these dimensions.

    Raises
    ------
    IndexError, RuntimeError
        When called with an array that lacks one of the dimensions, or has the last before the first.

    Examples
    --------
    >>> import numpy as np, qrnn.nn as nn
    >>> nn.Flatten()(np.zeros((2, 3, 4))).shape
    (2, 12)
    """

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        self.start_dim, self.end_dim = start_dim, end_dim

    @overload
    def forward(self, input: Tensor[T]) -> T: ...
    @overload
    def forward(self, input: NDArray[np.float32]) -> NDArray[np.float32]: ...
    @overload
    def forward(self, input: Input) -> NDArray[Any]: ...
    def forward(self, input: Any) -> Any:
        """`input` with fewer dimensions and the same type of numbers; the result may share its memory.

        Parameters
        ----------
        input : array_like

        Returns
        -------
        ndarray
            A tensor if `input` is one.
        """
        tensor = _arrays.is_tensor(input)
        array = input if tensor else _arrays.to_numpy(input, "input")
        first, last = checked_dim(self.start_dim, array.ndim), checked_dim(self.end_dim, array.ndim)
        if last < first:
            raise RuntimeError("flatten() has invalid args: start_dim cannot come after end_dim")
        shape = tuple(array.shape)
        return array.reshape(*shape[:first], math.prod(shape[first : last + 1]), *shape[last + 1 :])

    if TYPE_CHECKING:

        @typed_as(forward)
        def __call__(self) -> None: ...  # type: ignore[override]

    def extra_repr(self) -> str:
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"
