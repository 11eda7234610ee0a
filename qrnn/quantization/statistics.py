"""The path by which pickles of prepared modules name what was recorded."""

from .._statistics import Moments, Statistics

__all__ = ["Moments", "Statistics"]
