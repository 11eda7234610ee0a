"""qrnn.keras.load and summary: models by chance in every format of Keras 3 and layout of Keras 2, beside Keras 3.

A sample; `tests/check/keras` has all of them.
"""

from __future__ import annotations

import copy
import json
import pickle

import numpy as np
import pytest
from support import keras2_files
from support.keras_files import LIMIT, error_of_keras_2, error_of_keras_3
from support.keras_models import error_of, inputs_of, keras, layers, model_of, output_of
from support.keras_seeds import arrays, hdf5

import qrnn
import qrnn.keras

pytestmark = pytest.mark.filterwarnings("ignore:Layer '.*was passed an input with a mask:UserWarning")


@pytest.mark.parametrize("seed", range(16))
def test_models_of_keras_3(seed, tmp_path):
    assert error_of_keras_3(seed, tmp_path) <= LIMIT


@pytest.mark.parametrize("generation", keras2_files.GENERATIONS)
def test_layouts_of_keras_2(generation, tmp_path):
    first = 3 * list(keras2_files.GENERATIONS).index(generation)
    for seed in range(first, first + 3):
        assert error_of_keras_2(seed, generation, tmp_path) <= LIMIT, seed


def test_keras_file_of_keras_2(tmp_path):
    model = model_of(3)
    x, path = inputs_of(model, 3), tmp_path / "model.keras"
    keras2_files.write_keras(path, model)
    keras2_files.compute_as_keras_2(model)
    assert error_of(qrnn.keras.load(path)(x), output_of(model, x)) <= LIMIT


@pytest.mark.parametrize("kind, gates", [("GRU", 3), ("LSTM", 4)])
def test_layers_of_cudnn(kind, gates, tmp_path):
    """A file of a class that kept cuDNN's order of weights is read as `read_layer` reads it."""
    units, features = 3, 4
    shapes = ((features, gates * units), (units, gates * units), (2 * gates * units,))
    found, config = arrays(*shapes), {"name": "rnn", "units": units, "return_sequences": True}
    chain = [{"class_name": f"CuDNN{kind}", "config": config}]

    def write(file):
        file.attrs["keras_version"] = b"2.2.4"
        file.attrs["model_config"] = json.dumps({"class_name": "Sequential", "config": chain}).encode()
        group = file.create_group("model_weights")
        group.attrs["layer_names"] = [b"rnn"]
        names = [f"rnn/{name}:0" for name in ("kernel", "recurrent_kernel", "bias")]
        own = group.create_group("rnn")
        own.attrs["weight_names"] = [name.encode() for name in names]
        for name, array in zip(names, found):
            own.create_dataset(name, data=array)

    (tmp_path / "rnn.net").write_bytes(hdf5(write))
    x = np.random.default_rng(0).standard_normal((2, 5, features), dtype=np.float32)
    layer = qrnn.keras.read_layer(f"CuDNN{kind}", config, found)
    assert (qrnn.keras.load(tmp_path / "rnn.net")(x) == layer(x)).all() and layer(x).any()


@pytest.fixture(scope="module")
def tagger(tmp_path_factory):
    """A model of words, its file, and what goes in."""
    model = keras.Sequential(
        [
            keras.Input((9,)),
            layers.Embedding(12, 8, mask_zero=True, name="words"),
            layers.LSTM(16, return_sequences=True, name="first"),
            layers.GRU(16, return_sequences=True, name="second"),
            layers.Dense(5, activation="softmax", name="head"),
        ]
    )
    path = tmp_path_factory.mktemp("tagger") / "tagger.keras"
    model.save(path)
    x = np.random.default_rng(0).integers(1, 12, (4, 9))
    x[1, 5:] = 0
    return model, path, x


def test_it_is_a_module(tagger):
    model, path, x = tagger
    read = qrnn.keras.load(str(path))
    expected = output_of(model, x)
    assert [name for name, _ in read.named_children()] == ["words", "first", "second", "head"]
    for each in (copy.deepcopy(read), pickle.loads(pickle.dumps(read))):
        assert (each(x) == read(x)).all()
    quantized = qrnn.quantize_dynamic(read)
    assert quantized.second.layer.engine == "qrnn" and 0 < error_of(quantized(x), expected) < 0.02
    one = qrnn.quantize_dynamic(read, {"second"})
    assert one.second.layer.engine == "qrnn" and one.first.layer.describe()["engine"] == "float32"
    prepared = qrnn.prepare(read, qconfig={}, inplace=False)
    prepared(x)
    assert 0 < error_of(qrnn.convert(prepared)(x), expected) < 0.02
    again = qrnn.keras.load(path)
    again.load_state_dict(read.state_dict())
    assert (again(x) == read(x)).all()


def test_streams(tmp_path):
    """Frame by frame, where all layers are causal; a mask is none of a stream's."""
    model = keras.Sequential(
        [
            keras.Input((None, 4)),
            layers.Conv1D(6, 3, dilation_rate=2, padding="causal", activation="relu"),
            layers.BatchNormalization(),
            layers.GRU(8, return_sequences=True),
            layers.TimeDistributed(layers.Dense(3)),
        ]
    )
    model.save(tmp_path / "m.keras")
    read = qrnn.quantize_dynamic(qrnn.keras.load(tmp_path / "m.keras"))
    x = np.random.default_rng(1).standard_normal((2, 12, 4), dtype=np.float32)
    stream = qrnn.stream(read, rows=2)
    frames = np.concatenate([stream(x[:, t : t + 1]) for t in range(12)], axis=1)
    assert (frames == read(x)).all()
    qrnn.export_c(read, tmp_path / "m.h")  # what a frame goes through
    assert "gru" in (tmp_path / "m.h").read_text()
    with pytest.raises(ValueError, match="expected padding='causal'"):
        valid = keras.Sequential([keras.Input((8, 4)), layers.Conv1D(3, 2)])
        valid.save(tmp_path / "v.keras")
        qrnn.stream(qrnn.keras.load(tmp_path / "v.keras"))


