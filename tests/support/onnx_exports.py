"""Models written by both exporters of torch.onnx, with inputs."""

from __future__ import annotations

import contextlib
import io
import itertools
import warnings

import numpy as np
import onnx
import torch

from support.onnx_models import B, H, I, Model, T

__all__ = ["exported"]


class _Layer(torch.nn.Module):
    """A layer with a head; if it is called with states, it also returns states."""

    def __init__(self, rnn, head):
        super().__init__()
        self.rnn, self.head = rnn, head

    def forward(self, x, *state):
        given = (state if len(state) == 2 else state[0],) if state else ()
        output, end = self.rnn(x, *given)
        return (self.head(output), *(end if isinstance(end, tuple) else (end,)))


class _Cells(torch.nn.Module):
    """A cell in a Python loop, which exporters unroll."""

    def __init__(self, cell):
        super().__init__()
        self.cell = cell

    def forward(self, x):
        state, outputs = None, []
        for step in x:
            state = self.cell(step, state)
            outputs.append(state[0] if isinstance(state, tuple) else state)
        return torch.stack(outputs)


class _Words(torch.nn.Module):
    """An embedding, a layer, and normalized scores of its last state."""

    def __init__(self, rnn, norm):
        super().__init__()
        self.table, self.rnn, self.norm = torch.nn.Embedding(9, I), rnn, norm

    def forward(self, words):
        _, end = self.rnn(self.table(words))
        return torch.log_softmax(self.norm((end[0] if isinstance(end, tuple) else end)[-1]), -1)


def _heads():
    return (
        torch.nn.Linear,
        lambda n, m: torch.nn.Sequential(torch.nn.Linear(n, m), torch.nn.ReLU(), torch.nn.Linear(m, m)),
        lambda n, m: torch.nn.Sequential(
            torch.nn.LayerNorm(n), torch.nn.Dropout(0.5), torch.nn.Linear(n, m, bias=False)
        ),
        lambda n, m: torch.nn.Sequential(torch.nn.Linear(n, m), torch.nn.Softmax(-1)),
    )


def _layers():
    """Yield names, modules, arguments and numbers of layers."""
    kinds = {"LSTM": torch.nn.LSTM, "GRU": torch.nn.GRU, "RNN": torch.nn.RNN}
    options = itertools.product(kinds, (1, 2), (False, True), (False, True), (False, True))
    for index, (kind, layers, both, first, given) in enumerate(options):
        rnn = kinds[kind](I, H, layers, bidirectional=both, batch_first=first, bias=index % 5 != 4)
        shape = (B, T, I) if first else (T, B, I)
        states = (2 if kind == "LSTM" else 1) if given else 0
        args = [torch.randn(*shape), *(torch.randn(layers * (1 + both), B, H) for _ in range(states))]
        head = _heads()[index % 4](H * (1 + both), 4)
        yield f"{kind} {layers} {both} {first} {given}", _Layer(rnn, head), args, layers


def _others():
    for name, cell in (("LSTMCell", torch.nn.LSTMCell), ("GRUCell", torch.nn.GRUCell)):
        yield name, _Cells(cell(I, H)), [torch.randn(T, B, I)], 1
    for rnn in (torch.nn.LSTM(I, H), torch.nn.GRU(I, H, 2)):
        yield f"words {rnn}", _Words(rnn, torch.nn.LayerNorm(H)), [torch.randint(0, 9, (T, B))], rnn.num_layers


def exported(dynamo, stride=1):
    """Export every `stride`-th model: layers of all kinds and options, cells, embeddings."""
    torch.manual_seed(0)
    models = [*_layers(), *_others()]
    for name, module, args, layers in models[::stride]:
        module.eval()
        proto = _export(module, tuple(args), dynamo)
        inputs = {each.name: np.asarray(arg) for each, arg in zip(proto.graph.input, args, strict=True)}
        # The newer exporter writes an RNN as steps and not as a node.
        found = 0 if dynamo and name.startswith("RNN") else layers
        yield Model(f"dynamo={dynamo}: {name}", proto, inputs, found)


def _export(module, args, dynamo):
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        if dynamo:
            return torch.onnx.export(module, args, dynamo=True, verbose=False).model_proto
        file = io.BytesIO()
        torch.onnx.export(module, args, file, dynamo=False)
    return onnx.load_model_from_string(file.getvalue())
