"""A precision for each matrix in torch models: conversions, training, states, operators."""

from __future__ import annotations

import copy
import io
import pickle

import numpy as np
import pytest
from support import assert_same_bits, needs_torch, reference_sequence
from support.precisions import QCONFIGS, drawn, reference_units, reference_weight, weights_of
from support.torch_models import CELLS, arrays, assert_equal_results, each_kind, flat, inputs, make, torch, with_engines

import qrnn
import qrnn.torch as qt
from qrnn.torch import quantization as q

pytestmark = [needs_torch, pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")]
each_case = with_engines(
    ["RNNCell-relu", "LSTMCell", "GRUCell", "Linear", "RNN-2", "LSTM-2", "GRU-2", "LSTM-projected-2"]
)


def chosen_spec(layer, seed=0):
    """Precisions by chance, by the names of weights, and the spec of a Sequential of the layer that asks for them."""
    chosen = drawn(np.random.default_rng(seed), weights_of(layer))
    return chosen, {"": q.engine_qconfig, **{f"0.{name}": QCONFIGS[each] for name, each in chosen.items()}}


def mixed(kind, engine="qrnn", seed=0, **keywords):
    """A quantized layer of precisions by chance."""
    layer = make(kind, **keywords)
    return qt.quantize_dynamic(torch.nn.Sequential(layer), chosen_spec(layer, seed)[1], engine=engine)[0].eval()


def by_reference(layer, kind, engine, chosen, args):
    """What the reference makes of a float layer."""
    from support import reference as ref

    x, *state = (np.asarray(each) for each in flat(args))
    if kind == "Linear":
        weight = reference_weight(layer.weight.detach().numpy(), engine, chosen["weight"])
        return [ref.product(engine, x, weight, layer.bias.detach().numpy())[1]]
    cell = {"RNN": "rnn_relu" if "relu" in kind else "rnn_tanh", "LSTM": "lstm", "GRU": "gru"}
    units = reference_units(layer, cell[type(layer).__name__.removesuffix("Cell")], engine, chosen)
    if kind in CELLS:
        return units[0][0].step(x, tuple(state))
    swapped = layer.batch_first
    output, last = reference_sequence.run(units, x.swapaxes(0, 1) if swapped else x, tuple(state))
    return [output.swapaxes(0, 1) if swapped else output, *last]


@each_case
@pytest.mark.parametrize("seed", range(2))
def test_results_are_the_references(kind, engine, seed):
    """By quantize_dynamic, by prepare and convert, and of the prepared model in eval mode; the NumPy side's too."""
    layer, args = make(kind), inputs(kind)
    chosen, spec = chosen_spec(layer, seed)
    want = by_reference(layer, kind, engine, chosen, args)
    made = qt.quantize_dynamic(torch.nn.Sequential(layer), spec, engine=engine)[0]
    prepared = qt.prepare(torch.nn.Sequential(layer), qconfig=spec, inplace=False, engine=engine)
    for each in (made, prepared[0], qt.convert(prepared)[0]):
        for got, expected in zip(arrays(each(*args)), want, strict=True):
            assert_same_bits(got, expected, f"{chosen}")
    numpy_class = getattr(qrnn, type(made).__name__)
    layer.qconfig = q.LayerQConfig(q.engine_qconfig, tuple((name, QCONFIGS[each]) for name, each in chosen.items()))
    assert numpy_class.from_float(layer, engine=engine).describe() == made.describe()


@each_case
def test_training_is_within_rounding_of_the_engine(kind, engine):
    layer, args = make(kind), inputs(kind)
    _, spec = chosen_spec(layer)
    prepared = qt.prepare(torch.nn.Sequential(layer), qconfig=spec, inplace=False, engine=engine)[0]
    want, result = arrays(prepared(*args)), prepared.train()(*args)
    for got, expected in zip(arrays(result), want, strict=True):
        assert np.abs(got - expected).max() < 1e-5
    sum(tensor.square().sum() for tensor in flat(result)).backward()
    assert all(each.grad is not None and each.grad.abs().sum() > 0 for each in prepared.parameters())
    own = [f"{name}={format}" for name, format in mixed(kind, engine).describe().get("precision", {}).items()]
    assert repr(prepared).endswith(f", {', '.join([f'engine={engine}', *own])})")


@each_kind
def test_float_matrices_have_pytorchs_gradients(kind):
    """A prepared layer whose matrices all stay float trains as the float layer."""
    layer, args = make(kind).train(), inputs(kind)
    prepared = qt.prepare(torch.nn.Sequential(copy.deepcopy(layer)), qconfig=q.float_qconfig, inplace=False)[0]
    for each in (layer, prepared):
        sum(tensor.square().sum() for tensor in flat(each(*args))).backward()
    for ours, theirs in zip(prepared.parameters(), layer.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-4, atol=1e-5)


def test_13_bits_train_as_engine_qrnn13():
    layer, args = make("LSTM-2").train(), inputs("LSTM-2")
    results = []
    for qconfig, engine in ((q.int13_dynamic_qconfig, "qrnn"), ({}, "qrnn13")):
        prepared = qt.prepare(copy.deepcopy(layer), qconfig=qconfig, inplace=False, engine=engine)
        result = prepared(*args)
        sum(tensor.square().sum() for tensor in flat(result)).backward()
        results.append([*flat(result), *(each.grad for each in prepared.parameters())])
    assert_equal_results(*results)


def test_quantized_and_prepared_again():
    layer = mixed("LSTM-2")
    prepared = qt.prepare(layer, qconfig={}, inplace=False)
    assert "_precisions" not in vars(prepared)
    again = qt.convert(pickle.loads(pickle.dumps(prepared)))
    assert again.describe() == layer.describe()
    assert_equal_results(again(*inputs("LSTM-2")), layer(*inputs("LSTM-2")))
    with torch.no_grad():
        for each in prepared.parameters():
            each.mul_(1.5)
    assert qt.convert(prepared).describe() == layer.describe()


def test_names_of_specs():
    model = torch.nn.Sequential(torch.nn.LSTM(4, 3), torch.nn.Linear(3, 2))
    spec = {"": q.engine_qconfig, "0.weight_ih_l0": q.float_qconfig, "1": None}
    new = qt.quantize_dynamic(model, spec)
    assert new[0].describe()["precision"] == {"weight_ih_l0": "float32"} and type(new[1]) is torch.nn.Linear
    assert repr(new[0]) == "DynamicQuantizedLSTM(4, 3, weight_ih_l0=float32)"
    with pytest.warns(UserWarning, match="qconfig_spec: no submodule is named 0.weight_ih_l1"):
        qt.quantize_dynamic(model, {**spec, "0.weight_ih_l1": None})
    in_place = copy.deepcopy(model)
    config = qt.QRNNDynamicConfig(qconfig=q.int13_dynamic_qconfig)
    qt.quantize_(in_place, config, lambda module, name: name == "0")
    assert set(in_place[0].describe()["precision"].values()) == {"s13"}


def test_qconfigs_of_pytorchs_observers(quiet):
    import torch.ao.quantization as tq

    placeholder = tq.PlaceholderObserver
    floats = tq.QConfig(placeholder.with_args(dtype=torch.float32), placeholder.with_args(dtype=torch.float32))
    thirteen = tq.QConfig(
        placeholder.with_args(dtype=torch.int16, quant_min=-4095).with_args(quant_max=4095),
        tq.default_per_channel_weight_observer,
    )
    model = torch.nn.Sequential(torch.nn.GRUCell(4, 3))
    new = qt.quantize_dynamic(model, {"0.weight_ih": floats, "0.weight_hh": thirteen})
    assert new[0].describe()["precision"] == {"weight_ih": "float32", "weight_hh": "s13"}
    plain = qt.quantize_dynamic(model, {"0": tq.default_dynamic_qconfig})
    assert "precision" not in plain[0].describe()


# ---------------------------------------------------------------------------------------------------
# States, weights, copies
# ---------------------------------------------------------------------------------------------------
@each_case
def test_states_and_copies(kind, engine):
    layer, args = mixed(kind, engine), inputs(kind)
    want = layer(*args)
    for each in (copy.copy(layer), copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert each.describe() == layer.describe() and repr(each) == repr(layer)
        assert_equal_results(each(*args), want)
    other = mixed(kind, engine)
    for buffer in other.buffers():
        buffer.zero_().add_(1)
    assert not any(other.load_state_dict(layer.state_dict()))
    assert_equal_results(other(*args), want)
    state = layer.state_dict()
    for name in weights_of(layer):
        stays = layer.describe().get("precision", {}).get(name) == "float32"
        if not name.endswith("_scale"):
            assert (f"{name}_scale" not in state) == stays == (state[name].dtype == torch.float32)
    numpy_layer = getattr(qrnn, type(layer).__name__).from_float(make(kind), engine=engine)
    if "precision" in layer.describe():
        with pytest.raises(RuntimeError, match="format: expected weight"):
            numpy_layer.load_state_dict(state)


@pytest.mark.parametrize("strict", [True, False])
def test_states_of_other_precisions_are_refused(strict):
    spec = {"": q.engine_qconfig, "weight_ih_l0": q.float_qconfig, "weight_hh_l0": q.int13_dynamic_qconfig}
    layer, plain = qt.quantize_dynamic(torch.nn.GRU(4, 3), spec), qt.quantize_dynamic(torch.nn.GRU(4, 3))
    for of, into, ours, theirs in ((layer, plain, ("u8", "u8"), ("float32", "s13")), (plain, layer, *[None] * 2)):
        before = copy.deepcopy(into.state_dict())
        with pytest.raises(RuntimeError) as error:
            into.load_state_dict(of.state_dict(), strict=strict)
        if ours is not None:
            for name, a, b in zip(("weight_ih_l0", "weight_hh_l0"), ours, theirs, strict=True):
                assert f"format: expected {name} '{a}', got '{b}'" in str(error.value)
        for name, value in into.state_dict().items():
            assert torch.equal(value, before[name])
    state = {name: value for name, value in plain.state_dict().items() if name != "format"}
    with pytest.raises(RuntimeError, match="weight_ih_l0: expected floating-point values, got int8"):
        layer.load_state_dict(state, strict=strict)


@each_case
def test_weights_come_and_go(kind, engine):
    layer, args = mixed(kind, engine), inputs(kind)
    want = arrays(layer(*args))
    own = layer.describe().get("precision", {})
    weights = {"weight": layer.weight()} if kind == "Linear" else layer.get_weight()
    for name, value in weights.items():
        assert isinstance(value, torch.Tensor if own.get(name) == "float32" else qt.QTensor)
    if kind == "Linear":
        layer.set_weight_bias(layer.weight(), layer.bias())
    else:
        layer.set_weight_bias({"weight": weights, "bias": layer.get_bias()})
    assert_equal_results(layer(*args), [torch.from_numpy(each) for each in want])


def test_weights_that_do_not_fit():
    layer = qt.quantize_dynamic(torch.nn.GRUCell(4, 3), {"": q.engine_qconfig, "weight_ih": q.float_qconfig})
    weights, biases, plain = layer.get_weight(), layer.get_bias(), qt.quantize_dynamic(torch.nn.GRUCell(4, 3))
    for name, value, kind, text in (
        ("weight_ih", plain.get_weight()["weight_ih"], TypeError, "weight_ih: expected float values"),
        ("weight_ih", torch.full((9, 4), torch.nan), ValueError, "weight_ih: expected finite weights"),
        ("weight_hh", torch.ones(9, 3), TypeError, "weight_hh: expected a QTensor, got Tensor"),
    ):
        with pytest.raises(kind, match=text):
            layer.set_weight_bias({"weight": {**weights, name: value}, "bias": biases})
    assert layer.get_weight()["weight_ih"] is weights["weight_ih"]
    assert layer.half().double().get_weight()["weight_ih"].dtype == torch.float32
    assert layer.weight_dtype is qrnn.qint8
    assert qt.quantize_dynamic(torch.nn.GRU(4, 3), q.float_qconfig).dtype is qrnn.float32


def test_a_change_in_place_is_seen():
    layer = qt.quantize_dynamic(torch.nn.Linear(4, 3, bias=False), q.float_qconfig)
    before, x = layer(torch.ones(1, 4)), torch.ones(1, 4)
    layer.weight().mul_(2)
    torch.testing.assert_close(layer(x), 2 * before)


# ---------------------------------------------------------------------------------------------------
# Operators
# ---------------------------------------------------------------------------------------------------
@each_case
def test_exported_programs(kind, engine):
    """torch.export, saved and loaded, and torch.jit.trace: the bits of the module."""
    layer, args = mixed(kind, engine), inputs(kind)
    want = layer(*args)
    program, file = torch.export.export(layer, args), io.BytesIO()
    torch.export.save(program, file)
    file.seek(0)
    assert_equal_results(torch.export.load(file).module()(*args), want)
    assert_equal_results(torch.jit.trace(layer, args)(*args), want)


@pytest.mark.parametrize("kind", ["Linear", "LSTMCell", "GRU-2", "LSTM-projected-2"])
def test_compiled_models(kind):
    layer, args = mixed(kind), inputs(kind)
    want = layer(*args)
    assert_equal_results(torch.compile(layer, fullgraph=True, backend="aot_eager")(*args), want)


def test_operators_without_the_argument_compute_by_the_engine():
    """As programs that were exported before there was one."""
    layer, x = qt.quantize_dynamic(make("GRUCell")), inputs("GRUCell")
    weights, scales, biases = layer._tensors()
    plain = [each for pair in zip(weights, scales, strict=True) for each in pair]
    want = layer(*x)
    for own in ([], [""], [","], ["u8,u8"]):
        assert torch.equal(torch.ops.qrnn.cell(*x, *plain, *biases, "gru", "qrnn", *own), want)
    thirteen = qt.quantize_dynamic(make("GRUCell"), engine="qrnn13")(*x)
    assert torch.equal(torch.ops.qrnn.cell(*x, *plain, *biases, "gru", "qrnn", "s13,s13"), thirteen)
