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
    """A file to write to, which takes the place of `path` at the end, when all of it is on the disk.

    Whoever reads `path` meanwhile, and after a failure or a loss of power, finds the old file or the new one. A file
    that was there hands on its permissions, and a link goes on pointing at what it pointed at.

    Raises
    ------
    ValueError
        If `path` is there and no regular file.
    OSError
        If it cannot be written; then what was there is there as before.
    """
    target = os.path.realpath(path)
    mode = _mode(target)
    folder = os.path.dirname(target)
    beside = os.path.join(folder, f".qrnn-{secrets.token_hex(8)}")
    # As open() makes files: 0o666 without the bits of the umask.
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
    """The permissions of a file that is there; None if there is none."""
    try:
        mode = os.stat(target).st_mode
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(mode):
        raise ValueError(f"path: expected a regular file or none, got another thing at {target}")
    return stat.S_IMODE(mode)


def _sync_folder(folder: str) -> None:
    """Have the new name on the disk too, where the system can."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
