"""qrnn.nn: the tree of modules, state_dict, repr, the layers; beside torch.nn where that is installed."""

from __future__ import annotations

import copy
import io
import pickle

import numpy as np
import pytest
import reference as ref
from support import assert_same_bits, needs_torch, ulps

import qrnn
from qrnn import nn
from qrnn.nn.quantized import dynamic as qd

f32 = np.float32


class Inner(nn.Module):
    def __init__(self):
        super().__init__()
        self.cell = nn.RNNCell(4, 3)
        self.act = nn.ReLU()

    def forward(self, x, h=None):
        return self.act(self.cell(x, h))


class Outer(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = Inner()
        self.layers = nn.ModuleList([nn.Linear(3, 3), nn.Linear(3, 3)])
        self.head = nn.Sequential(nn.Linear(3, 2), nn.Tanh(), nn.Dropout(0.1))
        self.number = 7
        self.array = np.zeros(2)

    def forward(self, x):
        y = self.first(x)
        for layer in self.layers:
            y = layer(y)
        return self.head(y)


NAMES = [
    "",
    "first",
    "first.cell",
    "first.act",
    "layers",
    "layers.0",
    "layers.1",
    "head",
    "head.0",
    "head.1",
    "head.2",
]


# ---------------------------------------------------------------------------------------------------
# The tree
# ---------------------------------------------------------------------------------------------------
def test_children_are_found_by_attribute():
    model = Outer()
    assert [name for name, _ in model.named_modules()] == NAMES
    assert [name for name, _ in model.named_children()] == ["first", "layers", "head"]
    assert list(model.children()) == [model.first, model.layers, model.head]
    assert len(list(model.modules())) == len(NAMES)
    assert [n for n, _ in model.named_modules(prefix="m")] == ["m"] + [f"m.{n}" for n in NAMES[1:]]


def test_a_module_without_super_init():
    """__init__ of the base class takes nothing and may be left out."""

    class Lazy(nn.Module):
        def __init__(self):
            self.cell = qd.RNNCell(2, 2)

        def forward(self, x):
            return self.cell(x)

    model = Lazy()
    assert model.training and [n for n, _ in model.named_modules()] == ["", "cell"]
    assert model(np.zeros((1, 2), f32)).shape == (1, 2)


def test_replacing_and_deleting_children():
    model = Outer()
    model.first = nn.Identity()
    assert [n for n, _ in model.named_children()] == ["first", "layers", "head"], "a child keeps its place"
    del model.head
    model.first = None
    assert [n for n, _ in model.named_children()] == ["layers"]
    model.add_module("late", nn.Tanh())
    assert [n for n, _ in model.named_children()] == ["layers", "late"]


def test_a_module_referenced_twice():
    cell = nn.RNNCell(3, 3)
    model = nn.Sequential(cell, cell)
    assert [n for n, _ in model.named_modules()] == ["", "0"]
    assert [n for n, _ in model.named_modules(remove_duplicate=False)] == ["", "0", "1"]
    assert sorted(model.state_dict()) == sorted(
        f"{i}.{n}" for i in "01" for n in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    )


def test_a_cycle_does_not_hang():
    model = Inner()
    inner = nn.Sequential(model)
    model.act = inner
    assert [n for n, _ in model.named_modules()] == ["", "cell", "act"]


def test_get_submodule():
    model = Outer()
    assert model.get_submodule("") is model and model.get_submodule("head.1") is model.head[1]
    for bad in ("nope", "first.nope", "number", "head.9"):
        with pytest.raises(AttributeError):
            model.get_submodule(bad)


@pytest.mark.parametrize(
    "name, module, kind",
    [
        ("", nn.Tanh(), KeyError),
        ("a.b", nn.Tanh(), KeyError),
        ("forward", nn.Tanh(), KeyError),
        ("x", 3, TypeError),
        (3, nn.Tanh(), TypeError),
    ],
)
def test_bad_children(name, module, kind):
    with pytest.raises(kind):
        nn.Module().add_module(name, module)


def test_train_eval_and_apply():
    model = Outer()
    assert all(m.training for m in model.modules())
    assert model.eval() is model and not any(m.training for m in model.modules())
    assert model.train() is model and all(m.training for m in model.modules())
    with pytest.raises(ValueError, match="boolean"):
        model.train("yes")
    seen = []
    assert model.apply(lambda m: seen.append(type(m).__name__)) is model
    assert seen[-1] == "Outer" and len(seen) == len(NAMES) and seen[0] == "RNNCell"


def test_a_module_without_forward():
    with pytest.raises(NotImplementedError, match="forward"):
        nn.Module()(1)
    with pytest.raises(NotImplementedError):
        nn.ModuleList([nn.Tanh()])(1)


def test_nbytes_of_a_tree():
    model = Outer()
    assert model.nbytes == sum(m.nbytes for m in (model.first.cell, *model.layers, model.head[0]))
    assert nn.ReLU().nbytes == 0 and nn.RNNCell(64, 64).nbytes >= 2 * 64 * 64 * 4


# ---------------------------------------------------------------------------------------------------
# Hooks and subclasses
# ---------------------------------------------------------------------------------------------------
def test_hooks():
    model, calls = Inner(), []
    one = model.register_forward_pre_hook(lambda m, args: calls.append(len(args)))
    two = model.register_forward_hook(lambda m, args, result: result + 1)
    x = np.ones((2, 4), f32)
    plain = model.forward(x)
    assert_same_bits(model(x), plain + 1)
    with two:
        pass
    one.remove()
    one.remove()
    assert_same_bits(model(x), plain)
    assert calls == [1]
    with model.register_forward_pre_hook(lambda m, args: (args[0] * 2,)):
        assert_same_bits(model(x), model.forward(x * 2))


def test_a_hook_removed_twice_leaves_the_next_one():
    model, calls = Inner(), []
    first = model.register_forward_hook(lambda *_: calls.append("first"))
    first.remove()
    model.register_forward_hook(lambda *_: calls.append("second"))
    first.remove()
    model(np.ones((2, 4), f32))
    assert calls == ["second"]


def test_hooks_on_what_runs_in_c():
    """They would never run, so they are refused."""
    for layer in (nn.RNNCell(2, 2), qd.RNNCell(2, 2), nn.Linear(2, 2)):
        with pytest.raises(RuntimeError, match="hook"):
            layer.register_forward_hook(print)


@pytest.mark.parametrize("base", [nn.RNNCell, qd.RNNCell])
def test_a_subclass_with_forward_has_it_called(base):
    class Doubled(base):
        def forward(self, input, hx=None):
            return 2 * super().forward(input, hx)

    class Deeper(Doubled):
        pass

    class Called(base):
        def __call__(self, input):
            return "called"

    x = np.ones((2, 4), f32)
    for cls in (Doubled, Deeper):
        cell = cls(4, 3)
        assert_same_bits(cell(x), 2 * base.forward(cell, x))
    assert Called(4, 3)(x) == "called"


def test_a_plain_subclass_keeps_its_attributes():
    class Named(qd.RNNCell):
        def __init__(self, *args, name):
            super().__init__(*args)
            self.name = name

    cell = Named(4, 3, name="n")
    assert cell.name == "n" and cell(np.ones((2, 4), f32)).shape == (2, 3)
    assert copy.deepcopy(cell).name == "n"


# ---------------------------------------------------------------------------------------------------
# Containers
# ---------------------------------------------------------------------------------------------------
def test_sequential():
    a, b, c = nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)
    model = nn.Sequential(a, b, c)
    x = np.random.default_rng(80).standard_normal((5, 4)).astype(f32)
    assert_same_bits(model(x), c(b(a(x))))
    assert len(model) == 3 and model[-1] is c and list(model) == [a, b, c]
    assert_same_bits(model[:2](x), b(a(x)))
    model[1] = nn.Tanh()
    assert_same_bits(model(x), c(np.asarray(qrnn.nn.Tanh()(a(x)))))
    del model[1]
    assert list(model) == [a, c] and [n for n, _ in model.named_children()] == ["0", "1"]
    named = nn.Sequential({"one": a, "two": c})
    assert named.one is a and [n for n, _ in named.named_children()] == ["one", "two"]
    assert nn.Sequential()(x) is x
    with pytest.raises(TypeError):
        nn.Sequential(a, 3)
    with pytest.raises(IndexError):
        model[5]


