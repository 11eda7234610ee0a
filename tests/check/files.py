"""Loads files with mutations by chance, of each format: each is refused as a bad file, or is what it says.

    python tests/check/files.py COUNT SEED FOLDER

COUNT is that of each format. A file that a load fails on otherwise is left in FOLDER; the same seed makes the same
files. Exit status 77: a format was left out, as the package that writes its files is not installed.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

#: The formats, the modules of tests/support that mutate them, and the packages that these need.
FORMATS = (
    ("safetensors", "mutated_files", ()),
    ("ONNX", "mutated_onnx", ("onnx",)),
    ("Keras", "mutated_keras", ("h5py",)),
    ("TFLite", "mutated_tflite", ("flatbuffers", "ai_edge_litert")),
)


def main():
    left_out = []
    for name, module, packages in FORMATS:
        if sys.argv[4:] and name not in sys.argv[4:]:
            continue
        missing = [package for package in packages if importlib.util.find_spec(package) is None]
        if missing:
            left_out.append(f"{name} ({', '.join(missing)} is not installed)")
        else:
            check(name, importlib.import_module(f"support.{module}").run)
    if left_out:
        print(f"INCOMPLETE: left out {', '.join(left_out)}")
        sys.exit(77)


def check(name, run):
    count, seed, start = int(sys.argv[1]), int(sys.argv[2]), time.perf_counter()
    try:
        outcomes = run(count, seed, sys.argv[3])
    except AssertionError as error:
        sys.exit(f"FAILED: {error}")
    for (mutation, outcome), number in sorted(outcomes.items()):
        print(f"{mutation:28} {outcome:8} {number:6}")
    loaded = sum(number for (_, outcome), number in outcomes.items() if outcome == "loaded")
    counts = f"{count - loaded} refused, {loaded} loaded"
    print(f"{name}: {count} files, seed {seed}: {counts}, {time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
