"""Measure the cost of sizes that are not round: batches of 1 to 8 and near 32, H and I not multiples of 16.

    make bench-tails      (or, where qrnn is installed: python benchmarks/tails.py)

The program runs engine qrnn on one thread, sequences and single steps. It compares every size with its neighbors in the
same interleaved rounds; ratios are medians over the rounds.

    batch   H = I = 256. A call may take MOST times what targets.expected computes from the round batches' times.
    size    A size may take MOST times the time of the next larger round size (I and H rounded up to 16), as it has
            no more work. The table also has its time per product over that of the next smaller round size.
"""

import machine

machine.use_one_thread()

import argparse
import random
import statistics
import sys
import time
import zlib
from pathlib import Path

import numpy as np
import race
import recurrent
import report
import targets
import timing
from peers.qrnn_ import Int8
from targets import MOST, ROUND_BATCHES, larger, smaller

BATCHES = (1, 2, 3, 4, 5, 6, 7, 8, 31, 32, 33)
BATCHES_AT = 256
SIZES = (*((n, n) for n in (15, 17, 31, 33, 63, 65, 100, 127, 129, 255, 257, 500)), (40, 128), (23, 100))  # I, H
SIZES_AT = (1, 4, 32)  # batch
STEPS = 20  # steps of a sequence


def work(size):
    """Return the products per row and gate."""
    return (size[0] + size[1]) * size[1]


class Point:
    """One module at one batch, checked against float64, with its `block` for a race and `each`, the steps of a call."""

    def __init__(self, kind, mode, size, batch):
        rng = np.random.default_rng(zlib.crc32(repr((kind, mode, size, batch)).encode()))
        weights = recurrent.random_weights(kind, *size, rng)
        self.each = STEPS if mode == "sequence" else 1
        steps = STEPS if mode == "sequence" else race.INPUTS
        xs = rng.standard_normal((steps, batch, size[0])).astype(np.float32)
        run = getattr(Int8(1), mode)(kind, weights, xs)
        exact = recurrent.reference(kind, weights, xs)
        got = run(1) if mode == "sequence" else run(steps)
        race.check(f"{kind} {mode} {size} {batch}", "int8", got, exact if mode == "sequence" else exact[-1])
        self.block = race.timed(run, min(timing.empty_loop(20_000) for _ in range(10)) / 20_000)


def raced(points, rounds, order):
    contest = timing.Race(
        {key: p.block for key, p in points.items()}, net=False, each={key: p.each for key, p in points.items()}
    )
    contest.run(rounds, order)
    return contest


def batches(kind, mode, rounds, order):
    """Return [(batch, µs per step, ratio to the expected time or None)]."""
    contest = raced({b: Point(kind, mode, (BATCHES_AT, BATCHES_AT), b) for b in BATCHES}, rounds, order)
    found = []
    for batch in BATCHES:
        ratios = []
        for turn in range(rounds):
            wanted = targets.expected(batch, {b: contest.times[b][turn] for b in ROUND_BATCHES})
            if wanted is not None:
                ratios.append(contest.times[batch][turn] / wanted)
        found.append((batch, contest.microseconds(batch)[1], statistics.median(ratios) if ratios else None))
    return found


def sizes(kind, mode, batch, rounds, order):
    """Return [(size, µs per step, ratio to the larger round size, ratio per product to the smaller one or None)]."""
    wanted = {s for size in SIZES for s in (size, larger(size), smaller(size)) if min(s)}
    contest = raced({s: Point(kind, mode, s, batch) for s in sorted(wanted)}, rounds, order)
    found = []
    for size in SIZES:
        below = smaller(size)
        a_product = contest.ratio(size, below) * work(below) / work(size) if min(below) else None
        found.append((size, contest.microseconds(size)[1], contest.ratio(size, larger(size)), a_product))
    return found


def verdict(ratio):
    return "yes" if ratio <= MOST else "**no**"


def named(size):
    return f"{size[0]}" if size[0] == size[1] else f"{size[0]} x {size[1]}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kinds", default="rnn,lstm,gru")
    parser.add_argument("--modes", default="sequence,step")
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument(
        "--output",
        type=Path,
        default=Path(__file__).parent / "results" / "tails.md",
        help="where the tables are written (default: %(default)s)",
    )
    given = parser.parse_args()
    order, start = random.Random(0), time.perf_counter()
    by_batch, by_size, worst = [], [], []
    for mode in given.modes.split(","):
        for kind in given.kinds.split(","):
            head = [kind.upper(), mode]
            print(f"\r{time.perf_counter() - start:.0f} s: {kind} {mode}      ", end="", file=sys.stderr, flush=True)
            for batch, us, ratio in batches(kind, mode, given.rounds, order):
                if ratio is not None:
                    worst.append((ratio, f"{kind.upper()}, {mode}, I = H = {BATCHES_AT}, batch {batch}"))
                by_batch.append(
                    [
                        *head,
                        str(batch),
                        report.us(us),
                        report.us(us / batch),
                        *(["", ""] if ratio is None else [f"{ratio:.2f}", verdict(ratio)]),
                    ]
                )
            for batch in SIZES_AT:
                for size, us, ratio, product in sizes(kind, mode, batch, given.rounds, order):
                    worst.append((ratio, f"{kind.upper()}, {mode}, I x H = {named(size)}, batch {batch}"))
                    by_size.append(
                        [
                            *head,
                            str(batch),
                            named(size),
                            report.us(us),
                            named(larger(size)),
                            f"{ratio:.2f}",
                            verdict(ratio),
                            f"{product:.2f}" if product else "",
                        ]
                    )
    print(file=sys.stderr)
    worst.sort(reverse=True)
    over = [line for ratio, line in worst if ratio > MOST]
    lines = [
        "# Sizes that are not round, one thread",
        "",
        *(f"- {name}: {value}" for name, value in machine.describe(with_torch=False).items()),
        "",
        f"{len(over)} of {len(worst)} are more than {MOST:g} times their neighbours. The worst:",
        "",
        *(f"- {ratio:.2f}: {line}" for ratio, line in worst[:10]),
        "",
        f"## Batches, I = H = {BATCHES_AT}: µs a step, and over what the round batches let expect",
        "",
        *report.rows(["kind", "mode", "batch", "µs", "µs a row", "÷ expected", f"within {MOST:g}"], by_batch),
        "## I x H: µs a step, over that of the next larger multiples of 16, and a product over the smaller",
        "",
        *report.rows(
            ["kind", "mode", "batch", "I x H", "µs", "larger", "÷ larger", f"within {MOST:g}", "a product ÷ smaller"],
            by_size,
        ),
    ]
    report.publish(lines, given.output, start)


if __name__ == "__main__":
    main()