def test_module_list():
    items = [nn.Tanh(), nn.ReLU(), nn.Sigmoid()]
    layers = nn.ModuleList(items)
    assert list(layers) == items and layers[1] is items[1] and layers[-1] is items[-1] and len(layers) == 3
    assert list(layers[1:]) == items[1:] and isinstance(layers[1:], nn.ModuleList)
    layers.append(nn.Identity()).extend([nn.Tanh()])
    layers.insert(0, nn.ReLU())
    assert len(layers) == 6 and [n for n, _ in layers.named_children()] == [str(n) for n in range(6)]
    assert layers.pop(0) is not items[0] and layers[0] is items[0]
    layers += [nn.Tanh()]
    assert len(layers) == 6
    for bad in (3, None, "x"):
        with pytest.raises(TypeError):
            layers.append(bad)
    with pytest.raises(TypeError):
        layers.extend([nn.Tanh(), 3])
    assert len(layers) == 6, "nothing was added"
    many = nn.ModuleList(nn.Identity() for _ in range(12))
    assert [n for n, _ in many.named_children()] == [str(n) for n in range(12)]


# ---------------------------------------------------------------------------------------------------
# Layers
# ---------------------------------------------------------------------------------------------------
def test_activations():
    x = np.linspace(-9, 9, 1001, dtype=f32).reshape(7, 143)
    assert_same_bits(nn.ReLU()(x), np.maximum(x, 0))
    assert ulps(nn.Tanh()(x), ref.tanh(x)).max() <= 2
    assert ulps(nn.Sigmoid()(x), (1 / (1 + np.exp(-x.astype(float)))).astype(f32)).max() <= 2
    assert nn.Identity(1, a=2)(x) is x and nn.Dropout(0.5)(x) is x
    assert nn.ReLU()([-1, 2]).tolist() == [0, 2]
    for p in (-0.1, 1.5):
        with pytest.raises(ValueError, match="dropout"):
            nn.Dropout(p)


