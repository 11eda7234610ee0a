"""Loads files with mutations by chance, of each format: each is refused as a bad file, or is what it says.

    python tests/check/files.py COUNT SEED FOLDER [ENDING ...]

COUNT is that of each format: .safetensors, .onnx, .keras, .h5, .tflite and .pt, or those that are named. A file that a
load fails on otherwise is left in FOLDER; the same seed makes the same files. Exit status 77: a format was left out, as
the package that writes its files is not installed.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from support.mutated_formats import FORMATS, lacking, run


def main():
    left_out = []
    for ending in sys.argv[4:] or FORMATS:
        missing = lacking(ending)
        if missing:
            left_out.append(f"{ending} ({', '.join(missing)} is not installed)")
        else:
            check(ending)
    if left_out:
        print(f"INCOMPLETE: left out {', '.join(left_out)}")
        sys.exit(77)


def check(ending):
    count, seed, start = int(sys.argv[1]), int(sys.argv[2]), time.perf_counter()
    try:
        outcomes = run(ending, count, seed, sys.argv[3])
    except AssertionError as error:
        sys.exit(f"FAILED: {error}")
    for (mutation, outcome), number in sorted(outcomes.items()):
        print(f"{mutation:28} {outcome:8} {number:6}")
    loaded = sum(number for (_, outcome), number in outcomes.items() if outcome == "loaded")
    counts = f"{count - loaded} refused, {loaded} loaded"
    print(f"{ending}: {count} files, seed {seed}: {counts}, {time.perf_counter() - start:.0f} s", flush=True)


if __name__ == "__main__":
    main()
