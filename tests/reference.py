"""The equations of qrnn in NumPy, to be read as documentation.

Everything here is exact: a float32 step is one float32 operation, a fused multiply-add rounds once,
integer products are exact. The C core has to return the same bits (``tests/test_engine_qrnn.py``,
``tests/test_family_engine_qrnn.py``), and so do PyTorch's products for the engines named after its own
(``tests/test_torch_parity.py``, ``tests/test_family_torch_parity.py``). Layers, directions and lengths
are in ``reference_sequence.py``.

The names follow the equations::

    v       one batch of x or of h, float32 [B, n]
    q       its codes, uint8 [B, n]; v is about (q - zp) * s
    s, zp   scale and zero point, one a row: [B]
    w, sw   weight codes, int8 [rows, n], and their scales, float32 [rows]; W is about w * sw
    acc     sum over n of (q - zp) * w, int32 [B, rows]
    y       acc * s * sw + bias, float32 [B, rows]
    pre     y of x + y of h, the pre-activation
    y_ih    W_ih x + b_ih and W_hh h + b_hh, float32 [B, gates * hidden_size]; y_ih_r is the part of
    y_hh    gate r
"""

from __future__ import annotations

import decimal
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

f32 = np.float32
FLT_MIN = f32(2.0**-126)  # the smallest normal float32
NAN = np.array(0x7FC00000, np.uint32).view(f32)  # the one NaN that qrnn writes

ENGINES = ("qrnn", "fbgemm", "x86", "qnnpack", "onednn")
TORCH_ENGINES = ENGINES[1:]


# ---------------------------------------------------------------------------------------------------
# float32 arithmetic that NumPy lacks
# ---------------------------------------------------------------------------------------------------
def fma(a, b, c):
    """Round a * b + c once to float32.

    A product of two float32 has at most 48 bits, so float64 holds it exactly. The sum may need more than
    the 53 bits of float64, and rounding it twice (to float64, then to float32) can go wrong at ties. So
    the sum is rounded to odd: where its float64 value is inexact, the neighbour with an odd last bit is
    taken. That value is no tie of float32 and lies on the right side of every tie, so the final
    rounding is the only one that counts.

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

    float64 decides, unless its value is so near the middle of two float32 that its own error matters;
    those few are computed with 60 digits.
    """
    x = np.asarray(x, f32)
    with np.errstate(all="ignore"):
        wide = np.tanh(x.astype(np.float64))
        slack = np.abs(wide) * 2.0**-48  # 16 units in the last place of float64, at least
        doubtful = ((wide - slack).astype(f32) != (wide + slack).astype(f32)) & np.isfinite(x)
        y = np.where(np.isnan(x), NAN, wide.astype(f32))
    if doubtful.any():
        y[doubtful] = [_tanh_decimal(v) for v in x[doubtful]]
    return y


def _tanh_decimal(x):
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


ROUNDER = f32(1.5 * 2**23)  # adding it rounds to an integer, which stands in the low bits then
LOG2_E, LN2, LN2_HIGH, LN2_LOW = _constants("0x1.715476p+0 0x1.62e43p-1 0x1.62e4p-1 0x1.7f7d1cp-20")
COTH = _constants("0x1p+1 0x1.555452p-3 -0x1.68f38ep-9")


def _pow2(k):
    """2 to the integer in the low bits of k, which the exponent's bias was added to."""
    return (k.view(np.uint32) << np.uint32(23)).view(f32)


def _coth(w):
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
        held = np.fmin(np.abs(x), f32(10))  # a NaN is dealt with at the end
        bias = ROUNDER + f32(126)
        k = fma(held, f32(2) * LOG2_E, f32(-61 / 256)) + bias
        n, r = k - bias, _pow2(k) - half
        w = fma(-n, LN2, held + held)
        a = _coth(w)
        num = fma(r, a + w, w)
        return np.where(np.isnan(x), NAN, np.copysign(num / (num + (a - w)), x))


