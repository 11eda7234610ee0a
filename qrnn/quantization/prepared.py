"""The module path that pickles use for prepared modules."""

from typing import Any

from .._prepared import PREPARED_TYPES, Preparation, PreparedLayer

__all__ = ["Preparation", "PreparedLayer"]


def __getattr__(name: str) -> Any:
    """``PreparedLSTM`` and so on; these classes are made from the float classes."""
    if name in PREPARED_TYPES:
        return PREPARED_TYPES[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
