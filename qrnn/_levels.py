"""The precisions that a weight matrix can have, and what each costs in a call."""

from __future__ import annotations

from typing import Any, NamedTuple

from ._qconfig import engine_qconfig, float_qconfig, int13_dynamic_qconfig

__all__ = ["FLOAT", "INT8", "QUANTIZED", "Level", "Part", "cost"]


class Level(NamedTuple):
    """A precision of one matrix."""

    name: str
    qconfig: Any
    calibrated: bool  # whether its codes are rounded by data


INT8 = Level("int8", engine_qconfig, False)
INT13 = Level("13 bits", int13_dynamic_qconfig, False)
#: The levels with int8 weights: activations of 8 or 13 bits, codes rounded plainly or by data.
QUANTIZED = (
    INT8,
    Level("int8 by data", engine_qconfig, True),
    INT13,
    Level("13 bits by data", int13_dynamic_qconfig, True),
)
FLOAT = Level("float", float_qconfig, False)


class Part(NamedTuple):
    """A weight matrix, which has its own precision."""

    name: str  # of the parameter, dotted
    module: str
    weight: str  # its name within the module
    bias: str | None
    rows: int
    columns: int
    recurrent: bool  # multiplies the state, so one step at a time
    products: float  # rows of activations that it multiplies in one pass over the data

    @property
    def size(self) -> int:
        """How many weights."""
        return self.rows * self.columns

    def nbytes(self, level: Level) -> int:
        """Bytes of its weights and scales at that level."""
        return 4 * self.size if level is FLOAT else self.size + 4 * self.rows


#: Time of a float32 multiplication relative to one of 8 bits (Zen 4, one thread): for a large matrix; the least for a
#: matrix with few inputs, and how much each input adds to it; and how many outputs are so few that the call itself
#: costs most.
_FLOAT, _FLOAT_LEAST, _FLOAT_AN_INPUT, _FEW_OUTPUTS = 3.7, 1.2, (2.3 - 1.2) / 40, 16
#: The same for 13 bits: if weights are read for a single row, and if several rows use them.
_13_ONE_ROW, _13_ROWS = 1.05, 1.9


def cost(part: Part, level: Level, batch: int) -> float:
    """The time of a part in a pass over the data, in multiplications of 8 bits.

    It is an estimate from the sizes, the same on every machine.
    """
    factor = 1.0
    if level is FLOAT:
        inputs = min(_FLOAT, _FLOAT_LEAST + _FLOAT_AN_INPUT * part.columns)
        factor = inputs if part.rows >= _FEW_OUTPUTS else _FLOAT_LEAST
    elif level.qconfig is INT13.qconfig:
        factor = _13_ONE_ROW if part.recurrent and batch == 1 else _13_ROWS
    return part.size * part.products * factor
