"""Layers of a config and their calls."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

__all__ = ["Call", "Entry"]


class Entry(NamedTuple):
    """A layer of a config.

    Attributes
    ----------
    class_name, name : str
    config : mapping
    custom : str or None
        The package of a user's own class.
    """

    class_name: str
    name: str
    config: Mapping[str, Any]
    custom: str | None

    @property
    def where(self) -> str:
        """The beginning of error texts."""
        return f"{self.class_name} {self.name!r}"


class Call(NamedTuple):
    """A call of a layer: its inputs, as names and numbers of outputs, and its other arguments.

    Attributes
    ----------
    inputs : list of tuple
    constants : list
        Positional arguments that are not outputs.
    mask : tuple or None
        The output that is passed as the argument `mask`.
    others : list of str
        Names of further arguments.
    """

    inputs: list[tuple[str, int, int]]
    constants: list[Any]
    mask: tuple[str, int, int] | None
    others: list[str]
