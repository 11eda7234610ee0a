"""Write models of Keras 3 in the files of Keras 2: configs, names of weights and layouts of its versions.

Keras 2 has another hard_sigmoid; the model gets it too, so that its outputs are the right ones for the file.
"""

from __future__ import annotations

import json
import zipfile
from io import BytesIO

import numpy as np
import pytest

from support.keras_layers import keras

h5py = pytest.importorskip("h5py", reason="H5PY IS NOT INSTALLED: files of Keras 2 were not written")

#: Versions with different files: the version in the file, whether a Sequential is a bare list, and the names of the
#: weights of a recurrent layer's cell.
GENERATIONS = {
    "2.0, a list": ("2.0.8", True, "{layer}/{name}:0"),
    "2.2": ("2.2.4", False, "{layer}/{name}:0"),
    "2.4": ("2.4.0", False, "{layer}/{cell}/{name}:0"),
    "2.9, in a model": ("2.9.0", False, "model/{layer}/{cell}/{name}:0"),
    "2.15": ("2.15.0", False, "{layer}/{cell}/{name}:0"),
}
#: Entries that Keras 2 lacks.
_NEW = ("quantization_config", "zero_output_for_mask", "use_cudnn", "autocast", "rms_scaling", "renorm_clipping")


def hard_sigmoid(x):
    """The hard_sigmoid of Keras 2."""
    return keras.ops.clip(0.2 * x + 0.5, 0, 1)


def inner_layers(layer):
    """Yield a layer and the layers inside it."""
    yield layer
    inside = [getattr(layer, name, None) for name in ("cell", "forward_layer", "backward_layer", "layer")]
    for each in [*inside, *(getattr(layer, "layers", None) or [])]:
        if isinstance(each, keras.layers.Layer) and each is not layer:
            yield from inner_layers(each)


def compute_as_keras_2(model):
    """Have a model compute Keras 2's hard_sigmoid."""
    for each in inner_layers(model):
        if hasattr(each, "cell"):
            continue  # its activations are those of its cell
        for name in ("activation", "recurrent_activation"):
            if getattr(each, name, None) is keras.activations.hard_sigmoid:
                setattr(each, name, hard_sigmoid)


def plain(value):
    """Reduce an object serialized by Keras 3 to the form of Keras 2: a class and its config."""
    if isinstance(value, dict):
        if value.get("class_name") == "DTypePolicy":
            return value["config"]["name"]
        if "class_name" in value and "config" in value:
            return {"class_name": value["class_name"], "config": plain(value["config"])}
        return {key: plain(each) for key, each in value.items() if key not in _NEW}
    return [plain(each) for each in value] if isinstance(value, (list, tuple)) else value


def config_of(layer):
    config = plain(layer.get_config())
    name = type(layer).__name__
    if name in ("BatchNormalization", "LayerNormalization"):
        axes = config["axis"] if isinstance(config["axis"], list) else [config["axis"]]
        config["axis"] = [axis % len(layer.get_build_config()["input_shape"]) for axis in axes]
    if name == "LeakyReLU":
        config["alpha"] = config.pop("negative_slope")
    if isinstance(layer, keras.layers.RNN):
        config["time_major"] = False
    if isinstance(layer, keras.Sequential):
        return {"name": layer.name, "layers": [serialized(each) for each in layer.layers]}
    if name == "InputLayer":
        config["batch_input_shape"] = config.pop("batch_shape")
        config["sparse"] = False
    return config


def serialized(layer):
    return {"class_name": type(layer).__name__, "config": config_of(layer)}


