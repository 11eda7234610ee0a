"""Pictures of a weight's codes and of a model's states over time."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _arrays
from ._figures import COLORS, figure, styled
from ._qtensor import QTensor
from ._samples import Sample, read_samples
from ._spec import checked_size
from ._watching import called, find_framework, layer_names, spec_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ._framework import Framework

__all__ = ["codes", "states"]

#: The most units of a layer, and the most steps, that a heat map shows; more do not fit a screen.
_UNITS = 512


def codes(weight: Any, original: Any = None, *, dark: bool | None = None) -> Any:
    """Plot how often each code of a weight occurs, and how far its values are from the original ones.

    Parameters
    ----------
    weight : QTensor or torch.Tensor
        A weight as ``get_weight()`` of a layer returns it; a tensor has to be qint8.
    original : array_like, optional
        The float weight, of the same shape. It adds a picture of the errors, in steps of the scale. Plain rounding
        has no errors beyond half a step; rounding by data has.
    dark : bool, optional
        As for ``CompareReport.plot``.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    TypeError, ValueError
        If `weight` is not a quantized matrix, or `original` has another shape.
    ImportError
        If matplotlib is not installed.

    Examples
    --------
    >>> import numpy as np, qrnn
    >>> layer = qrnn.nn.Linear(64, 8)
    >>> weight = qrnn.quantize_dynamic(layer).get_weight()["weight"]
    >>> qrnn.plots.codes(weight, layer.weight).savefig("codes.png")  # doctest: +SKIP
    """
    tensor = QTensor.of(weight, "weight")
    errors = None if original is None else _errors(tensor, _arrays.to_weight(original, "original", tensor.shape))
    with styled(dark):
        page = figure((10, 3.2) if errors is not None else (6, 3.2))
        axes = page.subplots(1, 1 if errors is None else 2, squeeze=False)[0]
        counts = np.bincount(tensor.int_repr().ravel().astype(np.intp) + 128, minlength=256)
        axes[0].bar(np.arange(-128, 128), counts, width=1.0, color=COLORS[1])
        used = f"{np.count_nonzero(counts)} of 256 codes occur"
        axes[0].set(title=f"Codes: {used}", xlabel="code", ylabel="weights", xlim=(-130, 130))
        if errors is not None:
            rms = float(np.sqrt(np.mean(np.square(errors)))) if errors.size else 0.0
            axes[1].hist(errors.ravel(), bins=101, color=COLORS[2])
            axes[1].set(title=f"Errors: rms {rms:.3f} of a step", xlabel="steps of the scale", ylabel="weights")
    return page


def _errors(tensor: QTensor, original: NDArray[np.float32]) -> NDArray[np.float64]:
    """Value minus original for each weight, in steps of its scale."""
    scale = (
        np.float64(tensor.q_scale()) if not _per_row(tensor) else tensor.q_per_channel_scales()[:, None].astype(float)
    )
    return tensor.int_repr().astype(np.float64) - original / scale


def _per_row(tensor: QTensor) -> bool:
    return "channel" in str(tensor.qscheme())


def states(model: Any, data: Any, *, beside: Any = None, row: int = 0, dark: bool | None = None) -> Any:
    """Plot heat maps of the outputs of each recurrent layer and cell over time, for one row of one input.

    Parameters
    ----------
    model : Module
        A model of ``qrnn`` or of PyTorch.
    data : array_like or tuple or dict
        One input, in the form of those for `compare`.
    beside : Module, optional
        A model whose layers have the same names, such as the quantized one. It adds pictures of the differences.
    row : int
        Which row of the batch.
    dark : bool, optional
        As for ``CompareReport.plot``.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    TypeError
        If a model is not a module.
    ValueError
        If no recurrent layer is called, `beside` lacks one, or there is no such row.
    ImportError
        If matplotlib is not installed.

    Examples
    --------
    >>> import numpy as np, qrnn
    >>> model, x = qrnn.nn.GRU(4, 8), np.zeros((20, 1, 4), np.float32)
    >>> qrnn.plots.states(model, x, beside=qrnn.quantize_dynamic(model)).savefig("states.png")  # doctest: +SKIP
    """
    row = checked_size(row, "row", 0)
    (sample,) = read_samples([data], "data")
    maps = _maps(model, sample, row, "model")
    other = {} if beside is None else _maps(beside, sample, row, "beside")
    for name in maps if beside is not None else ():
        if name not in other or other[name].shape != maps[name].shape:
            raise ValueError(f"beside: expected a layer {name!r} that gives {maps[name].shape}, as that of model")
    columns = 1 if beside is None else 2
    with styled(dark):
        page = figure((5.4 * columns, 2.6 * len(maps)))
        grid = page.subplots(len(maps), columns, squeeze=False)
        for line, (name, values) in zip(grid, maps.items(), strict=True):
            _heat(page, line[0], values, f"{name or 'the model'}: output of each unit")
            if beside is not None:
                _heat(page, line[1], other[name] - values, f"{name or 'the model'}: difference")
    return page


def _heat(page: Any, axes: Any, values: NDArray[Any], title: str) -> None:
    """Draw (steps, units) as a picture whose middle color is 0."""
    shown = values[:, :_UNITS].T
    limit = float(np.abs(shown).max(initial=0.0)) or 1.0
    image = axes.imshow(shown, aspect="auto", cmap="RdBu_r", vmin=-limit, vmax=limit, interpolation="nearest")
    axes.set(title=title, xlabel="step", ylabel="unit")
    axes.grid(False)
    page.colorbar(image, ax=axes)


def _maps(model: Callable[..., Any], sample: Sample, row: int, argument: str) -> dict[str, NDArray[Any]]:
    """The outputs of each recurrent layer, or cell step by step, for one row: (steps, units)."""
    framework = find_framework(model)
    if framework is None:
        raise TypeError(f"{argument}: expected a qrnn.nn.Module or a torch.nn.Module, got {type(model).__name__}")
    seen = called(model, sample, layer_names(model))[1]
    maps: dict[str, list[NDArray[Any]]] = {}
    for each in seen:
        found = _of_row(framework, each.layer, each.output, row)
        if found is not None:
            maps.setdefault(each.name, []).append(found)
    if not maps:
        raise ValueError(f"{argument}: expected recurrent layers or cells, got none that was called")
    return {name: np.concatenate(parts).astype(np.float64) for name, parts in maps.items()}


def _of_row(framework: Framework, layer: Any, output: NDArray[Any], row: int) -> NDArray[Any] | None:
    """(steps, units) of one row of the batch; None for a layer without a state."""
    spec = spec_of(framework, layer)
    if spec is None or not spec.row.states:
        return None
    if spec.sequence is None:
        steps = output.reshape(1, -1, output.shape[-1])
    else:
        steps = output[:, None] if output.ndim == 2 else output
        steps = steps.swapaxes(0, 1) if spec.sequence.batch_first and output.ndim == 3 else steps
    if row >= steps.shape[1]:
        raise ValueError(f"row: expected less than {steps.shape[1]}, the rows of the batch, got {row}")
    return steps[:, row]
