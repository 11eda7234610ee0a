"""A module in HTML for notebooks: a line for each module, which unfolds into its weights and the modules below it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from ._contents import Content, precision_of
from ._html import Room, code, folded, page, paragraph, quiet, table

__all__ = ["shown"]

#: The most modules shown within one module; more are only counted.
_CHILDREN = 200
#: The deepest level of modules within modules that is shown.
_DEPTH = 24

Children = Callable[[Any], Iterable[tuple[str, Any]]]
Contents = Callable[[Any], list[Content]]


def shown(module: Any, children: Children, contents: Contents) -> str:
    """The HTML of a module.

    Parameters
    ----------
    module : module
        A module of ``qrnn`` or of PyTorch.
    children : callable
        ``children(module)``: name and module of each child.
    contents : callable
        ``contents(module)``: the arrays that it holds itself.
    """
    return page(_Tree(children, contents).lines("", module, 0))


class _Tree:
    def __init__(self, children: Children, contents: Contents) -> None:
        self._children, self._contents, self._room = children, contents, Room()

    def lines(self, name: str, module: Any, depth: int) -> Iterator[str]:
        """A module and all below it; nothing if there is no room left."""
        found, below = self._contents(module), list(self._children(module))
        head = self._head(name, module, found, below)
        if not self._room.take(head):
            return
        inner, left = list(self._weights(found, name or type(module).__name__)), len(below)
        for each, child in below[:_CHILDREN] if depth < _DEPTH else ():
            lines = list(self.lines(each, child, depth + 1))
            if not lines:
                break
            inner += lines
            left -= 1
        if left:
            inner.append(paragraph(f"and {left:,} more module{'s' * (left != 1)}"))
        yield folded(head, inner, opened=not depth) if inner else f"<p>{head}</p>"

    def _head(self, name: str, module: Any, found: list[Content], below: list[Any]) -> str:
        """The line of a module."""
        extra = module.extra_repr().replace("\n", " ")[:300]
        said = [precision_of(found)] if found else []
        if found:
            said.append(f"{sum(each.size for each in found):,} numbers")
        if below:
            said.append(f"{len(below):,} module{'s' * (len(below) != 1)}")
        label = f"({name[:200]}): " if name else ""
        return code(f"{label}{module._get_name()}({extra})") + (" " + quiet(", ".join(said)) if said else "")

    def _weights(self, found: list[Content], label: str) -> Iterator[str]:
        rows = [("name", "shape", "type", "multiplies")]
        rows += [(e.name, " x ".join(map(str, e.shape)) or "1", e.dtype, e.multiplies) for e in found[:_CHILDREN]]
        if found and self._room.take("".join(map("".join, rows)) + 80 * len(rows) * " "):
            yield from table(rows, f"weights of {label[:200]}", Room())
            if len(found) > _CHILDREN:
                yield paragraph(f"and {len(found) - _CHILDREN:,} more")
