"""Steps of cells whose weights have formats that Python's modules cannot name: the core by ctypes."""

from __future__ import annotations

import ctypes
import os
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from support import ROOT

f32 = np.float32


class Matrix(NamedTuple):
    """A matrix as `qrnn_weight` describes it: float values, or codes with a scale an output row."""

    values: np.ndarray | None = None
    codes: np.ndarray | None = None
    scale: np.ndarray | None = None
    bias: np.ndarray | None = None
    format: str | None = None
    activations: str | None = None


class _Arrays(ctypes.Structure):
    _fields_ = [(name, ctypes.c_void_p) for name in ("values", "codes", "scale", "bias")] + [
        (name, ctypes.c_char_p) for name in ("format", "activations")
    ]


@cache
def _library():
    """The objects that the extension of this copy was linked from, without those of Python, with step.c."""
    objects = [path for name in ("core", "kernels") for path in ROOT.glob(f"build/temp*/csrc/{name}/*.o")]
    assert objects, "the extension was not built here"
    path = Path(tempfile.mkdtemp()) / "core.so"
    command = [os.environ.get("CC", "cc"), "-std=c11", "-fPIC", "-shared", f"-I{ROOT / 'csrc/core'}"]
    source = Path(__file__).with_name("step.c")
    subprocess.run([*command, source, *objects, "-lm", "-lpthread", "-o", path], check=True)
    return ctypes.CDLL(str(path))


def step(kind, ih, hh, x, h, isa):
    """h' of a cell, and the float values of `ih` as they are read back; or the status of a refusal."""
    kept = []

    def arrays(matrix):
        pointers = []
        for array in matrix[:4]:
            kept.append(None if array is None else np.ascontiguousarray(array))
            pointers.append(None if array is None else kept[-1].ctypes.data)
        return _Arrays(*pointers, *(None if text is None else text.encode() for text in matrix[4:]))

    out, read = np.full(h.shape, np.nan, f32), np.zeros_like(ih.codes if ih.values is None else ih.values, f32)
    sizes = (ctypes.c_size_t * 3)(len(x), x.shape[1], h.shape[1])
    pointers = [ctypes.c_void_p(array.ctypes.data) for array in (x, h, out, read)]
    status = _library().errand_step(
        kind.encode(), isa.encode(), sizes, (_Arrays * 2)(arrays(ih), arrays(hh)), *pointers
    )
    return (out, read) if status == 0 else status
