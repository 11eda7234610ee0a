"""prepare, convert, quantize_dynamic, QConfigs and observers: PyTorch's rules, and where qrnn differs."""

from __future__ import annotations

import copy
import pickle
import warnings

import numpy as np
import pytest
import reference as ref
from support import assert_same_bits, needs_torch

import qrnn
from qrnn import nn
from qrnn import quantization as q
from qrnn.nn.quantized import dynamic as qd

f32 = np.float32
pytestmark = pytest.mark.filterwarnings("error")  # one that no test expects is a failure

TENSOR, CHANNEL = q.default_dynamic_qconfig, q.per_channel_dynamic_qconfig
X = np.random.default_rng(100).standard_normal((3, 4)).astype(f32)


@pytest.fixture
def quiet():
    """For PyTorch's own deprecation warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


class Model(nn.Module):
    """A cell and a linear layer, one of each kind nested."""

    def __init__(self):
        super().__init__()
        self.cell = nn.RNNCell(4, 4)
        self.fc = nn.Linear(4, 4)
        self.sub = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.RNNCell(4, 3))

    def forward(self, x):
        return self.sub(self.fc(self.cell(x)))


LEAVES = ("cell", "fc", "sub.0", "sub.2")


def quantized(model):
    """Names of the quantized submodules."""
    return {n for n, m in model.named_modules() if isinstance(m, (qd.RNNCell, qd.Linear))}


def schemes(model):
    return {
        n: "channel" if "channel" in str(next(iter(m.get_weight().values())).qscheme()) else "tensor"
        for n, m in model.named_modules()
        if isinstance(m, (qd.RNNCell, qd.Linear))
    }


def no_qconfig_is_left(model):
    return not any(hasattr(m, "qconfig") for m in model.modules())


# ---------------------------------------------------------------------------------------------------
# quantize_dynamic
# ---------------------------------------------------------------------------------------------------
def test_everything_by_default():
    model = Model()
    before = model.state_dict()
    new = qrnn.quantize_dynamic(model)
    assert quantized(new) == set(LEAVES) and quantized(model) == set()
    assert new is not model and not new.training and model.training
    assert no_qconfig_is_left(new) and no_qconfig_is_left(model)
    assert list(model.state_dict()) == list(before)
    for name, value in model.state_dict().items():
        assert_same_bits(value, before[name])
    assert np.abs(new(X) - model(X)).max() < 0.1
    assert all(m.engine == "qrnn" for m in new.modules() if isinstance(m, (qd.RNNCell, qd.Linear)))


@pytest.mark.parametrize(
    "spec, expected",
    [
        ({nn.RNNCell}, {"cell", "sub.2"}),
        ({nn.Linear}, {"fc", "sub.0"}),
        ({nn.RNNCell, "fc"}, {"cell", "sub.2", "fc"}),
        ({"sub"}, {"sub.0", "sub.2"}),
        ({"sub.0"}, {"sub.0"}),
        ({"cell": TENSOR}, {"cell"}),
        ({nn.RNNCell: TENSOR, "cell": None}, {"sub.2"}),
        ({"sub": TENSOR, "sub.2": None}, {"sub.0"}),
        ({"": TENSOR}, set(LEAVES)),
        ({"": TENSOR, "fc": None}, set(LEAVES) - {"fc"}),
        (None, set(LEAVES)),
        (TENSOR, set(LEAVES)),
    ],
    ids=str,
)
def test_spec_by_type_name_set_and_none(spec, expected):
    assert quantized(qrnn.quantize_dynamic(Model(), spec)) == expected


def test_spec_chooses_the_scheme():
    """A name stands above a type, a type above the parent."""
    spec = {nn.Linear: TENSOR, "sub": CHANNEL, "fc": CHANNEL}
    assert schemes(qrnn.quantize_dynamic(Model(), spec)) == {
        "fc": "channel",
        "sub.0": "tensor",
        "sub.2": "channel",
    }


def test_an_attribute_stands_above_all():
    model = Model()
    model.fc.qconfig = TENSOR
    model.cell.qconfig = None
    got = schemes(qrnn.quantize_dynamic(model, {nn.Linear: CHANNEL, nn.RNNCell: CHANNEL, "fc": CHANNEL}))
    assert got == {"fc": "tensor", "sub.0": "channel", "sub.2": "channel"}


def test_nothing_chosen_warns():
    for spec in ({}, set(), {nn.RNNCell: None}):
        with pytest.warns(UserWarning, match="qconfig"):
            assert quantized(qrnn.quantize_dynamic(Model(), spec)) == set()
    with pytest.warns(UserWarning):
        qrnn.quantize_dynamic(nn.Sequential(nn.ReLU()), {nn.Linear})


def test_a_name_that_is_not_there_warns():
    with pytest.warns(UserWarning, match="nowhere"):
        assert quantized(qrnn.quantize_dynamic(Model(), {"nowhere": TENSOR, "fc": TENSOR})) == {"fc"}


def test_in_place():
    model = Model()
    fc = model.fc
    assert qrnn.quantize_dynamic(model, inplace=True) is model
    assert quantized(model) == set(LEAVES) and model.fc is not fc


def test_the_root_itself():
    """PyTorch returns it unchanged; here it is quantized, but not in place."""
    for make in (lambda: nn.RNNCell(4, 3), lambda: nn.Linear(4, 3)):
        module = make()
        new = qrnn.quantize_dynamic(module)
        assert type(new) in (qd.RNNCell, qd.Linear) and not new.training
        with pytest.raises(ValueError, match="inplace"):
            qrnn.quantize_dynamic(module, inplace=True)
        assert no_qconfig_is_left(module) and module.training


def test_bias_free_cells():
    """PyTorch refuses them: 'mod.bias must be True'."""
    model = nn.Sequential(nn.RNNCell(4, 3, bias=False), nn.Linear(3, 2, bias=False))
    new = qrnn.quantize_dynamic(model)
    assert quantized(new) == {"0", "1"} and new[0].bias_ih is None
    assert np.abs(new(X) - model(X)).max() < 0.05


@pytest.mark.parametrize("qconfig, scheme", [(TENSOR, "tensor"), (CHANNEL, "channel")])
def test_qconfigs_reach_the_weights(qconfig, scheme):
    model = nn.Sequential(nn.RNNCell(4, 3))
    got = qrnn.quantize_dynamic(model, {nn.RNNCell: qconfig}, engine="fbgemm")
    assert schemes(got) == {"0": scheme}
    want = ref.weight_torch(model[0].weight_hh, scheme == "channel")
    np.testing.assert_array_equal(got[0].get_weight()["weight_hh"].int_repr(), want.codes)


@pytest.mark.parametrize("engine", qrnn._core.engines())
def test_engine_and_isa(engine):
    new = qrnn.quantize_dynamic(Model(), engine=engine, isa="scalar")
    assert {(m.engine, m.isa) for m in new.modules() if isinstance(m, (qd.RNNCell, qd.Linear))} == {(engine, "scalar")}


def test_bad_arguments():
    model = Model()
    for call, kind, text in (
        (lambda: qrnn.quantize_dynamic(3), TypeError, "model"),
        (lambda: qrnn.quantize_dynamic(model, [nn.RNNCell]), TypeError, "qconfig_spec"),
        (lambda: qrnn.quantize_dynamic(model, {3: TENSOR}), TypeError, "qconfig_spec"),
        (lambda: qrnn.quantize_dynamic(model, {nn.RNNCell: 3}), TypeError, "qconfig_spec"),
        (lambda: qrnn.quantize_dynamic(model, dtype=qrnn.float16), ValueError, "float16"),
        (lambda: qrnn.quantize_dynamic(model, dtype=qrnn.quint8), ValueError, "quint8"),
        (lambda: qrnn.quantize_dynamic(model, engine="no"), ValueError, "engine"),
        (lambda: qrnn.quantize_dynamic(model, isa="no"), ValueError, "isa"),
        (lambda: qrnn.prepare(3), TypeError, "model"),
        (lambda: qrnn.prepare(model, qconfig=3), TypeError, "qconfig"),
        (lambda: qrnn.prepare(model, qconfig={}, engine="no"), ValueError, "engine"),
        (lambda: qrnn.convert(3), TypeError, "module"),
        (lambda: qrnn.convert(model, engine="no"), ValueError, "engine"),
        (lambda: q.propagate_qconfig_(model, 3), TypeError, "qconfig_dict"),
    ):
        with pytest.raises(kind, match=text):
            call()
        assert quantized(model) == set() and no_qconfig_is_left(model)


def test_failure_changes_nothing():
    """A weight that cannot be quantized, in place: the model stays as it was, in full."""
    model = Model()
    model.sub[2].weight_hh = np.full((3, 3), np.nan)
    before = list(model.modules())
    with pytest.raises(ValueError, match="weight_hh"):
        qrnn.quantize_dynamic(model, inplace=True)
    assert list(model.modules()) == before and no_qconfig_is_left(model) and model.training


def test_subclasses():
    class Plain(nn.RNNCell):
        pass

    class Own(nn.RNNCell):
        def forward(self, x, h=None):
            return super().forward(x, h)

    model = nn.Sequential(Plain(4, 4), Own(4, 4))
    with pytest.warns(UserWarning, match="forward"):
        new = qrnn.quantize_dynamic(model)
    assert quantized(new) == {"0"} and type(new[1]) is Own


def test_a_shared_module_stays_one():
    """PyTorch leaves the second reference float."""
    cell = nn.RNNCell(4, 4)
    model = nn.Sequential(cell, cell)
    model.again = cell
    new = qrnn.quantize_dynamic(model)
    assert type(new[0]) is qd.RNNCell and new[0] is new[1] is new.again
    prepared = qrnn.prepare(model, qconfig={}, inplace=False)
    assert prepared[0] is prepared[1]
    back = qrnn.convert(prepared)
    assert back[0] is back[1] and type(back[0]) is qd.RNNCell


def tied():
    """A layer under two names at the top, and one in two parts of the model."""
    model = nn.Module()
    model.a = nn.Linear(2, 2)
    model.b = model.a
    model.c = nn.Linear(2, 2)
    model.p = nn.Sequential(nn.Linear(2, 2))
    model.q = nn.Sequential(model.p[0])
    return model


@pytest.mark.parametrize(
    "spec, expected",
    [
        ({"b", "c"}, {"a", "c"}),
        ({"a", "b"}, {"a"}),
        ({nn.Linear: CHANNEL, "b": None}, {"c", "p.0"}),
        ({nn.Linear: CHANNEL, "a": None, "q.0": None}, {"c"}),
        ({"q"}, {"p.0"}),
        ({"q.0"}, {"p.0"}),
        ({"": CHANNEL, "p": None, "q": None}, {"a", "c"}),
        ({"p": None, "q": CHANNEL, "q.0": TENSOR}, {"p.0"}),
    ],
)
def test_every_name_of_a_shared_module_counts(spec, expected):
    new = qrnn.quantize_dynamic(tied(), spec)
    assert quantized(new) == expected
    assert new.a is new.b and new.p[0] is new.q[0]


@pytest.mark.parametrize(
    "spec, names",
    [({"a": CHANNEL, "b": None}, ("a", "b")), ({"a": CHANNEL, "b": TENSOR}, ("a", "b")),
     ({"": CHANNEL, "q": None}, ("p.0", "q.0"))],
)  # fmt: skip
def test_names_of_a_shared_module_that_disagree(spec, names):
    model = tied()
    one, two = names
    text = f"^qconfig_spec: expected one choice for '{one}' and '{two}', which are the same module, got "
    with pytest.raises(ValueError, match=text):
        qrnn.quantize_dynamic(model, spec, inplace=True)
    with pytest.raises(ValueError, match="^qconfig: expected one choice"):
        qrnn.prepare(model, qconfig=spec)
    assert not quantized(model) and type(model.a) is nn.Linear


@needs_torch
def test_names_of_a_shared_module_in_torch_models():
    import torch

    import qrnn.torch as qt

    linear = torch.nn.Linear(5, 5)
    model = torch.nn.ModuleDict({"a": linear, "b": torch.nn.Sequential(linear), "c": torch.nn.Linear(5, 5)})
    for spec in ({"b"}, {"b.0"}, {"a", "b.0"}):
        new = qt.quantize_dynamic(model, spec)
        assert new["a"] is new["b"][0] and "DynamicQuantized" in repr(new["a"])
        assert type(new["c"]) is torch.nn.Linear
    new = qt.quantize_dynamic(model, {torch.nn.Linear: CHANNEL, "b.0": None})
    assert type(new["a"]) is torch.nn.Linear and "DynamicQuantized" in repr(new["c"])
    with pytest.raises(ValueError, match="^qconfig_spec: expected one choice for 'a' and 'b.0', which"):
        qt.quantize_dynamic(model, {"": CHANNEL, "b": None})


def test_a_choice_in_a_model_with_a_cycle():
    model = tied()
    model.p.top = model
    q.propagate_qconfig_(model, {"b": CHANNEL, "p.0": TENSOR})
    assert [each.qconfig for each in (model.a, model.c, model.q[0])] == [CHANNEL, None, TENSOR]


def test_mapping():
    class Mine(nn.Module):
        @classmethod
        def from_float(cls, mod):
            assert mod.qconfig is not None
            new = cls()
            new.was = type(mod)
            return new

    new = qrnn.quantize_dynamic(Model(), mapping={nn.Linear: Mine})
    assert type(new.fc) is Mine and new.fc.was is nn.Linear and type(new.cell) is nn.RNNCell
    mapping = q.get_default_dynamic_quant_module_mappings()
    names = ("Linear", "RNNCell", "LSTMCell", "GRUCell", "RNN", "LSTM", "GRU")
    assert mapping == {getattr(nn, name): getattr(qd, name) for name in names}
    mapping.clear()
    assert q.get_default_dynamic_quant_module_mappings(), "each call gives a new dict"


# ---------------------------------------------------------------------------------------------------
# prepare and convert
# ---------------------------------------------------------------------------------------------------
def test_prepare_copies_without_qconfig():
    """As in PyTorch: the model is left alone, qconfigs come from attributes."""
    model = Model()
    q.propagate_qconfig_(model, {"": TENSOR})
    prepared = qrnn.prepare(model)
    assert prepared is not model and type(model.cell) is nn.RNNCell and type(prepared.cell) is not nn.RNNCell
    assert_same_bits(prepared(X), model(X))
    new = qrnn.convert(prepared)
    assert new is not prepared and quantized(new) == set(LEAVES) and quantized(prepared) == set()
    assert no_qconfig_is_left(new) and set(schemes(new).values()) == {"tensor"}


def test_a_copy_of_a_marked_model_is_not_marked():
    """prepare(qconfig=...) marks what it prepared in place; a copy of that is converted into another."""
    marked = qrnn.prepare(nn.Sequential(nn.Linear(2, 2)), qconfig={})
    copied = qrnn.prepare(marked, qconfig={}, inplace=False)
    assert qrnn.convert(copied) is not copied
    assert qrnn.convert(marked) is marked


def test_prepare_with_qconfig_works_in_place():
    """The tutorial drops what prepare and convert return."""
    model = Model()
    assert qrnn.prepare(model, qconfig={}) is model
    assert type(model.cell) is not nn.RNNCell and isinstance(model.cell, nn.RNNCell)
    assert qrnn.convert(model) is model
    assert quantized(model) == set(LEAVES) and no_qconfig_is_left(model)
    q.propagate_qconfig_(again := Model(), {"": TENSOR})
    qrnn.prepare(again, inplace=True)
    assert qrnn.convert(again) is not again, "the mark was for one convert of one model only"


def test_the_mark_is_removed():
    model = Model()
    qrnn.prepare(model, qconfig={})
    qrnn.convert(model)
    with pytest.warns(UserWarning, match="qconfig"):
        assert qrnn.convert(model) is model
    assert set(vars(model)) == set(vars(Model()))


@pytest.mark.parametrize("given", [True, False])
def test_inplace_means_what_it_says(given):
    model = Model()
    prepared = qrnn.prepare(model, inplace=given, qconfig={})
    assert (prepared is model) is given
    kept = copy.deepcopy(prepared)
    new = qrnn.convert(prepared)
    assert new is not prepared and quantized(prepared) == set(), "prepare(inplace=...) leaves no mark"
    new = qrnn.convert(kept, inplace=given)
    assert (new is kept) is given and quantized(new) == set(LEAVES)


def test_a_root_that_is_quantizable():
    for make in (lambda: nn.RNNCell(4, 3), lambda: qd.RNNCell(4, 3)):
        cell = make()
        with pytest.raises(ValueError, match="inplace"):
            qrnn.prepare(cell, inplace=True, qconfig={})
        prepared = qrnn.prepare(cell, qconfig={})
        assert prepared is not cell and type(cell) is type(make())
        with pytest.raises(ValueError, match="inplace"):
            qrnn.convert(prepared, inplace=True)
        assert type(qrnn.convert(prepared)) is qd.RNNCell


def test_convert_of_what_nobody_prepared():
    model = Model()
    with pytest.warns(UserWarning, match="None of the submodule got qconfig applied"):
        assert qrnn.convert(model) is model
    with pytest.warns(UserWarning, match="None of the submodule got qconfig applied"):
        qrnn.prepare(nn.Sequential(nn.Tanh()), qconfig={})
    assert quantized(model) == set()


def test_remove_qconfig():
    model = Model()
    q.propagate_qconfig_(model, {nn.RNNCell: TENSOR})
    assert hasattr(qrnn.convert(model, remove_qconfig=False), "qconfig")
    assert no_qconfig_is_left(qrnn.convert(model))


def test_training_between():
    """Weights changed between prepare and convert are what is quantized."""
    model = Model()
    qrnn.prepare(model, qconfig={})
    new_weight = np.random.default_rng(101).standard_normal((4, 4)).astype(f32)
    model.cell.weight_ih = new_weight
    assert_same_bits(model.cell.weight_ih, new_weight)
    qrnn.convert(model)
    want = ref.weight_qrnn(new_weight)
    got = model.cell.get_weight()["weight_ih"]
    np.testing.assert_array_equal(got.int_repr(), want.codes)
    assert_same_bits(got.q_per_channel_scales(), want.scale)


@pytest.mark.parametrize("engine", ["qrnn", "fbgemm", "qnnpack"])
def test_quantized_modules_are_prepared_too(engine):
    """From their dequantized weights; unchanged ones get their codes and scales back, bit for bit."""
    rng = np.random.default_rng(102)
    cell = qd.RNNCell(4, 3, engine=engine)
    codes = rng.integers(-100, 100, (3, 4)).astype(np.int8)  # the largest is not 127: requantizing would move them
    weights = cell._weight_bias()
    weights["weight"]["weight_ih"] = qrnn.QTensor(codes, f32(0.0123))
    cell.set_weight_bias(weights)
    model = nn.Sequential(cell)
    state, want = model.state_dict(), model(X)
    qrnn.prepare(model, qconfig={})
    prepared = model[0]
    assert isinstance(prepared, nn.RNNCell) and prepared.engine == "float32"
    assert_same_bits(prepared.weight_ih, cell.get_weight()["weight_ih"].dequantize())
    prepared.bias_ih = prepared.bias_ih  # biases do not count
    qrnn.convert(model)
    assert model[0].engine == engine, "the engine is kept"
    for name, value in state.items():
        np.testing.assert_array_equal(model.state_dict()[name], value)
    assert_same_bits(model(X), want)
    qrnn.prepare(model, qconfig={})
    changed = np.array(model[0].weight_ih)
    changed[0, 0] = np.nextafter(changed[0, 0], f32(9))
    model[0].weight_ih = changed
    qrnn.convert(model)
    rule = ref.weight_qrnn(changed) if engine == "qrnn" else ref.weight_torch(changed, False)
    np.testing.assert_array_equal(model[0].get_weight()["weight_ih"].int_repr(), rule.codes)
    np.testing.assert_array_equal(model.state_dict()["0.weight_hh"], state["0.weight_hh"], "that one is unchanged")


def test_prepared_modules_are_float_modules():
    model = Model()
    want = model(X)
    qrnn.prepare(model, qconfig={}, engine="fbgemm")
    assert_same_bits(model(X), want)
    state = model.state_dict()
    assert list(state) == list(Model().state_dict()), "a float model's state"
    Model().load_state_dict(state)
    for again in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        new = qrnn.convert(again)
        assert quantized(new) == set(LEAVES) and new.cell.engine == "fbgemm"


def test_the_engine_is_fixed_at_prepare():
    model = Model()
    with qrnn.engine("qnnpack"):
        qrnn.prepare(model, qconfig={})
    with pytest.raises(ValueError, match="qnnpack"):
        qrnn.convert(model, engine="fbgemm")
    assert quantized(model) == set()
    with qrnn.engine("fbgemm"):
        qrnn.convert(model)
    assert model.cell.engine == "qnnpack"


def test_prepare_twice():
    model = Model()
    qrnn.prepare(model, qconfig={})
    cell = model.cell
    qrnn.prepare(model, qconfig={})
    assert model.cell is cell
    qrnn.convert(model)
    assert quantized(model) == set(LEAVES)


def test_names_and_types_in_prepare():
    model = Model()
    qrnn.prepare(model, qconfig={nn.RNNCell: CHANNEL, "cell": None})
    assert type(model.cell) is nn.RNNCell and type(model.sub[2]) is not nn.RNNCell
    qrnn.convert(model)
    assert quantized(model) == {"sub.2"}


def test_prepare_one_qconfig_for_all():
    model = Model()
    qrnn.prepare(model, qconfig=TENSOR)
    qrnn.convert(model)
    assert schemes(model) == dict.fromkeys(LEAVES, "tensor")


def test_from_float_of_a_prepared_module():
    prepared = qrnn.prepare(nn.RNNCell(4, 3), qconfig={}, engine="fbgemm")
    assert qd.RNNCell.from_float(prepared).engine == "fbgemm"


def test_hooks_survive_on_modules_that_run_in_python():
    model, calls = Model(), []
    model.sub.register_forward_hook(lambda m, args, result: calls.append(1))
    new = qrnn.quantize_dynamic(model)
    new(X)
    assert calls == [1]


def test_converted_models_copy_pickle_and_save():
    new = qrnn.quantize_dynamic(Model())
    want = new(X)
    for again in (copy.deepcopy(new), pickle.loads(pickle.dumps(new))):
        assert_same_bits(again(X), want)
    other = qrnn.quantize_dynamic(Model())
    other.load_state_dict(new.state_dict())
    assert_same_bits(other(X), want)


def test_size_shrinks():
    """A quarter of the float weights' size, and a little."""
    model = nn.Sequential(nn.RNNCell(256, 256), nn.Linear(256, 64))
    assert qrnn.quantize_dynamic(model).nbytes < 0.28 * model.nbytes


