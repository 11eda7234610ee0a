"""What a file says of its modules may be anything: what is none of a model's is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
from support.safetensors_files import as_bytes, parts

import qrnn
from qrnn import nn

pytestmark = pytest.mark.filterwarnings("error")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.safetensors"


def changed(path, change):
    """Have `change` make another description of the model in a file."""
    header, data = parts(path)
    described = json.loads(header["__metadata__"]["qrnn"])
    header["__metadata__"]["qrnn"] = json.dumps(change(described) or described)
    path.write_bytes(as_bytes(header, data))


def entry(index, **values):
    return lambda described: described["modules"][index][1].update(values)


BAD = {
    "no version": (lambda d: {"modules": d["modules"]}, "expected a version, got None"),
    "a version of text": (lambda d: {**d, "version": "1"}, "expected a version, got '1'"),
    "a later version": (lambda d: {**d, "version": 2}, "version 1 at most, got 2: use a later qrnn"),
    "a list": (lambda d: [1], "expected a version, got None"),
    "no modules": (lambda d: {"version": 1}, "expected modules, a list of names and dicts"),
    "modules by name": (lambda d: {**d, "modules": {}}, "expected modules, a list"),
    "none at all": (lambda d: {**d, "modules": []}, "expected each name once, and first that of the model"),
    "a name of number": (lambda d: {**d, "modules": [[1, {"kind": "Tanh"}]]}, "expected modules, a list"),
    "neither": (lambda d: {**d, "modules": [["", {}]]}, "expected modules, a list"),
    "both": (lambda d: {**d, "modules": [["", {"kind": "Tanh", "class": "x"}]]}, "expected modules, a list"),
    "a name twice": (lambda d: {**d, "modules": d["modules"] + d["modules"][1:]}, "expected each name once"),
    "no parent": (lambda d: d["modules"].append(["9.0", {"kind": "Tanh"}]), "expected '9' before '9.0'"),
    "the same as a later one": (lambda d: d["modules"].insert(1, ["8", {"same": "0"}]), "expected '0' before '8'"),
    "the same as itself": (lambda d: d["modules"].append(["8", {"same": "8"}]), "expected '8' before '8'"),
    "the same as its parent": (
        lambda d: d["modules"].append(["8", {"same": ""}]),
        "nothing below '', which comes twice",
    ),
    "below a layer that comes twice": (
        lambda d: d["modules"].extend([["8", {"same": "1"}], ["8.0", {"same": "1"}]]),
        "nothing below '8', which comes twice",
    ),
    "a name that is a method": (lambda d: d["modules"].append(["eval", {"kind": "Tanh"}]), "eval: expected the name"),
    "an empty name": (lambda d: d["modules"].append(["0.", {"kind": "Tanh"}]), "expected the name of a module, got ''"),
    "another kind": (entry(1, kind="Transformer"), "0: expected a kind of this version, got 'Transformer'"),
    "a class": (lambda d: {**d, "modules": [["", {"class": "os.system"}]]}, r"the model \(os.system\)"),
    "a kind that is none": (lambda d: d["modules"].append(["8", {"kind": "__class__"}]), "expected a kind"),
    "a name that modules keep things under": (
        lambda d: d["modules"].append(["_kept", {"kind": "Tanh"}]),
        "_kept: expected the name of a module",
    ),
    "a chain of modules": (
        lambda d: d["modules"].extend([".".join("a" * depth), {"kind": "Sequential"}] for depth in range(1, 120)),
        "expected modules at most 100 deep, got 'a.a.a",
    ),
    "an option of no layer": (entry(1, secret=1), r"0: .* expected \{'kind'"),
    "no option": (lambda d: d["modules"][1][1].__delitem__("bias"), "0: .*'bias'"),
    "another type": (entry(1, hidden_size="4"), "0: .*hidden_size"),
    "a huge layer": (entry(1, hidden_size=10**9), "size mismatch for 0.weight_ih"),
    "a layer beyond NumPy": (entry(1, hidden_size=10**19), "0: .*Maximum allowed dimension exceeded|0: .*too big"),
    "another engine": (entry(1, engine="fast"), "0: .*engine"),
    "no engine": (entry(1, engine=None), "0: .*engine"),
    "an engine that is not that of the weights": (entry(1, engine="float32"), "0.format: expected engine 'float32'"),
    "an option of another type": (entry(1, reset_after=1), "0: .*reset_after"),
    "a kind without its format": (entry(4, reset_after=False), "3.format: expected the bytes of {'kind': 'GRU'"),
    "a later description": (entry(1, version=2), r"0: .*expected \{'kind'"),
    "precisions": (entry(1, precision={"weight_ih": "u3"}), "0: weight_ih"),
    "precisions of numbers": (entry(1, precision={"weight_ih": 0.5}), "0: weight_ih: expected a str, got float"),
    "precisions of text": (entry(1, precision="weight_ih"), "0: "),
    "a report": (entry(1, calibration=[{"name": 1}]), "expected calibration to have rows of name, shape"),
    "a report of text": (entry(1, calibration="x"), "expected calibration to have rows of"),
    "an option of no module": (entry(2, secret=1), "1: expected the options of Hardtanh, and secret is not in both"),
    "an option too few": (lambda d: d["modules"][2][1].__delitem__("min_val"), "and min_val is not in both"),
    "options that contradict": (entry(2, min_val=9.0), "1: .*max_val"),
    "an option of a type that cannot be": (entry(2, min_val=None), "1: "),
    "a huge table": (entry(3, num_embeddings=10**9), r"2.weight: expected a tensor of shape \[1000000000, 2\]"),
    "a table of text": (entry(3, num_embeddings="5"), "2.weight: expected a tensor of shape"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_descriptions(path, case):
    qrnn.save(nn.Sequential(qrnn.GRUCell(4, 3), nn.Hardtanh(), nn.Embedding(5, 2), nn.GRU(4, 3)), path)
    change, text = BAD[case]
    changed(path, change)
    with pytest.raises(qrnn.FormatError, match=text) as caught:
        qrnn.load(path)
    assert str(caught.value).startswith(f"{path}: ")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "Expecting value"),
        ('{"version":1,"version":1,"modules":[["",{"kind":"Tanh"}]]}', "expected each key once"),
        ("[" * 100_000, "expected no deep nesting|Expecting value"),
        ('{"version":1' + " " * (1 << 22), "expected at most 4194304 characters"),
    ],
    ids=range(4),
)
def test_texts_that_describe_nothing(path, text, message):
    path.write_bytes(as_bytes({"__metadata__": {"qrnn": text}}))
    with pytest.raises(qrnn.FormatError, match=message):
        qrnn.load(path)
    with pytest.raises(qrnn.FormatError, match=message):
        qrnn.load(path, into=nn.Tanh())


def test_many_layers_are_refused_before_they_are_made(path):
    qrnn.save(nn.RNN(1, 1), path)
    changed(path, entry(0, num_layers=65_536))
    with pytest.raises(qrnn.FormatError, match="expected weights of 65536 layers, got 4 tensors"):
        qrnn.load(path)


def test_values_that_cannot_be(path):
    """Scales that are not positive are no layer's; into a model they do not fit."""
    model = nn.Sequential(qrnn.GRUCell(4, 3))
    qrnn.save(model, path)
    content = path.read_bytes()
    scale = model.state_dict()["0.weight_ih_scale"].tobytes()
    assert content.count(scale) == 1
    path.write_bytes(content.replace(scale, np.full(9, -1, np.float32).tobytes()))
    with pytest.raises(qrnn.FormatError, match=r"0\.weight_ih_scale: expected finite, positive scales"):
        qrnn.load(path)
    with pytest.raises(RuntimeError, match=r"0\.weight_ih_scale: expected finite, positive scales"):
        qrnn.load(path, into=nn.Sequential(qrnn.GRUCell(4, 3)))


