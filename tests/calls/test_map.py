"""`qrnn.map`: the results of calls one by one, in order, by every kind of executor, and what goes wrong on the way."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import threading
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager

import numpy as np
import pytest
from support import assert_same_bits

import qrnn
from qrnn import _map, nn

rng = np.random.default_rng(0)
MODELS = {
    "quantized": qrnn.GRU(4, 3, num_layers=2, bidirectional=True),
    "float": nn.LSTM(4, 3),
    "model": nn.Sequential(qrnn.Linear(4, 5), nn.ReLU()),
}
BATCHES = [rng.standard_normal((6, rows, 4)).astype(np.float32) for rows in (2, 0, 7, 1, 3, 5, 2)]


def flat(result):
    return [each for part in result for each in flat(part)] if isinstance(result, tuple) else [result]


def assert_same(found, wanted):
    found, wanted = flat(found), flat(wanted)
    assert len(found) == len(wanted)
    for one, other in zip(found, wanted, strict=True):
        assert_same_bits(one, other)


@contextmanager
def executor_of(name):
    """An executor of two workers, or None."""
    if name == "none":
        yield None
    elif name == "threads":
        with ThreadPoolExecutor(2) as executor:
            yield executor
    elif name == "loky":
        loky = pytest.importorskip("joblib.externals.loky", reason="joblib is not installed")
        yield loky.get_reusable_executor(2)
    else:
        if name not in multiprocessing.get_all_start_methods():
            pytest.skip(f"this system does not {name}")
        with ProcessPoolExecutor(2, multiprocessing.get_context(name)) as executor:
            yield executor


@pytest.mark.parametrize("chunk", [1, 3])
@pytest.mark.parametrize("executor", ["none", "threads", "fork", "spawn", "loky"])
def test_results_are_those_of_calls_one_by_one(executor, chunk):
    with executor_of(executor) as workers:
        for module in MODELS.values():
            found = list(qrnn.map(module, iter(BATCHES), workers, chunk=chunk))
            assert len(found) == len(BATCHES)
            for result, batch in zip(found, BATCHES, strict=True):
                assert_same(result, module(batch))
    assert not _map._modules, "a module is kept after its map"


@pytest.mark.parametrize("executor", ["none", "threads"])
def test_arguments_of_calls(executor, tmp_path):
    """Tuples, mappings, lengths, read-only and memory-mapped arrays."""
    module, x = MODELS["float"], BATCHES[2]
    states = np.ones((1, 7, 3), np.float32), np.zeros((1, 7, 3), np.float32)
    np.save(tmp_path / "x.npy", x)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    fixed = x.copy()
    fixed.flags.writeable = False
    batches = [x, (x, states), {"input": x, "hx": states}, mapped, fixed]
    lengths = [[6, 1, 2, 3, 4, 5, 6], None, [1] * 7, None, range(7)]
    with executor_of(executor) as workers:
        found = list(qrnn.map(module, batches, workers, lengths=lengths))
    wanted = [module(x, lengths=lengths[0]), module(x, states), module(x, states, lengths=lengths[2])]
    for result, expected in zip(found, [*wanted, module(x), module(x, lengths=lengths[4])], strict=True):
        assert_same(result, expected)
    assert list(qrnn.map(module, [], lengths=[])) == []


class Counting(ThreadPoolExecutor):
    """Remembers the tasks that it was given, and what each was sent."""

    def __init__(self, workers=2):
        super().__init__(workers)
        self.futures, self.sent = [], []

    def submit(self, function, *args):
        self.sent.append(args[1])
        self.futures.append(super().submit(function, *args))
        return self.futures[-1]


def test_it_is_lazy_and_holds_little():
    """An endless iterable, of which no more is read than what is held."""
    read = []
    batches = (read.append(i) or BATCHES[0] for i in itertools.count())
    with Counting() as executor:
        results = qrnn.map(MODELS["float"], batches, executor, chunk=2, ahead=3)
        assert read == [] and executor.futures == []
        for taken in range(1, 8):
            next(results)
            assert len(read) <= 2 * (3 + -(-taken // 2))
        results.close()
    one_by_one = qrnn.map(MODELS["float"], (read.append(i) or BATCHES[0] for i in itertools.count()))
    read.clear()
    next(one_by_one)
    assert read == [0]


def test_the_default_is_twice_the_workers():
    with Counting(3) as executor:
        next(qrnn.map(MODELS["float"], itertools.repeat(BATCHES[0]), executor))
        assert len(executor.futures) == 6


def test_what_has_not_begun_is_cancelled():
    may_end = threading.Semaphore(1)

    def waits(x):
        assert may_end.acquire(timeout=60)
        return x

    with Counting(1) as executor:
        results = qrnn.map(waits, itertools.repeat(1), executor, ahead=5)
        assert next(results) == 1  # the second task waits for good
        results.close()
        assert sum(future.cancelled() for future in executor.futures) >= 3
        may_end.release()


def wrong(index):
    batches = list(BATCHES)
    batches[index] = np.ones((6, 2, 5), np.float32)
    return batches


@pytest.mark.parametrize("chunk", [1, 3])
@pytest.mark.parametrize("executor", ["none", "threads", "spawn"])
def test_an_error_names_its_batch(executor, chunk):
    """What came before it is yielded first."""
    found = []
    with executor_of(executor) as workers, pytest.raises(qrnn.BatchError, match="^batch 4: RuntimeError.*Expected 4"):
        for result in qrnn.map(MODELS["quantized"], wrong(4), workers, chunk=chunk):
            found.append(result)
    assert len(found) == 4
    with executor_of(executor) as workers, pytest.raises(qrnn.BatchError) as caught:
        list(qrnn.map(MODELS["quantized"], wrong(0), workers, chunk=chunk))
    assert caught.value.index == 0 and isinstance(caught.value.__cause__, RuntimeError)


class Unsendable(Exception):
    def __init__(self, one, other):
        super().__init__("it broke")


def breaks(x):
    raise Unsendable(1, 2)


def test_an_error_that_cannot_be_sent_keeps_its_text():
    with executor_of("fork") as workers, pytest.raises(qrnn.BatchError, match="Unsendable: it broke"):
        list(qrnn.map(breaks, BATCHES, workers))


def dies(x):
    os._exit(3)


def test_a_worker_that_dies_is_said():
    with executor_of("spawn") as workers, pytest.raises(qrnn.BatchError, match=r"^batch 0: .*up to 1") as caught:
        list(qrnn.map(dies, BATCHES, workers, chunk=2))
    assert isinstance(caught.value.__cause__, BrokenProcessPool)


class Remote:
    """Workers that know nothing of this process: they have what was sent alone."""

    def __init__(self):
        self.known, self.modules, self._max_workers = {}, 0, 1

    def submit(self, function, token, module, batches, folder):
        self.modules += module is not None
        mine, _map._modules = _map._modules, type(_map._modules)(self.known)
        future = Future()
        try:
            future.set_result(function(token, module, batches, folder))
        finally:
            self.known, _map._modules = dict(_map._modules), mine
        return future


def test_a_module_is_sent_once_to_a_worker():
    remote = Remote()
    found = list(qrnn.map(MODELS["quantized"], BATCHES * 3, remote, ahead=1))
    assert remote.modules == 1 and len(found) == 21
    assert_same(found[-1], MODELS["quantized"](BATCHES[-1]))
    for _ in range(20):  # and workers keep few of them
        list(qrnn.map(MODELS["float"], BATCHES[:1], remote))
    assert len(remote.known) == _map._KEPT
    with Counting() as executor:
        list(qrnn.map(MODELS["float"], BATCHES, executor))
        workers = executor._max_workers
        assert executor.sent == [MODELS["float"]] * workers + [None] * (len(BATCHES) - workers)


def test_a_worker_that_had_none_of_the_first_tasks_asks_for_the_module():
    remote = Remote()
    remote._max_workers = 2
    batches = iter(BATCHES * 3)
    results = qrnn.map(MODELS["quantized"], batches, remote, ahead=1)
    found = [next(results), next(results)]
    remote.known = {}  # another process
    found += list(results)
    assert remote.modules == 3 and len(found) == 21
    assert_same(found[-1], MODELS["quantized"](BATCHES[-1]))


def test_a_pickled_module_has_its_weights_once():
    """Codes and scales, packed on arrival: no more bytes than the packed module's."""
    import pickle

    module = qrnn.LSTM(128, 128, num_layers=2)
    assert len(pickle.dumps(module)) < module.nbytes


