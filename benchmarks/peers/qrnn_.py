"""This project: the quantised modules of engine qrnn, and the float ones."""

import qrnn
from qrnn import nn

from .base import Peer, calls, fed_back

CELLS = {"rnn": "RNNCell", "lstm": "LSTMCell", "gru": "GRUCell"}
LAYERS = {"rnn": "RNN", "lstm": "LSTM", "gru": "GRU"}


class Float(Peer):
    name = "qrnn f32"
    distribution = "quantized-rnn"
    details = "qrnn.nn"

    def __init__(self, threads=1):
        super().__init__(threads)
        if hasattr(qrnn, "set_num_threads"):
            qrnn.set_num_threads(threads)

    def version(self):
        return qrnn.__version__

    def class_name(self, kind, mode):
        return (CELLS if mode == "step" else LAYERS)[kind]

    def refuses(self, kind, mode, batch):
        name = self.class_name(kind, mode)
        return "" if hasattr(nn, name) else f"no qrnn.nn.{name}"

    def module(self, kind, mode, weights):
        name, suffix = self.class_name(kind, mode), "" if mode == "step" else "_l0"
        module = getattr(nn, name)(weights["weight_ih"].shape[1], weights["weight_hh"].shape[1])
        module.load_state_dict({key + suffix: w for key, w in weights.items()})
        return module

    def sequence(self, kind, weights, xs):
        return calls(self.module(kind, "sequence", weights), xs)

    def step(self, kind, weights, xs):
        return fed_back(self.module(kind, "step", weights), list(xs), None,
                        (lambda s: s[0]) if kind == "lstm" else (lambda h: h))


class Int8(Float):
    name = "qrnn"
    precision = "int8"
    details = "qrnn.nn.quantized.dynamic, engine qrnn"

    def module(self, kind, mode, weights):
        given = super().module(kind, mode, weights)
        return getattr(nn.quantized.dynamic, type(given).__name__).from_float(given, engine="qrnn")


PEERS = (Int8, Float)
