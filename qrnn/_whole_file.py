"""Writing a file whole or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from collections.abc import Iterator
from typing import BinaryIO

__all__ = ["written_whole"]


@contextlib.contextmanager
def written_whole(path: str) -> Iterator[BinaryIO]:
    """A file to write to. It replaces `path` at the end, when all of it is on the disk.

    A reader of `path` finds the old file or the new one at any time, even after a failure or a loss of power. The new
    file gets the permissions of the old one, and a link keeps its target.

    Raises
    ------
    ValueError
        If `path` exists and is not a regular file.
    OSError
        If it cannot be written; an existing file is then unchanged.
    """
    target = os.path.realpath(path)
    mode = _mode(target)
    folder = os.path.dirname(target)
    beside = os.path.join(folder, f".qrnn-{secrets.token_hex(8)}")
    # The permissions of open(): 0o666 without the bits of the umask.
    handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0), 0o666)
    try:
        with open(handle, "wb") as file:
            yield file
            file.flush()
            if mode is not None:
                os.chmod(beside, mode)
            os.fsync(file.fileno())
        os.replace(beside, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(beside)
        raise
    _sync_folder(folder)


def _mode(target: str) -> int | None:
    """The permissions of an existing file; None if there is none."""
    try:
        mode = os.stat(target).st_mode
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(mode):
        raise ValueError(f"path: expected a regular file or none, got another thing at {target}")
    return stat.S_IMODE(mode)


def _sync_folder(folder: str) -> None:
    """Write the new name to the disk too, if the system can."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
