"""What two workers of qrnn.map reach, what a task costs, and what a thousand modules cost.

    make bench-scaling      (or, where qrnn is installed: python benchmarks/scaling.py [--rounds 11])

Two workers are compared with two copies of a loop that only counts: what two cores of this machine can give at that
moment. A round times two loops before and after each map, and one loop before and after the same calls in a row; every
other round goes the other way about. The median of (calls in a row / one loop) says how much counting the calls are
worth; the figure is the median over rounds of that x (two loops / (2 x map)), with its quartiles. 0.9 is promised of
threads, and of processes that are sent next to nothing: they read their batches from a file, sixteen a task, and return
last states. Others pay for what is copied, 0.8 MB of input and 3.3 MB of output a batch.

A task's cost is that of one that computes next to nothing, less the call itself. The modules are different ones, called
in turn, against one of them called as often.
"""

import machine

machine.use_one_thread()

import argparse
import collections
import multiprocessing
import pathlib
import pickle
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor, wait
from typing import NamedTuple

import numpy as np

import qrnn

INPUTS, HIDDEN, BATCH, STEPS = 64, 256, 32, 100
BATCHES = 192
PROMISED = 0.9
MODULES = 1000


def spin(count):
    total = 0
    for i in range(count):
        total += i
    return total


def drain(results):
    """Takes the results and keeps none: new memory for all of them would cost as much as what is measured."""
    collections.deque(results, maxlen=0)


def seconds(run):
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


class Last(qrnn.nn.Module):
    """The last state of a sequence: 32 kB of a batch where the outputs of all steps are 3.3 MB."""

    def __init__(self):
        super().__init__()
        self.rnn = qrnn.LSTM(INPUTS, HIDDEN)

    def forward(self, x):
        return self.rnn(x)[1][0][0]


class Reading:
    """A model with the file of its batches, called with the number of one."""

    def __init__(self, model, path):
        self._model, self._path = model, path

    def __call__(self, number):
        return self._model(np.load(self._path, mmap_mode="r")[number])


class Case(NamedTuple):
    """What two workers do."""

    name: str
    promised: bool
    pool: Executor
    module: Callable
    batches: list
    chunk: int = 1


class Reached(NamedTuple):
    """Medians over rounds, and the quartiles of the last."""

    mapped: float  # calls in a row / map
    loops: float  # 2 x one loop / two loops
    ratio: float
    quartiles: tuple[float, float]


def cases(threads, processes, folder):
    batches = np.random.default_rng(0).standard_normal((BATCHES, STEPS, BATCH, INPUTS), np.float32)
    path = pathlib.Path(folder) / "batches.npy"
    np.save(path, batches)
    whole, last = qrnn.LSTM(INPUTS, HIDDEN), Last()
    return [
        Case("threads", True, threads, whole, list(batches)),
        Case("processes", False, processes, whole, list(batches)),
        Case("processes, last states", False, processes, last, list(batches)),
        Case("processes that read, last states", True, processes, Reading(last, path), list(range(BATCHES)), chunk=16),
    ]


def workers(rounds):
    """What two threads and two processes reach: pairs of Case and Reached."""
    with (
        tempfile.TemporaryDirectory() as folder,
        ThreadPoolExecutor(2) as threads,
        ProcessPoolExecutor(2) as processes,
    ):
        todo = cases(threads, processes, folder)
        for case in todo:
            drain(qrnn.map(case.module, case.batches, case.pool, chunk=case.chunk))
        in_a_row = seconds(lambda: drain(qrnn.map(todo[0].module, todo[0].batches)))
        count = int(2e5 * in_a_row / seconds(lambda: spin(200_000)))
        rows = [one_round(todo[:: -1 if number % 2 else 1], processes, count) for number in range(rounds)]
        return [(case, reached([row[case.name] for row in rows])) for case in todo]


def one_round(todo, processes, count):
    """Seconds of each case by one worker and by two, and of loops right before and after."""

    def loops(number):
        return seconds(lambda: wait([processes.submit(spin, count) for _ in range(number)]))

    found, one, two = {}, loops(1), loops(2)
    for case in todo:
        mapped = seconds(lambda case=case: drain(qrnn.map(case.module, case.batches, case.pool, chunk=case.chunk)))
        two, before_two = loops(2), two
        in_a_row = seconds(lambda case=case: drain(qrnn.map(case.module, case.batches)))
        one, before_one = loops(1), one
        found[case.name] = in_a_row, (before_one + one) / 2, mapped, (before_two + two) / 2
    return found