@pytest.mark.parametrize(
    "kwargs, kind, text",
    [
        ({"module": 3}, TypeError, "module: expected a callable, got int"),
        ({"executor": 2}, TypeError, "executor: expected .* got int"),
        ({"chunk": 0}, ValueError, "chunk: expected at least 1, got 0"),
        ({"chunk": 1.5}, TypeError, "chunk: expected an int, got float"),
        ({"ahead": 0}, ValueError, "ahead: expected at least 1, got 0"),
        ({"ahead": True}, TypeError, "ahead: expected an int, got bool"),
    ],
)
def test_bad_arguments_are_refused_at_once(kwargs, kind, text):
    with pytest.raises(kind, match=text):
        qrnn.map(**{"module": MODELS["float"], "batches": BATCHES, **kwargs})


def test_lengths_and_batches_have_to_be_as_many():
    for lengths, text in (([None] * 6, "lengths: .* batches, got 6"), ([None] * 8, "batches: .* lengths, got 7")):
        found = []
        with pytest.raises(ValueError, match=text):
            for result in qrnn.map(MODELS["float"], BATCHES, lengths=lengths):
                found.append(result)
        assert len(found) == min(len(lengths), 7)
    with pytest.raises(TypeError, match="not iterable"):
        qrnn.map(MODELS["float"], 3)


def test_progress_changes_no_result(capsys):
    found = list(qrnn.map(MODELS["float"], BATCHES, progress=True))
    assert len(found) == len(BATCHES)
    assert_same(found[2], MODELS["float"](BATCHES[2]))
    assert len(list(qrnn.map(MODELS["float"], iter(BATCHES), progress=True))) == len(BATCHES)
