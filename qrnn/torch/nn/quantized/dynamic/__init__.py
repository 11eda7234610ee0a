"""``qrnn.torch.nn.quantized.dynamic``: int8 modules for torch models.

Examples
--------
>>> from qrnn.torch.nn.quantized import dynamic
>>> dynamic.GRUCell(4, 3)
DynamicQuantizedGRUCell(4, 3)
"""

from .modules import GRU, LSTM, RNN, GRUCell, Linear, LSTMCell, RNNCell

__all__ = ["GRU", "LSTM", "RNN", "GRUCell", "LSTMCell", "Linear", "RNNCell"]
