"""How deep modules lie in one another, found without recursion: what walks over a model recurses as deep."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

__all__ = ["Nesting", "expect_shallow", "named_recursion", "nesting_of"]

Children = Callable[[Any], Iterable[tuple[str, Any]]]

#: Frames of a walk over modules that do not grow with their depth.
_ROOM = 60


class Nesting(NamedTuple):
    """Of a model: how many modules lie in one another, and the name of one that contains itself."""

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
    """Have a ValueError naming `argument` take the place of a RecursionError, as a copy of `model` raises it."""
    try:
        yield
    except RecursionError:
        raise _too_deep(nesting_of(model, children), argument) from None


def _too_deep(nesting: Nesting, argument: str) -> ValueError:
    return ValueError(
        f"{argument}: {nesting.depth} modules lie in one another, more than Python's recursion limit of "
        f"{sys.getrecursionlimit()} allows (a copy takes several steps for each: see inplace and sys.setrecursionlimit)"
    )
