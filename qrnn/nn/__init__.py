"""``qrnn.nn``: float32 modules for NumPy, the counterpart of ``torch.nn``."""

from . import modules, quantized
from .modules import *  # noqa: F403

__all__ = ["quantized"]
__all__ += modules.__all__
