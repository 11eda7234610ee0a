"""``qrnn.nn.modules.module``, by PyTorch's path."""

from ..._loading import LoadResult
from ..._module import Module, RemovableHandle

__all__ = ["LoadResult", "Module", "RemovableHandle"]