def model_config(model, listed):
    """Make the config of a model, with calls if the model is functional."""
    if isinstance(model, keras.Sequential):
        found = [serialized(each) for each in model.layers]
        found[0]["config"]["batch_input_shape"] = [None, *model.input_shape[1:]]
        return {"class_name": "Sequential", "config": found if listed else {"name": model.name, "layers": found}}
    found, before = [], None
    for each in model.layers:
        calls = [] if before is None else [[[before.name, int(isinstance(before, keras.Model)), 0, {}]]]
        found.append({**serialized(each), "name": each.name, "inbound_nodes": calls})
        before = each
    ends = [[model.layers[0].name, 0, 0]], [[before.name, int(isinstance(before, keras.Model)), 0]]
    config = {"name": model.name, "layers": found, "input_layers": ends[0], "output_layers": ends[1]}
    return {"class_name": "Model" if listed else "Functional", "config": config}


def weights_of(layer, form, outer=""):
    """List (name, array) of each weight of a layer and of the layers inside it, trainable ones first."""
    found = [(name, each) for each in inner_layers(layer) for name in [_name(each)] if own_weights(each)]
    pairs = []
    for trained in (True, False):
        for each in inner_layers(layer):
            for weight in own_weights(each):
                if weight.trainable == trained:
                    cell = isinstance(each, (keras.layers.SimpleRNNCell, keras.layers.GRUCell, keras.layers.LSTMCell))
                    pattern = form if cell else "{layer}/{name}:0"
                    place = owner_of(layer, each)
                    name = pattern.format(layer=place, cell=_name(each), name=weight.name)
                    pairs.append((name, weight.numpy() if hasattr(weight, "numpy") else np.array(weight)))
    assert found or not pairs
    return pairs


def own_weights(layer):
    """Return a layer's weights without those of layers inside it."""
    return [each for each in layer._trainable_variables + layer._non_trainable_variables if "seed" not in each.path]


def owner_of(layer, part):
    """Return the path of names of the layers around `part`, without the name of a cell."""
    if layer is part:
        return layer.name
    for name in ("forward_layer", "backward_layer"):
        inner = getattr(layer, name, None)
        if inner is not None and part in list(inner_layers(inner)):
            return f"{layer.name}/{inner.name}"
    if getattr(layer, "layers", None):
        return next(owner_of(each, part) for each in layer.layers if part in list(inner_layers(each)))
    return layer.name


def _name(layer):
    return layer.name


def write_weights(group, model, form, version):
    group.attrs["layer_names"] = [each.name.encode() for each in model.layers]
    group.attrs["backend"], group.attrs["keras_version"] = b"tensorflow", version.encode()
    for each in model.layers:
        own, pairs = group.create_group(each.name), weights_of(each, form)
        own.attrs["weight_names"] = [name.encode() for name, _ in pairs]
        for name, array in pairs:
            own.create_dataset(name, data=array)


def write_h5(path, model, generation):
    """Write the whole model."""
    version, listed, form = GENERATIONS[generation]
    with h5py.File(path, "w") as file:
        file.attrs["keras_version"], file.attrs["backend"] = version.encode(), b"tensorflow"
        file.attrs["model_config"] = json.dumps(model_config(model, listed)).encode()
        write_weights(file.create_group("model_weights"), model, form, version)


def write_weights_h5(path, model, generation):
    """Write the weights alone; return the config that to_json would give."""
    version, listed, form = GENERATIONS[generation]
    with h5py.File(path, "w") as file:
        write_weights(file, model, form, version)
    return json.dumps({**model_config(model, listed), "keras_version": version, "backend": "tensorflow"})


def write_keras(path, model):
    """Write a .keras file of Keras 2.13, whose groups have other names than those of Keras 3."""
    model.save(path)
    with zipfile.ZipFile(path) as archive:
        config, old = json.loads(archive.read("config.json")), archive.read("model.weights.h5")
    content = BytesIO()
    with h5py.File(BytesIO(old)) as source, h5py.File(content, "w") as target:
        if "layers" in source:
            source.copy("layers", target, name="_layer_checkpoint_dependencies")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("metadata.json", json.dumps({"keras_version": "2.13.1"}))
        archive.writestr("config.json", json.dumps(config))
        archive.writestr("model.weights.h5", content.getvalue())
