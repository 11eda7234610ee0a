"""This project: the quantized modules of engine qrnn, and the float ones."""

import itertools

import numpy as np

import qrnn
from qrnn import nn

from .base import Peer, calls, fed_back

CELLS = {"rnn": "RNNCell", "lstm": "LSTMCell", "gru": "GRUCell"}
LAYERS = {"rnn": "RNN", "lstm": "LSTM", "gru": "GRU"}


class Float(Peer):
    name = "qrnn f32"
    distribution = "quantized-rnn"
    details = "qrnn.nn"

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

    def started(self, run):
        """Return run(n) that sets this adapter's number of threads, a setting of the process, before it runs."""
        if not hasattr(qrnn, "set_num_threads"):
            return run

        def with_threads(n):
            qrnn.set_num_threads(self.threads)
            return run(n)

        return with_threads

    def sequence(self, kind, weights, xs):
        return self.started(calls(self.module(kind, "sequence", weights), xs))

    def step(self, kind, weights, xs):
        return self.started(
            fed_back(
                self.module(kind, "step", weights),
                list(xs),
                None,
                (lambda s: s[0]) if kind == "lstm" else (lambda h: h),
            )
        )


class Int8(Float):
    name = "qrnn"
    precision = "int8"
    details = "qrnn.nn.quantized.dynamic, engine qrnn"

    def module(self, kind, mode, weights):
        given = super().module(kind, mode, weights)
        return getattr(nn.quantized.dynamic, type(given).__name__).from_float(given, engine="qrnn")


class Int8Out(Int8):
    name = "qrnn out="
    details = "the same, the result written over the state: nothing is allocated"

    def refuses(self, kind, mode, batch):
        return super().refuses(kind, mode, batch) or ("" if mode == "step" else "no sequences in place")

    def step(self, kind, weights, xs):
        cell = self.module(kind, "step", weights)
        h, c = (np.zeros((xs.shape[1], weights["weight_hh"].shape[1]), np.float32) for _ in range(2))
        state = (h, c) if kind == "lstm" else h
        inputs = itertools.cycle(list(xs))

        def run(n):
            for x in itertools.islice(inputs, n):
                cell(x, state, out=state)
            return h.copy()

        return self.started(run)


class Int8OneThread(Int8):
    """The same on one thread, measured beside runs with more threads to show their gain."""

    name = "qrnn 1 thread"
    details = "the same on one thread"

    def __init__(self, threads=1):
        super().__init__(1)


PEERS = (Int8, Int8Out, Float, Int8OneThread)
