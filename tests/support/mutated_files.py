"""Load randomly mutated files of the corpus: a load must raise FormatError or return what the file says."""

from __future__ import annotations

import copy
import json
import time
import tracemalloc
import warnings
from pathlib import Path

import numpy as np
from corpus.make_corpus import CASES

import qrnn
import qrnn._graph  # classes that a file may name: the first such load would count the memory of these imports
import qrnn.keras
import qrnn.tflite
from support.safetensors_files import as_bytes, tensor

CORPUS = Path(__file__).resolve().parent.parent / "corpus"

#: Values that may replace a number, a text or a list of a header.
HOSTILE = (
    *(0, 1, -1, 2, 7, 64, 65_536, 2**31, 2**32 - 1, 2**63 - 1, 2**64, 10**18, 10**30, 0.5, 1e300, True, False, None),
    *("", "F32", "F64", "I8", "BF16", "F8_E5M2", "0", "x" * 300, "\ud800", "LSTM", "Sequential", "class", "x86"),
    *([], [0], [-1], [2**33, 2**33], [0, 2**62], [1] * 65, {}, {"a": 1}, [[]], float("inf"), float("nan")),
)
#: Memory allowed beyond twice the file's size: objects of a header, and the reader.
SLACK = 400_000
#: Seconds allowed: a load of the largest file takes a few milliseconds, but the machine may be busy.
LIMIT = 5.0


def seeds():
    """List the unmutated files, of all versions and other writers, each with a maker of a model for it, or None."""
    paths = sorted(CORPUS.glob("*/*.safetensors"))
    found = [(path.read_bytes(), CASES[path.stem.removeprefix("torch-")][0]) for path in paths]
    return [*found, (of_other_types(), None)]


BEGIN = {".safetensors": seeds}


def of_other_types():
    """Make a file as of another program, with types that models lack."""
    offset, header, data = 0, {"__metadata__": {"of": "somebody"}}, b""
    for dtype, kind in (("F64", "f8"), ("F16", "f2"), ("I64", "i8"), ("U16", "u2"), ("BOOL", "?"), ("U32", "u4")):
        array = np.arange(6).astype(kind)
        header[dtype] = tensor(dtype, (2, 3), offset, offset + array.nbytes)
        offset, data = offset + array.nbytes, data + array.tobytes()
    header["BF16"] = tensor("BF16", (2,), offset, offset + 4)
    return as_bytes(header, data + b"\x80\x3f\x00\x40")


# ---- mutations: each changes the bytes of a file


def flip_bits(rng, content):
    return _flipped(rng, content, 0, len(content))


def flip_bits_of_the_header(rng, content):
    return _flipped(rng, content, 0, min(len(content), 8 + int.from_bytes(content[:8], "little")))


def _flipped(rng, content, start, stop):
    changed = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 8))):
        changed[rng.randrange(start, stop)] ^= 1 << rng.randrange(8)
    return bytes(changed)


def cut(rng, content):
    return content[: rng.randrange(len(content))]


def extend(rng, content):
    return content + rng.randbytes(rng.choice((1, 4, 100)))


def move_bytes(rng, content):
    """Remove some bytes, double them, or insert others."""
    start = rng.randrange(len(content))
    stop = start + rng.choice((1, 2, 8, 50))
    middle = rng.choice((b"", content[start:stop] * 2, rng.randbytes(stop - start), content[-20:]))
    return content[:start] + middle + content[stop:]


def change_length(rng, content):
    length = rng.choice((0, 1, 7, len(content) - 8, len(content) - 7, 2**32, 2**63, 2**64 - 1, 100_000_001))
    return length.to_bytes(8, "little") + content[8:]


def edit_header(rng, content):
    header, data = _split(content)
    edit(rng, header)
    return as_bytes(header, data)


def edit_description(rng, content):
    """Edit the text about modules in a header, or the header if it has none."""
    header, data = _split(content)
    text = header.get("__metadata__", {}).get("qrnn")
    if text is None:
        return edit_header(rng, content)
    described = json.loads(text)
    for _ in range(rng.choice((1, 1, 3))):
        edit(rng, described)
    header["__metadata__"]["qrnn"] = json.dumps(described)
    return as_bytes(header, data)


