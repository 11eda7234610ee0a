"""Makes modules of the readers of other frameworks again from the parts of them in a file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ._format_error import FormatError
from ._loading import LoadPlan
from ._module import Module
from ._module_rows import reader_type

__all__ = ["ReaderParts", "put_whole"]


class ReaderParts(Module):
    """The placeholder of a reader's module until all its children have been made.

    Parameters
    ----------
    kind : str
        The kind in its row.
    options : mapping
        The options of that row.
    """

    def __init__(self, kind: str, options: Mapping[str, Any]) -> None:
        super().__init__()
        self._kind, self._options = kind, options
        self._arrays: Mapping[str, Any] = {}

    def _plan_load(self, prefix: str, plan: LoadPlan) -> None:
        self._arrays = plan.own(prefix)

    def whole(self) -> Module:
        """The module made from these parts."""
        cls: Any = reader_type(self._kind)
        parts = self._options, dict(self._children()), self._arrays
        from_parts = getattr(cls, "_from_parts", None)
        if from_parts is not None:
            made: Module = from_parts(*parts)
            return made
        options, children, arrays = parts
        return cls(**options, **children, **arrays)  # type: ignore[no-any-return]


def put_whole(made: dict[str, Module]) -> None:
    """Replace parts by the modules made from them, in `made` and in the modules above them.

    Parameters
    ----------
    made : dict
        The modules by their dotted names, parents first; a module with modules below it has one name.

    Raises
    ------
    FormatError
        If parts do not make a module.
    """
    for names, parts in _children_first(made):
        try:
            new = parts.whole()
        except FormatError as error:
            raise FormatError(f"{names[0] or 'the model'}: {error}") from None
        except (TypeError, ValueError, LookupError, ArithmeticError, AttributeError) as error:
            text = f"expected the parts of {reader_type(parts._kind).__name__}"
            raise FormatError(f"{names[0] or 'the model'}: {text}: {error}") from None
        for name in names:
            made[name] = new
            parent, _, own = name.rpartition(".")
            if name:
                setattr(made[parent], own, new)


def _children_first(made: Mapping[str, Module]) -> Iterator[tuple[list[str], ReaderParts]]:
    """The parts with their names; parts with several names have nothing below them."""
    places: dict[int, list[str]] = {}
    for name, module in made.items():
        if isinstance(module, ReaderParts):
            places.setdefault(id(module), []).append(name)
    last_first = list(places.values())[::-1]
    for names in sorted(last_first, key=lambda names: len(names) == 1):
        parts = made[names[0]]
        assert isinstance(parts, ReaderParts)
        yield names, parts
