"""Writes the files of one version, which every later one has to load.

    python tests/corpus/make_corpus.py 0.2.0

with the qrnn of that version in the path writes into the folder of the name that is given:

    states.npz         of each model CASE/x and CASE/y: an input, and all that it gives, one behind the other; of a
                       version without qrnn.save its state too, CASE/state/KEY
    models.pickle.gz   {CASE: model}, and what a later run adds in models-2.pickle.gz; torch.pickle.gz the same of
                       qrnn.torch
    CASE.safetensors   as qrnn.save writes it; torch-CASE.safetensors from the model of qrnn.torch

What was written once stays as it is: users have such files. A folder that is there gets the cases that it lacks.
"""

from __future__ import annotations

import gzip
import pickle
import sys
from pathlib import Path

import numpy as np

import qrnn
from qrnn import nn


def quantized(model, engine="qrnn"):
    return qrnn.quantize_dynamic(model, engine=engine)


def calibrated():
    prepared = qrnn.prepare(nn.Sequential(nn.Linear(5, 4)), qconfig={})
    prepared(np.random.default_rng(2).standard_normal((40, 5)).astype(np.float32))
    return qrnn.convert(prepared)


def mixed():
    q = qrnn.quantization
    spec = {"": q.default_dynamic_qconfig, "0.weight_ih_l0": q.float_qconfig, "0.weight_hh_l0": q.int13_dynamic_qconfig}
    return qrnn.quantize_dynamic(nn.Sequential(nn.LSTM(5, 4)), spec)


def small():
    return nn.Sequential(
        nn.Conv1d(5, 4, 2, padding="causal"),
        nn.ELU(0.5),
        nn.BatchNorm1d(4),
        nn.Hardtanh(-0.75, 0.5),
        nn.Flatten(),
        nn.LayerNorm(24),
        nn.Softmax(dim=-1),
    )


def onnx_node():
    import qrnn.onnx

    node = qrnn.onnx.RecurrentNode(
        nn.LSTM(5, 4, bidirectional=True), 0, {"X": "frames"}, {"Y": "out"}, initial_h=np.full((2, 3, 4), 0.25)
    )
    return quantized(nn.Sequential(node))


def keras_layer():
    import qrnn.keras

    gru = nn.GRU(5, 4, batch_first=True, reset_after=False)
    return nn.Sequential(qrnn.keras.RecurrentLayer(gru, return_sequences=True, return_state=True))


def onnx_graph():
    """A graph with an encoder, a choice between two heads, and functions."""
    import qrnn.onnx
    from qrnn._graph import Choice, Graph, Step

    heads = [Graph(["h"], ["y"], [Step(("h",), ("y",), module="fc")], {"fc": nn.Linear(4, 2)}) for _ in range(2)]
    steps = [
        Step(("frames",), ("all", "last"), module="gru"),
        Step(("last",), ("mean",), function="reduce_mean", options={"keepdims": 0}),
        Step(("mean", "zero"), ("positive",), function="greater"),
        Step(("positive", "last", "last"), ("head",), module="choice"),
        Step(("head", "gain"), ("wide",), function="mul"),
        Step(("wide",), ("scores",), function="squeeze", options={"axes": [0]}),
    ]
    modules = {"gru": qrnn.onnx.RecurrentNode(nn.GRU(5, 4)), "choice": Choice(*heads)}
    constants = {"zero": np.float32(0), "gain": np.float32([1, -0.5])}
    return quantized(Graph({"frames": "float32"}, ["scores", "all"], steps, modules, constants))


def keras_model():
    """Layers of Keras of all kinds, one after the other; their functions are exact on every machine."""
    import qrnn.keras as k

    lstm = nn.LSTM(4, 3, batch_first=True, bidirectional=True)
    layers = {
        "mask": k.Masking(0.0),
        "conv": k.Convolution(nn.Conv1d(5, 4, 2, padding="causal"), "causal"),
        "norm": k.Normalization(nn.BatchNorm1d(4), 2),
        "relu": k.Activation("relu", (None, 0.1, 0.2)),
        "both": k.RecurrentLayer(lstm, return_sequences=True, merge_mode="sum"),
        "each": k.TimeDistributed(nn.Linear(3, 6)),
        "pool": k.Pooling("max", 2, 2, "same"),
        "turn": k.Permute((2, 1)),
        "gru": k.RecurrentLayer(nn.GRU(3, 4, batch_first=True, reset_after=False)),
        "twice": k.Repeat(2),
        "flat": k.Reshape((2, 4)),
        "mean": k.GlobalPooling("max"),
        "head": nn.Linear(4, 2),
    }
    return quantized(k.Model(layers))


def keras_words():
    import qrnn.keras as k

    gru = k.RecurrentLayer(nn.GRU(4, 3, batch_first=True), return_sequences=True)
    return k.Model({"words": k.Embedding(nn.Embedding(7, 4), True), "gru": gru, "head": nn.Linear(3, 2)})


