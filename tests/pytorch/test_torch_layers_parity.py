"""Models quantized by us with engine fbgemm, and by torch.ao: the same pre-activations, and whole models."""

from __future__ import annotations

import numpy as np
import pytest
import support
from support import torch_models
from support.torch_models import H, I, each_cell, inputs, make, torch

import qrnn.torch as qt
from qrnn import _core
from qrnn.torch.quantization import default_dynamic_qconfig, per_channel_dynamic_qconfig

pytestmark = pytest.mark.skipif(
    "fbgemm" not in torch.backends.quantized.supported_engines,
    reason="THIS PYTORCH HAS NO FBGEMM: models were not compared with torch.ao's",
)
TITLE = "models of engine fbgemm beside torch.ao's"


def both(model, per_channel=False):
    """The model as torch.ao quantizes it, and as we do."""
    import torch.ao.quantization as tq

    torch.backends.quantized.engine = "fbgemm"
    kinds = (
        torch.nn.Linear,
        torch.nn.RNNCell,
        torch.nn.LSTMCell,
        torch.nn.GRUCell,
        torch.nn.LSTM,
        torch.nn.GRU,
    )
    theirs = tq.per_channel_dynamic_qconfig if per_channel else tq.default_dynamic_qconfig
    ours = per_channel_dynamic_qconfig if per_channel else default_dynamic_qconfig
    a = torch_models.torch_ao(tq.quantize_dynamic, model, dict.fromkeys(kinds, theirs))
    b = qt.quantize_dynamic(model, dict.fromkeys(kinds, ours), engine="fbgemm")
    return a, b


@each_cell
@pytest.mark.parametrize("per_channel", [False, True])
def test_pre_activations_have_the_same_bits(kind, per_channel, torch_engine):
    """PyTorch's own products of x and of the same h, for 30 batches of any scale."""
    theirs, ours = both(torch_models.Holder(make(kind)), per_channel)
    theirs, ours = theirs.module, ours.module
    rng = np.random.default_rng(0)
    for trial in range(30):
        x, h, c = (
            torch.from_numpy(support.random_rows(rng, 4, n, 10.0 ** rng.uniform(-4, 3), trial)) for n in (I, H, H)
        )
        y_ih, y_hh = (
            torch.ops.quantized.linear_dynamic(v, packed, reduce_range=True)
            for v, packed in ((x, theirs._packed_weight_ih), (h, theirs._packed_weight_hh))
        )
        state = (h.numpy(), c.numpy()) if kind == "LSTMCell" else h.numpy()
        _, _, pre = _core._gates(ours._packed.get(ours), x.numpy(), state)
        want = y_hh if kind == "GRUCell" else y_hh + y_ih
        got = torch.from_numpy(pre)
        if kind == "GRUCell":  # what the last product left: W_hn h + b_hn beside the sums of r and z
            want = torch.cat(((y_hh + y_ih)[:, : 2 * H], y_hh[:, 2 * H :]), 1)
            same = torch.cat([torch.eq(got, want) | torch.eq(got, y_hh)], 1)  # r and z as sums, or as the product alone
            assert bool(same.all())
        else:
            support.assert_same_bits(got.numpy(), want.detach().numpy())


class Model(torch.nn.Module):
    """Steps of a cell or a whole layer, then a Linear."""

    def __init__(self, kind, nonlinearity="tanh"):
        super().__init__()
        self.kind = kind
        if kind == "RNNCell":
            self.rnn = torch.nn.RNNCell(12, 32, nonlinearity=nonlinearity)
        else:
            self.rnn = getattr(torch.nn, kind)(12, 32)
        self.head = torch.nn.Linear(32, 5)

    def forward(self, x):
        if not self.kind.endswith("Cell"):
            return self.head(self.rnn(x)[0])
        state, outputs = None, []
        for step in x:
            state = self.rnn(step, state)
            outputs.append(state[0] if isinstance(state, tuple) else state)
        return self.head(torch.stack(outputs))


