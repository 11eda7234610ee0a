"""Layers of a streamed model: subclasses of their classes that take their state from the stream's table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from . import _arrays
from ._cell import Cell
from ._cell_sequences import Recurrent
from ._conv import Conv1d
from ._layer import Layer
from ._module import Module
from ._spec import LayerSpec
from ._stream_table import Form, Place, current_call

if TYPE_CHECKING:
    from ._typing import Array

__all__ = ["expect_its_forward", "form_of", "form_of_layer", "place_in"]


def form_of(name: str, module: Module) -> Form | None:
    """How `module` is streamed; None if it has no state. ValueError naming it if it cannot be streamed."""
    if isinstance(module, Conv1d):
        return _form_of_convolution(name, module)
    base = next((each for each in (Cell, Recurrent, Layer) if isinstance(module, each)), None)
    if base is None or (isinstance(module, Layer) and not module._spec.row.states):
        return None
    expect_its_forward(name, module, base)
    if isinstance(module, Layer):
        return form_of_layer(name, module, module._spec)
    assert isinstance(module, (Cell, Recurrent))
    sizes = dict.fromkeys(module.states, module.hidden_size)
    return _form_of_sequence(name, module, sizes) if isinstance(module, Recurrent) else _form_of_cell(sizes)


def form_of_layer(name: str, module: Any, spec: LayerSpec) -> Form:
    """How a recurrent layer, of qrnn or PyTorch, is streamed."""
    sizes = dict(zip(("h", "c"), (spec.state_size, spec.hidden_size)[: spec.row.states]))
    if spec.sequence is None:
        return _form_of_cell(sizes)
    starts = {state: getattr(module, each.weight) for state, each in zip(sizes, spec.learned)}
    return _form_of_sequence(name, module, sizes)._replace(starts=starts)


def _form_of_cell(sizes: Mapping[str, int]) -> Form:
    """How a module that is called step by step is streamed; `sizes` are those of its states."""
    return Form(StreamedLayer, {state: (size,) for state, size in sizes.items()})


def _form_of_sequence(name: str, module: Any, sizes: Mapping[str, int]) -> Form:
    """How a module that is called for sequences is streamed; ValueError naming it if it also reads backwards."""
    if module.bidirectional or getattr(module, "reverse", False):
        what = f"{name or 'the model'} ({type(module).__name__})"
        backwards = "backwards too" if module.bidirectional else "backwards"
        raise ValueError(f"model: expected layers that read forwards, got {what}, which reads {backwards}")
    shapes: dict[str, tuple[int, ...]] = {state: (module.num_layers, size) for state, size in sizes.items()}
    return Form(StreamedLayer, shapes, int(not module.batch_first))


def expect_its_forward(name: str, module: Any, base: Any) -> None:
    """Raise ValueError naming `module` if its class overrides the forward of `base`: it may take no state."""
    if type(module).forward is not base.forward:
        what = f"{name or 'the model'} ({type(module).__name__})"
        raise ValueError(f"model: expected layers without a forward of their own, got {what}: hold it in a Module")


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
    """Make `module`, in a copy that belongs to a stream, take its state from `place`."""
    cls = type(module)
    members = {"__doc__": cls.__doc__, "__module__": cls.__module__}
    object.__setattr__(module, "__class__", type(cls.__name__, (form.base, cls), members))
    module.__dict__["_stream_place"] = place


class StreamedLayer:
    """The second base of a recurrent layer in a stream, besides its own class, which may be PyTorch's."""

    _stream_place: Place

    def forward(self, input: Any, hx: Any = None, **options: Any) -> Any:
        """Call the layer with the stream's state, and change that state."""
        place = self._stream_place
        inner: Any = super()
        call = current_call(place)
        lengths = options.pop("lengths", None)
        if hx is not None or lengths is not None:
            _refuse(place, *(("hx", hx) if hx is not None else ("lengths", lengths)))
        x = input if hasattr(input, "ndim") else _arrays.to_float32(input, "input")
        dims = 1 if place.batch_axis is None else 2
        batched = x.ndim == dims + 1
        if x.ndim not in (dims, dims + 1):
            return inner.forward(x, **options)  # raises the layer's own error
        states = call.take(place, x.shape[place.batch_axis or 0] if batched else 1)
        hx = _arrays.like(tuple([_as_taken(place, state, batched) for state in states]), x)
        result = inner.forward(x, hx[0] if len(hx) == 1 else hx, **options)
        final = result if place.batch_axis is None else result[1]
        call.leave(place, [_as_kept(place, state, batched) for state in (final if len(hx) > 1 else [final])])
        return result


def _refuse(place: Place, name: str, value: Any) -> NoReturn:
    """Raise RuntimeError for an argument that the stream decides."""
    text = f"expected a call without {name}, as the stream keeps the state, got {type(value).__name__}"
    raise RuntimeError(f"{place.shown}: {text}")


def _as_taken(place: Place, state: Array, batched: bool) -> Array:
    """A state of the table as the layer takes it."""
    if not batched:
        return state[0]  # type: ignore[no-any-return]
    return state if place.batch_axis is None else np.ascontiguousarray(state.swapaxes(0, 1))


def _as_kept(place: Place, state: Any, batched: bool) -> Array:
    """A state that the layer returned, in the table's form."""
    array = _arrays.to_float32(state, "state")
    if not batched:
        return array[None]
    return array if place.batch_axis is None else array.swapaxes(0, 1)


class StreamedConvolution:
    """The second base of a causal Conv1d in a stream: it puts earlier frames before the input instead of zeros."""

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
