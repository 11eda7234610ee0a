"""Writes the core as two files to vendor, qrnn.c and qrnn.h, and qrnn.map, the names that a shared library of them
exports: ``python csrc/lib/amalgamate.py FOLDER``.

Each C file of ``csrc/core`` and ``csrc/kernels`` becomes a section. Headers that all may share come first, once;
those that a kernel file includes to be compiled for its instruction set are repeated in each section. Several
sections define the same names then, so each renames what it defines, by macros that end with it:

    #define v_add v_add_avx2        every name of the section
    ... its text ...
    #undef v_add                    and what it has defined as macros

A name that is a member of a structure too is replaced in the text instead, where it is no member.

Includes of the system stand in front of a section, so that nothing in them is renamed.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

CSRC = Path(__file__).resolve().parent.parent
FOLDERS = [CSRC / name for name in ("core", "kernels")]
#: Headers with guards whose text is the same for every section; what they include is shared too.
SHARED = ["qrnn.h", "kernels.h", "fma.h", "module.h", "block.h", "rows.h", "tuning.h", "team.h", "system.h"]
LOCAL_INCLUDE = re.compile(r'^\s*#\s*include "([^"]+)".*\n?', re.MULTILINE)
SYSTEM_INCLUDE = re.compile(r"^\s*#\s*include <[^>]+>")
DEFINE = re.compile(r"^\s*#\s*define (\w+)", re.MULTILINE)
#: Names that a line at file scope defines.
DEFINITIONS = [
    re.compile(r"^\s*(?:QRNN_INLINE|static)\b[^;={}#]*?\b(\w+)\((?!\()", re.MULTILINE),
    re.compile(r"^static [^()=;{]*?\b(\w+)(?:\[[^\]]*\])* = ", re.MULTILINE),
    re.compile(r"^static [^()=;{]*?\b(\w+)(?:\[[^\]]*\])*;", re.MULTILINE),
    re.compile(r"^typedef\b[^;{}]*?\b(\w+);", re.MULTILINE),
    re.compile(r"^typedef\b[^;{}(]*?\(?\*?\b(\w+)\)?\(", re.MULTILINE),
    re.compile(r"^} (\w+);", re.MULTILINE),
    re.compile(r"^(?:typedef )?(?:struct|union|enum) (\w+) \{", re.MULTILINE),
]
ENUM = re.compile(r"^(?:typedef )?\s*enum(?: \w+)? \{([^}]*)\}", re.MULTILINE)


def find(name):
    return next(folder / name for folder in FOLDERS if (folder / name).exists())


def without_comments(text):
    return re.sub(r"/\*.*?\*/", " ", text, flags=re.DOTALL)


def inlined(text, shared):
    """`text` with its own includes in place; those that are `shared` have been there before."""

    def put(match):
        return "" if match[1] in shared else inlined(find(match[1]).read_text(), shared)

    return LOCAL_INCLUDE.sub(put, text)


def shared_headers():
    """The shared headers and what they include but for tables, each after what it needs; {name: text}."""
    found = {}

    def add(name):
        if name in found or name.endswith(".def"):
            return
        text = find(name).read_text()
        for include in LOCAL_INCLUDE.findall(text):
            add(include)
        found[name] = text

    for name in SHARED:
        add(name)
    return {name: inlined(text, found) for name, text in found.items()}


def hoisted(text):
    """Includes of the system, each under the conditions around it, and the text without them."""
    conditions, includes, kept = [], [], []
    for line in text.splitlines():
        directive = re.match(r"\s*#\s*(if|ifdef|ifndef|elif|else|endif)\b", line)
        if directive and directive[1].startswith("if"):
            conditions.append([line])
        elif directive and directive[1] in ("elif", "else"):
            conditions[-1].append(line)
        elif directive:
            conditions.pop()
        if SYSTEM_INCLUDE.match(line):
            around = [each for branch in conditions for each in branch]
            includes += [*around, line, *["#endif"] * len(conditions)]
        else:
            kept.append(line)
    return "\n".join(includes), "\n".join(kept)


def pasted(text):
    """Names that macros with ## make of the arguments that they are given in `text`."""
    macros = {}
    joined = text.replace("\\\n", " ")
    for name, parameters, body in re.findall(r"^\s*#\s*define (\w+)\(([^)]*)\)(.*)$", joined, re.MULTILINE):
        names = [each.strip() for each in parameters.split(",")]
        macros.setdefault(name, []).append((names, body))
    values = {}  # (macro, parameter) -> what it is given; twice, for what one macro hands to another
    for _ in range(3):
        for name in macros:
            for call in re.findall(rf"\b{name}\(([^()]*)", joined):
                arguments = [each.strip() for each in call.split(",")]
                for names, _ in macros[name]:
                    for parameter, argument in zip(names, arguments, strict=False):
                        values.setdefault((name, parameter), set()).add(argument)
    found = set()
    for name, forms in macros.items():
        for names, body in forms:
            for before, after in re.findall(r"(\w*)\s*##\s*(\w*)", body):
                known = [p for p in (before, after) if p in names]
                for parameter in known:
                    for value in values.get((name, parameter), ()):
                        if re.fullmatch(r"\w+", value):
                            found.add(
                                (value if before == parameter else before) + (value if after == parameter else after)
                            )
    return found


