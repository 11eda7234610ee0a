"""qrnn's RNN, LSTM and GRU against every peer in one interleaved run: whole sequences and single steps.

    make bench-peers      (or, with qrnn and the peers installed: python benchmarks/compare.py [--quick])

README.md beside this file explains what is measured and how.
"""

import argparse
import json
import os
import sys
import time
from pathlib import Path

import machine
from options import numbers, words

HERE = Path(__file__).parent
SIZES = {"sequence": (16, 32, 64, 128, 256, 512, 1024, 2048), "step": (16, 32, 64, 128, 256, 512, 1024)}
BATCHES = {"sequence": (1, 2, 4, 8, 32, 128), "step": (1, 32)}
QUICK_SIZES, QUICK_BATCHES = (16, 128, 1024), (1, 32)
THREADED_SIZES, THREADED_BATCHES, THREADED_QUICK = (256, 512, 1024, 2048), (1, 32), (256, 1024)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kinds", type=words, default=("rnn", "lstm", "gru"))
    parser.add_argument("--modes", type=words, help="sequence,step (default: both; with threads, sequence)")
    parser.add_argument("--sizes", type=numbers, help="I = H, comma-separated")
    parser.add_argument("--batches", type=numbers)
    parser.add_argument("--peers", type=words, help="words to be found in the names of the peers to run")
    parser.add_argument(
        "--seconds", type=float, help="of rounds at each point (default: 1.5; quick or with threads 0.5)"
    )
    parser.add_argument("--rounds", type=int, default=25, help="at most, at each point (default 25)")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help=f"sizes {QUICK_SIZES}, batches {QUICK_BATCHES}")
    parser.add_argument(
        "--output",
        type=Path,
        default=HERE / "results" / "peers",
        help="where .json, .md and .svg are written (default: %(default)s)",
    )
    given = parser.parse_args()
    given.seconds = given.seconds or (0.5 if given.quick or given.threads > 1 else 1.5)
    if given.modes is None:
        given.modes = ("sequence", "step") if given.threads == 1 else ("sequence",)
    if given.threads > 1:
        given.output = given.output.with_name(f"{given.output.name}-threads{given.threads}")
    if os.environ.get("QRNN_ISA"):
        given.output = given.output.with_name(f"{given.output.name}-{os.environ['QRNN_ISA']}")
    return given


def grid(given):
    """List (kind, mode, size, batch) of every point; sizes ascend, so that slow peers are known before large sizes."""
    for mode in given.modes:
        sizes, batches = SIZES[mode], BATCHES[mode]
        if given.threads > 1:
            sizes, batches = THREADED_SIZES, THREADED_BATCHES
        if given.quick:
            sizes, batches = QUICK_SIZES if given.threads == 1 else THREADED_QUICK, QUICK_BATCHES
        for kind in given.kinds:
            for batch in given.batches or batches:
                for size in given.sizes or sizes:
                    yield kind, mode, size, batch


def main():
    given = arguments()
    machine.use_threads(given.threads)  # before NumPy is loaded
    import race
    import report

    peers, missing = race.contenders(given.threads, given.peers)
    for name, why in missing.items():
        print(f"NOT RUN: {name}: {why}", file=sys.stderr)
    points = list(grid(given))
    bounds, no_bounds = race.bounds(given.threads, points)
    results = {
        "machine": machine.describe(with_torch=any(peer.distribution == "torch" for peer in peers)),
        "threads": given.threads,
        "options": {"seconds": given.seconds, "rounds": given.rounds},
        "peers": {
            p.name: {
                "distribution": p.distribution,
                "version": p.version(),
                "precision": p.precision,
                "details": p.details,
            }
            for p in peers
        },
        "not run": missing,
        "limits": bounds.table() if bounds else no_bounds,
        "points": [],
    }
    start = time.perf_counter()
    for number, point in enumerate(points, 1):
        print(
            f"\r{number} of {len(points)}, {time.perf_counter() - start:.0f} s: "
            "{} {}, I = H = {}, batch {}      ".format(*point),
            end="",
            file=sys.stderr,
            flush=True,
        )
        results["points"].append(race.measure(point, peers, bounds, given, results["points"]))
        if number % 10 == 0 or number == len(points):
            write(given.output.with_suffix(".json"), results)
    print(file=sys.stderr)
    results["seconds"] = round(time.perf_counter() - start)
    write(given.output.with_suffix(".json"), results)
    text = report.markdown(results)
    given.output.with_suffix(".md").write_text(text + "\n", encoding="utf-8")
    print(text)
    try:
        import plots

        plots.draw(results, given.output)
    except ImportError as error:
        print(f"NO PLOTS: {error}", file=sys.stderr)
    print(f"written to {given.output}.* in {time.perf_counter() - start:.0f} s", file=sys.stderr)


def write(path, results):
    """Write JSON with one line for each point."""
    path.parent.mkdir(parents=True, exist_ok=True)
    head = json.dumps({k: v for k, v in results.items() if k != "points"}, indent=1)[:-2]
    lines = ",\n".join(json.dumps(point, separators=(",", ":")) for point in results["points"])
    path.write_text(f'{head},\n "points": [\n{lines}\n]}}\n', encoding="utf-8")


if __name__ == "__main__":
    main()
