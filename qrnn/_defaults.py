"""Arguments of PyTorch's functions that qrnn accepts only at their defaults, because it lacks what they turn on."""

from __future__ import annotations

from collections.abc import Sized
from typing import Any

__all__ = ["expect_defaults"]


def expect_defaults(**arguments: Any) -> None:
    """Raise ValueError, naming the argument, unless each is None, False or empty, as PyTorch's defaults are.

    Examples
    --------
    >>> expect_defaults(is_reference=False, prepare_custom_config_dict=None)
    >>> expect_defaults(is_reference=True)
    Traceback (most recent call last):
    ValueError: is_reference: expected PyTorch's default, as qrnn supports no other value, got True
    """
    for name, value in arguments.items():
        if value is not None and value is not False and not (isinstance(value, Sized) and len(value) == 0):
            raise ValueError(f"{name}: expected PyTorch's default, as qrnn supports no other value, got {value!r}")
