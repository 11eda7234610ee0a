"""The description of a layer in pickles: only tuples, texts and numbers, as in version 0.1.0."""

from __future__ import annotations

from typing import Any

from .._spec import LayerSpec, Sequence

__all__ = ["Shape", "plain_of", "spec_of"]


class Shape(tuple[Any, ...]):
    """The fields of a layer's description, under the module path that pickles of version 0.1.0 use."""

    def __new__(cls, *fields: Any) -> Shape:
        return tuple.__new__(cls, fields)


def plain_of(spec: LayerSpec) -> tuple[Any, ...]:
    """`spec` in the form for pickles."""
    sequence = spec.sequence and tuple(spec.sequence)
    return spec.kind, spec.input_size, spec.hidden_size, spec.bias, sequence, spec.proj_size, spec.dropout


def spec_of(fields: tuple[Any, ...]) -> LayerSpec:
    """The spec from the form of `plain_of`."""
    kind, input_size, hidden_size, bias, sequence, proj_size, dropout = fields
    return LayerSpec(kind, input_size, hidden_size, proj_size, sequence and Sequence(*sequence), bias, dropout)
