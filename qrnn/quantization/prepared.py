"""Prepared modules: float modules that know what they will become.

``prepare`` puts one in the place of each module that is to be quantized. It computes in float32
and its weights may be changed; ``convert`` quantizes it, by the statistics of the inputs that it was
called with, where there were any.
"""

from __future__ import annotations

from copy import copy, deepcopy
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _config, _core, _quantize
from .._layer_rounding import LayerRounding
from .._recording import recorded_call
from .._statistics import Statistics
from ..nn.modules.cells import GRUCell, LSTMCell, RNNCell
from ..nn.modules.layer import FloatLayer, Matrix
from ..nn.modules.linear import Linear
from ..nn.modules.rnn import GRU, LSTM, RNN
from ..nn.quantized.dynamic.modules.base import QuantizedLayer, check_engine_has

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "Preparation",
    "PreparedGRU",
    "PreparedGRUCell",
    "PreparedLSTM",
    "PreparedLSTMCell",
    "PreparedLayer",
    "PreparedLinear",
    "PreparedRNN",
    "PreparedRNNCell",
]


class Preparation:
    """What a prepared module keeps for its conversion.

    Parameters
    ----------
    engine : str
        The engine of the module to be; fixed.
    isa : str or None
        Its instruction set; None: the default.
    original : list of Matrix or None
        The codes and scales that a quantized module had, to be given back for weights that
        did not change.

    Attributes
    ----------
    statistics : Statistics
        Of what the products multiplied so far.
    """

    def __init__(self, engine: str, isa: str | None, original: list[Matrix] | None) -> None:
        self.engine = engine
        self.isa = isa
        self.original = original
        self.statistics = Statistics(engine)

    def __deepcopy__(self, memo: dict[int, Any]) -> Preparation:
        new = Preparation(self.engine, self.isa, self.original)
        new.statistics = deepcopy(self.statistics, memo)
        return new

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "isa": None}  # pickles may travel to another CPU

    def convert(
        self, mod: FloatLayer, cls: type[QuantizedLayer], qconfig: Any, engine: str | None, isa: str | None
    ) -> Any:
        """The quantized module, of type `cls`, that the prepared `mod` becomes."""
        if engine is not None and _config.check_engine(engine) != self.engine:
            raise ValueError(f"engine: this module was prepared for {self.engine!r}, got {engine!r}")
        by_data = LayerRounding(mod, self.statistics)
        matrices = [
            self._quantized(index, name, matrix, qconfig, by_data)
            for index, (name, _, matrix) in enumerate(mod._named_matrices())
        ]
        new = cls.__new__(cls)
        new._adopt(mod)
        if by_data.report:
            new._calibration = tuple(by_data.report)
        new._pack_matrices(mod._form(), self.engine, _config.resolve_isa(isa or self.isa), matrices)
        return new

    def _quantized(self, index: int, name: str, matrix: Matrix, qconfig: Any, by_data: LayerRounding) -> Matrix:
        """The float `matrix`, the one of `index`, in codes and scale."""
        kept = self._kept(index, matrix.weight)
        codes, scale = kept or _quantize.quantize_weight(matrix.weight, name, self.engine, qconfig)
        plain = Matrix(codes, scale, matrix.bias)
        return plain if kept else by_data.rounded(index, name, matrix, plain, _quantize.code_range(qconfig))

    def _kept(self, index: int, weight: NDArray[np.float32]) -> tuple[Any, Any] | None:
        """The original codes and scale, if `weight` still equals what they stand for, bit for bit."""
        if self.original is None:
            return None
        codes, scale, _ = self.original[index]
        assert scale is not None
        same = _quantize.dequantize(codes, scale).tobytes() == weight.tobytes()
        return (codes, scale) if same else None


class PreparedLayer(FloatLayer):
    """A float module that ``prepare`` put in place and ``convert`` quantizes."""

    _prepared: Preparation
    qconfig: Any

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The call of the float module; what its products multiply is observed."""
        statistics = self._prepared.statistics
        if not statistics.enabled:
            return _core.Module.__call__(self, *args, **kwargs)
        return recorded_call(self, statistics, args, kwargs)

    @classmethod
    def _of(cls, mod: Any, qconfig: Any, engine: str | None, isa: str | None) -> PreparedLayer:
        """Prepare `mod`, a float module, or a quantized one, which keeps its engine."""
        new = cls.__new__(cls)
        new._adopt(mod)
        if isinstance(mod, QuantizedLayer):
            original = mod._matrices()
            weights = [Matrix(_quantize.dequantize(m.weight, np.asarray(m.scale)), None, m.bias) for m in original]
            new._pack_matrices(mod._form(), "float32", mod.isa, weights)
            engine = mod.engine if engine is None else engine
            new._prepared = Preparation(_config.resolve_engine(engine), isa or mod.isa, original)
        else:
            new._take_packed(mod)
            new._prepared = Preparation(_config.resolve_engine(engine), isa, None)
        check_engine_has(new._form(), new._prepared.engine)
        new.qconfig = qconfig
        return new

    def _unobserved(self) -> PreparedLayer:
        """This module without the statistics of its inputs."""
        new = copy(self)
        new._prepared = Preparation(self._prepared.engine, self._prepared.isa, self._prepared.original)
        return new

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, engine={self._prepared.engine}"


class PreparedLinear(PreparedLayer, Linear):
    """A prepared Linear."""


class PreparedRNNCell(PreparedLayer, RNNCell):
    """A prepared RNNCell."""


class PreparedLSTMCell(PreparedLayer, LSTMCell):
    """A prepared LSTMCell."""


class PreparedGRUCell(PreparedLayer, GRUCell):
    """A prepared GRUCell."""


class PreparedRNN(PreparedLayer, RNN):
    """A prepared RNN."""


class PreparedLSTM(PreparedLayer, LSTM):
    """A prepared LSTM."""


class PreparedGRU(PreparedLayer, GRU):
    """A prepared GRU."""
