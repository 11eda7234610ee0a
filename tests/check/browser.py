"""Results of a browser against Python's, bit for bit: browser.py FOLDER -- BROWSER [ARGUMENT ...].

The page ``browser.html`` shows the page of ``examples/web`` in a frame and lets its wrapper compute all layers of
``tests/corpus``; it posts what came out. Last line: "N passed, M failed".
"""

import functools
import gzip
import http.server
import json
import queue
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np

import qrnn
from qrnn import nn

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "examples/web"))
import export

FRAMES = 6
TIMEOUT = 300
#: What the wrapper reads of a description, by its own words.
KNOWN = set(
    re.findall(r'"(\w+)"', re.search(r"KNOWN = new Set\((.*?)\)", (export.HERE / "qrnn.js").read_text(), re.DOTALL)[1])
)
#: What the wrapper refuses, by words of the text.
REFUSED = {"bidirectional": "expected one direction", "options": "this wrapper has no"}


class Handler(http.server.SimpleHTTPRequestHandler):
    """Files of a folder; what is posted goes into a queue."""

    def __init__(self, *arguments, found, **options):
        self.found = found
        super().__init__(*arguments, **options)

    def do_POST(self):
        self.found.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *arguments):
        pass


def browse(folder, command):
    """What the page posts."""
    found = queue.Queue()
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Handler, directory=str(folder), found=found)
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with open(folder / "browser.log", "w") as log:
        browser = subprocess.Popen([*command, f"http://127.0.0.1:{server.server_port}/browser.html"], stderr=log)
        try:
            return found.get(timeout=TIMEOUT)
        except queue.Empty:
            sys.exit(f"nothing came from the browser in {TIMEOUT} s: {folder / 'browser.log'}")
        finally:
            browser.terminate()
            browser.wait()
            server.shutdown()


def layers_of(model):
    """The layers of a model by name, those that compute with weights."""
    return {name: layer for name, layer in model.named_modules() if hasattr(layer, "describe")}


def bits(values):
    return np.ascontiguousarray(values, np.float32).view(np.uint32).reshape(-1).tolist()


def results_of(layer, frames):
    """What a layer gives for each frame, as bits; a word of REFUSED."""
    described = layer.describe()
    if described.keys() - KNOWN:
        return "options"
    if described.get("bidirectional"):
        return "bidirectional"
    if described["kind"] == "Linear":
        return [bits(layer(frame[None])) for frame in frames]
    state, found = None, []
    for frame in frames:
        if described["kind"].endswith("Cell"):
            state = layer(frame[None], state)
            output = state[0] if isinstance(state, tuple) else state
        else:
            output, state = layer(frame[None, None], state)
        found.append(bits(output))
    return found


def corpus_cases(folder):
    """Cases for the page, and Python's results: every layer of every file."""
    rng, cases, wanted = np.random.default_rng(3), [], []
    paths = sorted((ROOT / "tests/corpus").glob("*/*.safetensors"))
    extra = {
        "cell.safetensors": nn.Sequential(nn.LSTMCell(9, 21)),
        "deep.safetensors": nn.Sequential(nn.LSTM(7, 40, 3)),
        "refused.safetensors": nn.Sequential(nn.LSTM(5, 4, peepholes=True)),
    }
    for name, model in extra.items():
        qrnn.save(qrnn.quantize_dynamic(model), folder / name)
        paths.append(folder / name)
    for path in paths:
        try:
            model = qrnn.load(path)
        except qrnn.FormatError:  # modules that only a class of the user's can make
            continue
        if path.parent != folder:
            shutil.copy(path, folder)
        for name, layer in layers_of(model).items():
            inputs = getattr(layer, "input_size", None) or layer.in_features
            frames = rng.standard_normal((FRAMES, inputs)).astype(np.float32)
            cases.append({"file": path.name, "layer": name, "frames": frames.tolist()})
            wanted.append(results_of(layer, frames))
    return cases, wanted


def timing_cases(folder):
    cases = []
    for kind, engine in ((nn.GRU, "qrnn"), (nn.LSTM, "qrnn"), (nn.GRU, "qrnn13"), (nn.GRU, "float32")):
        model = nn.Sequential(kind(40, 128))
        name = f"{kind.__name__} {engine}.safetensors"
        qrnn.save(model if engine == "float32" else qrnn.quantize_dynamic(model, engine=engine), folder / name)
        cases.append({"file": name, "inputs": 40, "steps": 20 if engine == "float32" else 100})
    return cases


def page_scores():
    """The scores of the page's frames."""
    model, signal, state, found = export.load_model(), export.recording(), None, []
    for frame, begins in zip(signal["frames"], signal["begins"], strict=True):
        output, state = model.rnn(frame[None, None], None if begins else state)
        found.append(bits(model.classifier(output[0])))
    return found


def is_right(got, want):
    return REFUSED[want] in got if isinstance(want, str) else got == want


def main():
    folder, command = Path(sys.argv[1]).resolve(), sys.argv[sys.argv.index("--") + 1 :]
    shutil.rmtree(folder, ignore_errors=True)
    export.export(folder)
    export.make_wasm(folder / "scalar.wasm", "SIMD=no")
    shutil.copy(ROOT / "tests/check/browser.html", folder)
    cases, wanted = corpus_cases(folder)
    timings = timing_cases(folder)
    (folder / "cases.json").write_text(json.dumps({"cases": cases, "timings": timings}))
    found = browse(folder, command)
    if "error" in found:
        sys.exit(found["error"])
    passed = failed = 0
    for what, results in found["results"].items():
        for case, got, want in zip(cases, results, wanted, strict=True):
            passed += (right := is_right(got, want))
            failed += not right
            if not right:
                print(
                    f"FAILED: {what}, {case['file']}, layer {case['layer']!r}: {str(got)[:100]}, not {str(want)[:100]}"
                )
    right = found["scores"] == page_scores() and found["colors"] > 100
    passed, failed = passed + right, failed + (not right)
    if not right:
        print(f"FAILED: the page, of {found['colors']} colors: {found['report']}")
    print(f"the page: {found['report']}")
    for case, (scalar, simd) in zip(timings, found["times"], strict=True):
        name, ratio = Path(case["file"]).stem, simd / scalar
        print(f"a step of {name}, 40 -> 128: {scalar:.1f} µs scalar, {simd:.1f} µs with simd128, ratio {ratio:.2f}")
    for name in ("scalar", "qrnn"):
        code = (folder / f"{name}.wasm").read_bytes()
        print(f"{name}.wasm: {len(code):,} bytes, {len(gzip.compress(code)):,} compressed")
    print(f"{len(found['results'])} sets of kernels, {passed} passed, {failed} failed")
    sys.exit(failed != 0)


if __name__ == "__main__":
    main()
