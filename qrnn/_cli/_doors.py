"""Recognizes model files by their content: the table of formats, with the reader of each."""

from __future__ import annotations

import errno
import importlib
import os
import zipfile
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .. import _files
from .._format_error import FormatError
from .._framework import torch_side
from .._module import Module
from ._results import MISSING, NO_FILE, NOT_POSSIBLE, CommandError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["DOORS", "Door", "Opened", "door_of", "opened"]

#: How many bytes at the beginning identify a file. HDF5 may begin later, at powers of two from 512 on.
_HEAD = 4096
_HDF5 = b"\x89HDF\r\n\x1a\n"


class Head(NamedTuple):
    """What is known about a file before it is read: its first bytes, and, for a zip, the names in it."""

    start: bytes
    names: tuple[str, ...]


class Door(NamedTuple):
    """A format.

    Attributes
    ----------
    name : str
    fits : callable
        Whether a file has this format, by its `Head`.
    read : callable
        Makes, from the path, a Module or a dict of arrays by name.
    package : str or None
        The package of qrnn that reads it; its function ``summary``, if it has one, describes the contents of a file.
    """

    name: str
    fits: Callable[[Head], bool]
    read: Callable[[str], Any]
    package: str | None = None


class Opened(NamedTuple):
    """A file that was read: a model, or the arrays of a state dict."""

    path: str
    door: Door
    model: Module | None
    state: Mapping[str, NDArray[Any]]


def _reader(package: str, name: str = "load") -> Callable[[str], Any]:
    """The function `name` of a reader package, imported when a file needs it."""

    def read(path: str) -> Any:
        function = getattr(importlib.import_module(package), name, None)
        if function is None:
            raise CommandError(NOT_POSSIBLE, f"{path}: this version of qrnn reads no whole models of that kind")
        loaded = function(path)
        module = getattr(loaded, "module", loaded)
        if module is None:
            raise CommandError(NOT_POSSIBLE, f"{path}: qrnn does not support all of it: {'; '.join(loaded.missing)}")
        return module

    return read


#: The arrays of an ``.npz`` may have this many times its bytes; weights hardly compress at all.
_EXPANSION = 100


def _npz(path: str) -> dict[str, NDArray[Any]]:
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(each.file_size for each in archive.infolist())
        if size > _EXPANSION * (os.path.getsize(path) + 4096):
            raise FormatError(f"{path}: expected at most {_EXPANSION} times its bytes unpacked, got {size}")
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (ValueError, EOFError, zipfile.BadZipFile, OSError) as error:
        if isinstance(error, FormatError) or (isinstance(error, OSError) and error.errno is not None):
            raise
        raise FormatError(f"{path}: {error}") from error


def _checkpoint(path: str) -> Any:
    try:
        state = torch_side().load_checkpoint(path)
    except ImportError as error:
        raise CommandError(MISSING, f"{path}: a checkpoint of PyTorch needs PyTorch: {error}") from error
    return {name: value.numpy(force=True) for name, value in state.items()}


def _is_safetensors(head: Head) -> bool:
    length = int.from_bytes(head.start[:8], "little")
    return len(head.start) > 8 and 2 <= length <= 100_000_000 and head.start[8:9] == b"{"


def _is_keras(head: Head) -> bool:
    places = (0, 512, 1024, 2048)
    return "config.json" in head.names or any(head.start[at : at + len(_HDF5)] == _HDF5 for at in places)


def _is_checkpoint(head: Head) -> bool:
    return any(name.endswith("/data.pkl") for name in head.names) or head.start[:2] in (b"\x80\x02", b"\x80\x04")


def _is_onnx(head: Head) -> bool:
    """Whether it is a protocol buffers message that begins with a small ir_version, the first field of a ModelProto."""
    return len(head.start) > 2 and head.start[0] == 0x08 and 0 < head.start[1] < 64


#: In the order in which they are tried.
DOORS = (
    Door("safetensors", _is_safetensors, _files.load),
    Door("Keras", _is_keras, _reader("qrnn.keras"), "qrnn.keras"),
    Door("PyTorch checkpoint", _is_checkpoint, _checkpoint),
    Door("npz", lambda head: any(name.endswith(".npy") for name in head.names), _npz),
    Door("TFLite", lambda head: head.start[4:8] == b"TFL3", _reader("qrnn.tflite"), "qrnn.tflite"),
    Door("ONNX", _is_onnx, _reader("qrnn.onnx"), "qrnn.onnx"),
)


def _head_of(path: str) -> Head:
    try:
        with open(path, "rb") as file:
            start = file.read(_HEAD)
            names: tuple[str, ...] = ()
            if start[:4] == b"PK\x03\x04":
                file.seek(0)
                with zipfile.ZipFile(file) as archive:
                    names = tuple(archive.namelist())
    except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
        raise CommandError(NO_FILE, f"{path}: {error}") from error
    except OSError as error:
        # Windows denies the permission to read a folder.
        reason = os.strerror(errno.EISDIR) if os.path.isdir(path) else error.strerror
        raise CommandError(NO_FILE, f"{path}: {reason or error}") from error
    return Head(start, names)


def door_of(path: str) -> Door:
    """The format of a file, by its content; CommandError if it is none of them."""
    head = _head_of(path)
    for door in DOORS:
        if door.fits(head):
            return door
    size = os.path.getsize(path)
    names = ", ".join(door.name for door in DOORS)
    raise CommandError(NO_FILE, f"{path}: expected a file of {names}, got {size} bytes of something else")


def opened(path: str) -> Opened:
    """Read a file; CommandError or FormatError if that is impossible."""
    door = door_of(path)
    try:
        found = door.read(path)
    except ImportError as error:
        needed = f"a file of {door.name} needs the package {error.name}" if error.name else str(error)
        raise CommandError(MISSING, f"{path}: {needed}") from error
    if isinstance(found, Module):
        return Opened(path, door, found, found.state_dict())
    return Opened(path, door, None, found)
