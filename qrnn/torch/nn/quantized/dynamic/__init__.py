"""``qrnn.torch.nn.quantized.dynamic``: int8 modules for torch models."""

from .modules import GRU, LSTM, RNN, GRUCell, Linear, LSTMCell, RNNCell

__all__ = ["GRU", "LSTM", "RNN", "GRUCell", "LSTMCell", "Linear", "RNNCell"]
