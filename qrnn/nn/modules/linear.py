"""``qrnn.nn.modules.linear``, by PyTorch's path."""

from ..._linear import Linear

__all__ = ["Linear"]
