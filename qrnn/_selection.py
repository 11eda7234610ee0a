"""The user's selection: which modules of a model are quantized, and how."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from ._framework import Framework
from ._precision import base_of, with_matrices
from ._qconfig import LayerQConfig, engine_qconfig
from ._warn import warn

__all__ = ["NO_SPEC", "Path", "Selection", "Spec", "paths_of", "read_spec", "select", "selected_by_attributes"]

_NOT_SELECTED = object()


class Spec(NamedTuple):
    """A user's argument that selects modules."""

    qconfigs: Mapping[Any, Any]  # type or name to QConfig or None
    spelled_out: bool  # whether the keys are the user's; False if everything is selected


NO_SPEC = Spec({}, False)


def read_spec(framework: Framework, spec: Any, argument: str, empty_is_all: bool) -> Spec:
    """Check a user's argument that selects modules."""
    if spec is None or (empty_is_all and isinstance(spec, Mapping) and not spec):
        spec = engine_qconfig
    if _is_qconfig(framework, spec):
        return Spec({row.float_type: spec for row in framework.rows}, False)
    if isinstance(spec, (set, frozenset)):
        spec = dict.fromkeys(spec, engine_qconfig)
    if not isinstance(spec, Mapping):
        raise TypeError(
            f"{argument}: expected a mapping of type or name to QConfig, a set of types and names, "
            f"a QConfig or None, got {type(spec).__name__}"
        )
    result: dict[Any, Any] = {}
    for key, value in spec.items():
        if not isinstance(key, (str, type)):
            raise TypeError(f"{argument}: expected types and names as keys, got {key!r}")
        if value is not None and not _is_qconfig(framework, value):
            raise TypeError(f"{argument}: expected QConfig or None for {key!r}, got {type(value).__name__}")
        result[framework.known_as(key) if isinstance(key, type) else key] = value
    return Spec(result, True)


class Path(NamedTuple):
    """One of the paths to a module."""

    name: str
    parent: str | None
    module: Any


class Selection(NamedTuple):
    """The selected modules of a model, and what selected them."""

    argument: str  # the name of the argument with the value `spec`
    spec: Spec
    paths: list[Path]  # all paths, parents first
    qconfigs: dict[int, Any]  # by identity, the qconfig of each selected module, or None if it is excluded

    def qconfig(self, module: Any) -> Any:
        """The qconfig of `module`; None if it was not selected."""
        return self.qconfigs.get(id(module))

    def excludes(self, module: Any) -> bool:
        """Whether `module` was left out by a None."""
        return self.qconfigs.get(id(module), _NOT_SELECTED) is None


def select(framework: Framework, model: Any, spec: Spec, argument: str) -> Selection:
    """Find the qconfig of every module: by its attribute, else name, else type, else its parent's; and of weights.

    For a module with several names, any of them may select it; ValueError if they disagree.
    """
    paths = list(paths_of(framework, model))
    by_name, given = _Selected(argument, "module"), spec.qconfigs
    for path in paths:
        if path.name in given:
            by_name.add(id(path.module), path.name, given[path.name])
    matrices = _of_matrices(framework, paths, spec, argument)
    selected = _Selected(argument, "module")
    by_path: dict[str, Any] = {}
    for path in paths:
        inherited = _NOT_SELECTED if path.parent is None else by_path[path.parent]
        qconfig = by_name.get(id(path.module), _by_type(framework, path.module, given, inherited))
        qconfig = getattr(path.module, "qconfig", qconfig)
        if not (qconfig is None or qconfig is _NOT_SELECTED or _is_qconfig(framework, qconfig)):
            where = f"{path.name}.qconfig" if path.name else "qconfig"
            raise TypeError(f"{where}: expected a QConfig or None, got {type(qconfig).__name__}")
        by_path[path.name] = base_of(qconfig)
        own = matrices.get(id(path.module))
        if own:
            qconfig = with_matrices(None if qconfig is _NOT_SELECTED else qconfig, own)
        elif isinstance(qconfig, LayerQConfig):
            _warn_of_strange(framework, path, qconfig)
        if qconfig is not _NOT_SELECTED:
            selected.add(id(path.module), path.name, qconfig)
    return Selection(argument, spec, paths, selected.by_key())


