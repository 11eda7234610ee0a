"""One module over many batches, by any executor of ``concurrent.futures``: in order, lazily, in bounded memory.

The module goes with the first tasks, as many as there are workers. Each other carries a token in its place:

    this process    token, batches --------------> worker: knows the token?   yes: results
                    token, batches, module <------ no, it had none of the first: MISSING
"""

from __future__ import annotations

import itertools
import os
from _thread import allocate_lock
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, NamedTuple

from ._handover import folder_for, pack, unpack
from ._progress import progress as progress_bar
from ._progress import wanted

if TYPE_CHECKING:
    from concurrent.futures import Executor, Future

__all__ = ["BatchError", "map"]

#: Modules that a worker keeps: of maps that run at the same time, and of none that is over for long.
_KEPT = 8
_MISSING = "missing"
_modules: OrderedDict[str, Callable[..., Any]] = OrderedDict()
_lock = allocate_lock()


class BatchError(RuntimeError):
    """A batch of `qrnn.map` that could not be computed; ``__cause__`` is the reason.

    Attributes
    ----------
    index : int
        Which batch, from 0.

    Examples
    --------
    >>> import numpy as np, qrnn
    >>> batches = [np.ones((2, 4), np.float32), np.ones((2, 5), np.float32)]
    >>> try:
    ...     list(qrnn.map(qrnn.Linear(4, 3), batches))
    ... except qrnn.BatchError as error:
    ...     error.index
    1
    """

    def __init__(self, index: int, text: str) -> None:
        super().__init__(index, text)
        self.index = index

    def __str__(self) -> str:
        return f"batch {self.index}: {self.args[1]}"


class _Batch(NamedTuple):
    number: int
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


class _Done(NamedTuple):
    """Results of the first batches of a task, and what the next one raised."""

    results: list[Any]
    error: BaseException | None


def map(
    module: Callable[..., Any],
    batches: Iterable[Any],
    executor: Executor | None = None,
    *,
    lengths: Iterable[Any] | None = None,
    chunk: int = 1,
    ahead: int | None = None,
    progress: bool | None = None,
) -> Iterator[Any]:
    """Call a module on each of many batches, and yield the results in order.

    Results equal those of the calls one by one, bit for bit. Batches are read as workers get free, so an endless
    iterable is fine, and no more than `ahead` tasks are held at a time. Closing the iterator, or leaving its loop by an
    error, cancels what has not begun. The module has to stay as it is until the last result is there.

    Parameters
    ----------
    module : callable
        A module of qrnn, a model of qrnn.torch, or any callable that the executor can send.
    batches : iterable
        What each call takes: an array (or tensor), a tuple of positional arguments, or a mapping of keyword arguments.
        Arrays may be read-only, memory-mapped or of no rows.
    executor : concurrent.futures.Executor, optional
        Of threads, processes, joblib's loky, Dask (``client.get_executor()``), ...; it stays open. None computes here.
    lengths : iterable, optional
        For each batch what the call takes as ``lengths``.
    chunk : int
        Batches that a task computes: more where batches are small, as a task costs a process about 0.3 ms.
    ahead : int, optional
        Tasks that are held at a time. Default: twice the executor's workers.
    progress : bool, optional
        Whether to show a bar, where tqdm is installed. Default: as for all long work, see `set_progress`.

    Returns
    -------
    iterator
        Of what the calls return.

    Raises
    ------
    BatchError
        Where a call fails, when its turn comes: it has the batch's number, and what the call raised as ``__cause__``.
    TypeError, ValueError
        If an argument is wrong, at once; if `lengths` and `batches` are not equally many, where the shorter one ends.

    Examples
    --------
    >>> import numpy as np, qrnn
    >>> from concurrent.futures import ThreadPoolExecutor
    >>> gru = qrnn.GRU(4, 3)
    >>> batches = [np.ones((5, rows, 4), np.float32) for rows in (2, 0, 7)]
    >>> with ThreadPoolExecutor(2) as executor:
    ...     outputs = [output.shape for output, h_n in qrnn.map(gru, batches, executor)]
    >>> outputs
    [(5, 2, 3), (5, 0, 3), (5, 7, 3)]
    """
    if not callable(module):
        raise TypeError(f"module: expected a callable, got {type(module).__name__}")
    if executor is not None and not callable(getattr(executor, "submit", None)):
        raise TypeError(f"executor: expected a concurrent.futures.Executor or None, got {type(executor).__name__}")
    for name, value in (("chunk", chunk), ("ahead", 1 if ahead is None else ahead)):
        if not isinstance(value, int) or isinstance(value, bool):
            raise TypeError(f"{name}: expected an int, got {type(value).__name__}")
        if value < 1:
            raise ValueError(f"{name}: expected at least 1, got {value}")
    total = len(batches) if isinstance(batches, Sized) else None
    numbered = _numbered(iter(batches), None if lengths is None else iter(lengths))
    if executor is None:
        results = _one_by_one(module, numbered)
    else:
        workers = _workers(executor)
        results = _by(executor, module, numbered, chunk, ahead or 2 * workers, workers)
    return _counted(results, total) if wanted(progress) else results


