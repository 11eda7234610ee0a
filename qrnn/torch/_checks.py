"""Checks calls whose tensors do not go to the core, because PyTorch would accept arguments that the core refuses.

The core does the checks, with its exceptions and texts, but computes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn.utils.rnn import PackedSequence

from .. import _core
from .._spec import LayerSpec
from ._calls import array_of, expect_tensor

__all__ = ["States", "check_call", "check_packed"]

#: The tensors of a state: (h,), or (h, c) for an LSTM.
States = tuple[torch.Tensor, ...]


def check_call(
    spec: LayerSpec, engine: str, input: Any, hx: Any = None, lengths: Any = None
) -> tuple[States | None, Any]:
    """Check the arguments of a call; returns the tensors of its state and its lengths as a list, or None."""
    expect_tensor(input, "input")
    return _checked(spec, input.shape, hx, lengths, engine)


def check_packed(spec: LayerSpec, packed: PackedSequence, hx: Any, lengths: Any) -> States | None:
    """Check the arguments that come with a PackedSequence; returns the tensors of the state."""
    if lengths is not None:
        raise ValueError("lengths: expected None with a PackedSequence, which has its own, got lengths too")
    assert spec.sequence is not None
    steps, batch = len(packed.batch_sizes), int(packed.batch_sizes[0])
    outer = (batch, steps) if spec.sequence.batch_first else (steps, batch)
    return _checked(spec, (*outer, packed.data.shape[-1]), hx)[0]


def _checked(
    spec: LayerSpec, size: Sequence[int], hx: Any, lengths: Any = None, *engine: str
) -> tuple[States | None, Any]:
    """The state and the lengths of a call whose input is of shape `size`."""
    states = None if hx is None else _states(spec, hx)
    if isinstance(lengths, torch.Tensor):
        lengths = array_of(lengths, "lengths")
    shapes = None if states is None else tuple(tuple(each.shape) for each in states)
    sizes = spec.kind, spec.input_size, spec.hidden_size, spec.proj_size, spec.sequence
    return states, _core.check_call(*sizes, tuple(size), shapes, lengths, *engine)


def _states(spec: LayerSpec, hx: Any) -> States:
    states = _core.split_state(spec.kind, hx)
    if len(states) == 1 and not isinstance(hx, (tuple, list)):
        expect_tensor(hx, "hx")
        return states
    for index, each in enumerate(hx):
        expect_tensor(each, f"hx[{index}]")
    return states if len(states) == 2 else (torch.stack(tuple(hx)),)  # a list of tensors is an array to the core
