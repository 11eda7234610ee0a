"""The module path that pickles use for prepared modules."""

from typing import Any

from .._prepared import Preparation, PreparedLayer
from .._rows import ROWS

__all__ = ["Preparation", "PreparedLayer"]


def __getattr__(name: str) -> Any:
    """``PreparedLSTM`` and so on; these classes are made from the float classes."""
    for row in ROWS:
        if row.prepared_type.__name__ == name:
            return row.prepared_type
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
