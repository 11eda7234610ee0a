"""The module path that pickles of 0.1.0 use for the matrices of prepared modules."""

from ..._matrices import Matrix

__all__ = ["Matrix"]
