"""Masks in functional models: Keras 3 writes their computation as operations beside the layers.

The layers of a chain make and pass on masks by themselves. This file checks that these are the same masks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ._entries import Call, Entry

__all__ = ["masks_of"]

#: Classes whose outputs have no mask: they end masks.
_ENDING = frozenset(
    {
        *("Conv1D", "Flatten", "MaxPooling1D", "AveragePooling1D", "GlobalAveragePooling1D", "GlobalMaxPooling1D"),
        *("RepeatVector", "Reshape", "Permute"),
    }
)
#: Classes whose outputs have a mask if each step has an output.
_RECURRENT = frozenset({"SimpleRNN", "GRU", "LSTM", "RNN", "CuDNNGRU", "CuDNNLSTM"})


def masks_of(
    entries: Sequence[Entry], calls: Sequence[Sequence[Call]], chain: Sequence[int], numbers: Mapping[str, int]
) -> tuple[set[int], list[str]]:
    """Find the operations that only compute masks which the layers of a chain get anyway.

    Returns
    -------
    set of int
        The numbers of these operations.
    list of str
        Layers that get a different mask.
    """
    idle, problems = set[int](), list[str]()
    source: int | None = None  # the layer that made the mask of the current input
    for number in chain:
        entry, mask = entries[number], calls[number][0].mask
        if mask is not None:
            operations = [] if source is None else _operations(entries, calls, numbers, source, mask[0])
            if not operations:
                problems.append(f"{entry.where}: expected no mask but that of its input, got {mask[0]!r:.80}")
            idle |= set(operations)
        if entry.class_name == "Masking" or (entry.class_name == "Embedding" and entry.config.get("mask_zero")):
            source = number
        elif entry.class_name == "Embedding" or entry.class_name in _ENDING or _gives_rows(entry):
            source = None
    return idle, problems


def _gives_rows(entry: Entry) -> bool:
    config: Any = entry.config
    if entry.class_name == "Bidirectional":
        inner = config.get("layer")
        config = inner.get("config") if isinstance(inner, Mapping) else None
    elif entry.class_name not in _RECURRENT:
        return False
    return not (isinstance(config, Mapping) and config.get("return_sequences"))


def _operations(
    entries: Sequence[Entry], calls: Sequence[Sequence[Call]], numbers: Mapping[str, int], source: int, mask: str
) -> list[int]:
    """The operations that compute `mask` like the layer `source` from its input; empty if they compute another."""
    maker, found = entries[source], list[int]()
    value: Any = 0
    place = numbers.get(mask, -1)
    if maker.class_name == "Masking":
        value = maker.config.get("mask_value", 0.0)
        config = entries[place].config if place >= 0 else {}
        if place < 0 or entries[place].class_name != "Any" or config.get("keepdims") or config.get("axis") != -1:
            return []
        if len(calls[place]) != 1 or len(calls[place][0].inputs) != 1:
            return []
        found.append(place)
        place = numbers.get(calls[place][0].inputs[0][0], -1)
    if place < 0 or entries[place].class_name != "NotEqual" or len(calls[place]) != 1:
        return []
    call = calls[place][0]
    same = call.inputs == calls[source][0].inputs and call.constants == [value] and not call.others
    return [*found, place] if same else []
