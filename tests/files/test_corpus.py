"""Files that earlier versions and this one wrote load in every later one, and give what they gave."""

from __future__ import annotations

import gzip
import pickle
import warnings

import numpy as np
import pytest
from corpus.make_corpus import CASES, flat
from support import ROOT, assert_same_bits
from support.mutated_formats import run

import qrnn

CORPUS = ROOT / "tests" / "corpus"
VERSIONS = sorted(path.name for path in CORPUS.iterdir() if (path / "states.npz").exists())
each_version = pytest.mark.parametrize("version", VERSIONS)


def expected(version):
    """By the name of a model: an input, and what it gives."""
    with np.load(CORPUS / version / "states.npz") as file:
        found = {key: file[key] for key in file.files}
    return {key[:-2]: (found[key], found[f"{key[:-2]}/y"]) for key in found if key.endswith("/x")}, found


def test_versions_are_there():
    assert {"0.1.0", "0.2.0"} <= set(VERSIONS)
    assert sum(path.stat().st_size for path in CORPUS.rglob("*") if path.suffix not in (".py", ".pyc")) < 125_000


@each_version
def test_states(version):
    """Into a model of the same layers; those of 0.1.0 do not say what they are of."""
    models, arrays = expected(version)
    for name, (x, y) in models.items():
        state = {key.split("/", 2)[2]: value for key, value in arrays.items() if key.startswith(f"{name}/state/")}
        if not state:
            continue
        model = CASES[name][0]()
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "load_state_dict: got no")
            assert not any(model.load_state_dict(state))
        assert_same_bits(flat(model(x)), y)


@each_version
def test_pickles(version):
    models, _ = expected(version)
    pickled = {}
    for path in (CORPUS / version).glob("models*.pickle.gz"):
        pickled.update(pickle.loads(gzip.decompress(path.read_bytes())))
    assert set(pickled) == set(models)
    for name, (x, y) in models.items():
        assert_same_bits(flat(pickled[name](x)), y)


@each_version
def test_files(version):
    models, _ = expected(version)
    paths = [path for path in (CORPUS / version).glob("*.safetensors") if not path.name.startswith("torch-")]
    assert {path.stem for path in paths} == (set() if version == "0.1.0" else set(models))
    for path in paths:
        x, y = models[path.stem]
        assert_same_bits(flat(qrnn.load(path)(x)), y)
        into = CASES[path.stem][0]()
        assert_same_bits(flat(qrnn.load(path, into=into)(x)), y)


@each_version
def test_files_of_torch_models(version):
    """They are read without PyTorch."""
    models, _ = expected(version)
    for path in (CORPUS / version).glob("torch-*.safetensors"):
        x, y = models[path.stem.removeprefix("torch-")]
        assert_same_bits(flat(qrnn.load(path)(x)), y)


def test_mutated_files(tmp_path):
    """Each is refused as a bad file, or is what it says; tests/check/files loads more of them."""
    outcomes = run(".safetensors", 500, 1, tmp_path)
    assert sum(outcomes.values()) == 500
    assert outcomes["flip_bits", "loaded"] and outcomes["edit_description", "loaded"]
    assert outcomes["flip_bits", "refused"] and outcomes["cut", "refused"] and not outcomes["cut", "loaded"]
