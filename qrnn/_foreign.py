"""Shared by readers of other frameworks' files: makes a float layer of ``qrnn.nn`` from weights and options."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from . import _arrays, _core
from ._elman import RNN, QuantizedRNN, QuantizedRNNCell, RNNCell
from ._format_error import FormatError
from ._gru import GRU, GRUCell, QuantizedGRU, QuantizedGRUCell
from ._linear import Linear, QuantizedLinear
from ._lstm import LSTM, LSTMCell, QuantizedLSTM, QuantizedLSTMCell

if TYPE_CHECKING:
    from ._qtensor import QTensor
    from ._quantized_layer import QuantizedLayer
    from ._typing import Array

__all__ = [
    "Direction",
    "SequenceLayer",
    "expect_flag",
    "expect_one_layer",
    "float_layer",
    "gates",
    "quantized_layer",
    "quantized_linear",
    "weight",
]

SequenceLayer = RNN | GRU | LSTM

#: The classes by the names that PyTorch, ONNX and Keras share.
_CLASSES: Mapping[str, type[SequenceLayer]] = {"RNN": RNN, "GRU": GRU, "LSTM": LSTM}
#: The quantized classes by the float ones.
_QUANTIZED: Mapping[Any, type[QuantizedLayer]] = {
    **{RNN: QuantizedRNN, GRU: QuantizedGRU, LSTM: QuantizedLSTM},
    **{GRUCell: QuantizedGRUCell, LSTMCell: QuantizedLSTMCell, RNNCell: QuantizedRNNCell},
}
_GATES: Mapping[str, int] = {"RNN": 1, "GRU": 3, "LSTM": 4}


class Direction(NamedTuple):
    """The parameters of one direction, in PyTorch's shapes and order of gates; None for those that do not exist.

    The names are those of the layer's own parameters without ``_l0`` and ``_reverse``.
    """

    weight_ih: Array
    weight_hh: Array
    bias_ih: Array | None = None
    bias_hh: Array | None = None
    weight_ch: Array | None = None
    weight_hr: Array | None = None
    weight_ln: Array | None = None
    bias_ln: Array | None = None


def gates(array: Array, order: Sequence[int], axis: int = 0) -> Array:
    """`array` with the equal parts along `axis` in another order: part ``order[k]`` becomes part k.

    Examples
    --------
    >>> import numpy as np
    >>> gates(np.arange(6), (1, 0, 2)).tolist()
    [2, 3, 0, 1, 4, 5]
    """
    parts = np.split(array, len(order), axis)
    return np.concatenate([parts[each] for each in order], axis)


def weight(value: Any, where: str, shape: Sequence[int | None]) -> Array:
    """`value`, which a file has as the weight `where`, as finite float32 of `shape`; None fits any size.

    Raises
    ------
    FormatError
        If it is not such an array.
    """
    try:
        array = _arrays.to_floats(value, where)
        if len(array.shape) != len(shape) or any(want not in (None, got) for want, got in zip(shape, array.shape)):
            wanted = str(tuple(shape)).replace("None", "any")
            raise FormatError(f"{where}: expected shape {wanted}, got {array.shape}")
        _arrays.expect_finite(array, where)
    except FormatError:
        raise
    except (TypeError, ValueError) as error:
        raise FormatError(str(error)) from error
    return array


def float_layer(
    where: str, family: str, directions: Sequence[Direction], batch_first: bool, options: Mapping[str, Any]
) -> SequenceLayer:
    """A float layer of one layer, with the weights of its directions.

    Parameters
    ----------
    where : str
        What error texts begin with.
    family : {"RNN", "GRU", "LSTM"}
    directions : sequence of Direction
        One or two; the second reads backwards.
    batch_first : bool
    options : mapping
        Further arguments of the class.

    Raises
    ------
    FormatError
        If the class does not have an option, or refuses its value.
    """
    cls, first = _CLASSES[family], directions[0]
    hidden, columns = first.weight_hh.shape[0] // _GATES[family], first.weight_ih.shape[1]
    bias = any(each.bias_ih is not None for each in directions)
    if first.weight_hr is not None:
        options = {**options, "proj_size": first.weight_hr.shape[0]}
    make: Any = cls
    try:
        layer: SequenceLayer = make(
            columns, hidden, bias=bias, batch_first=batch_first, bidirectional=len(directions) == 2, **options
        )
        state = layer.state_dict()  # holds the layer's description if PyTorch lacks such a layer
        for suffix, each in zip(("_l0", "_l0_reverse"), directions):
            for name, array in each._asdict().items():
                if array is not None:
                    state[name + suffix] = array
                elif name in ("bias_ih", "bias_hh") and bias:
                    state[name + suffix] = np.zeros(first.weight_hh.shape[0], np.float32)
        layer.load_state_dict(state)
    except (TypeError, ValueError, RuntimeError) as error:
        raise FormatError(f"{where}: {error}") from error
    return layer


def expect_one_layer(layer: Any) -> None:
    """Raise TypeError or ValueError if `layer`, the argument of a module that holds one, is no RNN, GRU or LSTM, float
    or quantized, of one layer."""
    if not isinstance(layer, _core.Module) or layer.sequence is None:
        raise TypeError(f"layer: expected an RNN, GRU or LSTM of qrnn, got {type(layer).__name__}")
    if layer.sequence[0] != 1:
        raise ValueError(f"layer: expected one of num_layers=1, got {layer.sequence[0]}")


def expect_flag(value: Any, name: str) -> None:
    """Raise TypeError if the argument `name` is not a bool."""
    if not isinstance(value, bool):
        raise TypeError(f"{name}: expected a bool, got {type(value).__name__}")


def quantized_layer(where: str, layer: Any, codes: Mapping[str, QTensor]) -> Any:
    """A layer of engine ``qrnn`` with a file's int8 codes and scales instead of those that qrnn would choose.

    Parameters
    ----------
    where : str
        What error texts begin with.
    layer : RNN, GRU, LSTM, or one of their cells
        The float layer, with everything that has no codes.
    codes : mapping of str to QTensor
        By the names of its weights; each has a scale for each row.

    Raises
    ------
    FormatError
        If codes do not fit.
    """
    try:
        made = _QUANTIZED[type(layer)].from_float(layer, engine="qrnn")
        state = made.state_dict()
        for name, tensor in codes.items():
            state.update({name: tensor.int_repr(), f"{name}_scale": tensor.q_per_channel_scales()})
        made.load_state_dict(state)
    except (TypeError, ValueError, RuntimeError) as error:
        raise FormatError(f"{where}: {error}") from error
    return made


def quantized_linear(where: str, weight: Array, bias: Array | None, codes: QTensor | None) -> Linear | QuantizedLinear:
    """A Linear with these weights: float, or of engine ``qrnn`` with the codes of a file.

    Raises
    ------
    FormatError
        If they do not fit.
    """
    try:
        made = Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
        made.load_state_dict({"weight": weight} if bias is None else {"weight": weight, "bias": bias})
        if codes is None:
            return made
        quantized = QuantizedLinear.from_float(made, engine="qrnn")
        quantized.set_weight_bias(codes, bias)
    except (TypeError, ValueError, RuntimeError) as error:
        raise FormatError(f"{where}: {error}") from error
    return quantized
