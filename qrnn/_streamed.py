"""Layers of a streamed model: subclasses, made for each class, that take their state from the stream's table."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from . import _arrays
from ._cell import Cell
from ._cell_sequences import Recurrent
from ._conv import Conv1d
from ._layer import Layer
from ._module import Module
from ._stream_table import Place, current_call

if TYPE_CHECKING:
    from ._typing import Array

__all__ = ["Form", "expect_alone", "form_of", "hx_of", "left_by", "place_in"]


class Form(NamedTuple):
    """How a layer is streamed."""

    base: type  # what its class is mixed with
    shapes: dict[str, tuple[int, ...]]  # of a row of each state
    batch_axis: int | None = None  # see Place


def form_of(name: str, module: Module) -> Form | None:
    """How `module` is streamed; None if it has no state. ValueError naming it where that cannot be."""
    if isinstance(module, Conv1d):
        return _form_of_convolution(name, module)
    base = next((each for each in (Cell, Recurrent, Layer) if isinstance(module, each)), None)
    if base is None or (isinstance(module, Layer) and not module._spec.row.states):
        return None
    if type(module).forward is not base.forward:
        what = f"{name or 'the model'} ({type(module).__name__})"
        raise ValueError(f"model: expected layers without a forward of their own, got {what}: hold it in a Module")
    if isinstance(module, Cell):
        return Form(StreamedLayer, dict.fromkeys(module.states, (module.hidden_size,)))
    if isinstance(module, Recurrent):
        expect_forwards(name, module)
        sizes = dict.fromkeys(module.states, module.hidden_size)
        return _form_of_sequence(sizes, module.num_layers, module.batch_first)
    assert isinstance(module, Layer)
    spec = module._spec
    sizes = dict(zip(("h", "c"), (spec.state_size, spec.hidden_size)[: spec.row.states]))
    if spec.sequence is None:
        return Form(StreamedLayer, {state: (size,) for state, size in sizes.items()})
    expect_forwards(name, module)
    return _form_of_sequence(sizes, spec.sequence.num_layers, spec.sequence.batch_first)


def _form_of_sequence(sizes: Mapping[str, int], layers: int, batch_first: bool) -> Form:
    shapes: dict[str, tuple[int, ...]] = {state: (layers, size) for state, size in sizes.items()}
    return Form(StreamedLayer, shapes, int(not batch_first))


def expect_forwards(name: str, module: Any) -> None:
    """Raise ValueError naming a layer that reads backwards too."""
    if module.bidirectional:
        what = f"{name or 'the model'} ({type(module).__name__})"
        raise ValueError(f"model: expected layers that read forwards, got {what}, which reads backwards too")


def _form_of_convolution(name: str, module: Conv1d) -> Form | None:
    reach = module._reach()
    if module.stride == (1,) and module.padding == "causal":
        return Form(StreamedConvolution, {"frames": (module.in_channels, reach)}) if reach else None
    if module.stride == (1,) and not reach and not any(module._zeros()):
        return None
    raise ValueError(
        f"model: {name or 'the model'} (Conv1d): expected padding='causal' and stride=1, so that each frame gives one "
        f"of its own and of those before it, got padding={module.padding!r} and stride={module.stride[0]}"
    )


def place_in(module: Any, form: Form, place: Place) -> None:
    """Have `module`, of a copy that belongs to a stream, take its state from `place`."""
    own: Any = type(module)
    object.__setattr__(module, "__class__", _streamed_class(form.base, own))
    module.__dict__["_stream_place"] = place


@functools.cache
def _streamed_class(base: type, cls: type) -> type:
    return type(cls.__name__, (base, cls), {"__doc__": cls.__doc__, "__module__": cls.__module__})


# ---- what layers of either package do


def expect_alone(place: Place, **arguments: Any) -> None:
    """Raise RuntimeError if a layer is called with an argument that the stream decides."""
    for name, value in arguments.items():
        if value is not None:
            text = f"expected a call without {name}, as the stream keeps the state, got {type(value).__name__}"
            raise RuntimeError(f"{place.shown}: {text}")


def hx_of(place: Place, states: list[Array], batched: bool) -> list[Array]:
    """States of the table as the layer takes them."""
    if not batched:
        return [state[0] for state in states]
    return states if place.batch_axis is None else [np.ascontiguousarray(each.swapaxes(0, 1)) for each in states]


def left_by(place: Place, result: Any, batched: bool) -> list[Any]:
    """The states in what the layer returned, as the table has them."""
    final = result if place.batch_axis is None else result[1]
    states = final if len(place.states) > 1 else [final]
    arrays = [_arrays.to_float32(each, "state") for each in states]
    if not batched:
        return [array[None] for array in arrays]
    return arrays if place.batch_axis is None else [array.swapaxes(0, 1) for array in arrays]


class StreamedLayer(Module):
    """What a recurrent layer of a stream is besides its own class."""

    _stream_place: Place

    def forward(self, input: Any, hx: Any = None, **options: Any) -> Any:
        """The layer's call from the stream's state, which it changes."""
        place = self._stream_place
        call = current_call(place)
        expect_alone(place, hx=hx, lengths=options.pop("lengths", None))
        x = input if hasattr(input, "ndim") else _arrays.to_float32(input, "input")
        dims = 1 if place.batch_axis is None else 2
        batched = x.ndim == dims + 1
        if x.ndim not in (dims, dims + 1):
            return super().forward(x, **options)  # which raises its own error
        states = hx_of(place, call.take(place, x.shape[place.batch_axis or 0] if batched else 1), batched)
        result = super().forward(x, states[0] if len(states) == 1 else tuple(states), **options)
        call.leave(place, left_by(place, result, batched))
        return result


class StreamedConvolution(Module):
    """What a causal Conv1d of a stream is besides its own class: frames that were, in the place of zeros."""

    _stream_place: Place

    def _padded(self, x: Array) -> Array:
        place = self._stream_place
        call = current_call(place)
        batched = x.ndim == 3
        [before] = call.take(place, len(x) if batched else 1)
        joined = np.concatenate([before if batched else before[0], x], axis=-1)
        after = joined[..., joined.shape[-1] - before.shape[-1] :]
        call.leave(place, [after if batched else after[None]])
        return joined
