"""float32 arithmetic that NumPy lacks, and the functions of the gates, operation by operation as in the core."""

from __future__ import annotations

import decimal

import numpy as np

f32 = np.float32
FLT_MIN = f32(2.0**-126)  # the smallest normal float32
NAN = np.array(0x7FC00000, np.uint32).view(f32)  # the one NaN that qrnn writes


def fma(a, b, c):
    """Round a * b + c once to float32.

    A product of two float32 has at most 48 bits, so float64 holds it exactly. The sum may need more than
    the 53 bits of float64, and rounding it twice (to float64, then to float32) can go wrong at ties. So
    the sum is rounded to odd: if its float64 value is inexact, the neighbor with an odd last bit is
    taken. That value is no tie of float32 and lies on the right side of every tie, so the final
    rounding gives the correct result.

    >>> a = 1 + 2.0**-12                          # a * a lies in the middle between two float32
    >>> float(f32(a * a + 2.0**-60)), float(fma(a, a, 2.0**-60))
    (1.00048828125, 1.0004884004592896)
    """
    a, b, c = (np.asarray(v, f32) for v in (a, b, c))
    with np.errstate(all="ignore"):
        p = a.astype(np.float64) * b.astype(np.float64)  # exact
        z = np.broadcast_to(c.astype(np.float64), np.broadcast_shapes(p.shape, c.shape))
        total = p + z
        part = total - p  # Knuth's two-sum: total + error == p + z exactly
        error = (p - (total - part)) + (z - part)
        even = (total.view(np.int64) & 1) == 0
        towards = np.where(error > 0, np.inf, -np.inf)
        odd = np.where(np.isfinite(total) & (error != 0) & even, np.nextafter(total, towards), total)
        return odd.astype(f32)


def tanh(x):
    """Tanh of float32, correctly rounded.

    The float64 value is rounded, unless it is so near the middle of two float32 that its own error matters;
    those few values are computed with 60 digits.
    """
    x = np.asarray(x, f32)
    with np.errstate(all="ignore"):
        wide = np.tanh(x.astype(np.float64))
        slack = np.abs(wide) * 2.0**-48  # at least 16 units in the last place of float64
        doubtful = ((wide - slack).astype(f32) != (wide + slack).astype(f32)) & np.isfinite(x)
        y = np.where(np.isnan(x), NAN, wide.astype(f32))
    if doubtful.any():
        y[doubtful] = [tanh_decimal(v) for v in x[doubtful]]
    return y


def tanh_decimal(x):
    """One correctly rounded tanh, by 60 decimal digits."""
    with decimal.localcontext() as context:
        context.prec = 60
        d = decimal.Decimal(float(x))
        e = (2 * d).exp()
        exact = (e - 1) / (e + 1) if abs(d) > decimal.Decimal("1e-8") else d - d**3 / 3
        near = f32(float(exact))
        steps = np.nextafter(near, f32(-np.inf)), near, np.nextafter(near, f32(np.inf))
        return min(steps, key=lambda v: abs(decimal.Decimal(float(v)) - exact))


def relu(x):
    """The larger of x and 0. As in PyTorch -0 stays -0, and a NaN a NaN."""
    x = np.asarray(x)
    return np.where(x < 0, x.dtype.type(0), x)


# ---------------------------------------------------------------------------------------------------
# tanh and sigmoid of engine qrnn and of float modules: within 2 ulp, and of fixed bits
# ---------------------------------------------------------------------------------------------------
def _constants(text):
    return [f32(float.fromhex(word)) for word in text.split()]


ROUNDER = f32(1.5 * 2**23)  # adding it rounds to an integer, which is then in the low bits
LOG2_E, LN2, LN2_HIGH, LN2_LOW = _constants("0x1.715476p+0 0x1.62e43p-1 0x1.62e4p-1 0x1.7f7d1cp-20")
COTH = _constants("0x1p+1 0x1.555452p-3 -0x1.68f38ep-9")


def pow2(k):
    """Return 2 to the integer in the low bits of k; the exponent's bias is already added to it."""
    return (k.view(np.uint32) << np.uint32(23)).view(f32)


def coth(w):
    """w coth(w/2), so that e^w = (it + w) / (it - w)."""
    z = w * w
    return fma(z, fma(z, COTH[2], COTH[1]), COTH[0])


def tanh_fast(x):
    """tanh(t / 2) = (r (a + w) + w) / (r (a + w) + w + (a - w)) with t = 2 |x| and r = (2^n - 1) / 2.

    e^t = 2^n e^w = 2^n (a + w) / (a - w) of the rest w = t - n ln2. n is the integer next to
    t log2 e - 61/256, so that it is 0 for longer.
    """
    x = np.asarray(x, f32)
    half = f32(0.5)
    with np.errstate(all="ignore"):
        held = np.fmin(np.abs(x), f32(10))  # NaN is handled at the end
        bias = ROUNDER + f32(126)
        k = fma(held, f32(2) * LOG2_E, f32(-61 / 256)) + bias
        n, r = k - bias, pow2(k) - half
        w = fma(-n, LN2, held + held)
        a = coth(w)
        num = fma(r, a + w, w)
        return np.where(np.isnan(x), NAN, np.copysign(num / (num + (a - w)), x))


def sigmoid_fast(x):
    """1 / (1 + e^-x) = c M / ((c + S) M - 2 w S) with M = a + w, c = 2^-64, S = c 2^n, w = x + n ln2.

    c e^-x = S (a - w) / (a + w). The rounding error of c + S, times 2 (about M), is added to - 2 w S.
    """
    x = np.asarray(x, f32)
    c = f32(2.0**-64)
    with np.errstate(all="ignore"):
        held = np.fmax(np.fmin(x, f32(20)), f32(-105))
        bias = ROUNDER + f32(127 - 64)
        k = fma(held, -LOG2_E, bias)
        n, s = k - bias, pow2(k)
        w = fma(n, LN2_LOW, fma(n, LN2_HIGH, held))
        m = coth(w) + w
        total = c + s
        lost = c - (total - s)
        rest = fma(-s, w + w, lost + lost)
        return np.where(np.isnan(x), NAN, (c * m) / fma(total, m, rest))
