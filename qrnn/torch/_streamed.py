"""How layers of torch models are streamed."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn.modules.conv import _ConvNd

from .._spec import module_spec
from .._stream_table import Form
from .._streamed import expect_its_forward, form_of_layer
from . import _torch_ao
from ._recurrent import Cell, Sequence

__all__ = ["form_of"]

#: Layers with a state: those of qrnn, and those of ``torch.nn``.
_OURS = (Cell, Sequence)
_FLOAT = (torch.nn.RNN, torch.nn.LSTM, torch.nn.GRU, torch.nn.RNNCell, torch.nn.LSTMCell, torch.nn.GRUCell)


def form_of(name: str, module: Any) -> Form | None:
    """How `module` is streamed; None if it has no state. ValueError naming it if it cannot be streamed."""
    what = f"{name or 'the model'} ({type(module).__name__})"
    if _torch_ao.has_state(module):
        raise ValueError(f"model: expected no layers of torch.ao, got {what}: see qrnn.torch.from_torch_ao")
    if isinstance(module, _ConvNd):
        _expect_one_frame(what, module)
    base = next((each for each in (*_OURS, *_FLOAT) if isinstance(module, each)), None)
    if base is None:
        return None
    expect_its_forward(name, module, base)
    if base in _OURS:
        return form_of_layer(name, module, module._spec)
    for parameter, value in module.named_parameters():
        if value.dtype != torch.float32:
            raise ValueError(f"model: expected layers of float32, got {what} with {parameter} of {value.dtype}")
    return form_of_layer(name, module, module_spec(base.__name__, module))


def _expect_one_frame(what: str, module: Any) -> None:
    """Refuse a convolution that may see more than one frame, because it is unknown which axis is time."""
    sizes = {"kernel_size": module.kernel_size, "stride": module.stride}
    padded = module.padding != "valid" and any(size != 0 for size in module.padding)
    if padded or any(size != 1 for each in sizes.values() for size in each):
        raise ValueError(
            f"model: expected convolutions of kernel_size and stride 1 without padding, as others may see frames "
            f"before or after, got {what} with kernel_size={module.kernel_size}"
        )
