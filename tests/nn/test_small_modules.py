"""Modules around recurrent layers: activations, normalization, embeddings, convolutions, containers, and parameters."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from support import assert_same_bits, needs_torch

import qrnn
from qrnn import nn

f32 = np.float32
X = np.concatenate([np.linspace(-30, 30, 1001), [0.0, -0.0, 100, -100]]).astype(f32)


def close(got, want, bound=1e-6):
    assert got.dtype == f32 and got.shape == np.shape(want)
    assert np.abs(got - want).max(initial=0) <= bound * max(1, np.abs(want).max(initial=0))


# ---------------------------------------------------------------------------------------------------
# Against NumPy in float64
# ---------------------------------------------------------------------------------------------------
ACTIVATIONS = [
    ("Hardsigmoid()", lambda x: np.clip(x / 6 + 0.5, 0, 1)),
    ("ELU()", lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0)))),
    ("ELU(alpha=0.5)", lambda x: np.where(x > 0, x, 0.5 * np.expm1(np.minimum(x, 0)))),
    ("LeakyReLU()", lambda x: np.where(x > 0, x, 0.01 * x)),
    ("LeakyReLU(0.3)", lambda x: np.where(x > 0, x, 0.3 * x)),
    ("Softplus()", lambda x: np.where(x > 20, x, np.log1p(np.exp(np.minimum(x, 21))))),
    ("Softplus(beta=2, threshold=5)", lambda x: np.where(2 * x > 5, x, np.log1p(np.exp(2 * np.minimum(x, 9))) / 2)),
    ("Softsign()", lambda x: x / (1 + np.abs(x))),
    ("Hardtanh()", lambda x: np.clip(x, -1, 1)),
    ("Hardtanh(-0.5, 6)", lambda x: np.clip(x, -0.5, 6)),
]


@pytest.mark.parametrize("text, want", ACTIVATIONS, ids=lambda value: value if isinstance(value, str) else "")
def test_activations_are_their_equations(text, want):
    layer = eval(f"nn.{text}")
    close(layer(X), want(X.astype(float)))
    assert_same_bits(layer(X.reshape(5, 3, 67).transpose(2, 0, 1)), layer(X).reshape(5, 3, 67).transpose(2, 0, 1))
    with pytest.raises(TypeError, match="^input: expected an array of real numbers"):
        layer("x")


@pytest.mark.parametrize("make", [nn.Hardsigmoid, nn.ELU, nn.LeakyReLU, nn.Hardtanh])
def test_activations_in_place(make):
    x = np.array([-1, 2], f32)
    want = make()(x)
    assert make(inplace=True)(x) is x and x.tolist() == want.tolist()
    fixed = np.ones(3, f32)
    fixed.flags.writeable = False
    for bad in (np.ones(3), fixed, np.ones((3, 4), f32)[:, ::2]):
        with pytest.raises(ValueError, match="^input: expected .* got .*"):
            make(inplace=True)(bad)
    for bad in ([1.0], None, "x", 3):
        with pytest.raises(TypeError, match="^input: expected .* got .*"):
            make(inplace=True)(bad)


@pytest.mark.parametrize("dim", [0, 1, 2, -1])
def test_softmax(dim):
    x = np.random.default_rng(dim + 1).normal(0, 9, (3, 4, 5)).astype(f32)
    powers = np.exp(x.astype(float))
    want = powers / powers.sum(dim, keepdims=True)
    close(nn.Softmax(dim)(x), want)
    close(nn.LogSoftmax(dim)(x), np.log(want))
    assert nn.Softmax(0)(3.0).tolist() == 1.0 and nn.Softmax(dim)(x[:0]).shape == (0, 4, 5)
    with pytest.raises(IndexError, match=r"range of \[-3, 2\], but got 3"):
        nn.Softmax(3)(x)


def test_softmax_without_a_dimension_says_which_it_takes():
    with pytest.warns(UserWarning, match=r"Softmax: dim=1 was taken; give dim= "):
        got = nn.Softmax()(np.float32([[0, 0], [5, 5]]))
    assert got.tolist() == [[0.5, 0.5], [0.5, 0.5]]


@pytest.mark.parametrize("shape", [(5,), (4, 5)])
@pytest.mark.parametrize("affine", [True, False])
def test_layer_norm(shape, affine):
    rng = np.random.default_rng(0)
    layer, x = nn.LayerNorm(shape, elementwise_affine=affine), rng.normal(3, 2, (7, 4, 5)).astype(f32)
    axes = tuple(range(-len(shape), 0))
    wide = x.astype(float)
    want = (wide - wide.mean(axes, keepdims=True)) / np.sqrt(wide.var(axes, keepdims=True) + 1e-5)
    if affine:
        layer.weight, layer.bias = rng.normal(0, 1, shape), rng.normal(0, 1, shape)
        want = want * layer.weight + layer.bias
    close(layer(x), want, 2e-6)
    assert (layer.weight is None) is not affine
    with pytest.raises(RuntimeError, match=r"Given normalized_shape=\[.*5\], expected input .*, 5\], but got"):
        layer(x[..., :3])


def test_batch_norm():
    rng = np.random.default_rng(0)
    layer, x = nn.BatchNorm1d(4), rng.normal(3, 2, (7, 4, 5)).astype(f32)
    layer.load_state_dict(
        {
            **{name: rng.normal(0, 1, 4) for name in ("weight", "bias", "running_mean")},
            "running_var": rng.uniform(0.5, 2, 4),
            "num_batches_tracked": 3,
        }
    )
    column = {name: value[:, None].astype(float) for name, value in layer.state_dict().items() if value.ndim}
    want = (x - column["running_mean"]) / np.sqrt(column["running_var"] + 1e-5) * column["weight"] + column["bias"]
    close(layer(x), want, 2e-6)
    close(layer(x[..., 0]), want[..., 0], 2e-6)
    assert layer.num_batches_tracked == 3 and layer.train()(x).tobytes() == layer.eval()(x).tobytes()
    for wrong, kind in ((x[:, :3], RuntimeError), (x[0, 0], ValueError), (x[None], ValueError)):
        with pytest.raises(kind, match="should contain 3 elements not 4|expected 2D or 3D input"):
            layer(wrong)
    with pytest.raises(ValueError, match="^track_running_stats: expected True, got False"):
        nn.BatchNorm1d(4, track_running_stats=False)


def test_embedding():
    table = nn.Embedding(5, 3, padding_idx=-1)
    assert table.padding_idx == 4 and not table.weight[4].any() and table.weight[:4].all()
    table.weight = np.arange(15.0).reshape(5, 3)
    assert table([[4, 0], [1, 1]]).tolist() == [[[12, 13, 14], [0, 1, 2]], [[3, 4, 5], [3, 4, 5]]]
    assert table(np.zeros((0, 2), int)).shape == (0, 2, 3) and table(2).tolist() == [6, 7, 8]
    for wrong in ([5], [-1]):
        with pytest.raises(IndexError, match=r"^input: expected indices in 0..4, got"):
            table(wrong)
    with pytest.raises(TypeError, match="^input: expected integers.* got float64"):
        table([1.0])
    for options in ({"padding_idx": 5}, {"padding_idx": -6}, {"max_norm": 1.0}):
        with pytest.raises(ValueError, match="adding_idx|^max_norm"):
            nn.Embedding(5, 3, **options)
    again = nn.Embedding.from_pretrained(table.weight, padding_idx=1)
    assert_same_bits(again.weight, table.weight)


def convolved(layer, x, before, after):
    """The equation of Conv1d, in float64."""
    x = np.pad(x.astype(float), [(0, 0), (0, 0), (before, after)])
    (kernel,), (stride,), (dilation,) = layer.kernel_size, layer.stride, layer.dilation
    steps = (x.shape[-1] - dilation * (kernel - 1) - 1) // stride + 1
    out = np.zeros((len(x), layer.out_channels, steps))
    ins, outs = layer.in_channels // layer.groups, layer.out_channels // layer.groups
    for channel in range(layer.out_channels):
        first = channel // outs * ins
        for step in range(steps):
            taps = x[:, first : first + ins, step * stride : step * stride + dilation * (kernel - 1) + 1 : dilation]
            out[:, channel, step] = (taps * layer.weight[channel]).sum((1, 2))
    return out if layer.bias is None else out + layer.bias[:, None]


CONVOLUTIONS = [
    ({}, 0, 0),
    ({"stride": 2, "padding": 1}, 1, 1),
    ({"dilation": 3, "bias": False}, 0, 0),
    ({"groups": 2, "padding": (2,)}, 2, 2),
    ({"groups": 4, "padding": "valid"}, 0, 0),
    ({"padding": "same"}, 1, 1),
    ({"padding": "same", "kernel_size": 4, "dilation": 3}, 4, 5),
    ({"padding": "causal"}, 2, 0),
    ({"padding": "causal", "kernel_size": (4,), "dilation": 2, "groups": 2}, 6, 0),
    ({"kernel_size": 1}, 0, 0),
]


@pytest.mark.parametrize("options, before, after", CONVOLUTIONS, ids=str)
def test_convolution(options, before, after):
    layer = nn.Conv1d(4, 8, **{"kernel_size": 3, **options})
    x = np.random.default_rng(0).normal(0, 1, (3, 4, 11)).astype(f32)
    close(layer(x), convolved(layer, x, before, after))
    assert_same_bits(layer(x[1]), layer(x)[1])  # unbatched, and so alone
    assert layer(x[:0]).shape == (0, *layer(x).shape[1:])


def test_errors_of_convolutions():
    layer, x = nn.Conv1d(4, 8, 3), np.zeros((2, 4, 11), f32)
    for wrong, text in (
        (x[:, :3], r"expected input\[2, 3, 11\] to have 4 channels, but got 3 channels"),
        (x[..., :2], r"input size per channel: \(2\). Kernel size: \(3\)"),
        (x[0, 0], "Expected 2D .* or 3D .* input to conv1d"),
    ):
        with pytest.raises(RuntimeError, match=text):
            layer(wrong)
    for options in (
        {"groups": 3},
        {"groups": 0},
        {"padding": "left"},
        {"padding": -1},
        {"stride": 0},
        {"stride": 2, "padding": "causal"},
        {"padding_mode": "circular"},
        {"dilation": (1, 1)},
    ):
        with pytest.raises(ValueError, match=next(iter(options)) + "|divisible|padding"):
            nn.Conv1d(4, 8, 3, **options)


def test_flatten():
    x = np.zeros((2, 3, 4, 5), np.int16)
    assert nn.Flatten()(x).shape == (2, 60) and nn.Flatten(-3, 2)(x).shape == (2, 12, 5)
    assert nn.Flatten()(x).dtype == np.int16 and nn.Flatten(0)(3).shape == (1,)
    with pytest.raises(IndexError, match="Dimension out of range"):
        nn.Flatten(1, 5)(x)
    with pytest.raises(RuntimeError, match="start_dim cannot come after end_dim"):
        nn.Flatten(2, 1)(x)


@pytest.mark.parametrize(
    "layer",
    [nn.Softmax(-1), nn.LogSoftmax(-1), nn.LayerNorm(6), nn.BatchNorm1d(6), nn.ELU(), nn.Softplus(), nn.Hardsigmoid()],
    ids=lambda layer: type(layer).__name__,
)
def test_a_row_alone_has_the_same_bits(layer):
    x = np.random.default_rng(0).normal(0, 3, (1001, 6)).astype(f32)
    together = layer(x)
    for row in (0, 1, 2, 500, 1000):
        assert_same_bits(layer(x[row : row + 1]), together[row : row + 1])


# ---------------------------------------------------------------------------------------------------
# Containers, parameters, state
# ---------------------------------------------------------------------------------------------------
def test_module_dict():
    heads = nn.ModuleDict({"a": nn.Linear(4, 3), "b": nn.Tanh()})
    heads["c"] = nn.RNNCell(3, 2)
    heads.update([("a", nn.Identity())])
    assert list(heads) == ["a", "b", "c"] == list(heads.keys()) and len(heads) == 3 and "c" in heads
    assert [type(module) for module in heads.values()] == [nn.Identity, nn.Tanh, nn.RNNCell]
    assert next(iter(heads.state_dict())) == "c.weight_ih" and dict(heads.items())["b"] is heads["b"]
    assert isinstance(qrnn.quantize_dynamic(heads)["c"], qrnn.RNNCell)
    assert isinstance(heads.pop("b"), nn.Tanh) and list(heads) == ["a", "c"]
    del heads["a"]
    heads.clear()
    assert not list(heads.children())
    for wrong, kind in (
        ({"a": 3}, TypeError),
        (3, TypeError),
        ({"pop": nn.Tanh()}, KeyError),
        ({"": nn.Tanh()}, KeyError),
    ):
        with pytest.raises(kind):
            nn.ModuleDict(wrong)
    with pytest.raises(KeyError):
        heads["a"]
    with pytest.raises(NotImplementedError):
        heads(1)


class Own(nn.Module):
    def __init__(self):
        super().__init__()
        self.cell = nn.RNNCell(4, 3)
        self.gain = nn.Parameter(np.ones(3))
        self.norm = nn.BatchNorm1d(3)
        self.register_buffer("count", np.zeros(2, int))
        self.register_parameter("absent", None)


def test_parameters_are_plain_read_only_arrays():
    model = Own()
    assert type(model.gain) is np.ndarray and model.gain.dtype == f32 and not model.gain.flags.writeable
    assert list(model.state_dict())[:3] == ["gain", "count", "cell.weight_ih"] and model.absent is None
    model.gain = [1, 2, 3]
    assert type(model.gain) is np.ndarray and model.gain.tolist() == [1, 2, 3]
    for wrong, kind in (([1, 2], ValueError), ([1, np.nan, 3], ValueError), (np.ones(3, int), TypeError)):
        with pytest.raises(kind, match="^gain: expected"):
            model.gain = wrong
    with pytest.raises(ValueError, match=r"^count: expected int64 of shape \(2,\), got float64"):
        model.count = [0.5, 1]
    for wrong, kind in ((None, TypeError), (nn.Parameter([1, 2]), ValueError)):
        with pytest.raises(kind, match="^gain: expected"):
            model.gain = wrong
    assert model.gain.tolist() == [1, 2, 3] and model.count.tolist() == [0, 0]
    del model.gain
    assert "gain" not in model.state_dict() and not hasattr(model, "gain")
    model.gain = [1]
    assert type(model.gain) is list, "an attribute like any other"
    model.gain = nn.Parameter([1, 2])
    assert model.state_dict()["gain"].tolist() == [1, 2]
    with pytest.raises(ValueError, match="^data: expected finite"):
        nn.Parameter([np.inf])


def test_named_parameters():
    model = Own()
    names = [name for name, _ in model.named_parameters()]
    cell = [f"cell.{name}" for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
    assert names == ["gain", *cell, "norm.weight", "norm.bias"]
    assert [name for name, _ in model.named_parameters("m", recurse=False)] == ["m.gain"]
    for (name, value), alone in zip(model.named_parameters(), model.parameters(), strict=True):
        assert_same_bits(value, model.state_dict()[name])
        assert_same_bits(alone, value)
    assert not list(qrnn.RNNCell(4, 3).parameters()), "quantized weights are none, as in PyTorch"
    shared = nn.Sequential(model.norm, model.norm)
    assert len(list(shared.parameters())) == 2 and len(list(shared.named_parameters(remove_duplicate=False))) == 4


def test_state_of_arrays():
    model, other = Own(), Own()
    model.gain, model.count, model.norm.running_var = [1, 2, 3], [4, 5], [6, 7, 8]
    other.load_state_dict(model.state_dict())
    for name, value in model.state_dict().items():
        assert np.array_equal(other.state_dict()[name], value), name
    before = other.state_dict()
    for key, wrong in (("gain", np.ones(2)), ("gain", [np.nan] * 3), ("gain", np.ones(3, int)), ("count", np.ones(2))):
        with pytest.raises(RuntimeError, match=key):
            other.load_state_dict({**before, key: wrong, "norm.weight": np.zeros(3)})
    assert all(np.array_equal(before[name], value) for name, value in other.state_dict().items())
    with pytest.raises(RuntimeError, match=r'Missing key\(s\) in state_dict: "gain"'):
        other.load_state_dict({name: value for name, value in before.items() if name != "gain"})
    assert model.nbytes == model.cell.nbytes + 4 * (3 + 4 * 3) + 8 + 2 * 8


@pytest.mark.parametrize("make", [Own, lambda: nn.Conv1d(4, 8, 3, groups=2), lambda: nn.Embedding(4, 3)])
def test_copies_of_arrays(make):
    model = make()
    for new in (copy.copy(model), copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        for name, value in new.named_parameters():
            assert np.array_equal(value, model.state_dict()[name]) and not value.flags.writeable
    conv = copy.deepcopy(nn.Conv1d(1, 1, 1, bias=False))
    conv.weight = [[[3]]]
    assert conv(np.ones((1, 2), f32)).tolist() == [[3, 3]]
    conv.load_state_dict({"weight": np.full((1, 1, 1), 5.0)})
    assert conv(np.ones((1, 2), f32)).tolist() == [[5, 5]] and conv.nbytes > 4


def test_copies_of_conversions_share_the_arrays():
    model = nn.Sequential(nn.Embedding(9, 4), nn.RNNCell(4, 3), nn.LayerNorm(3))
    for new in (
        qrnn.quantize_dynamic(model),
        qrnn.prepare(model, qconfig={}, inplace=False),
        qrnn.stream(model)._model,
    ):
        assert new[0].weight is model[0].weight and new[2].bias is model[2].bias and new[0] is not model[0]
    new[0].weight = np.zeros((9, 4))
    assert model[0].weight.any()


def test_a_layer_with_a_parameter_of_its_own():
    class Scaled(nn.GRUCell):
        def __init__(self):
            super().__init__(4, 3)
            self.gain = nn.Parameter([2.0])

        def forward(self, x):
            return self.gain * super().forward(x)

    cell, other = Scaled(), Scaled()
    cell.gain = [3]
    other.load_state_dict(cell.state_dict())
    x = np.ones((2, 4), f32)
    assert_same_bits(other(x), cell(x))
    assert [name for name, _ in cell.named_parameters()][-1] == "gain"


# ---------------------------------------------------------------------------------------------------
# Beside PyTorch
# ---------------------------------------------------------------------------------------------------
BESIDE = [
    *((text, "x") for text, _ in ACTIVATIONS),
    ("Softmax(1)", "x"),
    ("LogSoftmax(dim=-1)", "x"),
    ("LayerNorm(6)", "x"),
    ("LayerNorm((4, 6), eps=1e-3)", "x"),
    ("LayerNorm(6, bias=False)", "x"),
    ("LayerNorm(6, elementwise_affine=False)", "x"),
    ("BatchNorm1d(4)", "x"),
    ("BatchNorm1d(4, affine=False, momentum=None)", "x"),
    ("BatchNorm1d(6)", "x[:, 0]"),
    ("Flatten()", "x"),
    ("Flatten(0, 1)", "x"),
    ("Conv1d(4, 8, 3)", "x"),
    ("Conv1d(4, 8, 3, 2, 1, bias=False)", "x"),
    ("Conv1d(4, 8, (2,), dilation=2, groups=2)", "x"),
    ("Conv1d(4, 4, 3, padding='same', groups=4)", "x"),
    ("Conv1d(4, 8, 3, padding='valid')", "x[0]"),
    ("Embedding(7, 3)", "codes"),
    ("Embedding(7, 3, padding_idx=-2)", "codes"),
    ("ModuleDict({'a': nn.ReLU(), 'b': nn.Linear(4, 3)})", None),
]


@needs_torch
@pytest.mark.parametrize("text, what", BESIDE, ids=lambda text: str(text))
def test_modules_beside_torchs(text, what):
    """Text, keys and shapes of states, and results within float rounding; each loads the other's state."""
    import torch

    theirs, ours = eval(f"nn.{text}", {"nn": torch.nn}).eval(), eval(f"nn.{text}", {"nn": nn})
    assert repr(ours).replace(", bias=True, track", ", track") == repr(theirs).replace(", bias=True, track", ", track")
    rng = np.random.default_rng(0)
    state = {
        name: torch.tensor(3) if value.ndim == 0 else torch.from_numpy(rng.uniform(0.5, 2, value.shape).astype(f32))
        for name, value in theirs.state_dict().items()
    }
    theirs.load_state_dict(state)
    ours.load_state_dict(theirs.state_dict())
    assert list(ours.state_dict()) == list(state)
    theirs.load_state_dict({name: torch.from_numpy(value) for name, value in ours.state_dict().items()})
    assert [n for n, _ in ours.named_parameters()] == [n for n, _ in theirs.named_parameters()]
    if what is None:
        return
    x, codes = rng.normal(0, 3, (3, 4, 6)).astype(f32), rng.integers(0, 7, (3, 4))
    given = eval(what, {"x": x, "codes": codes})
    with torch.no_grad():
        want = theirs(torch.from_numpy(given))
        got = ours(torch.from_numpy(given))
    assert isinstance(got, torch.Tensor) and got.dtype == want.dtype
    close(np.asarray(ours(given)), want.numpy(), 2e-6)


@needs_torch
@pytest.mark.parametrize(
    "text, shape",
    [
        ("LayerNorm(3)", (2, 4)),
        ("LayerNorm((2, 3))", (3,)),
        ("BatchNorm1d(3)", (2, 3, 4, 4)),
        ("Conv1d(4, 8, 3)", (2, 3, 5)),
        ("Conv1d(4, 8, 3)", (2, 4, 2)),
        ("Conv1d(4, 8, 3)", (4,)),
        ("Flatten(1, 5)", (2, 3)),
        ("Flatten(2, 1)", (2, 3, 4)),
        ("Softmax(3)", (2, 3)),
    ],
)
def test_errors_are_torchs(text, shape):
    import torch

    with pytest.raises((RuntimeError, ValueError, IndexError)) as theirs:
        eval(f"nn.{text}", {"nn": torch.nn}).eval()(torch.ones(shape))
    with pytest.raises(type(theirs.value)) as ours:
        eval(f"nn.{text}", {"nn": nn})(np.ones(shape, f32))
    assert str(ours.value) == str(theirs.value)
