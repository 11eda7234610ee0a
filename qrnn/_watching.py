"""What the layers of a model return while it is called, and the layout of its data: steps, batch and lengths."""

from __future__ import annotations

import numbers
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from . import _arrays
from ._framework import Framework, framework_of
from ._numpy_framework import NUMPY
from ._samples import Layout, Sample, is_packed
from ._spec import LayerSpec, module_spec

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Seen", "called", "find_framework", "layer_names", "layout_of", "nbytes_of", "padded", "spec_of"]


class Seen(NamedTuple):
    """One call of a layer."""

    name: str
    layer: Any
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    output: NDArray[Any]  # the output for each row, without states

    @property
    def input(self) -> Any:
        """The input of its first product."""
        return self.args[0] if self.args else self.kwargs.get("input")


def find_framework(model: Any) -> Framework | None:
    """The framework of the module `model`; None for any other callable."""
    framework = framework_of(model, NUMPY)
    return framework if isinstance(model, framework.module_type) else None


def spec_of(framework: Framework, module: Any) -> LayerSpec | None:
    """The spec of a layer that is quantized or can be; None for any other module."""
    found = framework.find(module)
    return None if found is None else module_spec(found[0].float_type.__name__, module)


def nbytes_of(model: Any) -> int | None:
    """The bytes of the weights of `model`; None if unknown."""
    framework = find_framework(model)
    nbytes = getattr(model, "nbytes", None) if framework is None else framework.nbytes(model)
    return int(nbytes) if isinstance(nbytes, numbers.Integral) else None


def layer_names(model: Any) -> list[str]:
    """The names of the layers of `model` that are quantized or can be."""
    framework = find_framework(model)
    if framework is None:
        return []
    return [name for name, module in model.named_modules() if framework.find(module) is not None]


def called(model: Callable[..., Any], sample: Sample, names: Collection[str] = ()) -> tuple[Any, list[Seen]]:
    """The result of `model` for `sample`, in eval mode without gradients, and the calls of its layers `names`."""
    framework, seen = find_framework(model), list[Seen]()
    if framework is None:
        return model(*sample.args, **sample.kwargs), seen

    def see(name: str, layer: Any, args: tuple[Any, ...], kwargs: Any, result: Any) -> None:
        result = result[0] if isinstance(result, tuple) and not is_packed(result) else result
        output = np.array(_arrays.to_numpy(result.data if is_packed(result) else result, name))
        seen.append(Seen(name, layer, args, kwargs, output))

    adapt = framework.adapted
    with framework.evaluating(model), framework.watching(model, names, see) as watched:
        result = watched(*(adapt(each) for each in sample.args), **{k: adapt(v) for k, v in sample.kwargs.items()})
    return result, seen


def layout_of(model: Any, sample: Sample, seen: Iterable[Seen]) -> Layout | None:
    """The layout of `sample` by the input of the first recurrent layer; without one, by the first layer's rows."""
    framework = find_framework(model)
    if framework is None:
        return None
    calls, lengths = list(seen), sample.lengths(model.forward)
    for each in calls:
        spec = spec_of(framework, each.layer)
        if spec is not None and spec.sequence is not None:
            return _of_sequence(spec, each, lengths)
    cells = [each for each in calls if _is_cell(framework, each.layer)]
    first = next(iter(cells or calls), None)
    if first is None:
        return None
    steps = sum(each.name == first.name for each in cells) or 1
    batch = 1 if first.output.ndim < 2 else len(first.output)
    return Layout(steps, batch, True, _counts(lengths, batch))


def _is_cell(framework: Framework, layer: Any) -> bool:
    spec = spec_of(framework, layer)
    return spec is not None and spec.row.states > 0


def _of_sequence(spec: LayerSpec, seen: Seen, lengths: Any) -> Layout:
    assert spec.sequence is not None
    first = spec.sequence.batch_first
    if is_packed(seen.input):
        _, counts = padded(seen.input)
        return Layout(int(counts.max()), len(counts), first, counts)
    shape = seen.output.shape if seen.output.ndim == 3 else (seen.output.shape[0], 1)
    steps, batch = (shape[1], shape[0]) if first and seen.output.ndim == 3 else shape[:2]
    given = seen.kwargs.get("lengths")
    return Layout(steps, batch, first, _counts(lengths if given is None else given, batch))


def _counts(lengths: Any, batch: int) -> NDArray[np.intp] | None:
    """`lengths` as an array; None if they do not belong to the rows of the batch."""
    if lengths is None:
        return None
    counts = _arrays.to_numpy(lengths, "lengths")
    return counts.astype(np.intp) if counts.shape == (batch,) else None


def padded(packed: Any) -> tuple[NDArray[Any], NDArray[np.intp]]:
    """The rows of a PackedSequence as (steps, batch, columns) in the order of the batch, and the lengths."""
    rows, sizes = _arrays.to_numpy(packed.data, "input"), _arrays.to_numpy(packed.batch_sizes, "batch_sizes")
    array = np.zeros((len(sizes), sizes[0], rows.shape[-1]), rows.dtype)
    array[np.arange(sizes[0]) < sizes[:, None]] = rows
    counts = np.array([(sizes > row).sum() for row in range(sizes[0])], np.intp)
    if packed.unsorted_indices is None:
        return array, counts
    order = _arrays.to_numpy(packed.unsorted_indices, "unsorted_indices")
    return array[:, order], counts[order]
