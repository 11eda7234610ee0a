"""qrnn.keras without Keras: configs and weights that are refused, by name, and what wrappers share with modules."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import qrnn
import qrnn.keras
import qrnn.nn as nn

SHAPES = {"SimpleRNN": ((4, 3), (3, 3), (3,)), "GRU": ((4, 9), (3, 9), (9,)), "LSTM": ((4, 12), (3, 12), (12,))}


def config_of(class_name, **options):
    recurrent = {} if class_name == "SimpleRNN" else {"recurrent_activation": "sigmoid"}
    return {"name": "layer", "units": 3, "activation": "tanh", **recurrent, **options}


def weights_of(class_name):
    rng = np.random.default_rng(0)
    return [0.5 * rng.standard_normal(shape) for shape in SHAPES[class_name]]


def read(class_name, *, weights=None, **options):
    weights = weights_of(class_name) if weights is None else weights
    return qrnn.keras.read_layer(class_name, config_of(class_name, **options), weights, version=3)


CUSTOM = {"module": "builtins", "class_name": "function", "config": "mine", "registered_name": "function"}
REGISTERED = {"module": None, "class_name": "function", "config": "relu", "registered_name": "my>relu"}
CONFIGS = [
    ({"units": 0}, "LSTM 'layer': units: expected a positive integer, got 0"),
    ({"units": "3"}, "LSTM 'layer': units: expected a positive integer, got '3'"),
    ({"units": True}, "LSTM 'layer': units: expected a positive integer, got True"),
    ({"activation": "gelu"}, "LSTM 'layer': activation: expected one of celu, elu, hard_sigmoid, .*, got 'gelu'"),
    ({"recurrent_activation": "exponential"}, "LSTM 'layer': recurrent_activation: expected one of .*, got 'expon"),
    ({"activation": CUSTOM}, "LSTM 'layer': activation: expected a function of Keras, got one of a user's own"),
    ({"activation": REGISTERED}, "LSTM 'layer': activation: expected a function of Keras, got .* 'my>relu'"),
    ({"activation": {"class_name": "PReLU", "config": {}}}, "activation: expected one of .*, got 'PReLU'"),
    ({"activation": {"class_name": "LeakyReLU", "config": {}}}, "LeakyReLU: expected negative_slope to be a number"),
    ({"activation": 3}, "LSTM 'layer': activation: expected one of .*, got 3"),
    ({"time_major": True}, "LSTM 'layer': time_major: expected False, got True"),
    ({"reset_after": True}, "LSTM 'layer': reset_after: the class has no such entry, got True"),
    ({"peephole": 1}, "LSTM 'layer': peephole: the class has no such entry, got 1"),
    ({"stateful": "no"}, "LSTM 'layer': stateful: expected True or False, got 'no'"),
    ({"return_sequences": 2}, "LSTM 'layer': return_sequences: expected True or False, got 2"),
    ({"use_bias": False}, "LSTM 'layer': weights: expected 2 arrays, got 3"),
    ({"units": 4}, r"LSTM 'layer': kernel: expected shape \(any, 16\), got \(4, 12\)"),
]


@pytest.mark.parametrize("options, text", CONFIGS)
def test_configs(options, text):
    with pytest.raises(qrnn.FormatError, match=text):
        read("LSTM", **options)


def test_classes():
    with pytest.raises(
        qrnn.FormatError, match="ConvLSTM2D 'a': class_name: expected one of SimpleRNN, .*Bidirectional"
    ):
        qrnn.keras.read_layer("ConvLSTM2D", {"name": "a"}, [])
    for version in ("4.0", "x", ""):
        with pytest.raises(qrnn.FormatError, match=f"version: expected Keras 1, 2 or 3, got '{version}'"):
            qrnn.keras.read_layer("LSTM", config_of("LSTM"), weights_of("LSTM"), version=version)
    config = config_of("GRU")
    del config["recurrent_activation"]
    with pytest.raises(qrnn.FormatError, match="GRU 'layer': recurrent_activation: expected this entry, whose default"):
        qrnn.keras.read_layer("GRU", config, weights_of("GRU"))


JUNK = (
    None,
    0,
    -1,
    2,
    3.5,
    "x",
    "tanh",
    [],
    ["x"],
    {},
    {"class_name": []},
    {"class_name": "ELU", "config": 1},
    object(),
)


@pytest.mark.parametrize("class_name", ["SimpleRNN", "GRU", "LSTM", "CuDNNLSTM", "RNN", "Bidirectional"])
def test_any_value_of_any_entry(class_name):
    """It changes nothing or is refused."""
    cell = {"class_name": "GRUCell", "config": config_of("GRU")}
    config = {"RNN": {"name": "r", "cell": cell}, "Bidirectional": both()}.get(class_name) or config_of(class_name)
    flags = ("go_backwards", "return_sequences", "stateful", "use_bias", "reset_after", "time_major", "num_constants")
    weights, refused = weights_of("GRU" if class_name == "RNN" else "LSTM"), 0
    for entry in (*config, *flags, "unroll", "other"):
        for value in JUNK:
            try:
                qrnn.keras.read_layer(class_name, {**config, entry: value}, weights, version=3)
            except qrnn.FormatError:
                refused += 1
    assert refused >= 50
    for value in JUNK[:6]:
        with pytest.raises((TypeError, qrnn.FormatError), match="config|class_name|weights|'NoneType'|'int'|'float'"):
            qrnn.keras.read_layer(class_name, value, weights)
        with pytest.raises((TypeError, qrnn.FormatError)):
            qrnn.keras.read_layer(class_name, config, value)
        with pytest.raises(qrnn.FormatError, match="class_name: expected one of"):
            qrnn.keras.read_layer(value, config, weights)


def test_cells_of_layers():
    for cell, text in (
        (None, "RNN 'r': cell: expected a dict with class_name and config, got None"),
        ({"class_name": "LSTMCell"}, "RNN 'r': cell: expected a dict with class_name and config, got "),
        (
            {"class_name": "StackedRNNCells", "config": {}},
            "RNN 'r': cell: expected one of SimpleRNNCell, .* 'StackedRNN",
        ),
        ({"class_name": "LSTMCell", "config": {}}, "RNN 'r': LSTMCell: units: expected a positive integer, got None"),
    ):
        with pytest.raises(qrnn.FormatError, match=text):
            qrnn.keras.read_layer("RNN", {"name": "r", "cell": cell}, [])
    cell = {"class_name": "GRUCell", "config": config_of("GRU")}
    with pytest.raises(qrnn.FormatError, match="RNN: use_bias: the class has no such entry"):
        qrnn.keras.read_layer("RNN", {"cell": cell, "use_bias": False}, [])


@pytest.mark.parametrize("class_name", SHAPES)
def test_weights(class_name):
    good = weights_of(class_name)
    for index, name in enumerate(("kernel", "recurrent_kernel", "bias")):
        for bad, text in (
            (good[index][:-1], "expected shape"),
            (np.full(good[index].shape, np.nan), "expected finite"),
            (np.ones(good[index].shape, np.int8), "expected floating-point values, got int8"),
            ("text", "expected an array of real numbers, got str"),
        ):
            weights = [*good]
            weights[index] = bad
            where = f"{class_name} 'layer': {name}: "
            if index == 0 and "shape" in text:  # any number of features
                continue
            with pytest.raises(qrnn.FormatError, match=f"^{where}{text}"):
                read(class_name, weights=weights)
    with pytest.raises(qrnn.FormatError, match="kernel: expected at least one row"):
        read(class_name, weights=[good[0][:0], *good[1:]])
    with pytest.raises(qrnn.FormatError, match="weights: expected 3 arrays, got 2"):
        read(class_name, weights=good[:2])


def test_biases_of_another_form():
    """A bias says which GRU it is of, and whether its weights are in cuDNN's order."""
    kernel, recurrent, bias = weights_of("GRU")
    two = np.stack([bias, bias])
    assert read("GRU", weights=[kernel, recurrent, two], reset_after=True).layer.reset_after
    for weights, reset_after, text in (
        ([kernel, recurrent, two], False, r"bias: expected shape \(9,\), got \(2, 9\)"),
        ([kernel, recurrent, bias], True, r"bias: expected shape \(2, 9\), got \(9,\)"),
        ([kernel, recurrent, two.ravel()], False, r"bias: expected shape \(9,\), got \(18,\)"),
    ):
        with pytest.raises(qrnn.FormatError, match=text):
            read("GRU", weights=weights, reset_after=reset_after)
    kernel, recurrent, bias = weights_of("SimpleRNN")
    with pytest.raises(qrnn.FormatError, match=r"bias: expected shape \(3,\), got \(6,\)"):
        read("SimpleRNN", weights=[kernel, recurrent, np.concatenate([bias, bias])])


