"""The speech of the examples, JapaneseVowels: nine men say two Japanese vowels; the task is to name the speaker."""

import sys
from importlib.machinery import PathFinder
from pathlib import Path

import numpy as np

CHANNELS, SPEAKERS, LONGEST = 12, 9, 29
PACKAGES = ("aeon", "sktime")  # both carry the two files


def package_folders(package):
    """Return the folders of an installed package, found without import, so without its dependencies.

    ``make demo`` installs packages of data into a separate directory, so that pip reports no missing dependencies.
    """
    spec = PathFinder.find_spec(package, [*sys.path, str(Path(sys.prefix, "data"))])
    return [Path(location) for location in (spec and spec.submodule_search_locations) or ()]


def data_directory():
    """Return the folder of the files in an installed package."""
    for package in PACKAGES:
        for folder in package_folders(package):
            directory = folder / "datasets" / "data" / "JapaneseVowels"
            if (directory / "JapaneseVowels_TRAIN.ts").exists():
                return directory
    raise ModuleNotFoundError("the JapaneseVowels files come with a package: pip install --no-deps aeon")


def read(path):
    """Return ``(x, lengths, y)`` of a .ts file. Each line is an utterance: channels and speaker, separated by colons.

    x is float32 [utterances, 29 steps, 12 channels] with zeros behind the last step of an utterance, lengths
    int64, y the speaker, 0..8.
    """
    _, _, lines = path.read_text(encoding="utf-8").partition("@data\n")
    rows = [line.split(":") for line in lines.split()]
    x = np.zeros((len(rows), LONGEST, CHANNELS), np.float32)
    lengths = np.zeros(len(rows), np.int64)
    for i, row in enumerate(rows):
        utterance = np.array([channel.split(",") for channel in row[:CHANNELS]], np.float64).T
        lengths[i] = len(utterance)
        x[i, : lengths[i]] = utterance
    return x, lengths, np.array([int(row[CHANNELS]) - 1 for row in rows])


def load():
    """Return the two sets, training and held-back, each ``(x, lengths, y)`` as `read` gives it.

    The split is the data set's own: 270 utterances, 30 a speaker, for training, and 370 held back, recorded at
    other times. An utterance has 7 to 29 steps of 12 cepstral coefficients. From the UCI repository: M. Kudo,
    J. Toyama, M. Shimbo, Multidimensional curve classification using passing-through regions, 1999.
    """
    directory = data_directory()
    return read(directory / "JapaneseVowels_TRAIN.ts"), read(directory / "JapaneseVowels_TEST.ts")
