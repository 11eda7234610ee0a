"""Copies and hooks of any torch module."""

from __future__ import annotations

from collections.abc import Collection, Hashable
from copy import deepcopy
from typing import Any, TypeVar

import torch
from torch.overrides import TorchFunctionMode

__all__ = ["HOOKS", "NotScripted", "copy_hooks", "deep_copied", "leave_hooks", "take_hooks"]

M = TypeVar("M", bound=torch.nn.Module)
T = TypeVar("T")

#: The attribute of a module that will replace another: the keys of hooks that it will drop then.
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
    """A module that ``torch.jit.script`` refuses at once, without compiling it."""

    def __prepare_scriptable__(self) -> Any:
        raise RuntimeError(
            f"{type(self).__name__} cannot be scripted: convert the model, then use torch.jit.trace or torch.export"
        )


class _DetachedCopies(TorchFunctionMode):
    """Make ``deepcopy`` copy tensors that a computation made, which PyTorch refuses: detached, with their values."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.Tensor.__deepcopy__ and not args[0].is_leaf:
            return args[0].detach().clone()
        return func(*args, **(kwargs or {}))


def deep_copied(value: T, memo: dict[int, Any] | None = None) -> T:
    """A deep copy of an object with modules and tensors, which may hold computed tensors; `memo` as for ``deepcopy``.

    Such tensors are states, or weights that a hook computed.
    """
    with _DetachedCopies():
        return deepcopy(value, memo)


def take_hooks(new: torch.nn.Module, mod: torch.nn.Module, but: Collection[Hashable] = ()) -> None:
    """Give the hooks of `mod` to `new`, which will replace it.

    The hooks are not copied, so the handle of each still removes it. Hooks whose keys are in `but` are dropped by
    `leave_hooks`, when `new` has replaced `mod`, and are never in copies of `new`.
    """
    for name in HOOKS:
        new.__dict__[name] = mod.__dict__[name]
    if but:
        new.__dict__[_LEFT] = frozenset(but)


def leave_hooks(new: torch.nn.Module) -> None:
    """Drop the hooks that `new` should not keep, also from the dicts that it shares with the replaced module."""
    for key in new.__dict__.pop(_LEFT, ()):
        for name in HOOKS:
            new.__dict__[name].pop(key, None)


def copy_hooks(new: M) -> M:
    """`new` with copies of its hooks, for use beside the module from which it took them."""
    for name in HOOKS:
        new.__dict__[name] = new.__dict__[name].copy()
    leave_hooks(new)
    return new
