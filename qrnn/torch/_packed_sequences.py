"""Calls of layers with a PackedSequence, and the order of its states."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn.utils.rnn import PackedSequence

from .._spec import LayerSpec
from ._checks import check_packed

__all__ = ["joined", "permuted", "run_packed"]


def run_packed(module: Any, spec: LayerSpec, packed: PackedSequence, hx: Any, lengths: Any) -> Any:
    """Call `module` with a PackedSequence, as padded rows in packed order with lengths; the result is packed again."""
    if torch.compiler.is_exporting():
        raise RuntimeError(
            f"{type(module).__name__}: a PackedSequence cannot be exported, as its sizes are data: give the padded "
            "batch and lengths="
        )
    states = check_packed(spec, packed, hx, lengths)
    data, sizes, order, back = packed
    plain = PackedSequence(data, sizes)
    batch_first = module.batch_first
    padded, lengths = torch.nn.utils.rnn.pad_packed_sequence(plain, batch_first)
    hx = None if states is None else joined(spec, permuted(states, order))
    output, last = module.forward(padded, hx, lengths=lengths)
    last = permuted(last if spec.row.states == 2 else (last,), back)
    output = torch.nn.utils.rnn.pack_padded_sequence(output, lengths, batch_first)
    return PackedSequence(output.data, sizes, order, back), joined(spec, last)


def permuted(states: Any, order: Any) -> Any:
    """The tensors of a state, if there is one, with batch rows in another order."""
    return states if states is None or order is None else tuple(each[:, order] for each in states)


def joined(spec: LayerSpec, states: tuple[Any, ...]) -> Any:
    """A state in the form of callers: a pair for an LSTM, else a tensor."""
    return states if spec.row.states == 2 else states[0]
