"""``qrnn.torch.nn.quantized``, where PyTorch has ``torch.ao.nn.quantized``."""

from . import dynamic

__all__ = ["dynamic"]