def test_models_without_recurrent_layers(tmp_path):
    model = keras.Sequential([keras.Input((4,)), layers.Dense(3, activation="gelu"), layers.Dense(2)])
    model.save(tmp_path / "m.h5")
    told = qrnn.keras.summary(tmp_path / "m.h5")
    assert [each.recurrent for each in told.layers] == [None] * len(told.layers) and not told.problems
    x = np.ones((2, 4), np.float32)
    assert error_of(qrnn.keras.load(tmp_path / "m.h5")(x), output_of(model, x)) <= LIMIT


def test_states_and_outputs(tmp_path):
    """return_state at the end of a model of calls: all outputs, or the first alone; stateful; Softmax with a mask."""
    x = keras.Input((5, 4))
    states = keras.Model(x, layers.LSTM(3, return_state=True, return_sequences=True)(x))
    first = keras.Model(x, layers.Bidirectional(layers.GRU(3, return_state=True))(x)[0])
    x_in = np.random.default_rng(2).standard_normal((2, 5, 4), dtype=np.float32)
    for model in (states, first):
        model.save(tmp_path / "m.keras")
        computed, expected = qrnn.keras.load(tmp_path / "m.keras")(x_in), model(x_in)
        assert isinstance(computed, tuple) == (model is states)
        for a, b in zip(computed if model is states else [computed], expected if model is states else [expected]):
            assert error_of(a, b.detach().numpy()) <= LIMIT
    kept = keras.Sequential([keras.Input(batch_shape=(2, 5, 4)), layers.GRU(3, stateful=True)])
    for form in (".keras", ".h5"):
        kept.save(tmp_path / f"m{form}")
        read = qrnn.keras.load(tmp_path / f"m{form}")
        kept.layers[0].reset_state()
        for _ in range(2):  # the second call goes on where the first one ended
            assert error_of(read(x_in), output_of(kept, x_in)) <= LIMIT
    second = keras.Model(x, layers.LSTM(3, return_state=True)(x)[1])
    second.save(tmp_path / "m.keras")
    with pytest.raises(qrnn.FormatError, match="expected all its outputs, or the first one"):
        qrnn.keras.load(tmp_path / "m.keras")


@keras.saving.register_keras_serializable(package="of_a_user")
class Own(layers.Layer):
    def call(self, x):
        return x


def test_all_that_is_not_read_is_named(tmp_path):
    x = keras.Input((5, 4))
    y = layers.LSTM(3, return_sequences=True, name="kept")(x)
    y = layers.Lambda(lambda z: z * 2, name="code")(y)
    y = Own(name="own")(y)
    y = layers.Add(name="sum")([y, layers.SeparableConv1D(3, 1, name="rare")(x)])
    keras.Model(x, y).save(tmp_path / "m.keras")
    told = qrnn.keras.summary(tmp_path / "m.keras")
    problems = "\n".join(told.problems)
    for text in (
        "Lambda 'code': expected a layer without code of its own, which is not run",
        "Own 'own': expected a class of Keras, got one of a user's own, of of_a_user",
        "SeparableConv1D 'rare': expected a class that is read here",
        "Add 'sum': expected a class that is read here",
        "Add 'sum': expected one input",
    ):
        assert text in problems, problems
    kept = next(each for each in told.layers if each.name == "kept")
    assert kept.problem is None and (kept.recurrent["kind"], kept.recurrent["hidden_size"]) == ("LSTM", 3)
    with pytest.raises(qrnn.FormatError, match=r"(?s)m\.keras: .*'code'.*'own'.*'rare'.*'sum'"):
        qrnn.keras.load(tmp_path / "m.keras")
    found = qrnn.keras.layers(tmp_path / "m.keras")
    assert list(found) == ["kept"] and found["kept"](np.ones((2, 5, 4))).shape == (2, 5, 3)
    assert "kept" in str(told) and "not read: Lambda 'code'" in str(told)


def test_arguments(tagger, tmp_path):
    model, path, _ = tagger
    model.save_weights(tmp_path / "m.weights.h5")
    with pytest.raises(qrnn.FormatError, match="m.weights.h5: expected config=, as the file has only weights"):
        qrnn.keras.load(tmp_path / "m.weights.h5")
    (tmp_path / "config.json").write_text(model.to_json())
    for config in (model.to_json(), json.loads(model.to_json()), tmp_path / "config.json"):
        assert isinstance(qrnn.keras.load(tmp_path / "m.weights.h5", config=config), qrnn.keras.Model)
    with pytest.raises(TypeError, match="config: expected a dict, JSON as text or the path of a file, got int"):
        qrnn.keras.load(path, config=3)
    with pytest.raises(TypeError, match="path: expected a str or a PathLike, got int"):
        qrnn.keras.load(3)
    with pytest.raises(OSError):
        qrnn.keras.load(tmp_path / "none.keras")
