"""``qrnn.nn.quantized.dynamic``: int8 modules, as ``torch.ao.nn.quantized.dynamic``."""

from .modules import Linear, RNNCell

__all__ = ["Linear", "RNNCell"]
