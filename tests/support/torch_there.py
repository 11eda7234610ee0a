"""Whether PyTorch is installed."""

from __future__ import annotations

import importlib.util

import pytest

HAVE_TORCH = importlib.util.find_spec("torch") is not None


needs_torch = pytest.mark.skipif(
    not HAVE_TORCH, reason="PYTORCH IS NOT INSTALLED: comparisons with the live PyTorch did not run"
)
