"""``qrnn.nn.quantized.dynamic``: int8 modules, as ``torch.ao.nn.quantized.dynamic``.

Examples
--------
>>> from qrnn.nn.quantized import dynamic
>>> dynamic.GRU(4, 3)
DynamicQuantizedGRU(4, 3)
"""

from .modules import GRU, LSTM, RNN, GRUCell, Linear, LSTMCell, RNNCell

__all__ = ["GRU", "LSTM", "RNN", "GRUCell", "LSTMCell", "Linear", "RNNCell"]