def sigmoid_fast(x):
    """1 / (1 + e^-x) = c M / ((c + S) M - 2 w S) with M = a + w, c = 2^-64, S = c 2^n, w = x + n ln2.

    c e^-x = S (a - w) / (a + w). Twice what rounding c + S lost, near M times it, is added to - 2 w S.
    """
    x = np.asarray(x, f32)
    c = f32(2.0**-64)
    with np.errstate(all="ignore"):
        held = np.fmax(np.fmin(x, f32(20)), f32(-105))
        bias = ROUNDER + f32(127 - 64)
        k = fma(held, -LOG2_E, bias)
        n, s = k - bias, _pow2(k)
        w = fma(n, LN2_LOW, fma(n, LN2_HIGH, held))
        m = _coth(w) + w
        total = c + s
        lost = c - (total - s)
        rest = fma(-s, w + w, lost + lost)
        return np.where(np.isnan(x), NAN, (c * m) / fma(total, m, rest))


# ---------------------------------------------------------------------------------------------------
# Weights: float32 matrix -> int8 codes and scales
# ---------------------------------------------------------------------------------------------------
class Weight(NamedTuple):
    """Codes and scales of a matrix: scale of shape () is per tensor, of shape (rows,) per channel."""

    codes: np.ndarray
    scale: np.ndarray

    def dequantize(self):
        return self.codes.astype(f32) * np.reshape(self.scale, (-1, 1)).astype(f32)

    def row_scale(self):
        """One scale a row, as the kernels see it."""
        return np.broadcast_to(self.scale, len(self.codes)).astype(f32)


def weight_qrnn(w):
    """Rule of engine qrnn, per output row: the largest absolute weight of the row becomes +-127."""
    w = np.asarray(w, f32)
    codes = np.zeros(w.shape, np.int8)
    scale = np.ones(len(w), f32)
    for row in range(len(w)):
        m = np.max(np.abs(w[row]), initial=f32(0))
        sw = m / f32(127)
        if sw >= FLT_MIN:
            scale[row] = sw
            codes[row] = np.clip(np.rint(w[row] / sw), -127, 127).astype(np.int8)
    return Weight(codes, scale)


def weight_torch(w, per_channel, quant_min=-128, quant_max=127, eps=2.0**-23):
    """Rule of PyTorch's MinMaxObserver and PerChannelMinMaxObserver, symmetric int8."""
    w = np.asarray(w, f32)
    axis = 1 if per_channel else None
    low = np.minimum(np.min(w, axis, initial=np.inf), f32(0))
    high = np.maximum(np.max(w, axis, initial=-np.inf), f32(0))
    m = np.maximum(-low, high).astype(f32)
    scale = np.maximum(m / f32((quant_max - quant_min) / 2), f32(eps))
    inv = f32(1) / scale
    codes = np.clip(np.rint(w * (inv[:, None] if per_channel else inv)), quant_min, quant_max)
    return Weight(codes.astype(np.int8), np.asarray(scale, f32))


# ---------------------------------------------------------------------------------------------------
# Activations: float32 batch -> uint8 codes, scale and zero point, by each engine
# ---------------------------------------------------------------------------------------------------
class Activation(NamedTuple):
    """Codes of a batch. `step` is what de-quantization multiplies with: s, or for onednn a."""

    codes: np.ndarray
    scale: np.ndarray
    zero_point: np.ndarray
    step: np.ndarray

    @property
    def finite(self):
        return np.isfinite(self.scale)


def activation_qrnn(v):
    """Engine qrnn: every row by itself, 8 bits, float32 throughout. A row that is not finite: s is NaN."""
    v = np.asarray(v, f32)
    c = f32(1) / f32(255)
    with np.errstate(all="ignore"):
        lo = np.min(v, 1, initial=f32(0), keepdims=True)
        hi = np.max(v, 1, initial=f32(0), keepdims=True)
        s = hi * c - lo * c
        inv = f32(1) / s
        zp = np.clip(np.rint(-lo * inv), 0, 255)
        q = np.clip(np.rint(v * inv) + zp, 0, 255)  # a sum of integers
    finite = np.isfinite(v).all(1, keepdims=True)
    coded = finite & (s >= FLT_MIN)
    scale = np.where(coded, s, np.where(finite, f32(1), NAN))[:, 0]
    codes, zero_point = (np.where(coded, n, 0) for n in (q, zp))
    return Activation(codes.astype(np.uint8), scale, zero_point[:, 0].astype(np.int32), scale)


