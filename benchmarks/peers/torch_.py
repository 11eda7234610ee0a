"""torch.nn in eager mode, and the dynamically quantized modules of torch.ao, engine by engine.

torch.ao has no quantized RNN over sequences, so a loop over its cell stands in for it, as a user would write it.
"""

import warnings

import torch

from .base import Peer, calls, fed_back

CELLS = {"rnn": torch.nn.RNNCell, "lstm": torch.nn.LSTMCell, "gru": torch.nn.GRUCell}
LAYERS = {"rnn": torch.nn.RNN, "lstm": torch.nn.LSTM, "gru": torch.nn.GRU}


class TorchNN(Peer):
    name = "torch.nn"
    distribution = "torch"
    details = "eager, gradients off"

    def __init__(self, threads=1):
        super().__init__(threads)
        torch.set_num_threads(threads)
        torch.set_grad_enabled(False)

    def module(self, classes, kind, weights, suffix):
        module = classes[kind](weights["weight_ih"].shape[1], weights["weight_hh"].shape[1])
        module.load_state_dict({name + suffix: torch.from_numpy(w) for name, w in weights.items()})
        return module.eval()

    def sequence(self, kind, weights, xs):
        module, x = self.module(LAYERS, kind, weights, "_l0"), torch.from_numpy(xs)
        return calls(module, x)

    def step(self, kind, weights, xs):
        cell = self.module(CELLS, kind, weights, "")
        h = torch.zeros(xs.shape[1], weights["weight_hh"].shape[1])
        if kind == "lstm":
            return fed_back(cell, list(torch.from_numpy(xs)), (h, h), lambda s: s[0])
        return fed_back(cell, list(torch.from_numpy(xs)), h)


class TorchAO(TorchNN):
    engine = ""
    precision = "int8"
    details = "quantize_dynamic"

    def __init__(self, threads=1):
        super().__init__(threads)
        if self.engine not in torch.backends.quantized.supported_engines:
            raise ImportError(f"this PyTorch has no engine {self.engine}")

    def module(self, classes, kind, weights, suffix):
        given = torch.nn.Sequential(super().module(classes, kind, weights, suffix))
        torch.backends.quantized.engine = self.engine
        with warnings.catch_warnings():  # torch.ao announces its removal
            warnings.simplefilter("ignore")
            return torch.ao.quantization.quantize_dynamic(given, {classes[kind]})[0]

    def sequence(self, kind, weights, xs):
        if kind != "rnn":
            return super().sequence(kind, weights, xs)
        cell, steps = self.module(CELLS, kind, weights, ""), list(torch.from_numpy(xs))
        zeros = torch.zeros(xs.shape[1], weights["weight_hh"].shape[1])

        def loop():
            h, states = zeros, []
            for x in steps:
                h = cell(x, h)
                states.append(h)
            return torch.stack(states)

        return calls(loop)


class X86(TorchAO):
    name = "torch.ao x86"
    engine = "x86"


class QNNPACK(TorchAO):
    name = "torch.ao qnnpack"
    engine = "qnnpack"


class OneDNN(TorchAO):
    name = "torch.ao onednn"
    engine = "onednn"


PEERS = (TorchNN, X86, QNNPACK, OneDNN)