# ---------------------------------------------------------------------------------------------------
# QConfigs and observers
# ---------------------------------------------------------------------------------------------------
def test_qconfig_refuses_instances():
    with pytest.raises(ValueError, match="observer instance"):
        q.QConfig(activation=q.PlaceholderObserver, weight=q.MinMaxObserver())
    with pytest.raises(ValueError, match="observer instance"):
        q.QConfig(activation=q.PlaceholderObserver(), weight=q.MinMaxObserver)
    config = q.QConfig(activation=q.PlaceholderObserver, weight=q.MinMaxObserver)
    assert config.weight is q.MinMaxObserver and tuple(config) == (q.PlaceholderObserver, q.MinMaxObserver)
    assert config == q.QConfig(q.PlaceholderObserver, q.MinMaxObserver)


def test_observers_accumulate():
    observer = q.default_weight_observer()
    a, b = np.float32([[1, -2]]), np.float32([[3, 0.5]])
    assert observer(a) is a
    observer(b)
    scale, zero_point = observer.calculate_qparams()
    assert_same_bits(scale, np.array([f32(3) / f32(127.5)], f32))
    assert zero_point.tolist() == [0]
    rows = q.default_per_channel_weight_observer()
    rows(np.float32([[1, -2], [0, 0]]))
    rows(np.float32([[3, 0], [0, -1]]))
    assert_same_bits(rows.calculate_qparams()[0], np.array([f32(3) / f32(127.5), f32(1) / f32(127.5)], f32))


