"""The modules of a model described by plain values: a list with an entry for each dotted name, parents first.

An entry is a pair of the name and a dict, which has

* ``kind`` and the arguments of the constructor, if loading can make the module anew;
* ``same``, the name of an earlier entry, if it is the same object; such an entry has no modules below it;
* ``class`` otherwise, which is only for people: loading does not look for a class of that name.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ._described import FORMAT, Described, compared, description
from ._format_error import FormatError
from ._module_rows import MODULES, READERS, ModuleRow, ReaderRow, reader_kind
from ._rows import ROWS
from ._saved_reports import REPORTS, plain, plain_reports
from ._spec import is_torch_type, module_spec

__all__ = ["Entries", "entries_of", "entries_of_text", "misfits", "resolved", "text_of_entries"]

Entries = list[tuple[str, dict[str, Any]]]

#: The version of the text.
_VERSION = 1

#: The most characters of the text, enough for tens of thousands of modules; as objects they take twenty times as much.
_MAX_TEXT = 1 << 22

#: The deepest nesting of modules: what walks through a model calls itself a few times at each level.
MAX_DEPTH = 100

_LAYERS = frozenset(row.float_type.__name__ for row in ROWS)


def entries_of(model: Any) -> Entries:
    """The entries of a model of ``qrnn.nn`` or of ``torch.nn``."""
    first: dict[int, str] = {}
    entries: Entries = []
    for name, module in model.named_modules(remove_duplicate=False):
        if id(module) in first and not any(True for _ in module.children()):
            entries.append((name, {"same": first[id(module)]}))
        else:
            first.setdefault(id(module), name)
            entries.append((name, _entry(module)))
    return entries


def _entry(module: Any) -> dict[str, Any]:
    cls = type(module)
    name, ours = cls.__name__, cls.__module__.partition(".")[0] == __package__
    if ours and isinstance(module, Described):
        described = module.describe()
        if described["kind"] == name:
            return {**described, **plain_reports(module)}
    elif name in _LAYERS and is_torch_type(cls, name):
        return description(module_spec(name, module))
    elif ours and (reader := reader_kind(cls)) is not None:
        return {"kind": reader, **_options(READERS[reader], module), **plain_reports(module)}
    elif name in MODULES and (ours or is_torch_type(cls, name)):
        return {"kind": name, **_options(MODULES[name], module), **plain_reports(module)}
    return {"class": f"{cls.__module__}.{cls.__qualname__}", **plain_reports(module)}


def _options(row: ModuleRow | ReaderRow, module: Any) -> dict[str, Any]:
    found = {name: plain(getattr(module, name)) for name in (*row.options, *row.idle)}
    if "bias" in found:
        found["bias"] = module.bias is not None
    return found


# ---- as text


def text_of_entries(entries: Entries) -> str:
    """The entries as JSON.

    Raises
    ------
    ValueError
        If it is too long.
    """
    text = json.dumps({"version": _VERSION, "modules": entries}, separators=(",", ":"))
    if any(name.count(".") >= MAX_DEPTH for name, _ in entries):
        raise ValueError(f"model: expected modules at most {MAX_DEPTH} deep, which files can describe")
    if len(text) > _MAX_TEXT:
        raise ValueError(f"model: expected modules that {_MAX_TEXT} characters describe, got {len(text)}")
    return text


def entries_of_text(text: str) -> Entries:
    """The entries in the text of a file; FormatError if it does not hold entries."""
    if len(text) > _MAX_TEXT:
        raise FormatError(f"description of the model: expected at most {_MAX_TEXT} characters, got {len(text)}")
    try:
        found = json.loads(text, object_pairs_hook=_without_doubles)
    except RecursionError:
        raise FormatError("description of the model: expected no deep nesting") from None
    except ValueError as error:
        raise FormatError(f"description of the model: {error}") from None
    version = found.get("version") if isinstance(found, dict) else None
    if type(version) is not int or version < 1:
        raise FormatError(f"description of the model: expected a version, got {version!r:.80}")
    if version > _VERSION:
        raise FormatError(f"expected a file of version {_VERSION} at most, got {version}: use a later qrnn")
    entries = found.get("modules")
    if not isinstance(entries, list) or not all(map(_is_entry, entries)):
        raise FormatError("description of the model: expected modules, a list of names and dicts")
    names = [name for name, _ in entries]
    if len(set(names)) != len(names) or names[:1] != [""]:
        raise FormatError("description of the model: expected each name once, and first that of the model, ''")
    _expect_earlier(entries)
    return [(name, entry) for name, entry in entries]


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("expected each key once")
    return found


def _is_entry(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 2
        and isinstance(value[0], str)
        and isinstance(value[1], dict)
        and sum(isinstance(value[1].get(key), str) for key in ("kind", "same", "class")) == 1
    )


def _expect_earlier(entries: Iterable[tuple[str, Mapping[str, Any]]]) -> None:
    """Check that parents come before children and that a repeated module has none, so that there are no circles."""
    known, parents, twice = set[str](), set[str](), set[str]()
    for name, entry in entries:
        parent, same = name.rpartition(".")[0], entry.get("same")
        for needed in (parent if name else None, same):
            if needed is not None and needed not in known:
                raise FormatError(f"description of the model: expected {needed!r} before {name!r}")
        if name.count(".") >= MAX_DEPTH:
            raise FormatError(f"description of the model: expected modules at most {MAX_DEPTH} deep, got {name!r:.80}")
        known.add(name)
        parents |= {parent} if name else set()
        twice |= set() if same is None else {name, same}
    if parents & twice:
        raise FormatError(
            f"description of the model: expected nothing below {min(parents & twice)!r}, which comes twice"
        )


# ---- compared with a model


def resolved(entries: Entries) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The entries, each with the dict of its module, also if the module is the same as an earlier one."""
    known: dict[str, Mapping[str, Any]] = {}
    for name, entry in entries:
        known[name] = known[entry["same"]] if "same" in entry else entry
        yield name, known[name]


def misfits(entries: Entries, model: Any, state: Mapping[str, Any]) -> list[str]:
    """The reasons why tensors of a file do not fit `model`: it has other modules under the same names.

    Shapes, and the arrays ``format`` of `state`, are compared later, when the state is loaded.
    """
    ours, found = dict(resolved(entries_of(model))), []
    for name, theirs in resolved(entries):
        here = ours.get(name, {})
        if "kind" not in here or "kind" not in theirs or f"{name}.{FORMAT}".lstrip(".") in state:
            continue
        found += compared(here, theirs, name or "the model", {*REPORTS, *_idle(here, theirs)})
    return found


def _idle(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> set[str]:
    """The keys that may differ, because they change no result."""
    rows = [row for each in (ours, theirs) if (row := MODULES.get(each["kind"]) or READERS.get(each["kind"]))]
    both_pass_on = len(rows) == 2 and not any(row.computes for row in rows)
    return {name for row in rows for name in row.idle} | ({"kind"} if both_pass_on else set())
