"""Options of recurrent layers as modules: what they say, refuse, keep and carry from one form to the next."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from support import as_tuple, assert_same_bits

import qrnn
from qrnn import nn

f32 = np.float32

LAYERS = {
    "peepholes": lambda **more: nn.LSTM(4, 9, 2, peepholes=True, input_forget=True, **more),
    "directions": lambda **more: nn.LSTM(
        4,
        9,
        bidirectional=True,
        cell_clip=1,
        activations=(("sigmoid", "tanh", "relu"), ("softsign", "elu", "tanh")),
        **more,
    ),
    "clipped": lambda **more: nn.LSTM(4, 9, proj_size=3, proj_clip=0.25, clip=2, **more),
    "normalized": lambda **more: nn.LSTM(4, 9, layer_norm=True, bias=False, **more),
    "learned": lambda **more: nn.LSTM(4, 9, 2, initial_states=True, proj_size=3, **more),
    "gru": lambda **more: nn.GRU(4, 9, reverse=True, activations=(("hard_sigmoid", 1 / 6, 0.5), "tanh"), **more),
    "gru before": lambda **more: nn.GRU(4, 9, reset_after=False, clip=1, initial_states=True, **more),
    "rnn": lambda **more: nn.RNN(4, 9, activations=(("leaky_relu", 0.2),), **more),
    "cell": lambda **more: nn.LSTMCell(4, 9, peepholes=True, clip=3, **more),
    "gru cell": lambda **more: nn.GRUCell(4, 9, activations=("sigmoid", "softsign"), **more),
    "rnn cell": lambda **more: nn.RNNCell(4, 9, activations=("softplus",), **more),
}
EACH = pytest.mark.parametrize("name", LAYERS)


def made(name, **more):
    qrnn.manual_seed(3)
    layer = LAYERS[name](**more)
    rng = np.random.default_rng(2)
    for each in layer._spec.matrices:
        if not each.multiplies:
            setattr(layer, each.weight, rng.uniform(-0.5, 0.5, each.shape))
    return layer


def quantized(name, engine="qrnn"):
    return qrnn.quantize_dynamic(made(name), engine=engine)


def inputs(layer, seed=0):
    steps = (6, 3) if layer._spec.sequence else (3,)
    return np.random.default_rng(seed).standard_normal((*steps, 4)).astype(f32)


def assert_same_results(got, want):
    for a, b in zip(as_tuple(got), as_tuple(want), strict=True):
        if isinstance(a, tuple):
            assert_same_results(a, b)
        else:
            assert_same_bits(a, b)


def both(name):
    return made(name), quantized(name)


@EACH
def test_copies_pickles_states_and_files_keep_them(name, tmp_path):
    for layer in both(name):
        x = inputs(layer)
        want = layer(x)
        for other in (copy.copy(layer), copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
            assert repr(other) == repr(layer)
            assert other.describe() == layer.describe()
            assert_same_results(other(x), want)
        qrnn.save(layer, tmp_path / "layer.safetensors")
        loaded = qrnn.load(tmp_path / "layer.safetensors")
        assert loaded.describe() == layer.describe()
        assert_same_results(loaded(x), want)
        other = LAYERS[name]() if layer.engine == "float32" else qrnn.quantize_dynamic(LAYERS[name]())
        other.load_state_dict(layer.state_dict())
        assert_same_results(other(x), want)


@EACH
def test_they_are_compared_when_a_state_is_loaded(name):
    layer = made(name)
    options = [key for key in qrnn._options.OPTION_NAMES if key in layer.describe()]
    assert options
    spec = layer._spec
    plain = type(layer).__new__(type(layer))
    nn.Module.__init__(plain)
    plain._fill(spec._replace(variant=None), None)
    with pytest.raises(RuntimeError, match=f"format: expected {options[0]} None"):
        plain.load_state_dict(layer.state_dict(), strict=False)
    with pytest.raises(RuntimeError, match=f"expected {options[0]}"):
        layer.load_state_dict({**plain.state_dict(), "format": qrnn._described.encoded(plain.describe())}, strict=False)


@EACH
@pytest.mark.parametrize("engine", ("qrnn", "qrnn13"))
def test_prepare_calibrate_and_convert_keep_them(name, engine):
    layer = made(name)
    model = nn.Sequential(layer)
    prepared = qrnn.prepare(model, qconfig={}, inplace=False, engine=engine)
    for seed in range(4):
        x = inputs(layer, seed)
        assert_same_results(prepared[0](x), layer(x))
    converted = qrnn.convert(prepared)[0]
    assert converted._spec == layer._spec
    assert converted.engine == engine
    for each in layer._spec.matrices:
        if not each.multiplies:
            assert_same_bits(getattr(converted, each.weight), getattr(layer, each.weight))
    error = np.abs(as_tuple(converted(x))[0] - as_tuple(layer(x))[0]).max()
    assert error < (0.05 if engine == "qrnn" else 0.02)
    again = qrnn.convert(qrnn.prepare(nn.Sequential(converted), qconfig={}, inplace=False))[0]
    assert_same_results(again(x), converted(x))


@pytest.mark.parametrize("name", [name for name in LAYERS if name not in ("directions", "gru")])
def test_streams_of_them_give_the_bits_of_whole_sequences(name):
    for layer in both(name):
        x = inputs(layer)
        stream = qrnn.stream(layer, rows=3)
        if layer._spec.sequence is None:
            hx = None
            for _ in range(4):
                hx = layer(x, hx)
                got = stream(x)
                assert_same_results(got, hx)
        else:
            want, _ = layer(x)
            first, _ = stream(x[:2].copy())
            rest, _ = stream(x[2:].copy())
            assert_same_bits(np.concatenate([first, rest]), want)
            stream.reset()
            assert_same_bits(stream(x)[0], want)


def test_a_stream_of_a_layer_that_reads_backwards_is_refused():
    with pytest.raises(ValueError, match=r"expected layers that read forwards, got the model \(GRU\)"):
        qrnn.stream(made("gru"))


@EACH
@pytest.mark.parametrize("engine", ("fbgemm", "qnnpack", "onednn"))
def test_engines_of_torch_refuse_them(name, engine):
    first = next(iter(made(name)._spec.variant_options))
    if name not in ("clipped", "learned", "gru before"):
        with pytest.raises(ValueError, match=f"{first}: expected its default with engine '{engine}'"):
            quantized(name, engine)
    with pytest.raises(ValueError, match=f"engine '{engine}'"):
        qrnn.prepare(made(name), qconfig={}, inplace=False, engine=engine)


def test_what_they_say():
    lstm = nn.LSTM(
        4, 3, peepholes=True, layer_norm=False, cell_clip=0.1, activations=("hard_sigmoid", "tanh", ("elu", 2))
    )
    shown = "cell_clip=0.1, peepholes=True"
    assert repr(lstm) == f"LSTM(4, 3, activations=(('hard_sigmoid', 0.2, 0.5), 'tanh', ('elu', 2.0)), {shown})"
    assert (lstm.peepholes, lstm.input_forget, lstm.cell_clip, lstm.proj_clip) == (True, False, 0.1, None)
    assert (lstm.clip, lstm.layer_norm, lstm.reverse, lstm.initial_states) == (None, False, False, False)
    assert nn.LSTM(4, 3, layer_norm=1e-8).layer_norm == 1e-8
    assert nn.LSTM(4, 3, layer_norm=1e-5).layer_norm is True
    assert nn.GRU(4, 3).activations == ("sigmoid", "tanh")
    assert repr(qrnn.quantize_dynamic(nn.GRU(4, 3, clip=2))) == "DynamicQuantizedGRU(4, 3, clip=2.0)"


@pytest.mark.parametrize(
    "plain, other",
    [
        (lambda: nn.LSTM(4, 3), lambda: nn.LSTM(4, 3, activations=["sigmoid", "tanh", ("tanh",)], clip=None)),
        (lambda: nn.RNN(4, 3, nonlinearity="relu"), lambda: nn.RNN(4, 3, activations=("relu",))),
        (lambda: nn.RNNCell(4, 3), lambda: nn.RNNCell(4, 3, nonlinearity="relu", activations=("tanh",))),
        (
            lambda: nn.GRU(4, 3, bidirectional=True),
            lambda: nn.GRU(4, 3, bidirectional=True, activations=("sigmoid", "tanh")),
        ),
    ],
)
def test_the_kinds_own_are_no_options(plain, other):
    plain, other = plain(), other()
    assert other._spec == plain._spec
    assert other.options is None
    assert list(other.state_dict()) == list(plain.state_dict())  # PyTorch's keys


def test_a_state_without_learned_states_loads_as_zeros():
    layer, plain = made("learned"), nn.LSTM(4, 9, 2, proj_size=3)
    with pytest.warns(UserWarning, match="got no format"):
        result = layer.load_state_dict(plain.state_dict())
    assert not result.missing_keys
    assert not layer.h_0.any() and not layer.c_0.any()
    x = inputs(layer)
    assert_same_results(layer(x), plain(x))
    layer.h_0 = np.ones((2, 3))
    assert (layer(x)[0] != plain(x)[0]).any()


def test_parameters_of_quantized_layers_can_be_assigned():
    layer = quantized("peepholes")
    assert_same_bits(layer.weight_ch_l1, made("peepholes").weight_ch_l1)
    x = inputs(layer)
    before = layer(x)[0]
    layer.weight_ch_l1 = np.zeros((3, 9))
    assert (layer(x)[0] != before).any()
    with pytest.raises(ValueError, match=r"weight_ch_l0: expected shape \(3, 9\), got \(3, 8\)"):
        layer.weight_ch_l0 = np.zeros((3, 8))
    with pytest.raises(AttributeError, match="weights and biases are set by set_weight_bias"):
        layer.weight_ih_l0 = np.zeros((36, 4))
    layer.set_weight_bias({**layer.get_weight(), **layer.get_bias(), "weight_ch_l1": np.ones((3, 9), f32)})
    assert (layer.weight_ch_l1 == 1).all()


WRONG = [
    (nn.GRU, {"peepholes": True}, ValueError, "peepholes: expected an LSTM, as GRU has none, got True"),
    (nn.RNN, {"cell_clip": 1}, ValueError, "cell_clip: expected an LSTM, as RNN has none, got 1"),
    (nn.LSTMCell, {"reverse": True}, TypeError, r"LSTMCell\(\) got an unexpected keyword argument 'reverse'"),
    (nn.GRU, {"clips": 1}, TypeError, r"GRU\(\) got an unexpected keyword argument 'clips'"),
    (nn.LSTM, {"clip": 0}, ValueError, "clip: expected a positive number or None, got 0"),
    (nn.LSTM, {"clip": -1.5}, ValueError, "clip: expected a positive number or None, got -1.5"),
    (nn.LSTM, {"clip": "1"}, TypeError, "clip: expected a number, got str"),
    (nn.LSTM, {"clip": np.inf}, ValueError, "clip: expected a finite number, got inf"),
    (nn.LSTM, {"clip": 1e39}, ValueError, "clip: expected a finite number, got 1e"),
    (nn.LSTM, {"layer_norm": -1}, ValueError, "layer_norm: expected a positive number or None, got -1"),
    (nn.LSTM, {"layer_norm": True, "peepholes": True}, ValueError, "layer_norm: expected False with peepholes=True"),
    (nn.LSTM, {"proj_clip": 1}, ValueError, "proj_clip: expected None without a projection, got 1"),
    (nn.LSTM, {"peepholes": 1}, TypeError, "peepholes: expected a bool, got int"),
    (nn.LSTM, {"reverse": True, "bidirectional": True}, ValueError, "reverse: expected False with bidirectional=True"),
    (nn.LSTM, {"activations": "tanh"}, TypeError, "activations: expected a sequence of functions, got str"),
    (nn.LSTM, {"activations": ("tanh",)}, ValueError, "activations: expected 3, of f, g, h, got 1"),
    (
        nn.GRU,
        {"activations": ("tanh", "swish")},
        ValueError,
        "activations: expected one of tanh, sigmoid, .*, got 'swish'",
    ),
    (
        nn.GRU,
        {"activations": ("tanh", 3)},
        TypeError,
        r"activations: expected a name or a tuple \(name, alpha, beta\), got 3",
    ),
    (nn.RNN, {"activations": (("tanh", 1),)}, ValueError, "activations: expected at most 0 parameters of tanh, got"),
    (nn.RNN, {"activations": (("scaled_tanh", 1),)}, ValueError, "2 parameters of scaled_tanh, which has no defaults"),
    (nn.RNN, {"activations": (("elu", "1"),)}, TypeError, "activations: elu: expected a number, got str"),
    (nn.GRU, {"activations": (("tanh", "tanh"),) * 2}, ValueError, "activations: elu|activations: expected"),
]


@pytest.mark.parametrize("cls, options, error, text", WRONG)
def test_bad_options_are_refused_by_name(cls, options, error, text):
    with pytest.raises(error, match=text):
        cls(4, 9, **options)


def test_layers_of_one_package_say_that_the_other_has_them():
    torch = pytest.importorskip("torch")
    import qrnn.torch as qt

    with pytest.raises(
        ValueError, match="peepholes: expected its default, as layers of qrnn.torch have no such option"
    ):
        qt.nn.quantized.dynamic.LSTM(4, 3, peepholes=True)
    layer = qt.nn.quantized.dynamic.GRU(4, 3, reset_after=False)
    same = qrnn.GRU(4, 3, reset_after=False)
    same.load_state_dict({name: value.numpy() for name, value in layer.state_dict().items()})
    x = np.random.default_rng(0).standard_normal((5, 2, 4)).astype(f32)
    assert_same_bits(layer(torch.from_numpy(x))[0].numpy(), same(x)[0])
