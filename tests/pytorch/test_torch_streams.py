"""Torch models called frame by frame, by qrnn.torch.stream."""

from __future__ import annotations

import pytest
from support import assert_same_bits

torch = pytest.importorskip("torch")
import numpy as np

import qrnn
import qrnn.torch as qnn


class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv1d(6, 6, 1)
        self.norm, self.drop = torch.nn.LayerNorm(6), torch.nn.Dropout(0.5)
        self.lstm = torch.nn.LSTM(6, 5, num_layers=2, batch_first=True)
        self.rnn = torch.nn.RNN(5, 4, batch_first=True)
        self.head = torch.nn.Sequential(torch.nn.Linear(4, 3))

    def forward(self, x):
        x = self.drop(self.norm(self.conv(x.transpose(1, 2)).transpose(1, 2)))
        return self.head(self.rnn(self.lstm(x)[0])[0])


class Cells(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm, self.gru = torch.nn.LSTMCell(6, 5), torch.nn.GRUCell(5, 4)

    def forward(self, x):
        return self.gru(self.lstm(x)[0])


def frames(rows, steps):
    return torch.from_numpy(np.random.default_rng(0).normal(0, 1, (rows, steps, 6)).astype(np.float32))


def made(cls, engine):
    torch.manual_seed(0)
    model = cls().eval()
    return model if engine is None else qnn.quantize_dynamic(model, engine=engine)


def close(got, want, engine):
    """PyTorch's own sums depend on the shape, and a last bit of them can tip a code of the layer behind."""
    assert got.shape == want.shape and (got - want).abs().max() <= (1e-5 if engine is None else 0.02)


@pytest.mark.parametrize("engine", [None, "qrnn", "qrnn13"])
def test_frames_in_blocks_of_any_size(engine):
    model, x = made(Model, engine), frames(3, 20)
    with torch.no_grad():
        want = model(x)
        for size in (1, 7, 20):
            s = qnn.stream(model, rows=3)
            close(torch.cat([s(x[:, at : at + size]) for at in range(0, 20, size)], dim=1), want, engine)
        one = qnn.stream(model)
        close(torch.cat([one(x[1:2, :3]), one(x[1:2, 3:])], dim=1), want[1:2], engine)
    assert list(s.state) == ["lstm.h", "lstm.c", "rnn.h"] and s.state["lstm.c"].shape == (3, 2, 5)
    assert not any(module.training for module in s._model.modules()) and type(model.rnn).__name__ in repr(s)


@pytest.mark.parametrize("engine", ["qrnn", "qrnn13"])
def test_layers_of_ours_have_the_bits_of_the_whole(engine):
    """Layers and cells, with the input's own type: any subset of many streams, each as alone."""
    model = made(lambda: torch.nn.LSTM(6, 5, num_layers=2, batch_first=True), engine)
    x, s = frames(60, 12), qnn.stream(model, rows=60)
    want, done, rng = model(x)[0], [0] * 60, np.random.default_rng(1)
    for _ in range(30):
        ready = [row for row in rng.permutation(60)[: rng.integers(1, 61)].tolist() if done[row] < 12]
        y = s(torch.stack([x[row, done[row] : done[row] + 1] for row in ready]), rows=ready)[0] if ready else ()
        for row, got in zip(ready, y, strict=True):
            assert_same_bits(got[0].numpy(), want[row, done[row]].numpy())
            done[row] += 1
    assert sum(done) > 400
    cells = made(Cells, engine)
    s, lstm, gru = qnn.stream(cells, rows=60), None, None
    for step in range(12):
        lstm = cells.lstm(x[:, step], lstm)
        gru = cells.gru(lstm[0], gru)
        assert_same_bits(s(x[:, step]).numpy(), gru.numpy())
    wide, narrow = qnn.stream(model), qnn.stream(model)
    assert wide(x[:1].double())[0].dtype == torch.float64
    assert_same_bits(wide(x[:1])[0].numpy(), (narrow(x[:1]), narrow(x[:1]))[1][0].numpy())


def test_steps_first_and_unbatched():
    for layer in (torch.nn.GRU(6, 5), qnn.quantize_dynamic(torch.nn.GRU(6, 5))):
        x = frames(2, 8).transpose(0, 1)
        with torch.no_grad():
            s, one = qrnn.stream(layer, rows=2), qrnn.stream(layer)
            want = layer(x)[0]
            close(torch.cat([s(x[:3])[0], s(x[3:])[0]]), want, None)
            close(torch.cat([one(x[:3, 0])[0], one(x[3:, 0])[0]]), want[:, 0], None)


def test_gradients_end_at_the_state():
    model = made(Model, None)
    s = qnn.stream(model)
    s(frames(1, 2))
    s(frames(1, 2)).sum().backward()
    assert all(parameter.grad is None for parameter in model.parameters())


class OwnForward(torch.nn.GRU):
    def forward(self, x):
        return super().forward(x)[0]


def test_errors():
    for model, text in (
        (torch.nn.Sequential(torch.nn.GRU(4, 4, bidirectional=True)), r"got 0 \(GRU\), which reads backwards too"),
        (qnn.quantize_dynamic(torch.nn.LSTM(4, 4, bidirectional=True)), "which reads backwards too"),
        (torch.nn.Conv1d(4, 4, 3), r"got the model \(Conv1d\) with kernel_size=\(3,\)"),
        (torch.nn.Conv2d(4, 4, 1, padding=1), r"got the model \(Conv2d\) with kernel_size=\(1, 1\)"),
        (torch.nn.ConvTranspose1d(4, 4, 1, stride=2), "kernel_size and stride 1"),
        (qnn.prepare(torch.nn.Sequential(torch.nn.GRU(4, 4)), qconfig={}), "got 0 prepared"),
        (torch.nn.GRU(4, 4).double(), r"got the model \(GRU\) with weight_ih_l0 of torch.float64"),
        (torch.nn.Sequential(OwnForward(4, 4)), r"without a forward of their own, got 0 \(OwnForward\)"),
    ):
        with pytest.raises(ValueError, match=f"^model: .*{text}"):
            qnn.stream(model)
    layer = torch.ao.nn.quantized.dynamic.LSTM(4, 4)
    with pytest.raises(ValueError, match="expected no layers of torch.ao, got 0"):
        qnn.stream(torch.nn.Sequential(layer))
    kept = torch.nn.Sequential(torch.nn.Linear(4, 4))
    kept.layers = [torch.nn.GRU(4, 4)]
    with pytest.raises(ValueError, match="got a list of them as layers"):
        qnn.stream(kept)
    s = qnn.stream(torch.nn.GRU(4, 4))
    with pytest.raises(RuntimeError, match="^the model: expected a call without hx, .* got Tensor"):
        s(torch.ones(3, 1, 4), torch.zeros(1, 1, 4))
    with pytest.raises(RuntimeError, match="^the model: expected a batch of 1, .* got 2"):
        s(torch.ones(3, 2, 4))
