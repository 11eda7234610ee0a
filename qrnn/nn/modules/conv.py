"""``qrnn.nn.modules.conv``, by PyTorch's path."""

from ..._conv import Conv1d

__all__ = ["Conv1d"]