def test_a_format_of_a_layer_that_says_none(path):
    """And one that says more than the description: it would be lost."""
    qrnn.save({**nn.GRU(4, 3).state_dict(), "format": qrnn.GRU(4, 3, engine="x86").state_dict()["format"]}, path)
    described = {"version": 1, "modules": [["", nn.GRU(4, 3).describe()]]}
    header, data = parts(path)
    header["__metadata__"] = {"qrnn": json.dumps(described)}
    path.write_bytes(as_bytes(header, data))
    with pytest.raises(qrnn.FormatError, match="format: expected engine 'float32', got 'x86'"):
        qrnn.load(path)
    layer = qrnn.GRU(4, 3)
    qrnn.save(layer, path)
    content = path.read_bytes()
    assert content.count(b'"hidden_size":3,') == 1  # the metadata has it with escapes
    path.write_bytes(content.replace(b'"hidden_size":3,', b'"hidden_sizE":3,'))
    with pytest.raises(qrnn.FormatError, match="format: expected the bytes of {'kind': 'GRU'"):
        qrnn.load(path)


def test_deep_models_are_not_written(path):
    """What a load refuses, and where Python's stack ends soon."""
    model = nn.Tanh()
    for _ in range(101):
        model = nn.Sequential(model)
    with pytest.raises(ValueError, match="model: expected modules at most 100 deep"):
        qrnn.save(model, path)
    qrnn.save(model[0], path)
    assert repr(qrnn.load(path)) == repr(model[0])