def _warn_of_strange(framework: Framework, path: Path, qconfig: LayerQConfig) -> None:
    """Warn about weights that a LayerQConfig names and the layer at `path` lacks."""
    strange = sorted({name for name, _ in qconfig.matrices}.difference(framework.weights(path.module)))
    if strange and framework.find(path.module) is not None:
        warn(f"{path.name}.qconfig: no weight is named {', '.join(strange)}".lstrip("."))


def _of_matrices(framework: Framework, paths: list[Path], spec: Spec, argument: str) -> dict[int, dict[str, Any]]:
    """The spec's QConfigs for weights by name, by the identity of their layers; warns about unknown names."""
    given = spec.qconfigs
    left = {key for key in given if isinstance(key, str)}.difference(path.name for path in paths)
    selected = _Selected(argument, "weight")
    for path in paths if left else ():
        for name in framework.weights(path.module):
            key = f"{path.name}.{name}" if path.name else name
            if key in given:
                left.discard(key)
                selected.add((id(path.module), name), key, given[key])
    if left:
        warn(f"{argument}: no submodule is named {', '.join(sorted(left))}")
    matrices: dict[int, dict[str, Any]] = {}
    for (module, name), qconfig in selected.by_key().items():
        matrices.setdefault(module, {})[name] = qconfig
    return matrices


def selected_by_attributes(framework: Framework, model: Any) -> Selection:
    """The selection by the attributes ``qconfig`` of the modules."""
    paths = list(paths_of(framework, model))
    modules = {id(path.module): path.module for path in paths}
    found = {key: each.qconfig for key, each in modules.items() if hasattr(each, "qconfig")}
    return Selection("qconfig", NO_SPEC, paths, found)


def _is_qconfig(framework: Framework, value: Any) -> bool:
    """Whether `value` is a QConfig of qrnn or PyTorch."""
    return hasattr(value, "weight") and hasattr(value, "activation") and not isinstance(value, framework.module_type)


def _by_type(framework: Framework, module: Any, spec: Mapping[Any, Any], default: Any) -> Any:
    """The entry of `spec` for the type of `module`, or for the types of its row."""
    found = framework.find(module)
    types = [type(module)] if found is None else [type(module), found[0].float_type, found[0].quantized_type]
    return next((spec[each] for each in types if each in spec), default)


def paths_of(
    framework: Framework, module: Any, name: str = "", parent: str | None = None, above: tuple[Any, ...] = ()
) -> Iterator[Path]:
    """Every path that leads to a module, parents first."""
    yield Path(name, parent, module)
    above = (*above, module)
    for child_name, child in framework.children(module):
        if not any(child is each for each in above):  # a cycle would have endless paths
            yield from paths_of(framework, child, f"{name}.{child_name}" if name else child_name, name, above)


class _Selected:
    """The qconfig of each module, or weight, by its key, an identity, and the name under which it was selected."""

    def __init__(self, argument: str, what: str) -> None:
        self._argument, self._what = argument, what
        self._by_key: dict[Any, tuple[str, Any]] = {}

    def add(self, key: Any, name: str, qconfig: Any) -> None:
        """Select the object `key` under one name; ValueError if another name selects it with another qconfig."""
        before, other = self._by_key.setdefault(key, (name, qconfig))
        if other is not qconfig and other != qconfig:
            raise ValueError(
                f"{self._argument}: expected one choice for {before!r} and {name!r}, which are the same "
                f"{self._what}, got {other} and {qconfig}"
            )

    def get(self, key: Any, default: Any) -> Any:
        """The qconfig of the object `key`, or `default`."""
        return self._by_key.get(key, ("", default))[1]

    def by_key(self) -> dict[Any, Any]:
        """All of them."""
        return {key: qconfig for key, (_, qconfig) in self._by_key.items()}
