"""``qrnn.quantized``: a short path to ``qrnn.nn.quantized``."""

from . import dynamic

__all__ = ["dynamic"]
