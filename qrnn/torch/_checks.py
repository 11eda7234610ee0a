"""What the core checks of a call's arguments, for tensors that do not go there: with its exceptions and texts.

Training computes with PyTorch, which would take some arguments that the core refuses.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import torch
from torch.nn.utils.rnn import PackedSequence

from ._calls import array_of, raise_no_tensor
from ._shape import Shape

__all__ = ["check_cell", "check_lengths", "check_linear", "check_packed", "check_sequence"]

States = tuple[torch.Tensor, ...]


def check_linear(columns: int, input: Any) -> None:
    """Check the input of a linear layer."""
    _expect_tensor(input, "input")
    if input.dim() < 1:
        raise ValueError("Linear: Expected input to be at least 1D, got 0D instead")
    _check_columns(input, columns)


def check_cell(shape: Shape, input: Any, hx: Any) -> States | None:
    """Check the arguments of a cell; returns its state, (h,) or (h, c), None if there is none."""
    _expect_tensor(input, "input")
    states, rank, name = _states(shape, hx), input.dim(), _name(shape)
    labels = [("hx[0]", "hidden[0]"), ("hx[1]", "hidden[1]")] if shape.kind == "lstm" else [("hidden",) * 2]
    named = list(zip(states or (), labels, strict=False))
    for tensor, what in ((input, "input"), *((state, label) for state, (label, _) in named)):
        if tensor.dim() not in (1, 2):
            raise ValueError(f"{name}: Expected {what} to be 1D or 2D, got {tensor.dim()}D instead")
    _check_columns(input, shape.input_size)
    for state, (label, sizes) in named:
        if rank == 2 and len(state) != len(input):
            raise RuntimeError(f"Input batch size {len(input)} doesn't match {sizes} batch size {len(state)}")
        if state.dim() != rank:
            expected = f"{rank}D for an input that is {rank}D"
            raise ValueError(f"{name}: Expected {label} to be {expected}, got {state.dim()}D instead")
        if state.shape[-1] != shape.hidden_size:
            got = f"got {state.shape[-1]}, expected {shape.hidden_size}"
            raise RuntimeError(f"{sizes} has inconsistent hidden_size: {got}")
    return states


def check_sequence(shape: Shape, size: Sequence[int], hx: Any) -> States | None:
    """Check the state, and the shape `size` of an input, of a layer; returns the state as `check_cell`."""
    assert shape.sequence is not None
    layers, directions, batch_first = shape.sequence
    states, rank = _states(shape, hx), len(size)
    if rank not in (2, 3):
        tensor = " tensor" if shape.kind.startswith("rnn") else ""
        raise ValueError(f"{_name(shape)}: Expected input to be 2D or 3D, got {rank}D{tensor} instead")
    if states is not None and any(state.dim() != rank for state in states):
        what = f"For {'batched' if rank == 3 else 'unbatched'} {rank}-D input"
        got = ", ".join(f"{state.dim()}-D" for state in states)
        if len(states) == 2:
            raise RuntimeError(f"{what}, hx and cx should also be {rank}-D but got ({got}) tensors")
        raise RuntimeError(f"{what}, hx should also be {rank}-D but got {got} tensor")
    if size[-1] != shape.input_size:
        raise RuntimeError(f"input.size(-1) must be equal to input_size. Expected {shape.input_size}, got {size[-1]}")
    batch = 1 if rank == 2 else size[0 if batch_first else 1]
    widths = (shape.proj_size or shape.hidden_size, shape.hidden_size)
    for index, (state, width) in enumerate(zip(states or (), widths, strict=False)):
        sizes = list(state.shape if rank == 3 else (len(state), 1, state.shape[-1]))
        if sizes != [layers * directions, batch, width]:
            label = f"hidden[{index}]" if shape.kind == "lstm" else "hidden"
            raise RuntimeError(f"Expected {label} size {(layers * directions, batch, width)}, got {sizes}")
    if size[1 if rank == 3 and batch_first else 0] == 0:
        raise RuntimeError("Expected sequence length to be larger than 0 in RNN")
    return states


def check_packed(shape: Shape, packed: PackedSequence, hx: Any, lengths: Any) -> States | None:
    """Check the state that comes with a PackedSequence; returns it as `check_cell`."""
    if lengths is not None:
        raise ValueError("lengths: expected None with a PackedSequence, which has its own, got lengths too")
    assert shape.sequence is not None
    _, _, batch_first = shape.sequence
    steps, batch = len(packed.batch_sizes), int(packed.batch_sizes[0])
    outer = (batch, steps) if batch_first else (steps, batch)
    return check_sequence(shape, (*outer, packed.data.shape[-1]), hx)


def check_lengths(lengths: Any, batch: int, steps: int) -> list[int]:
    """`lengths` as a list of integers, one a batch row, each in 1 to `steps`."""
    if isinstance(lengths, torch.Tensor):
        lengths = array_of(lengths, "lengths")
    try:
        items = None if isinstance(lengths, (set, frozenset, dict)) else tuple(lengths)
    except TypeError:
        items = None
    if items is None:
        got = type(lengths).__name__
        raise TypeError(f"lengths: expected a sequence of integers, one a batch row, got {got}")
    found = []
    for item in items:
        try:
            found.append(operator.index(item))
        except TypeError:
            raise TypeError(f"lengths: expected integers, got {_type_of(item)}") from None
    if len(found) != batch:
        raise ValueError(f"lengths: expected {batch}, one a batch row, got {len(found)}")
    for row, length in enumerate(found):
        if not 1 <= length <= steps:
            raise ValueError(f"lengths: expected 1 to {steps}, got {length} for batch row {row}")
    return found


def _name(shape: Shape) -> str:
    """Of the layer, as the core has it."""
    return f"{shape.kind.partition('_')[0].upper()}{'' if shape.sequence else 'Cell'}"


def _states(shape: Shape, hx: Any) -> States | None:
    """The tensors of a state: one, or a pair of them."""
    if hx is None:
        return None
    if shape.kind == "lstm":
        if not isinstance(hx, (tuple, list)):
            raise TypeError(f"hx: expected a pair (h, c), got {type(hx).__name__}")
        if len(hx) != 2:
            raise ValueError(f"hx: expected a pair (h, c), got {len(hx)} items")
        for index, each in enumerate(hx):
            _expect_tensor(each, f"hx[{index}]")
        return tuple(hx)
    if isinstance(hx, (tuple, list)):  # a sequence of tensors is an array to the core
        for index, each in enumerate(hx):
            _expect_tensor(each, f"hx[{index}]")
        return (torch.stack(tuple(hx)),)
    _expect_tensor(hx, "hx")
    return (hx,)


def _expect_tensor(value: Any, name: str) -> None:
    if not isinstance(value, torch.Tensor):
        raise_no_tensor(value, name)


def _check_columns(input: torch.Tensor, columns: int) -> None:
    if input.shape[-1] != columns:
        raise RuntimeError(f"input has inconsistent input_size: got {input.shape[-1]}, expected {columns}")


def _type_of(value: Any) -> str:
    """The name of a type as errors of the core give it."""
    cls = type(value)
    return cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"
