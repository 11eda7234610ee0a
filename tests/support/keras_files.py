"""Compare models read from files of Keras with Keras."""

from __future__ import annotations

import qrnn.keras
from support import keras2_files
from support.keras_models import error_of, inputs_of, model_of, output_of, written

#: The largest error of outputs, relative to max(1, |y|).
LIMIT = 2e-6


def error_of_keras_3(seed, folder):
    """Return the error of a model in the formats of Keras 3; check `summary` of each file too."""
    model = model_of(seed)
    x = inputs_of(model, seed)
    expected, errors = output_of(model, x), []
    names = [type(each).__name__ for each in model.layers if type(each).__name__ != "InputLayer"]
    for form, (path, config) in written(model, folder, "model").items():
        options = {"config": config, "version": 3} if config else {}
        errors.append(error_of(qrnn.keras.load(path, **options)(x), expected))
        told = qrnn.keras.summary(path, **options)
        assert told.kind == form and not told.problems, str(told)
        assert [each.class_name for each in told.layers if each.class_name != "InputLayer"] == names
    return max(errors)


def error_of_keras_2(seed, generation, folder):
    """Return the error of a model in files of Keras 2, whole and as weights alone."""
    model = model_of(seed)
    keras2_files.write_h5(folder / "whole.h5", model, generation)
    config = keras2_files.write_weights_h5(folder / "weights.h5", model, generation)
    keras2_files.compute_as_keras_2(model)
    x = inputs_of(model, seed)
    expected = output_of(model, x)
    both = qrnn.keras.load(folder / "whole.h5"), qrnn.keras.load(folder / "weights.h5", config=config)
    return max(error_of(read(x), expected) for read in both)
