"""``qrnn.backends``, where PyTorch has ``torch.backends``."""

from . import quantized

__all__ = ["quantized"]
