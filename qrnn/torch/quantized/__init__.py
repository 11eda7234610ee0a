"""``qrnn.torch.quantized``: a short path to ``qrnn.torch.nn.quantized``.

Examples
--------
>>> import qrnn.torch as qnn
>>> qnn.quantized.dynamic.RNNCell(10, 20)
DynamicQuantizedRNNCell(10, 20)
"""

from . import dynamic

__all__ = ["dynamic"]
