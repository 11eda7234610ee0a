"""ncnn: nets of one layer, batch 1, written here as a .param of three lines and a .bin of tagged weights.

The gates are i f o g with one bias in an LSTM, and r z n in a GRU, which has summed biases for r and z and two for n.
The net borrows the memory of the arrays given to it. On some CPUs only the weights of the int8 layers are quantized;
here activations are quantized too.
"""

import itertools
import tempfile
from pathlib import Path

import ncnn
import numpy as np

from .base import Peer, quantize_rows, reordered, state_names

ORDER = {"rnn": (0,), "lstm": (0, 1, 3, 2), "gru": (0, 1, 2)}
LAYERS = {"rnn": "RNN", "lstm": "LSTM", "gru": "GRU"}
RAW, INT8 = np.uint32(0), np.uint32(0x000D4B38)


def net(kind, weights, int8, threads, states):
    """Make a net with blobs x -> y, or x h (c) -> y h1 (c1)."""
    size = weights["weight_hh"].shape[1]
    names = state_names(kind) if states else ()
    blobs = ["x", *names], ["y", *(f"{n}1" for n in names)]
    param = ["7767517", f"{len(blobs[0]) + 1} {len(blobs[0]) + len(blobs[1])}"]
    param += [f"Input {name} 0 1 {name}" for name in blobs[0]]
    param += [
        f"{LAYERS[kind]} cell {len(blobs[0])} {len(blobs[1])} {' '.join(blobs[0] + blobs[1])} "
        f"0={size} 1={weights['weight_ih'].size} 2=0" + (" 8=2" if int8 else "")
    ]
    w = {name: reordered(kind, a, ORDER) for name, a in weights.items()}
    if kind == "gru":
        b_ih, b_hh = w["bias_ih"], w["bias_hh"]
        bias = np.concatenate([(b_ih + b_hh)[: 2 * size], b_ih[2 * size :], b_hh[2 * size :]])
    else:
        bias = w["bias_ih"] + w["bias_hh"]
    chunks, scales = [], []
    for name, tail in (("weight_ih", bias), ("weight_hh", None)):
        if int8:
            codes, scale = quantize_rows(w[name])
            data = codes.tobytes()
            chunks += [INT8.tobytes(), data, bytes(-len(data) % 4)]
            scales.append((1 / scale).astype(np.float32).tobytes())
        else:
            chunks += [RAW.tobytes(), w[name].tobytes()]
        if tail is not None:
            chunks += [RAW.tobytes(), tail.tobytes()]
    made = ncnn.Net()
    made.opt.num_threads = threads
    for option in (
        "use_vulkan_compute",
        "use_fp16_packed",
        "use_fp16_storage",
        "use_fp16_arithmetic",
        "use_bf16_storage",
        "use_bf16_packed",
    ):
        if hasattr(made.opt, option):
            setattr(made.opt, option, False)
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "net.param").write_text("\n".join(param) + "\n")
        Path(folder, "net.bin").write_bytes(b"".join(chunks + scales))
        if made.load_param(f"{folder}/net.param") or made.load_model(f"{folder}/net.bin"):
            raise RuntimeError("ncnn did not load its net")
    return made


class NCNN(Peer):
    name = "ncnn f32"
    distribution = "ncnn"
    details = "layers RNN, LSTM, GRU; batch 1"
    int8 = False

    def refuses(self, kind, mode, batch):
        return super().refuses(kind, mode, batch) or ("" if batch == 1 else "batch 1 only")

    def sequence(self, kind, weights, xs):
        made, given = net(kind, weights, self.int8, self.threads, states=False), xs[:, 0].copy()
        x = ncnn.Mat(given)

        def run(n):
            for _ in itertools.repeat(None, n):
                extractor = made.create_extractor()
                extractor.input("x", x)
                _, y = extractor.extract("y")
            return np.array(y)[:, None] if given is not None else None

        return run

    def step(self, kind, weights, xs):
        made = net(kind, weights, self.int8, self.threads, states=True)
        arrays = list(xs.copy())
        inputs = itertools.cycle([ncnn.Mat(a) for a in arrays])
        zeros = np.zeros((1, weights["weight_hh"].shape[1]), np.float32)
        keep = arrays, zeros
        h = c = ncnn.Mat(zeros)

        def run_lstm(n):
            nonlocal h, c
            for x in itertools.islice(inputs, n):
                extractor = made.create_extractor()
                extractor.input("x", x)
                extractor.input("h", h)
                extractor.input("c", c)
                _, h = extractor.extract("h1")
                _, c = extractor.extract("c1")
            return np.array(h).reshape(1, -1) if keep else None

        def run(n):
            nonlocal h
            for x in itertools.islice(inputs, n):
                extractor = made.create_extractor()
                extractor.input("x", x)
                extractor.input("h", h)
                _, h = extractor.extract("h1")
            return np.array(h).reshape(1, -1) if keep else None

        return run_lstm if kind == "lstm" else run


class NCNNInt8(NCNN):
    name = "ncnn int8"
    precision = "int8"
    details = "the same with int8 weights"
    int8 = True


PEERS = (NCNN, NCNNInt8)
