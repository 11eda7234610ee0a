"""Arrows between files point one way: none of them depends on itself by way of others, in C and in Python.

C: python -> core -> kernels. Python: qrnn.torch -> the rest of qrnn. They are read from the sources.
"""

from __future__ import annotations

import ast
import graphlib
import re

import pytest
from support import ROOT

CSRC, PACKAGE = ROOT / "csrc", ROOT / "qrnn"
FOLDERS = ("python", "core", "kernels")  # each may use the next
#: Headers that are interfaces: others may include them, whatever the file of that name does.
INTERFACES = ("qrnn.h", "kernels.h")


def circle(graph):
    """The names along a circle of a graph {name: names that it depends on}, or None."""
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return error.args[1]
    return None


# ---------------------------------------------------------------------------------------------------
# C
# ---------------------------------------------------------------------------------------------------
def code(path):
    """A C text without comments, strings and directives."""
    text = re.sub(r'/\*.*?\*/|"(?:\\.|[^"\\\n])*"', " ", path.read_text(), flags=re.DOTALL)
    return re.sub(r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*", "", text, flags=re.MULTILINE)


DEFINITION = re.compile(
    r"^((?!static\b|typedef\b|extern\b)\w[^;{}=()]*?)\b(\w+)(?:\[\w*\])?\s*(?:\([^;{}]*\)\s*\{|=)", re.M
)


def definitions(text):
    """Names of what other files can use: functions and variables defined at the left margin, without `static` or a
    macro in capitals, behind which it stands."""
    return {name for head, name in DEFINITION.findall(text) if not re.match(r"[A-Z][A-Z_0-9]+\b", head)}


def node(path):
    """A file with the header of its name counts as one thing."""
    name = path if path.name in INTERFACES else path.with_suffix("")
    return name.relative_to(CSRC).as_posix()


def dependencies():
    """{node: {node that it depends on: (verb, name)}} of everything in csrc."""
    sources = sorted(CSRC.rglob("*.[ch]"))
    texts = {path: code(path) for path in sources if path.suffix == ".c"}
    defined = {name: path for path, text in texts.items() for name in definitions(text)}
    graph = {node(path): {} for path in sources}
    for path in sources:
        for name in re.findall(r'^\s*#\s*include\s*"([^"]+)"', path.read_text(), re.MULTILINE):
            places = [path.parent, *(CSRC / folder for folder in FOLDERS)]
            found = next((p / name for p in places if (p / name).exists()), None)
            if found and found.suffix == ".h" and node(found) != node(path):
                graph[node(path)][node(found)] = "includes", name
        for word in set(re.findall(r"\b[A-Za-z_]\w+", texts.get(path, ""))):
            target = defined.get(word)
            if target and node(target) != node(path):
                graph[node(path)][node(target)] = "uses", word
    return graph


def test_definitions_are_found():
    text = "int f(int a,\n      int b)\n{\n    return g(a);\n}\nstatic int h(void)\n{\n}\nint g(int a);\n"
    text += (
        "const struct s table[COUNT] = {1};\nextern int x;\nint y = 3;\nstruct s {\n    int a;\n};\nstatic int z = 1;\n"
    )
    assert definitions(text) == {"f", "table", "y"}
    graph = dependencies()
    assert ("uses", "call_cell") in graph["python/dispatch"].values() and "core/qrnn.h" in graph["python/numpy_api"]
    assert len(graph) > 50


@pytest.mark.parametrize("folder", ["python", "core", "kernels"])
def test_c_files_without_circles(folder):
    graph = {name: set(uses) for name, uses in dependencies().items() if name.startswith(folder)}
    found = circle(graph)
    assert found is None, " <- ".join(found)


#: What each folder may include and use of the others. Kernels know qrnn.h for its sizes and names.
INCLUDED = {"python": {"qrnn.h"}, "core": {"kernels.h", "target.h"}, "kernels": {"qrnn.h"}}
USED = {"python": ["core/qrnn.h"], "core": ["kernels/kernels.h", "core/qrnn.h"], "kernels": []}


def test_c_folders_point_one_way():
    wrong = []
    for name, uses in dependencies().items():
        folder = name.partition("/")[0]
        declared = {word for path in USED[folder] for word in re.findall(r"\b(\w+)\s*\(", code(CSRC / path))}
        for other, (verb, what) in uses.items():
            allowed = INCLUDED[folder] if verb == "includes" else declared
            if other.partition("/")[0] != folder and what not in allowed:
                wrong.append(f"{name} {verb} {what} of {other}")
    assert not wrong, "\n".join(wrong)


# ---------------------------------------------------------------------------------------------------
# Python
# ---------------------------------------------------------------------------------------------------
def module_name(path):
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))} | {"qrnn._core": PACKAGE / "_core.pyi"}


