"""The caller's float settings: flush-to-zero and rounding modes."""

from __future__ import annotations

import contextlib
import ctypes
import ctypes.util
import functools
import platform
import sys
from typing import ClassVar

import pytest


class _Environment:
    """Reads and sets the control word of the floating-point unit by the C library's fenv."""

    # machine: bytes of fenv_t, offset of the control word, flush-to-zero bits, rounding bits by name
    LAYOUTS: ClassVar = {
        "x86_64": (32, 28, 0x8040, {"nearest": 0, "down": 0x2000, "up": 0x4000, "zero": 0x6000}),
        "aarch64": (8, 0, 1 << 24, {"nearest": 0, "up": 1 << 22, "down": 2 << 22, "zero": 3 << 22}),
    }

    def __init__(self):
        size, offset, self.flush, self.rounding = self.LAYOUTS[platform.machine()]
        self.lib = ctypes.CDLL(ctypes.util.find_library("m") or "libm.so.6")
        self.buffer = ctypes.create_string_buffer(size)
        self.word = ctypes.c_uint32.from_buffer(self.buffer, offset)
        self.all_rounding = self.rounding["zero"]

    def get(self):
        self.lib.fegetenv(self.buffer)
        return self.word.value

    def set(self, value):
        self.lib.fegetenv(self.buffer)
        self.word.value = value
        self.lib.fesetenv(self.buffer)


@functools.cache
def _environment():
    return _Environment()  # made once, because finding the library takes a while


@contextlib.contextmanager
def float_environment(*, flush=False, rounding="nearest"):
    """Run a block as a caller who has set flush-to-zero or another rounding mode.

    The block must leave the settings as it found them; that is checked too.
    """
    if sys.platform != "linux" or platform.machine() not in _Environment.LAYOUTS:
        pytest.skip(f"NO WAY KNOWN to set the float environment on {sys.platform} {platform.machine()}")
    env = _environment()
    before = env.get()
    status = 0x3F if platform.machine() == "x86_64" else 0  # sticky exception flags, not settings
    wanted = (before & ~(env.flush | env.all_rounding)) | env.rounding[rounding] | (env.flush if flush else 0)
    env.set(wanted)
    try:
        yield
        after = env.get()
    finally:
        env.set(before)
    assert after & ~status == wanted & ~status, f"settings were changed: {wanted:#x} before, {after:#x} after"