def choose_qparams(low, high, qmax):
    """PyTorch's scale (float64) and zero point for the range low..high and codes 0..qmax."""
    low, high = f32(min(low, 0)), f32(max(high, 0))
    small = f32(6.1e-5)
    scale = (float(high) - float(low)) / qmax
    with np.errstate(all="ignore"):
        if f32(scale) == 0 or np.isinf(f32(1) / f32(scale)):
            scale = 0.1
        if scale < float(small):
            original, scale = f32(scale), float(small)
            if low == 0:
                high = small * f32(qmax)
            elif high == 0:
                low = -small * f32(qmax)
            else:
                low, high = low * (small / original), high * (small / original)
    from_low, from_high = 0 - float(low) / scale, qmax - float(high) / scale
    error_low, error_high = 0 - abs(float(low) / scale), qmax - abs(float(high) / scale)
    zero_point = from_low if error_low < error_high else from_high
    return scale, int(np.clip(np.rint(zero_point), 0, qmax))


def activation_torch(engine, v):
    """Torch engines: one scale for the whole batch. Their codes differ only in how they are rounded."""
    v = np.asarray(v, f32)
    if not np.isfinite(v).all():
        raise ValueError("a torch engine has no scale for values that are not finite")
    qmax = 255 if engine == "qnnpack" else 127
    scale, zero_point = choose_qparams(np.min(v, initial=f32(0)), np.max(v, initial=f32(0)), qmax)
    step = f32(scale)
    if engine == "onednn":
        step = f32(1) / f32(1.0 / scale)  # a
        code = np.rint(v * (f32(1) / step) + f32(zero_point))  # two roundings
    else:
        code = np.rint(fma(v, f32(1) / step, f32(zero_point)))  # one rounding
    rows = len(v)
    codes = np.clip(code, 0, 255).astype(np.uint8)  # 255 for all: code 128 does occur with 7 bits
    return Activation(codes, np.full(rows, scale, f32), np.full(rows, zero_point, np.int32), np.full(rows, step, f32))


def activation(engine, v):
    """Codes, scale and zero point of a batch."""
    return activation_qrnn(v) if engine == "qrnn" else activation_torch(engine, v)


# ---------------------------------------------------------------------------------------------------
# Products
# ---------------------------------------------------------------------------------------------------
def accumulate(act, codes):
    """The exact integer product sum (q - zp) * w, int32 [B, rows]."""
    centred = act.codes.astype(np.float64) - act.zero_point[:, None]
    acc = centred @ codes.astype(np.float64).T  # integers far below 2**53: no sum is rounded
    assert np.abs(acc).max(initial=0) < 2**31
    return acc.astype(np.int32)


def dequantize(engine, acc, act, weight, bias):
    """y of the integer product acc, float32 [B, rows]; a bias of None adds nothing."""
    a = acc.astype(f32)  # exact below 2**24, to nearest even above
    step, sw = act.step[:, None], weight.row_scale()[None]
    with np.errstate(all="ignore"):
        if engine == "onednn":
            c = f32(1) / (1.0 / sw.astype(np.float64)).astype(f32)
            y = (a * step) * c
            y = y if bias is None else y + bias
        elif engine == "qnnpack":
            y = a * (sw * step) + (f32(0) if bias is None else bias)
        else:  # qrnn, fbgemm, x86
            y = a * (step * sw) if bias is None else fma(a, step * sw, bias)
    y[~act.finite] = NAN
    return y


def linear(engine, v, weight, bias):
    """Quantized linear layer: returns acc and y."""
    act = activation(engine, v)
    acc = accumulate(act, weight.codes)
    return acc, dequantize(engine, acc, act, weight, bias)


