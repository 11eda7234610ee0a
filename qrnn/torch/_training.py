"""The forward in training: float arithmetic on values that an engine can represent.

Weights, inputs and states are quantized by the engine's own code and converted back to float. The gradient passes
through the rounding as if it were not there (straight-through), and is zero for a weight that its range clips. All
other operations, products and non-linearities, are PyTorch's and have PyTorch's gradients.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch

from .. import _arrays, _core
from .._spec import ENGINES, LayerSpec
from ._calls import array_of

__all__ = ["Direction", "Product", "activation", "run_cell", "run_layers", "run_linear", "weight"]

_linear = torch.nn.functional.linear


class _Activation(torch.autograd.Function):
    """The values of the codes that the engine gives v. The range holds every value, so nothing is clipped."""

    @staticmethod
    def forward(ctx: Any, v: torch.Tensor, engine: str, name: str) -> torch.Tensor:
        values = _arrays.to_float32(array_of(v, name), name)
        return torch.from_numpy(_core.fake_quantize(engine, values)).to(v.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        return gradients[0], None, None


class _Weight(torch.autograd.Function):
    """The values of w's codes. The gradient is zero where the nearest multiple of the scale has no code."""

    @staticmethod
    def forward(ctx: Any, w: torch.Tensor, codes: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
        step = scale if scale.dim() == 0 else scale[:, None]
        value, room = codes.float() * step, 1e-5 * step
        beyond = (w > 127.5 * step + room) | (w < -128.5 * step - room)
        ctx.save_for_backward(beyond)
        return value.to(w.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        (beyond,) = ctx.saved_tensors
        return gradients[0].masked_fill(beyond, 0), None, None


def activation(v: torch.Tensor, engine: str, name: str) -> torch.Tensor:
    """`v`, of shape (rows, n), rounded to the grid of `engine`; the float engine leaves it unchanged."""
    if not ENGINES[engine].quantized:
        return v
    try:
        return _Activation.apply(v, engine, name)  # type: ignore[no-any-return, no-untyped-call]
    except (TypeError, ValueError) as error:
        raise type(error)(f"{name}: {str(error).partition(': ')[2]}") from None


def weight(w: torch.Tensor, codes: Any, scale: Any) -> torch.Tensor:
    """The values of `w`'s codes and scale, which are arrays."""
    return _Weight.apply(w, torch.from_numpy(codes), torch.from_numpy(scale))  # type: ignore[no-any-return, no-untyped-call]


class Product(NamedTuple):
    """A matrix: the values of its codes, and the engine that quantizes what it multiplies."""

    weight: torch.Tensor
    bias: torch.Tensor | None
    engine: str

    def of(self, v: torch.Tensor, name: str) -> torch.Tensor:
        """Its product with `v`; error texts call this `name`."""
        return _linear(activation(v, self.engine, name), self.weight, self.bias)


class Direction(NamedTuple):
    """The products of a cell, or of a layer in one direction."""

    ih: Product
    hh: Product
    hr: Product | None = None


# ---- cells: y_ih is the product of x, with its bias; a state is (h,) or (h, c)


def _rnn_tanh(y_ih: Any, y_hh: Any, state: Any) -> Any:
    return (torch.tanh(y_hh + y_ih),)


def _rnn_relu(y_ih: Any, y_hh: Any, state: Any) -> Any:
    return (torch.relu(y_hh + y_ih),)


def _lstm(y_ih: Any, y_hh: Any, state: Any) -> Any:
    i, f, g, o = (y_hh + y_ih).chunk(4, -1)
    c = torch.sigmoid(f) * state[1] + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c


def _gru(y_ih: Any, y_hh: Any, state: Any) -> Any:
    (ir, iz, i_n), (hr, hz, hn) = y_ih.chunk(3, -1), y_hh.chunk(3, -1)
    r, z = torch.sigmoid(hr + ir), torch.sigmoid(hz + iz)
    n = torch.tanh(i_n + r * hn)
    return (n + z * (state[0] - n),)


_CELLS: dict[str, Callable[[Any, Any, Any], Any]] = {
    "rnn_tanh": _rnn_tanh,
    "rnn_relu": _rnn_relu,
    "lstm": _lstm,
    "gru": _gru,
}


def _step(kind: str, weights: Direction, y_ih: Any, state: tuple[Any, ...]) -> tuple[Any, ...]:
    """The next state of the rows of `state`."""
    h, *rest = _CELLS[kind](y_ih, weights.hh.of(state[0], "hx"), state)
    return (h if weights.hr is None else weights.hr.of(h, "hx"), *rest)


# ---- what a prepared module's forward comes to


def run_linear(product: Product, x: torch.Tensor) -> torch.Tensor:
    """Compute a linear layer for inputs of any rank."""
    return product.of(x.reshape(-1, x.shape[-1]), "input").reshape(*x.shape[:-1], len(product.weight))


def run_cell(spec: LayerSpec, weights: Direction, x: torch.Tensor, state: tuple[torch.Tensor, ...] | None) -> Any:
    """Compute one step of a cell, batched or not."""
    batched = x if x.dim() == 2 else x.unsqueeze(0)
    if state is None:
        zeros = batched.new_zeros(len(batched), spec.hidden_size)
        state = (zeros, zeros)
    elif x.dim() == 1:
        state = tuple(each.unsqueeze(0) for each in state)
    new = _step(spec.kind, weights, weights.ih.of(batched, "input"), state)
    new = new if x.dim() == 2 else tuple(each.squeeze(0) for each in new)
    return new if spec.row.states == 2 else new[0]


def _run_direction(
    spec: LayerSpec, weights: Direction, data: Any, sizes: list[int], state: tuple[Any, ...], reverse: bool
) -> tuple[Any, tuple[Any, ...]]:
    """Compute a layer in one direction over packed rows: step t has the first `sizes[t]` rows of the batch.

    Rows that have ended keep their state; backwards, rows that have not begun keep the initial one.
    """
    y_ih = weights.ih.of(data, "input").split(sizes)
    outputs: list[Any] = [None] * len(sizes)
    for t in reversed(range(len(sizes))) if reverse else range(len(sizes)):
        n = sizes[t]
        new = _step(spec.kind, weights, y_ih[t], tuple(each[:n] for each in state))
        outputs[t] = new[0]
        state = tuple(a if n == len(b) else torch.cat((a, b[n:])) for a, b in zip(new, state, strict=True))
    return torch.cat(outputs), state


def run_layers(
    spec: LayerSpec,
    directions: list[Direction],
    data: torch.Tensor,
    sizes: list[int],
    state: tuple[torch.Tensor, ...],
) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
    """Compute all layers over packed rows; states before and after are (layers * directions, batch, hidden) each."""
    assert spec.sequence is not None
    last: list[tuple[Any, ...]] = []
    for layer in range(spec.sequence.num_layers):
        outputs = []
        for reverse in (False, True)[: spec.sequence.num_directions]:
            index = len(last)
            first = tuple(each[index] for each in state)
            output, end = _run_direction(spec, directions[index], data, sizes, first, reverse)
            outputs.append(output)
            last.append(end)
        data = torch.cat(outputs, -1)
        if spec.dropout and layer < spec.sequence.num_layers - 1:
            data = torch.nn.functional.dropout(data, spec.dropout)
    return data, tuple(torch.stack(each) for each in zip(*last, strict=True))
