"""A model from a file, from bytes in memory, or from a ModelProto."""

from __future__ import annotations

import os
from typing import Any, NamedTuple

from .._format_error import FormatError

__all__ = ["Source", "open_model"]

#: The most bytes of a protocol buffers message.
_MAX_BYTES = 2**31 - 1


class Source(NamedTuple):
    """A model and where it comes from.

    Attributes
    ----------
    model : onnx.ModelProto
    name : str
        Its name in error texts.
    folder : str, optional
        The folder of its external data.
    size : int
        Bytes of the model itself.
    """

    model: Any
    name: str
    folder: str | None
    size: int

    @property
    def external(self) -> int:
        """Bytes of the files with external data that its tensors name."""
        if self.folder is None:
            return 0
        files = {
            each.value
            for tensor in self.model.graph.initializer
            if tensor.data_location == 1
            for each in tensor.external_data
            if each.key == "location"
        }
        return 4 * sum(_bytes_of(os.path.join(self.folder, name)) for name in files)


def open_model(source: Any) -> Source:
    """The model of a path, of bytes or of a ModelProto.

    Raises
    ------
    ImportError
        If the package `onnx` is not installed.
    TypeError
        If `source` is something else.
    FormatError
        If it is not an ONNX model.
    OSError
        If the file cannot be read.
    """
    try:
        import onnx
    except ImportError as error:
        raise ImportError("qrnn.onnx reads files with the package onnx: pip install onnx") from error
    if isinstance(source, onnx.ModelProto):
        return Source(source, "model", None, source.ByteSize())
    if isinstance(source, (bytes, bytearray, memoryview)):
        return Source(_parsed(onnx, bytes(source), "model"), "model", None, len(source))
    try:
        path = os.fspath(source)
    except TypeError:
        raise TypeError(f"path: expected a path, bytes or an onnx.ModelProto, got {type(source).__name__}") from None
    name = os.fsdecode(path)
    if os.path.getsize(name) > _MAX_BYTES:
        raise FormatError(f"{name}: expected an ONNX model of at most {_MAX_BYTES} bytes")
    with open(name, "rb") as file:
        content = file.read()
    return Source(_parsed(onnx, content, name), name, os.path.dirname(os.path.abspath(name)), len(content))


def _bytes_of(path: str) -> int:
    try:
        return os.lstat(path).st_size
    except (OSError, ValueError):
        return 0  # reading it will raise the error


def _parsed(onnx: Any, content: bytes, name: str) -> Any:
    """Bytes as a ModelProto, which must have a graph and tell which operators it uses."""
    model = onnx.ModelProto()
    try:
        model.ParseFromString(content)
    except Exception as error:  # google.protobuf's DecodeError; only onnx needs to know that package
        raise FormatError(f"{name}: expected an ONNX model: {error}") from None
    if not model.HasField("graph") or not model.opset_import:
        raise FormatError(f"{name}: expected an ONNX model, got {_guess(content)}")
    return model


def _guess(content: bytes) -> str:
    """A guess at what a file is if it is not an ONNX model."""
    if content[4:8] == b"TFL3":
        return "a TFLite model"
    for start, what in ((b"PK", "a zip archive"), (b"\x89HDF", "an HDF5 file"), (b"\x80", "a pickle")):
        if content.startswith(start):
            return what
    return f"{len(content)} bytes without a graph"