def resolve(importer, statement):
    """The module that a `from ... import` names, absolute."""
    if not statement.level:
        return statement.module or ""
    parts = importer.split(".")
    if MODULES[importer].name != "__init__.py":
        parts = parts[:-1]
    parts = parts[: len(parts) - (statement.level - 1)]
    return ".".join([*parts, *filter(None, [statement.module])])


def imports(importer, tree):
    """(module, name in it or None, name here) of every import of ours, inside functions and `if TYPE_CHECKING` too."""
    for statement in ast.walk(tree):
        if isinstance(statement, ast.Import):
            for alias in statement.names:
                if alias.name in MODULES:
                    yield alias.name, None, alias.asname
        elif isinstance(statement, ast.ImportFrom):
            base = resolve(importer, statement)
            for alias in statement.names:
                if f"{base}.{alias.name}" in MODULES:
                    yield f"{base}.{alias.name}", None, alias.asname or alias.name
                elif base in MODULES:
                    yield base, alias.name, alias.asname or alias.name


TREES = {name: ast.parse(path.read_text()) for name, path in MODULES.items()}
IMPORTS = {name: list(imports(name, tree)) for name, tree in TREES.items()}


def is_private(name):
    return name.startswith("_") and not name.endswith("__")


def test_imports_are_found():
    assert len(MODULES) > 30 and sum(map(len, IMPORTS.values())) > 100
    assert ("qrnn._core", None, "_core") in IMPORTS["qrnn._config"]


def test_python_modules_without_circles():
    found = circle({name: {module for module, _, _ in own} for name, own in IMPORTS.items()})
    assert found is None, " <- ".join(found)


def test_no_private_name_crosses_modules():
    """Neither `from .x import _name` nor `x._name` of an imported module; private modules are no such names."""
    wrong = []
    for importer, own in IMPORTS.items():
        wrong += [f"{importer} imports {name} of {module}" for module, name, _ in own if name and is_private(name)]
        here = {alias: module for module, name, alias in own if name is None and alias}
        for each in ast.walk(TREES[importer]):
            if isinstance(each, ast.Attribute) and isinstance(each.value, ast.Name) and is_private(each.attr):
                module = here.get(each.value.id)
                if module and f"{module}.{each.attr}" not in MODULES:
                    wrong.append(f"{importer}:{each.lineno} uses {each.attr} of {module}")
    assert not wrong, "\n".join(wrong)


def test_the_rest_does_not_import_the_torch_side():
    """But for one place, which imports it by name when a model of PyTorch comes."""
    by_name = []
    for importer, own in IMPORTS.items():
        if importer == "qrnn.torch" or importer.startswith("qrnn.torch."):
            continue
        wrong = [module for module, _, _ in own if module == "qrnn.torch" or module.startswith("qrnn.torch.")]
        assert not wrong, f"{importer} imports {wrong}"
        for each in ast.walk(TREES[importer]):
            if (
                isinstance(each, ast.Constant)
                and isinstance(each.value, str)
                and re.fullmatch(r"qrnn\.torch[\w.]*", each.value)
            ):
                by_name.append(importer)
    assert len(by_name) <= 1, by_name
