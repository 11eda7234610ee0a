"""A precision for each matrix: what specs with names of weights make, bit for bit."""

from __future__ import annotations

import copy
import itertools
import pickle

import numpy as np
import pytest
from support import as_tuple, assert_same_bits, random_lengths, reference_sequence
from support import reference as ref
from support.layers import ids, inputs_of, make
from support.precisions import LAYERS, QCONFIGS, drawn, reference_units, reference_weight, weights_of

import qrnn
from qrnn import nn
from qrnn import quantization as q

pytestmark = pytest.mark.filterwarnings("error")
every_layer = pytest.mark.parametrize("name, options", LAYERS, ids=ids)
f32 = np.float32


def spec_of(chosen, prefix=""):
    return {prefix + name: QCONFIGS[precision] for name, precision in chosen.items()}


def fits(engine, options):
    return engine in ref.ROW_ENGINES or not (options.get("proj_size") or options.get("reset_after") is False)


def reference_of(layer, units, lengths=None):
    x, hx = inputs_of(layer)
    state = as_tuple(hx)
    if layer.sequence is None:
        return units[0][0].step(x, state)
    x = x.swapaxes(0, 1) if layer.batch_first else x
    output, last = reference_sequence.run(units, x, state, lengths)
    return (output.swapaxes(0, 1) if layer.batch_first else output, *last)


def result_of(layer, lengths=None):
    x, hx = inputs_of(layer)
    if layer.sequence is None:
        return as_tuple(layer(x, hx))
    output, last = layer(x, hx, lengths=lengths)
    return (output, *as_tuple(last))


# ---------------------------------------------------------------------------------------------------
# Bits
# ---------------------------------------------------------------------------------------------------
@every_layer
@pytest.mark.parametrize("engine", ["qrnn", "qrnn13", "fbgemm", "qnnpack", "onednn"])
def test_results_are_the_references(name, options, engine, isa):
    """Each W_ih, W_hh and W_hr of each layer and direction apart, by quantize_dynamic and by prepare and convert."""
    if not fits(engine, options):
        pytest.skip("PyTorch has no such layer")
    rng = np.random.default_rng(1)
    layer = make(name, options, (7, 18))
    lengths = random_lengths(rng, 6, 3) if layer.sequence else None
    for chosen in (drawn(rng, weights_of(layer)) for _ in range(3)):
        units = reference_units(layer, layer.kind, engine, chosen)
        model = nn.Sequential(layer)
        spec = {"": q.engine_qconfig, **spec_of(chosen, "0.")}
        prepared = qrnn.prepare(model, qconfig=spec, inplace=False, engine=engine, isa=isa)
        for made in (qrnn.quantize_dynamic(model, spec, engine=engine, isa=isa), qrnn.convert(prepared)):
            assert made[0].isa == isa
            for got, want in zip(result_of(made[0], lengths), reference_of(layer, units, lengths), strict=True):
                assert_same_bits(got, want, f"{chosen}")


@pytest.mark.parametrize("engine", ref.ENGINES)
def test_linear(engine):
    layer, x = nn.Linear(9, 5), np.random.default_rng(2).standard_normal((4, 9)).astype(f32)
    for precision, qconfig in QCONFIGS.items():
        made = qrnn.quantize_dynamic(nn.Sequential(layer), {"0.weight": qconfig}, engine=engine)[0]
        want = ref.product(engine, x, reference_weight(layer.weight, engine, precision), layer.bias)[1]
        assert_same_bits(made(x), want, precision)


def test_all_13_bits_are_engine_qrnn13_and_all_float_is_float32():
    layer = nn.LSTM(7, 18, 2, bidirectional=True)
    for qconfig, want in (
        (q.int13_dynamic_qconfig, qrnn.quantize_dynamic(layer, engine="qrnn13")),
        (q.float_qconfig, layer),
    ):
        for spec in ({"": qconfig}, {nn.LSTM: qconfig}, qconfig):
            got = qrnn.quantize_dynamic(layer, spec)
            assert isinstance(got, qrnn.LSTM) and got.engine == "qrnn"
            for a, b in zip(result_of(got), result_of(want), strict=True):
                assert_same_bits(a, b)


