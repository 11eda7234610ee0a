"""``qrnn.nn``: float32 modules for NumPy, the counterpart of ``torch.nn``.

Examples
--------
>>> from qrnn import nn
>>> nn.Sequential(nn.GRUCell(4, 3), nn.Linear(3, 2))
Sequential(
  (0): GRUCell(4, 3)
  (1): Linear(in_features=3, out_features=2, bias=True)
)
"""

from . import modules, quantized
from .modules import *  # noqa: F403

__all__ = ["quantized"]
__all__ += modules.__all__
