"""``qrnn.nn.quantized.dynamic``: int8 modules, as ``torch.ao.nn.quantized.dynamic``."""

from .modules import GRU, LSTM, RNN, GRUCell, Linear, LSTMCell, RNNCell

__all__ = ["GRU", "LSTM", "RNN", "GRUCell", "LSTMCell", "Linear", "RNNCell"]
