"""Time the tanh RNN cell, per call and per step, against NumPy and PyTorch in one interleaved run.

    make bench         (or, where qrnn is installed: python benchmarks/bench.py [--quick])

README.md beside this file explains what is measured and how.
"""

import machine

machine.use_one_thread()

import argparse
import json
import operator
import random
import sys
from pathlib import Path

import cells
import numpy as np
import peers
import timing
from options import numbers

SIZES = (16, 32, 64, 128, 256, 512, 1024)
BATCHES = (1, 32)
INPUTS = 8  # different inputs of a block
BASE = "qrnn"
AGAINST_ADD = (("qrnn", "np.add"), ("qrnn out=", "np.add out="))  # pairs whose ratio is shown
MODES = {
    "call": "One call: h' = cell(x, h), always from the same h",
    "step": "One step of a sequence: h = cell(x, h), the state fed back",
}


def check(contender, reference, xs, h):
    """Raise an error unless one call and a few steps are as near to float64 as this precision allows."""

    def step(x, h):
        x, h = contender.native(x), contender.native(h)
        if contender.writes:
            given = np.array(np.asarray(h))
            contender.step(x, h, out=h)  # the output overwrites the state, as in a user's loop
            if len(given) and np.array_equal(given, np.asarray(h)):
                raise SystemExit(f"{contender.name}: out= was not written")
            return np.array(np.asarray(h))
        return np.array(np.asarray(contender.step(x, h)))

    exact = reference.step(xs[0], h)
    error = np.abs(step(xs[0], h) - exact)
    if not (error <= reference.step_bound(xs[0], h, contender.precision)).all():
        raise SystemExit(f"{contender.name}: one step is {error.max():.3g} from float64")
    exact = mine = h
    for x in xs:
        exact, mine = reference.step(x, exact), step(x, mine)
    error = cells.relative_rms(mine, exact)
    if not error <= cells.TRAJECTORY_BOUND[contender.precision]:
        raise SystemExit(f"{contender.name}: {len(xs)} steps are {error:.2%} from float64")


def floors():
    """Return contenders that show the cost of a call alone: NumPy's cheapest, and a call that computes nothing."""
    return [
        peers.Contender("np.add", "", np.add),
        peers.Contender("np.add out=", "", np.add, writes=True),
        peers.Contender("bare call", "", operator.is_),
    ]


class Point:
    """All contenders at one size and batch, checked against float64, in both modes."""

    def __init__(self, adapters, size, batch, rng):
        self.size, self.batch = size, batch
        weights = cells.Weights.random(rng, size, size)
        reference = cells.Reference(weights)
        xs = rng.standard_normal((INPUTS, batch, size)).astype(np.float32)
        h = rng.uniform(-1, 1, (batch, size)).astype(np.float32)
        self.contenders = [c for adapter in adapters for c in adapter(weights)]
        for contender in self.contenders:
            check(contender, reference, list(xs), h)
        timed = {"call": self.contenders + floors(), "step": self.contenders}
        self.races = {
            mode: timing.Race({c.name: timing.block_of(c, xs, h, mode == "step") for c in timed[mode]})
            for mode in MODES
        }

    def run(self, rounds, rng):
        for race in self.races.values():
            race.run(rounds, rng)

    def records(self):
        for mode, race in self.races.items():
            for name, times in race.times.items():
                fastest, median = race.microseconds(name)
                yield {
                    "mode": mode,
                    "input_size": self.size,
                    "hidden_size": self.size,
                    "batch": self.batch,
                    "contender": name,
                    "min_us": fastest,
                    "median_us": median,
                    "times_qrnn": race.ratio(name, BASE),
                    "rounds": len(times),
                    "calls_per_block": race.calls[name],
                }


