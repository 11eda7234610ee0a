"""Warnings that point at the user's line."""

from __future__ import annotations

import sys
import warnings

__all__ = ["warn"]


#: Packages that may call this one for their caller; warnings point beyond them.
_PASSED = (__package__, "torch")


def warn(text: str, category: type[Warning] = UserWarning) -> None:
    """Issue a warning at the user's line that called this package, however deep the call is."""
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] in _PASSED:
        level, frame = level + 1, frame.f_back
    warnings.warn(text, category, stacklevel=level)