def test_raw_features_come_out_right_in_float32():
    """An LSTM that reads powers: columns of other sizes, loud steps and quiet ones."""
    rng = np.random.default_rng(3)
    columns = 10.0 ** rng.uniform(-3, 3, 24)
    layer = nn.LSTM(24, 32)
    layer.weight_ih_l0 = (3 * layer.weight_ih_l0 / columns).astype(f32)
    loud = np.exp(rng.uniform(-3, 3, (40, 6, 1)))
    x = (np.abs(rng.standard_normal((40, 6, 24))) * columns * loud).astype(f32)
    want = layer(x)[0]
    error = {}
    for name, own in (("8", {}), ("float", {"weight_ih_l0": q.float_qconfig})):
        got = qrnn.quantize_dynamic(layer, {"": q.engine_qconfig, **own})(x)[0]
        error[name] = float(np.sqrt(((got - want) ** 2).mean() / (want**2).mean()))
    assert error["float"] < 0.02 and error["8"] > 10 * error["float"], error


# ---------------------------------------------------------------------------------------------------
# Specs
# ---------------------------------------------------------------------------------------------------
class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(4, 5, num_layers=2)
        self.fc = nn.Linear(5, 3)

    def forward(self, x):
        return self.fc(self.lstm(x)[0])


def precisions(model):
    """The precision of every weight of the quantized layers; None of layers that stay float."""
    found = {}
    for name, layer in model.named_children():
        own = layer.describe().get("precision", {})
        for weight in weights_of(layer):
            if not weight.endswith("_scale"):
                found[f"{name}.{weight}"] = own.get(weight, "u8") if layer.describe()["engine"] != "float32" else None
    return found


ALL_8 = {**{f"lstm.weight_{part}_l{i}": "u8" for i, part in itertools.product((0, 1), ("ih", "hh"))}, "fc.weight": "u8"}
SPECS = {
    "names over all": ({"": q.engine_qconfig, "lstm.weight_ih_l0": q.float_qconfig}, {"lstm.weight_ih_l0": "float32"}),
    "None is float32": ({"": q.engine_qconfig, "lstm.weight_ih_l0": None}, {"lstm.weight_ih_l0": "float32"}),
    "a name over its layer's": (
        {"": q.engine_qconfig, "lstm": q.int13_dynamic_qconfig, "lstm.weight_hh_l1": q.engine_qconfig},
        {name: "s13" for name in ALL_8 if name.startswith("lstm") and name != "lstm.weight_hh_l1"},
    ),
    "over the layer's type": (
        {nn.LSTM: q.float_qconfig, nn.Linear: q.engine_qconfig, "lstm.weight_hh_l1": q.int13_dynamic_qconfig},
        {
            **{name: "float32" for name in ALL_8 if name.startswith("lstm")},
            "lstm.weight_hh_l1": "s13",
        },
    ),
    "the rest of the layer stays float": (
        {"lstm.weight_hh_l0": q.engine_qconfig},
        {**{name: "float32" for name in ALL_8 if name != "lstm.weight_hh_l0"}, "fc.weight": None},
    ),
    "a layer left out, but for one": (
        {"": q.engine_qconfig, "lstm": None, "lstm.weight_hh_l0": q.engine_qconfig},
        {name: "float32" for name in ALL_8 if name.startswith("lstm") and name != "lstm.weight_hh_l0"},
    ),
    "a layer left out": ({"": q.engine_qconfig, "fc": None}, {"fc.weight": None}),
    "nothing of a layer": (
        {"fc": q.engine_qconfig, "lstm.weight_ih_l0": None},
        {name: None for name in ALL_8 if name.startswith("lstm")},
    ),
}


@pytest.mark.parametrize("case", SPECS)
def test_which_name_counts(case):
    spec, changed = SPECS[case]
    want = {**ALL_8, **changed}
    assert precisions(qrnn.quantize_dynamic(Model(), spec)) == want
    assert precisions(qrnn.convert(qrnn.prepare(Model(), qconfig=spec, inplace=False))) == want
    model = Model()
    q.propagate_qconfig_(model, spec)
    assert precisions(qrnn.convert(model)) == want
    assert precisions(qrnn.convert(qrnn.prepare(copy.deepcopy(model)))) == want


def test_a_set_of_weights():
    got = precisions(qrnn.quantize_dynamic(Model(), {"fc", "lstm.weight_hh_l1"}))
    assert [name for name, precision in got.items() if precision == "u8"] == ["lstm.weight_hh_l1", "fc.weight"]


def test_a_weight_stands_above_an_attribute():
    model = Model()
    model.lstm.qconfig, model.fc.qconfig = q.int13_dynamic_qconfig, None
    got = precisions(qrnn.quantize_dynamic(model, {"": q.engine_qconfig, "lstm.weight_ih_l0": q.float_qconfig}))
    assert got["lstm.weight_ih_l0"] == "float32" and got["lstm.weight_hh_l0"] == "s13" and got["fc.weight"] is None


