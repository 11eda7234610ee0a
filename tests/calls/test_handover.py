"""Arrays that `qrnn.map` hands to processes and takes from them by files in memory: same results, nothing left over."""

from __future__ import annotations

import errno
import itertools
import os
import pathlib
import pickle
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool

import numpy as np
import pytest
from support import assert_same_bits

import qrnn
from qrnn import _handover

rng = np.random.default_rng(0)
pytestmark = pytest.mark.skipif(not os.path.isdir(_handover._MEMORY), reason="this system has no files in memory")
LARGE = [rng.standard_normal((50, rows, 64), np.float32) for rows in (32, 8, 40)]
SMALL = rng.standard_normal((5, 2, 64), np.float32)


@pytest.fixture(scope="module")
def pool():
    with ProcessPoolExecutor(2) as executor:
        yield executor


@pytest.fixture
def memory(monkeypatch, tmp_path):
    """Another folder in place of that of all processes: what is left in it is ours."""
    monkeypatch.setattr(_handover, "_MEMORY", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("chunk", [1, 2])
def test_large_batches_and_results(pool, memory, chunk):
    """Large and small ones in turn: by a file, by the pipe, or one each way."""
    gru = qrnn.GRU(64, 64, num_layers=2)
    batches = [LARGE[0], SMALL, LARGE[1], np.asfortranarray(LARGE[2]), np.repeat(LARGE[0], 2, axis=0)[::2]]
    found = list(qrnn.map(gru, batches, pool, chunk=chunk))
    assert len(found) == len(batches)
    for (output, h_n), batch in zip(found, batches, strict=True):
        wanted, last = gru(batch)
        assert_same_bits(output, wanted)
        assert_same_bits(h_n, last)
        output += 1  # it is the caller's
    assert list(memory.iterdir()) == []


def test_results_live_longer_than_the_map(pool, memory):
    results = qrnn.map(np.negative, itertools.repeat(LARGE[0]), pool)
    first = next(results)
    (folder,) = memory.iterdir()
    results.close()
    assert not folder.exists()
    assert_same_bits(first, -LARGE[0])


def no_file(*args):
    raise OSError(errno.ENOSPC, "no space")


def test_without_space_the_pipe_is_used(pool, memory, monkeypatch):
    """Here no file can be written; the workers write theirs."""
    monkeypatch.setattr(_handover.os, "pwrite", no_file)
    (found,) = qrnn.map(np.negative, LARGE[:1], pool)
    assert_same_bits(found, -LARGE[0])
    with _handover.folder_for(pool) as folder:
        assert _handover.pack(LARGE[0], folder) is LARGE[0]
        assert os.listdir(folder) == []


def test_what_is_packed_comes_back(pool, memory):
    value = {"a": LARGE[0], "b": [LARGE[1].astype(np.float64), "text"], "c": LARGE[1][3:4, :1].astype(np.int8)}
    with _handover.folder_for(pool) as folder:
        packed = _handover.pack(value, folder)
        assert len(pickle.dumps(packed)) < 2000
        assert os.listdir(folder) == [os.path.basename(packed.path)]
        found = _handover.unpack(pickle.loads(pickle.dumps(packed)))
        assert os.listdir(folder) == []
        assert _handover.unpack(_handover.pack(SMALL, folder)) is SMALL
    assert_same_bits(found["a"], value["a"])
    np.testing.assert_array_equal(found["b"][0], value["b"][0], strict=True)
    np.testing.assert_array_equal(found["c"], value["c"], strict=True)
    assert found["b"][1] == "text"
    assert all(each.ctypes.data % 64 == 0 and each.flags.writeable for each in (found["a"], found["b"][0], found["c"]))


class Counted:
    """Counts how often it is pickled."""

    times = 0

    def __reduce__(self):
        Counted.times += 1
        return Counted, ()


def test_what_is_small_is_pickled_by_the_pool_alone(pool, memory):
    """A pickle that is thrown away would take time, and file descriptors for tensors of PyTorch."""
    Counted.times = 0
    with _handover.folder_for(pool) as folder:
        value = ([SMALL, Counted()], {"x": SMALL, "y": 3}, None)
        assert _handover.pack(value, folder) is value and Counted.times == 0
        large = ({"x": [LARGE[0]]}, Counted())
        assert _handover.pack(large, folder) is not large and Counted.times == 1


def test_who_else_gets_no_folder(pool, monkeypatch):
    with ThreadPoolExecutor(1) as threads, _handover.folder_for(threads) as folder:
        assert folder is None
    monkeypatch.setattr(_handover, "_MEMORY", "/nowhere")
    with _handover.folder_for(pool) as folder:
        assert folder is None
    assert _handover.pack(LARGE[0], None) is LARGE[0]


def fails(x):
    raise ValueError("of no use")


def unsendable(x):
    return (lambda: x), x


def dies(x):
    os._exit(3)


def test_errors_are_those_of_the_pipe(pool, memory):
    with pytest.raises(qrnn.BatchError, match="^batch 0: ValueError: of no use"):
        list(qrnn.map(fails, LARGE, pool))
    with pytest.raises(qrnn.BatchError, match="^batch 0: .*(pickle|lambda)"):
        list(qrnn.map(unsendable, LARGE, pool))
    with pytest.raises(qrnn.BatchError, match="^batch 0: .*(pickle|lambda)"):
        list(qrnn.map(np.negative, [(LARGE[0], lambda: 0)], pool))
    # Batches that go by files: if a worker dies, the pool of CPython 3.10 waits for good for a pipe that is not read.
    with ProcessPoolExecutor(1) as other, pytest.raises(qrnn.BatchError) as caught:
        list(qrnn.map(dies, [LARGE[0], LARGE[2]], other))
    assert isinstance(caught.value.__cause__, BrokenProcessPool)
    assert list(memory.iterdir()) == []


def test_a_map_that_is_left_leaves_no_file(pool):
    before = set(pathlib.Path(_handover._MEMORY).glob("qrnn-*"))
    for _ in qrnn.map(np.negative, itertools.repeat(LARGE[0]), pool, ahead=8):
        break
    assert set(pathlib.Path(_handover._MEMORY).glob("qrnn-*")) <= before
