"""Write a folder that a web server can show: the page, ``qrnn.wasm``, the quantized model and a recording.

    python examples/web/export.py build/web
    python -m http.server --directory build/web

Takes a compiler for WebAssembly: Debian's clang with wasi-libc, or ``pip install ziglang`` and
``--wasm-cc 'python -m ziglang cc -target wasm32-wasi'``. The recording comes with a package that ``make demo``
installs. The model is the one that ``train.py`` wrote.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

import qrnn
from qrnn import nn

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
import trained  # noqa: E402
import vowels_data  # noqa: E402

UTTERANCES = 4  # of each speaker


def load_model():
    """The speaker classifier, quantized: a GRU that reads forward, and a Linear."""
    with np.load(HERE / "speaker_gru.npz") as weights:
        model = trained.SequenceClassifier(weights, nn.GRU)
        model.load_state_dict(weights)
    return qrnn.quantize_dynamic(model)


def recording():
    """Utterances that were held back from training, one after the other; a dict of arrays with a row a frame."""
    _, (x, lengths, y) = vowels_data.load()
    chosen = np.concatenate([np.flatnonzero(y == speaker)[:UTTERANCES] for speaker in range(vowels_data.SPEAKERS)])
    begins = np.zeros(lengths[chosen].sum(), np.uint8)
    begins[np.cumsum(lengths[chosen]) - lengths[chosen]] = 1
    return {
        "frames": np.concatenate([x[i, : lengths[i]] for i in chosen]),
        "begins": begins,
        "speaker": np.repeat(y[chosen], lengths[chosen]).astype(np.uint8),
    }


def make_wasm(path, *arguments):
    """Make the module; `arguments` are those of make, such as ``"WASM_CC=clang --target=wasm32-wasi"``."""
    library = HERE.parent.parent / "csrc/lib"
    with tempfile.TemporaryDirectory() as out:
        command = ["make", "-C", library, "wasm", f"OUT={out}", f"PYTHON={sys.executable}", *arguments]
        subprocess.run(command, check=True)
        shutil.copy(Path(out) / "qrnn.wasm", path)


def export(folder, *arguments):
    """Write everything; `arguments` are those of `make_wasm`."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    make_wasm(folder / "qrnn.wasm", *arguments)
    for name in ("index.html", "page.js", "qrnn.js"):
        shutil.copy(HERE / name, folder)
    qrnn.save(load_model(), folder / "model.safetensors")
    qrnn.save(recording(), folder / "recording.safetensors")


def main():
    parser = argparse.ArgumentParser(description="write a folder that a web server can show")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--wasm-cc", help="the compiler, with its target (clang --target=wasm32-wasi)")
    options = parser.parse_args()
    export(options.folder, *([f"WASM_CC={options.wasm_cc}"] if options.wasm_cc else []))
    for path in sorted(options.folder.iterdir()):
        print(f"{path}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
