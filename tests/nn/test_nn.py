"""qrnn.nn.Module: the tree of modules, hooks, subclasses, containers; beside torch.nn where that is installed."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from support import assert_same_bits
from support.nn_models import Inner, Outer

import qrnn
from qrnn import nn
from qrnn.nn.quantized import dynamic as qd

f32 = np.float32


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


def test_hooks_that_change_the_hooks():
    """One that removes itself, or adds another, during a call: each that was there runs once, and no other."""
    model, calls, handles = Inner(), [], {}

    def leaves(name):
        def hook(*_):
            calls.append(name)
            handles[name].remove()

        return hook

    def adds(*_):
        calls.append("adds")
        model.register_forward_hook(lambda *_: calls.append("added"))

    for name, register in (("before", model.register_forward_pre_hook), ("after", model.register_forward_hook)):
        handles[name] = register(leaves(name))
        register(lambda *_, name=name: calls.append(f"{name}, stays"))
    handles["adds"] = model.register_forward_hook(adds)
    x = np.ones((2, 4), f32)
    want = model.forward(x)
    assert_same_bits(model(x), want)
    assert calls == ["before", "before, stays", "after", "after, stays", "adds"]
    handles["adds"].remove()
    calls.clear()
    assert_same_bits(model(x), want)
    assert calls == ["before, stays", "after, stays", "added"]


@pytest.mark.parametrize("make", [nn.Linear, nn.RNNCell, qd.Linear, qd.RNNCell, qd.LSTM, nn.GRU])
def test_a_deep_copy_of_a_cycle_refers_to_itself(make):
    layer = make(4, 3)
    layer.notes = {"owner": [layer]}
    for new in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert new is not layer and new.notes["owner"][0] is new
    assert layer.notes["owner"][0] is layer


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
