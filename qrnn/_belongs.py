"""Hints about objects given to the wrong package: ``qrnn`` is for NumPy, ``qrnn.torch`` for PyTorch."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

__all__ = ["belongs"]


def belongs(obj: Any) -> str:
    """A hint for the text of an error about `obj`: the other package, if that one takes it.

    Examples
    --------
    >>> belongs(np.ones(3)), belongs("text")
    ('; arrays and models of qrnn.nn are for the package qrnn', '')
    """
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(obj, (torch.Tensor, torch.nn.Module)):
        return "; tensors and models of PyTorch are for the package qrnn.torch"
    ours = any(base.__module__ == "qrnn.nn" and base.__name__ == "Module" for base in type(obj).__mro__)
    return "; arrays and models of qrnn.nn are for the package qrnn" if ours or isinstance(obj, np.ndarray) else ""
