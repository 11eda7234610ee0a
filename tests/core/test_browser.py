"""examples/web/qrnn.js: its structures are those of qrnn.h. tests/check/browser runs it."""

import re

import pytest
from support import ROOT

from qrnn._described import PRECISION
from qrnn._saved_reports import REPORTS

pytestmark = pytest.mark.core

WRAPPER = ROOT / "examples/web/qrnn.js"
STRUCTURES = {
    "WEIGHT": "qrnn_weight",
    "SPEC": "qrnn_spec",
    "RUN": "qrnn_run",
    "KIND": "qrnn_kind_info",
    "MATRIX": "qrnn_matrix_info",
}


def words_of(name):
    """The strings of a constant of the wrapper."""
    found = re.search(rf"^const {name} = (?:new Set\()?\[(.*?)\]", WRAPPER.read_text(), re.MULTILINE | re.DOTALL)
    return re.findall(r'"(\w+)"', found[1])


def members_of(structure):
    """The members of a structure of qrnn.h with their types, in order."""
    header = re.sub(r"/\*.*?\*/", "", (ROOT / "csrc/core/qrnn.h").read_text(), flags=re.DOTALL)
    body = re.search(rf"typedef struct {structure} \{{(.*?)\}} {structure};", header, re.DOTALL)[1]
    members = []
    for declaration in filter(str.strip, body.split(";")):
        if pointer := re.search(r"\(\*(\w+)\)", declaration):  # to a function
            members.append((pointer[1], "*"))
            continue
        kind, first = re.match(r"\s*((?:const )?\w+)\s+(.*)", declaration, re.DOTALL).groups()
        members += [(re.search(r"\w+", each)[0], "*" if "*" in each else kind) for each in first.split(",")]
    return members


@pytest.mark.parametrize("name", STRUCTURES)
def test_structures_are_those_of_the_header(name):
    words, members = words_of(name), members_of(STRUCTURES[name])
    whole = name not in ("KIND", "MATRIX")  # what lies behind is not read, or read by its offset
    assert words == [member for member, _ in members][: None if whole else len(words)]
    assert {kind for _, kind in members[: len(words)]} <= {"*", "size_t", "int", "qrnn_kind"}  # 4 bytes in WebAssembly


def test_names_of_matrices_have_the_length_that_the_wrapper_reads():
    size = re.search(r"^const NAME_BYTES = (\d+);", WRAPPER.read_text(), re.MULTILINE)[1]
    assert f"char weight[{size}], bias[{size}];" in (ROOT / "csrc/core/qrnn.h").read_text()
    assert [name for name, _ in members_of("qrnn_matrix_info")][-2:] == ["weight", "bias"]


def test_what_a_file_may_say_of_a_layer():
    assert {PRECISION, *REPORTS} <= set(words_of("KNOWN"))
