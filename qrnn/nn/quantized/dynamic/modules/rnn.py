"""``qrnn.nn.quantized.dynamic.modules.rnn``, by PyTorch's path."""

from ....._elman import QuantizedRNN as RNN
from ....._elman import QuantizedRNNCell as RNNCell
from ....._gru import QuantizedGRU as GRU
from ....._gru import QuantizedGRUCell as GRUCell
from ....._lstm import QuantizedLSTM as LSTM
from ....._lstm import QuantizedLSTMCell as LSTMCell

__all__ = ["GRU", "LSTM", "RNN", "GRUCell", "LSTMCell", "RNNCell"]
