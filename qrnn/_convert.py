"""prepare, convert, quantize_dynamic and propagate_qconfig_, for the modules of any `Framework`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from copy import copy
from typing import Any

from . import _config
from ._calibration_report import ModelReport, costly, keep_model_report
from ._framework import Framework
from ._left_float import warn_of_left_float, without_read
from ._mapping import read_mapping
from ._model_calls import ModelCalls, calls_of
from ._preparation import Trial, trial_of
from ._progress import progress, silent
from ._selection import NO_SPEC, Selection, read_spec, select, selected_by_attributes
from ._types import expect_qint8
from ._warn import warn

__all__ = ["NOT_GIVEN", "Converter", "copied", "named_errors", "put_in_place"]

#: The attribute of a model that prepare(model, qconfig=...) prepared in place; convert then works in place too.
_MARK = "_converts_in_place"

_NOTHING = (
    "None of the submodule got qconfig applied. Make sure you passed correct configuration through "
    "`qconfig_dict` or by assigning the `.qconfig` attribute directly on submodules"
)


class _NotGiven:
    """The type of a default value, for an argument to which None is a value."""

    def __repr__(self) -> str:
        return "<not given>"


NOT_GIVEN = _NotGiven()


class Converter:
    """The functions of ``qrnn.quantization`` and ``qrnn.torch.quantization``, which document them."""

    def __init__(self, framework: Framework, engine: str | None = None, isa: str | None = None) -> None:
        self._framework, self._engine, self._isa = framework, engine, isa

    def prepare(self, model: Any, inplace: bool | None, allow_list: Collection[type] | None, qconfig: Any) -> Any:
        framework = self._framework
        framework.expect(model, "model")
        given = not isinstance(qconfig, _NotGiven)
        spec = read_spec(framework, qconfig, "qconfig", empty_is_all=True) if given else NO_SPEC
        _config.check_engine_and_isa(self._engine, self._isa)
        in_place = given if inplace is None else inplace
        if not in_place:
            model = copied(framework, model)
        preparation = _Preparation(framework, self._engine, self._isa, allow_list)
        selection = without_read(framework, select(framework, model, spec, "qconfig"))
        for name, module in model.named_modules():
            if selection.qconfig(module) is not None:
                preparation.add(name, module, selection.qconfig(module))
        warn_of_left_float(framework, selection, lambda module: framework.find(module) is not None, False)
        if preparation.empty():
            warn(_NOTHING)
            return model
        model = put_in_place(framework, model, preparation.replacements, inplace)
        for module, qconfig in preparation.left:
            module.qconfig = qconfig
        if given and inplace is None:
            setattr(model, _MARK, True)
        self._observe_calls(model)
        return model

    def _observe_calls(self, model: Any) -> None:
        """Observe calls of a prepared model as a whole, unless the model is a layer, which observes itself."""
        framework = self._framework
        layers = [each for each in model.modules() if framework.prepared_engine(each) is not None]
        if layers and framework.prepared_engine(model) is None and calls_of(model) is None:
            for each in model.modules():
                framework.forget_calls(each)
            framework.observe_calls(model, ModelCalls())

    def convert(
        self, module: Any, mapping: Mapping[type, Any] | None, inplace: bool | None, remove_qconfig: bool
    ) -> Any:
        framework = self._framework
        framework.expect(module, "module")
        table = read_mapping(framework, mapping)
        _config.check_engine_and_isa(self._engine, self._isa)
        in_place = module.__dict__.get(_MARK, False) if inplace is None else inplace
        if not any(getattr(each, "qconfig", None) is not None for each in module.modules()):
            warn(_NOTHING)
            return framework.copied(module) if inplace is False else module
        if not in_place:
            module = framework.copied(module)
        trials: dict[int, Trial] = {}
        selection = selected_by_attributes(framework, module)
        chosen = sum(selection.qconfig(each) is not None for each in module.modules())
        with progress(chosen + 1, "converting") as tick:
            replacements = self._quantized(module, selection, table, trials, tick)
            if inplace:
                expect_in_place(module, replacements)
            report = self._judged(module, replacements, trials)
            tick(1)
        for name, each in module.named_modules():
            for text in costly(replacements[id(each)], name) if id(each) in replacements else ():
                warn(text)
        module = put_in_place(framework, module, replacements, inplace)
        self._clean(module, remove_qconfig)
        keep_model_report(module, report)
        return module

    def _judged(self, model: Any, replacements: Mapping[int, Any], trials: Mapping[int, Trial]) -> ModelReport | None:
        """The report about the whole model, see `judged`; None without data."""
        if not any("_calibration" in vars(each) for each in replacements.values() if hasattr(each, "__dict__")):
            return None
        from ._model_guard import judged  # here, because only calibration needs it

        return judged(self._framework, model, replacements, trials)

    def quantize_dynamic(
        self, model: Any, qconfig_spec: Any, dtype: Any, mapping: Mapping[type, Any] | None, inplace: bool
    ) -> Any:
        framework = self._framework
        framework.expect(model, "model")
        framework.expect_no_loop(model, "model")
        expect_qint8(dtype)
        table = read_mapping(framework, mapping)
        spec = read_spec(framework, qconfig_spec, "qconfig_spec", empty_is_all=False)
        _config.check_engine_and_isa(self._engine, self._isa)
        if not inplace:
            model = framework.copied(model)
        selection = select(framework, model, spec, "qconfig_spec")
        if all(qconfig is None for qconfig in selection.qconfigs.values()):
            warn(_NOTHING)
        replacements = self._quantized(model, selection, table, None)
        model = put_in_place(framework, model, replacements, inplace)
        self._clean(model, remove_qconfig=True)
        return model.eval()

    def propagate_qconfig_(self, module: Any, qconfig_dict: Any) -> None:
        framework = self._framework
        framework.expect(module, "module")
        argument, none = "qconfig_dict", qconfig_dict is None
        spec = NO_SPEC if none else read_spec(framework, qconfig_dict, argument, empty_is_all=False)
        selection = select(framework, module, spec, argument)
        for each in module.modules():
            each.qconfig = selection.qconfig(each)

    def _quantized(
        self,
        model: Any,
        selection: Selection,
        table: Mapping[type, Any],
        trials: dict[int, Trial] | None,
        tick: Callable[[int], object] = silent,
    ) -> dict[int, Any]:
        """The quantized module for each selected float one, by identity; `trials` gets their trials by data."""
        framework = self._framework
        selection = without_read(framework, selection)
        replacements: dict[int, Any] = {}
        for name, module in model.named_modules():
            qconfig, base = selection.qconfig(module), self._base(module, table)
            if qconfig is None or base is None:
                continue
            found = framework.find(module)
            prepared = found is not None and framework.prepared_engine(module) is not None
            adds = framework.stays(module, found[1] if found is not None and prepared else base)
            if adds is not None:
                warn(f"{name or 'the model'}: {type(module).__qualname__} {adds} and is left float")
                continue
            lost = framework.lost_in_conversion(module)
            if lost is not None:
                warn(f"{name or 'the model'}: {lost}")
            with named_errors(name):
                new = replacements[id(module)] = self._converted(table[base], module, qconfig, trials is not None)
            tick(1)
            trial = trial_of(new)
            if trials is not None and trial is not None:
                trials[id(module)] = trial
        warn_of_left_float(framework, selection, lambda module: self._becomes_quantized(module, table), True)
        return replacements

    def _clean(self, model: Any, remove_qconfig: bool) -> None:
        """Remove the attributes that `prepare` and `propagate_qconfig_` set."""
        model.__dict__.pop(_MARK, None)
        for module in model.modules():
            self._framework.forget_calls(module)
            if remove_qconfig:
                module.__dict__.pop("qconfig", None)

    def _base(self, module: Any, table: Mapping[type, Any]) -> type | None:
        """The type in `table` that `module` counts as; None if the framework does not count it as any."""
        base = next((each for each in type(module).__mro__ if each in table), None)
        of_a_row = base is not None and base in self._framework.mappings()
        return None if of_a_row and self._framework.find(module) is None else base

    def _becomes_quantized(self, module: Any, table: Mapping[type, Any]) -> bool:
        """Whether `module` is quantized, or would be by `table` if it is selected."""
        return isinstance(module, self._framework.quantized_base) or self._base(module, table) is not None

    def _converted(self, target: Any, module: Any, qconfig: Any, by_data: bool) -> Any:
        """The module of type `target` that is made from `module`."""
        if isinstance(target, type) and issubclass(target, self._framework.quantized_base):
            return self._framework.quantized(target, module, qconfig, self._engine, self._isa, by_data)
        module = copy(module)  # a type of another package reads its attribute `qconfig`
        module.qconfig = qconfig
        made = target.from_float(module)
        self._framework.expect(made, f"mapping: what {target.__name__}.from_float returned")
        return made


def copied(framework: Framework, model: Any) -> Any:
    """A copy of `model` whose parts `convert` does not change when it changes those of the original."""
    model = framework.copied(model)
    model.__dict__.pop(_MARK, None)
    return model


@contextmanager
def named_errors(name: str) -> Iterator[None]:
    """Make a ValueError or TypeError begin with the name of the submodule that it is about."""
    try:
        yield
    except (TypeError, ValueError) as error:
        if not name:
            raise
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"{name}: {error}") from error


def expect_in_place(model: Any, replacements: Mapping[int, Any]) -> None:
    """Raise ValueError if `model` itself would be replaced."""
    if id(model) in replacements:
        raise ValueError(
            f"inplace: {type(model).__name__} is itself replaced, which cannot be done in place: use "
            "inplace=False and take what is returned"
        )


def put_in_place(framework: Framework, model: Any, replacements: Mapping[int, Any], inplace: bool | None) -> Any:
    """Replace modules in `model`, found by identity in `replacements`; returns the model or its replacement.

    Raises ValueError, before anything changes, if `inplace` is True and `model` itself would be replaced.
    """
    if inplace:
        expect_in_place(model, replacements)
    for module in (*model.modules(), *replacements.values()):  # replacements share children with what they replace
        for name, child in list(framework.children(module)):
            if id(child) in replacements:
                framework.replace(module, name, replacements[id(child)])
    for new in replacements.values():
        framework.replaced(new)
    return replacements.get(id(model), model)


class _Preparation:
    """What `prepare` has to do, collected module by module."""

    def __init__(
        self, framework: Framework, engine: str | None, isa: str | None, allow_list: Collection[type] | None
    ) -> None:
        self._framework = framework
        self._engine, self._isa, self._allow_list = engine, isa, allow_list
        self._found = False
        #: The prepared module for each replaced one, by identity.
        self.replacements: dict[int, Any] = {}
        #: Modules that stay as they are, with their qconfigs: `convert` quantizes them or warns about them.
        self.left: list[tuple[Any, Any]] = []

    def add(self, name: str, module: Any, qconfig: Any) -> None:
        """Prepare the selected `module` if it can be quantized."""
        framework, engine = self._framework, self._engine
        found = framework.find(module)
        if found is None or not self._allows(module, found[0].float_type):
            return
        self._found = True
        before = framework.prepared_engine(module)
        if before is not None:
            if engine is not None and engine != before:
                raise ValueError(f"engine: {name or 'the model'} was prepared for {before!r}, got {engine!r}")
        elif (adds := framework.stays(module, found[1])) is not None or framework.left_for_convert(module):
            if not isinstance(module, framework.quantized_base):
                self.left.append((module, qconfig))
            elif adds is not None:
                warn(f"{name or 'the model'}: {type(module).__qualname__} {adds} and is left quantized")
        else:
            with named_errors(name):
                self.replacements[id(module)] = framework.prepared(found[0], module, qconfig, engine, self._isa)

    def empty(self) -> bool:
        """Whether no module of the model is prepared, to be prepared, or left for `convert`."""
        return not self._found

    def _allows(self, module: Any, float_type: type) -> bool:
        allowed = self._allow_list
        return allowed is None or type(module) in allowed or float_type in allowed
