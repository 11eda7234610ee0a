"""Options of recurrent cells in NumPy, over the equations of ``reference.py``: float64, and the bits of the core.

::

    a       pre of `reference.py`, normalized for each gate if asked: gain * (pre - mean) / root + shift
    s       a, plus the peepholes' share of c: fma(p, c, a); for gate o, c is the next one
    gate    f(clip(s)), f one of `activation`
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from support import reference as ref
from support.float32 import LN2, LN2_HIGH, LN2_LOW, LOG2_E, NAN, ROUNDER, coth, f32, fma, pow2

# ---- functions in float32, operation by operation as poly.h has them


def exp_fast(x):
    """Compute e^x for x <= 0, from 2^64 e^x."""
    x = np.asarray(x, f32)
    with np.errstate(all="ignore"):
        held = np.fmax(np.fmin(x, f32(0)), f32(-105))
        bias = ROUNDER + f32(127 + 64)
        k = fma(held, LOG2_E, bias)
        n = k - bias
        w = fma(-n, LN2_LOW, fma(-n, LN2_HIGH, held))
        a = coth(w)
        return np.where(np.isnan(x), NAN, (pow2(k) * ((a + w) / (a - w))) * f32(2.0**-64))


def expm1_fast(x):
    """Compute e^x - 1 for x <= 0."""
    x = np.asarray(x, f32)
    with np.errstate(all="ignore"):
        t = np.fmax(np.fmin(x, f32(0)), f32(-20))
        bias = ROUNDER + f32(126)
        k = fma(t, LOG2_E, f32(61 / 256)) + bias
        n, r = k - bias, pow2(k) - f32(0.5)
        w = fma(-n, LN2, t)
        a = coth(w)
        num = fma(r, a + w, w)
        return np.where(np.isnan(x), NAN, (num + num) / (a - w))


def softplus_fast(x):
    """max(x, 0) + log(1 + e^-|x|)."""
    x = np.asarray(x, f32)
    u = exp_fast(f32(0) - np.abs(x))
    with np.errstate(all="ignore"):
        v = u / fma(u, f32(0.5), f32(1))
        z = (v * v) * f32(0.25)
        p = f32(1) / f32(15)
        for odd in range(13, 2, -2):
            p = fma(p, z, f32(1) / f32(odd))
        return np.where(np.isnan(x), NAN, np.where(x > 0, x, f32(0)) + fma(v * z, p, v))


def activation(name, alpha, beta, wide):
    """The function of that name: in float64 if `wide`, otherwise with the bits of the core."""
    a, b = (float(alpha), float(beta)) if wide else (f32(alpha), f32(beta))
    one, zero = (1.0, 0.0) if wide else (f32(1), f32(0))
    madd = (lambda x, y, z: x * y + z) if wide else fma
    tanh, sigmoid = ref.FUNCTIONS["float64" if wide else "float32"][:2]
    expm1 = np.expm1 if wide else expm1_fast
    softplus = (lambda x: np.logaddexp(0, x)) if wide else softplus_fast
    return {
        "tanh": tanh,
        "sigmoid": sigmoid,
        "relu": lambda x: np.where(x < 0, zero, x),
        "hard_sigmoid": lambda x: np.clip(madd(a, x, b), zero, one),
        "linear": lambda x: x,
        "softsign": lambda x: x / (one + np.abs(x)),
        "elu": lambda x: np.where(x < 0, a * expm1(x), x),
        "leaky_relu": lambda x: np.where(x < 0, a * x, x),
        "scaled_tanh": lambda x: a * tanh(b * x),
        "softplus": softplus,
        "affine": lambda x: madd(a, x, b),
        "thresholded_relu": lambda x: np.where(x > a, x, np.where(np.isnan(x), x, zero)),
    }[name]


# ---- cells


class Varied(NamedTuple):
    """A unit with options, for the sequences of `reference_sequence.py`.

    `activations` is f, or f and g, or f, g and h, each (name, alpha, beta). A limit of None limits nothing.
    """

    unit: ref.Unit
    activations: tuple
    clip: float | None = None
    cell_clip: float | None = None
    proj_clip: float | None = None
    peepholes: np.ndarray | None = None  # [3, hidden], of i, f, o
    input_forget: bool = False
    norm: tuple | None = None  # gain, shift: [gates, hidden]; epsilon

    @property
    def wide(self):
        return self.unit.engine == "float64"

    @property
    def dtype(self):
        return self.unit.dtype

    def zeros(self, batch):
        return self.unit.zeros(batch)

    def product(self, v, name):
        return self.unit.product(v, name)

    def fma(self, a, b, c):
        return a * b + c if self.wide else fma(a, b, c)

    def act(self, place, s):
        """Apply the activation of a place to clipped s."""
        return activation(*self.activations[place], self.wide)(limited(s, self.clip, self.dtype))

    def advance(self, y_ih, *state):
        """The next state from W_ih x + b_ih."""
        family = self.unit.kind.split("_")[0]
        with np.errstate(all="ignore"):
            after = {"rnn": self._rnn, "lstm": self._lstm, "gru": self._gru}[family](y_ih, *state)
            return tuple(np.where(np.isnan(v), NAN, v) for v in after)

    def step(self, x, state=None):
        return self.advance(self.product(x, "ih")[1], *(self.zeros(len(x)) if state is None else state))

    def _rnn(self, y_ih, h):
        return (self.act(0, y_ih + self.product(h, "hh")[1]),)

    def _lstm(self, y_ih, h, c):
        gates = np.split(y_ih + self.product(h, "hh")[1], 4, axis=1)
        if self.norm is not None:
            gates = [self._normalized(a, gate) for gate, a in enumerate(gates)]
        a_i, a_f, a_g, a_o = gates
        seen = (
            (lambda row, c, a: a) if self.peepholes is None else lambda row, c, a: self.fma(self.peepholes[row], c, a)
        )
        i = self.act(0, seen(0, c, a_i))
        f = 1 - i if self.input_forget else self.act(0, seen(1, c, a_f))
        c = limited(self.fma(f, c, i * self.act(1, a_g)), self.cell_clip, self.dtype)
        h = self.act(0, seen(2, c, a_o)) * activation(*self.activations[2], self.wide)(c)
        return h if self.unit.hr is None else limited(self.product(h, "hr")[1], self.proj_clip, self.dtype), c

    def _gru(self, y_ih, h):
        y_r, y_z, y_n = np.split(y_ih, 3, axis=1)
        h_r, h_z, h_n = np.split(self.product(h, "hh")[1], 3, axis=1)
        r, z = self.act(0, h_r + y_r), self.act(0, h_z + y_z)
        if self.unit.kind == "gru":
            n = self.act(1, self.fma(r, h_n, y_n))
        else:
            n = self.act(1, np.split(self.product(r * h, "hh")[1], 3, axis=1)[2] + y_n)
        return (self.fma(z, h - n, n),)

    def _normalized(self, a, gate):
        gain, shift, epsilon = self.norm
        if self.wide:
            return (
                gain[gate] * (a - a.mean(1, keepdims=True)) / np.sqrt(a.var(1, keepdims=True) + epsilon) + shift[gate]
            )
        units = f32(a.shape[1])
        mean = in_order(a) / units
        off = a - mean
        root = f32(1) / np.sqrt(in_order(off * off) / units + f32(epsilon))
        return fma(off * root, gain[gate], shift[gate])


def limited(v, most, dtype):
    """Clip `v` to -most..most."""
    if most is None:
        return v
    most = dtype(f32(most))
    return np.where(v > most, most, np.where(v < -most, -most, v))


def in_order(v):
    """Sum rows in the core's order: 16 partial sums, then halves added pairwise."""
    padded = np.zeros((len(v), -(-v.shape[1] // 16) * 16), f32)
    padded[:, : v.shape[1]] = v
    sums = np.zeros((len(v), 16), f32)
    for panel in range(padded.shape[1] // 16):
        sums += padded[:, panel * 16 : panel * 16 + 16]
    while sums.shape[1] > 1:
        half = sums.shape[1] // 2
        sums = sums[:, :half] + sums[:, half:]
    return sums


# ---- from layers


def units_of(layer, engine=None):
    """The reference units of a layer of ``qrnn.nn`` or of its quantized one, [layers][directions].

    With the engine "float64", the float weights of a float layer.
    """
    spec, weights = layer._spec, {}
    for each, matrix in zip(spec.matrices, layer._matrices(), strict=True):
        coded = matrix.scale is not None
        weights[each.weight] = ref.Weight(matrix.weight, np.asarray(matrix.scale)) if coded else matrix.weight
        weights[each.bias] = matrix.bias
    directions = spec.sequence.num_directions if spec.sequence else 1
    units = []
    for place in range(len(spec.directions)):
        number, direction = divmod(place, directions)
        suffix = f"_l{number}{'_reverse' * direction}" if spec.sequence else ""
        own = {name.removesuffix(suffix): value for name, value in weights.items() if name and name.endswith(suffix)}
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr")
        unit = ref.Unit(layer.kind, engine or layer.engine, *map(own.get, names))
        units.append(unit if spec.variant is None else _varied(unit, spec, direction, own))
    return [units[i : i + directions] for i in range(0, len(units), directions)]


def _varied(unit, spec, direction, own):
    options, names = spec.variant, spec.row.activations
    functions = options.activations or [(name, 0, 0) for name in names * 2]
    return Varied(
        unit,
        tuple(functions[direction * len(names) : (direction + 1) * len(names)]),
        options.clip or None,
        options.cell_clip or None,
        options.proj_clip or None,
        own.get("weight_ch"),
        options.input_forget,
        (own["weight_ln"], own["bias_ln"], options.layer_norm) if options.layer_norm else None,
    )
