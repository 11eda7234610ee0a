"""prepare, convert, quantize_dynamic and propagate_qconfig_, for the modules of any `Framework`.

The public functions, which have the documentation, are in ``qrnn.quantization`` and
``qrnn.torch.quantization``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from copy import copy, deepcopy
from typing import Any

from . import _config
from ._framework import Framework
from ._selection import read_spec, select
from ._types import expect_qint8
from ._warn import warn

__all__ = [
    "NOT_GIVEN",
    "convert",
    "copied",
    "named_errors",
    "prepare",
    "propagate_qconfig_",
    "put_in_place",
    "quantize_dynamic",
]

#: Attribute of a model that prepare(model, qconfig=...) prepared in place: convert does the same.
_MARK = "_converts_in_place"

_NOTHING = (
    "None of the submodule got qconfig applied. Make sure you passed correct configuration through "
    "`qconfig_dict` or by assigning the `.qconfig` attribute directly on submodules"
)


class _NotGiven:
    """The type of the default of an argument for which None means something."""

    def __repr__(self) -> str:
        return "<not given>"


NOT_GIVEN = _NotGiven()


def prepare(
    framework: Framework,
    model: Any,
    inplace: bool | None,
    allow_list: Collection[type] | None,
    qconfig: Any,
    engine: str | None,
    isa: str | None,
) -> Any:
    """See `qrnn.quantization.prepare`."""
    framework.expect(model, "model")
    given = not isinstance(qconfig, _NotGiven)
    spec = read_spec(framework, qconfig, "qconfig", empty_is_all=True) if given else {}
    _config.check_engine_and_isa(engine, isa)
    in_place = given if inplace is None else inplace
    if not in_place:
        model = copied(model)
    preparation = _Preparation(framework, engine, isa, allow_list)
    selected = select(framework, model, spec, "qconfig")
    for name, module in model.named_modules():
        if selected[id(module)] is not None:
            preparation.add(name, module, selected[id(module)])
    if preparation.empty():
        warn(_NOTHING)
        return model
    model = put_in_place(framework, model, preparation.replacements, inplace)
    for module, chosen in preparation.left:
        module.qconfig = chosen
    if given and inplace is None:
        setattr(model, _MARK, True)
    return model


def convert(
    framework: Framework,
    module: Any,
    mapping: Mapping[type, Any] | None,
    inplace: bool | None,
    remove_qconfig: bool,
    engine: str | None,
    isa: str | None,
) -> Any:
    """See `qrnn.quantization.convert`."""
    framework.expect(module, "module")
    _config.check_engine_and_isa(engine, isa)
    in_place = module.__dict__.get(_MARK, False) if inplace is None else inplace
    if not any(getattr(each, "qconfig", None) is not None for each in module.modules()):
        warn(_NOTHING)
        return deepcopy(module) if inplace is False else module
    if not in_place:
        module = deepcopy(module)
    selected = {id(each): getattr(each, "qconfig", None) for each in module.modules()}
    replacements = _quantized(framework, module, selected, mapping, engine, isa, by_data=True)
    module = put_in_place(framework, module, replacements, inplace)
    _clean(module, remove_qconfig)
    return module


def quantize_dynamic(
    framework: Framework,
    model: Any,
    qconfig_spec: Any,
    dtype: Any,
    mapping: Mapping[type, Any] | None,
    inplace: bool,
    engine: str | None,
    isa: str | None,
) -> Any:
    """See `qrnn.quantization.quantize_dynamic`."""
    framework.expect(model, "model")
    expect_qint8(dtype)
    spec = read_spec(framework, qconfig_spec, "qconfig_spec", empty_is_all=False)
    _config.check_engine_and_isa(engine, isa)
    if not inplace:
        model = deepcopy(model)
    selected = select(framework, model, spec, "qconfig_spec")
    if all(qconfig is None for qconfig in selected.values()):
        warn(_NOTHING)
    replacements = _quantized(framework, model, selected, mapping, engine, isa, by_data=False)
    model = put_in_place(framework, model, replacements, inplace)
    _clean(model, remove_qconfig=True)
    return model.eval()


def propagate_qconfig_(framework: Framework, module: Any, qconfig_dict: Any) -> None:
    """See `qrnn.quantization.propagate_qconfig_`."""
    framework.expect(module, "module")
    spec = {} if qconfig_dict is None else read_spec(framework, qconfig_dict, "qconfig_dict", empty_is_all=False)
    selected = select(framework, module, spec, "qconfig_dict")
    for each in module.modules():
        each.qconfig = selected[id(each)]


def copied(model: Any) -> Any:
    """A copy of `model`, which `convert` does not change where it changes the original."""
    model = deepcopy(model)
    model.__dict__.pop(_MARK, None)
    return model


@contextmanager
def named_errors(name: str) -> Iterator[None]:
    """Have a ValueError begin with the name of the submodule that it is about."""
    try:
        yield
    except ValueError as error:
        if not name:
            raise
        raise ValueError(f"{name}: {error}") from error


def put_in_place(framework: Framework, model: Any, replacements: Mapping[int, Any], inplace: bool | None) -> Any:
    """Put `replacements`, by the identity of what they replace, into `model`; returns it or its own replacement.

    Raises ValueError, before anything changes, if `inplace` is True and `model` itself is to be replaced.
    """
    if inplace and id(model) in replacements:
        raise ValueError(
            f"inplace: {type(model).__name__} is itself replaced, which cannot be done in place: use "
            "inplace=False and take what is returned"
        )
    for module in list(model.modules()):
        for name, child in list(framework.children(module)):
            if id(child) in replacements:
                framework.replace(module, name, replacements[id(child)])
    return replacements.get(id(model), model)


class _Preparation:
    """What `prepare` is to do, gathered module by module."""

    def __init__(
        self, framework: Framework, engine: str | None, isa: str | None, allow_list: Collection[type] | None
    ) -> None:
        self._framework = framework
        self._engine, self._isa, self._allow_list = engine, isa, allow_list
        self._found = False
        #: The prepared module for each one that is replaced, by identity.
        self.replacements: dict[int, Any] = {}
        #: Modules that stay as they are, with their qconfigs, for `convert` to quantize or to warn of.
        self.left: list[tuple[Any, Any]] = []

    def add(self, name: str, module: Any, qconfig: Any) -> None:
        """Prepare `module`, which is selected, if it can be quantized."""
        framework, engine = self._framework, self._engine
        found = framework.find(module)
        if found is None or not self._allows(module, found[0].float_type):
            return
        self._found = True
        before = framework.prepared_engine(module)
        if before is not None:
            if engine is not None and engine != before:
                raise ValueError(f"engine: {name or 'the model'} was prepared for {before!r}, got {engine!r}")
        elif framework.overrides_call(module, found[1]) or framework.left_for_convert(module):
            if not isinstance(module, framework.quantized_base):
                self.left.append((module, qconfig))
        else:
            with named_errors(name):
                self.replacements[id(module)] = framework.prepared(found[0], module, qconfig, engine, self._isa)

    def empty(self) -> bool:
        """Whether the model has nothing that is prepared, to be prepared, or left for `convert`."""
        return not self._found

    def _allows(self, module: Any, float_type: type) -> bool:
        allowed = self._allow_list
        return allowed is None or type(module) in allowed or float_type in allowed


def _quantized(
    framework: Framework,
    model: Any,
    selected: Mapping[int, Any],
    mapping: Mapping[type, Any] | None,
    engine: str | None,
    isa: str | None,
    by_data: bool,
) -> dict[int, Any]:
    """The quantized module for each float one that is selected, by identity."""
    table = framework.mappings() if mapping is None else mapping
    replacements: dict[int, Any] = {}
    for name, module in model.named_modules():
        qconfig, found = selected[id(module)], framework.find(module)
        base = next((each for each in type(module).__mro__ if each in table), None)
        if qconfig is None or base is None or (mapping is None and found is None):
            continue
        if found is not None and framework.prepared_engine(module) is not None:
            base, target = found[1], table[base]
        else:
            target = table[base]
        if framework.overrides_call(module, base):
            cls = type(module)
            warn(f"{name or 'the model'}: {cls.__qualname__} overrides forward or __call__ and is left float")
            continue
        lost = framework.lost_in_conversion(module)
        if lost is not None:
            warn(f"{name or 'the model'}: {lost}")
        with named_errors(name):
            if isinstance(target, type) and issubclass(target, framework.quantized_base):
                replacements[id(module)] = framework.quantized(target, module, qconfig, engine, isa, by_data)
            else:  # a type that is not ours, which reads the attribute
                read = copy(module)
                read.qconfig = qconfig
                replacements[id(module)] = target.from_float(read)
    return replacements


def _clean(model: Any, remove_qconfig: bool) -> None:
    """Remove what `prepare` and `propagate_qconfig_` left."""
    model.__dict__.pop(_MARK, None)
    if remove_qconfig:
        for module in model.modules():
            module.__dict__.pop("qconfig", None)
