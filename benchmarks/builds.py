"""Time two builds of the extension against each other: cells and sequences of every kind, in one process.

    python benchmarks/builds.py OLD NEW [--rounds 21] [--places 9] [--isa avx2] [--only lstm] [--engines qrnn,float32]

OLD and NEW are paths of two ``_core*.so``. Every point is called with the same weights and inputs in both builds, by
turns and in changing order; a round is the CPU time of as many calls as take about a millisecond. Where a module lies
in memory moves its time more than the builds differ: a build against its own copy, one pair of modules a point, reads
0.68 to 1.12. So each point is measured on several pairs, all alive at once and made in changing order: the figure is
the median over the pairs of the median over the rounds of NEW's time over OLD's of the same round. Where the code lies
moves times too, for as long as a process lives: a build against its own copy stays at 1.04 at a point or two. So points
above ``--most`` are measured again in processes of their own, which load the builds in changing order: their figure is
the median over these. Single points prove little even so. What a compiler costs shows in all kinds: the largest median
over the points of one engine, size and batch is printed at the end. Results have to be equal, bit for bit.
``builds.py OLD COPY_OF_OLD`` shows what the machine adds.
"""

import machine

machine.use_one_thread()

import argparse
import importlib.machinery
import importlib.util
import itertools
import multiprocessing
import random
import statistics
import time
from functools import partial

import numpy as np

KINDS = {"rnn_tanh": 1, "rnn_relu": 1, "lstm": 4, "gru": 3, "gru_reset_before": 3}
STEPS = {16: 64, 32: 64, 64: 32, 128: 32, 256: 16, 512: 8, 1024: 4}  # size -> steps; the sizes of bench.py
BATCHES = (1, 4, 32)
ROUND = 1e-3  # seconds


def load(path):
    """Load the extension at `path` as a module of its own, even beside another build."""
    loader = importlib.machinery.ExtensionFileLoader("qrnn._core", path)
    spec = importlib.util.spec_from_file_location("qrnn._core", path, loader=loader)
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


def matrices(kind, engine, size, rng):
    """Make W_ih and W_hh with a bias each: float32, or int8 with a scale for each row."""
    rows, found = KINDS[kind] * size, []
    for _ in range(2):
        bias = rng.standard_normal(rows, np.float32) / 10
        if engine == "float32":
            found.append((rng.standard_normal((rows, size), np.float32) / np.float32(size**0.5), None, bias))
        else:
            scale = np.full(rows, 0.01 / size**0.5, np.float32)
            found.append((rng.integers(-127, 128, (rows, size), np.int8), scale, bias))
    return found


def make(core, kind, engine, isa, weights, sequence):
    module = core.Module()
    module._pack(kind, engine, isa, *weights, sequence=(1, 1, False) if sequence else None)
    return module


def equal(a, b):
    if isinstance(a, tuple):
        return all(map(equal, a, b))
    return a.tobytes() == b.tobytes()


def seconds(module, args, calls):
    start = time.thread_time()
    for _ in range(calls):
        module(*args)
    return time.thread_time() - start


def ratio(old, new, args, rounds):
    """Return the median over rounds of new / old, and the seconds of one call of old.

    Before the rounds both are called equally often. Where the weights take megabytes, a module that was called 15 times
    keeps a lead of 5 % over one that was not, for all rounds, even if both are of one build.
    """
    before = [(seconds(old, args, 3), seconds(new, args, 3)) for _ in range(5)]
    once = min(of_old for of_old, _ in before) / 3
    calls = max(1, int(ROUND / once))
    ratios = []
    for _ in range(rounds):
        order = [old, new]
        random.shuffle(order)
        times = {id(each): seconds(each, args, calls) for each in order}
        ratios.append(times[id(new)] / times[id(old)])
    return statistics.median(ratios), once


