"""``qrnn.torch.quantization.quantize``, by PyTorch's path."""

from .._quantization import convert, prepare, prepare_qat, propagate_qconfig_, quantize_dynamic

__all__ = ["convert", "prepare", "prepare_qat", "propagate_qconfig_", "quantize_dynamic"]
