"""What is asked of any torch module: its copies and its hooks."""

from __future__ import annotations

from collections.abc import Collection, Hashable
from copy import deepcopy
from typing import Any, TypeVar

import torch
from torch.overrides import TorchFunctionMode

__all__ = ["HOOKS", "NotScripted", "copy_hooks", "deep_copied", "leave_hooks", "take_hooks"]

M = TypeVar("M", bound=torch.nn.Module)
T = TypeVar("T")

#: Attribute of a module that is to replace another: keys of the hooks that it will leave behind.
_LEFT = "_leaves_hooks"

#: Attributes of a module that hold its hooks.
HOOKS = (
    "_forward_hooks",
    "_forward_hooks_with_kwargs",
    "_forward_hooks_always_called",
    "_forward_pre_hooks",
    "_forward_pre_hooks_with_kwargs",
)


class NotScripted:
    """A module that ``torch.jit.script`` refuses before it looks into it."""

    def __prepare_scriptable__(self) -> Any:
        raise RuntimeError(
            f"{type(self).__name__} cannot be scripted: convert the model, then use torch.jit.trace or torch.export"
        )


class _DetachedCopies(TorchFunctionMode):
    """Have ``deepcopy`` copy a tensor that a computation made, which PyTorch refuses: detached, with its values."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.Tensor.__deepcopy__ and not args[0].is_leaf:
            return args[0].detach().clone()
        return func(*args, **(kwargs or {}))


def deep_copied(value: T, memo: dict[int, Any] | None = None) -> T:
    """A deep copy of anything that holds modules and tensors, whatever calls left in them; `memo` as for ``deepcopy``.

    Modules may keep states and weights that a hook computed.
    """
    with _DetachedCopies():
        return deepcopy(value, memo)


def take_hooks(new: torch.nn.Module, mod: torch.nn.Module, but: Collection[Hashable] = ()) -> None:
    """Give the hooks of `mod` to `new`, which takes its place.

    They are not copied: what registering one returned still removes it. So those whose keys are in `but` go when
    `new` is in its place, by `leave_hooks`, or are never in its copies.
    """
    for name in HOOKS:
        new.__dict__[name] = mod.__dict__[name]
    if but:
        new.__dict__[_LEFT] = frozenset(but)


def leave_hooks(new: torch.nn.Module) -> None:
    """Drop the hooks that `new` was to leave behind, from what it took over too."""
    for key in new.__dict__.pop(_LEFT, ()):
        for name in HOOKS:
            new.__dict__[name].pop(key, None)


def copy_hooks(new: M) -> M:
    """`new` with copies of its hooks, for use beside the module that it took them over from."""
    for name in HOOKS:
        new.__dict__[name] = new.__dict__[name].copy()
    leave_hooks(new)
    return new
