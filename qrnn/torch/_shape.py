"""The path by which pickles of version 0.1.0 name the description of a layer."""

from __future__ import annotations

from typing import Any

__all__ = ["Shape"]


class Shape(tuple[Any, ...]):
    """The fields of a layer's description, as `QuantizedLayer` reads them from pickles."""

    def __new__(cls, *fields: Any) -> Shape:
        return tuple.__new__(cls, fields)
