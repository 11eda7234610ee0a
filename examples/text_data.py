"""The text of the examples: the help topics that Python carries for ``help()``, character by character."""

import pydoc_data.topics
import zlib

import numpy as np

ALPHABET = "\n" + "".join(map(chr, range(32, 127)))
PLAIN = str.maketrans({"‘": "'", "’": "'", "“": '"', "”": '"', "–": "-", "—": "-", "…": "...", "\t": " "})
HELD_BACK = 10  # about one of this many paragraphs is held back


def encode(text):
    """Return the text as positions in ALPHABET, int64; typographic signs become plain ones, others are dropped."""
    kept = (c for c in text.translate(PLAIN) if c == "\n" or " " <= c <= "~")
    return np.array([ALPHABET.index(c) for c in kept], np.int64)


def load():
    """Return ``(training, held_back)``, each one long text as `encode` gives it.

    Topics quote one another, so a repeated paragraph is kept only at its first place. Its set depends on its own
    letters alone, so that a paragraph held back from training is held back with every version of Python, though
    the topics differ a little. (The weights were trained on those of Python 3.11.)
    """
    paragraphs = {}  # only its keys are used, as an ordered set
    for _, topic in sorted(pydoc_data.topics.topics.items()):
        paragraphs.update(dict.fromkeys(p.strip("\n") for p in topic.split("\n\n")))
    parts = [], []
    for paragraph in paragraphs:
        parts[zlib.crc32(paragraph.encode()) % HELD_BACK == 0].append(paragraph)
    return tuple(encode("\n\n".join(part)) for part in parts)


def streams(codes, count):
    """Cut the text into `count` equal pieces that run side by side: int64 [steps, count]; the rest is dropped."""
    steps = len(codes) // count
    return codes[: steps * count].reshape(count, steps).T


def one_hot(codes):
    """Return the characters one-hot, as the models read them: float32, with a last axis of len(ALPHABET)."""
    return np.eye(len(ALPHABET), dtype=np.float32)[codes]
