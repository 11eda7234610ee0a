"""``qrnn.torch.nn``, where PyTorch has ``torch.ao.nn``."""

from . import quantized

__all__ = ["quantized"]
