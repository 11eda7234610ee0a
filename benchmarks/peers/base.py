"""What every adapter of benchmarks/compare.py implements."""

import functools
import importlib.metadata
import itertools

import numpy as np


def quantize_rows(weight, levels=127):
    """int8 codes of a matrix, symmetric, with one scale a row: what the int8 peers are given."""
    scale = np.abs(weight).max(axis=1) / levels
    return np.rint(weight / scale[:, None]).astype(np.int8), scale.astype(np.float32)


def reordered(kind, array, gates):
    """The rows of a PyTorch array with its gates in another order; `gates` has one for each kind."""
    parts = np.split(array, len(gates[kind]))
    return np.concatenate([parts[g] for g in gates[kind]])


def state_names(kind):
    return ("h", "c") if kind == "lstm" else ("h",)


class Peer:
    """One library in one way of using it.

    `sequence` and `step` return `run(n)`, which does the work n times and returns what came last, an array:
    a sequence call starts from zeros and gives h of all steps, [T, B, H]; a step takes the next x of xs
    (round and round, also from one run to the next) and the state that the step before gave, from zeros at
    first, and gives h, [B, H]. The loop belongs to the adapter, so that each peer is called in its own
    cheapest way; everything that a user would prepare once is prepared before `run` exists.
    """

    name = ""
    precision = "float32"  # of the activations in the products: float32, bfloat16 or int8
    distribution = ""  # whose version is noted
    details = ""
    kinds = ("rnn", "lstm", "gru")

    def __init__(self, threads=1):
        self.threads = threads

    def version(self):
        return importlib.metadata.version(self.distribution)

    def refuses(self, kind, mode, batch):
        """Why this peer has no such thing, or "". mode is "sequence" or "step"."""
        return "" if kind in self.kinds else f"no {kind}"

    def sequence(self, kind, weights, xs):
        raise NotImplementedError

    def step(self, kind, weights, xs):
        raise NotImplementedError


def calls(function, *arguments):
    """run(n) of a call that returns its result, or a tuple that begins with it."""
    call = functools.partial(function, *arguments)

    def run(n):
        for _ in itertools.repeat(None, n):
            result = call()
        return np.asarray(result[0] if isinstance(result, tuple) else result)

    return run


def fed_back(step, xs, state, h=np.asarray):
    """run(n) of `state = step(x, state)`; `h` takes the array out of a state."""
    inputs = itertools.cycle(xs)

    def run(n):
        nonlocal state
        s = state
        for x in itertools.islice(inputs, n):
            s = step(x, s)
        state = s
        return np.array(h(s))

    return run
