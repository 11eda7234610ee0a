"""Several models on the same data: how far each is from the first, where it differs, and how long it takes."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from ._comparison import Comparison, Rows, Scale
from ._errors import arrays_of, leaves, rows_of, without_padding
from ._passes import timed
from ._progress import progress, silent
from ._public import public
from ._report import Report, percent
from ._samples import Layout, Sample, read_samples
from ._sessions import Session, as_callable
from ._spec import checked_size
from ._timing import Seconds, spread
from ._watching import Seen, called, layer_names, layout_of, nbytes_of

__all__ = [
    "ErrorOf",
    "Found",
    "MeasureReport",
    "Measured",
    "Metric",
    "Reference",
    "expect_metric",
    "layer_table",
    "measure",
    "measured",
]


@public("qrnn.quantization")
class ErrorOf(NamedTuple):
    """Errors of one output of a model, or of the output of one layer.

    Attributes
    ----------
    name : str
        ``output``, ``output[1]`` and so on for an output; the dotted name for a layer.
    error : float
        The rms of the error divided by the rms of the reference about its mean in each column of the last axis.
    worst : float
        The largest error of a single number, divided by the rms of a number of the reference about its mean.
    changed : float or None
        The part of rows whose largest column differs; None for a single column.
    by_step : tuple of float
        The error of each step, relative to all steps; empty if rows are not steps.
    by_row : tuple of float
        For an output, the error of each row of the batch, input after input, relative to all rows; 0 for a row of
        length 0. If it is unknown which rows of the output belong together, the error of each of them. Empty for a
        layer.

    Examples
    --------
    >>> import numpy as np, qrnn
    >>> model = qrnn.nn.Sequential(qrnn.nn.Linear(4, 3))
    >>> data = [np.ones((2, 4), np.float32)]
    >>> report = qrnn.quantization.measure({"float": model, "same": model}, data)
    >>> report[1].outputs[0].name, report[1].outputs[0].error
    ('output', 0.0)
    """

    name: str
    error: float
    worst: float
    changed: float | None
    by_step: tuple[float, ...]
    by_row: tuple[float, ...] = ()


@public("qrnn.quantization")
class Measured(NamedTuple):
    """What was measured for one model.

    Attributes
    ----------
    name : str
    error : float
        By the metric; by default the error of the worst output.
    worst : float
        The largest `worst` of the outputs.
    changed : float or None
        The part of decisions that differ, for the output with the most; None if no output has several columns.
    outputs, layers : tuple of ErrorOf
        The errors of each output, and of each recurrent layer and Linear that has the same name in the reference.
    nbytes : int or None
        Bytes of its weights, if it tells them.
    seconds : Seconds or None
        The time of one pass over the data; None if `rounds` is 0.

    Examples
    --------
    >>> import numpy as np, qrnn
    >>> model = qrnn.nn.Sequential(qrnn.nn.Linear(4, 3))
    >>> data = [np.ones((2, 4), np.float32)]
    >>> report = qrnn.quantization.measure({"float": model, "same": model}, data)
    >>> report[1].name, report[1].error, report[1].seconds
    ('same', 0.0, None)
    """

    name: str
    error: float
    worst: float
    changed: float | None
    outputs: tuple[ErrorOf, ...]
    layers: tuple[ErrorOf, ...]
    nbytes: int | None
    seconds: Seconds | None


@public("qrnn.quantization")
class MeasureReport(Report[Measured]):
    """A row for each model; prints as a table of the models and one of their layers, in Jupyter as HTML.

    Parameters
    ----------
    rows : iterable of Measured

    Examples
    --------
    >>> import numpy as np, qrnn
    >>> model = qrnn.nn.Sequential(qrnn.nn.Linear(4, 3))
    >>> data = [np.ones((2, 4), np.float32)]
    >>> report = qrnn.quantization.measure({"float": model, "same": model}, data)
    >>> [row.name for row in report]
    ['float', 'same']
    """

    _HEADS = ("model", "error", "worst", "decisions changed", "bytes", "ms", "quartiles")

    def _cells(self, row: Measured) -> tuple[str, ...]:
        times = ("", "")
        if row.seconds is not None:
            median, low, high = (1000 * each for each in row.seconds)
            times = (f"{median:.4g}", f"{low:.4g}-{high:.4g}")
        nbytes = "" if row.nbytes is None else f"{row.nbytes:,}"
        return (row.name, percent(row.error), percent(row.worst), percent(row.changed), nbytes, *times)

    def _tables(self) -> list[list[tuple[str, ...]]]:
        return layer_table((row.name, row.layers) for row in self._rows)


def layer_table(models: Iterable[tuple[str, tuple[ErrorOf, ...]]]) -> list[list[tuple[str, ...]]]:
    """A table of the errors of layers, a column for each model that has any; `models` are names and layers."""
    errors = {model: {layer.name: layer for layer in layers} for model, layers in models if layers}
    names = list(dict.fromkeys(name for layers in errors.values() for name in layers))
    if not names:
        return []
    table = [("layer, error", *errors)]
    for name in names:
        found = (layers.get(name) for layers in errors.values())
        table.append((name or "the model", *("" if each is None else percent(each.error) for each in found)))
    return [table]


Metric = Callable[[Any, Any], float]


def measure(
    models: Mapping[str, Callable[..., Any]],
    data: Any,
    metric: Metric | None = None,
    *,
    layers: bool = True,
    rounds: int = 0,
) -> MeasureReport:
    """Run several models on the same data and measure how far each is from the first.

    Parameters
    ----------
    models : mapping of str to callable
        Models of ``qrnn`` and of PyTorch, also quantized by ``torch.ao``, sessions of ONNX Runtime, or any callable
        with the same arguments. The first is the reference. Modules compute in eval mode and without gradients. A
        session's outputs are matched with those of the others by their order.
    data : iterable
        Inputs, one for each call: an array; a tuple of positional arguments, whose last may be a dict of keyword
        arguments; or such a dict. With ``lengths``, steps past a row's end are left out.
    metric : callable, optional
        ``metric(reference, output) -> float``, called for each input with the results of the models: arrays, in the
        same tuples, lists and dicts, with zeros instead of padding. Its mean over the inputs is the error. Default:
        the rms of the error divided by the rms of the reference about its mean in each column of the last axis; of
        several outputs the worst counts.
    layers : bool
        Whether to measure also the outputs of recurrent layers and Linears, by their names.
    rounds : int
        How many rounds of timing; in each, every model goes over the data, in a new order.

    Returns
    -------
    MeasureReport

    Raises
    ------
    TypeError
        If an argument is of the wrong type, or a model returns no arrays.
    ValueError
        If there is no model or no input, outputs are of different shapes, or those of the reference are not finite.

    Examples
    --------
    >>> import numpy as np, qrnn
    >>> model = qrnn.nn.Sequential(qrnn.nn.Linear(3, 2))
    >>> data = [np.random.default_rng(0).standard_normal((5, 3), dtype=np.float32)]
    >>> report = qrnn.quantization.measure({"float": model, "int8": qrnn.quantize_dynamic(model)}, data)
    >>> [row.name for row in report], report[0].error, 0 < report[1].error < 0.02
    (['float', 'int8'], 0.0, True)
    """
    return MeasureReport(measured(models, data, metric, layers, rounds).rows)


class Found(NamedTuple):
    """What `measured` found."""

    rows: list[Measured]
    layouts: list[Layout | None]  # of each input
    times: dict[str, list[float]]  # for each model the seconds of each round


def measured(models: Any, data: Any, metric: Any, layers: bool, rounds: int) -> Found:
    """What `measure` reports, and more; its arguments are those of `measure`."""
    if not isinstance(models, Mapping):
        raise TypeError(f"models: expected a mapping of names to models, got {type(models).__name__}")
    if not models:
        raise ValueError("models: expected at least one model, got none")
    models = {str(name): as_callable(model) for name, model in models.items()}
    for name, model in models.items():
        if not callable(model):
            raise TypeError(f"models: expected a callable for {name!r}, got {type(model).__name__}")
    rounds = checked_size(rounds, "rounds", 0)
    samples = read_samples(data, "data")
    metric = expect_metric(metric)
    with progress(len(samples) * (1 + len(models)) + len(models) * (rounds + 1 if rounds else 0), "measuring") as tick:
        reference = Reference(next(iter(models.values())), samples, metric, layers, tick)
        rows = [reference.measured(model, name, tick=tick) for name, model in models.items()]
        times = timed(models, samples, rounds, tick) if rounds else {}
    if rounds:
        rows = [row._replace(seconds=Seconds(*spread(times[row.name]))) for row in rows]
    return Found(rows, reference.layouts, times)


def expect_metric(metric: Any) -> Metric | None:
    """`metric`; TypeError unless it is callable or None."""
    if metric is not None and not callable(metric):
        raise TypeError(f"metric: expected a function of reference and output, or None, got {type(metric).__name__}")
    return metric  # type: ignore[no-any-return]


class _Call(NamedTuple):
    """One call of the reference."""

    sample: Sample
    layout: Layout | None
    result: Any  # for a user's metric
    outputs: dict[str, Rows]
    layers: dict[str, list[Rows]]  # rows of each call of a layer; a cell is called for each step


class Reference:
    """A model whose outputs others are measured against.

    Parameters
    ----------
    model : callable
    samples : list of Sample
    metric : callable, optional
        As for `measure`.
    layers : bool
        Whether to keep the outputs of its layers too.
    tick : callable
        Counts the samples.
    """

    def __init__(
        self,
        model: Callable[..., Any],
        samples: list[Sample],
        metric: Metric | None = None,
        layers: bool = False,
        tick: Callable[[int], object] = silent,
    ) -> None:
        self._metric, self._names = metric, layer_names(model) if layers else []
        self._in_order = isinstance(model, Session)
        names, self._calls = layer_names(model), list[_Call]()
        for place, sample in enumerate(samples):
            self._calls.append(self._call(model, place, sample, names))
            tick(1)
        self._ragged = {
            name for name in self._calls[0].outputs if len({_columns(call, name) for call in self._calls}) > 1
        }
        self._scales = {name: Scale.of([self._rows(call, name) for call in self._calls]) for name in self._shared()}
        self._layer_scales = {
            name: Scale.of(rows)
            for name in self._names
            if (rows := [each for call in self._calls for each in call.layers.get(name, ())])
        }

    def _call(self, model: Any, place: int, sample: Sample, names: list[str]) -> _Call:
        result, seen = called(model, sample, names)
        layout, result = layout_of(model, sample, seen), arrays_of(result)
        outputs = {name: rows_of(array, layout) for name, array in leaves(result)}
        if not outputs:
            raise TypeError(f"data[{place}]: expected a model that returns arrays of floats, got {_kind(result)}")
        for name, rows in outputs.items():
            if not np.isfinite(rows.values).all():
                raise ValueError(f"data[{place}]: the {name} of the reference is not finite")
        kept = None if self._metric is None else without_padding(result, layout)
        return _Call(sample, layout, kept, outputs, _by_layer(seen, layout, self._names))

    def _shared(self) -> list[str]:
        """The names of outputs that every call has."""
        return [name for name in self._calls[0].outputs if all(name in call.outputs for call in self._calls)]

    def _rows(self, call: _Call, name: str) -> Rows:
        rows = call.outputs[name]
        return rows.one_column() if name in self._ragged else rows

    @property
    def layouts(self) -> list[Layout | None]:
        """How the rows of each input lie."""
        return [call.layout for call in self._calls]

    def error(self, model: Callable[..., Any]) -> float:
        """The error of `model` by the metric."""
        return self.measured(model, "", layers=False).error

    def measured(
        self, model: Callable[..., Any], name: str, layers: bool = True, tick: Callable[[int], object] = silent
    ) -> Measured:
        """What is measured for `model`; `tick` counts the samples."""
        outputs = {each: Comparison(scale) for each, scale in self._scales.items()}
        inner = {each: Comparison(scale) for each, scale in self._layer_scales.items()} if layers else {}
        values = []
        for call in self._calls:
            result, seen = called(model, call.sample, list(inner))
            result = arrays_of(result)
            found = self._found(model, call, result)
            for each, comparison in outputs.items():
                comparison.add(*self._pair(call, found, each, name))
            _add_layers(inner, call.layers, _by_layer(seen, call.layout, list(inner)))
            if self._metric is not None:
                values.append(self._value(call.result, without_padding(result, call.layout)))
            tick(1)
        errors = tuple(_error_of(each, comparison, comparison.by_row) for each, comparison in outputs.items())
        error = max(each.error for each in errors) if self._metric is None else math.fsum(values) / len(values)
        changed = [each.changed for each in errors if each.changed is not None]
        return Measured(
            name,
            error,
            max(each.worst for each in errors),
            max(changed, default=None),
            errors,
            tuple(_error_of(each, comparison) for each, comparison in inner.items() if comparison.compared),
            nbytes_of(model),
            None,
        )

    def _found(self, model: Any, call: _Call, result: Any) -> dict[str, Any]:
        """The outputs of a model under the names of the reference's; a session's are a list without names."""
        if self._in_order or isinstance(model, Session):
            return dict(zip(call.outputs, (array for _, array in leaves(result)), strict=False))
        return dict(leaves(result))

    def _pair(self, call: _Call, found: Mapping[str, Any], name: str, model: str) -> tuple[Rows, Rows]:
        """The rows of the reference and of a model for one output."""
        if name not in found:
            raise ValueError(f"{model or 'model'}: expected the outputs of the reference, got none as {name}")
        expected, rows = self._rows(call, name), rows_of(found[name], call.layout)
        rows = rows.one_column() if name in self._ragged else rows
        if rows.values.shape != expected.values.shape:
            raise ValueError(
                f"{model or 'model'}: expected {name} of as many rows and columns as the reference's, "
                f"{expected.values.shape}, got {rows.values.shape}"
            )
        return expected, rows

    def _value(self, reference: Any, output: Any) -> float:
        assert self._metric is not None
        value: Any = self._metric(reference, output)
        value = value.item() if hasattr(value, "item") and getattr(value, "size", 1) == 1 else value
        if not isinstance(value, numbers.Real):
            raise TypeError(f"metric: expected it to return a number, got {type(value).__name__}")
        if not float(value) >= 0:
            raise ValueError(f"metric: expected it to return a number of at least 0, got {value}")
        return float(value)


def _columns(call: _Call, name: str) -> int:
    return call.outputs[name].values.shape[1] if name in call.outputs else -1


def _by_layer(seen: list[Seen], layout: Layout | None, names: list[str]) -> dict[str, list[Rows]]:
    """The rows of every call of each layer; a call of a cell has the rows of one step."""
    layers: dict[str, list[Rows]] = {name: [] for name in names}
    for each in seen:
        if each.name in layers:
            layers[each.name].append(rows_of(each.output, layout))
    for name, calls in layers.items():
        if len(calls) > 1 and all(rows.steps is None for rows in calls):
            layers[name] = [
                Rows(rows.values, np.full(len(rows.values), step, np.intp)) for step, rows in enumerate(calls)
            ]
    return layers


def _add_layers(
    into: Mapping[str, Comparison], reference: Mapping[str, list[Rows]], output: Mapping[str, list[Rows]]
) -> None:
    """Compare the calls of layers that both models make."""
    for name, comparison in into.items():
        ours, theirs = reference.get(name, []), output.get(name, [])
        shapes = [[rows.values.shape for rows in each] for each in (ours, theirs)]
        for one, other in zip(ours, theirs, strict=True) if shapes[0] == shapes[1] else ():
            comparison.add(one, other)


def _error_of(name: str, comparison: Comparison, by_row: tuple[float, ...] = ()) -> ErrorOf:
    return ErrorOf(name, comparison.error, comparison.worst, comparison.changed, comparison.by_step, by_row)


def _kind(result: Any) -> str:
    return f"{type(result).__name__} {result!r:.60}"
