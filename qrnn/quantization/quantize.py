"""``qrnn.quantization.quantize``, by PyTorch's path."""

from .._numpy_convert import convert, prepare, propagate_qconfig_, quantize_dynamic

__all__ = ["convert", "prepare", "propagate_qconfig_", "quantize_dynamic"]
