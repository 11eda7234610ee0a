"""Warnings about what a user asked to quantize but stays float: one for each reason, with names."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from ._framework import Framework
from ._selection import Path, Selection
from ._types import as_dtype, qint8
from ._warn import warn

__all__ = ["warn_of_left_float", "warn_of_opaque", "without_read"]

#: How many names a warning lists before it says how many more there are.
_NAMES = 3


def without_read(framework: Framework, selection: Selection) -> Selection:
    """`selection` without modules whose weights other modules read, which cannot be replaced; warns about them.

    A module that is selected by its own name, or by its own attribute, stays selected.
    """
    read: dict[str, list[str]] = {}
    qconfigs = dict(selection.qconfigs)
    for path, above in _with_those_above(selection.paths):
        reader = next((each for each in reversed(above) if framework.reads(each, path.module)), None)
        if reader is None or not _asked(selection, path.module):
            continue
        if not _named(framework, selection, path) and not _has_its_own(path, above):
            qconfigs[id(path.module)] = None
            read.setdefault(type(reader).__name__, []).append(path.name)
    for reader_name, names in read.items():
        one = len(names) == 1
        warn(
            f"{selection.argument}: {_listed(names)} {'stays' if one else 'stay'} float: {reader_name} reads "
            f"{'its weight' if one else 'their weights'}, which a quantized Linear has not"
        )
    return selection._replace(qconfigs=qconfigs)


def warn_of_left_float(
    framework: Framework, selection: Selection, possible: Callable[[Any], bool], with_attributes: bool
) -> None:
    """Warn about everything that `selection` asked for and that stays float.

    Parameters
    ----------
    framework : Framework
    selection : Selection
    possible : callable
        Whether a module is quantized, or the conversion itself says why not.
    with_attributes : bool
        Whether modules that have an attribute ``qconfig`` count as asked for.
    """
    told = warn_of_opaque(framework, selection.argument, selection.paths, lambda module: _asked(selection, module))
    pairs = list(_with_those_above(selection.paths))
    spoken_for = {
        id(each)
        for path, above in pairs
        if id(path.module) in told or possible(path.module)
        for each in (path.module, *above)
    }
    left = [pair for pair in pairs if id(pair[0].module) not in spoken_for]
    told = set()
    spec = selection.spec
    for key in (key for key, value in spec.qconfigs.items() if value is not None and spec.spelled_out):
        found = [path for path, _ in left if _means(framework, key, path) and not selection.excludes(path.module)]
        if found:
            of_type = f"{key.__name__} at " if isinstance(key, type) else ""
            names = of_type + _listed(path.name for path in found)
            warn(f"{selection.argument}: {names} stays float: {_reason(framework, found[0].module)}")
            told |= {id(path.module) for path in found}
    for path, above in left if with_attributes else ():
        if id(path.module) not in told and _has_its_own(path, above):
            told.add(id(path.module))
            warn(f"qconfig: {_listed([path.name])} stays float: {_reason(framework, path.module)}")


def warn_of_opaque(
    framework: Framework, argument: str, paths: Iterable[Path], asked: Callable[[Any], bool] = lambda module: True
) -> set[int]:
    """Warn about modules whose inside cannot be seen, if one of them or something below it is asked for.

    Returns the identities of all these modules and of what is below them.
    """
    outermost: dict[int, tuple[str, str]] = {}
    told, wanted = set[int](), set[int]()
    for path, above in _with_those_above(paths):
        top = next((id(each) for each in above if id(each) in outermost), id(path.module))
        reason = None if top in outermost else framework.opaque(path.module)
        if reason is not None:
            outermost[top] = path.name, reason
        if top in outermost:
            told.add(id(path.module))
            wanted |= {top} if asked(path.module) else set()
    for top, (name, reason) in outermost.items():
        if top in wanted:
            warn(f"{argument}: {_listed([name])} stays as it is: {reason}")
    return told


def _with_those_above(paths: Iterable[Path]) -> Iterator[tuple[Path, tuple[Any, ...]]]:
    """Each path with the modules above it, the model first."""
    above: dict[str, tuple[Any, ...]] = {}
    for path in paths:
        above[path.name] = () if path.parent is None else above[path.parent]
        yield path, above[path.name]
        above[path.name] += (path.module,)


def _asked(selection: Selection, module: Any) -> bool:
    """Whether `module` was selected, or may hold modules that were selected by their type."""
    by_type = any(isinstance(key, type) and value is not None for key, value in selection.spec.qconfigs.items())
    return selection.qconfig(module) is not None or (by_type and not selection.excludes(module))


def _named(framework: Framework, selection: Selection, path: Path) -> bool:
    """Whether a name of the spec asks for the module of `path`."""
    given = selection.spec.qconfigs.items()
    return any(value is not None and isinstance(key, str) and _means(framework, key, path) for key, value in given)


def _means(framework: Framework, key: str | type, path: Path) -> bool:
    """Whether a key of a spec is the name of `path`, or of one of its weights, or a type of its module."""
    if isinstance(key, str):
        layer, _, name = key.rpartition(".")
        return key == path.name or (layer == path.name and name in framework.weights(path.module))
    return key is not framework.module_type and isinstance(path.module, key)


def _has_its_own(path: Path, above: tuple[Any, ...]) -> bool:
    """Whether the attribute ``qconfig`` of a module was set on that module, and not inherited from its parents.

    Children get copies in PyTorch that do not compare equal. But weights of another type, as in float_qparams, are
    meant for one kind of module.
    """
    own = getattr(path.module, "qconfig", None)
    handed_down = [qconfig for each in above if (qconfig := getattr(each, "qconfig", None)) is not None]
    return own is not None and (not handed_down or _weight_type(own) != _weight_type(handed_down[-1]))


def _weight_type(qconfig: Any) -> Any:
    """The type that `qconfig` gives weights."""
    dtype = None if qconfig.weight is None else getattr(qconfig.weight(), "dtype", None)
    return qint8 if dtype is None else as_dtype(dtype) or dtype


def _reason(framework: Framework, module: Any) -> str:
    kind = type(module).__name__
    if framework.find(module) is not None:
        return f"mapping has no {kind}"
    if any(True for _ in framework.children(module)):
        return f"nothing in this {kind} can be quantized"
    return framework.why_float(module)


def _listed(names: Iterable[str]) -> str:
    names = [repr(name) if name else "the model" for name in names]
    more = len(names) - _NAMES
    return ", ".join(names[:_NAMES]) + (f" and {more} more" if more > 0 else "")
