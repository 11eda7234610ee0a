"""Stored results of PyTorch: those in golden/torch_2_13_0.npz, and two cells written out in full."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from support import hexes
from support import reference as ref

f32 = np.float32
ENGINES = ("fbgemm", "qnnpack", "onednn")


class Case(NamedTuple):
    """One cell with one batch. y[engine] is (y_ih, y_hh); of onednn as AVX2 computes it (see onednn_avx2)."""

    number: int
    per_channel: bool
    w_ih: np.ndarray
    w_hh: np.ndarray
    bias_ih: np.ndarray
    bias_hh: np.ndarray
    x: np.ndarray
    h: np.ndarray
    ih: ref.Weight
    hh: ref.Weight
    y: dict

    def cell(self, engine, nonlinearity="relu"):
        return ref.Cell(engine, nonlinearity, self.ih, self.hh, self.bias_ih, self.bias_hh)


class Tie(NamedTuple):
    """A batch of values near rounding ties, and their codes minus the zero point."""

    engine: str
    x: np.ndarray
    codes: np.ndarray


def onednn_avx2(acc, act, weight, bias):
    """The last step of oneDNN without AVX-512: f32(f32(acc * f32(a * c)) + bias)."""
    c = f32(1) / (1.0 / weight.row_scale().astype(np.float64)).astype(f32)
    with np.errstate(all="ignore"):
        return acc.astype(f32) * (act.step[:, None] * c) + bias


class _Reader:
    """Takes arrays of given shapes from flat ones, in order."""

    def __init__(self, flat):
        self.flat, self.at = flat, dict.fromkeys(flat.files, 0)
        self.data = {name: flat[name] for name in flat.files}

    def take(self, name, *shape):
        start = self.at[name]
        self.at[name] = stop = start + int(np.prod(shape))
        return self.data[name][start:stop].reshape(shape)


def load():
    """All cases and all ties of the file."""
    with np.load(Path(__file__).resolve().parent.parent / "golden" / "torch_2_13_0.npz") as file:
        reader = _Reader(file)
        return [_case(reader, n, s) for n, s in enumerate(reader.data["shapes"].tolist())], [
            Tie(ENGINES[e], reader.take("tie_x", b, n), reader.take("tie_codes", b, n))
            for b, n, e in reader.data["tie_shapes"].tolist()
        ]


def _case(reader, number, shape):
    batch, inputs, hidden, per_channel = shape
    weights = [
        ref.Weight(
            reader.take(f"{name}_codes", hidden, n),
            reader.take(f"{name}_scale", *((hidden,) if per_channel else ())),
        )
        for name, n in (("ih", inputs), ("hh", hidden))
    ]
    return Case(
        number,
        bool(per_channel),
        reader.take("w_ih", hidden, inputs).astype(f32) / f32(4096),
        reader.take("w_hh", hidden, hidden).astype(f32) / f32(4096),
        reader.take("b_ih", hidden),
        reader.take("b_hh", hidden),
        reader.take("x", batch, inputs),
        reader.take("h", batch, hidden),
        *weights,
        {e: tuple(reader.take(f"{e}_y_{m}", batch, hidden) for m in ("ih", "hh")) for e in ENGINES},
    )


# ---------------------------------------------------------------------------------------------------
# Two cells, I = 5, H = 3, B = 2, from PyTorch 2.13.0 on x86 (onednn: with AVX-512)
# ---------------------------------------------------------------------------------------------------
WEIGHT_IH = np.array(
    [
        [0, 0.119, -0.11, -0.356, -0.182],
        [-0.397, 0.024, 0.536, -0.197, -0.248],
        [0.196, 0.143, 0.042, -0.372, -0.012],
    ],
    f32,
)
WEIGHT_HH = np.array([[0.278, -0.538, -0.183], [-0.76, -0.516, -0.737], [-0.094, -0.507, 0.109]], f32)
BIAS_IH = np.array([0.016, -0.019, -0.252], f32)
BIAS_HH = np.array([-0.054, -0.005, 0.011], f32)
X = np.array([[-1.53, -0.478, -0.979, -0.809, 1.061], [-0.808, -0.033, 0.884, -0.584, -0.112]], f32)
H = np.array([[0.11, 0.064, -0.841], [0.076, 0.876, -0.913]], f32)

# name, seven bits: scale, zero point, codes; then the same with eight
ACTIVATIONS = {
    ("x", 127): (hexes("3ca72134", ()), 75, [[0, 52, 27, 35, 127], [35, 73, 118, 46, 70]]),
    ("x", 255): (hexes("3c26796b", ()), 151, [[0, 104, 55, 71, 255], [71, 148, 238, 94, 140]]),
    ("h", 127): (hexes("3c66cb8b", ()), 65, [[73, 70, 5], [70, 127, 0]]),
    ("h", 255): (hexes("3be5e3d7", ()), 130, [[146, 139, 10], [141, 255, 0]]),
}

WEIGHTS = {
    "per_tensor": (
        ref.Weight(
            np.array([[0, 28, -26, -85, -43], [-94, 6, 127, -47, -59], [47, 34, 10, -88, -3]], np.int8),
            hexes("3b89c10d", ()),
        ),
        ref.Weight(np.array([[47, -90, -31], [-127, -87, -124], [-16, -85, 18]], np.int8), hexes("3bc352af", ())),
    ),
    "per_channel": (
        ref.Weight(
            np.array([[0, 43, -39, -128, -65], [-94, 6, 127, -47, -59], [67, 49, 14, -127, -4]], np.int8),
            hexes("3b36fc9f 3b89c10d 3b3f35ff", (3,)),
        ),
        ref.Weight(
            np.array([[66, -127, -43], [-127, -87, -124], [-24, -128, 27]], np.int8),
            hexes("3b8a44a3 3bc352af 3b824d0e", (3,)),
        ),
    ),
}

# y of x | y of h | relu cell | tanh cell; None: not published
OUTPUTS = {
    ("per_tensor", "qnnpack"): (
        "3e29d333 bd40993c bec109b6 3e126154 3f6a6271 be2812fe",
        "3dcb0a84 3effc484 bdf9e8e1 beab2b09 3e1fa95c bf09ddfb",
        "3e87ac3a 3ee7b15c 0 0 3f892664 0",
        "3e84957e 3ed912e8 beec3901 be41993d 3f4a3ebb bf1b2714",
    ),
    ("per_tensor", "onednn"): (
        "3e2ba89d bd5081f4 bebf82f2 3e14a603 3f69bc11 be25eb68",
        "3dc48994 3efeea20 be012538 beaacf0f 3e2982ab bf0955e1",
        "3e86f6b4 3ee4d9e2 0 0 3f8a0e5e 0",
        "3e83ec14 3ed6bccb beecab92 be3eb787 3f4aec25 bf1a794a",
    ),
    ("per_tensor", "fbgemm"): (
        "3e2ba89d bd5081f4 bebf82f2 3e14a603 3f69bc11 be25eb68",
        "3dc48996 3efeea20 be012539 beaacf10 3e2982ac bf0955e0",
        None,
        "3e83ec14 3ed6bccb beecab92 be3eb789 3f4aec25 bf1a7949",
    ),
    ("per_channel", "qnnpack"): (
        "3e2789d6 bd40993c bebe0aaf 3e12cbb5 3f6a6271 be2728ae",
        "3dc4f91e 3effc484 bdfa5897 beac888e 3e1fa95c bf0a67f2",
        "3e850332 3ee7b15c 0 0 3f892664 0",
        "3e821947 3ed912e8 bee9f1b9 be43d478 3f4a3ebb bf1b5946",
    ),
    ("per_channel", "onednn"): (
        "3e29633c bd5081f4 bebc83aa 3e1507aa 3f69bc11 be24f8f4",
        "3dbe7436 3efeea20 be016194 beac2cf5 3e2982ab bf09df49",
        "3e844eac 3ee4d9e2 0 0 3f8a0e5e 0",
        "3e81705a 3ed6bccb beea6676 be40fc89 3f4aec25 bf1aaa16",
    ),
    ("per_channel", "fbgemm"): (
        "3e29633d bd5081f4 bebc83aa 3e1507aa 3f69bc11 be24f8f5",
        "3dbe7436 3efeea20 be016195 beac2cf6 3e2982ac bf09df48",
        None,
        None,
    ),
}