@pytest.mark.parametrize("kind", [q.default_weight_observer, q.default_per_channel_weight_observer])
def test_observers_that_saw_a_nan(kind):
    observer = kind()
    observer(np.ones((2, 2), f32))
    observer(np.array([[1, 2], [np.nan, 3]], f32))
    with pytest.raises(ValueError, match="MinMaxObserver: expected numbers, but a NaN was observed"):
        observer.calculate_qparams()


def test_observers_that_saw_nothing():
    for make in (q.MinMaxObserver, q.PerChannelMinMaxObserver, q.PlaceholderObserver):
        with pytest.raises(RuntimeError):
            make().calculate_qparams()


@needs_torch
@pytest.mark.parametrize(
    "name",
    [
        "default_weight_observer",
        "default_per_channel_weight_observer",
        "weight_observer_range_neg_127_to_127",
        "per_channel_weight_observer_range_neg_127_to_127",
    ],
)
def test_observers_give_torchs_scales(name, quiet):
    import torch
    import torch.ao.quantization as tq

    rng = np.random.default_rng(103)
    for scale in (1e-12, 1e-4, 1.0, 1e20):
        ours, theirs = getattr(q, name)(), getattr(tq, name)()
        for _ in range(3):
            w = (rng.standard_normal((5, 7)) * scale).astype(f32)
            w[2] = 0
            ours(w)
            theirs(torch.from_numpy(w))
        for got, want in zip(ours.calculate_qparams(), theirs.calculate_qparams()):
            np.testing.assert_array_equal(got, want.numpy())