def batch_seconds():
    """CPU time of a batch, calls in a row."""
    model, x = qrnn.LSTM(INPUTS, HIDDEN), np.ones((STEPS, BATCH, INPUTS), np.float32)
    model(x)
    start = time.process_time()
    for _ in range(BATCHES):
        model(x)
    return (time.process_time() - start) / BATCHES


def reached(rows):
    worth = statistics.median(in_a_row / one for in_a_row, one, _, _ in rows)
    ratios = [worth * two / (2 * mapped) for _, _, mapped, two in rows]
    first, middle, third = statistics.quantiles(ratios, n=4, method="inclusive")
    return Reached(
        statistics.median(in_a_row / mapped for in_a_row, _, mapped, _ in rows),
        statistics.median(2 * one / two for _, one, _, two in rows),
        middle,
        (first, third),
    )


def tasks(rounds):
    """Seconds that a task adds to a small call, by executor."""
    model, x, count = qrnn.GRUCell(16, 16), np.zeros((1, 16), np.float32), 500
    found = {}
    with ThreadPoolExecutor(1) as threads, ProcessPoolExecutor(1) as processes:
        for name, pool in (("threads", threads), ("processes", processes)):
            values = []
            for _ in range(rounds):
                mapped = seconds(lambda pool=pool: drain(qrnn.map(model, [x] * count, pool)))
                values.append((mapped - seconds(lambda: [model(x) for _ in range(count)])) / count)
            found[name] = statistics.median(values)
    return found


def many(hidden, rounds):
    """A thousand modules: packed bytes, resident bytes and bytes of a pickle of each, seconds of a call in turn, and
    over that of one module."""
    x, h = np.ones((1, hidden), np.float32), np.zeros((1, hidden), np.float32)
    before = resident_bytes()
    modules = [qrnn.GRUCell(hidden, hidden) for _ in range(MODULES)]
    each = (resident_bytes() - before) / MODULES
    one, ratios, turns = modules[:1] * MODULES, [], []
    for _ in range(rounds):
        turns.append(seconds(lambda: [module(x, h) for module in modules]))
        ratios.append(turns[-1] / seconds(lambda: [module(x, h) for module in one]))
    turn = statistics.median(turns) / MODULES
    return modules[0].nbytes, each, len(pickle.dumps(modules[0])), turn, statistics.median(ratios)


def resident_bytes():
    """Resident bytes of this process."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=11)
    options = parser.parse_args()
    print(f"{machine.cpu_name()}\n\nLSTM({INPUTS}, {HIDDEN}), {BATCHES} batches of {BATCH} rows and {STEPS} steps:")
    print(f"{1e3 * batch_seconds():.1f} ms of CPU time each\n")
    print("| two | as fast as calls in a row | two counting loops | ratio | quartiles |\n|---|---:|---:|---:|---:|")
    found = workers(options.rounds)
    for case, (mapped, loops, ratio, (first, third)) in found:
        print(f"| {case.name} | {mapped:.2f} | {loops:.2f} | {ratio:.2f} | {first:.2f} to {third:.2f} |", flush=True)
    print("\n| a task of | ms |\n|---|---:|")
    for name, value in tasks(options.rounds).items():
        print(f"| {name} | {1e3 * value:.3f} |")
    print(
        f"\n{MODULES} modules in turn:\n\n| GRUCell(H, H), H | packed bytes | in memory | pickled | us a call in turn |"
        " ÷ one module |\n|---:|---:|---:|---:|---:|---:|"
    )
    for hidden in (16, 64):
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as fresh:  # for its memory
            packed, held, pickled, turn, ratio = fresh.submit(many, hidden, 5 * options.rounds).result()
        print(f"| {hidden} | {packed:,} | {held:,.0f} | {pickled:,} | {1e6 * turn:.2f} | {ratio:.2f} |")
    least = min(reached.ratio for case, reached in found if case.promised)
    if least < PROMISED:
        sys.exit(f"two workers reach {least:.2f} of two counting loops, promised {PROMISED}")


if __name__ == "__main__":
    main()
