"""The equations of qrnn in NumPy, written for readers.

Every result has fixed bits: a float32 operation and a fused multiply-add round once, and integer products are
exact. The C core has to return these bits (``tests/core``), and so do PyTorch's products for its own engines
(``tests/pytorch``). Layers and lengths are in ``reference_sequence.py``, functions in ``float32.py``.

The names follow the equations::

    v       one batch of x or of h, float32 [B, n]
    q       its codes, integers [B, n]; v is about (q - zp) * s
    s, zp   scale and zero point, one a row: [B]
    w, sw   weight codes, int8 [rows, n], and their scales, float32 [rows]; W is about w * sw
    acc     sum over n of (q - zp) * w, an integer, [B, rows]
    y       acc * s * sw + bias, float32 [B, rows]
    pre     y of x + y of h, the pre-activation
    y_ih    W_ih x + b_ih and W_hh h + b_hh, float32 [B, gates * hidden_size]; y_ih_r is the part of
    y_hh    gate r
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from support.float32 import FLT_MIN, NAN, f32, fma, relu, sigmoid_fast, tanh, tanh_fast

ROW_ENGINES = ("qrnn", "qrnn13")  # engines with a scale for each row of activations
TORCH_ENGINES = ("fbgemm", "x86", "qnnpack", "onednn")
ENGINES = ROW_ENGINES + TORCH_ENGINES


# ---------------------------------------------------------------------------------------------------
# Weights: float32 matrix -> int8 codes and scales
# ---------------------------------------------------------------------------------------------------
class Weight(NamedTuple):
    """Codes and scales of a matrix: scale of shape () is per tensor, of shape (rows,) per channel."""

    codes: np.ndarray
    scale: np.ndarray
    activations: str | None = None  # the engine that quantizes its activations, if not the unit's

    def dequantize(self):
        return self.codes.astype(f32) * np.reshape(self.scale, (-1, 1)).astype(f32)

    def row_scale(self):
        """The scales as the kernels get them, one for each row."""
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
# Activations: float32 batch -> codes, scale and zero point, by each engine
# ---------------------------------------------------------------------------------------------------
class Activation(NamedTuple):
    """Codes of a batch. De-quantization multiplies by `step`, which is s, or a for onednn."""

    codes: np.ndarray
    scale: np.ndarray
    zero_point: np.ndarray
    step: np.ndarray

    @property
    def finite(self):
        return np.isfinite(self.scale)


def activation_qrnn(v):
    """Rule of engine qrnn: a scale for every row, 8 bits, float32 throughout. A row that is not finite has s = NaN."""
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


def activation_qrnn13(v):
    """Rule of engine qrnn13: a scale for every row, symmetric, 13 bits; the zero point makes the codes positive."""
    v = np.asarray(v, f32)
    with np.errstate(all="ignore"):
        s = np.max(np.abs(v), 1, initial=f32(0), keepdims=True) * (f32(1) / f32(4095))
        q = np.clip(np.rint(v * (f32(1) / s)), -4095, 4095)
    finite = np.isfinite(v).all(1, keepdims=True)
    scale = np.where(finite & (s >= FLT_MIN), s, np.where(finite, f32(1), NAN))[:, 0]
    codes = np.where(finite & (s >= FLT_MIN), q, 0).astype(np.int16) + 4096
    return Activation(codes, scale, np.full(len(v), 4096, np.int32), scale)


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
    """Rule of PyTorch's engines: one scale for the whole batch. Their codes differ only in how they are rounded."""
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
    codes = np.clip(code, 0, 255).astype(np.uint8)  # 255 for all engines, as code 128 does occur with 7 bits
    return Activation(codes, np.full(rows, scale, f32), np.full(rows, zero_point, np.int32), np.full(rows, step, f32))


def activation(engine, v):
    """Codes, scale and zero point of a batch."""
    own = {"qrnn": activation_qrnn, "qrnn13": activation_qrnn13}
    return own[engine](v) if engine in own else activation_torch(engine, v)


