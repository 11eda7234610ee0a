"""Load randomly mutated files of Keras: a load must raise FormatError or return a model."""

from __future__ import annotations

import io
import json
import time
import tracemalloc
import warnings
import zipfile

import numpy as np

import qrnn
import qrnn.keras
from support import mutated_files as bytes_of
from support.keras_seeds import MODEL, hdf5_files, keras_3

#: Memory allowed beyond 8 times the file's size: objects of a config and headers, which are small here.
SLACK = 4_000_000
#: Seconds of CPU time allowed: a load takes milliseconds.
LIMIT = 5.0


#: Files to begin with.
BEGIN = {".keras": lambda: [(keras_3(),)], ".h5": lambda: [(content,) for content in hdf5_files()]}


# ---- mutations: each changes the bytes of a file


def edit_config(rng, content):
    """Edit one entry in the config of a zip, or the text in an HDF5 file without changing its length."""
    if content[:2] != b"PK":
        return _edited_in_place(rng, content)
    parts = _parts(content)
    config = json.loads(parts["config.json"])
    for _ in range(rng.choice((1, 1, 3))):
        bytes_of.edit(rng, config)
    return _zipped({**parts, "config.json": json.dumps(config).encode()})


def _edited_in_place(rng, content):
    start = content.find(b'{"class_name"')
    stop = content.find(b"\0", start)
    if start < 0:
        return bytes_of.flip_bits(rng, content)
    config = json.loads(content[start:stop])
    bytes_of.edit(rng, config)
    text = json.dumps(config, separators=(",", ":")).encode()
    return content[:start] + text.ljust(stop - start)[: stop - start] + content[stop:]


def flip_bits_of_the_weights(rng, content):
    """Flip bits of the HDF5 file in a zip, with a correct checksum, or of an HDF5 file, mostly outside its arrays."""
    if content[:2] != b"PK":
        return bytes_of.flip_bits(rng, content)
    parts = _parts(content)
    return _zipped({**parts, "model.weights.h5": bytes_of.flip_bits(rng, parts["model.weights.h5"])})


def move_bytes_of_the_weights(rng, content):
    if content[:2] != b"PK":
        return bytes_of.move_bytes(rng, content)
    parts = _parts(content)
    return _zipped({**parts, "model.weights.h5": bytes_of.move_bytes(rng, parts["model.weights.h5"])})


def change_an_address(rng, content):
    """Replace 8 bytes of HDF5 by another address or size: most numbers in a file are one of these."""
    inner = _parts(content)["model.weights.h5"] if content[:2] == b"PK" else content
    changed = bytearray(inner)
    start = rng.randrange(0, max(1, len(changed) - 8)) // 8 * 8
    value = rng.choice((0, 96, 2**64 - 1, 2**63, 2**32, len(inner), rng.randrange(len(inner)) // 8 * 8))
    changed[start : start + 8] = value.to_bytes(8, "little")
    if content[:2] != b"PK":
        return bytes(changed)
    return _zipped({**_parts(content), "model.weights.h5": bytes(changed)})


def _parts(content):
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _zipped(parts):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, part in parts.items():
            archive.writestr(name, part)
    return content.getvalue()


MUTATIONS = (
    *(bytes_of.flip_bits, bytes_of.cut, bytes_of.extend, bytes_of.move_bytes, edit_config, edit_config, edit_config),
    *(flip_bits_of_the_weights, flip_bits_of_the_weights, move_bytes_of_the_weights, change_an_address),
    change_an_address,
)


# ---- loads of mutated files


def read(path):
    """Load a file; one of weights alone is one of `MODEL`."""
    content = path.read_bytes()
    return qrnn.keras.load(path, config=None if content[:2] == b"PK" or b"model_config" in content else MODEL)


def load(path, content):
    """Load a file that holds `content`; return "refused" or "loaded"; AssertionError for any other outcome."""
    path.write_bytes(content)
    tracemalloc.start()
    start = time.process_time()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            loaded = read(path)
    except qrnn.FormatError:
        loaded = None
    finally:
        seconds, peak = time.process_time() - start, tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert seconds < LIMIT, f"{seconds} seconds"
    assert peak < 8 * len(content) + SLACK, f"{peak} bytes of memory for a file of {len(content)}"
    if loaded is not None:
        assert isinstance(loaded, qrnn.keras.Model) and len(repr(loaded)) > 0
        assert all(np.isfinite(array).all() for array in loaded.state_dict().values())
    return "refused" if loaded is None else "loaded"
