"""Measure the error of h against float64 over 100 steps: each option of recurrent layers, beside the plain kind.

    python benchmarks/option_errors.py      (where qrnn is installed; with --models 5 in a few seconds)

Every figure is the mean over random models (weights uniform in +-1/sqrt(H), I = H = 64, inputs standard normal,
batch 8; peepholes in +-0.5) of the relative RMS error of h over all steps. The equations are those of csrc/README.md,
computed here in float64 from the float weights.
"""

import machine

machine.use_one_thread()

import argparse

import cells
import numpy as np

import qrnn
from qrnn import nn

SIZE, BATCH, STEPS = 64, 8, 100

FUNCTIONS = {
    "tanh": lambda x: np.tanh(x),
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "relu": lambda x: np.maximum(x, 0),
    "linear": lambda x: x,
    "softsign": lambda x: x / (1 + np.abs(x)),
    "softplus": lambda x: np.logaddexp(0, x),
    "hard_sigmoid": lambda x, alpha=0.2, beta=0.5: np.clip(alpha * x + beta, 0, 1),
    "elu": lambda x, alpha=1.0: np.where(x < 0, alpha * np.expm1(np.minimum(x, 0)), x),
    "leaky_relu": lambda x, alpha=0.01: np.where(x < 0, alpha * x, x),
    "thresholded_relu": lambda x, alpha=1.0: np.where(x > alpha, x, 0),
    "affine": lambda x, alpha=1.0, beta=0.0: alpha * x + beta,
    "scaled_tanh": lambda x, alpha=1.0, beta=1.0: alpha * np.tanh(beta * x),
}
#: Unbounded functions serve only as the candidate of a gate that forgets: otherwise states could grow without bound.
CANDIDATES = [
    "softsign",
    "relu",
    "linear",
    "softplus",
    "elu",
    "leaky_relu",
    "thresholded_relu",
    ("affine", 0.5, 0.1),
    ("scaled_tanh", 1.7, 0.7),
    ("hard_sigmoid", 0.2, 0.5),
]
LSTM = [
    {"peepholes": True},
    {"input_forget": True},
    {"layer_norm": True},
    {"clip": 0.5},
    {"cell_clip": 0.3},
    {"proj_size": 32, "proj_clip": 0.1},
    {"activations": ("hard_sigmoid", "tanh", "tanh")},
    {"activations": (("hard_sigmoid", 1 / 6, 0.5), "tanh", "tanh")},
]
GRU = [{"clip": 0.5}, {"activations": ("hard_sigmoid", "tanh")}]


def cases():
    """List (class, its own arguments, options of each row of the table), the plain layer first."""
    yield nn.RNN, {}, [{}, {"clip": 0.5}, *({"activations": (f,)} for f in ("softsign", ("scaled_tanh", 1.7, 0.7)))]
    yield nn.LSTM, {}, [{}, *LSTM, *({"activations": ("sigmoid", f, "tanh")} for f in CANDIDATES)]
    for reset_after in (True, False):
        yield nn.GRU, {"reset_after": reset_after}, [{}, *GRU, *({"activations": ("sigmoid", f)} for f in CANDIDATES)]


def function(given):
    name, *parameters = (given,) if isinstance(given, str) else given
    return lambda x: FUNCTIONS[name](x, *parameters)


