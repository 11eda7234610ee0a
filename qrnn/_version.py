"""The package's version, the same as in csrc/core/qrnn.h."""

from ._core import VERSION as __version__

__all__ = ["__version__"]
