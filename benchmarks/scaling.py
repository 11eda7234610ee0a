"""What two workers of qrnn.map reach, what a task costs, and what a thousand modules cost.

    make bench-scaling      (or, where qrnn is installed: python benchmarks/scaling.py [--rounds 11])

Two workers are compared with two copies of a loop that only counts: what two cores of this machine can give at that
moment. Every round times, one after the other, the calls in a row, the same by two threads and by two processes, and
the loop alone and twice; the figure is the median over rounds of (calls in a row / two workers) / (2 x loop alone /
loop twice). A task's cost is that of one that computes next to nothing, less the call itself. The modules are different
ones, called in turn, against one of them called as often.
"""

import machine

machine.use_one_thread()

import argparse
import multiprocessing
import pickle
import statistics
import sys
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor, wait

import numpy as np

import qrnn

INPUTS, HIDDEN, BATCH, STEPS = 64, 256, 32, 100
BATCHES = 24
PROMISED = 0.9
MODULES = 1000


def spin(count):
    total = 0
    for i in range(count):
        total += i
    return total


def seconds(run):
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def spin_twice(processes, count):
    wait([processes.submit(spin, count) for _ in range(2)])


def workers(rounds):
    """Of threads and of processes: how much faster two are than calls in a row, two loops than one, and the ratio."""
    model, rng = qrnn.LSTM(INPUTS, HIDDEN), np.random.default_rng(0)
    batches = [rng.standard_normal((STEPS, BATCH, INPUTS), np.float32) for _ in range(BATCHES)]
    found = {"threads": [], "processes": []}
    with ThreadPoolExecutor(2) as threads, ProcessPoolExecutor(2) as processes:
        pools = {"threads": threads, "processes": processes}
        for pool in pools.values():
            list(qrnn.map(model, batches, pool))
        count = int(2e5 * seconds(lambda: list(qrnn.map(model, batches))) / seconds(lambda: spin(200_000)))
        for _ in range(rounds):
            alone = seconds(lambda: wait([processes.submit(spin, count)]))
            twice = seconds(lambda: spin_twice(processes, count))
            in_a_row = seconds(lambda: list(qrnn.map(model, batches)))
            for name, pool in pools.items():
                mapped = seconds(lambda pool=pool: list(qrnn.map(model, batches, pool)))
                found[name].append((in_a_row / mapped, 2 * alone / twice))
    return {
        name: [statistics.median(value) for value in zip(*((m, s, m / s) for m, s in rows), strict=True)]
        for name, rows in found.items()
    }


def tasks(rounds):
    """Seconds that a task adds to a small call, by executor."""
    model, x, count = qrnn.GRUCell(16, 16), np.zeros((1, 16), np.float32), 500
    found = {}
    with ThreadPoolExecutor(1) as threads, ProcessPoolExecutor(1) as processes:
        for name, pool in (("threads", threads), ("processes", processes)):
            values = []
            for _ in range(rounds):
                mapped = seconds(lambda pool=pool: list(qrnn.map(model, [x] * count, pool)))
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
    print(f"{machine.cpu_name()}\n\nLSTM({INPUTS}, {HIDDEN}), {BATCHES} batches of {BATCH} rows and {STEPS} steps:\n")
    print("| two | as fast as calls in a row | two counting loops | ratio |\n|---|---:|---:|---:|")
    found = workers(options.rounds)
    for name, (mapped, loops, ratio) in found.items():
        print(f"| {name} | {mapped:.2f} | {loops:.2f} | {ratio:.2f} |")
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
    least = min(ratio for *_, ratio in found.values())
    if least < PROMISED:
        sys.exit(f"two workers reach {least:.2f} of two counting loops, promised {PROMISED}")


if __name__ == "__main__":
    main()