def test_relu_in_place():
    x = np.array([-1, 2], f32)
    assert nn.ReLU(inplace=True)(x) is x and x.tolist() == [0, 2]


@needs_torch
def test_relu_in_place_of_tensors():
    import torch

    relu = nn.ReLU(inplace=True)
    for x in (torch.tensor([[-1.0, 2.0], [3.0, -4.0]]), torch.tensor([[-1.0, 3.0], [2.0, -4.0]]).T):
        assert relu(x) is x and x.tolist() == [[0, 2], [3, 0]]
    weight, x = torch.ones(2, requires_grad=True), torch.ones(2)
    y = (weight * x).sum()
    relu(x)
    with pytest.raises(RuntimeError, match="inplace operation"):  # autograd knows that x changed
        y.backward()
    for bad in (
        torch.ones(2, dtype=torch.float64),
        torch.ones(2, dtype=torch.bfloat16),
        torch.ones(2, requires_grad=True),
        torch.ones(1).expand(2),
    ):
        with pytest.raises(ValueError, match="^input: expected a .*tensor.*inplace=True"):
            relu(bad)
    with pytest.raises(TypeError, match="^input: expected an array of real numbers"):
        relu(torch.ones(2, device="meta"))


def test_relu_in_place_of_what_cannot_be_written_over():
    relu, fixed = nn.ReLU(inplace=True), np.ones(3, f32)
    fixed.flags.writeable = False
    for bad in (np.ones(3), fixed, np.ones((3, 4), f32)[:, ::2]):
        with pytest.raises(ValueError, match="^input: expected .* got .*inplace=True"):
            relu(bad)
    for bad in ([1.0], None, "x", 3):
        with pytest.raises(TypeError, match="^input: expected .* got .*inplace=True"):
            relu(bad)


@pytest.mark.parametrize("nonlinearity", ["tanh", "relu"])
@pytest.mark.parametrize("bias", [True, False])
def test_float_cell(nonlinearity, bias):
    cell = nn.RNNCell(5, 4, bias=bias, nonlinearity=nonlinearity)
    assert cell.weight_ih.shape == (4, 5) and cell.weight_hh.shape == (4, 4)
    assert cell.bias is bias and (cell.bias_ih is not None) == bias
    assert cell.nonlinearity == nonlinearity and (cell.input_size, cell.hidden_size) == (5, 4)
    rng = np.random.default_rng(81)
    x, h = rng.standard_normal((3, 5)).astype(f32), rng.standard_normal((3, 4)).astype(f32)
    want = ref.cell_float64(nonlinearity, x, h, cell.weight_ih, cell.weight_hh, cell.bias_ih, cell.bias_hh)
    np.testing.assert_allclose(cell(x, h), want, rtol=1e-5, atol=1e-6)


