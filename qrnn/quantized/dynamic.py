"""``qrnn.quantized.dynamic``: a short path to ``qrnn.nn.quantized.dynamic``.

Examples
--------
>>> import qrnn
>>> qrnn.quantized.dynamic.LSTM is qrnn.LSTM
True
"""

from ..nn.quantized.dynamic import GRU, LSTM, RNN, GRUCell, Linear, LSTMCell, RNNCell

__all__ = ["GRU", "LSTM", "RNN", "GRUCell", "LSTMCell", "Linear", "RNNCell"]