def tflite_model():
    """The file of examples/: an LSTM with the codes of the file in a graph."""
    import qrnn.tflite

    return qrnn.tflite.load(Path(__file__).resolve().parents[2] / "examples" / "frames.tflite").module


SEQUENCE, CELL = (6, 3, 5), (3, 5)
#: Models by name, each with the shape of an input. Those that a version lacks are left out.
CASES = {
    "rnn": (lambda: nn.Sequential(nn.RNN(5, 4, 2, nonlinearity="relu", bidirectional=True)), SEQUENCE),
    "gru-cell": (
        lambda: nn.Sequential(nn.GRUCell(5, 4), nn.Dropout(0.25), nn.Linear(4, 2, bias=False), nn.Tanh()),
        CELL,
    ),
    "gru-before": (lambda: nn.Sequential(nn.GRU(5, 4, reset_after=False, batch_first=True)), SEQUENCE),
    "quantized-lstm": (lambda: quantized(nn.Sequential(nn.LSTM(5, 4, 2, bidirectional=True, proj_size=2))), SEQUENCE),
    "quantized-gru": (lambda: quantized(nn.Sequential(nn.GRU(5, 4, bias=False, batch_first=True))), SEQUENCE),
    "quantized-before": (lambda: quantized(nn.Sequential(nn.GRUCell(5, 4, reset_after=False), nn.ReLU())), CELL),
    "fbgemm": (lambda: quantized(nn.Sequential(nn.RNNCell(5, 4), nn.Linear(4, 2), nn.Sigmoid()), "fbgemm"), CELL),
    "qnnpack": (lambda: quantized(nn.Sequential(nn.GRU(5, 4)), "qnnpack"), SEQUENCE),
    "onednn": (lambda: quantized(nn.Sequential(nn.Linear(5, 4)), "onednn"), CELL),
    "qrnn13": (lambda: quantized(nn.Sequential(nn.RNNCell(5, 4, nonlinearity="relu")), "qrnn13"), CELL),
    "calibrated": (calibrated, CELL),
    "mixed": (mixed, SEQUENCE),
    "small": (small, (3, 5, 6)),
    "onnx-node": (onnx_node, SEQUENCE),
    "keras-layer": (keras_layer, SEQUENCE),
    "onnx-graph": (onnx_graph, SEQUENCE),
    "keras-model": (keras_model, (3, 6, 5)),
    "keras-words": (keras_words, None),
    "tflite-graph": (tflite_model, (2, 5, 4)),
}


def flat(result):
    """All numbers of a result, one behind the other."""
    return np.concatenate([flat(each) for each in result]) if isinstance(result, tuple) else np.ravel(result)


def made(there):
    """The models that this version has, and their inputs, but for those that are there."""
    for index, (name, (make, shape)) in enumerate(CASES.items()):
        if name in there:
            continue
        qrnn.manual_seed(index)
        try:
            model = make()
        except (ImportError, AttributeError, ValueError) as error:
            print(f"no {name}: {error}")
            continue
        rng = np.random.default_rng(index)
        yield name, model, rng.integers(0, 7, (2, 5)) if shape is None else rng.standard_normal(shape, np.float32)


def torch_models():
    """Models of PyTorch with the layers of cases of NumPy, whose weights they get."""
    import torch

    import qrnn.torch as qt

    layers = torch.nn.RNNCell(5, 4), torch.nn.Linear(4, 2), torch.nn.Sigmoid()
    yield "fbgemm", qt.quantize_dynamic(torch.nn.Sequential(*layers).eval(), engine="fbgemm")


def pickled(models, path):
    path.write_bytes(gzip.compress(pickle.dumps(models, protocol=4), mtime=0))


def main(folder):
    folder.mkdir(exist_ok=True)
    states, models, saves = {}, {}, hasattr(qrnn, "save")
    if (folder / "states.npz").exists():
        with np.load(folder / "states.npz") as file:
            states = {key: file[key] for key in file.files}
    there = {key.partition("/")[0] for key in states}
    for name, model, x in made(there):
        models[name] = model
        states.update({f"{name}/x": x, f"{name}/y": flat(model(x))})
        if saves:
            qrnn.save(model, folder / f"{name}.safetensors")
        else:
            states.update({f"{name}/state/{key}": value for key, value in model.state_dict().items()})
    np.savez_compressed(folder / "states.npz", **states)
    if there:
        number = 1 + len(list(folder.glob("models*.pickle.gz")))
        pickled(models, folder / f"models-{number}.pickle.gz")
    else:
        pickled(models, folder / "models.pickle.gz")
        write_torch(folder, models, saves)


def write_torch(folder, models, saves):
    import torch

    theirs = {}
    for name, model in torch_models():
        model.load_state_dict({key: torch.from_numpy(value) for key, value in models[name].state_dict().items()})
        theirs[name] = model
        if saves:
            qrnn.save(model, folder / f"torch-{name}.safetensors")
    pickled(theirs, folder / "torch.pickle.gz")


if __name__ == "__main__":
    main(Path(__file__).resolve().parent / sys.argv[1])
