"""``qrnn.nn.modules.flatten``, by PyTorch's path."""

from ..._flatten import Flatten

__all__ = ["Flatten"]
