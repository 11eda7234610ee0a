"""Print a report on this machine that can be sent: its CPU, whether its results are right, and the time of a step.

    make bench-here      (or, where qrnn is installed: python benchmarks/here.py)

It takes half a minute. The table has microseconds per step at I = H, one thread, int8 (engine qrnn) and float32 in
interleaved rounds: the fastest / the median round, and the median ratio. The digest covers the results of every kind,
engine and instruction set, and of float32, on fixed inputs: every machine has to print that of docs/performance.md.
"""

import machine

machine.use_one_thread()

import argparse
import hashlib
import itertools
import os
import platform
import random

import numpy as np
import options
import race
import recurrent
import timing
from peers.qrnn_ import Float, Int8

import qrnn
from qrnn import nn

SIZES, BATCHES, STEPS = (16, 64, 256, 1024), (1, 32), 32
LARGEST = 2**25  # points with more products per step are left out
SECONDS = 0.4  # time for the rounds of a point
ENGINES = ("qrnn", "qrnn13", "fbgemm", "qnnpack", "onednn")
LAYERS = {
    "rnn_tanh": ("RNN", {}),
    "rnn_relu": ("RNN", {"nonlinearity": "relu"}),
    "lstm": ("LSTM", {}),
    "gru": ("GRU", {}),
    "gru_reset_before": ("GRU", {"reset_after": False}),
}
INPUT, HIDDEN, ROWS, LONG = 19, 37, 5, 9  # sizes for the digest: none is a multiple of a register


def exact(shape, of):
    """Make float32 numbers of 8 bits in -1/2..1/2, the same on every machine, by a generator modulo 2^31 - 1."""
    found, state = [], of
    for _ in range(int(np.prod(shape))):
        state = state * 48271 % 0x7FFFFFFF
        found.append((state >> 12) % 256 - 128)
    return (np.array(found, np.float32) / np.float32(256)).reshape(shape)


def results(isa):
    """Yield the arrays that the digest covers: outputs and states, computed with one instruction set."""
    x = exact((LONG, ROWS, INPUT), 1)
    for name, arguments in LAYERS.values():
        layer = getattr(nn, name)(INPUT, HIDDEN, bidirectional=True, **arguments)
        state = dict(layer.state_dict())
        for i, key in enumerate(sorted(state)):
            if key != "format":
                state[key] = exact(state[key].shape, 2 + i)
        layer.load_state_dict(state)
        yield from flat(layer(x))  # float32 uses the best instruction set
        quantized = getattr(nn.quantized.dynamic, name)
        for engine in ENGINES if arguments != {"reset_after": False} else ENGINES[:2]:  # PyTorch has no such GRU
            yield from flat(quantized.from_float(layer, engine=engine, isa=isa)(x))
        yield from flat(quantized.from_float(layer, engine="qrnn", isa=isa)(x[:, :1]))


def flat(value):
    if isinstance(value, tuple):
        for each in value:
            yield from flat(each)
    else:
        yield value


def digest(isa):
    """Return 16 digits of the SHA-256 of the results' bytes, in little-endian order."""
    made = hashlib.sha256()
    for array in results(isa):
        made.update(np.ascontiguousarray(array, "<f4").tobytes())
    return made.hexdigest()[:16]


def digests():
    """Return a line with the digest, or with that of each instruction set if they differ."""
    found = {isa: digest(isa) for isa in qrnn.isas()}
    if len(set(found.values())) == 1:
        return f"{found['scalar']}, the same from {', '.join(found)}"
    return "DIFFERENT: " + ", ".join(f"{isa} {each}" for isa, each in found.items())


def point(kind, mode, size, batch, given, order):
    """Return (fastest, median) of int8 and of float32, and how many times longer float32 takes."""
    rng = np.random.default_rng(0)
    weights = recurrent.random_weights(kind, size, size, rng)
    xs = rng.standard_normal((STEPS, batch, size), np.float32)
    each = STEPS if mode == "sequence" else 1
    loop = min(timing.empty_loop(20_000) for _ in range(10)) / 20_000
    blocks = {peer.name: race.timed(getattr(peer, mode)(kind, weights, xs), loop) for peer in (Int8(1), Float(1))}
    contest = timing.Race(blocks, net=False, each=dict.fromkeys(blocks, each))
    contest.run(given.rounds, order, given.seconds)
    return *(contest.microseconds(name) for name in blocks), contest.ratio(Float.name, Int8.name)


def rows(given, order):
    grid = itertools.product(recurrent.KINDS, ("sequence", "step"), given.batches, given.sizes)
    for kind, mode, batch, size in grid:
        if recurrent.GATES[kind] * 2 * size * size * batch > LARGEST:
            continue
        int8, float32, ratio = point(kind, mode, size, batch, given, order)
        times = "".join(f"{least:10.4g} / {median:<8.4g}" for least, median in (int8, float32))
        yield f"{kind.upper():5}{mode:10}{batch:5}{size:6}{times}{ratio:7.2f}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--sizes", type=options.numbers, default=SIZES)
    parser.add_argument("--batches", type=options.numbers, default=BATCHES)
    parser.add_argument("--rounds", type=int, default=25, help="at most, a point (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of them, but three (default: %(default)s)")
    given = parser.parse_args()
    print(f"qrnn      {qrnn.__version__}, NumPy {np.__version__}, Python {platform.python_version()}")
    print(f"machine   {machine.cpu_name()}, {os.cpu_count()} cores, {platform.platform()}")
    print(f"compiler  {machine.compiler()}")
    print(f"sets      {', '.join(qrnn.isas())}; {qrnn.RNNCell(1, 1).isa} is timed", flush=True)
    print(f"digest    {digests()}")
    print(f"kind mode{'':6}batch I = H{'int8, us a step':>19}{'float32, us a step':>19}{'ratio':>8}")
    for row in rows(given, random.Random(0)):
        print(row, flush=True)


if __name__ == "__main__":
    main()
