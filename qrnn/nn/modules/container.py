"""``qrnn.nn.modules.container``, by PyTorch's path."""

from ..._containers import ModuleList, Sequential

__all__ = ["ModuleList", "Sequential"]
