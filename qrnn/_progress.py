"""Progress bars of long work, where tqdm is installed."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["progress"]


@contextmanager
def progress(total: int | None, text: str) -> Iterator[Callable[[int], object]]:
    """A bar that shows after a second: yields what counts steps of `total`, or of an unknown number."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # tqdm's, of a notebook without widgets
            from tqdm.auto import tqdm  # type: ignore[import-untyped, unused-ignore]
    except ImportError:
        yield lambda steps: None
        return
    with tqdm(total=total, desc=text, leave=False, delay=1) as bar:
        yield bar.update