def test_assignment_packs_anew():
    cell = nn.RNNCell(3, 2)
    x = np.ones((1, 3), f32)
    cell.weight_ih, cell.weight_hh = [[1, 2, 3], [0, 0, 0]], np.zeros((2, 2))
    cell.bias_ih, cell.bias_hh = [0, 1], [0, 0]
    np.testing.assert_allclose(cell(x), np.tanh([[6, 1]]), rtol=1e-6)
    source = np.ones((2, 3), f32)
    cell.weight_ih = source
    source[:] = 5
    assert (cell.weight_ih == 1).all(), "the module keeps its own copy"


def test_new_weights():
    """Uniform in +-1/sqrt(hidden_size), from the generator that manual_seed seeds."""
    for make in (lambda: nn.RNNCell(50, 64), lambda: nn.Linear(64, 50)):
        qrnn.manual_seed(5)
        a = make().state_dict()
        b = make().state_dict()
        qrnn.manual_seed(5)
        again = make().state_dict()
        for name, value in a.items():
            assert_same_bits(value, again[name])
            assert not (value == b[name]).all()
            assert np.abs(value).max() <= 1 / 8
        assert np.abs(a["weight_hh" if "weight_hh" in a else "weight"]).max() > 0.12
    qrnn.manual_seed(6)
    q = qd.RNNCell(50, 64).get_weight()["weight_hh"].dequantize()
    qrnn.manual_seed(6)
    assert_same_bits(q, qd.RNNCell.from_float(nn.RNNCell(50, 64)).get_weight()["weight_hh"].dequantize())


# ---------------------------------------------------------------------------------------------------
# state_dict, copies, pickles
# ---------------------------------------------------------------------------------------------------
def test_state_dict_keys_and_types():
    state = Outer().state_dict()
    assert list(state) == [
        "first.cell.weight_ih",
        "first.cell.weight_hh",
        "first.cell.bias_ih",
        "first.cell.bias_hh",
        "layers.0.weight",
        "layers.0.bias",
        "layers.1.weight",
        "layers.1.bias",
        "head.0.weight",
        "head.0.bias",
    ]
    assert all(type(v) is np.ndarray and v.dtype == f32 for v in state.values())
    assert list(nn.RNNCell(2, 2, bias=False).state_dict()) == ["weight_ih", "weight_hh"]


def test_state_dict_is_a_copy():
    model = Inner()
    model.state_dict()["cell.weight_ih"][:] = 9
    assert (model.cell.weight_ih != 9).all()


@pytest.mark.parametrize("saver", [np.savez, np.savez_compressed])
def test_state_dict_through_a_file(saver):
    a, b = Outer(), Outer()
    x = np.random.default_rng(82).standard_normal((3, 4)).astype(f32)
    file = io.BytesIO()
    saver(file, **a.state_dict())
    file.seek(0)
    with np.load(file) as stored:
        assert "All keys matched" in str(b.load_state_dict(stored))
    assert_same_bits(b(x), a(x))


def test_load_state_dict_not_strict():
    a, b = Outer(), Outer()
    state = a.state_dict()
    del state["head.0.bias"]
    state["extra"] = np.zeros(1)
    kept = b.head[0].bias
    result = b.load_state_dict(state, strict=False)
    assert result.missing_keys == ["head.0.bias"] and result.unexpected_keys == ["extra"]
    assert_same_bits(b.head[0].bias, kept)
    assert_same_bits(b.head[0].weight, a.head[0].weight)


@pytest.mark.parametrize("entries", [("0",), ("1",), ("0", "1")])
@pytest.mark.parametrize("cls", [nn.Linear, nn.LSTMCell, nn.GRU, qd.Linear, qd.LSTMCell, qd.GRU])
def test_a_module_referenced_twice_takes_entries_under_both_names(cls, entries):
    """Of two names that have entries the later one counts, as in PyTorch."""
    shared, others = cls(3, 2), [cls(3, 2) for _ in entries]
    model = nn.Sequential(shared, shared)
    state = {f"{at}.{n}": v for at, other in zip(entries, others) for n, v in other.state_dict().items()}
    model.load_state_dict(state, strict=False)
    for name, value in others[-1].state_dict().items():
        np.testing.assert_array_equal(shared.state_dict()[name], value)


