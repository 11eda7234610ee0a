"""What notebooks show, and built pages, in Chromium: python pages.py CHROMIUM FOLDER [DOCS]; FOLDER gets the pictures.

See the script `pages`. Modules of PyTorch are shown where it is installed. DOCS is a folder of HTML.
"""

from __future__ import annotations

import re
import sys
import urllib.parse
from pathlib import Path

import numpy as np
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import sync_playwright

import qrnn
from qrnn import nn

#: As a notebook's: colors by what the reader prefers, and no wider than the window.
PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width">
<style>:root{{color-scheme:light dark}}body{{margin:12px;background:#fff;color:#1f2328}}
@media (prefers-color-scheme:dark){{body{{background:#0d1117;color:#e6edf3}}}}</style></head>
<body><main><h1 style="font:16px sans-serif">{title}</h1>{body}</main></body></html>"""
WIDTHS = {"narrow": 360, "wide": 1200}
SERIOUS = ("serious", "critical")


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(5, 8), nn.Tanh())
        self.rnn = nn.LSTM(8, 24, num_layers=2, batch_first=True, bidirectional=True)
        self.readout = nn.Linear(48, 4)

    def forward(self, x):
        return self.readout(self.rnn(self.encoder(x))[0])


def shown():
    """Name and object of all that has HTML."""
    qrnn.manual_seed(0)
    rng, model = np.random.default_rng(0), Model()
    data = [rng.standard_normal((4, 15, 5), dtype=np.float32) for _ in range(8)]
    prepared = qrnn.prepare(model, qconfig={}, inplace=False)
    for x in data:
        prepared(x)
    quantized = qrnn.convert(prepared)
    yield "float", model
    yield "quantized", quantized
    yield "weight", quantized.rnn.get_weight()["weight_hh_l0"]
    yield "calibration", qrnn.quantization.calibration_report(quantized)
    yield "summary", qrnn.summary(quantized, data, rounds=3)
    models = {"float": model, "int8": quantized, "13 bits": qrnn.quantize_dynamic(model, engine="qrnn13")}
    yield "measure", qrnn.quantization.measure(models, data, rounds=3)
    yield "compare", qrnn.compare(models, data, rounds=5)
    yield "sensitivity", qrnn.quantization.sensitivity(model, data)
    yield "autoquantize", qrnn.quantization.autoquantize(model, data, max_error=0.02)[1]
    yield "layers", nn.Sequential(*(nn.Linear(3, 3) for _ in range(40)))
    try:
        import torch

        import qrnn.torch as qnn
    except ImportError:
        print("PYTORCH IS NOT INSTALLED: its layers were not shown")
        return
    yield "torch", qnn.quantize_dynamic(torch.nn.LSTM(4, 6))


def findings(page, axe):
    """What is wrong with a page as it stands: texts."""
    wide, window = page.evaluate("[document.scrollingElement.scrollWidth, document.scrollingElement.clientWidth]")
    if wide > window:
        yield f"{wide} pixels wide, in a window of {window}"
    for each in axe.run(page).response["violations"]:
        if each["impact"] in SERIOUS:
            yield f"{each['impact']}: {each['id']}: {each['help']}: {each['nodes'][0]['html'][:200]}"


def shots(folder, name, scheme, label):
    return folder / f"{name}-{scheme}-{label}.png"


def look_at_objects(page, axe, folder, scheme, label, pages):
    """What is wrong with what notebooks show."""
    for name, text in pages:
        page.set_content(text)
        page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
        yield from (f"{name}, {scheme}, {label}: {each}" for each in findings(page, axe))
        page.screenshot(path=shots(folder, name, scheme, label))


def look_at_docs(page, axe, folder, scheme, label, docs):
    """What is wrong with built pages, among it links that lead nowhere."""
    for path in docs:
        page.goto(path.as_uri())
        yield from (f"{path.name}, {scheme}, {label}: {each}" for each in findings(page, axe))
        page.screenshot(path=shots(folder, f"docs-{path.parent.name}-{path.stem}", scheme, label))


def lost_links(folder, docs):
    """Links and pictures of pages, to files of the folder, that are not there."""
    for path in docs:
        for target in re.findall(r'(?:href|src|srcset)="([^"#?:]+)(?:[#?][^"]*)?"', path.read_text(encoding="utf-8")):
            if not (path.parent / urllib.parse.unquote(target)).exists():
                yield f"{path.relative_to(folder)}: no {target}"


def main(chromium, folder, built=None):
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    docs = sorted(Path(built).resolve().rglob("*.html")) if built else []
    found, axe = list(lost_links(Path(built).resolve(), docs)) if built else [], Axe()
    pages = [(name, PAGE.format(title=name, body=thing._repr_html_())) for name, thing in shown()]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for scheme in ("light", "dark"):
            for label, width in WIDTHS.items():
                context = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": 700})
                page = context.new_page()
                page.set_default_timeout(600_000)  # of a busy machine
                found += look_at_objects(page, axe, folder, scheme, label, pages)
                found += look_at_docs(page, axe, folder, scheme, label, docs)
                context.close()
        browser.close()
    for each in found:
        print(each)
    count = 2 * len(WIDTHS) * (len(pages) + len(docs))
    print(
        f"pages: {count} screenshots of {len(pages)} objects and {len(docs)} pages, {len(found)} findings, in {folder}"
    )
    return len(found)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]) > 0)
