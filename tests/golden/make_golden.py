"""Makes the golden vectors of the torch engines: what PyTorch 2.13.0 itself computes.

    python tests/golden/make_golden.py

writes torch_2_13_0.npz beside this file. It needs torch 2.13.0 on an x86 CPU. The vectors of engine
onednn are stored only from a CPU without AVX-512: oneDNN's last step depends on the instruction set, and
``golden_vectors.py`` recomputes that of AVX2 from the integers, which do not.

Members of the file, all cases one after another in flat arrays:

    shapes        int32 [cases, 4]: batch, input_size, hidden_size, per_channel
    x, h          float32
    w_ih, w_hh    int16; the float weight is w / 4096
    b_ih, b_hh    float32
    y_ih, y_hh    {engine}_y_ih, {engine}_y_hh: float32 outputs of the two quantized linear layers
    codes, scales {matrix}_codes int8, {matrix}_scale float32: weights as PyTorch's observers quantize them
    tie_*         inputs near rounding ties of the activation codes, and the codes (minus zero point)
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import support
from support import reference as ref

HERE = Path(__file__).resolve().parent
ENGINES = ("fbgemm", "qnnpack", "onednn")
CASES = 210
TIE_SHAPES = ((3, 8), (9, 61), (9, 157), (4, 300), (8, 13), (5, 97))


def torch_weight(w, per_channel):
    """The matrix as PyTorch's observers of dynamic qconfigs quantize it."""
    qconfig = (
        torch.ao.quantization.per_channel_dynamic_qconfig
        if per_channel
        else torch.ao.quantization.default_dynamic_qconfig
    )
    observer = qconfig.weight()
    w = torch.from_numpy(w)
    observer(w)
    return torch.ao.nn.quantized.modules.utils._quantize_weight(w, observer)


def torch_linear(engine, q_weight, bias, v):
    """Output of the quantized linear that PyTorch's cells call."""
    torch.backends.quantized.engine = engine
    packed = torch.ops.quantized.linear_prepack(q_weight, torch.from_numpy(bias))
    return torch.ops.quantized.linear_dynamic(torch.from_numpy(v), packed, True).numpy()


def make_case(rng, number):
    """Random sizes, weights, inputs; every seventh of each special kind."""
    batch = int(rng.integers(1, 10))
    inputs, hidden = (int(n) for n in rng.integers(1, 36 if number % 8 == 0 else 17, 2))
    per_channel = number % 2
    spread = 2.0 ** rng.integers(-12, 3)
    w_ih, w_hh = (
        np.clip(rng.standard_normal((hidden, n)) * 4096 * spread, -32768, 32767).astype(np.int16)
        for n in (inputs, hidden)
    )
    if number % 29 == 0:
        w_ih[:] = 0
    b_ih, b_hh = (rng.uniform(-1, 1, hidden).astype(np.float32) for _ in "ih")
    x = support.random_rows(rng, batch, inputs, 10.0 ** rng.uniform(-8, 6), number)
    h = support.random_rows(rng, batch, hidden, 10.0 ** rng.uniform(-3, 3), number // 7)
    return (batch, inputs, hidden, per_channel), w_ih, w_hh, b_ih, b_hh, x, h


def make_cases(store):
    rng = np.random.default_rng(213)
    for number in range(CASES):
        shape, w_ih, w_hh, b_ih, b_hh, x, h = make_case(rng, number)
        for name, value in zip(
            ("shapes", "w_ih", "w_hh", "b_ih", "b_hh", "x", "h"), (shape, w_ih, w_hh, b_ih, b_hh, x, h)
        ):
            store.setdefault(name, []).append(value)
        for name, w, bias, v in (("ih", w_ih, b_ih, x), ("hh", w_hh, b_hh, h)):
            q = torch_weight(w.astype(np.float32) / 4096, shape[3])
            scale = q.q_per_channel_scales().numpy() if shape[3] else [q.q_scale()]
            store.setdefault(f"{name}_codes", []).append(q.int_repr().numpy())
            store.setdefault(f"{name}_scale", []).append(np.asarray(scale, np.float32))
            for engine in ENGINES:
                store.setdefault(f"{engine}_y_{name}", []).append(torch_linear(engine, q, bias, v))


def make_ties(store):
    """Codes read through the identity: y[j] = (q[j] - zp) * 127 * step * weight scale."""
    rng = np.random.default_rng(214)
    for batch, n in TIE_SHAPES:
        q = torch_weight(np.eye(n, dtype=np.float32), False)
        for engine in ENGINES:
            qmax = 255 if engine == "qnnpack" else 127
            v = support.ties(rng, batch, n, qmax)
            y = torch_linear(engine, q, np.zeros(n, np.float32), v)
            codes = np.rint(y / (ref.choose_qparams(v.min(), v.max(), qmax)[0] * 127 * q.q_scale()))
            store.setdefault("tie_shapes", []).append((batch, n, ENGINES.index(engine)))
            store.setdefault("tie_x", []).append(v)
            store.setdefault("tie_codes", []).append(codes.astype(np.int16))


def main():
    if torch.__version__.split("+")[0] != "2.13.0":
        sys.exit(f"golden vectors are those of torch 2.13.0, this is {torch.__version__}")
    if torch.backends.cpu.get_cpu_capability() != "AVX2":
        sys.exit("run with ONEDNN_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=avx2")
    warnings.simplefilter("ignore")
    store: dict[str, list] = {}
    make_cases(store)
    make_ties(store)
    flat = {
        name: np.array(values, np.int32) if name.endswith("shapes") else np.concatenate([np.ravel(v) for v in values])
        for name, values in store.items()
    }
    np.savez_compressed(HERE / "torch_2_13_0.npz", **flat)


if __name__ == "__main__":
    main()
