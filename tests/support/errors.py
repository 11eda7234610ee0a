"""Helpers for the tests of error texts."""

from __future__ import annotations

import re

import numpy as np
import pytest

from qrnn import nn
from qrnn.nn.quantized import dynamic as qd

f32 = np.float32


def zeros(*shape):
    return np.zeros(shape, f32)


def make_cell(engine):
    """RNNCell(4, 3), float or quantized."""
    return nn.RNNCell(4, 3) if engine == "float32" else qd.RNNCell(4, 3, engine=engine)


def refused(call, kind, text):
    """Check that `call` raises exactly `kind`, with `text`: a str has to be equal, a pattern has to be found."""
    with pytest.raises(kind) as caught:
        call()
    assert type(caught.value) is kind, f"{type(caught.value).__name__}: {caught.value}"
    message = str(caught.value.args[0]) if caught.value.args else ""
    if isinstance(text, str):
        assert message == text
    else:
        assert text.search(message), f"{message!r} lacks {text.pattern!r}"


INPUT, HX = re.compile(r"\binput\b"), re.compile(r"\bhx\b")
