"""``qrnn.torch.nn.quantized``, the counterpart of ``torch.ao.nn.quantized``.

Examples
--------
>>> import qrnn.torch as qnn
>>> qnn.nn.quantized.dynamic.GRU(4, 3)
DynamicQuantizedGRU(4, 3)
"""

from . import dynamic

__all__ = ["dynamic"]
