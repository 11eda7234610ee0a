"""``qrnn.nn``: float32 modules over NumPy, where PyTorch has ``torch.nn``."""

from . import modules, quantized
from .modules import *  # noqa: F403

__all__ = ["quantized"]
__all__ += modules.__all__