def exact(layer, options, x):
    """Compute h of every step in float64 from `layer`'s float weights."""
    w = {name: np.asarray(value, np.float64) for name, value in layer.state_dict().items() if value.dtype == np.float32}
    default = {nn.RNN: ("tanh",), nn.LSTM: ("sigmoid", "tanh", "tanh"), nn.GRU: ("sigmoid", "tanh")}[type(layer)]
    f, *rest = map(function, options.get("activations", default))
    clip, cell_clip = options.get("clip", np.inf), options.get("cell_clip", np.inf)
    h = np.zeros((BATCH, layer.proj_size or SIZE) if isinstance(layer, nn.LSTM) else (BATCH, SIZE))
    c, hs = np.zeros((BATCH, SIZE)), []
    for each in x.astype(np.float64):
        of_x = each @ w["weight_ih_l0"].T + w["bias_ih_l0"]
        of_h = h @ w["weight_hh_l0"].T + w["bias_hh_l0"]
        if isinstance(layer, nn.RNN):
            h = f(np.clip(of_x + of_h, -clip, clip))
        elif isinstance(layer, nn.GRU):
            xs, hs3 = np.split(of_x, 3, axis=1), np.split(of_h, 3, axis=1)
            r, z = (f(np.clip(xs[k] + hs3[k], -clip, clip)) for k in (0, 1))
            last = r * hs3[2]
            if not layer.reset_after:
                last = (r * h) @ w["weight_hh_l0"][2 * SIZE :].T + w["bias_hh_l0"][2 * SIZE :]
            n = rest[0](np.clip(xs[2] + last, -clip, clip))
            h = n + z * (h - n)
        else:
            sums = np.split(of_x + of_h, 4, axis=1)
            if options.get("layer_norm"):
                gain, shift = w["weight_ln_l0"], w["bias_ln_l0"]
                for k, s in enumerate(sums):
                    normal = (s - s.mean(axis=1, keepdims=True)) / np.sqrt(s.var(axis=1, keepdims=True) + 1e-5)
                    sums[k] = normal * gain[k] + shift[k]
            peep = w["weight_ch_l0"] if options.get("peepholes") else np.zeros((3, SIZE))
            i = f(np.clip(sums[0] + peep[0] * c, -clip, clip))
            forget = 1 - i if options.get("input_forget") else f(np.clip(sums[1] + peep[1] * c, -clip, clip))
            c = np.clip(forget * c + i * rest[0](np.clip(sums[2], -clip, clip)), -cell_clip, cell_clip)
            h = f(np.clip(sums[3] + peep[2] * c, -clip, clip)) * rest[1](c)
            if layer.proj_size:
                most = options.get("proj_clip", np.inf)
                h = np.clip(h @ w["weight_hr_l0"].T, -most, most)
        hs.append(h)
    return np.stack(hs)


def errors(cls, more, options, models):
    """Return the mean errors of float32 and of the engines."""
    found = []
    for seed in range(models):
        qrnn.manual_seed(seed)
        layer = cls(SIZE, SIZE, **more, **options)
        rng = np.random.default_rng(seed)
        if options.get("peepholes"):
            layer.weight_ch_l0 = rng.uniform(-0.5, 0.5, (3, SIZE)).astype(np.float32)
        x = rng.standard_normal((STEPS, BATCH, SIZE)).astype(np.float32)
        want, quantized = exact(layer, options, x), getattr(qrnn, cls.__name__)
        layers = [layer, *(quantized.from_float(layer, engine=engine) for engine in ("qrnn", "qrnn13"))]
        found.append([cells.relative_rms(np.asarray(each(x)[0], np.float64), want) for each in layers])
    return np.mean(found, axis=0)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=int, default=20, help="random models a row (default 20)")
    given = parser.parse_args()
    print("| layer | options | float32 | qrnn | qrnn13 | qrnn ÷ plain |\n|---|---|---:|---:|---:|---:|")
    wrong = []
    for cls, more, rows in cases():
        plain = None
        for options in rows:
            of_float, eight, thirteen = errors(cls, more, options, given.models)
            plain = plain or eight
            said = ", ".join(f"{name}={value}" for name, value in options.items()) or "plain"
            name = cls.__name__ + "".join(f", {key}={value}" for key, value in more.items() if not value)
            print(
                f"| {name} | {said} | {of_float:.1e} | {eight:.3%} | {thirteen:.3%} | {eight / plain:.2f} |", flush=True
            )
            if of_float > 1e-5:
                wrong.append(f"{name} {said}: float32 errs {of_float:.1e}")
    if wrong:
        raise SystemExit("; ".join(wrong))


if __name__ == "__main__":
    main()
