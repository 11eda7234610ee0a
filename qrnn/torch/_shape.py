"""What a layer is, and the names that PyTorch gives its weights.

The same description serves float modules of ``torch.nn``, prepared ones, quantized ones and those of
``torch.ao``: all of them name their parameters alike.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch

from ..nn.modules.recurrent import ElmanLayer

__all__ = ["GATES", "MatrixShape", "Shape", "rnn_kind", "shape_of"]

#: The core's kind of an Elman layer by its non-linearity; ValueError for an unknown one.
rnn_kind = ElmanLayer._kind

#: Rows of a weight matrix over hidden_size.
GATES = {"linear": 1, "rnn_tanh": 1, "rnn_relu": 1, "lstm": 4, "gru": 3}


class MatrixShape(NamedTuple):
    """One weight matrix: its name, its bias's (None where there can be none), its size."""

    weight: str
    bias: str | None
    rows: int
    columns: int


class Shape(NamedTuple):
    """The core's kind, sizes and options of a layer."""

    kind: str
    input_size: int
    hidden_size: int
    bias: bool = True
    sequence: tuple[int, int, bool] | None = None  # num_layers, num_directions, batch_first
    proj_size: int = 0
    dropout: float = 0.0

    @property
    def bound(self) -> float:
        """New weights are uniform in +-bound."""
        n = self.input_size if self.kind == "linear" else self.hidden_size
        return 1 / math.sqrt(n) if n else 0.0

    def units(self) -> list[list[MatrixShape]]:
        """The matrices of each unit, a layer in one direction, in the core's order."""
        rows, hidden = GATES[self.kind] * self.hidden_size, self.hidden_size
        if self.kind == "linear":
            return [[MatrixShape("weight", "bias", rows, self.input_size)]]
        if self.sequence is None:
            return [
                [
                    MatrixShape("weight_ih", "bias_ih", rows, self.input_size),
                    MatrixShape("weight_hh", "bias_hh", rows, hidden),
                ]
            ]
        layers, directions, _ = self.sequence
        state, units = self.proj_size or hidden, []
        for layer in range(layers):
            columns = self.input_size if layer == 0 else directions * state
            for suffix in (f"_l{layer}", f"_l{layer}_reverse")[:directions]:
                unit = [
                    MatrixShape(f"weight_ih{suffix}", f"bias_ih{suffix}", rows, columns),
                    MatrixShape(f"weight_hh{suffix}", f"bias_hh{suffix}", rows, state),
                ]
                if self.proj_size:
                    unit.append(MatrixShape(f"weight_hr{suffix}", None, self.proj_size, hidden))
                units.append(unit)
        return units

    def matrices(self) -> list[MatrixShape]:
        """All matrices in the core's order."""
        return [matrix for unit in self.units() for matrix in unit]


def shape_of(mod: torch.nn.Module) -> Shape:
    """The shape of a float module of ``torch.nn``."""
    if isinstance(mod, torch.nn.Linear):
        return Shape("linear", mod.in_features, mod.out_features, mod.bias is not None)
    if isinstance(mod, torch.nn.RNNBase):
        kind = mod.mode.lower()
        sequence = (mod.num_layers, 2 if mod.bidirectional else 1, mod.batch_first)
        return Shape(kind, mod.input_size, mod.hidden_size, mod.bias, sequence, mod.proj_size, mod.dropout)
    assert isinstance(mod, torch.nn.RNNCellBase)
    if isinstance(mod, torch.nn.RNNCell):
        kind = rnn_kind(mod.nonlinearity)
    else:
        kind = "lstm" if isinstance(mod, torch.nn.LSTMCell) else "gru"
    return Shape(kind, mod.input_size, mod.hidden_size, mod.bias)
