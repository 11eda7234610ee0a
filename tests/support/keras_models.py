"""Random models of Keras: chains of all layers that qrnn.keras.load reads."""

from __future__ import annotations

import numpy as np

from support.keras_layers import keras, layers, torch

FORMATS = (".keras", ".h5", ".weights.h5")

STEPS, FEATURES, BATCH, WORDS = 11, 4, 3, 20
ACTIVATIONS = (
    *("relu", "tanh", "sigmoid", "hard_sigmoid", "elu", "selu", "softplus", "softsign", "silu", "gelu", "leaky_relu"),
    *("relu6", "hard_silu", "mish", "exponential", "celu", "log_sigmoid", "linear", "softmax", "log_softmax"),
    *("hard_tanh", "hard_shrink", "soft_shrink", "tanh_shrink", "sparse_plus", "sparse_sigmoid", "squareplus"),
)
RECURRENT_ACTIVATIONS = ("tanh", "relu", "sigmoid", "hard_sigmoid", "softsign", "linear", "elu")


def recurrent(rng, sequences):
    """Make a random recurrent layer, which returns sequences or last states."""
    kind = rng.choice(["SimpleRNN", "GRU", "LSTM"])
    options = {"activation": str(rng.choice(RECURRENT_ACTIVATIONS[:4])), "use_bias": bool(rng.random() < 0.8)}
    if kind != "SimpleRNN":
        options["recurrent_activation"] = str(rng.choice(("sigmoid", "hard_sigmoid")))
    if kind == "GRU":
        options["reset_after"] = bool(rng.random() < 0.5)
    shared = {"return_sequences": sequences, "go_backwards": bool(rng.random() < 0.15)}
    units = int(rng.integers(1, 7))
    how = rng.random()
    if how < 0.15:
        return layers.RNN(getattr(layers, f"{kind}Cell")(units, **options), **shared)
    shared["zero_output_for_mask"] = False
    if how < 0.45:
        shared["go_backwards"] = False
        merge = str(rng.choice(["concat", "sum", "mul", "ave"]))
        return layers.Bidirectional(getattr(layers, kind)(units, **options, **shared), merge_mode=merge)
    return getattr(layers, kind)(units, dropout=0.2, **options, **shared)


def of_steps(rng):
    """Make a random layer that takes and returns (batch, steps, features)."""
    chance = [
        lambda: recurrent(rng, True),
        lambda: recurrent(rng, True),
        lambda: layers.Dense(
            int(rng.integers(2, 6)), activation=str(rng.choice(ACTIVATIONS)), use_bias=rng.random() < 0.8
        ),
        lambda: layers.TimeDistributed(layers.Dense(int(rng.integers(2, 6)), activation="tanh")),
        lambda: layers.LayerNormalization(epsilon=float(rng.choice([1e-3, 1e-5])), center=rng.random() < 0.8),
        lambda: layers.BatchNormalization(scale=rng.random() < 0.8, center=rng.random() < 0.8),
        lambda: layers.Conv1D(
            int(rng.integers(2, 6)),
            int(rng.integers(1, 4)),
            padding=str(rng.choice(["same", "causal"])),
            activation=str(rng.choice(["relu", "linear"])),
            use_bias=rng.random() < 0.8,
        ),
        lambda: layers.Dropout(0.3),
        lambda: layers.SpatialDropout1D(0.2),
        lambda: layers.GaussianNoise(0.1),
        lambda: layers.Activation(str(rng.choice(ACTIVATIONS))),
        lambda: layers.ReLU(max_value=1.5, negative_slope=0.1, threshold=0.2),
        lambda: layers.LeakyReLU(0.2),
        lambda: layers.ELU(0.7),
    ]
    return chance[rng.integers(len(chance))]()


def shorter(rng):
    """Make a random layer that returns fewer steps."""
    chance = [
        lambda: layers.Conv1D(3, 3, strides=2, padding=str(rng.choice(["valid", "same", "causal"]))),
        lambda: layers.Conv1D(4, 2, dilation_rate=2, padding=str(rng.choice(["valid", "same", "causal"]))),
        lambda: layers.Conv1D(4, 3, groups=2),
        lambda: layers.MaxPooling1D(2, padding=str(rng.choice(["valid", "same"]))),
        lambda: layers.AveragePooling1D(2, strides=1),
    ]
    return chance[rng.integers(len(chance))]()


