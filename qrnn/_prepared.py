"""Prepared modules: float modules that know what they will become.

``prepare`` replaces each module that will be quantized by such a module. It computes in float32, and
its weights may be changed. ``convert`` quantizes it, by the statistics of its inputs if it was called.
"""

from __future__ import annotations

from copy import copy
from typing import Any

from . import _config, _core, _preparation
from ._described import precisions_shown
from ._layer import FloatLayer
from ._matrices import pack
from ._precision import dequantized
from ._public import public
from ._quantized_layer import QuantizedLayer
from ._spec import packed_spec

__all__ = ["PREPARED_TYPES", "Preparation", "PreparedLayer", "prepared_type"]


@public("qrnn.quantization.prepared")
class Preparation(_preparation.Preparation):
    """What a prepared module keeps for its conversion.

    Examples
    --------
    >>> import qrnn
    >>> qrnn.prepare(qrnn.nn.GRU(4, 3), qconfig={}, engine="qrnn13")._prepared.engine
    'qrnn13'
    """

    def convert(
        self, mod: FloatLayer, cls: type[QuantizedLayer], qconfig: Any, engine: str | None, isa: str | None
    ) -> Any:
        """The quantized module, of type `cls`, that the prepared `mod` becomes."""
        self.expect_engine(engine)
        spec, isa = packed_spec(mod), _config.resolve_isa(isa or self.isa)
        matrices, attributes = self.rounded(spec, mod._matrices(), qconfig, isa)
        new = cls.__new__(cls)
        new._take_over(mod)
        new.__dict__.update(attributes)
        new._hold(spec, pack(spec, self.engine, isa, matrices))
        return new


class PreparedLayer(FloatLayer):
    """A float module that ``prepare`` inserts and ``convert`` quantizes.

    Examples
    --------
    >>> import qrnn
    >>> layer = qrnn.prepare(qrnn.nn.GRU(4, 3), qconfig={})
    >>> from qrnn.quantization.prepared import PreparedLayer
    >>> isinstance(layer, PreparedLayer)
    True
    """

    _prepared: Preparation
    qconfig: Any

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Call the float module, and observe what its products multiply."""
        statistics = self._prepared.statistics
        if not statistics.enabled:
            return _core.Module.__call__(self, *args, **kwargs)
        from ._recording import recorded_call  # here, to keep `import qrnn` fast

        return recorded_call(self, statistics, args, kwargs)

    def _swap_in(self, packed: _core.Module) -> None:
        """Hold `packed` from now on, and forget what was observed with other weights."""
        super()._swap_in(packed)
        self._prepared.statistics.forget()

    @classmethod
    def _prepare(cls, mod: Any, qconfig: Any, engine: str | None, isa: str | None) -> PreparedLayer:
        """Prepare `mod`, a float module or a quantized one; the latter keeps its engine."""
        new, spec, original = cls.__new__(cls), packed_spec(mod), None
        new._take_over(mod)
        if isinstance(mod, QuantizedLayer):
            original = mod._matrices()
            weights = [dequantized(matrix) for matrix in original]
            new._hold(spec, pack(spec, "float32", mod.isa, weights))
            engine, isa = mod.engine if engine is None else engine, isa or mod.isa
        else:
            new._hold(spec, mod)
        new._prepared = Preparation(_config.resolve_engine(engine), isa, original)
        _core.check_engine(spec.kind, spec.proj_size, new._prepared.engine, spec.variant)
        new.qconfig = qconfig
        new._prepared.observe_as(spec, qconfig)
        return new

    def _unobserved(self) -> PreparedLayer:
        """This module without the statistics of its inputs."""
        new, own = copy(self), self._prepared
        new._prepared = Preparation(own.engine, own.isa, own.original)
        return new

    def extra_repr(self) -> str:
        own = precisions_shown(self._prepared.precisions(self._spec, self.qconfig))
        return ", ".join([f"{super().extra_repr()}, engine={self._prepared.engine}", *own])


PREPARED_TYPES: dict[str, type[PreparedLayer]] = {}


def prepared_type(float_type: type[FloatLayer]) -> type[PreparedLayer]:
    """The class of the prepared modules of `float_type`; pickles find it in ``qrnn.quantization.prepared``."""
    name = f"Prepared{float_type.__name__}"
    if name not in PREPARED_TYPES:
        members = {"__doc__": f"A prepared {float_type.__name__}.", "__module__": "qrnn.quantization.prepared"}
        PREPARED_TYPES[name] = type(name, (PreparedLayer, float_type), members)
    return PREPARED_TYPES[name]
