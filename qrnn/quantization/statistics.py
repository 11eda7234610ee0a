"""The module path that pickles of prepared modules use for their statistics."""

from .._statistics import Moments, Statistics

__all__ = ["Moments", "Statistics"]
