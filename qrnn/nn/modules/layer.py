"""The path by which pickles of 0.1.0 name the matrices of prepared modules."""

from ..._matrices import Matrix

__all__ = ["Matrix"]