def _numbered(batches: Iterator[Any], lengths: Iterator[Any] | None) -> Iterator[_Batch]:
    """Batches as calls take them."""
    end = object()
    for index in itertools.count():
        batch = next(batches, end)
        length = end if lengths is None else next(lengths, end)
        if lengths is not None and (batch is end) != (length is end):
            short, long = ("lengths", "batches") if length is end else ("batches", "lengths")
            raise ValueError(f"{short}: expected as many as {long}, got {index}")
        if batch is end:
            return
        args = batch if isinstance(batch, tuple) else () if isinstance(batch, Mapping) else (batch,)
        kwargs = dict(batch) if isinstance(batch, Mapping) else {}
        if length is not end:
            kwargs["lengths"] = length
        yield _Batch(index, args, kwargs)


def _workers(executor: Executor) -> int:
    """How many workers an executor has, as far as it says."""
    return getattr(executor, "_max_workers", None) or os.cpu_count() or 1


def _counted(results: Iterator[Any], total: int | None) -> Iterator[Any]:
    with progress_bar(total, "batches", True) as count:
        for result in results:
            count(1)
            yield result


def _raise(batch: _Batch, error: BaseException) -> None:
    raise BatchError(batch.number, f"{type(error).__name__}: {error}") from error


def _one_by_one(module: Callable[..., Any], batches: Iterator[_Batch]) -> Iterator[Any]:
    for batch in batches:
        done = _compute(module, [batch])
        if done.error is not None:
            _raise(batch, done.error)
        yield done.results[0]


# ---- workers


def _compute(module: Callable[..., Any], batches: list[_Batch]) -> _Done:
    results: list[Any] = []
    for batch in batches:
        try:
            results.append(module(*batch.args, **batch.kwargs))
        except Exception as error:
            return _Done(results, error)
    return _Done(results, None)


def _work(token: str, module: Callable[..., Any] | None, packed: Any, folder: str | None) -> Any:
    """Compute a task in a worker: return the results, packed, or `_MISSING` if the worker lacks the module."""
    batches: list[_Batch] = unpack(packed)
    with _lock:
        if module is not None:
            module = _modules.setdefault(token, module)
        else:
            module = _modules.get(token)
        if module is None:
            return _MISSING
        _modules.move_to_end(token)
        while len(_modules) > _KEPT:
            _modules.popitem(last=False)
    return pack(_sendable(_compute(module, batches)), folder)


def _sendable(done: _Done) -> _Done:
    """An error that no pickle holds would be lost on its way, and its text with it."""
    if done.error is not None:
        import pickle

        try:
            pickle.loads(pickle.dumps(done.error))
        except Exception:
            return _Done(done.results, RuntimeError(f"{type(done.error).__name__}: {done.error}"))
    return done


# ---- this process


class _Task(NamedTuple):
    batches: list[_Batch]
    future: Future[Any]


def _by(
    executor: Executor, module: Callable[..., Any], batches: Iterator[_Batch], chunk: int, ahead: int, workers: int
) -> Iterator[Any]:
    """The results by an executor's workers."""
    token, tasks, begun = os.urandom(16).hex(), deque[_Task](), 0

    def submit(some: list[_Batch], sent: Callable[..., Any] | None) -> _Task:
        return _Task(some, executor.submit(_work, token, sent, pack(some, folder), folder))

    with ExitStack() as at_end:
        folder = at_end.enter_context(folder_for(executor))
        with _lock:
            _modules[token] = module
        at_end.callback(_forget, token)
        at_end.callback(_cancel, tasks)
        while True:
            while len(tasks) < ahead and (some := list(itertools.islice(batches, chunk))):
                tasks.append(submit(some, module if begun < workers else None))
                begun += 1
            if not tasks:
                return
            task = tasks.popleft()
            done = _result(task)
            if isinstance(done, str):
                task = submit(task.batches, module)
                done = _result(task)
            assert isinstance(done, _Done)  # a worker has the module that comes with its task
            yield from done.results
            if done.error is not None:
                _raise(task.batches[len(done.results)], done.error)


def _result(task: _Task) -> _Done | str:
    """Return the result of a task; BatchError with the task's batches for an error of the executor itself."""
    try:
        done: _Done | str = unpack(task.future.result())
        return done
    except Exception as error:
        last = task.batches[-1].number
        text = f"{type(error).__name__}: {error}" + (f" (of batches up to {last})" if len(task.batches) > 1 else "")
        raise BatchError(task.batches[0].number, text) from error
    finally:
        task.future.cancel()  # for a task that is no longer waited for


def _forget(token: str) -> None:
    with _lock:
        _modules.pop(token, None)


def _cancel(tasks: deque[_Task]) -> None:
    for task in tasks:
        task.future.cancel()
