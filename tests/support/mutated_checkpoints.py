"""Checkpoints of PyTorch with mutations by chance, and what a load of one may do: FormatError, or a state dict."""

from __future__ import annotations

import io
import pickletools
import resource
import sys
import time
import warnings
import zipfile

import torch

import qrnn
import qrnn.torch
from support import mutated_files as bytes_of

#: Bytes by which the process may grow, beside eight times the file.
SLACK = 64_000_000
#: Seconds of the CPU: a load takes a millisecond.
LIMIT = 5.0

_INTS = (0, 1, 2, 7, 255, 65_536, 2**31 - 1, 2**32, 2**40, 2**62, -1, -(2**31), -(2**63))
_TEXTS = ("", "cpu", "cuda:0", "meta", "0", "1", "../0", "module.weight", "state_dict", "x" * 300)
#: Modules and names of what a pickle may ask for: classes of PyTorch, and functions that must not run.
_GLOBALS = (
    *("os system", "builtins eval", "builtins exec", "torch load", "torch FloatStorage", "torch LongStorage"),
    *("torch._utils _rebuild_tensor_v2", "torch._utils _rebuild_parameter", "collections OrderedDict"),
    *("torch._utils _rebuild_meta_tensor_no_storage", "torch._utils _rebuild_sparse_tensor"),
)  # fmt: skip


def seeds():
    """State dicts alone and in others, with names of wrappers, of several types, in both formats of torch.save."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.GRU(3, 2), torch.nn.Linear(2, 2)).to(torch.bfloat16)
    kinds = {str(kind): torch.arange(6).reshape(2, 3).to(kind) for kind in (torch.half, torch.int8, torch.bool)}
    wrapped = {"epoch": 3, "loss": 0.5, "model": torch.nn.DataParallel(torch.nn.LSTMCell(3, 2)).state_dict()}
    view = torch.arange(12.0).reshape(3, 4).T
    yield saved(model.state_dict())
    yield saved(wrapped)
    yield saved({"a": view, "b": view[1:], "scalar": torch.tensor(2.5), "empty": torch.zeros(0, 3), **kinds})
    yield saved(wrapped, _use_new_zipfile_serialization=False)


def saved(value, **options):
    content = io.BytesIO()
    torch.save(value, content, **options)
    return content.getvalue()


BEGIN = {".pt": lambda: [(content,) for content in seeds()]}


# ---- mutations: each makes other bytes of a file's


def _of_pickle(change):
    """A mutation by `change(rng, bytes)` of the pickle in a file; its name is that of the function."""

    def mutation(rng, content):
        if content[:2] != b"PK":
            return change(rng, content)
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            parts = {name: archive.read(name) for name in archive.namelist()}
        name = next(each for each in parts if each.endswith("/data.pkl"))
        parts[name] = change(rng, parts[name])
        changed = io.BytesIO()
        with zipfile.ZipFile(changed, "w") as archive:
            for each, part in parts.items():
                archive.writestr(each, part)
        return changed.getvalue()

    mutation.__name__ = change.__name__
    return mutation


@_of_pickle
def pickle_bits(rng, content):
    return bytes_of.flip_bits(rng, content)


@_of_pickle
def pickle_bytes(rng, content):
    return bytes_of.move_bytes(rng, content)


@_of_pickle
def values(rng, content):
    """A number, a text or a class that a pickle names is another one; an operation comes twice."""
    places = _operations(content)
    for _ in range(rng.choice((1, 1, 3))):
        operation, start, stop = rng.choice(places)
        if operation in ("BININT", "BININT1", "BININT2", "LONG1"):
            value = rng.choice(_INTS)
            new = b"\x8a\x09" + value.to_bytes(9, "little", signed=True)
        elif operation in ("BINUNICODE", "SHORT_BINUNICODE"):
            text = rng.choice(_TEXTS).encode()
            new = b"X" + len(text).to_bytes(4, "little") + text
        elif operation == "GLOBAL":
            new = b"c" + rng.choice(_GLOBALS).replace(" ", "\n").encode() + b"\n"
        else:
            new = content[start:stop] * 2
        content = content[:start] + new + content[stop:]
        places = _operations(content) or places
    return content


def _operations(content):
    """Names and places of the operations of the last pickle in `content`, as far as it can be read."""
    found, start = [], 0
    try:
        while start < len(content):
            found = [(each.name, start + at) for each, _, at in pickletools.genops(content[start:])]
            start = found[-1][1] + 1
    except Exception:  # what follows the pickles of a file, or is none any more
        pass
    stops = [at for _, at in found[1:]]
    return [(name, at, stop) for (name, at), stop in zip(found, stops)]


MUTATIONS = (
    *(bytes_of.flip_bits, bytes_of.flip_bits, bytes_of.cut, bytes_of.extend, bytes_of.move_bytes),
    *(pickle_bits, pickle_bits, pickle_bytes, values, values, values, values),
)


# ---- what a load of one does


def read(path):
    return qrnn.torch.load_checkpoint(path)


def load(path, content):
    """Load a file that holds `content`: "refused" or "loaded"; AssertionError for everything that must not be."""
    path.write_bytes(content)
    before, start = _most_memory(), time.process_time()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            state = read(path)
    except qrnn.FormatError as error:
        assert str(error).startswith(str(path))
        state = None
    seconds, grown = time.process_time() - start, _most_memory() - before
    assert seconds < LIMIT, f"{seconds} seconds"
    assert grown < 8 * len(content) + SLACK, f"{grown} bytes of memory for a file of {len(content)}"
    if state is None:
        return "refused"
    assert state and all(isinstance(name, str) for name in state)
    assert sum(value.numel() for value in state.values()) <= 100 * len(content)
    for value in state.values():
        if value.layout == torch.strided and not value.is_quantized:
            value.to(torch.float64).sum()  # which reads all elements
    return "loaded"


def _most_memory():
    """Bytes that this process had at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
