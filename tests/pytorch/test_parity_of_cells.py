"""Elman cells and linear layers of the torch engines beside PyTorch itself: the same bits."""

from __future__ import annotations

import numpy as np
import pytest
import support
from support import (
    HAVE_TORCH,
    assert_same_bits,
    needs_torch,
    random_rows,
    ties,
    ulps,
)
from support import golden_vectors as golden
from support import reference as ref

from qrnn import _core

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")


f32 = np.float32


# ---------------------------------------------------------------------------------------------------
# Live PyTorch
# ---------------------------------------------------------------------------------------------------
if HAVE_TORCH:
    import torch
    import torch.ao.nn.quantized.dynamic as tqd
    from support.torch_rounding import skip_unless_bits_agree
    from torch.ao.quantization import default_dynamic_qconfig, per_channel_dynamic_qconfig

    HAVE_AVX512_ONEDNN = torch.backends.cpu.get_cpu_capability() == "AVX512"
else:
    HAVE_AVX512_ONEDNN = False


@pytest.fixture(autouse=True)
def bits_agree(request):
    if HAVE_TORCH:
        skip_unless_bits_agree(request)


avx512_only = pytest.mark.skipif(
    not HAVE_AVX512_ONEDNN,
    reason="NO AVX-512 (or no PyTorch) HERE: onednn's final bits were not compared with PyTorch's, only its "
    "codes and integers; without AVX-512 oneDNN rounds its last step differently",
)


def counted(line):
    support.report(f"bits beside PyTorch {torch.__version__}", line)


class Pair:
    """One float cell, quantized by PyTorch and by qrnn from the same torch module."""

    def __init__(self, engine, inputs, hidden, nonlinearity, per_channel, weights=None, isa=None):
        import qrnn

        self.engine = engine
        torch.backends.quantized.engine = engine
        cell = torch.nn.RNNCell(inputs, hidden, nonlinearity=nonlinearity)
        if weights is not None:
            with torch.no_grad():
                cell.weight_ih.copy_(torch.from_numpy(weights[0]))
                cell.weight_hh.copy_(torch.from_numpy(weights[1]))
                cell.bias_ih.copy_(torch.from_numpy(weights[2]))
                cell.bias_hh.copy_(torch.from_numpy(weights[3]))
        cell.qconfig = per_channel_dynamic_qconfig if per_channel else default_dynamic_qconfig
        self.theirs = tqd.RNNCell.from_float(cell)
        cell.qconfig = None
        if per_channel:
            cell.qconfig = qrnn.quantization.per_channel_dynamic_qconfig
        self.ours = qrnn.nn.quantized.dynamic.RNNCell.from_float(cell, engine=engine, isa=isa)

    def call(self, x, h):
        torch.backends.quantized.engine = self.engine
        theirs = self.theirs(torch.from_numpy(x), torch.from_numpy(h)).numpy()
        return self.ours(x, h), theirs

    def onednn_avx2(self, x, h):
        """What PyTorch's onednn gives without AVX-512, from our integers."""
        total = 0
        acc = _core._gates(self.ours, x, h)
        for i, (name, v) in enumerate((("ih", x), ("hh", h))):
            q = self.ours.get_weight()[f"weight_{name}"]
            per_channel = "channel" in str(q.qscheme())
            scale = q.q_per_channel_scales() if per_channel else np.asarray(q.q_scale(), f32)
            weight = ref.Weight(q.int_repr(), scale)
            bias = self.ours.get_bias()[f"bias_{name}"]
            total = golden.onednn_avx2(acc[i], ref.activation("onednn", v), weight, bias) + total
        return ref.relu(total)


