"""Which modules of a model are quantized, and how: what its user chose.

For models of ours and of PyTorch's alike: nothing here knows what a module is.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Generic, TypeVar

from ..nn.modules.module import Module
from .qconfig import engine_qconfig

__all__ = ["Chooser"]

R = TypeVar("R")

_UNSAID = object()


def _is_qconfig(value: Any) -> bool:
    """Whether `value` is a QConfig, ours or PyTorch's."""
    return hasattr(value, "weight") and hasattr(value, "activation") and not isinstance(value, Module)


class Chooser(Generic[R]):
    """Reads what a user may give as a choice of modules.

    Parameters
    ----------
    table : sequence of rows
        Each with ``float_type`` and ``quantized_type``.
    find : callable
        From a module to its row and one of the row's types, or to None.
    children : callable
        From a module to the names and modules of its children, those referenced twice both times.
    known_as : callable, optional
        From a type that a user names to the type of the table that it means.
    """

    def __init__(
        self,
        table: tuple[R, ...],
        find: Callable[[Any], tuple[R, type] | None],
        children: Callable[[Any], Iterable[tuple[str, Any]]],
        known_as: Callable[[type], type] | None = None,
    ) -> None:
        self._table: tuple[Any, ...] = table
        self._find = find
        self._children = children
        self._known_as = known_as

    def normalised(self, spec: Any, argument: str, empty_is_all: bool) -> dict[Any, Any]:
        """What a user may give as a choice, as a dict of type or name to QConfig or None."""
        if spec is None or (empty_is_all and isinstance(spec, Mapping) and not spec):
            spec = engine_qconfig
        if _is_qconfig(spec):
            return {row.float_type: spec for row in self._table}
        if isinstance(spec, (set, frozenset)):
            spec = dict.fromkeys(spec, engine_qconfig)
        if not isinstance(spec, Mapping):
            raise TypeError(
                f"{argument}: expected a mapping of type or name to QConfig, a set of types and names, "
                f"a QConfig or None, got {type(spec).__name__}"
            )
        result: dict[Any, Any] = {}
        for key, value in spec.items():
            if not isinstance(key, (str, type)):
                raise TypeError(f"{argument}: expected types and names as keys, got {key!r}")
            if value is not None and not _is_qconfig(value):
                raise TypeError(f"{argument}: expected QConfig or None for {key!r}, got {type(value).__name__}")
            result[self._known_as(key) if self._known_as and isinstance(key, type) else key] = value
        return result

    def choose(self, model: Any, spec: Mapping[Any, Any], argument: str) -> dict[int, Any]:
        """The qconfig of every module, by identity: its attribute, else name, else type, else parent's.

        A module with several names goes by what any of them says; ValueError where they disagree.
        """
        paths = list(self._paths(model))
        said = _Said(argument)
        for name, _, module in paths:
            if name in spec:
                said.note(module, name, spec[name])
        by_name, said = said.by_module, _Said(argument)
        by_path: dict[str | None, Any] = {None: _UNSAID}
        for name, parent, module in paths:
            qconfig = by_path[parent]
            qconfig = next((spec[each] for each in self._types_of(module) if each in spec), qconfig)
            qconfig = by_name.get(id(module), ("", qconfig))[1]
            qconfig = getattr(module, "qconfig", qconfig)
            if not (qconfig is None or qconfig is _UNSAID or _is_qconfig(qconfig)):
                where = f"{name}.qconfig" if name else "qconfig"
                raise TypeError(f"{where}: expected a QConfig or None, got {type(qconfig).__name__}")
            by_path[name] = qconfig
            if qconfig is not _UNSAID:
                said.note(module, name, qconfig)
        unknown = sorted(key for key in spec if isinstance(key, str) and key not in by_path)
        if unknown:
            warnings.warn(f"{argument}: no submodule is named {', '.join(unknown)}", UserWarning, stacklevel=3)
        return {id(module): said.by_module.get(id(module), ("", None))[1] for _, _, module in paths}

    def quantizable(self, model: Any, chosen: Mapping[int, Any]) -> Iterator[tuple[str, Any, R, Any]]:
        """Name, module, row of the table and qconfig of each module that is chosen and has a row."""
        for name, module in model.named_modules():
            found = self._find(module)
            if found is not None and chosen[id(module)] is not None:
                yield name, module, found[0], chosen[id(module)]

    def _paths(
        self, module: Any, name: str = "", parent: str | None = None, above: tuple[Any, ...] = ()
    ) -> Iterator[tuple[str, str | None, Any]]:
        """Name, name of the parent and module along every path that leads to a module, parents first."""
        yield name, parent, module
        above = (*above, module)
        for child_name, child in self._children(module):
            if not any(child is each for each in above):  # a cycle has no last name
                yield from self._paths(child, f"{name}.{child_name}" if name else child_name, name, above)

    def _types_of(self, module: Any) -> tuple[type, ...]:
        """The types under which a choice may name `module`: its own, and those of its row."""
        row: Any = (self._find(module) or (None,))[0]
        return (type(module),) if row is None else (type(module), row.float_type, row.quantized_type)


class _Said:
    """What is said of each module, by its identity: under which name, and what."""

    def __init__(self, argument: str) -> None:
        self._argument = argument
        self.by_module: dict[int, tuple[str, Any]] = {}

    def note(self, module: Any, name: str, qconfig: Any) -> None:
        """Add what is said of `module` under `name`; ValueError if another name says something else."""
        before, other = self.by_module.setdefault(id(module), (name, qconfig))
        if other is not qconfig and other != qconfig:
            raise ValueError(
                f"{self._argument}: expected one choice for {before!r} and {name!r}, which are the same "
                f"module, got {other} and {qconfig}"
            )
