"""The description of qrnn's modules for NumPy, for the converter."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from copy import copy, deepcopy
from typing import Any

from ._arrays import is_tensor, to_numpy
from ._framework import Framework, Row, Seer, register
from ._matrices import Matrix
from ._module import Module
from ._own import class_adds
from ._prepared import PreparedLayer
from ._quantized_layer import QuantizedLayer
from ._rows import ROWS
from ._spec import is_torch_type
from ._stream_table import Form
from ._streamed import form_of

__all__ = ["NUMPY"]


class NumpyFramework(Framework):
    """Modules of ``qrnn.nn``."""

    module_type = Module
    module_name = "qrnn.nn.Module"
    quantized_base = QuantizedLayer
    rows = ROWS

    def _copied(self, model: Any, memo: dict[int, Any]) -> Any:
        """A deep copy that shares the arrays of weights, which are never changed, only replaced by others."""
        modules = model.modules() if isinstance(model, Module) else ()
        return deepcopy(model, {id(array): array for each in modules for _, array in each._kept_arrays()} | memo)

    def known_as(self, named: type) -> type:
        """The type of qrnn that corresponds to PyTorch's type `named`."""
        for row in self.rows:
            if is_torch_type(named, row.float_type.__name__):
                return row.float_type  # type: ignore[no-any-return]
        return named

    def adapted(self, value: Any) -> Any:
        """Tensors as arrays, also inside of tuples, lists and dicts."""
        if is_tensor(value):
            return to_numpy(value, "data")
        if isinstance(value, dict):
            return {key: self.adapted(each) for key, each in value.items()}
        return type(value)(self.adapted(each) for each in value) if type(value) in (tuple, list) else value

    def children(self, module: Any) -> Iterable[tuple[str, Any]]:
        return module._children()  # type: ignore[no-any-return]

    def replace(self, parent: Any, name: str, child: Any) -> None:
        setattr(parent, name, child)

    def stays(self, module: Any, base: type) -> str | None:
        return class_adds(type(module), base)

    def lost_in_conversion(self, module: Any) -> str | None:
        if any(module.__dict__.get(hooks) for hooks in ("_forward_hooks", "_forward_pre_hooks")):
            return "its hooks are not kept: the quantized module is called in C, which runs no hooks"
        return None

    @contextmanager
    def watching(self, model: Any, names: Collection[str], see: Seer) -> Iterator[Any]:
        """Make a copy whose layers are subclasses called in Python, because layers called in C run no hooks."""
        if names:
            model = self.copied(model)
            for name, module in list(model.named_modules()):
                if name in names:
                    module.__class__ = _watched(name, type(module), see)
        yield model

    def prepared_engine(self, module: Any) -> str | None:
        return module._prepared.engine if isinstance(module, PreparedLayer) else None

    def prepared(self, row: Row, module: Any, qconfig: Any, engine: str | None, isa: str | None) -> Any:
        return row.prepared_type._prepare(module, qconfig, engine, isa)

    def quantized(
        self, target: Any, module: Any, qconfig: Any, engine: str | None, isa: str | None, by_data: bool
    ) -> Any:
        source = module._unobserved() if isinstance(module, PreparedLayer) and not by_data else module
        return target._from_float(source, qconfig, engine, isa)

    def take_matrices(self, layer: Any, matrices: list[Matrix]) -> None:
        layer._swap_in(layer._packed(matrices))

    def copied_layer(self, layer: Any) -> Any:
        return copy(layer)

    def form(self, name: str, module: Any) -> Form | None:
        return form_of(name, module)


def _watched(name: str, cls: type, see: Seer) -> type:
    """A subclass of `cls` that tells `see` about calls of the module `name`."""

    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        # `out` may be the state itself.
        given = deepcopy((args, kwargs)) if kwargs.get("out") is not None else (args, kwargs)
        result = cls.__call__(self, *args, **kwargs)
        see(name, self, *given, result)
        return result

    return type(cls.__name__, (cls,), {"__call__": call, "__module__": cls.__module__})


NUMPY = NumpyFramework()
register(NUMPY)
