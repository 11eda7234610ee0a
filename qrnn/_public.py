"""Gives classes the names that users know."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

__all__ = ["public", "same"]

C = TypeVar("C", bound=type)
T = TypeVar("T")


def same(thing: T) -> T:
    """`thing`: the run-time form of a decorator that only tells type checkers something."""
    return thing


def public(module: str, name: str | None = None) -> Callable[[C], C]:
    """Make texts and pickles call a class `name` in the public `module`, which has it.

    Then pickles find it even if its file moves.
    """

    def named(cls: C) -> C:
        cls.__module__ = module
        if name is not None:
            cls.__name__ = cls.__qualname__ = name
        return cls

    return named