def test_a_layer_by_itself():
    made = qrnn.quantize_dynamic(nn.Linear(4, 3), {"weight": q.float_qconfig})
    assert isinstance(made, qrnn.Linear) and made.describe()["precision"] == {"weight": "float32"}


def test_qconfigs_of_ones_own():
    """The range of the activations' observer, and the type of the weight's, whoever made them."""
    thirteen = q.QConfig(q.int13_dynamic_qconfig.activation, q.default_per_channel_weight_observer)
    floats = q.QConfig(q.PlaceholderObserver, q.PlaceholderObserver.with_args(dtype=np.float32).with_args(qscheme=None))
    made = qrnn.quantize_dynamic(Model(), {"lstm": thirteen, "fc": floats}, engine="fbgemm")
    assert set(precisions(made).values()) == {"s13", "float32"}
    codes = made.lstm.get_weight()["weight_ih_l0"]
    assert codes.qscheme() is qrnn.per_channel_affine


@pytest.mark.parametrize(
    "key", ["lstm.weight_ih_l2", "lstm.bias_ih_l0", "weight", "fc.weight_scale", "lstm.weight_hr_l0", "fc."]
)
def test_names_of_nothing_are_said(key):
    spec = {"": q.engine_qconfig, key: None}
    for act in (
        lambda: qrnn.quantize_dynamic(Model(), spec),
        lambda: qrnn.prepare(Model(), qconfig=spec),
        lambda: q.propagate_qconfig_(Model(), spec),
    ):
        with pytest.warns(UserWarning, match=f": no submodule is named {key}$"):
            act()


def test_qconfigs_of_layers():
    """By type: for all layers of it, each by the names that it has; those that it has not are said."""
    both = q.LayerQConfig(q.engine_qconfig, {"weight_ih_l0": q.float_qconfig})
    model = nn.Sequential(nn.LSTM(4, 3), nn.Linear(3, 3))
    assert precisions(qrnn.quantize_dynamic(model, {nn.LSTM: both, nn.Linear: q.engine_qconfig}))["0.weight_ih_l0"] == (
        "float32"
    )
    made = qrnn.quantize_dynamic(model, {nn.LSTM: both, "0.weight_hh_l0": q.int13_dynamic_qconfig})
    assert made[0].describe()["precision"] == {"weight_ih_l0": "float32", "weight_hh_l0": "s13"}
    model[1].qconfig = both
    with pytest.warns(UserWarning, match="^1.qconfig: no weight is named weight_ih_l0$"):
        qrnn.prepare(model)
    for arguments, text in (
        ((None,), "base: expected a QConfig, got NoneType"),
        ((q.engine_qconfig, 3), "matrices: expected names of weights with QConfigs, got 3"),
        ((q.engine_qconfig, {3: q.engine_qconfig}), "matrices: expected names of weights, got 3"),
        ((q.engine_qconfig, {"weight": None}), "weight: expected a QConfig, got NoneType"),
        ((both,), "base: expected a QConfig, got LayerQConfig"),
    ):
        with pytest.raises(TypeError, match=f"^{text}$"):
            q.LayerQConfig(*arguments)


def test_one_weight_under_two_names():
    shared = nn.RNNCell(4, 4)
    model = nn.Sequential(shared, shared)
    spec = {"": q.engine_qconfig, "1.weight_hh": q.float_qconfig}
    made = qrnn.quantize_dynamic(model, spec)
    assert made[0] is made[1] and made[0].describe()["precision"] == {"weight_hh": "float32"}
    text = "qconfig_spec: expected one choice for '0.weight_hh' and '1.weight_hh', which are the same weight"
    with pytest.raises(ValueError, match=text):
        qrnn.quantize_dynamic(model, {**spec, "0.weight_hh": q.int13_dynamic_qconfig})


def test_a_weight_of_a_layer_that_stays_float_is_said():
    model = Model()
    with pytest.warns(UserWarning, match="'lstm' stays float: mapping has no LSTM"):
        qrnn.quantize_dynamic(model, {"lstm.weight_ih_l0": q.engine_qconfig}, mapping={nn.Linear: qrnn.Linear})


