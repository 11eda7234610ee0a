"""The settings of Sphinx for `make docs`, whose source folder is the repository's root: links stand as on disk."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

import api_pages
from docutils import nodes
from sphinx.roles import XRefRole

import qrnn

#: Full public names, each with the one that its text has; and the modules that have a page.
TARGETS: dict[str, str] = {}
PAGES: set[str] = set()

project = "qrnn"
author = "the authors of qrnn"
version = release = qrnn.__version__
root_doc = "docs/index"
include_patterns = [
    "*.md",
    "docs/**",
    "csrc/README.md",
    "benchmarks/README.md",
    "examples/README.md",
    "examples/*/README.md",
    "tests/*/README.md",
]
exclude_patterns = [".venv", ".venvs", "build", "docs/pictures"]
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]

myst_heading_anchors = 3
myst_enable_extensions = ["html_image"]
highlight_language = "none"
default_role = "name"

nitpicky = True
nitpick_ignore = [("py:exc", "torch.onnx.OnnxExporterError")]
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # docstrings say types
napoleon_google_docstring = False
napoleon_use_rtype = False
napoleon_use_param = False
napoleon_custom_sections = [("Attributes", "params_style")]  # types of attributes are prose, and no references

html_theme = "furo"
html_title = f"qrnn {version}"
html_static_path = ["static"]
html_css_files = ["pages.css"]
html_js_files = ["reach.js"]
html_copy_source = False
html_show_sphinx = False


def name_role(role, raw, text, line, inliner, options=None, content=()):
    """`x` in a docstring: a public name, as a reference; else an argument or the like, as code."""
    page = inliner.document.settings.env.docname.rpartition("/")[2]
    home = TARGETS.get(f"{page}.{text}") or TARGETS.get(text) or TARGETS.get(f"qrnn.{text}")
    if home is None:
        if text.startswith("qrnn."):
            return [], [inliner.reporter.warning(f"`{text}` is no public name", line=line)]
        return [nodes.literal(raw, text)], []
    return XRefRole()(f"py:{'mod' if home in PAGES else 'obj'}", raw, f"{text} <{home}>", line, inliner)


def write_api(app):
    names = api_pages.names()
    TARGETS.update({name.full: name.home for name in names})
    PAGES.update(api_pages.write(HERE / "api"))
    print(f"pages of the API: {len(PAGES)}")


def finish(app, error):
    """Pictures that HTML in a page names; and every public name has its text."""
    if error or app.builder.name != "html":
        return
    shutil.copytree(HERE / "pictures", Path(app.outdir, "docs/pictures"), dirs_exist_ok=True)
    there = {row[0] for row in app.env.domains["py"].get_objects()}
    public = api_pages.names()
    lost = sorted({name.home for name in public} - there)
    if lost:
        raise RuntimeError(f"public names without a text: {', '.join(lost)}")
    print(f"public names: {len({name.home for name in public})}, by {len(public)} paths")


def results_as_files(app, page, source):
    """Links to what benchmarks wrote, which are no pages, bring the file."""
    source[0] = re.sub(r"\[([^]]*)\]\((\S*benchmarks/results/\S+\.md)\)", r"{download}`\1 <\2>`", source[0])


def setup(app):
    app.connect("source-read", results_as_files)
    app.add_role("name", name_role)
    app.connect("builder-inited", write_api)
    app.connect("build-finished", finish)
