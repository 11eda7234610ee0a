"""Hooks at the root of a prepared torch model, which tell of its calls as a whole."""

from __future__ import annotations

from typing import Any

import torch

from .._model_calls import ModelCall, ModelCalls
from ._modules import HOOKS

__all__ = ["hook_calls", "unhook_calls"]


class CallHooks:
    """What a root has before and after its calls.

    Parameters
    ----------
    calls : ModelCalls
    """

    def __init__(self, calls: ModelCalls) -> None:
        self._calls = calls

    def before(self, module: Any, args: Any, kwargs: Any) -> None:
        """A pre-hook. A compiled call is none that anything could be held back of."""
        if not torch.compiler.is_compiling():
            self._calls.enter(args, kwargs)

    def after(self, module: Any, args: Any, kwargs: Any, result: Any) -> None:
        """A hook; of a call that failed too, which has no result."""
        call: ModelCall | None = None if torch.compiler.is_compiling() else self._calls.now
        if call is not None:
            self._calls.leave(call, result is not None)


def hook_calls(model: torch.nn.Module, calls: ModelCalls) -> None:
    """Have `calls` know of every call of `model`."""
    hooks = CallHooks(calls)
    model.register_forward_pre_hook(hooks.before, prepend=True, with_kwargs=True)
    model.register_forward_hook(hooks.after, with_kwargs=True, always_call=True)


def unhook_calls(model: torch.nn.Module) -> None:
    """Remove what `hook_calls` put to a model, or to one that it is a copy of."""
    before, after = model._forward_pre_hooks, model._forward_hooks
    found = [key for hooks in (before, after) for key, hook in hooks.items() if _is_ours(hook)]
    for name in HOOKS:
        for key in found:
            model.__dict__[name].pop(key, None)


def _is_ours(hook: Any) -> bool:
    return isinstance(getattr(hook, "__self__", None), CallHooks)
