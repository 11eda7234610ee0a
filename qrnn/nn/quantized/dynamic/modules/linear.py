"""``qrnn.nn.quantized.dynamic.modules.linear``, by PyTorch's path."""

from ....._linear import QuantizedLinear as Linear

__all__ = ["Linear"]