# ---------------------------------------------------------------------------------------------------
# Products
# ---------------------------------------------------------------------------------------------------
def accumulate(act, codes):
    """The exact integer product sum (q - zp) * w, [B, rows]: int32, or int64 for codes of more than 8 bits."""
    centred = act.codes.astype(np.float64) - act.zero_point[:, None]
    acc = centred @ codes.astype(np.float64).T  # integers far below 2**53: no sum is rounded
    dtype = np.dtype(np.int32 if act.codes.dtype == np.uint8 else np.int64)
    assert np.abs(acc).max(initial=0) <= np.iinfo(dtype).max
    return acc.astype(dtype)


def dequantize(engine, acc, act, weight, bias):
    """Compute y from the integer product acc, float32 [B, rows]; a bias of None adds nothing."""
    a = acc.astype(f32)  # exact below 2**24, to nearest even above
    step, sw = act.step[:, None], weight.row_scale()[None]
    with np.errstate(all="ignore"):
        if engine == "onednn":
            c = f32(1) / (1.0 / sw.astype(np.float64)).astype(f32)
            y = (a * step) * c
            y = y if bias is None else y + bias
        elif engine == "qnnpack":
            y = a * (sw * step) + (f32(0) if bias is None else bias)
        else:  # qrnn, qrnn13, fbgemm, x86
            y = a * (step * sw) if bias is None else fma(a, step * sw, bias)
    y[~act.finite] = NAN
    return y


def linear(engine, v, weight, bias):
    """Quantized linear layer: returns acc and y."""
    act = activation(weight.activations or engine, v)
    acc = accumulate(act, weight.codes)
    return acc.astype(np.int32), dequantize(engine, acc, act, weight, bias)  # modulo 2**32


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
    """The product in float64, against which errors are measured."""
    y = np.asarray(v, np.float64) @ np.asarray(w, np.float64).T
    return y if bias is None else y + np.asarray(bias, np.float64)


def product(engine, v, weight, bias):
    """acc and y = W v + b of any engine; without codes acc is None and the weight a float array.

    A float matrix of a quantized engine has the product of a float32 module.
    """
    if engine == "float64":
        return None, linear_float64(v, weight, bias)
    if not isinstance(weight, Weight):
        return None, linear_float32(v, weight, bias)
    return linear(engine, v, weight, bias)


# ---------------------------------------------------------------------------------------------------
# The cells: one step of a layer in one direction
# ---------------------------------------------------------------------------------------------------
KINDS = ("rnn_tanh", "rnn_relu", "lstm", "gru", "gru_reset_before")
GATES = {"rnn_tanh": 1, "rnn_relu": 1, "lstm": 4, "gru": 3, "gru_reset_before": 3}


class Functions(NamedTuple):
    """The functions that an engine applies to its gates."""

    tanh: Callable
    sigmoid: Callable
    fma: Callable


FUNCTIONS = {
    "float64": Functions(np.tanh, lambda x: 1 / (1 + np.exp(-x)), lambda a, b, c: a * b + c),
    "float32": Functions(tanh_fast, sigmoid_fast, fma),
    **dict.fromkeys(ROW_ENGINES, Functions(tanh_fast, sigmoid_fast, fma)),
    **dict.fromkeys(TORCH_ENGINES, Functions(tanh, sigmoid_fast, fma)),
}


def rnn(unit, y_ih, h):
    """Elman's cell."""
    pre = y_ih + unit.product(h, "hh")[1]
    return (relu(pre) if unit.kind == "rnn_relu" else unit.functions.tanh(pre),)


def lstm(unit, y_ih, h, c):
    """Input, forget, cell and output gate. A projection multiplies only the new h."""
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
    """The GRU as first published, with the reset gate before the product: r * h has its own codes."""
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
        """The columns of h (fewer with a projection) and, for an LSTM, of c."""
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
        """The next state from W_ih x + b_ih. Every NaN in it has the same bits."""
        with np.errstate(all="ignore"):
            return tuple(np.where(np.isnan(v), NAN, v) for v in EQUATIONS[self.kind](self, y_ih, *state))

    def step(self, x, state=None):
        """The next state from an input."""
        return self.advance(self.product(x, "ih")[1], *(self.zeros(len(x)) if state is None else state))

    def gates(self, x, state=None):
        """acc of x, acc of h, and the pre-activations.

        These are y_ih + y_hh if a gate needs only their sum, and y_hh if the reset gate is applied between them:
        in all gates of a gru, and in n of gru_reset_before, where the products are those of r * h.
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