@pytest.mark.parametrize("cls", [nn.Linear, qd.Linear])
def test_two_names_can_share_out_the_entries(cls):
    shared, first, second = cls(3, 2), cls(3, 2), cls(3, 2)
    state = {f"1.{n}": v for n, v in second.state_dict().items() if n != "bias"}
    nn.Sequential(shared, shared).load_state_dict({"0.bias": first.state_dict()["bias"], **state}, strict=False)
    np.testing.assert_array_equal(shared.state_dict()["bias"], first.state_dict()["bias"])
    np.testing.assert_array_equal(shared.state_dict()["weight"], second.state_dict()["weight"])


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies(duplicate):
    model = Outer()
    model.eval()
    new = duplicate(model)
    x = np.random.default_rng(83).standard_normal((3, 4)).astype(f32)
    assert_same_bits(new(x), model(x))
    assert new is not model and not new.training and new.number == 7
    cell = duplicate(model.first.cell)
    cell.bias_ih = np.full(3, 5, f32)
    assert (model.first.cell.bias_ih != 5).all(), "a copy's new weights are its own"


# ---------------------------------------------------------------------------------------------------
# Beside torch.nn
# ---------------------------------------------------------------------------------------------------
REPRS = """
nn.RNNCell(4, 3)
nn.RNNCell(4, 3, bias=False)
nn.RNNCell(4, 3, nonlinearity="relu")
nn.RNNCell(4, 3, bias=False, nonlinearity="relu")
nn.Linear(4, 3)
nn.Linear(4, 3, bias=False)
nn.ReLU()
nn.ReLU(inplace=True)
nn.Tanh()
nn.Sigmoid()
nn.Dropout(0.2)
nn.Dropout(p=0.5, inplace=True)
nn.Identity()
nn.Sequential()
nn.Sequential(nn.Linear(4, 3), nn.ReLU())
nn.ModuleList([nn.Linear(4, 3), nn.Linear(4, 3), nn.Tanh(), nn.RNNCell(3, 3)])
nn.ModuleList([nn.Sequential(nn.Linear(4, 3), nn.Tanh()) for _ in range(3)])
nn.ModuleList()
nn.Sequential(nn.ModuleList([nn.Sequential(nn.RNNCell(1, 1))]), nn.Sequential(nn.Tanh()))
""".strip().splitlines()


@needs_torch
@pytest.mark.parametrize("text", REPRS)
def test_repr_is_torchs(text):
    import torch

    assert repr(eval(text, {"nn": nn})) == repr(eval(text, {"nn": torch.nn}))


def test_repr():
    assert repr(Inner()) == "Inner(\n  (cell): RNNCell(4, 3)\n  (act): ReLU()\n)"

    class Extra(nn.Module):
        def extra_repr(self):
            return "a=1"

    assert repr(Extra()) == "Extra(a=1)"


@needs_torch
def test_same_tree_as_torch():
    """Names of modules and of state entries, in torch's order; each loads the other's state."""
    import torch

    def build(nn):
        return nn.Sequential(
            nn.ModuleList([nn.Linear(4, 3, bias=False), nn.RNNCell(3, 2)]),
            nn.Sequential(nn.RNNCell(2, 2, bias=False)),
        )

    ours, theirs = build(nn), build(torch.nn)
    assert [n for n, _ in ours.named_modules()] == [n for n, _ in theirs.named_modules()]
    assert list(ours.state_dict()) == list(theirs.state_dict())
    ours.load_state_dict(theirs.state_dict())
    for name, value in ours.state_dict().items():
        assert_same_bits(value, theirs.state_dict()[name].numpy())
    theirs.load_state_dict({k: torch.from_numpy(v) for k, v in build(nn).state_dict().items()})


@needs_torch
def test_load_errors_name_what_torchs_name():
    import torch

    state = {"weight_ih": np.zeros((3, 4), f32), "bias_ih": np.zeros(5, f32), "other": np.zeros(1, f32)}
    with pytest.raises(RuntimeError) as ours:
        nn.RNNCell(4, 3).load_state_dict(state)
    with pytest.raises(RuntimeError) as theirs:
        torch.nn.RNNCell(4, 3).load_state_dict({k: torch.from_numpy(v) for k, v in state.items()})
    for word in (
        "weight_hh",
        "bias_hh",
        "bias_ih",
        "other",
        "Missing key(s)",
        "Unexpected key(s)",
        "size mismatch",
    ):
        assert word in str(theirs.value) and word in str(ours.value)


def test_containers_lose_no_child():
    layers = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Tanh())
    setattr(layers, "0", None)
    layers.append(nn.Sigmoid())
    assert [type(layer) for layer in layers] == [nn.ReLU, nn.Tanh, nn.Sigmoid]
    for wrong in (4, -4):
        with pytest.raises(IndexError, match=f"Index out of range: {wrong}"):
            layers.insert(wrong, nn.ReLU())
