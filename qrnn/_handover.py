"""Arrays from one process to another of the same machine, by a file in memory in place of a pipe.

    a process   arrays --write--> file in /dev/shm --mmap--> the same bytes   another process
                the rest of the object: a pickle, by the executor's pipe

A pipe takes 64 KiB at a time, and a result crosses it as a pickle that is a further copy of all arrays. The file costs
one copy, by a write, which spares the page faults of a store into new memory; the reader's arrays lie in the file's own
pages. The reader removes the name at once, so the memory is free as soon as the last array is.
"""

from __future__ import annotations

import io
import os
import pickle
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from concurrent.futures import Executor

__all__ = ["folder_for", "pack", "unpack"]

#: Where files are memory. Other systems than Linux have none, and use the executor's pipe.
_MEMORY = "/dev/shm" if sys.platform == "linux" else ""
#: Bytes of arrays from which a file takes less time than a pipe does.
_LEAST = 1 << 18
_ALIGNMENT = 64


class _Packed(NamedTuple):
    """An object whose arrays lie in a file, in the order of the pickle: `spans` are offsets and sizes in bytes."""

    pickled: bytes
    path: str
    spans: list[tuple[int, int]]


@contextmanager
def folder_for(executor: Executor) -> Iterator[str | None]:
    """A folder for the files of an executor's tasks, removed at the end; None where a pipe or nothing is used.

    A process pool's workers run on this machine. Of another executor nothing is known.
    """
    # Who has such a pool has imported its module.
    pools = getattr(sys.modules.get("concurrent.futures.process"), "ProcessPoolExecutor", ())
    if not isinstance(executor, pools) or not os.access(_MEMORY, os.W_OK | os.X_OK):
        yield None
        return
    import shutil
    import tempfile

    folder = tempfile.mkdtemp(prefix="qrnn-", dir=_MEMORY)
    try:
        yield folder
    finally:
        # A worker whose task was given up may still write. Renamed first, the folder is no longer found by it.
        os.rename(folder, folder + "-over")
        shutil.rmtree(folder + "-over", ignore_errors=True)


def pack(value: Any, folder: str | None) -> Any:
    """Return `value` as a file to be sent by name; `value` itself if it is small, or if file or pickling fails."""
    if folder is None or _bytes_in(value) < _LEAST:
        return value
    from multiprocessing.reduction import ForkingPickler

    buffers: list[pickle.PickleBuffer] = []
    written = io.BytesIO()
    try:
        # Of protocol 5, with arrays out of band. It is the class that pools send by: PyTorch adds its tensors there.
        ForkingPickler(written, 5, True, buffers.append).dump(value)
        raw = [buffer.raw() for buffer in buffers]
        if sum(each.nbytes for each in raw) < _LEAST:
            return value  # its arrays are not contiguous, so NumPy put them into the pickle
        return _Packed(written.getvalue(), *_write(raw, folder))
    except Exception:
        return value  # the executor says what is wrong with it


def _bytes_in(value: Any) -> int:
    """Bytes of the arrays in tuples, lists and dicts.

    They are counted without a pickle, which the pool makes anyway, and which for a tensor of PyTorch takes a file
    descriptor that only its receiver gives back.
    """
    if isinstance(value, np.ndarray):
        return value.nbytes
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, (tuple, list)):
        return 0
    return sum(map(_bytes_in, value))


def _write(buffers: list[memoryview], folder: str) -> tuple[str, list[tuple[int, int]]]:
    import tempfile

    spans, offset = [], 0
    file, path = tempfile.mkstemp(dir=folder)
    try:
        for buffer in buffers:
            spans.append((offset, buffer.nbytes))
            done = 0
            while done < buffer.nbytes:
                done += os.pwrite(file, buffer[done:], offset + done)
            offset += -(-buffer.nbytes // _ALIGNMENT) * _ALIGNMENT
    except BaseException:
        os.unlink(path)
        raise
    finally:
        os.close(file)
    return path, spans


def unpack(value: Any) -> Any:
    """The object again. Its arrays are writable, and lie in the file's memory."""
    if not isinstance(value, _Packed):
        return value
    import mmap

    with open(value.path, "r+b") as file:
        os.unlink(value.path)
        memory = memoryview(mmap.mmap(file.fileno(), 0))
    return pickle.loads(value.pickled, buffers=[memory[start : start + size] for start, size in value.spans])
