"""``qrnn.torch.nn``, the counterpart of ``torch.ao.nn``.

Examples
--------
>>> import qrnn.torch as qnn
>>> qnn.nn.quantized.dynamic.LSTM is qnn.LSTM
True
"""

from . import quantized

__all__ = ["quantized"]
