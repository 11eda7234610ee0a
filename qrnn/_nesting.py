"""How deep modules are nested, found without recursion, because code that walks over a model recurses that deep."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

__all__ = ["Nesting", "expect_shallow", "named_recursion", "nesting_of"]

Children = Callable[[Any], Iterable[tuple[str, Any]]]

#: Stack frames that a walk over modules needs beside those that grow with their depth.
_ROOM = 60


class Nesting(NamedTuple):
    """The nesting of a model: how deep its modules are nested, and the name of one that contains itself."""

    depth: int
    loop: str | None


def nesting_of(model: Any, children: Children) -> Nesting:
    """The nesting of `model`, whose modules are found in the order of ``named_modules``, each once."""
    deepest, loop = 1, None
    seen, above = {id(model)}, {id(model)}
    stack = [("", model, iter(list(children(model))))]
    while stack:
        name, module, rest = stack[-1]
        child_name, child = next(rest, (None, None))
        if child_name is None:
            above.discard(id(module))
            stack.pop()
        elif id(child) in above:
            loop = loop or (f"{name}.{child_name}" if name else child_name)
        elif id(child) not in seen:
            seen.add(id(child))
            above.add(id(child))
            stack.append((f"{name}.{child_name}" if name else child_name, child, iter(list(children(child)))))
            deepest = max(deepest, len(stack))
    return Nesting(deepest, loop)


def expect_shallow(nesting: Nesting, argument: str) -> None:
    """Raise ValueError naming `argument` if Python cannot recurse over modules as deep as these."""
    frames, frame = _ROOM, sys._getframe()
    while frame.f_back is not None:
        frames, frame = frames + 1, frame.f_back
    if nesting.depth + frames > sys.getrecursionlimit():
        raise _too_deep(nesting, argument)


@contextmanager
def named_recursion(model: Any, children: Children, argument: str) -> Iterator[None]:
    """Raise ValueError naming `argument` instead of a RecursionError, such as a copy of `model` raises."""
    try:
        yield
    except RecursionError:
        raise _too_deep(nesting_of(model, children), argument) from None


def _too_deep(nesting: Nesting, argument: str) -> ValueError:
    return ValueError(
        f"{argument}: {nesting.depth} modules lie in one another, more than Python's recursion limit of "
        f"{sys.getrecursionlimit()} allows (a copy takes several steps for each: see inplace and sys.setrecursionlimit)"
    )
