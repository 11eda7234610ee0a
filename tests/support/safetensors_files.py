"""Files of the safetensors format, made by hand."""

from __future__ import annotations

import json

import numpy as np


def as_bytes(header, data=b"", length=None):
    """A file with a header, a text or what JSON makes one of, and elements."""
    text = header if isinstance(header, bytes) else (header if isinstance(header, str) else json.dumps(header)).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + data


def tensor(dtype, shape, begin, end):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end]}


def parts(path):
    """The header of a file, parsed, and its elements."""
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def assert_same_arrays(a, b):
    """The same names in the same order, with the same types, shapes and bits."""
    assert list(a) == list(b)
    for key, value in a.items():
        assert value.dtype == b[key].dtype and value.shape == b[key].shape, key
        assert value.tobytes() == np.asarray(b[key]).tobytes(), key
