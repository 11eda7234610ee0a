"""The modules of ``qrnn.nn.quantized.dynamic``."""

from .linear import Linear
from .rnn import RNNCell

__all__ = ["Linear", "RNNCell"]
