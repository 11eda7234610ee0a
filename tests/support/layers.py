"""Recurrent layers of every kind with every combination of their options."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from qrnn import nn

f32 = np.float32

CELLS = ("RNNCell", "LSTMCell", "GRUCell")
SEQUENCES = ("RNN", "LSTM", "GRU")


def grid(**choices):
    """List every combination of the options, as keyword arguments."""
    return [dict(zip(choices, values)) for values in itertools.product(*choices.values())]


OPTIONS = {
    "RNNCell": grid(bias=[True, False], nonlinearity=["tanh", "relu"]),
    "LSTMCell": grid(bias=[True, False]),
    "GRUCell": grid(bias=[True, False]),
}


for _name in SEQUENCES:
    OPTIONS[_name] = grid(
        num_layers=[1, 2, 3],
        bias=[True, False],
        batch_first=[False, True],
        bidirectional=[False, True],
        **{"RNN": {"nonlinearity": ["tanh", "relu"]}, "LSTM": {"proj_size": [0, 2]}, "GRU": {}}[_name],
    )
ALL = [(name, options) for name, all_options in OPTIONS.items() for options in all_options]


OURS = [
    ("GRUCell", {"reset_after": False}),
    ("GRU", {"reset_after": False, "num_layers": 2, "bidirectional": True}),
]


def ids(value):
    return ",".join(f"{k}={v}" for k, v in value.items()) if isinstance(value, dict) else value


every = pytest.mark.parametrize("name, options", ALL, ids=ids)


a_few = pytest.mark.parametrize("name, options", ALL[::5] + ALL[-1:] + OURS, ids=ids)


def make(name, options, sizes=(5, 4)):
    return getattr(nn, name)(*sizes, **options)


def inputs_of(module, steps=6, batch=3, seed=110):
    """An input and a state for a cell or a sequence, float or quantized."""
    rng = np.random.default_rng(seed)

    def draw(*shape):
        return rng.standard_normal(shape).astype(f32)

    if module.sequence is None:
        x, lead = draw(batch, module.input_size), (batch,)
    else:
        rows = (batch, steps) if module.batch_first else (steps, batch)
        x, lead = draw(*rows, module.input_size), (module.num_layers * module.num_directions, batch)
    h, c = draw(*lead, module.proj_size or module.hidden_size), draw(*lead, module.hidden_size)
    return x, ((h, c) if module.kind == "lstm" else h)


def twin(module, torch):
    """Make PyTorch's module with the same options and weights."""
    names = ("num_layers", "batch_first", "bidirectional") if module.sequence else ()
    kwargs = {name: getattr(module, name) for name in (*names, "bias")}
    if module.kind.startswith("rnn"):
        kwargs["nonlinearity"] = module.nonlinearity
    if module.proj_size:
        kwargs["proj_size"] = module.proj_size
    theirs = getattr(torch.nn, type(module).__name__)(module.input_size, module.hidden_size, **kwargs)
    theirs.load_state_dict({k: torch.from_numpy(v) for k, v in module.state_dict().items()})
    return theirs


BAD = [
    ("LSTM", {"dropout": 1.5}, ValueError, "dropout should be a number in range [0, 1] representing the "
     "probability of an element being zeroed"),
    ("LSTM", {"dropout": -0.1}, ValueError, "dropout should be a number in range"),
    ("GRU", {"dropout": True}, ValueError, "dropout should be a number in range"),
    ("GRU", {"dropout": float("nan")}, ValueError, "dropout should be a number in range"),
    ("LSTM", {"proj_size": -1}, ValueError, "proj_size should be a positive integer or zero to disable "
     "projections"),
    ("LSTM", {"proj_size": 4}, ValueError, "proj_size has to be smaller than hidden_size"),
    ("LSTM", {"proj_size": 5}, ValueError, "proj_size has to be smaller than hidden_size"),
    ("GRU", {"proj_size": 2}, ValueError, "proj_size argument is only supported for LSTM, not RNN or GRU"),
    ("RNN", {"proj_size": 0}, ValueError, "proj_size argument is only supported for LSTM, not RNN or GRU"),
    ("RNN", {"nonlinearity": "gelu"}, ValueError, "Unknown nonlinearity"),
    ("RNN", {"bias": 1}, TypeError, "bias should be of type bool, got: int"),
    ("LSTM", {"batch_first": "yes"}, TypeError, "batch_first should be of type bool, got: str"),
    ("LSTM", {"input_size": 4.0}, TypeError, "input_size should be of type int, got: float"),
    ("LSTM", {"input_size": 0}, ValueError, "input_size must be greater than zero"),
    ("GRU", {"hidden_size": "3"}, TypeError, "hidden_size should be of type int, got: str"),
    ("GRU", {"hidden_size": 0}, ValueError, "hidden_size must be greater than zero"),
    ("GRU", {"hidden_size": -3}, ValueError, "hidden_size must be greater than zero"),
    ("RNN", {"num_layers": 0}, ValueError, "num_layers must be greater than zero"),
]  # fmt: skip


def arguments(changes):
    return {"input_size": 5, "hidden_size": 4, **changes}