def table(points, mode, batch):
    """Make a Markdown table: microseconds "fastest / median", then ratios to engine qrnn."""
    points = [p for p in points if p.batch == batch]
    races = [p.races[mode] for p in points]
    names = list(races[0].times)
    peers_of = [name for name in ("NumPy", "torch.nn", "torch.ao") if name in names]
    least = [pair for pair in AGAINST_ADD if set(pair) <= set(names)]
    head = ["I = H", *names, *(f"{name} ÷ qrnn" for name in peers_of), *(" ÷ ".join(pair) for pair in least)]
    lines = [
        f"### {MODES[mode]}; batch {batch}, µs (fastest / median)",
        "",
        "| " + " | ".join(head) + " |",
        "|" + "---:|" * len(head),
    ]
    for point, race in zip(points, races, strict=True):
        row = [str(point.size)]
        row += ["{:.3f} / {:.3f}".format(*race.microseconds(name)) for name in names]
        row += [f"{race.ratio(name, BASE):.1f}" for name in peers_of]
        row += [f"{race.ratio(*pair):.2f}" for pair in least]
        lines.append("| " + " | ".join(row) + " |")
    return "\n".join(lines)


def report(points, facts, missing):
    lines = ["# The tanh RNN cell, one thread", ""]
    lines += [f"- {name}: {value}" for name, value in facts.items()]
    lines += [f"- **{name} is not installed: its columns are missing**" for name in missing]
    lines += ["", "What the columns are:", ""]
    lines += [f"- {c.name}: {c.details}; activations {c.precision}" for c in points[0].contenders]
    lines += [
        "- np.add: np.add(x, h), with out= into a given array; bare call: operator.is_(x, h), a C function that "
        "computes nothing",
        "",
        "Every answer was checked against float64 before it was timed.",
        "Ratios: how many times longer, the median over the rounds.",
        "",
    ]
    for batch in sorted({p.batch for p in points}):
        for mode in MODES:
            lines += [table(points, mode, batch), ""]
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=numbers, help=f"I = H, comma-separated (default {SIZES})")
    parser.add_argument("--batches", type=numbers, default=BATCHES)
    parser.add_argument("--passes", type=int, help="times through all sizes (default 4)")
    parser.add_argument("--rounds", type=int, help="rounds a pass and size (default 25)")
    parser.add_argument("--quick", action="store_true", help="sizes 16, 128 and 256, one pass of 10 rounds")
    parser.add_argument("--peers", default="qrnn,numpy,torch", help="comma-separated (default: %(default)s)")
    parser.add_argument(
        "--output",
        type=Path,
        default=Path(__file__).parent / "results" / "rnncell",
        help="where .md and .json are written (default: %(default)s)",
    )
    given = parser.parse_args()
    sizes = given.sizes or ((16, 128, 256) if given.quick else SIZES)
    passes = given.passes or (1 if given.quick else 4)
    rounds = given.rounds or (10 if given.quick else 25)

    names = given.peers.split(",")
    if "qrnn" not in names:
        parser.error("--peers: qrnn must be one of them, the ratios are to it")
    adapters, missing = peers.available(names)
    facts = machine.describe(with_torch="torch" in names and "torch" not in missing)
    rng, order = np.random.default_rng(0), random.Random(0)
    points = [Point(adapters, size, batch, rng) for batch in given.batches for size in sizes]
    for turn in range(passes):
        for point in points:
            print(
                f"\rpass {turn + 1} of {passes}: I = H = {point.size:<5} batch {point.batch:<4}",
                end="",
                file=sys.stderr,
                flush=True,
            )
            point.run(rounds, order)
    print(file=sys.stderr)

    text = report(points, facts, missing)
    print(text)
    given.output.parent.mkdir(parents=True, exist_ok=True)
    given.output.with_suffix(".md").write_text(text + "\n", encoding="utf-8")
    results = {"machine": facts, "results": [record for point in points for record in point.records()]}
    given.output.with_suffix(".json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(f"written to {given.output}.md and .json", file=sys.stderr)


if __name__ == "__main__":
    main()
