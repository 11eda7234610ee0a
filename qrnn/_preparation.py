"""What a prepared layer of either package keeps for its conversion."""

from __future__ import annotations

from copy import deepcopy
from typing import Any, NamedTuple, TypeVar

import numpy as np

from . import _config, _quantize
from ._matrices import FLOAT, Matrix, beside, engine_of
from ._precision import activations_of, of_matrix, quantize_matrix
from ._spec import LayerSpec
from ._statistics import Statistics

__all__ = ["Preparation", "Trial", "trial_of", "without_trial"]

T = TypeVar("T")

#: The attribute of a new quantized layer that holds its `Trial`.
TRIAL = "_trial"


class Trial(NamedTuple):
    """The alternatives for a layer that has just been quantized, for trials of the whole model."""

    floats: list[Matrix]
    plain: list[Matrix]
    chosen: list[Matrix]
    attributes: dict[str, Any]  # of the layer with plain codes


def trial_of(layer: Any) -> Trial | None:
    """Take the `Trial` away from a layer that has just been quantized, and return it."""
    found = vars(layer).pop(TRIAL, None) if hasattr(layer, "__dict__") else None
    return found if isinstance(found, Trial) else None


def without_trial(layer: T) -> T:
    """`layer` without its trial, which is not needed."""
    trial_of(layer)
    return layer


class Preparation:
    """What a prepared layer keeps for its conversion.

    Parameters
    ----------
    engine : str
        The engine of the future layer; it cannot change.
    isa : str or None
        Its instruction set; None: the default.
    original : list of Matrix or None
        The codes and scales of the original quantized layer. Weights that do not change get them back.

    Attributes
    ----------
    statistics : Statistics
        Statistics of what the products multiplied so far.
    """

    def __init__(self, engine: str, isa: str | None, original: list[Matrix] | None) -> None:
        self.engine, self.isa, self.original = engine, isa, original
        self.statistics = Statistics(engine)

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        new = type(self)(self.engine, self.isa, self.original)
        new.statistics = deepcopy(self.statistics, memo)
        return new

    def __getstate__(self) -> dict[str, Any]:
        """The state for pickles, without private names, and without the instruction set: another CPU may load it."""
        original = None if self.original is None else [matrix.parts() for matrix in self.original]
        return {**self.__dict__, "isa": None, "original": original}

    def __setstate__(self, state: dict[str, Any]) -> None:
        original = state["original"]
        self.statistics = Statistics(state["engine"])  # older pickles of qrnn.torch lack them
        self.__dict__.update(state, original=original and [Matrix(*matrix) for matrix in original])

    def observe_as(self, spec: LayerSpec, qconfig: Any) -> None:
        """Collect statistics of what each matrix of the layer will multiply, except for matrices that stay float."""
        own = self.precisions(spec, qconfig)
        engines = [engine_of(own.get(each.weight), self.engine) for each in spec.matrices]
        self.statistics = Statistics(self.engine, tuple(engines) if own else ())

    def rounded(
        self, spec: LayerSpec, floats: list[Matrix], qconfig: Any, isa: str | None
    ) -> tuple[list[Matrix], dict[str, Any]]:
        """Quantize the float matrices of a layer, by the statistics if these show a gain; returns also attributes.

        The attributes are for the layer; among them is a `Trial`, which `trial_of` takes away.
        """
        from ._layer_rounding import LayerRounding  # here, because it takes a twentieth of the time of `import qrnn`

        by_data, plain = LayerRounding(spec, self.statistics), []
        for index, (each, matrix) in enumerate(zip(spec.matrices, floats, strict=True)):
            quantized, kept = self.plain(index, each.weight, matrix, qconfig) if each.multiplies else (matrix, True)
            plain.append(quantized)
            if not kept and quantized.scale is not None:
                allowed = _quantize.code_range(of_matrix(qconfig, each.weight))
                by_data.round(index, each.weight, matrix, quantized, allowed)
        chosen = by_data.choose(floats, plain, self.engine, isa)
        return chosen, {**by_data.attributes(), TRIAL: Trial(floats, plain, chosen, by_data.attributes_of_plain())}

    def expect_engine(self, engine: str | None) -> None:
        """Raise ValueError if `engine` is given and differs."""
        if engine is not None and _config.check_engine(engine) != self.engine:
            raise ValueError(f"engine: this module was prepared for {self.engine!r}, got {engine!r}")

    def activations(self, index: int, qconfig: Any) -> str | None:
        """The format of what a matrix will multiply: its QConfig's, else the former one; None: the engine's."""
        asked = activations_of(qconfig)
        if asked is not None or self.original is None:
            return asked
        before = self.original[index]
        if before.scale is None and getattr(qconfig, "weight", None) is None:
            return FLOAT
        return before.activations

    def precisions(self, spec: LayerSpec, qconfig: Any) -> dict[str, str]:
        """The formats of what matrices will multiply, by weight names, where they are not the engine's."""
        names = {i: each.weight for i, each in enumerate(spec.matrices) if each.multiplies}
        own = {name: beside(self.engine, self.activations(i, of_matrix(qconfig, name))) for i, name in names.items()}
        return {name: format for name, format in own.items() if format is not None}

    def plain(self, index: int, name: str, matrix: Matrix, qconfig: Any) -> tuple[Matrix, bool]:
        """Quantize the float `matrix` without data; returns also whether it got its former codes back.

        It does if it still equals the values of these codes, bit for bit.
        """
        own = of_matrix(qconfig, name)
        activations = self.activations(index, own)
        if activations != FLOAT and self.original is not None and self.original[index].scale is not None:
            codes, scale = self.original[index].weight, np.asarray(self.original[index].scale)
            if _quantize.dequantize(codes, scale).tobytes() == matrix.weight.tobytes():
                return Matrix(codes, scale, matrix.bias, beside(self.engine, activations)), True
        return quantize_matrix(matrix, name, self.engine, own, activations), False
