"""Files of the safetensors format, made by hand."""

from __future__ import annotations

import json

import numpy as np


def as_bytes(header, data=b"", length=None):
    """Make a file of a header (a text, or an object to be written as JSON) and elements."""
    text = header if isinstance(header, bytes) else (header if isinstance(header, str) else json.dumps(header)).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text + data


def tensor(dtype, shape, begin, end):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end]}


def parts(path):
    """Return the parsed header of a file, and its elements."""
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def assert_same_arrays(a, b):
    """Check that names, their order, types, shapes and bits are the same."""
    assert list(a) == list(b)
    for key, value in a.items():
        assert value.dtype == b[key].dtype and value.shape == b[key].shape, key
        assert value.tobytes() == np.asarray(b[key]).tobytes(), key
