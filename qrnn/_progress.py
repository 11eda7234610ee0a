"""Progress bars of long work. Only this file decides whether to show bars, and draws them."""

from __future__ import annotations

import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["progress", "set_progress", "silent", "wanted"]

#: Seconds of work before a bar appears. Shorter work stays silent and does not import tqdm.
DELAY = 1.0

#: The choice of `set_progress`; None: no choice yet.
_chosen: bool | None = None


def set_progress(show: bool | None) -> None:
    """Choose whether long work shows progress bars: conversion by data, measuring, comparing, `map` and the like.

    Bars appear after a second, on standard error, if tqdm is installed.

    Parameters
    ----------
    show : bool or None
        True: always, even into files and logs. False: never. None, the default: in terminals and notebooks, unless
        the environment variable ``QRNN_PROGRESS`` is ``0`` (never) or ``1`` (always).

    Raises
    ------
    TypeError
        If `show` is something else.

    Examples
    --------
    >>> import qrnn
    >>> qrnn.set_progress(False)
    >>> qrnn.set_progress(None)
    """
    global _chosen
    if show is not None and not isinstance(show, bool):
        raise TypeError(f"show: expected True, False or None, got {type(show).__name__}")
    _chosen = show


def silent(steps: int) -> None:
    """Count nothing: what `progress` yields if no bar is wanted."""


def wanted(show: bool | None = None) -> bool:
    """Whether bars are wanted here; `show` is the choice of a single call, None if it has none."""
    show = _chosen if show is None else show
    if show is not None:
        return show
    said = os.environ.get("QRNN_PROGRESS", "")
    if said:
        return said != "0"
    return _in_notebook() or bool(getattr(sys.stderr, "isatty", bool)())


def _in_notebook() -> bool:
    """Whether this is a Jupyter kernel, whose standard error is not a terminal."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return getattr(shell, "kernel", None) is not None


class _Bar:
    """A bar that appears when the work has lasted for `DELAY`."""

    def __init__(self, total: int | None, text: str) -> None:
        self._total, self._text = total, text
        self._start, self._done, self._bar, self._possible = time.monotonic(), 0, None, True

    def update(self, steps: int) -> None:
        """Count `steps` more."""
        self._done += steps
        if self._bar is not None:
            self._bar.update(steps)
        elif self._possible and time.monotonic() - self._start >= DELAY:
            self._bar = _made(self._total, self._text, self._done)
            self._possible = self._bar is not None

    def close(self) -> None:
        """Remove the bar."""
        if self._bar is not None:
            self._bar.close()


def _made(total: int | None, text: str, done: int) -> Any:
    """A tqdm bar that has counted `done` steps; None if tqdm is not installed."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # tqdm warns if a notebook has no widgets
            from tqdm.auto import tqdm  # type: ignore[import-untyped, unused-ignore]
    except ImportError:
        return None
    return tqdm(total=total, desc=text, leave=False, initial=done)


@contextmanager
def progress(total: int | None, text: str, show: bool | None = None) -> Iterator[Callable[[int], object]]:
    """Yield a function that counts steps of `total`, None if unknown, and after a while shows them as a bar.

    `show`: whether to show a bar; None: as `set_progress` says.
    """
    if not wanted(show):
        yield silent
        return
    bar = _Bar(total, text)
    try:
        yield bar.update
    finally:
        bar.close()
