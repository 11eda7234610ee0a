"""``qrnn.nn.modules.container``, by PyTorch's path."""

from ..._containers import ModuleDict, ModuleList, Sequential

__all__ = ["ModuleDict", "ModuleList", "Sequential"]