# ---------------------------------------------------------------------------------------------------
# Products of float modules
# ---------------------------------------------------------------------------------------------------
def linear_float32(v, w, bias):
    """Four interleaved partial sums by fma, combined (0+1)+(2+3), then the bias."""
    v, w = np.asarray(v, f32), np.asarray(w, f32)
    partial = np.zeros((4, len(v), len(w)), f32)
    for k in range(w.shape[1]):
        partial[k % 4] = fma(v[:, k, None], w[None, :, k], partial[k % 4])
    with np.errstate(all="ignore"):
        y = (partial[0] + partial[1]) + (partial[2] + partial[3])
        return y if bias is None else y + bias


def linear_float64(v, w, bias):
    """The exact model that errors are measured against."""
    y = np.asarray(v, np.float64) @ np.asarray(w, np.float64).T
    return y if bias is None else y + np.asarray(bias, np.float64)


def product(engine, v, weight, bias):
    """acc and y = W v + b of any engine; without codes acc is None and the weight a float array."""
    if engine == "float32":
        return None, linear_float32(v, weight, bias)
    if engine == "float64":
        return None, linear_float64(v, weight, bias)
    return linear(engine, v, weight, bias)


# ---------------------------------------------------------------------------------------------------
# The cells: one step of a layer in one direction
# ---------------------------------------------------------------------------------------------------
KINDS = ("rnn_tanh", "rnn_relu", "lstm", "gru", "gru_reset_before")
GATES = {"rnn_tanh": 1, "rnn_relu": 1, "lstm": 4, "gru": 3, "gru_reset_before": 3}


class Functions(NamedTuple):
    """What an engine finishes its gates with."""

    tanh: Callable
    sigmoid: Callable
    fma: Callable


FUNCTIONS = {
    "float64": Functions(np.tanh, lambda x: 1 / (1 + np.exp(-x)), lambda a, b, c: a * b + c),
    "float32": Functions(tanh_fast, sigmoid_fast, fma),
    "qrnn": Functions(tanh_fast, sigmoid_fast, fma),
    **dict.fromkeys(TORCH_ENGINES, Functions(tanh, sigmoid_fast, fma)),
}


def rnn(unit, y_ih, h):
    """Elman's cell."""
    pre = y_ih + unit.product(h, "hh")[1]
    return (relu(pre) if unit.kind == "rnn_relu" else unit.functions.tanh(pre),)


def lstm(unit, y_ih, h, c):
    """Input, forget, cell and output gate. A projection multiplies what leaves, and only that."""
    tanh, sigmoid, fma = unit.functions
    i, f, g, o = np.split(y_ih + unit.product(h, "hh")[1], 4, axis=1)
    c_next = fma(sigmoid(f), c, sigmoid(i) * tanh(g))
    m = sigmoid(o) * tanh(c_next)
    return m if unit.hr is None else unit.product(m, "hr")[1], c_next


def gru(unit, y_ih, h):
    """Reset and update gate; the reset gate acts after the product of h, as in PyTorch."""
    tanh, sigmoid, fma = unit.functions
    y_ih_r, y_ih_z, y_ih_n = np.split(y_ih, 3, axis=1)
    y_hh_r, y_hh_z, y_hh_n = np.split(unit.product(h, "hh")[1], 3, axis=1)
    r = sigmoid(y_ih_r + y_hh_r)
    z = sigmoid(y_ih_z + y_hh_z)
    n = tanh(fma(r, y_hh_n, y_ih_n))
    return (fma(z, h - n, n),)


def gru_reset_before(unit, y_ih, h):
    """The same with the reset gate before the product, as published first: r * h has its own codes."""
    tanh, sigmoid, fma = unit.functions
    y_ih_r, y_ih_z, y_ih_n = np.split(y_ih, 3, axis=1)
    y_hh_r, y_hh_z, _ = np.split(unit.product(h, "hh")[1], 3, axis=1)
    r = sigmoid(y_ih_r + y_hh_r)
    z = sigmoid(y_ih_z + y_hh_z)
    _, _, y_hh_n = np.split(unit.product(r * h, "hh")[1], 3, axis=1)
    n = tanh(y_ih_n + y_hh_n)
    return (fma(z, h - n, n),)


