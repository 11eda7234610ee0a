"""What `make docs` builds: every page has its place, every public name its text and examples, every picture its source.

The build itself is a step of .ci/run, with warnings as errors; tests/check/pages looks at it in a browser.
"""

from __future__ import annotations

import doctest
import importlib
import importlib.util
import inspect
import pkgutil
import re
import sys
import xml.etree.ElementTree

import pytest
from support import HAVE_TORCH, ROOT

import qrnn

DOCS = ROOT / "docs"
pytestmark = pytest.mark.skipif(not DOCS.exists(), reason="NO docs/: the pages were not checked")


@pytest.fixture(scope="module")
def load():
    """Programs of docs/ by name."""
    paths = [str(DOCS), str(DOCS / "pictures")]
    sys.path[:0] = paths
    yield importlib.import_module
    for path in paths:
        sys.path.remove(path)
    for name in ("api_pages", "draw"):
        sys.modules.pop(name, None)


def public_modules():
    found = [info.name for info in pkgutil.walk_packages(qrnn.__path__, "qrnn.", onerror=lambda name: None)]
    return ["qrnn", *(name for name in found if not re.search(r"\._", name))]


def importable():
    for name in public_modules():
        try:
            yield name, importlib.import_module(name)
        except ImportError:
            assert not HAVE_TORCH or not name.startswith("qrnn.torch") or name == "qrnn.torch.onnx"


def test_every_page_is_in_the_index():
    text = (DOCS / "index.md").read_text(encoding="utf-8")
    for page in DOCS.glob("*.md"):
        if page.name != "index.md":
            assert f"({page.name})" in text and f"\n{page.stem}\n" in text, page.name


def test_every_public_name_has_a_page(load):
    """Each stands on the page of its module: with its text, or with a reference to where that is."""
    pages, count = load("api_pages").pages(), 0
    texts = set(re.findall(r"^\.\. auto\w+:: (\S+)$", "\n".join(pages.values()), re.MULTILINE))
    for module, there in importable():
        for name in there.__all__:
            page = pages[module]
            referred = re.search(rf"\* - ``{name}``\n     - :py:\w+:`([\w.]+)`", page)
            assert f":: {module}.{name}\n" in page or (referred and referred[1] in texts), f"{module}.{name}"
            count += 1
    directives = re.findall(r"^\.\. auto\w+:: (\S+)$", "\n".join(pages.values()), re.MULTILINE)
    assert len(directives) == len(set(directives)), "a text stands twice"
    assert count > (400 if HAVE_TORCH else 250)  # without PyTorch the names of qrnn.torch are left out


def text_of(name):
    """The text in which a public name has its example: its own, its class's, or for a bare value its module's."""
    thing = name.thing
    if inspect.ismodule(thing) or inspect.isclass(thing) or inspect.isroutine(thing):
        return vars(thing).get("__doc__") if inspect.isclass(thing) else thing.__doc__
    if type(thing).__module__.startswith("qrnn"):
        return type(thing).__doc__
    text = importlib.import_module(name.module).__doc__
    return text if re.search(rf">>> .*\b{re.escape(name.name)}\b", text or "") else None


def test_every_public_name_has_an_example_that_runs(load, capsys):
    api, parser, failed, without, count, ran = load("api_pages"), doctest.DocTestParser(), [], [], 0, {}
    engine = qrnn.backends.quantized.engine
    runner = doctest.DocTestRunner(verbose=False)
    for name in api.names():
        if name.full != name.home or (name.module == "qrnn.onnx" and not importlib.util.find_spec("onnx")):
            continue
        text = text_of(name) or ""
        test = parser.get_doctest(text, {"__name__": "__main__"}, name.full, None, None)
        if not [each for each in test.examples if not each.options.get(doctest.SKIP)]:
            without.append(name.full)
            continue
        count += 1
        if text not in ran:
            ran[text] = len(test.examples)
            if runner.run(test, out=lambda _: None).failed:
                failed.append(name.full)
        assert qrnn.backends.quantized.engine == engine, f"{name.full} left another engine behind"
    with capsys.disabled():
        print(f"\npublic names with examples that ran: {count} of {count + len(without)}, {sum(ran.values())} examples")
    assert not failed and not without


@pytest.mark.parametrize("name", ["panels", "step", "threads"])
def test_a_picture_is_what_its_program_draws(name, load):
    draw = load("draw")
    text = (DOCS / "pictures" / f"{name}.svg").read_text(encoding="utf-8")
    assert text == draw.PICTURES[f"{name}.svg"](), "python docs/pictures/draw.py"
    root = xml.etree.ElementTree.fromstring(text)
    kinds = {kind for each in root.iter() for kind in each.get("class", "").split()}
    assert kinds <= {*draw.COLORS, "thin", "head"}
    assert all(float(each.get("x", 0)) <= draw.WIDTH for each in root.iter())


def luminance(color):
    parts = [int(color[n : n + 2], 16) / 255 for n in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear))


def test_pictures_can_be_read_on_light_pages_and_dark_ones(load):
    """WCAG's contrast of 4.5 between text and all that it stands on."""
    colors = load("draw").COLORS
    for scheme in (1, 2):
        for words in ("word", "note"):
            for ground in ("page", "float", "code", "sum", "other"):
                a, b = sorted((luminance(colors[words][scheme]), luminance(colors[ground][scheme])))
                assert (b + 0.05) / (a + 0.05) >= 4.5, (words, ground, scheme)
