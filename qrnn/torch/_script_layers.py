"""`recurrent_layers`: reads the recurrent layers of a TorchScript module as float32 layers of ``qrnn.nn``."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import torch

from .. import _arrays
from .. import nn as numpy_nn
from .._format_error import FormatError

__all__ = ["recurrent_layers"]

#: The operators of recurrent layers: the class, and arguments that only this operator implies.
_OPERATORS: Mapping[str, tuple[str, dict[str, Any]]] = {
    "aten::lstm": ("LSTM", {}),
    "aten::gru": ("GRU", {}),
    "aten::rnn_tanh": ("RNN", {}),
    "aten::rnn_relu": ("RNN", {"nonlinearity": "relu"}),
    "aten::lstm_cell": ("LSTMCell", {}),
    "aten::gru_cell": ("GRUCell", {}),
    "aten::rnn_tanh_cell": ("RNNCell", {}),
    "aten::rnn_relu_cell": ("RNNCell", {"nonlinearity": "relu"}),
}
#: Rows of W_ih for each hidden unit.
_GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
#: The names of a layer's options, and of the operator's arguments.
_OPTIONS = {
    "num_layers": "num_layers",
    "bias": "has_biases",
    "batch_first": "batch_first",
    "dropout": "dropout",
    "bidirectional": "bidirectional",
}
#: The beginnings of names of quantized operators, whose weights are packed.
_PACKED = ("aten::quantized_", "quantized::")

#: A pattern for names of constants in frozen modules: "self.rnn.weight_ih_l0", with a number after loading from a file.
_OF_A_CONSTANT = re.compile(r"^self\.(.*?)(\.\d+)?$")
_OF_A_CELL = re.compile(r"__torch__\.torch\.nn\.modules\.rnn\.(?:___torch_mangle_\d+\.)?(RNNCell|LSTMCell|GRUCell)")
_GENERATED = re.compile(r"c\d+|CONSTANTS\.\w+")


def recurrent_layers(script: torch.nn.Module) -> dict[str, Any]:
    """Read the recurrent layers that a TorchScript module calls, as float32 layers of ``qrnn.nn``.

    Parameters
    ----------
    script : torch.jit.ScriptModule
        From ``torch.jit.script``, ``torch.jit.trace`` or ``torch.jit.load``, frozen or not. Its programs are read, but
        not executed; ``torch.jit.load``, which you call, does execute what a file says.

    Returns
    -------
    dict of str to RNN, GRU, LSTM, RNNCell, GRUCell or LSTMCell
        The layers by the names of the submodules that hold the weights. A frozen module has no submodules: there by
        the names that its constants kept, else by those of the operators. `num_layers`, `bias`, `batch_first`,
        `dropout`, `bidirectional` and `proj_size` are those of the calls. Empty if no layer is called. A cell in a
        frozen trace is not found, because only sums and products are left of it.

    Raises
    ------
    TypeError
        If `script` is not a ScriptModule.
    FormatError
        If a layer cannot be read, because its weights are computed in the program or quantized, or it is called with
        options that are not constants. The text names all such layers.

    Examples
    --------
    >>> import torch, qrnn, qrnn.torch
    >>> class Model(torch.nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.rnn = torch.nn.GRU(4, 3, batch_first=True)
    ...     def forward(self, x):
    ...         return self.rnn(x)[0]
    >>> layers = qrnn.torch.recurrent_layers(torch.jit.script(Model()))
    >>> layers
    {'rnn': GRU(4, 3, batch_first=True)}
    >>> qrnn.quantize_dynamic(layers["rnn"])
    DynamicQuantizedGRU(4, 3, batch_first=True)
    """
    if not isinstance(script, torch.jit.ScriptModule):
        raise TypeError(f"script: expected a torch.jit.ScriptModule, got {type(script).__name__}")
    found: dict[str, _Found] = {}
    wrong: list[str] = []
    for new in _read_calls(script, wrong):
        name = new.names[0]
        if name in found and not _share(found[name], new):
            name = new.names[1]
        known = found.get(name, new)  # a packed sequence does not tell batch_first, a tensor does
        found[name] = known._replace(options={**new.options, **known.options})
    if wrong:
        raise FormatError("; ".join(dict.fromkeys(wrong)))
    return {name: _layer(name, each) for name, each in found.items()}


class _Found(NamedTuple):
    """A layer that a program calls."""

    operator: str
    weights: list[Any]  # tensors, in the order of the parameters
    options: dict[str, Any]
    names: tuple[str, str]  # of the module with its weights, and of the first weight


def _share(one: _Found, other: _Found) -> bool:
    """Whether two calls have the same weights."""
    pairs = list(zip(one.weights, other.weights))
    return len(one.weights) == len(other.weights) and all(
        a is b or (a.data_ptr() == b.data_ptr() and a.shape == b.shape) for a, b in pairs
    )


class _Program:
    """A method of a module, with the methods that it calls inlined."""

    def __init__(self, path: str, module: Any, method: str) -> None:
        self._path, self._module = path, module
        self._graph = module._c._get_method(method).graph.copy()
        torch._C._jit_pass_inline(self._graph)
        self._itself = next(self._graph.inputs()).debugName()

    def calls(self) -> Iterator[Any]:
        """The nodes that are recurrent layers."""
        for node in self._nodes(self._graph):
            kind = node.kind()
            if kind in _OPERATORS or (
                kind.startswith(_PACKED) and any(word in kind for word in ("lstm", "gru", "rnn"))
            ):
                yield node

    def _nodes(self, block: Any) -> Iterator[Any]:
        """The nodes of a block and of blocks inside it; of a branch on a constant, only the taken side."""
        for node in block.nodes():
            yield node
            blocks = list(node.blocks())
            taken = self._taken(node) if node.kind() == "prim::If" else None
            for inner in blocks if taken is None else blocks[:1] if taken else blocks[1:]:
                yield from self._nodes(inner)

    def _taken(self, node: Any) -> bool | None:
        """Whether a branch is taken; None if unknown."""
        condition = node.inputsAt(0).node()
        try:
            if condition.kind() == "aten::eq":
                one, other = (self.constant(each, "")[0] for each in condition.inputs())
                return bool(one == other) if isinstance(one, str) and isinstance(other, str) else None
        except FormatError:
            pass
        return None

    def read(self, node: Any) -> _Found:
        """Weights and options of a recurrent layer.

        Raises
        ------
        FormatError
            If one of them is neither a constant nor an attribute.
        """
        kind = node.kind()
        where = f"{self._path}: {kind}" if self._path else kind
        if kind not in _OPERATORS:
            raise FormatError(f"{where}: expected float weights, got packed ones")
        schema = torch._C.parse_schema(node.schema())
        arguments = dict(zip((each.name for each in schema.arguments), node.inputs()))

        def constant(argument: str) -> tuple[Any, str]:
            return self.constant(arguments[argument], f"{where}: {argument}")

        if kind.endswith("_cell"):
            read = [constant(name) for name in ("w_ih", "w_hh", "b_ih", "b_hh")]
            weights, options = [value for value, _ in read if value is not None], {}
            name = read[0][1]
        else:
            weights, name = constant("params")
            options = {ours: constant(theirs)[0] for ours, theirs in _OPTIONS.items() if theirs in arguments}
        for each in weights:
            if not isinstance(each, torch.Tensor):
                raise FormatError(f"{where}: expected tensors, got {type(each).__name__}")
        return _Found(kind, list(weights), options, _names(name, kind))

    def constant(self, value: Any, where: str) -> tuple[Any, str]:
        """The constant or attribute for `value`, and its name.

        Raises
        ------
        FormatError
            If it is neither a constant nor an attribute.
        """
        node = value.node()
        kind = node.kind()
        if value.debugName() == self._itself:
            return self._module, self._path
        if kind == "prim::Constant":
            return value.toIValue(), value.debugName()
        if kind == "prim::GetAttr":
            owner, path = self.constant(node.inputsAt(0), where)
            name = node.s("name")
            return getattr(owner, name), f"{path}.{name}" if path else name
        if kind == "prim::unchecked_cast":
            return self.constant(node.inputsAt(0), where)
        if kind == "prim::ListConstruct":
            parts = [self.constant(each, where) for each in node.inputs()]
            return [each for each, _ in parts], parts[0][1] if parts else ""
        raise FormatError(f"{where}: expected a parameter or a constant, got {kind}")


def _read_calls(script: Any, wrong: list[str]) -> Iterator[_Found]:
    """The layers that the methods of a module and its submodules call; errors are added to `wrong`."""
    for path, module in script.named_modules():
        if not isinstance(module, torch.jit.ScriptModule):
            continue
        for method in module._c._method_names():
            program = _Program(path, module, method)
            for node in program.calls():
                try:
                    yield program.read(node)
                except FormatError as error:
                    wrong.append(str(error))
        cell = _OF_A_CELL.fullmatch(module._c._type().qualified_name())
        if cell and module._c._has_method("forward"):
            yield _traced_cell(path, module, cell[1])


def _traced_cell(path: str, module: Any, class_name: str) -> _Found:
    """A former cell of ``torch.nn``, for which a trace has sums and products instead of one operator."""
    operator = {"LSTMCell": "aten::lstm_cell", "GRUCell": "aten::gru_cell"}.get(class_name)
    if operator is None:
        kinds = {node.kind() for node in module._c._get_method("forward").graph.nodes()}
        operator = "aten::rnn_tanh_cell" if kinds & {"aten::tanh", "aten::tanh_"} else "aten::rnn_relu_cell"
    named = dict(module.named_parameters())
    weights = [named[name] for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh") if name in named]
    return _Found(operator, weights, {}, (path, f"{path}.weight_ih" if path else "weight_ih"))


def _names(name: str, kind: str) -> tuple[str, str]:
    """The names of the module with the weight `name` and of the weight; the operator if a constant kept no name."""
    name = _OF_A_CONSTANT.sub(r"\1", name)
    if not name or name.isdecimal() or _GENERATED.fullmatch(name):
        operator = kind.removeprefix("aten::")
        return operator, f"{operator}.{name}"
    return name.rpartition(".")[0], name


def _layer(name: str, found: _Found) -> Any:
    """The float layer of ``qrnn.nn``."""
    class_name, options = _OPERATORS[found.operator]
    options = {**options, **found.options}
    where = name or class_name
    try:
        arrays = [_arrays.to_floats(each, where) for each in found.weights]
        rows, columns = arrays[0].shape
        hidden = rows // _GATES[class_name.removesuffix("Cell")]
        if class_name.endswith("Cell"):
            options["bias"] = len(arrays) > 2
        elif class_name == "LSTM" and arrays[1].shape[1] != hidden:
            options["proj_size"] = arrays[1].shape[1]
        layer = getattr(numpy_nn, class_name)(columns, hidden, **options)
        layer.load_state_dict(dict(zip(layer.state_dict(), arrays, strict=True)))
    except (TypeError, ValueError, RuntimeError) as error:
        raise FormatError(f"{where}: {error}") from error
    return layer
