"""Weight matrices as the core takes and returns them, each with the format of the activations that it multiplies."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from . import _arrays, _core
from ._spec import ENGINES, LayerSpec, packed_spec

__all__ = ["FLOAT", "Matrix", "beside", "engine_of", "float_matrices", "pack", "packed_matrices", "precisions"]

#: The format of activations that are not quantized; float weights multiply these.
FLOAT = "float32"


class Matrix(NamedTuple):
    """One weight matrix as the core takes it.

    Examples
    --------
    >>> import numpy as np
    >>> from qrnn.nn.modules.layer import Matrix
    >>> Matrix(np.zeros((3, 4), np.float32), None, None).weight.shape
    (3, 4)
    """

    weight: Any  # ndarray, float32 or int8, (rows, columns)
    scale: Any  # ndarray, float32, () or (rows,); None for float weights
    bias: Any  # ndarray, float32, (rows,); None without a bias
    activations: str | None = None  # the format of the activations that codes multiply, if it is not the engine's

    def parts(self) -> tuple[Any, ...]:
        """The parts that the core packs and that pickles keep."""
        return tuple(self[:3] if self.activations is None else self)

    def copied(self) -> Matrix:
        """A copy with copies of the arrays."""
        weight, scale, bias = (None if array is None else np.array(array) for array in self[:3])
        return Matrix(weight, scale, bias, self.activations)

    def replaced(self, what: str, array: Any) -> Matrix:
        """A copy with another "weight" or "bias"."""
        return self._replace(weight=array) if what == "weight" else self._replace(bias=array)

    def seen_by(self, engine: str) -> str:
        """The engine that quantizes the activations of this matrix in a layer of `engine`."""
        return engine_of(FLOAT if self.scale is None else self.activations, engine)

    def precision(self, engine: str) -> str:
        """The format of the activations that it multiplies in a layer of `engine`."""
        return FLOAT if self.scale is None else self.activations or ENGINES[engine].activations


def precisions(names: Iterable[str], matrices: Iterable[Matrix], engine: str) -> dict[str, str]:
    """The formats of the activations that matrices multiply, by weight names, where they are not the engine's."""
    found = {name: matrix.precision(engine) for name, matrix in zip(names, matrices, strict=True)}
    return {name: format for name, format in found.items() if format != ENGINES[engine].activations}


def beside(engine: str, activations: str | None) -> str | None:
    """The format `activations` if the default of `engine` is another one, else None."""
    return None if activations == ENGINES[engine].activations else activations


def engine_of(activations: str | None, engine: str) -> str:
    """The engine that quantizes to the format `activations` by default; for None `engine`."""
    if activations is None or ENGINES[engine].activations == activations:
        return engine
    return next(name for name, row in ENGINES.items() if row.activations == activations)


def pack(spec: LayerSpec, engine: str, isa: str | None, matrices: Iterable[Matrix]) -> _core.Module:
    """A new packed module of the core. In a quantized layer float weights have to be finite, like scales."""
    packed, matrices = _core.Module(), list(matrices)
    # If the number of matrices is wrong, the core says so.
    for each, matrix in zip(spec.matrices, matrices, strict=False) if ENGINES[engine].quantized else ():
        if matrix.scale is None:
            _arrays.expect_finite(matrix.weight, each.weight, "weights")
            if matrix.bias is not None:
                _arrays.expect_finite(matrix.bias, str(each.bias))
    packed._pack(
        spec.kind, engine, isa, *(matrix.parts() for matrix in matrices), sequence=spec.sequence, options=spec.variant
    )
    return packed


def packed_matrices(module: _core.Module) -> list[Matrix]:
    """Fresh copies of everything that `module` has packed."""
    unpack, engine = module._unpack, module.engine
    matrices = []
    for index in range(len(packed_spec(module).matrices)):
        scale = unpack(index, "scale")
        own = None if scale is None else beside(engine, unpack(index, "activations"))
        matrices.append(Matrix(unpack(index, "weight"), scale, unpack(index, "bias"), own))
    return matrices


def float_matrices(mod: Any, spec: LayerSpec, computed: Mapping[str, Any] = MappingProxyType({})) -> list[Matrix]:
    """The weights of a float module of qrnn or PyTorch as float32 arrays; `computed` replaces some of them."""
    if isinstance(mod, _core.Module):
        return packed_matrices(mod)

    def read(name: str | None) -> Any:
        value = None if name is None else computed[name] if name in computed else getattr(mod, name, None)
        return None if value is None else _arrays.to_floats(value, str(name))

    return [Matrix(read(each.weight), None, read(each.bias)) for each in spec.matrices]