def to_rows(rng):
    """Make a random layer that returns (batch, features)."""
    chance = [
        lambda: recurrent(rng, False),
        lambda: recurrent(rng, False),
        lambda: layers.GlobalAveragePooling1D(),
        lambda: layers.GlobalMaxPooling1D(),
        lambda: layers.Flatten(),
    ]
    return chance[rng.integers(len(chance))]()


def of_rows(rng):
    chance = [
        lambda: layers.Dense(int(rng.integers(2, 6)), activation=str(rng.choice(ACTIVATIONS))),
        lambda: layers.BatchNormalization(),
        lambda: layers.LayerNormalization(axis=1),
        lambda: layers.Dropout(0.5),
        lambda: layers.Softmax(),
    ]
    return chance[rng.integers(len(chance))]()


def chain(rng):
    """Make a random chain of layers; return it and whether its input is words."""
    words = bool(rng.random() < 0.4)
    found = [layers.Embedding(WORDS, FEATURES, mask_zero=bool(rng.random() < 0.7))] if words else []
    if not words and rng.random() < 0.4:
        found.append(layers.Masking(float(rng.choice([0.0, 1.0]))))
    found += [of_steps(rng) for _ in range(rng.integers(0, 4))]
    if rng.random() < 0.3:
        found += [layers.Dense(4), shorter(rng)]
    if rng.random() < 0.8:
        found.append(to_rows(rng))
        found += [of_rows(rng) for _ in range(rng.integers(0, 3))]
        if rng.random() < 0.2:
            found += [layers.RepeatVector(3), recurrent(rng, True), layers.TimeDistributed(layers.Dense(2))]
    return found, words


def masks(layer):
    """Whether a layer makes masks; a functional model with a model inside computes these by extra operations."""
    return isinstance(layer, layers.Masking) or getattr(layer, "mask_zero", False)


def model_of(seed):
    """Make the model of a seed: half of the models are functional, some have a model inside."""
    rng = np.random.default_rng(seed)
    found, words = chain(rng)
    found = found or [layers.Dropout(0.1)]
    shape = (STEPS,) if words else (STEPS, FEATURES)
    if seed % 5 == 4 and len(found) > 2 and not (seed % 2 and masks(found[0])):
        found = [*found[:1], keras.Sequential(found[1:])]
    if seed % 2:
        x = keras.Input(shape)
        y = x
        for each in found:
            y = each(y)
        model = keras.Model(x, y)
    else:
        model = keras.Sequential([keras.Input(shape), *found])
    for each in model.weights:
        values = 0.4 * rng.standard_normal(each.shape)
        each.assign(np.abs(values) + 0.1 if each.name == "moving_variance" else values)
    return model


def inputs_of(model, seed):
    """Make inputs of a model: words, or features, some of them with the value that Masking masks here."""
    rng = np.random.default_rng(seed)
    if len(model.input_shape) == 2:
        x = rng.integers(1, WORDS, (BATCH, STEPS))
        x[1, 6:] = 0
        x[2, :3] = 0
        return x
    x = rng.standard_normal((BATCH, STEPS, FEATURES), dtype=np.float32)
    x[1, 6:], x[2, 3] = 0, 1
    return x


def output_of(model, x):
    """Return the output of Keras."""
    with torch.no_grad():
        return model(torch.from_numpy(x), training=False).numpy()


def written(model, folder, name):
    """Write files of all formats: {format: (path, config or None)}."""
    files = {}
    for form in FORMATS:
        path = folder / f"{name}{form}"
        if form == ".weights.h5":
            model.save_weights(path)
        else:
            model.save(path)
        files[form] = path, model.to_json() if form == ".weights.h5" else None
    return files


def error_of(computed, expected):
    """Return the largest error relative to max(1, |y|)."""
    assert computed.shape == expected.shape and computed.dtype == np.float32, (computed.shape, expected.shape)
    return float(np.max(np.abs(computed - expected) / np.maximum(1, np.abs(expected)), initial=0))
