"""The formats of files whose readers are tried with mutated files, and how these are loaded.

A module of a format has ``BEGIN``, functions that give the files to begin with by the ending of their names, its
``MUTATIONS``, ``read``, and ``load``: "refused" or "loaded", AssertionError for everything that must not be.
"""

from __future__ import annotations

import importlib
import importlib.util
import random
from collections import Counter
from pathlib import Path

#: By the ending of a file's name the module of this folder, and the packages that it needs.
FORMATS = {
    ".safetensors": ("mutated_files", ()),
    ".onnx": ("mutated_onnx", ("onnx",)),
    ".keras": ("mutated_keras", ("h5py",)),
    ".h5": ("mutated_keras", ("h5py",)),
    ".tflite": ("mutated_tflite", ("flatbuffers", "ai_edge_litert")),
    ".pt": ("mutated_checkpoints", ("torch",)),
}


def lacking(ending):
    """The packages that are not installed, of those that a format needs here."""
    return [package for package in FORMATS[ending][1] if importlib.util.find_spec(package) is None]


def module_of(ending):
    return importlib.import_module(f"support.{FORMATS[ending][0]}")


def run(ending, count, seed, folder):
    """Load `count` files of mutations by chance: a Counter of mutations and outcomes.

    A file that a load fails on is left in `folder`; the same seed makes the same ones again.
    """
    module, path = module_of(ending), Path(folder) / f"mutated{ending}"
    rng, begin, outcomes = random.Random(seed), module.BEGIN[ending](), Counter()
    path.write_bytes(begin[0][0])
    module.read(path)  # what that imports is no memory of a file
    for content, *others in begin:
        assert module.load(path, content, *others) == "loaded"
    for index in range(count):
        mutation, (original, *others) = rng.choice(module.MUTATIONS), rng.choice(begin)
        content = mutation(rng, original)
        try:
            outcomes[mutation.__name__, module.load(path, content, *others)] += 1
        except BaseException as error:
            raise AssertionError(f"file {index} of seed {seed}, {mutation.__name__}, is {path}: {error!r}") from error
    return outcomes
