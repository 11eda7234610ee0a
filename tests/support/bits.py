"""Functions that compare float32 values bit for bit."""

from __future__ import annotations

import numpy as np
import pytest

f32 = np.float32


def bits(a):
    """The bit patterns of a float32 array."""
    a = np.ascontiguousarray(a)
    assert a.dtype == f32, a.dtype
    return a.view(np.uint32)


def same_bits(got, want):
    """Whether two float32 arrays agree in shape and in every bit."""
    return np.shape(got) == np.shape(want) and bool(np.array_equal(bits(got), bits(want)))


def assert_same_bits(got, want, what=""):
    got, want = np.asarray(got), np.asarray(want)
    assert got.shape == want.shape, f"{what}: shape {got.shape}, expected {want.shape}"
    wrong = np.flatnonzero(bits(got).ravel() != bits(want).ravel())
    if len(wrong):
        i = wrong[0]
        g, w = got.ravel()[i], want.ravel()[i]
        pytest.fail(
            f"{what}: {len(wrong)} of {got.size} elements differ; element {i} is {g!r} "
            f"({bits(got).ravel()[i]:08x}), expected {w!r} ({bits(want).ravel()[i]:08x})"
        )


def leaves(result):
    """The arrays of a result in order."""
    return [leaf for part in result for leaf in leaves(part)] if isinstance(result, tuple) else [result]


def assert_same_results(got, want, what=""):
    for g, w in zip(leaves(got), leaves(want), strict=True):
        assert_same_bits(g, w, what)


def ulps(a, b):
    """Return the distance of float32 values in units of the last place: the steps from one float to the other."""
    lines = []
    for v in (a, b):
        i = bits(v).astype(np.int64)
        lines.append(np.where(i >> 31, -(i & 0x7FFFFFFF), i))
    return np.abs(lines[0] - lines[1])


def step_ulps(v, steps):
    """The float32 values `steps` units of the last place away from v (away from zero for positive)."""
    return (np.asarray(v, f32).view(np.int32) + np.asarray(steps, np.int32)).view(f32)


def hexes(text, shape):
    """Make a float32 array from hexadecimal bit patterns."""
    return np.array([int(word, 16) for word in text.split()], np.uint32).view(f32).reshape(shape)
