"""How many threads a call computes with."""

from __future__ import annotations

from . import _core

__all__ = ["get_num_threads", "set_num_threads"]


def set_num_threads(n: int) -> None:
    """Let every call compute with up to `n` threads, if it is long enough for them.

    In a call for a whole sequence each thread computes a slice of the hidden units; in a call of a
    linear layer or a single cell it computes some rows of the batch. The result has the same bits for
    every `n`. Threads live as long as the call; small calls use only the caller's thread. If several
    threads of Python call modules at once, each call has its own threads.

    Parameters
    ----------
    n : int
        At least 1, the default.

    Raises
    ------
    TypeError, ValueError
        If `n` is not an int, or is below 1.

    See Also
    --------
    get_num_threads

    Examples
    --------
    >>> import qrnn
    >>> qrnn.set_num_threads(2)
    >>> qrnn.get_num_threads()
    2
    >>> qrnn.set_num_threads(1)
    """
    _core.set_num_threads(n)


def get_num_threads() -> int:
    """How many threads a call may compute with.

    Returns
    -------
    int

    See Also
    --------
    set_num_threads

    Examples
    --------
    >>> import qrnn
    >>> qrnn.get_num_threads()
    1
    """
    return _core.get_num_threads()