def both(**options):
    """A Bidirectional around an LSTM."""
    inner = {"class_name": "LSTM", "config": config_of("LSTM")}
    back = {"class_name": "LSTM", "config": config_of("LSTM", go_backwards=True)}
    return {"name": "two", "layer": inner, "backward_layer": back, "merge_mode": "concat", **options}


def test_directions_that_differ():
    def other(class_name="LSTM", **options):
        return {"class_name": class_name, "config": config_of(class_name, **{"go_backwards": True, **options})}

    weights = weights_of("LSTM") * 2
    qrnn.keras.read_layer("Bidirectional", both(), weights)
    for options, text in (
        ({"merge_mode": "max"}, "Bidirectional 'two': merge_mode: expected one of .*, got 'max'"),
        ({"merging": 1}, "Bidirectional 'two': merging: the class has no such entry, got 1"),
        ({"num_constants": 1}, "Bidirectional 'two': num_constants: expected None, got 1"),
        ({"layer": None}, "Bidirectional 'two': layer: expected a dict with class_name and config, got None"),
        ({"layer": other()}, "Bidirectional 'two': layer: go_backwards: expected False, got True"),
        ({"backward_layer": other(go_backwards=False)}, "backward_layer: go_backwards: expected True, got False"),
        ({"backward_layer": other(units=4)}, "backward_layer: units: expected that of layer, 3, got 4"),
        ({"backward_layer": other("GRU")}, "backward_layer: class_name: expected that of layer, 'LSTM', got 'GRU'"),
        ({"backward_layer": other(return_state=True)}, "backward_layer: return_state: expected that of layer, False"),
        ({"backward_layer": {"class_name": "Dense", "config": {}}}, "backward_layer: class_name: expected one of"),
    ):
        with pytest.raises(qrnn.FormatError, match=text):
            qrnn.keras.read_layer("Bidirectional", both(**options), weights)
    with pytest.raises(qrnn.FormatError, match="Bidirectional 'two': weights: expected 3 arrays, got 2"):
        qrnn.keras.read_layer("Bidirectional", both(), weights[:5])
    one_bias = qrnn.keras.read_layer(
        "Bidirectional", both(backward_layer=other(use_bias=False)), weights[:5], version=3
    ).layer
    assert one_bias.bias_ih_l0.any() and not one_bias.bias_ih_l0_reverse.any()


