"""``qrnn.torch.quantized.dynamic``: a short path to ``qrnn.torch.nn.quantized.dynamic``.

Examples
--------
>>> import qrnn.torch as qnn
>>> qnn.quantized.dynamic.LSTM is qnn.LSTM
True
"""

from ..nn.quantized.dynamic import GRU, LSTM, RNN, GRUCell, Linear, LSTMCell, RNNCell

__all__ = ["GRU", "LSTM", "RNN", "GRUCell", "LSTMCell", "Linear", "RNNCell"]
