"""What a prepared layer of either package keeps for its conversion."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from . import _config, _quantize
from ._spec import Matrix

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Preparation"]


class Preparation:
    """What a prepared layer keeps for its conversion.

    Parameters
    ----------
    engine : str
        The engine of the layer to be; fixed.
    isa : str or None
        Its instruction set; None: the default.
    original : list of Matrix or None
        The codes and scales that a quantized layer had, to be given back for weights that did not change.
    """

    def __init__(self, engine: str, isa: str | None, original: list[Matrix] | None) -> None:
        self.engine, self.isa, self.original = engine, isa, original

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return type(self)(self.engine, self.isa, self.original)

    def __getstate__(self) -> dict[str, Any]:
        """What pickle keeps, under no private name: not the instruction set, as pickles may travel to another CPU."""
        original = None if self.original is None else [tuple(matrix) for matrix in self.original]
        return {**self.__dict__, "isa": None, "original": original}

    def __setstate__(self, state: dict[str, Any]) -> None:
        original = state["original"]
        self.__dict__.update(state, original=original and [Matrix(*matrix) for matrix in original])

    def expect_engine(self, engine: str | None) -> None:
        """Raise ValueError if `engine` is given and another."""
        if engine is not None and _config.check_engine(engine) != self.engine:
            raise ValueError(f"engine: this module was prepared for {self.engine!r}, got {engine!r}")

    def kept(self, index: int, weight: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]] | None:
        """The original codes and scale of a matrix, if `weight` still equals what they stand for, bit for bit."""
        if self.original is None:
            return None
        codes, scale = self.original[index].weight, np.asarray(self.original[index].scale)
        same = _quantize.dequantize(codes, scale).tobytes() == weight.tobytes()
        return (codes, scale) if same else None
