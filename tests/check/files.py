"""Loads files of the corpus with mutations by chance: each is refused as a bad file, or is what it says.

    python tests/check/files.py COUNT SEED FOLDER

A file that a load fails on otherwise is left in FOLDER; the same seed makes the same files.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from support.mutated_files import run


def main():
    count, seed, start = int(sys.argv[1]), int(sys.argv[2]), time.perf_counter()
    try:
        outcomes = run(count, seed, sys.argv[3])
    except AssertionError as error:
        sys.exit(f"FAILED: {error}")
    for (mutation, outcome), number in sorted(outcomes.items()):
        print(f"{mutation:24} {outcome:8} {number:6}")
    loaded = sum(number for (_, outcome), number in outcomes.items() if outcome == "loaded")
    print(f"{count} files, seed {seed}: {count - loaded} refused, {loaded} loaded, {time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
