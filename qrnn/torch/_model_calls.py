"""Hooks at the root of a prepared torch model that report its calls as a whole."""

from __future__ import annotations

from typing import Any

import torch

from .._model_calls import ModelCall, ModelCalls
from ._modules import HOOKS

__all__ = ["hook_calls", "unhook_calls"]


class CallHooks:
    """The hooks before and after calls of a root.

    Parameters
    ----------
    calls : ModelCalls
    """

    def __init__(self, calls: ModelCalls) -> None:
        self._calls = calls

    def before(self, module: Any, args: Any, kwargs: Any) -> None:
        """A pre-hook. It ignores compiled calls: nothing could be held back of these."""
        if not torch.compiler.is_compiling():
            self._calls.enter(args, kwargs)

    def after(self, module: Any, args: Any, kwargs: Any, result: Any) -> None:
        """A hook. It also runs after a call that failed, which has no result."""
        call: ModelCall | None = None if torch.compiler.is_compiling() else self._calls.now
        if call is not None:
            self._calls.leave(call, result is not None)


def hook_calls(model: torch.nn.Module, calls: ModelCalls) -> None:
    """Report every call of `model` to `calls`."""
    hooks = CallHooks(calls)
    model.register_forward_pre_hook(hooks.before, prepend=True, with_kwargs=True)
    model.register_forward_hook(hooks.after, with_kwargs=True, always_call=True)


def unhook_calls(model: torch.nn.Module) -> None:
    """Remove the hooks of `hook_calls` from a model, also from a copy of the hooked one."""
    before, after = model._forward_pre_hooks, model._forward_hooks
    found = [key for hooks in (before, after) for key, hook in hooks.items() if _is_ours(hook)]
    for name in HOOKS:
        for key in found:
            model.__dict__[name].pop(key, None)


def _is_ours(hook: Any) -> bool:
    return isinstance(getattr(hook, "__self__", None), CallHooks)