EQUATIONS = {
    "rnn_tanh": rnn,
    "rnn_relu": rnn,
    "lstm": lstm,
    "gru": gru,
    "gru_reset_before": gru_reset_before,
}


class Unit(NamedTuple):
    """Matrices and biases of a cell, or of one layer in one direction.

    ih, hh and hr are of class Weight, or arrays with engine "float32" and "float64". Gates are rows, in
    the order i f g o and r z n. Only an LSTM may have hr, the projection, which has no bias. A state is
    (h,), an LSTM's (h, c).
    """

    kind: str
    engine: str
    ih: Weight | np.ndarray
    hh: Weight | np.ndarray
    bias_ih: np.ndarray | None = None
    bias_hh: np.ndarray | None = None
    hr: Weight | np.ndarray | None = None

    @property
    def functions(self):
        return FUNCTIONS[self.engine]

    @property
    def state_sizes(self):
        """Columns of h (which a projection makes smaller), and of an LSTM's c."""
        rows, columns = (self.hh.codes if isinstance(self.hh, Weight) else self.hh).shape
        return (columns, rows // 4) if self.kind == "lstm" else (columns,)

    @property
    def dtype(self):
        return np.float64 if self.engine == "float64" else f32

    def zeros(self, batch):
        return tuple(np.zeros((batch, size), self.dtype) for size in self.state_sizes)

    def product(self, v, name):
        """acc and y of matrix `name` with its bias."""
        return product(self.engine, v, getattr(self, name), getattr(self, f"bias_{name}", None))

    def advance(self, y_ih, *state):
        """The next state from W_ih x + b_ih. Every NaN that leaves is the same."""
        with np.errstate(all="ignore"):
            return tuple(np.where(np.isnan(v), NAN, v) for v in EQUATIONS[self.kind](self, y_ih, *state))

    def step(self, x, state=None):
        """The next state from an input."""
        return self.advance(self.product(x, "ih")[1], *(self.zeros(len(x)) if state is None else state))

    def gates(self, x, state=None):
        """acc of x, acc of h, and what the last product left.

        That is y_ih + y_hh where a gate needs only their sum, y_hh where the reset gate comes between:
        all of a gru, and n of gru_reset_before, whose products are then those of r * h.
        """
        h = (self.zeros(len(x)) if state is None else state)[0]
        acc_ih, y_ih = self.product(x, "ih")
        acc_hh, y_hh = self.product(h, "hh")
        with np.errstate(all="ignore"):
            pre = y_hh if self.kind == "gru" else y_ih + y_hh
            if self.kind == "gru_reset_before":
                r, n = slice(h.shape[1]), slice(2 * h.shape[1], None)
                acc_rh, y_rh = self.product(self.functions.sigmoid(pre[:, r]) * h, "hh")
                pre[:, n] = y_rh[:, n]
                if acc_hh is not None:
                    acc_hh[:, n] = acc_rh[:, n]
        return acc_ih, acc_hh, np.where(np.isnan(pre), NAN, pre)


class Cell(NamedTuple):
    """A quantized Elman cell: the unit of kind rnn_tanh or rnn_relu."""

    engine: str
    nonlinearity: str
    ih: Weight
    hh: Weight
    bias_ih: np.ndarray | None
    bias_hh: np.ndarray | None

    def unit(self):
        return Unit(f"rnn_{self.nonlinearity}", self.engine, *self[2:])

    def gates(self, x, h=None):
        """acc of x, acc of h, pre-activation."""
        return self.unit().gates(x, None if h is None else (h,))

    def step(self, x, h=None):
        """The next hidden state."""
        return self.unit().step(x, None if h is None else (h,))[0]


def cell_float64(nonlinearity, x, h, w_ih, w_hh, b_ih=None, b_hh=None):
    """One step of the float model in float64."""
    pre = linear_float64(x, w_ih, b_ih) + linear_float64(h, w_hh, b_hh)
    return np.tanh(pre) if nonlinearity == "tanh" else np.maximum(pre, 0)