def random_torch_case(rng, number):
    """Sizes up to 300, few of them large; input scales 1e-8..1e6, every kind of batch."""
    most = 301 if number % 20 == 0 else 100 if number % 4 == 0 else 40
    inputs, hidden = (int(n) for n in rng.integers(1, most, 2))
    batch = int(rng.integers(1, 10))
    x = random_rows(rng, batch, inputs, 10.0 ** rng.uniform(-8, 6), number)
    h = random_rows(rng, batch, hidden, 10.0 ** rng.uniform(-8, 6), number // 7)
    return inputs, hidden, x, h


@needs_torch
@pytest.mark.parametrize("engine", ["fbgemm", "x86", "qnnpack"])
def test_relu_cells_have_pytorchs_bits(engine):
    """1,050 random cells an engine, every instruction set in turn, no bit different."""
    rng = np.random.default_rng(43)
    torch.manual_seed(43)
    isas, differing, elements = _core.isas(), 0, 0
    for number in range(1050):
        inputs, hidden, x, h = random_torch_case(rng, number)
        pair = Pair(engine, inputs, hidden, "relu", number % 2 == 1, isa=isas[number % len(isas)])
        support.note(pair.ours)
        ours, theirs = pair.call(x, h)
        differing += int((support.bits(ours) != support.bits(theirs)).sum())
        elements += ours.size
    counted(f"{engine}, 1,050 relu cells: {differing} of {elements} elements differ")
    assert differing == 0
    assert elements > 100_000


@needs_torch
def test_onednn_integers_are_pytorchs():
    """The codes and integer products of 1,050 random relu cells, seen through oneDNN's AVX2 step."""
    if HAVE_AVX512_ONEDNN:
        pytest.skip("THIS CPU has AVX-512: onednn's final bits are compared instead")
    rng = np.random.default_rng(44)
    torch.manual_seed(44)
    elements = 0
    for number in range(1050):
        inputs, hidden, x, h = random_torch_case(rng, number)
        pair = Pair("onednn", inputs, hidden, "relu", number % 2 == 1)
        ours = pair.onednn_avx2(x, h)
        assert_same_bits(ours, pair.call(x, h)[1], f"cell {number}")
        elements += ours.size
    counted(f"onednn, 1,050 relu cells, its AVX2 step recomputed: 0 of {elements} elements differ")


@avx512_only
def test_onednn_relu_cells_have_pytorchs_bits():
    rng = np.random.default_rng(45)
    torch.manual_seed(45)
    for number in range(1050):
        inputs, hidden, x, h = random_torch_case(rng, number)
        pair = Pair("onednn", inputs, hidden, "relu", number % 2 == 1)
        assert_same_bits(*pair.call(x, h), f"cell {number}")
    counted("onednn, 1,050 relu cells: no element differs")


def both_signs(n):
    """Weights +1 and -1 on the diagonal: a relu cell of them shows the code of every input element."""
    eye = np.eye(n, dtype=f32)
    zeros = np.zeros(2 * n, f32)
    return np.concatenate([eye, -eye]), np.zeros((2 * n, 2 * n), f32), zeros, zeros


@needs_torch
@pytest.mark.parametrize("engine", ["fbgemm", "qnnpack", "onednn"])
def test_a_million_inputs_near_ties(engine):
    """Elements within 2 ulp of (k + 1/2 - zp) * scale; the cell's outputs show each element's code.

    Of every engine at least 1,000,000 elements, most of them in batches whose size is no multiple of 8.
    """
    rng = np.random.default_rng(46)
    torch.manual_seed(46)
    isas, elements, odd, decided = _core.isas(), 0, 0, 0
    qmax = 255 if engine == "qnnpack" else 127
    for inputs, batches in (
        (1, 40),
        (5, 60),
        (7, 60),
        (8, 60),
        (13, 80),
        (61, 250),
        (157, 250),
        (200, 90),
        (297, 150),
    ):
        pairs = [Pair(engine, inputs, 2 * inputs, "relu", False, both_signs(inputs), isa) for isa in isas]
        for number in range(batches):
            batch = int(rng.integers(1, 10)) if number % 2 else 9
            x, h = ties(rng, batch, inputs, qmax), np.zeros((batch, 2 * inputs), f32)
            pair = pairs[number % len(pairs)]
            ours, theirs = pair.call(x, h)
            if engine == "onednn" and not HAVE_AVX512_ONEDNN:
                ours = pair.onednn_avx2(x, h)
            assert_same_bits(ours, theirs, f"batch {batch}, inputs {inputs}")
            elements += x.size
            odd += x.size * (x.size % 8 > 0)
            other = "onednn" if engine == "fbgemm" else "fbgemm"
            if engine != "qnnpack":
                decided += int((ref.activation(other, x).codes != ref.activation(engine, x).codes).sum())
    # the same inputs in larger batches, where one call holds most of the million
    while elements < 1_000_000:
        inputs = int(rng.choice([61, 157, 297]))
        pair = Pair(engine, inputs, 2 * inputs, "relu", False, both_signs(inputs), isas[-1])
        x, h = ties(rng, 301, inputs, qmax), np.zeros((301, 2 * inputs), f32)
        ours, theirs = pair.call(x, h)
        if engine == "onednn" and not HAVE_AVX512_ONEDNN:
            ours = pair.onednn_avx2(x, h)
        assert_same_bits(ours, theirs, f"inputs {inputs}")
        elements += x.size
        odd += x.size * (x.size % 8 > 0)
    counted(f"{engine}, inputs within 2 ulp of a rounding tie: {elements} elements, no code differs")
    assert odd > elements / 2
    assert engine == "qnnpack" or decided > 10_000, "these inputs do not tell the engines' roundings apart"


@needs_torch
@pytest.mark.parametrize("engine", ["fbgemm", "qnnpack"])
def test_state_near_ties(engine):
    """The same for h, with random weights; both products at once."""
    rng = np.random.default_rng(47)
    torch.manual_seed(47)
    qmax = 255 if engine == "qnnpack" else 127
    for number in range(60):
        inputs, hidden = (int(n) for n in rng.integers(1, 100, 2))
        pair = Pair(engine, inputs, hidden, "relu", number % 2 == 1)
        for _ in range(8):
            batch = int(rng.integers(1, 10))
            assert_same_bits(*pair.call(ties(rng, batch, inputs, qmax), ties(rng, batch, hidden, qmax)))


@needs_torch
@pytest.mark.parametrize("engine", ["fbgemm", "qnnpack"])
def test_tanh_cells_are_within_one_ulp(engine):
    """At most 1 ulp, and few elements different; the state of a run is fed back.

    Ours is correctly rounded. How often PyTorch's is not depends on the library that computes it on this CPU: 1 in 330
    on AMD's, 1 in 74 on Intel's with AVX-512.
    """
    rng = np.random.default_rng(48)
    torch.manual_seed(48)
    different = elements = 0
    for number in range(150):
        inputs, hidden = (int(n) for n in rng.integers(1, 120, 2))
        pair = Pair(engine, inputs, hidden, "tanh", number % 2 == 1)
        h = random_rows(rng, 7, hidden, 0.5)
        for _ in range(4):
            ours, theirs = pair.call(random_rows(rng, 7, inputs, 10.0 ** rng.uniform(-3, 2)), h)
            distance = ulps(ours, theirs)
            assert distance.max() <= 1
            different += int((distance > 0).sum())
            elements += ours.size
            h = theirs
    counted(f"{engine}, 150 tanh cells: {different} of {elements} elements differ, all by 1 ulp")
    assert elements > 100_000 and different * 50 < elements


@needs_torch
@pytest.mark.parametrize("engine", ["fbgemm", "x86", "qnnpack"])
@pytest.mark.parametrize("bias", [True, False])
def test_linear_has_pytorchs_bits(engine, bias):
    import qrnn

    rng = np.random.default_rng(49)
    torch.manual_seed(49)
    for number in range(120):
        inputs, rows = (int(n) for n in rng.integers(1, 150, 2))
        torch.backends.quantized.engine = engine
        layer = torch.nn.Linear(inputs, rows, bias=bias)
        layer.qconfig = per_channel_dynamic_qconfig if number % 2 else default_dynamic_qconfig
        theirs = tqd.Linear.from_float(layer)
        layer.qconfig = qrnn.quantization.per_channel_dynamic_qconfig if number % 2 else None
        ours = qrnn.nn.quantized.dynamic.Linear.from_float(layer, engine=engine)
        shape = ((6, inputs), (2, 3, inputs))[number // 2 % 2]
        x = random_rows(rng, 6, inputs, 10.0 ** rng.uniform(-8, 6), number).reshape(shape)
        assert_same_bits(ours(x), theirs(torch.from_numpy(x)).numpy(), f"layer {number}")


@needs_torch
def test_float_modules_agree_with_pytorch():
    """Sums in another order: within the rounding bound of a sum of n products, eps * n * sum |w v|."""
    import qrnn

    rng = np.random.default_rng(50)
    torch.manual_seed(50)
    eps = float(np.finfo(f32).eps)
    for number in range(60):
        inputs, hidden = (int(n) for n in rng.integers(1, 100, 2))
        nonlinearity = ("relu", "tanh")[number % 2]
        theirs = torch.nn.RNNCell(inputs, hidden, bias=number % 3 > 0, nonlinearity=nonlinearity)
        ours = qrnn.nn.RNNCell(inputs, hidden, bias=number % 3 > 0, nonlinearity=nonlinearity)
        ours.load_state_dict(theirs.state_dict())
        x, h = random_rows(rng, 5, inputs, 2.0), random_rows(rng, 5, hidden)
        with torch.no_grad():
            want = theirs(torch.from_numpy(x), torch.from_numpy(h)).numpy()
        size = np.abs(x) @ np.abs(ours.weight_ih).T + np.abs(h) @ np.abs(ours.weight_hh).T + 2
        assert (np.abs(ours(x, h) - want) <= eps * (inputs + hidden + 4) * size).all()
