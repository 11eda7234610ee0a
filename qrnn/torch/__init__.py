"""``qrnn.torch``: the same for torch models."""

from . import nn, quantized

__all__ = ["nn", "quantized"]
