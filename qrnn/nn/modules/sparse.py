"""``qrnn.nn.modules.sparse``, by PyTorch's path."""

from ..._embedding import Embedding

__all__ = ["Embedding"]
