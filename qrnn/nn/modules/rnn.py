"""``qrnn.nn.modules.rnn``, by PyTorch's path."""

from ..._elman import RNN, RNNCell
from ..._gru import GRU, GRUCell
from ..._lstm import LSTM, LSTMCell

__all__ = ["GRU", "LSTM", "RNN", "GRUCell", "LSTMCell", "RNNCell"]