def defined(text):
    """Names that a section defines, but for macros and for what other sections see."""
    plain = without_comments(text)
    names = {name for pattern in DEFINITIONS for name in pattern.findall(plain)}
    for body in ENUM.findall(plain):
        while (rest := re.sub(r"\([^()]*\)", "", body)) != body:  # what macros in it are given
            body = rest
        names |= {re.match(r"\w*", each.strip())[0] for each in body.split(",")}
    names |= pasted(plain)
    keep = {"", "_Atomic", "if", "for", "while", "switch", "return", "sizeof"} | set(DEFINE.findall(plain))
    return sorted(
        name for name in names - keep if re.match(r"[A-Za-z_]", name) and not name.startswith(("qrnn_use_", "__"))
    )


def section(path, shared):
    includes, text = hoisted(inlined(path.read_text(), shared))
    macros = sorted(set(DEFINE.findall(text)))
    taken = {name for header in shared.values() for name in defined(header)}
    members = set(re.findall(r"(?:\.|->)(\w+)", without_comments(text)))
    names = [name for name in defined(text) if name not in taken]
    for name in set(names) & members:
        text = re.sub(rf"(?<![\w.])(?<!->){name}\b", f"{name}_{path.stem}", text)
    names = [name for name in names if name not in members]
    renamed = [f"#define {name} {name}_{path.stem}" for name in names]
    ended = [f"#undef {name}" for name in [*names, *macros]]
    title = f"/* ===== {path.parent.name}/{path.name} ===== */"
    return "\n".join(["", title, includes, *renamed, text, *ended, ""])


def amalgamated():
    """Texts of qrnn.h and qrnn.c."""
    shared = shared_headers()
    licence = "\n".join(f" * {line}".rstrip() for line in (CSRC.parent / "LICENSE").read_text().splitlines())
    head = f"/*\n{licence}\n */\n"
    first = "#ifndef _GNU_SOURCE\n#define _GNU_SOURCE /* signal masks, processors, advice on memory */\n#endif\n"
    headers = [text for name, text in shared.items() if name != "qrnn.h"]
    sections = [section(path, shared) for folder in FOLDERS for path in sorted(folder.glob("*.c"))]
    return head + shared["qrnn.h"], "\n".join([head + first, '#include "qrnn.h"', *headers, *sections])


def version_script(header):
    names = re.findall(r"^(?:[\w*]+ )+\*?(qrnn_\w+)\(", without_comments(header), re.MULTILINE)
    major = re.search(r"define QRNN_VERSION_MAJOR (\d+)", header)[1]
    lines = "".join(f"        {name};\n" for name in sorted(names))
    return f"QRNN_{major} {{\n    global:\n{lines}    local:\n        *;\n}};\n"


def main(folder):
    folder.mkdir(parents=True, exist_ok=True)
    header, source = amalgamated()
    for name, text in (("qrnn.h", header), ("qrnn.c", source), ("qrnn.map", version_script(header))):
        (folder / name).write_text(text)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
