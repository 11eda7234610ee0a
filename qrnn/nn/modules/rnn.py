"""``qrnn.nn.modules.rnn``, by PyTorch's path."""

from ..._cell import Cell
from ..._cell_sequences import Recurrent
from ..._elman import RNN, RNNCell
from ..._gru import GRU, GRUCell
from ..._lstm import LSTM, LSTMCell

__all__ = ["GRU", "LSTM", "RNN", "Cell", "GRUCell", "LSTMCell", "RNNCell", "Recurrent"]
