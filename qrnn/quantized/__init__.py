"""``qrnn.quantized``: a short path to ``qrnn.nn.quantized``.

Examples
--------
>>> import qrnn
>>> qrnn.quantized.dynamic.RNNCell(10, 20)
DynamicQuantizedRNNCell(10, 20)
"""

from . import dynamic

__all__ = ["dynamic"]
