"""``qrnn.nn.quantized``, the counterpart of ``torch.ao.nn.quantized``.

Examples
--------
>>> import qrnn
>>> qrnn.nn.quantized.dynamic.LSTM is qrnn.LSTM
True
"""

from . import dynamic

__all__ = ["dynamic"]