@needs_torch
@pytest.mark.parametrize(
    "qscheme, dtype, reduce_range",
    [
        (scheme, dtype, narrow)
        for scheme in ("per_tensor_affine", "per_tensor_symmetric")
        for dtype in ("qint8", "quint8")
        for narrow in (False, True)
        if (scheme, dtype, narrow) != ("per_tensor_symmetric", "quint8", True)  # PyTorch has no such observer
    ],
)
def test_general_observers_give_torchs_scales(qscheme, dtype, reduce_range, quiet):
    import torch
    import torch.ao.quantization as tq

    rng = np.random.default_rng(104)
    for shift in (-2, 0, 0.5, 3):
        arguments = {"reduce_range": reduce_range}
        ours = q.MinMaxObserver(dtype=getattr(qrnn, dtype), qscheme=getattr(qrnn, qscheme), **arguments)
        theirs = tq.MinMaxObserver(dtype=getattr(torch, dtype), qscheme=getattr(torch, qscheme), **arguments)
        w = (rng.standard_normal((5, 7)) + shift).astype(f32)
        ours(w)
        theirs(torch.from_numpy(w))
        for got, want in zip(ours.calculate_qparams(), theirs.calculate_qparams()):
            np.testing.assert_array_equal(got, want.numpy())


@needs_torch
def test_quantize_dynamic_gives_torchs_model(quiet):
    """The same float model through both, engine fbgemm, default scheme: relu outputs have the same bits."""
    import torch
    import torch.ao.quantization as tq

    torch.manual_seed(105)
    torch.backends.quantized.engine = "fbgemm"

    class Theirs(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.cell = torch.nn.RNNCell(4, 8, nonlinearity="relu")
            self.fc = torch.nn.Linear(8, 5)

        def forward(self, x):
            return self.fc(self.cell(x))

    class Ours(nn.Module):
        def __init__(self):
            super().__init__()
            self.cell = nn.RNNCell(4, 8, nonlinearity="relu")
            self.fc = nn.Linear(8, 5)

        forward = Theirs.forward

    theirs, ours = Theirs(), Ours()
    ours.load_state_dict(theirs.state_dict())
    for spec in (None, {torch.nn.RNNCell}, {"fc"}):
        our_spec = {nn.RNNCell} if spec == {torch.nn.RNNCell} else spec
        a = tq.quantize_dynamic(theirs, spec, dtype=torch.qint8)(torch.from_numpy(X)).detach().numpy()
        b = qrnn.quantize_dynamic(ours, our_spec, engine="fbgemm")
        if spec is None:
            assert_same_bits(b(X), a)
        np.testing.assert_allclose(b(X), a, atol=2e-6)


@needs_torch
def test_torch_objects_are_accepted(quiet):
    """torch's dtypes, types as keys, and QConfigs."""
    import torch
    import torch.ao.quantization as tq

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        new = qrnn.quantize_dynamic(Model(), {torch.nn.RNNCell: tq.per_channel_dynamic_qconfig}, dtype=torch.qint8)
    assert schemes(new) == {"cell": "channel", "sub.2": "channel"}
    observer = q.MinMaxObserver(dtype=torch.qint8, qscheme=torch.per_tensor_symmetric)
    observer(np.ones(3, f32))
    assert observer.calculate_qparams()[1].tolist() == [0]
    with pytest.raises(ValueError, match="float16"):
        qrnn.quantize_dynamic(Model(), dtype=torch.float16)


NARROW = q.MinMaxObserver.with_args(dtype=qrnn.qint8, qscheme=qrnn.per_tensor_symmetric, quant_min=-8, quant_max=7)


@pytest.mark.parametrize("by_data", [False, True])
def test_codes_stay_in_the_range_of_the_observer(quiet, by_data):
    """The scale is the extent over 7.5, so that the largest weight would round to 8."""
    model = nn.Sequential(nn.Linear(6, 40))
    model[0].weight = np.linspace(-0.7, 0.8, 240, dtype=f32).reshape(40, 6)
    qconfig = q.QConfig(q.PlaceholderObserver, NARROW)
    prepared = qrnn.prepare(model, qconfig=qconfig, inplace=False)
    if by_data:
        prepared(np.random.default_rng(3).standard_normal((500, 6)).astype(f32))
    codes = qrnn.convert(prepared)[0].weight().int_repr()
    assert codes.min() >= -8
    assert codes.max() == 7


def test_ranges_of_observers(quiet):
    with pytest.raises(ValueError, match=r"expected a range of at most 256 codes, got -512..511"):
        q.MinMaxObserver(quant_min=-512, quant_max=511)
    for low, high, middle in ((0, 127, 63), (0, 255, 127), (None, None, 128)):
        observer = q.MinMaxObserver(dtype=qrnn.quint8, qscheme=qrnn.per_tensor_symmetric, quant_min=low, quant_max=high)
        observer(f32([1, -2]))
        assert observer.calculate_qparams()[1].tolist() == [middle]


@needs_torch
@pytest.mark.parametrize("per_channel", [False, True])
def test_narrow_ranges_have_pytorchs_bits(quiet, per_channel):
    """PyTorch clamps the codes of a weight to the range of its observer."""
    import torch
    import torch.ao.quantization as tq

    torch.manual_seed(1)
    torch.backends.quantized.engine = "fbgemm"
    observer = tq.PerChannelMinMaxObserver if per_channel else tq.MinMaxObserver
    scheme = torch.per_channel_symmetric if per_channel else torch.per_tensor_symmetric
    weight = observer.with_args(dtype=torch.qint8, qscheme=scheme, reduce_range=True)
    qconfig = tq.QConfig(tq.default_dynamic_quant_observer, weight)
    for _ in range(30):
        theirs = torch.nn.Sequential(torch.nn.Linear(4, 3))
        ours = nn.Sequential(nn.Linear(4, 3))
        ours.load_state_dict(theirs.state_dict())
        want = tq.quantize_dynamic(theirs, {torch.nn.Linear: qconfig})[0].weight().int_repr().numpy()
        got = qrnn.quantize_dynamic(ours, {nn.Linear: qconfig}, engine="fbgemm")[0].weight().int_repr()
        assert np.array_equal(got, want)


@needs_torch
@pytest.mark.parametrize("backend", ["qnnpack", "fbgemm"])
def test_fake_quantizers_are_accepted(quiet, backend):
    """PyTorch's have an axis of -1 where there is none."""
    import torch
    import torch.ao.quantization as tq

    torch.backends.quantized.engine = "fbgemm"
    qconfig = tq.get_default_qat_qconfig(backend)
    theirs, ours = torch.nn.Sequential(torch.nn.Linear(4, 3)), nn.Sequential(nn.Linear(4, 3))
    ours.load_state_dict(theirs.state_dict())
    want = tq.quantize_dynamic(theirs, {torch.nn.Linear: qconfig})[0].weight().int_repr().numpy()
    got = qrnn.quantize_dynamic(ours, {nn.Linear: qconfig}, engine="fbgemm")[0].weight().int_repr()
    assert np.array_equal(got, want)


def test_hooks_that_end_are_told_of(quiet):
    prepared = qrnn.prepare(nn.Sequential(nn.Linear(2, 2)), qconfig={}, inplace=False)
    prepared[0].register_forward_hook(lambda *_: None)
    with pytest.warns(UserWarning, match="0: its hooks are not kept"):
        qrnn.convert(prepared)
