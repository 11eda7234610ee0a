"""``qrnn.torch.quantized``: a short path to ``qrnn.torch.nn.quantized``."""

from . import dynamic

__all__ = ["dynamic"]
