"""Find out how the installed build of PyTorch rounds activations to codes, which differs between its wheels.

Its source has ``rint(v * inv) + zp`` or ``rint(v * inv + zp)``, and some compilers make a fused multiply-add of the
latter. The CPU build of 2.13.0, whose bits our engines have, fuses in fbgemm and in qnnpack; the CUDA build of 2.12.1
fuses in fbgemm alone, that of 2.14.1 in neither. This module needs PyTorch.
"""

from __future__ import annotations

import functools
import warnings

import numpy as np
import pytest
import torch

f32 = np.float32
LEVELS = {"fbgemm": 127, "x86": 127, "qnnpack": 255}
COLUMNS = (37, 40)  # with and without a rest after whole vectors


def near_ties(scale, zero_point, levels, rng):
    """Return values whose codes differ between the two ways, both far from a tie, and the fused codes."""
    code = np.arange(levels)
    v = ((code + f32(0.5) - zero_point) * scale).astype(f32)
    v = (v.view(np.int32) + rng.integers(-2, 3, levels).astype(np.int32)).view(f32)
    inv = f32(1) / scale
    fused = np.rint((v.astype(np.float64) * inv + zero_point).astype(f32))
    return v, fused, fused != np.rint(v * inv) + zero_point


@functools.cache
def fuses(engine):
    """Whether PyTorch's `engine` makes codes by a fused multiply-add, as ours does."""
    rng, low, high = np.random.default_rng(0), f32(-1.25), f32(0.9)
    before = torch.backends.quantized.engine
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.backends.quantized.engine = engine
        try:
            scale, zero_point = torch._choose_qparams_per_tensor(torch.tensor([low, high]), LEVELS[engine] == 127)
            v, fused, differs = near_ties(f32(scale), int(zero_point), LEVELS[engine], rng)
            v, fused = v[differs], fused[differs]
            assert len(v), "no value tells the two ways from each other"
            right = [codes_of(np.resize(v, n), f32(scale), low, high) == np.resize(fused, n) - int(zero_point)
                     for n in COLUMNS]  # fmt: skip
        finally:
            torch.backends.quantized.engine = before
    return all(map(np.all, right))


def codes_of(v, scale, low, high):
    """Return the codes of `v` in a product, less the zero point, where the range is low..high."""
    x = np.concatenate([[low, high], v]).astype(f32)
    weight = torch.quantize_per_tensor(torch.eye(len(x)) / 64, 1 / 64, 0, torch.qint8)
    packed = torch.ops.quantized.linear_prepack(weight, None)
    y = torch.ops.quantized.linear_dynamic(torch.from_numpy(x[None]), packed, True).numpy()
    return np.rint(y[0] * 64 / scale)[2:]


def skip_unless_bits_agree(request):
    """Skip a test of bits if this build of PyTorch rounds differently for its parameter `engine`."""
    engine = getattr(request.node, "callspec", None) and request.node.callspec.params.get("engine")
    if engine in LEVELS and not fuses(engine):
        pytest.skip(f"PyTorch {torch.__version__} as built here rounds codes of {engine} WITHOUT fused multiply-adds")
