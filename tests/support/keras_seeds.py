"""Small files of Keras, written without Keras, from which mutations start."""

from __future__ import annotations

import io
import json
import zipfile

import numpy as np

UNITS, FEATURES = 3, 4


def layer(class_name, name, **config):
    return {"class_name": class_name, "config": {"name": name, **config}}


LSTM = layer("LSTM", "lstm", units=UNITS, activation="tanh", recurrent_activation="sigmoid", return_sequences=True)
LAYERS = [
    layer("InputLayer", "input", batch_shape=[None, 5]),
    layer("Embedding", "words", input_dim=7, output_dim=FEATURES, mask_zero=True),
    layer("Bidirectional", "both", layer=LSTM, merge_mode="concat"),
    layer("LayerNormalization", "norm", axis=-1, epsilon=1e-3),
    layer("TimeDistributed", "each", layer=layer("Dense", "inner", units=2, activation="hard_sigmoid")),
    layer("GRU", "gru", units=2, activation="tanh", recurrent_activation="sigmoid", reset_after=True),
    layer("Dense", "head", units=1, activation="softmax"),
]


def arrays(*shapes):
    rng = np.random.default_rng(0)
    return [0.3 * rng.standard_normal(shape, dtype=np.float32) for shape in shapes]


LSTM_ARRAYS = (FEATURES, 4 * UNITS), (UNITS, 4 * UNITS), (4 * UNITS,)
#: Arrays by the names of groups in Keras 3.
NUMBERED = {
    "layers/embedding": arrays((7, FEATURES)),
    "layers/bidirectional/forward_layer/cell": arrays(*LSTM_ARRAYS),
    "layers/bidirectional/backward_layer/cell": arrays(*LSTM_ARRAYS),
    "layers/layer_normalization": arrays((6,), (6,)),
    "layers/time_distributed/layer": arrays((6, 2), (2,)),
    "layers/gru/cell": arrays((2, 6), (2, 6), (2, 6)),
    "layers/dense": arrays((2, 1), (1,)),
}


MODEL = {**layer("Sequential", "model", layers=LAYERS), "keras_version": "3.9.0"}


def hdf5(write, **options):
    import h5py

    content = io.BytesIO()
    with h5py.File(content, "w", **options) as file:
        write(file)
    return content.getvalue()


def write_numbered(file, **options):
    for path, found in NUMBERED.items():
        group = file.create_group(f"{path}/vars")
        for i, array in enumerate(found):
            group.create_dataset(str(i), data=array, **options)


def keras_3():
    """A .keras file."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("metadata.json", json.dumps({"keras_version": "3.9.0"}))
        archive.writestr("config.json", json.dumps(MODEL))
        archive.writestr("model.weights.h5", hdf5(write_numbered))
    return content.getvalue()


def packed_weights():
    """Weights alone, in compressed chunks, with other bytes before the HDF5 file."""
    options = {"compression": "gzip", "shuffle": True, "fletcher32": True}
    return hdf5(lambda file: write_numbered(file, **options), userblock_size=512)


def latest():
    """Weights alone in the layout of libver="latest"."""
    return hdf5(write_numbered, libver="latest")


def keras_2():
    """An .h5 file of Keras 2 with a functional model."""
    chain = [
        layer("InputLayer", "input", batch_input_shape=[None, 6, FEATURES]),
        layer("Masking", "masking", mask_value=0.0),
        layer("Conv1D", "conv", filters=3, kernel_size=[2], strides=[1], padding="causal", activation="relu"),
        layer("BatchNormalization", "norm", axis=[2], epsilon=1e-3),
        layer("SimpleRNN", "rnn", units=2, activation="tanh", go_backwards=True),
    ]
    weights = {
        "conv": dict(zip(("conv/kernel:0", "conv/bias:0"), arrays((2, FEATURES, 3), (3,)))),
        "norm": {f"norm/{name}:0": np.ones(3) for name in ("gamma", "beta", "moving_mean", "moving_variance")},
        "rnn": dict(
            zip([f"rnn/cell/{name}:0" for name in ("kernel", "recurrent_kernel", "bias")], arrays((3, 2), (2, 2), (2,)))
        ),
    }
    for before, each in zip([None, *chain], chain):
        each["name"] = each["config"]["name"]
        each["inbound_nodes"] = [] if before is None else [[[before["name"], 0, 0, {}]]]
    ends = {"input_layers": [["input", 0, 0]], "output_layers": [["rnn", 0, 0]]}

    def write(file):
        file.attrs["keras_version"] = b"2.4.0"
        file.attrs["model_config"] = json.dumps(layer("Functional", "model", layers=chain, **ends)).encode()
        group = file.create_group("model_weights")
        group.attrs["layer_names"] = [each["name"].encode() for each in chain]
        for each in chain:
            own = group.create_group(each["name"])
            found = weights.get(each["name"], {})
            own.attrs["weight_names"] = [name.encode() for name in found]
            for name, array in found.items():
                own.create_dataset(name, data=array)

    return hdf5(write)


def hdf5_files():
    """An ``.h5`` file, and two ``.weights.h5`` for `MODEL`."""
    return [keras_2(), packed_weights(), latest()]
