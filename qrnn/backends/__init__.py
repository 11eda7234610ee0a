"""``qrnn.backends``, the counterpart of ``torch.backends``."""

from . import quantized

__all__ = ["quantized"]
