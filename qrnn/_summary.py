"""summary: the layers of a model, with their shapes, parameters, precisions, bytes and shares of the time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from ._arrays import is_tensor
from ._contents import precision_of
from ._framework import Framework
from ._passes import adapted, one_pass
from ._progress import progress
from ._public import public
from ._report import Report
from ._samples import Sample, is_packed, read_samples
from ._spec import checked_size
from ._timing import Spread, in_rounds, spread
from ._watching import find_framework, nbytes_of

__all__ = ["LayerSummary", "SummaryReport", "summary"]

#: In the table, the text of a layer's sizes and options has at most this many characters.
_SHOWN = 60


@public("qrnn")
class LayerSummary(NamedTuple):
    """One module of a model that has weights, or has no modules below it.

    Attributes
    ----------
    name : str
        The dotted name; empty for the model itself.
    layer : str
        Its class, sizes and options, as in its repr.
    output : tuple of int or None
        The shape of its last result for the data, the first of a tuple; None if there is no `time`.
    parameters : int
        How many numbers its weights, biases and buffers have, including quantized ones.
    precision : str
        Of the weights: ``float32``, or the type of the codes and of the activations, such as ``int8 x u8``.
    nbytes : int or None
    time : Spread or None
        The time of its calls, repeated by themselves, divided by the time of a pass over the data; over the rounds.
        None if it was not called, or if it has modules below it, which have their own times.

    Examples
    --------
    >>> import qrnn
    >>> row = qrnn.summary(qrnn.nn.Sequential(qrnn.Linear(4, 3)))[0]
    >>> row.name, row.parameters, row.precision
    ('0', 15, 'int8 x u8')
    """

    name: str
    layer: str
    output: tuple[int, ...] | None
    parameters: int
    precision: str
    nbytes: int | None
    time: Spread | None


@public("qrnn")
class SummaryReport(Report[LayerSummary]):
    """A row for each layer, in the order of the model; prints as a table, in Jupyter as HTML.

    Parameters
    ----------
    rows : iterable of LayerSummary
    facts : mapping
        ``model``, the name of its class; ``modules``, how many it has; ``parameters``; ``quantized``, how many of them
        are int8 weights; ``nbytes``, None if unknown; and ``seconds`` of a pass over the data, a Spread, or None.

    Attributes
    ----------
    facts : dict
        The facts, as given.

    Examples
    --------
    >>> import qrnn
    >>> report = qrnn.summary(qrnn.nn.Sequential(qrnn.nn.Linear(4, 3), qrnn.nn.Tanh()))
    >>> [row.name for row in report], report.facts["parameters"]
    (['0', '1'], 15)
    """

    _EMPTY = "no layers"

    def __init__(self, rows: Any, facts: Mapping[str, Any]) -> None:
        super().__init__(rows)
        self.facts = dict(facts)

    def _facts(self) -> dict[str, Any]:
        return self.facts

    def _shown_heads(self) -> tuple[str, ...]:
        timed = ("output", "time") if self.facts["seconds"] is not None else ()
        return ("name", "layer", "parameters", "precision", "bytes", *timed)

    def _cells(self, row: LayerSummary) -> tuple[str, ...]:
        layer = row.layer if len(row.layer) <= _SHOWN else f"{row.layer[: _SHOWN - 3]}..."
        nbytes = "" if row.nbytes is None else f"{row.nbytes:,}"
        cells = (row.name or "the model", layer, f"{row.parameters:,}", row.precision, nbytes)
        if self.facts["seconds"] is None:
            return cells
        output = "" if row.output is None else " x ".join(map(str, row.output))
        return (*cells, output, "" if row.time is None else f"{row.time.median:.0%}")

    def _after(self) -> list[str]:
        facts = self.facts
        nbytes = "" if facts["nbytes"] is None else f", {facts['nbytes']:,} bytes"
        share = facts["quantized"] / facts["parameters"] if facts["parameters"] else 0.0
        said = [f"{facts['model']}: {facts['parameters']:,} parameters, {share:.0%} of them int8 weights{nbytes}."]
        if facts["seconds"] is not None:
            median, low, high = (1e3 * each for each in facts["seconds"])
            layers = sum(row.time.median for row in self._rows if row.time is not None)
            said.append(
                f"A pass over the data took {median:.3g} ms ({low:.3g} to {high:.3g} in half of the rounds), of which "
                f"the layers, called alone, take {layers:.0%}: the rest of 100% is spent between them."
            )
        return said


def summary(model: Any, data: Any = None, *, rounds: int = 20) -> SummaryReport:
    """The layers of a model: shapes, parameters, precision and bytes, and with data each one's share of the time.

    Parameters
    ----------
    model : Module
        A model of ``qrnn`` or of PyTorch, float, prepared or quantized, also by ``torch.ao``; it is not changed.
    data : iterable, optional
        Inputs, one for each call, as for `compare`; or a single array.
    rounds : int
        How many rounds of timing, at least 1.

    Returns
    -------
    SummaryReport

    Raises
    ------
    TypeError
        If `model` is not a module, or `data` are not inputs.
    ValueError
        If there is no input, or `rounds` is less than 1.

    Examples
    --------
    >>> import qrnn
    >>> model = qrnn.nn.Sequential(qrnn.nn.GRU(12, 64), qrnn.nn.Linear(64, 9))
    >>> report = qrnn.summary(qrnn.quantize_dynamic(model))
    >>> [(row.name, row.parameters, row.precision) for row in report]
    [('0', 14976, 'int8 x u8'), ('1', 585, 'int8 x u8')]
    """
    framework = find_framework(model)
    if framework is None:
        raise TypeError(f"model: expected a qrnn.nn.Module or a torch.nn.Module, got {type(model).__name__}")
    framework.expect(model, "model")
    rounds = checked_size(rounds, "rounds", 1)
    modules = dict(_layers(framework, model))
    outputs: dict[str, tuple[int, ...]] = {}
    times: dict[str, list[float]] = {}
    if data is not None:
        single = hasattr(data, "__array__") or is_tensor(data) or is_packed(data)
        samples = read_samples([data] if single else data, "data")
        outputs, times = _timed(framework, model, modules, samples, rounds)
    rows, parameters, quantized = [], 0, 0
    for name, module in modules.items():
        found = framework.contents(module)
        parameters += sum(each.size for each in found)
        quantized += sum(each.size for each in found if each.dtype == "int8")
        rows.append(
            LayerSummary(
                name,
                _text(module),
                outputs.get(name),
                sum(each.size for each in found),
                precision_of(found),
                framework.own_nbytes(module),
                _share(times, name),
            )
        )
    facts = {
        "model": type(model).__name__,
        "modules": sum(1 for _ in model.modules()),
        "parameters": parameters,
        "quantized": quantized,
        "nbytes": nbytes_of(model),
        "seconds": spread(times[_WHOLE]) if times else None,
    }
    return SummaryReport(rows, facts)


#: The key of the times of a whole pass; no module has this name.
_WHOLE = "."


def _share(times: Mapping[str, list[float]], name: str) -> Spread | None:
    """The time of a layer divided by that of the whole model in the same round."""
    if name not in times:
        return None
    return spread(own / whole for own, whole in zip(times[name], times[_WHOLE], strict=True))


def _text(module: Any) -> str:
    extra = module.extra_repr().replace("\n", ", ")
    return f"{module._get_name()}({extra})"


def _layers(framework: Framework, model: Any) -> Iterator[tuple[str, Any]]:
    """Name and module of each module that holds arrays or has no modules below it; parts of layers are left out."""
    inside = ""
    for name, module in model.named_modules():
        if inside and name.startswith(inside):
            continue
        inside = ""
        if framework.is_layer(module):
            inside = f"{name}."
            yield name, module
        elif framework.contents(module) or not _has_children(framework, module):
            yield name, module


def _has_children(framework: Framework, module: Any) -> bool:
    return any(True for _ in framework.children(module))


def _timed(
    framework: Framework, model: Any, modules: Mapping[str, Any], samples: list[Sample], rounds: int
) -> tuple[dict[str, tuple[int, ...]], dict[str, list[float]]]:
    """For each layer that is called, the shape of its last output and the seconds of its calls in each round."""
    outputs, calls = dict[str, tuple[int, ...]](), dict[str, list[Sample]]()

    def see(name: str, layer: Any, args: tuple[Any, ...], kwargs: Any, result: Any) -> None:
        first = result[0] if isinstance(result, tuple) and not is_packed(result) else result
        outputs[name] = tuple(getattr(first.data if is_packed(first) else first, "shape", ()))
        calls.setdefault(name, []).append(Sample(args, kwargs))

    names = [name for name, each in modules.items() if framework.is_layer(each) or not _has_children(framework, each)]
    own = [adapted(framework, sample) for sample in samples]
    with framework.evaluating(model):
        with framework.watching(model, names, see) as watched:
            one_pass(watched, own)()
        passes = {name: one_pass(modules[name], each) for name, each in calls.items()}
        with progress((len(passes) + 1) * (rounds + 1), "summary") as tick:
            return outputs, in_rounds({_WHOLE: one_pass(model, own), **passes}, rounds, tick)
