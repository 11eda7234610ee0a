"""``qrnn.torch.nn``, the counterpart of ``torch.ao.nn``."""

from . import quantized

__all__ = ["quantized"]
