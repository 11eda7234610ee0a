"""``qrnn.quantized.dynamic``: a short path to ``qrnn.nn.quantized.dynamic``."""

from ..nn.quantized.dynamic import Linear, RNNCell

__all__ = ["Linear", "RNNCell"]
