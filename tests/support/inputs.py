"""Sizes and inputs that test the edges of the kernels."""

from __future__ import annotations

import numpy as np

from support import reference as ref
from support.bits import step_ulps

f32 = np.float32


# Batches, inputs and rows around every tile size of the kernels, and primes.
SIZES = (
    0,
    1,
    2,
    3,
    4,
    5,
    7,
    8,
    13,
    15,
    16,
    17,
    23,
    31,
    32,
    33,
    47,
    48,
    49,
    61,
    63,
    64,
    65,
    97,
    127,
    128,
    129,
)


# (batch, inputs, hidden): each size along each axis with odd partners, then all three together
SHAPES = sorted(
    {(3, n, 17) for n in SIZES}
    | {(2, 37, n) for n in SIZES if n}
    | {(n, 19, 33) for n in SIZES}
    | {(5, 251, 131), (1, 512, 64), (70, 20, 16), (65, 100, 48), (129, 7, 5), (4, 300, 257), (7, 64, 128)}
)


def random_rows(rng, rows, n, scale=1.0, kind=0):
    """Make a batch of one of seven kinds: zero, constant, positive, negative, and three kinds of general rows."""
    v = (rng.standard_normal((rows, n)) * scale).astype(f32)
    kind %= 7
    if kind == 1:
        v[:] = 0
    elif kind == 2:
        v[:] = f32(scale)
    elif kind == 3:
        v = np.abs(v)
    elif kind == 4:
        v = -np.abs(v)
    return v


def ties(rng, rows, n, qmax):
    """Make a batch of elements within 2 ulp of (k + 1/2 - zp) * scale, and of the two ends of the range."""
    low = f32(0) if rng.random() < 0.2 else f32(-(10.0 ** rng.uniform(-6, 5)) * rng.random())
    high = f32(10.0 ** rng.uniform(-6, 5))
    scale, zero_point = ref.choose_qparams(low, high, qmax)
    k = rng.integers(0, qmax, (rows, n))
    v = step_ulps(((k + 0.5 - zero_point) * scale).astype(f32), rng.integers(-2, 3, (rows, n)))
    v = np.clip(v, low, high)
    ends = rng.choice(v.size, min(2, v.size), replace=False)
    v.flat[ends[-1]] = low
    v.flat[ends[0]] = high
    return v


def random_lengths(rng, steps, batch, least=1):
    """A length for each row of a batch, from `least` to `steps`."""
    return rng.integers(least, steps + 1, batch).tolist()
