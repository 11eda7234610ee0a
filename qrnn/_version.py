"""The package's version, which csrc/core/qrnn.h has."""

from ._core import VERSION as __version__

__all__ = ["__version__"]