def ratio_of_places(makers, args, rounds, places, check=None):
    """Return the median, over pairs of modules, of the second's time over the first's, and the least seconds of a call.
    Each pair lies at its own place in memory. `check` is called with the results of a pair."""
    kept, found = [], []
    for place in range(places):
        pair = {maker: maker() for maker in makers[:: 1 if place % 2 else -1]}
        kept.append((pair, np.empty(random.randrange(1 << 16), np.uint8)))  # shifts the next pair in memory
        modules = [pair[maker] for maker in makers]
        assert check is None or check(*(module(*args) for module in modules)), "the builds differ"
        found.append(ratio(*modules, args, rounds))
    return statistics.median(value for value, _ in found), min(once for _, once in found)


def points(options):
    kinds = options.only or KINDS
    return itertools.product(options.engines, kinds, (False, True), options.sizes, options.batches)


def measure(cores, point, options):
    """Return the ratio at a point and the least seconds of a call."""
    engine, kind, sequence, size, batch = point
    rng = np.random.default_rng(0)
    weights = matrices(kind, engine, size, rng)
    shape = (STEPS.get(size, 4), batch, size) if sequence else (batch, size)
    args = (rng.standard_normal(shape, np.float32),)
    makers = [partial(make, core, kind, engine, options.isa, weights, sequence) for core in cores]
    return ratio_of_places(makers, args, options.rounds, options.places, equal)


def measure_apart(options, turn, point):
    """Run `measure` in a new process, which has loaded neither build yet."""
    paths = [options.old, options.new]
    loaded = {path: load(path) for path in paths[:: 1 if turn % 2 else -1]}
    return measure([loaded[path] for path in paths], point, options)[0]


def name_of(point):
    engine, kind, sequence, size, batch = point
    return f"{engine:8} {kind:17} {'sequence' if sequence else 'step':8} {size:5} batch {batch:3}"


def largest_group(measured):
    """Return the largest median over the points of one engine, size and batch, and which these are."""
    groups = {}
    for (engine, _, _, size, batch), value in measured:
        groups.setdefault((engine, size, batch), []).append(value)
    return max((statistics.median(values), *group) for group, values in groups.items())


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("old")
    parser.add_argument("new")
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--places", type=int, default=9, help="pairs of modules a point")
    parser.add_argument("--isa", default=None)
    parser.add_argument("--only", type=lambda text: text.split(","), default=None)
    parser.add_argument("--sizes", type=lambda text: [int(each) for each in text.split(",")], default=list(STEPS))
    parser.add_argument("--batches", type=lambda text: [int(each) for each in text.split(",")], default=BATCHES)
    parser.add_argument("--engines", type=lambda text: text.split(","), default=["qrnn", "float32"])
    parser.add_argument("--most", type=float, default=1.02, help="measure points above it again, at the end")
    parser.add_argument("--again", type=int, default=5, help="processes for each of them")
    options = parser.parse_args()
    cores = load(options.old), load(options.new)
    measured = []
    print(f"{machine.cpu_name()}, {options.isa or cores[0].isas()[-1]}")
    for point in points(options):
        value, once = measure(cores, point, options)
        print(f"{name_of(point)}  {once * 1e6:10.2f} us  {value:.3f}", flush=True)
        measured.append((point, value))
    every, above = [value for _, value in measured], [pair for pair in measured if pair[1] > options.most]
    middle, worst = statistics.median(every), max(every)
    print(f"median {middle:.3f}, worst {worst:.3f}, {len(above)} of {len(every)} above {options.most}")
    again = []
    for point, value in above:
        with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
            values = pool.starmap(measure_apart, [(options, turn, point) for turn in range(options.again)], chunksize=1)
        again.append(statistics.median(values))
        print(f"{name_of(point)}  {value:.3f}, then {again[-1]:.3f}", flush=True)
    print(f"above {options.most} again: {sum(value > options.most for value in again)}")
    largest, engine, size, batch = largest_group(measured)
    print(f"largest median of an engine, size and batch: {largest:.3f}, {engine} {size} batch {batch}")


if __name__ == "__main__":
    main()
