"""What is asked of any torch module: its hooks, and whether it has a call of its own."""

from __future__ import annotations

from copy import deepcopy
from typing import Any, TypeVar

import torch
from torch.overrides import TorchFunctionMode

from .._module import overrides

__all__ = ["copied_module", "copy_hooks", "overrides_call", "take_hooks"]

M = TypeVar("M", bound=torch.nn.Module)

#: Attributes of a module that hold its hooks.
_HOOKS = (
    "_forward_hooks",
    "_forward_hooks_with_kwargs",
    "_forward_hooks_always_called",
    "_forward_pre_hooks",
    "_forward_pre_hooks_with_kwargs",
)


class _DetachedCopies(TorchFunctionMode):
    """Have ``deepcopy`` copy a tensor that a computation made, which PyTorch refuses: detached, with its values."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.Tensor.__deepcopy__ and not args[0].is_leaf:
            return args[0].detach().clone()
        return func(*args, **(kwargs or {}))


def copied_module(mod: M) -> M:
    """A deep copy of `mod`, whatever its calls left in it: states that it keeps, weights that a hook computed."""
    with _DetachedCopies():
        return deepcopy(mod)


def take_hooks(new: torch.nn.Module, mod: torch.nn.Module) -> None:
    """Give the hooks of `mod` to `new`, which takes its place.

    They are not copied: what registering one returned still removes it.
    """
    for name in _HOOKS:
        new.__dict__[name] = mod.__dict__[name]


def copy_hooks(new: M) -> M:
    """`new` with copies of its hooks, for use beside the module that it took them over from."""
    for name in _HOOKS:
        new.__dict__[name] = new.__dict__[name].copy()
    return new


def overrides_call(mod: torch.nn.Module, base: type) -> bool:
    """Whether `mod`, an instance of `base`, says itself what a call does."""
    return overrides(type(mod), base) or "forward" in vars(mod)