def test_constructor():
    with pytest.raises(ValueError, match="layer: expected batch_first=True, got False"):
        qrnn.keras.RecurrentLayer(nn.GRU(4, 3))
    with pytest.raises(ValueError, match=r"merge_mode: expected one of .*, got 'max'"):
        qrnn.keras.RecurrentLayer(nn.GRU(4, 3, batch_first=True), merge_mode="max")


def test_calls():
    lstm, x = read("LSTM"), np.zeros((2, 5, 4), np.float32)
    for args, error, text in (
        ((None,), TypeError, "sequences: expected an array of real numbers, got None"),
        ((x[0],), ValueError, r"sequences: expected 3 dimensions, \(batch, steps, features\), got shape \(5, 4\)"),
        ((x[..., :3],), RuntimeError, "input"),
        ((x, [np.zeros((2, 3))]), ValueError, "initial_state: expected 2 arrays, got 1"),
        ((x, np.zeros((2, 3))), ValueError, "initial_state: expected 2 arrays, got 1"),
        ((x, [np.zeros((2, 3)), np.zeros(3)]), ValueError, r"initial_state\[1\]: expected shape .*, got \(3,\)"),
        ((x, [np.zeros((2, 3)), "c"]), TypeError, r"initial_state\[1\]: expected an array of real numbers"),
        ((x, None, np.ones((2, 4))), ValueError, r"mask: expected shape \(2, 5\), got \(2, 4\)"),
        ((x, None, "mask"), TypeError, "mask: expected an array of real numbers, got str"),
    ):
        with pytest.raises(error, match=text):
            lstm(*args)
    one = read("GRU")
    state = np.ones((2, 3), np.float32)
    assert (one(x, state) == one(x, [state])).all()


def test_streams():
    """Frame by frame, as the whole; what reads backwards is refused."""
    x = np.random.default_rng(3).standard_normal((2, 5, 4)).astype(np.float32)
    layer = qrnn.quantize_dynamic(read("GRU", return_sequences=True))
    stream = qrnn.stream(layer, rows=2)
    frames = [stream(x[:, t : t + 1]) for t in range(5)]
    assert (np.concatenate(frames, axis=1) == layer(x)).all()
    with pytest.raises(ValueError, match="expected layers that read forwards, got layer"):
        qrnn.stream(read("GRU", return_sequences=True, go_backwards=True))


def test_it_is_a_module():
    """Quantized, copied, pickled, and by its state."""
    x = np.random.default_rng(1).standard_normal((2, 5, 4)).astype(np.float32)
    mask = np.arange(5) < np.array([[5], [3]])
    layer = qrnn.keras.read_layer("Bidirectional", both(merge_mode="ave"), weights_of("LSTM") * 2)
    assert repr(layer).splitlines()[1] == "  merge_mode='ave'"
    for each in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert (each(x, mask=mask) == layer(x, mask=mask)).all()
    prepared = qrnn.prepare(layer, qconfig={}, inplace=False)
    assert np.max(np.abs(prepared(x, mask=mask) - layer(x, mask=mask))) <= 1e-6  # observed
    calibrated = qrnn.convert(prepared)
    assert 0 < np.max(np.abs(calibrated(x, mask=mask) - layer(x, mask=mask))) < 0.05
    quantized = qrnn.quantize_dynamic(layer)
    assert type(quantized) is qrnn.keras.RecurrentLayer and quantized.layer.engine == "qrnn"
    assert 0 < np.max(np.abs(quantized(x, mask=mask) - layer(x, mask=mask))) < 0.05
    again = qrnn.keras.RecurrentLayer(nn.LSTM(4, 3, batch_first=True, bidirectional=True), merge_mode="ave")
    again.load_state_dict(layer.state_dict())
    assert (again(x) == layer(x)).all()
