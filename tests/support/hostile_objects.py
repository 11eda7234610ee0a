"""Arrays and other objects that misbehave when they are used."""

from __future__ import annotations

import array
import ctypes

import numpy as np
from hypothesis import strategies as st

import qrnn
from qrnn import _core, nn
from qrnn import quantization as qz
from qrnn.nn.quantized import dynamic as qd

f32 = np.float32


class OwnError(Exception):
    """The error that hostile objects raise."""


class Raises:
    """An object that raises an error at every use."""

    def __array__(self, dtype=None, copy=None):
        raise OwnError

    def __index__(self):
        raise OwnError

    def __len__(self):
        raise OwnError

    def __getitem__(self, key):
        raise OwnError

    def __iter__(self):
        raise OwnError

    def __bool__(self):
        raise OwnError


class Gives:
    """An object whose conversions return `what`, and whose numbers are too large."""

    def __init__(self, what):
        self.what = what

    def __array__(self, dtype=None, copy=None):
        return self.what

    def __index__(self):
        return 2**70

    def __len__(self):
        return 2**62

    def __getitem__(self, key):
        return self

    def __dlpack_device__(self):
        return (1, 0)

    def __dlpack__(self, **keywords):
        return self.what


class Capsule:
    """An object whose __dlpack__ returns no capsule, and that has no __array__."""

    def __dlpack_device__(self):
        return (1, 0)

    def __dlpack__(self, **keywords):
        return 3


class Frees:
    """An object that, when converted, empties a list of the caller and resizes the list's arrays."""

    def __init__(self, others):
        self.others = others

    def __array__(self, dtype=None, copy=None):
        for other in self.others:
            if isinstance(other, np.ndarray) and other.flags.owndata and other.flags.writeable:
                other.resize(1, refcheck=False)
        self.others.clear()
        return np.zeros((2, 4), f32)


class Sub(np.ndarray):
    """A subclass whose conversions misbehave."""

    def __array_finalize__(self, obj):
        self.extra = getattr(obj, "extra", None)

    def astype(self, *args, **keywords):
        raise OwnError


class Text(str):
    """A str that equals nothing and everything."""

    def __eq__(self, other):
        return True

    def __hash__(self):
        return 0


def endless():
    """Return a list that contains itself."""
    a = []
    a.append(a)
    return a


def misaligned(shape):
    n = int(np.prod(shape))
    return np.zeros(n * 4 + 1, np.uint8)[1:].view(f32).reshape(shape)


ARRAYS = [
    lambda: np.zeros((2, 4), f32),
    lambda: np.full((2, 4), np.nan, f32),
    lambda: np.zeros(4, f32),
    lambda: np.zeros((3, 2, 4), f32),
    lambda: np.zeros((2, 3), f32),
    lambda: np.zeros((1, 2, 3), f32),
    lambda: np.zeros((), f32),
    lambda: np.zeros((0, 4), f32),
    lambda: np.zeros((2, 0), f32),
    lambda: np.zeros((1,) * 32, f32),
    lambda: np.zeros((4, 2), f32).T,
    lambda: np.zeros((4, 8), f32)[::-2, ::2],
    lambda: np.broadcast_to(f32(1), (2, 4)),
    lambda: np.zeros((2, 4), ">f4"),
    lambda: misaligned((2, 4)),
    lambda: np.zeros((2, 4), np.float16),
    lambda: np.zeros((2, 4), np.longdouble),
    lambda: np.zeros((2, 4), np.int8),
    lambda: np.full((2, 4), 2**63, np.uint64),
    lambda: np.zeros((2, 4), complex),
    lambda: np.zeros((2, 4), object),
    lambda: np.array(["a", "b"]),
    lambda: np.zeros(2, "M8[s]"),
    lambda: np.zeros(2, [("a", f32), ("b", f32)]),
    lambda: np.ma.masked_array(np.zeros((2, 4), f32), True),
    lambda: np.zeros((2, 4), f32).view(Sub),
    lambda: np.frombuffer(bytes(32), f32).reshape(2, 4),
]


OTHERS = [
    lambda: None,
    lambda: True,
    lambda: 0,
    lambda: 1,
    lambda: 3,
    lambda: -1,
    lambda: 2**50,
    lambda: 2**62,
    lambda: 2**63,
    lambda: -(2**63) - 1,
    lambda: 10**40,
    lambda: 0.5,
    lambda: float("nan"),
    lambda: float("inf"),
    lambda: 1j,
    lambda: "",
    lambda: "qrnn",
    lambda: "fbgemm",
    lambda: "scalar",
    lambda: "tanh",
    lambda: "weight_ih",
    lambda: "a\0b",
    lambda: "\ud800",
    lambda: Text("relu"),
    lambda: b"tanh",
    list,
    lambda: [[1, 2], [3]],
    lambda: [[1.0, 2, 3, 4], [5, 6, 7, 8]],
    lambda: endless(),
    lambda: (),
    lambda: (np.zeros((2, 3), f32), np.zeros((2, 3), f32)),
    lambda: [np.zeros((1, 2, 3), f32), Raises()],
    lambda: (np.zeros((3, 4), np.int8), np.ones((), f32), None),
    lambda: (np.zeros((3, 4), f32), None, np.zeros(3, f32)),
    dict,
    lambda: {"weight": {}, "bias": {}},
    lambda: {"": None, nn.RNNCell: None, 3: 4},
    lambda: {1, 2},
    lambda: iter([1, 2]),
    lambda: (x for x in [np.zeros(4, f32)]),
    lambda: object(),
    lambda: Raises(),
    lambda: Gives(None),
    lambda: Gives(3),
    lambda: Gives(np.zeros((2, 4), f32)),
    lambda: Gives(np.zeros((2, 4), object)),
    lambda: Capsule(),
    lambda: Frees([np.zeros((2, 4), f32)]),
    lambda: memoryview(bytes(32)).cast("f", (2, 4)),
    lambda: bytearray(8),
    lambda: array.array("f", [1, 2, 3, 4]),
    lambda: (ctypes.c_float * 4)(),
    lambda: range(4),
    lambda: slice(None),
    lambda: int,
    lambda: np.float32,
    lambda: len,
    lambda: qrnn.qint8,
    lambda: qz.default_dynamic_qconfig,
    lambda: qz.MinMaxObserver,
    lambda: nn.RNNCell(4, 3),
    lambda: qd.LSTMCell(4, 3),
    lambda: nn.GRU(4, 3),
    lambda: nn.Sequential(nn.Linear(4, 3)),
    lambda: _core.Module(),
    lambda: _core.Module,
]


objects = st.sampled_from(ARRAYS + OTHERS).map(lambda make: make())


mostly_arrays = st.one_of(st.sampled_from(ARRAYS).map(lambda make: make()), objects)
