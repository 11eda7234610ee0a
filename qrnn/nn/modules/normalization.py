"""``qrnn.nn.modules.normalization``, by PyTorch's path."""

from ..._normalization import LayerNorm

__all__ = ["LayerNorm"]
