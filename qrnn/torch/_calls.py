"""Calls the core with the memory of tensors, and returns tensors over the memory of its results."""

from __future__ import annotations

from typing import Any

import torch
import torch.fx

from .. import _arrays
from .._belongs import belongs

__all__ = [
    "array_of",
    "as_node",
    "call",
    "call_linear",
    "call_sequence",
    "expect_tensor",
    "is_proxy",
    "result_type",
    "state_of",
    "traced",
]

_from_numpy = torch.from_numpy
_is_compiling, _tracing_state = torch.compiler.is_compiling, torch._C._get_tracing_state
_Tensor, _Parameter = torch.Tensor, torch.nn.Parameter
_Proxy = torch.fx.Proxy
_float32, _OTHER_FLOATS = torch.float32, (torch.float64, torch.float16, torch.bfloat16)


def traced(input: Any) -> bool:
    """Whether a call is being recorded, or its tensors have no plain memory; then an operator is called instead.

    This holds for fake and meta tensors, ``torch.compile``, ``torch.export`` and ``torch.jit.trace``.
    """
    kind = type(input)
    if kind is _Tensor or kind is _Parameter:
        return input.is_meta or _is_compiling() or _tracing_state() is not None
    return isinstance(input, (_Tensor, _Proxy))


def is_proxy(input: Any) -> bool:
    """Whether ``torch.fx`` traces a model symbolically; then the call of a layer has to be one node."""
    return isinstance(input, _Proxy)


def as_node(module: torch.nn.Module, input: Any, *args: Any, **kwargs: Any) -> Any:
    """The node for a call of `module` with a proxy, as tracers make it for modules of ``torch.nn``."""
    path = input.tracer.path_of_module(module)
    return input.tracer.create_proxy("call_module", path, (input, *args), kwargs)


def array_of(value: Any, name: str) -> Any:
    """The memory of a tensor as an array of the same type."""
    try:
        return (value.detach() if value.requires_grad else value).numpy()
    except (AttributeError, RuntimeError, TypeError):
        return _converted(value, name)


def _converted(value: Any, name: str) -> Any:
    expect_tensor(value, name)
    return _arrays.to_float32(value, name)


def expect_tensor(value: Any, name: str) -> None:
    """Raise TypeError naming `name` unless `value` is a tensor."""
    if isinstance(value, _Tensor):
        if torch._C._functorch.is_functorch_wrapped_tensor(value):
            raise TypeError(f"{name}: {_arrays.TRANSFORMED}")
    else:
        got = "None" if value is None else type(value).__name__
        raise TypeError(f"{name}: expected a torch.Tensor, got {got}{belongs(value)}")


def result_type(input: torch.Tensor) -> torch.dtype:
    """The type of a call's results: that of its input if a float layer may have it, else float32."""
    return input.dtype if input.dtype in _OTHER_FLOATS else _float32


def to_tensors(result: Any, input: torch.Tensor) -> Any:
    """The core's results for `input` as tensors: over its arrays, or converted to the type of results."""
    if isinstance(result, tuple):
        return tuple(to_tensors(each, input) for each in result)
    tensor = _from_numpy(result)
    return tensor if input.dtype is _float32 else tensor.to(result_type(input))


def state_of(hx: Any) -> Any:
    """A state, a tensor or a pair of them, in the form that the core takes."""
    if not isinstance(hx, (tuple, list)):
        return array_of(hx, "hx")
    if len(hx) == 2:  # names for error texts exist only for pairs
        return array_of(hx[0], "hx[0]"), array_of(hx[1], "hx[1]")
    return tuple(array_of(each, f"hx[{index}]") for index, each in enumerate(hx))


def call(packed: Any, input: Any, hx: Any = None) -> Any:
    """Call a cell of the core with tensors; `hx` is None, a tensor or a pair."""
    return to_tensors(packed(array_of(input, "input"), None if hx is None else state_of(hx)), input)


def call_linear(packed: Any, input: Any) -> Any:
    """Call a linear layer of the core with a tensor."""
    return to_tensors(packed(array_of(input, "input")), input)


def call_sequence(packed: Any, input: Any, hx: Any, lengths: Any) -> Any:
    """Call a layer of the core over sequences with tensors; `lengths` may also be a list."""
    state = None if hx is None else state_of(hx)
    if lengths is None:
        return to_tensors(packed(array_of(input, "input"), state), input)
    lengths = array_of(lengths, "lengths") if isinstance(lengths, _Tensor) else lengths
    return to_tensors(packed(array_of(input, "input"), state, lengths=lengths), input)
