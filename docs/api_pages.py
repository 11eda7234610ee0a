"""The pages of the API: one for each public module, with every name of its ``__all__``.

A name is documented where it belongs, which is the module that its object names as its own, or the one with the
shortest path. Under the other modules that have it stands a reference.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from pathlib import Path
from typing import Any, NamedTuple

import qrnn


class Name(NamedTuple):
    """A public name, what it stands for, and the full name under which that is documented."""

    module: str
    name: str
    thing: Any
    home: str

    @property
    def full(self) -> str:
        return f"{self.module}.{self.name}"


def modules() -> dict[str, Any]:
    """Public modules by name; those whose packages are not installed are named and left out."""
    found = {"qrnn": qrnn}
    for info in pkgutil.walk_packages(qrnn.__path__, "qrnn.", onerror=lambda name: None):
        parts = info.name.split(".")
        if any(part.startswith("_") for part in parts):
            continue
        try:
            found[info.name] = importlib.import_module(info.name)
        except ImportError as error:
            if str(error.name).partition(".")[0] == "qrnn":
                raise
            print(f"** {info.name} IS LEFT OUT: {error}")
    return found


def identity(thing: Any, module: str, name: str) -> Any:
    """Equal for names of one object; texts and the like have no identity worth the name."""
    return (module, name) if isinstance(thing, (str, list, tuple)) else id(thing)


def names() -> list[Name]:
    """All of them, in the order of modules and of their lists."""
    there = [
        (module, name, getattr(found, name)) for module, found in modules().items() for name in sorted(found.__all__)
    ]
    places: dict[Any, list[tuple[str, str]]] = {}
    for module, name, thing in there:
        places.setdefault(identity(thing, module, name), []).append((module, name))
    homes = {key: home(rows, key, there) for key, rows in places.items()}
    return [Name(module, name, thing, homes[identity(thing, module, name)]) for module, name, thing in there]


def home(rows: list[tuple[str, str]], key: Any, there: list[tuple[str, str, Any]]) -> str:
    thing = next(thing for module, name, thing in there if identity(thing, module, name) == key)
    if inspect.ismodule(thing):
        return str(thing.__name__)
    own = (getattr(thing, "__module__", ""), getattr(thing, "__qualname__", ""))
    return ".".join(
        own if own in rows else min(rows, key=lambda row: (row[0].count("."), row[0].startswith("qrnn.torch")))
    )


def directive(name: Name) -> str:
    if inspect.isclass(name.thing):
        options = "   :members:\n   :special-members: __call__\n" if callable_by_users(name.thing) else "   :members:\n"
        if fields := getattr(name.thing, "_fields", ()):
            options += f"   :exclude-members: {', '.join(fields)}\n"  # which its text has
        return f".. autoclass:: {name.full}\n{options}"
    if callable(name.thing) and inspect.isroutine(name.thing):
        return f".. autofunction:: {name.full}\n"
    return f".. autodata:: {name.full}\n"


def callable_by_users(cls: type) -> bool:
    """Whether a class has a text of its own for calls."""
    return "__call__" in vars(cls) and bool(vars(cls)["__call__"].__doc__)


def page(module: str, own: list[Name]) -> str:
    """reStructuredText of one module."""
    here = [name for name in own if name.home == name.full and not inspect.ismodule(name.thing)]
    elsewhere = [name for name in own if name not in here]
    parts = [f"{module}\n{'=' * len(module)}\n", f".. automodule:: {module}\n"]
    parts += [directive(name) for name in here]
    if elsewhere:
        title = "Names that are documented elsewhere"
        rows = [f"   * - ``{n.name}``\n     - :{role(n)}:`{n.home}`" for n in elsewhere]
        parts.append(f".. rubric:: {title}\n\n.. list-table::\n\n" + "\n".join(rows) + "\n")
    return "\n".join(parts)


def role(name: Name) -> str:
    return "py:mod" if inspect.ismodule(name.thing) else "py:obj"


def pages() -> dict[str, str]:
    """Texts by the names of their modules."""
    by_module: dict[str, list[Name]] = {}
    for name in names():
        by_module.setdefault(name.module, []).append(name)
    return {module: page(module, own) for module, own in by_module.items()}


def write(folder: Path) -> list[str]:
    """Writes the pages that changed, removes those of modules that are gone, and returns the modules."""
    found = pages()
    texts = {f"{module}.rst": text for module, text in found.items()}
    for path in folder.glob("*.rst"):
        if path.name not in texts:
            path.unlink()
    for file, text in texts.items():
        path = folder / file
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
    return list(found)