@pytest.mark.parametrize("kind", ["RNNCell", "LSTMCell", "GRUCell", "LSTM", "GRU"])
@pytest.mark.parametrize("per_channel", [False, True])
def test_whole_models_agree_but_for_flipped_codes(kind, per_channel, torch_engine):
    """Twenty steps of random models. tanh and sigmoid differ by an ulp or two, which flips a code now and then;
    from there on results differ by about a step of the grid. Flips are counted and printed."""
    flipped = steps = 0
    largest = 0.0
    for seed in range(5):
        torch.manual_seed(seed)
        model = Model(kind).eval()
        theirs, ours = both(model, per_channel)
        with torch.no_grad():
            for _ in range(4):
                x = torch.randn(20, 3, 12)
                difference = (theirs(x) - ours(x)).abs()
                per_step = difference.flatten(1).max(1).values
                flipped += int((per_step > 1e-6).sum())
                steps += len(per_step)
                largest = max(largest, float(difference.max()))
    scheme = "per channel" if per_channel else "per tensor"
    support.report(
        TITLE,
        f"{kind:9} {scheme:12} {flipped:4} of {steps} steps differ by more than 1e-6, at most by {largest:.1e}",
    )
    assert flipped <= steps // 4
    assert largest < 0.05


@pytest.mark.parametrize("per_channel", [False, True])
def test_relu_models_have_the_same_bits(per_channel, torch_engine):
    """No function is in them that PyTorch computes otherwise: nothing can flip."""
    for seed in range(5):
        torch.manual_seed(seed)
        theirs, ours = both(Model("RNNCell", "relu").eval(), per_channel)
        x = torch.randn(20, 3, 12)
        support.assert_same_bits(ours(x).numpy(), theirs(x).detach().numpy())


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("given", [False, True])
def test_packed_sequences_agree(kind, bidirectional, given, torch_engine):
    """Of two layers: each range is taken over the rows that PyTorch takes it over."""
    flipped = total = 0
    for seed in range(6):
        torch.manual_seed(seed)
        layer = getattr(torch.nn, kind)(I, H, 2, bidirectional=bidirectional)
        theirs, ours = both(torch_models.Holder(layer))
        lengths = torch.tensor([[6, 4, 3, 1], [3, 6, 1, 4], [2, 2, 5, 2]][seed % 3])
        x, count = torch.randn(6, 4, I), 4 if bidirectional else 2
        packed = torch.nn.utils.rnn.pack_padded_sequence(x, lengths, enforce_sorted=False)
        state = [torch.randn(count, 4, H) for _ in range(2)]
        args = (packed, tuple(state) if kind == "LSTM" else state[0]) if given else (packed,)
        got, want = ours(*args), theirs(*args)
        difference = torch_models.difference((got[0].data, got[1]), (want[0].data, want[1]))
        flipped += difference > 1e-6
        total += 1
        assert torch.equal(got[0].unsorted_indices, want[0].unsorted_indices)
    support.report(TITLE, f"{kind} packed, {count // 2} direction(s): {flipped} of {total} runs differ")
    assert flipped <= 2


def test_sequences_quantize_x_once(torch_engine):
    """A layer is no loop over a cell with the torch engines: x has one range over all steps; qrnn's is."""
    torch.manual_seed(0)
    layer = torch.nn.GRU(I, H)
    cell = torch.nn.GRUCell(I, H)
    cell.load_state_dict({name.removesuffix("_l0"): value for name, value in layer.state_dict().items()})
    x = torch.randn(7, 3, I)
    for engine, alike in (("qrnn", True), ("fbgemm", False)):
        a, b = qt.quantize_dynamic(layer, engine=engine), qt.quantize_dynamic(cell, engine=engine)
        h, outputs = None, []
        for step in x:
            h = b(step, h)
            outputs.append(h)
        assert torch.equal(a(x)[0], torch.stack(outputs)) == alike


@each_cell
def test_inputs_of_one_row_or_many(kind):
    """Engine qrnn: a row of a batch is that row alone; fbgemm: it is not."""
    x, state = inputs(kind, batch=5)
    for engine, alike in (("qrnn", True), ("fbgemm", False)):
        cell = qt.quantize_dynamic(make(kind), engine=engine)
        whole = torch_models.flat(cell(x, state))
        one = tuple(s[2:3] for s in state) if isinstance(state, tuple) else state[2:3]
        alone = torch_models.flat(cell(x[2:3], one))
        assert all(torch.equal(a[2:3], b) for a, b in zip(whole, alone, strict=True)) == alike
