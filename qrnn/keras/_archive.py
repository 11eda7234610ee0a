"""Files of Keras, recognized by their content: a zip with config and weights, or HDF5 with both or only weights."""

from __future__ import annotations

import io
import json
import os
import stat
import zipfile
import zlib
from typing import Any, NamedTuple

from .._format_error import FormatError
from ._hdf5 import SIGNATURE, Group, opened

__all__ = ["ModelFile", "config_of", "model_file"]

#: The most characters of a config, enough for tens of thousands of layers; as objects they take twenty times as much.
_MAX_CONFIG = 1 << 24

#: How many times larger than its compressed bytes a part of a zip may be. Weights hardly compress.
_EXPANSION = 100

#: The deepest nesting of a config that Python's JSON reader, and code that walks over the config, can handle.
_MAX_DEPTH = 100


class ModelFile(NamedTuple):
    """The contents of a file.

    Attributes
    ----------
    kind : str
        The kind of file, for texts.
    config : object
        The model's config, as values of JSON; None if the file has only weights.
    version : str or None
        Keras' version, if the file tells it.
    weights : Group
        The group with the weights.
    legacy : bool
        Whether weights are stored by the names of layers, with lists of their names, instead of classes and numbers.
    """

    kind: str
    config: Any
    version: str | None
    weights: Group
    legacy: bool


def model_file(path: str) -> ModelFile:
    """The contents of the file `path`.

    Raises
    ------
    FormatError
        If it is not a file of Keras, is incomplete, or needs more memory than a file of its size may.
    OSError
        If it cannot be read.
    """
    with open(path, "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise FormatError("expected a regular file")
        content = file.read()
    if content[:4] == b"PK\x03\x04":
        return _of_zip(content)
    if content[:8] == SIGNATURE or SIGNATURE in content[512 : 1 << 20]:
        return _of_hdf5(content)
    raise FormatError(f"expected a zip or HDF5 file of Keras, got one that begins with {content[:8]!r}")


def config_of(config: Any) -> Any:
    """A config from a user: JSON text, the path of a JSON file, or the values in it.

    Raises
    ------
    TypeError
        If it is something else.
    FormatError
        If it is not JSON.
    OSError
        If the file cannot be read.
    """
    if isinstance(config, (dict, list)):
        _expect_depth(config, "config")
        return config
    if isinstance(config, str) and config.lstrip()[:1] in ("{", "["):
        return _parsed(config, "config")
    if isinstance(config, (str, os.PathLike)):
        with open(config, "rb") as file:
            return _parsed(file.read(_MAX_CONFIG + 1), f"config: {os.fspath(config)}")
    raise TypeError(f"config: expected a dict, JSON as text or the path of a file, got {type(config).__name__}")


# ---- zip


def _of_zip(content: bytes) -> ModelFile:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            names = [each.filename for each in archive.infolist()]
            for name in ("config.json", "model.weights.h5"):
                if names.count(name) != 1:
                    raise FormatError(
                        f"expected {name} once in the zip, got it {names.count(name)} times{_hint(names)}"
                    )
            config = _parsed(_member(archive, "config.json", _MAX_CONFIG), "config.json")
            metadata = {}
            if "metadata.json" in names:
                metadata = _parsed(_member(archive, "metadata.json", _MAX_CONFIG), "metadata.json")
            weights = _member(archive, "model.weights.h5", None)
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError, OSError, ValueError) as error:
        if isinstance(error, FormatError):
            raise
        raise FormatError(f"expected a whole zip: {type(error).__name__}: {error}") from None
    version = metadata.get("keras_version") if isinstance(metadata, dict) else None
    return ModelFile(".keras", config, _as_version(version), opened(weights), False)


def _hint(names: list[str]) -> str:
    if "model.weights.json" in names:
        return ": its weights are in several files, write it without max_shard_size"
    return ": write it with weights_format='h5'" if "model.weights.npz" in names else ""


def _member(archive: zipfile.ZipFile, name: str, most: int | None) -> bytes:
    """A part of a zip; FormatError if it needs more memory than it may."""
    info = archive.getinfo(name)
    limit = _EXPANSION * info.compress_size + 4096
    limit = limit if most is None else min(limit, most)
    if info.file_size > limit:
        raise FormatError(f"{name}: expected at most {limit} bytes, got {info.file_size}, of {info.compress_size}")
    with archive.open(info) as part:
        content = part.read(limit + 1)
    if len(content) > limit:
        raise FormatError(f"{name}: expected {info.file_size} bytes, got more")
    return content


# ---- HDF5


def _of_hdf5(content: bytes) -> ModelFile:
    root = opened(content)
    config, version = root.attribute("model_config"), root.attribute("keras_version")
    if config is not None:
        if not isinstance(config, str):
            raise FormatError(f"model_config: expected a text, got {type(config).__name__}")
        weights = root.find("model_weights")
        if not isinstance(weights, Group):
            raise FormatError("expected a group model_weights, got none")
        version = weights.attribute("keras_version") if version is None else version
        return ModelFile(".h5", _parsed(config, "model_config"), _as_version(version), weights, True)
    legacy = root.attribute("layer_names") is not None or root.attribute("layer_names0") is not None
    return ModelFile(".weights.h5", None, _as_version(version), root, legacy)


def _as_version(version: Any) -> str | None:
    if version is None or isinstance(version, str):
        return version
    raise FormatError(f"keras_version: expected a text, got {version!r:.80}")


# ---- JSON


def _parsed(text: str | bytes, where: str) -> Any:
    if len(text) > _MAX_CONFIG:
        raise FormatError(f"{where}: expected at most {_MAX_CONFIG} characters")
    try:
        config = json.loads(text)
    except RecursionError:
        raise FormatError(f"{where}: expected no deep nesting") from None
    except ValueError as error:
        raise FormatError(f"{where}: expected JSON: {error}") from None
    _expect_depth(config, where)
    return config


def _expect_depth(config: Any, where: str) -> None:
    """Check the nesting level by level, without recursion, so that later code does not recurse deeper."""
    level = [config] if isinstance(config, (dict, list)) else []
    for _ in range(_MAX_DEPTH):
        parts = [part for each in level for part in (each.values() if isinstance(each, dict) else each)]
        level = [part for part in parts if isinstance(part, (dict, list))]
        if not level:
            return
    raise FormatError(f"{where}: expected nesting of at most {_MAX_DEPTH} levels")
