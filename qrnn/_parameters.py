"""Parameter, and the arrays that modules keep as attributes: parameters and buffers, and how they are loaded."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _arrays
from ._loading import LoadPlan
from ._public import public

if TYPE_CHECKING:
    from typing_extensions import Self

    AnyArray = np.ndarray[Any, np.dtype[Any]]
    Base = np.ndarray[Any, np.dtype[np.float32]]
else:
    Base = np.ndarray

__all__ = ["ArrayKeeper", "Parameter"]


@public("qrnn.nn")
class Parameter(Base):
    """A weight of your own module, as ``torch.nn.Parameter``. Assigned to an attribute, it joins the state dict.

    The attribute reads as a plain, read-only float32 array. To change it, assign a whole array of its shape; to change
    its shape, delete it first.

    Parameters
    ----------
    data : array_like
        Finite floating-point numbers; copied.
    requires_grad : bool
        PyTorch's option; nothing here computes gradients.

    Raises
    ------
    TypeError, ValueError
        If `data` is not such an array.

    Examples
    --------
    >>> import numpy as np, qrnn.nn as nn
    >>> class Scale(nn.Module):
    ...     def __init__(self, size):
    ...         super().__init__()
    ...         self.gain = nn.Parameter(np.ones(size))
    ...     def forward(self, x):
    ...         return self.gain * x
    >>> model = Scale(2)
    >>> model.gain = [2, 3]
    >>> model(np.ones(2)), model.state_dict()
    (array([2., 3.]), {'gain': array([2., 3.], dtype=float32)})
    """

    def __new__(cls, data: Any, requires_grad: bool = True) -> Self:
        array = _arrays.to_floats(data, "data")
        _arrays.expect_finite(array, "data")
        return array.copy().view(cls)


class ArrayKeeper:
    """The base of modules that keep arrays of fixed shapes as parameters and buffers, which are in the state dict."""

    def register_parameter(self, name: str, param: Any) -> None:
        """Keep an array as the parameter `name`, as assigning a `Parameter` does.

        Parameters
        ----------
        name : str
        param : array_like or None
            None makes an attribute that is None and not in the state dict.

        Raises
        ------
        TypeError, ValueError
            If `param` is not an array of finite floating-point numbers.
        """
        self._keep("parameter", name, None if param is None else Parameter(param))

    def register_buffer(self, name: str, tensor: Any, persistent: bool = True) -> None:
        """Keep an array as the buffer `name`, which is in the state dict but not a parameter.

        Parameters
        ----------
        name : str
        tensor : array_like or None
        persistent : bool
            Whether it is in the state dict; else it is a plain attribute.

        Raises
        ------
        TypeError
            If `tensor` is not an array of real numbers.
        """
        array = None if tensor is None else _arrays.to_numpy(tensor, name).copy()
        if persistent:
            self._keep("buffer", name, array)
        else:
            object.__setattr__(self, name, array)

    def _keep(self, kind: str, name: str, array: AnyArray | None) -> None:
        kept = dict(self.__dict__.get("_kept", ()))
        kept.pop(name, None)
        if array is not None:
            kept[name] = kind
        self.__dict__["_kept"] = kept
        self.__dict__[name] = None if array is None else _arrays.read_only(np.asarray(array).view(np.ndarray))

    def _kept_arrays(self, *kinds: str) -> Iterator[tuple[str, AnyArray]]:
        """Name and array of the arrays of some kinds, or of all, parameters first."""
        kept: dict[str, str] = self.__dict__.get("_kept", {})
        for kind in kinds or ("parameter", "buffer"):
            for name, its in kept.items():
                if its == kind:
                    yield name, self.__dict__[name]

    def __setattr__(self, name: str, value: Any) -> None:
        if name in self.__dict__.get("_kept", ()):
            self._put(name, _arrays.fitting(value, name, self.__dict__[name]))
        elif isinstance(value, Parameter):
            self._keep("parameter", name, value)
        else:
            super().__setattr__(name, value)

    def __delattr__(self, name: str) -> None:
        super().__delattr__(name)
        self.__dict__.get("_kept", {}).pop(name, None)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore a copied or pickled state; arrays come back writable from both."""
        self.__dict__.update(state)
        for _, array in self._kept_arrays():
            _arrays.read_only(array)

    def _put(self, name: str, array: AnyArray) -> None:
        """Set the attribute `name` to `array`, which fits; cannot fail."""
        self.__dict__[name] = array

    def _state(self) -> dict[str, AnyArray]:
        """This module's own arrays, without its children's."""
        return {name: array.copy() for name, array in self._kept_arrays()}

    def _plan_load(self, prefix: str, plan: LoadPlan) -> None:
        """Check this module's own part of a load, and add to `plan` what carries it out."""
        for name, old in self._kept_arrays():
            new = plan.array(prefix + name, old)
            if new is not None:
                plan.commits.append(partial(self._put, name, new))

    # ---- PyTorch's ways to list them

    if TYPE_CHECKING:

        def named_modules(
            self, memo: set[int] | None = None, prefix: str = "", remove_duplicate: bool = True
        ) -> Iterator[tuple[str, ArrayKeeper]]: ...

    def _own_parameters(self) -> Iterator[tuple[str, AnyArray]]:
        """Name and array of this module's own parameters."""
        return self._kept_arrays("parameter")

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, AnyArray]]:
        """Name and read-only array of each parameter, in the order of the state dict.

        Quantized weights are not parameters, as in PyTorch.

        Parameters
        ----------
        prefix : str
            Is put before the names.
        recurse : bool
            Whether to include parameters of modules below this one.
        remove_duplicate : bool
            Whether parameters of a module referenced twice come only once.

        Examples
        --------
        >>> import qrnn.nn as nn
        >>> [(name, value.shape) for name, value in nn.Sequential(nn.Linear(4, 3)).named_parameters()]
        [('0.weight', (3, 4)), ('0.bias', (3,))]
        """
        for path, module in self.named_modules(prefix=prefix, remove_duplicate=remove_duplicate):
            if recurse or module is self:
                for name, array in module._own_parameters():
                    yield f"{path}.{name}" if path else name, array

    def parameters(self, recurse: bool = True) -> Iterator[AnyArray]:
        """Each parameter, as a read-only array; see `named_parameters`."""
        return (array for _, array in self.named_parameters(recurse=recurse))
