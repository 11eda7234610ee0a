"""``qrnn.nn.modules.batchnorm``, by PyTorch's path."""

from ..._normalization import BatchNorm1d

__all__ = ["BatchNorm1d"]
