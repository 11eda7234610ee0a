"""The interface of the adapters of benchmarks/compare.py."""

import functools
import importlib.metadata
import itertools

import numpy as np


def quantize_rows(weight, levels=127):
    """Quantize a matrix for the int8 peers: symmetric int8 codes with one scale for each row."""
    scale = np.abs(weight).max(axis=1) / levels
    return np.rint(weight / scale[:, None]).astype(np.int8), scale.astype(np.float32)


def reordered(kind, array, gates):
    """Return the rows of a PyTorch array with its gates in another order; `gates` has an order for each kind."""
    parts = np.split(array, len(gates[kind]))
    return np.concatenate([parts[g] for g in gates[kind]])


def state_names(kind):
    return ("h", "c") if kind == "lstm" else ("h",)


class Peer:
    """One library, used in one way.

    `sequence` and `step` return `run(n)`, which does the work n times and returns the last result, an array.
    A sequence call starts from zeros and returns h of all steps, [T, B, H]. A step takes the next x of xs
    (cyclically, also from one run to the next) and the state of the step before, at first zeros, and returns
    h, [B, H]. The adapter has its own loop, so that each peer is called in its cheapest way. Everything that
    a user would prepare once is prepared before `run` is returned.
    """

    name = ""
    precision = "float32"  # of the activations in the products: float32, bfloat16 or int8
    distribution = ""  # the package whose version is noted
    details = ""
    kinds = ("rnn", "lstm", "gru")

    def __init__(self, threads=1):
        self.threads = threads

    def version(self):
        return importlib.metadata.version(self.distribution)

    def refuses(self, kind, mode, batch):
        """Return why this peer cannot compute it, or "". mode is "sequence" or "step"."""
        return "" if kind in self.kinds else f"no {kind}"

    def sequence(self, kind, weights, xs):
        raise NotImplementedError

    def step(self, kind, weights, xs):
        raise NotImplementedError


def calls(function, *arguments):
    """Return run(n) of a call that returns its result, or a tuple that begins with it."""
    call = functools.partial(function, *arguments)

    def run(n):
        for _ in itertools.repeat(None, n):
            result = call()
        return np.asarray(result[0] if isinstance(result, tuple) else result)

    return run


def fed_back(step, xs, state, h=np.asarray):
    """Return run(n) of `state = step(x, state)`; `h` takes the array out of a state."""
    inputs = itertools.cycle(xs)

    def run(n):
        nonlocal state
        s = state
        for x in itertools.islice(inputs, n):
            s = step(x, s)
        state = s
        return np.array(h(s))

    return run
