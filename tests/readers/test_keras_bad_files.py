"""Files of Keras that are not what they should be: FormatError, which says what is wrong, in little memory and time."""

from __future__ import annotations

import copy
import io
import json
import zipfile

import numpy as np
import pytest

pytest.importorskip("h5py", reason="H5PY IS NOT INSTALLED: bad files of Keras were not tested")

from support.keras_seeds import LAYERS, MODEL, hdf5, keras_2, keras_3, layer, write_numbered
from support.mutated_formats import run

import qrnn
import qrnn.keras


def zipped(parts, how=zipfile.ZIP_STORED):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", how) as archive:
        for name, part in parts:
            archive.writestr(name, part)
    return content.getvalue()


def parts_of(content):
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def changed(edit):
    """The .keras file with another config."""
    parts, model = parts_of(keras_3()), copy.deepcopy(MODEL)
    edit(model["config"]["layers"])
    return zipped({**parts, "config.json": json.dumps(model)}.items())


def refused(content, match, path, **options):
    path.write_bytes(content)
    with pytest.raises(qrnn.FormatError, match=match):
        qrnn.keras.load(path, **options)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "file"


def test_containers(path):
    parts = parts_of(keras_3())
    refused(b"", "expected a zip or HDF5 file of Keras", path)
    refused(keras_3()[:-30], "expected a whole zip: BadZipFile", path)
    refused(keras_2()[:900], "HDF5: expected", path)
    del parts["metadata.json"]
    path.write_bytes(zipped({**parts, "config.json": json.dumps(layer("Sequential", "m", layers=LAYERS[:3]))}.items()))
    assert qrnn.keras.summary(path).version is None
    for name in ("config.json", "model.weights.h5"):
        refused(zipped((key, part) for key, part in parts.items() if key != name), f"expected {name} once", path)
        with pytest.warns(UserWarning, match="Duplicate name"):
            double = zipped([*parts.items(), (name, parts[name])])
        refused(double, f"expected {name} once in the zip, got it 2 times", path)
    shards = {"config.json": parts["config.json"], "model.weights.json": "{}"}
    refused(zipped(shards.items()), "its weights are in several files", path)
    deep = "[" * 100_000 + "]" * 100_000
    refused(zipped({**parts, "config.json": deep}.items()), "config.json: expected no deep nesting", path)
    refused(zipped({**parts, "config.json": "[" * 500 + "]" * 500}.items()), "nesting of at most 100 levels", path)
    refused(zipped({**parts, "config.json": "{"}.items()), "config.json: expected JSON", path)
    refused(zipped({**parts, "config.json": "[3]"}.items()), "config: layer 0: expected a dict", path)


def test_zip_bombs(path):
    """What is declared, and what comes out."""
    parts = parts_of(keras_3())
    bomb = zipped({**parts, "model.weights.h5": bytes(50_000_000)}.items(), zipfile.ZIP_DEFLATED)
    assert len(bomb) < 100_000
    refused(bomb, "model.weights.h5: expected at most .* bytes, got 50000000", path)
    refused(zipped({**parts, "config.json": b" " * (1 << 25)}.items()), "config.json: expected at most 16777216", path)
    lie = bytearray(bomb)
    for size in (50_000_000,):  # in both headers: less than there is
        while (at := lie.find(size.to_bytes(4, "little"))) >= 0:
            lie[at : at + 4] = (4096).to_bytes(4, "little")
    refused(bytes(lie), "expected", path)


def test_weights(path):
    def without(name):
        def write(file):
            write_numbered(file)
            del file[name]

        return hdf5(write)

    parts = parts_of(keras_3())
    for name, match in (
        ("layers/gru/cell/vars/1", "GRU 'gru': expected 3 arrays at /layers/gru/cell/vars, got"),
        ("layers/dense", "Dense 'head': expected 2 arrays at /layers/dense/vars, got 'none'"),
        ("layers/bidirectional/backward_layer", "Bidirectional 'both': expected 3 arrays at .*backward_layer"),
    ):
        refused(zipped({**parts, "model.weights.h5": without(name)}.items()), match, path)

    def wrong(file):
        write_numbered(file)
        for name, array in (
            ("layers/dense/vars/0", np.ones((3, 1))),
            ("layers/embedding/vars/0", np.full((7, 4), np.nan)),
        ):
            del file[name]
            file[name] = array

    wrong_ones = zipped({**parts, "model.weights.h5": hdf5(wrong)}.items())
    path.write_bytes(wrong_ones)
    told = qrnn.keras.summary(path)
    assert "Embedding 'words': embeddings: expected finite values" in told.problems[0]
    both = keras_2().replace(b"rnn/cell/bias:0", b"rnn/cell/blas:0")
    refused(both, "SimpleRNN 'rnn': bias: expected this array in the file", path)


def test_configs(path):
    def put(index, **entries):
        return lambda layers: layers[index]["config"].update(entries)

    for edit, match in (
        (put(6, units=0), "Dense 'head': units: expected a positive integer, got 0"),
        (put(6, units=2), r"Dense 'head': kernel: expected shape \(any, 2\), got \(2, 1\)"),
        (put(6, kernel_size=3), "Dense 'head': kernel_size: the class has no such entry"),
        (put(6, lora_rank=4), "Dense 'head': lora_rank: expected None, got 4"),
        (put(6, dtype={"class_name": "QuantizedDTypePolicy", "config": {"mode": "int8"}}), "'head': dtype: expected"),
        (put(6, activation="glu"), "Dense 'head': activation: expected one of .*, got 'glu'"),
        (put(6, activation=["relu"]), "Dense 'head': activation: expected one of"),
        (
            put(6, activation={"class_name": "GRU", "config": {}}),
            "Dense 'head': activation: expected one of .* got 'GRU'",
        ),
        (
            put(6, activation={"class_name": "Dense", "config": {}}),
            "activation: Dense: expected a layer that",
        ),
        (put(3, axis=[0]), "LayerNormalization 'norm': axis: expected numbers of dimensions"),
        (put(3, epsilon=float("nan")), "LayerNormalization 'norm': epsilon: expected a number, got nan"),
        (put(4, layer=None), "TimeDistributed 'each': layer: expected a dict"),
        (put(1, mask_zero="yes"), "Embedding 'words': mask_zero: expected True or False, got 'yes'"),
        (put(1, input_dim=2**40), "Embedding 'words': embeddings: expected shape"),
        (put(2, merge_mode="max"), "Bidirectional 'both': merge_mode: expected one of"),
        (lambda layers: layers.append(layers[1]), "config: expected each name once, got 'words' 2 times"),
        (
            lambda layers: layers.append(layer("Lambda", "f", function="...")),
            "Lambda 'f': expected a layer without code",
        ),
        (lambda layers: layers[5].update(module="mine.layers"), "GRU 'gru': .* of a user's own, of mine.layers"),
        (lambda layers: layers[5].update(registered_name="mine>GRU"), "GRU 'gru': .* of a user's own, of mine"),
    ):
        refused(changed(edit), match, path)


def test_mutated_files(tmp_path):
    """A sample of `tests/check/files`."""
    outcomes = run(".keras", 75, 3, tmp_path) + run(".h5", 75, 3, tmp_path)
    assert {outcome for _, outcome in outcomes} == {"loaded", "refused"}
