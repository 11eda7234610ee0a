"""Writes the files of one version, which every later one has to load.

    python tests/corpus/make_corpus.py 0.2.0

with the qrnn of that version in the path writes into a new folder of the name that is given:

    states.npz         of each model CASE/x and CASE/y: an input, and all that it gives, one behind the other; of a
                       version without qrnn.save its state too, CASE/state/KEY
    models.pickle.gz   {CASE: model}; torch.pickle.gz the same of qrnn.torch
    CASE.safetensors   as qrnn.save writes it; torch-CASE.safetensors from the model of qrnn.torch

What was written once stays as it is: users have such files.
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
}


def flat(result):
    """All numbers of a result, one behind the other."""
    return np.concatenate([flat(each) for each in result]) if isinstance(result, tuple) else np.ravel(result)


def made():
    """The models that this version has, and their inputs."""
    for index, (name, (make, shape)) in enumerate(CASES.items()):
        qrnn.manual_seed(index)
        try:
            model = make()
        except (ImportError, AttributeError, ValueError) as error:
            print(f"no {name}: {error}")
            continue
        yield name, model, np.random.default_rng(index).standard_normal(shape).astype(np.float32)


def torch_models():
    """Models of PyTorch with the layers of cases of NumPy, whose weights they get."""
    import torch

    import qrnn.torch as qt

    layers = torch.nn.RNNCell(5, 4), torch.nn.Linear(4, 2), torch.nn.Sigmoid()
    yield "fbgemm", qt.quantize_dynamic(torch.nn.Sequential(*layers).eval(), engine="fbgemm")


def pickled(models, path):
    path.write_bytes(gzip.compress(pickle.dumps(models, protocol=4), mtime=0))


def main(folder):
    import torch

    folder.mkdir()
    states, models, theirs, saves = {}, {}, {}, hasattr(qrnn, "save")
    for name, model, x in made():
        models[name] = model
        states.update({f"{name}/x": x, f"{name}/y": flat(model(x))})
        if saves:
            qrnn.save(model, folder / f"{name}.safetensors")
        else:
            states.update({f"{name}/state/{key}": value for key, value in model.state_dict().items()})
    np.savez_compressed(folder / "states.npz", **states)
    pickled(models, folder / "models.pickle.gz")
    for name, model in torch_models():
        model.load_state_dict({key: torch.from_numpy(value) for key, value in models[name].state_dict().items()})
        theirs[name] = model
        if saves:
            qrnn.save(model, folder / f"torch-{name}.safetensors")
    pickled(theirs, folder / "torch.pickle.gz")


if __name__ == "__main__":
    main(Path(__file__).resolve().parent / sys.argv[1])