def test_weights_that_are_not_finite():
    layer = nn.Linear(2, 2)
    for name, value in (("weight", np.full((2, 2), np.inf, f32)), ("bias", np.full(2, np.nan, f32))):
        bad = copy.deepcopy(layer)
        setattr(bad, name, value)
        with pytest.raises(ValueError, match=f"^0: {name}: expected finite"):
            qrnn.quantize_dynamic(nn.Sequential(bad), {"0": q.float_qconfig})


# ---------------------------------------------------------------------------------------------------
# Prepared layers, and quantized ones prepared again
# ---------------------------------------------------------------------------------------------------
def mixed(**options):
    spec = {"": q.engine_qconfig, "weight_ih_l0": q.float_qconfig, "weight_hh_l1": q.int13_dynamic_qconfig}
    return qrnn.quantize_dynamic(nn.LSTM(4, 5, num_layers=2, **options), spec)


def test_prepared_again_it_keeps_its_precisions():
    layer = mixed()
    prepared = qrnn.prepare(layer, qconfig={}, inplace=False)
    assert repr(prepared) == "PreparedLSTM(4, 5, num_layers=2, engine=qrnn, weight_ih_l0=float32, weight_hh_l1=s13)"
    for each in (prepared, pickle.loads(pickle.dumps(prepared)), copy.deepcopy(prepared)):
        again = qrnn.convert(each)
        for key, value in layer.state_dict().items():
            np.testing.assert_array_equal(again.state_dict()[key], value)
    prepared.weight_ih_l0 = prepared.weight_ih_l0 * 2
    prepared.weight_hh_l1 = prepared.weight_hh_l1 * 2
    assert qrnn.convert(prepared).describe() == layer.describe()


def test_prepared_again_for_others():
    layer = mixed()
    for qconfig, want in (
        (q.float_qconfig, dict.fromkeys(weights_of(nn.LSTM(4, 5, num_layers=2)), "float32")),
        (q.per_channel_dynamic_qconfig, {"weight_hh_l1": "s13"}),
        ({"": q.engine_qconfig, "weight_hh_l1": None}, {"weight_ih_l0": "float32", "weight_hh_l1": "float32"}),
    ):
        again = qrnn.convert(qrnn.prepare(layer, qconfig=qconfig, inplace=False))
        assert again.describe()["precision"] == want
    other = qrnn.convert(qrnn.prepare(layer, qconfig={}, inplace=False, engine="qrnn13"))
    assert other.describe()["precision"] == {"weight_ih_l0": "float32"}


def test_calibration_sees_each_matrix_as_its_precision_does():
    """The moments of 13-bit rows are those of engine qrnn13; a float matrix has none, and no row in the report."""
    layer, x = nn.GRU(6, 8, num_layers=2), np.random.default_rng(5).standard_normal((20, 4, 6)).astype(f32)
    spec = {"": q.engine_qconfig, "weight_ih_l0": q.float_qconfig, "weight_ih_l1": q.int13_dynamic_qconfig}
    prepared = qrnn.prepare(layer, qconfig=spec, inplace=False)
    every = {engine: qrnn.prepare(layer, qconfig={}, inplace=False, engine=engine) for engine in ("qrnn", "qrnn13")}
    for each in (prepared, *every.values()):
        each(x)
    own = {key: m.second_moment() for key, m in prepared._prepared.statistics.by_product().items()}
    other = {
        name: {key: m.second_moment() for key, m in each._prepared.statistics.by_product().items()}
        for name, each in every.items()
    }
    assert set(own) == {(1, 0), (2, 0), (3, 0)}
    for key, engine in (((1, 0), "qrnn"), ((2, 0), "qrnn13"), ((3, 0), "qrnn")):
        np.testing.assert_allclose(own[key], other[engine][key], rtol=1e-12)
        unlike = "qrnn" if engine == "qrnn13" else "qrnn13"
        assert not np.allclose(own[key], other[unlike][key], rtol=1e-12)
    converted = qrnn.convert(pickle.loads(pickle.dumps(prepared)))
    assert [row.name for row in q.calibration_report(converted)] == ["weight_hh_l0", "weight_ih_l1", "weight_hh_l1"]
    assert_same_bits(converted.get_weight()["weight_ih_l0"], layer.weight_ih_l0)


def test_statistics_of_other_precisions_do_not_add_up():
    layer = nn.Linear(3, 2)
    one, other = (qrnn.prepare(layer, qconfig={"": each}, inplace=False) for each in list(QCONFIGS.values())[:2])
    with pytest.raises(ValueError, match="expected the same prepared modules"):
        q.merge_statistics(one, other)