def double_a_key(rng, content):
    header, data = _split(content)
    name = rng.choice(list(header))
    text = json.dumps(header)
    member = f"{json.dumps(name)}: {json.dumps(header[name])}"
    return as_bytes(text.replace(member, f"{member}, {member}", 1), data)


def nest(rng, content):
    header, data = _split(content)
    depth = rng.choice((10, 5_000))
    name = rng.choice(list(header))
    text = json.dumps(header).replace(json.dumps(header[name]), "[" * depth + "]" * depth, 1)
    return as_bytes(text, data)


MUTATIONS = (
    *(flip_bits, flip_bits_of_the_header, cut, extend, move_bytes, change_length, edit_header, edit_header),
    *(edit_description, edit_description, edit_description, double_a_key, nest),
)


def _split(content):
    length = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def edit(rng, value):
    """Change one entry inside a dict or a list: replace, remove or add it, or change its number a little."""
    place = value
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        if not keys:
            break
        key = rng.choice(keys)
        inner = place[key]
        if isinstance(inner, (dict, list)) and inner and rng.random() < 0.8:
            place = inner
            continue
        how = rng.randrange(4)
        if how == 0:
            del place[key]
        elif how == 1 and isinstance(inner, int):
            place[key] = inner + rng.choice((-1, 1, 4, 2**32))
        elif how == 2:
            other = rng.choice(keys)
            place[key], place[other] = place[other], place[key]
        else:
            place[key] = copy.deepcopy(rng.choice(HOSTILE))
        break


# ---- loads of mutated files


def read(path):
    return qrnn.load(path)


def content_of(content):
    """Read the arrays of a file by another reader: the bytes, type and shape of each."""
    header, data = _split(content)
    header.pop("__metadata__", None)
    return {
        name: (each["dtype"], tuple(each["shape"]), data[slice(*each["data_offsets"])]) for name, each in header.items()
    }


def expect_right(loaded, content, formats=True):
    """Check that the file's arrays, and nothing else, were loaded, each under its name.

    If `formats` is false, entries named "format" are not compared: an existing model states its own formats.
    """
    expected = content_of(content)
    state = loaded if isinstance(loaded, dict) else loaded.state_dict()
    assert set(state) == set(expected)
    for name, (dtype, shape, data) in expected.items():
        array = state[name]
        if not formats and name.rpartition(".")[2] == "format":
            continue
        assert array.shape == shape, name
        if dtype == "BF16":
            assert (array.view(np.uint32).ravel() == np.frombuffer(data, "<u2").astype(np.uint32) << 16).all(), name
        elif isinstance(loaded, dict) or dtype in ("F32", "I8", "U8"):
            assert array.tobytes() == data, name
    repr(loaded)


def load(path, content, make=None):
    """Load a file that holds `content`; return "refused" or "loaded"; AssertionError for any other outcome."""
    path.write_bytes(content)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "load_state_dict: got no")  # a format that was taken out
        return _load(path, content, make)


def _load(path, content, make):
    tracemalloc.start()
    start = time.perf_counter()
    try:
        loaded = read(path)
    except qrnn.FormatError:
        loaded = None
    finally:
        seconds, peak = time.perf_counter() - start, tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert seconds < LIMIT, f"{seconds} seconds"
    assert peak < 2 * len(content) + SLACK, f"{peak} bytes of memory for a file of {len(content)}"
    if loaded is not None:
        expect_right(loaded, content)
    if make is not None:
        load_into(make(), path, content)
    return "refused" if loaded is None else "loaded"


def load_into(model, path, content):
    """Load into a model, and check that it takes everything or stays unchanged."""
    before = model.state_dict()
    try:
        qrnn.load(path, into=model)
    except (qrnn.FormatError, RuntimeError):
        after = model.state_dict()
        assert list(before) == list(after)
        assert all(after[key].tobytes() == value.tobytes() for key, value in before.items())
    else:
        expect_right(model, content, formats=False)
