"""``qrnn.torch.nn.quantized``, the counterpart of ``torch.ao.nn.quantized``."""

from . import dynamic

__all__ = ["dynamic"]
