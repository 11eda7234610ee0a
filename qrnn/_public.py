"""Classes under the names that users know."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

__all__ = ["public", "same"]

C = TypeVar("C", bound=type)
T = TypeVar("T")


def same(thing: T) -> T:
    """`thing`: what a decorator that only tells type checkers something is when a program runs."""
    return thing


def public(module: str, name: str | None = None) -> Callable[[C], C]:
    """Have texts and pickles name a class by the public `module`, which has it, and there by `name`.

    Pickles find it there wherever its file goes.
    """

    def named(cls: C) -> C:
        cls.__module__ = module
        if name is not None:
            cls.__name__ = cls.__qualname__ = name
        return cls

    return named
