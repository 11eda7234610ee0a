"""The description of PyTorch's modules, and of qrnn's modules for PyTorch, for the converter."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from copy import copy
from functools import partial
from typing import Any

import numpy as np
import torch
from torch.nn.modules.linear import NonDynamicallyQuantizableLinear

from .._contents import Content, contents
from .._framework import Framework, Row, Seer, register
from .._matrices import Matrix
from .._model_calls import ModelCalls
from .._own import float_module_adds
from .._stream_table import Form
from ._model_calls import hook_calls, unhook_calls
from ._modules import deep_copied, leave_hooks
from ._prepared import PreparedLayer
from ._quantized_layer import QuantizedLayer
from ._rows import ROWS
from ._streamed import form_of
from ._torch_ao import is_packed, packed_contents, packed_nbytes, quantized_by_torch_ao

__all__ = ["TORCH"]


class TorchFramework(Framework):
    """Modules of ``torch.nn`` and of ``qrnn.torch``."""

    module_type = torch.nn.Module
    module_name = "torch.nn.Module"
    quantized_base = QuantizedLayer
    rows = ROWS

    def find(self, module: Any) -> tuple[Row, type] | None:
        """As for every framework, except that the output projection of PyTorch's attention has no row.

        PyTorch reads its weight instead of calling it.
        """
        return None if isinstance(module, NonDynamicallyQuantizableLinear) else super().find(module)

    def _copied(self, model: Any, memo: dict[int, Any]) -> Any:
        return deep_copied(model, memo)

    def observe_calls(self, model: Any, calls: ModelCalls) -> None:
        super().observe_calls(model, calls)
        hook_calls(model, calls)

    def forget_calls(self, model: Any) -> None:
        super().forget_calls(model)
        unhook_calls(model)

    def replaced(self, new: Any) -> None:
        """Drop the hooks that computed weights of the module that `new` replaces."""
        leave_hooks(new)

    def children(self, module: Any) -> Iterable[tuple[str, Any]]:
        return ((name, child) for name, child in module._modules.items() if child is not None)

    def replace(self, parent: Any, name: str, child: Any) -> None:
        parent._modules[name] = child

    def stays(self, module: Any, base: type) -> str | None:
        return float_module_adds(module, base)

    def opaque(self, module: Any) -> str | None:
        if isinstance(module, torch.jit.ScriptModule):
            return "a ScriptModule is compiled already: quantize the model first, then trace it"
        return None

    def reads(self, above: Any, module: Any) -> bool:
        if isinstance(module, PreparedLayer):
            return False  # it was chosen, and its weight is a parameter
        if isinstance(above, torch.nn.TransformerEncoderLayer):
            return module is above.linear1 or module is above.linear2
        return isinstance(above, torch.nn.MultiheadAttention) and isinstance(module, NonDynamicallyQuantizableLinear)

    def why_float(self, module: Any) -> str:
        if isinstance(module, NonDynamicallyQuantizableLinear):
            return "attention reads its weight, which a quantized Linear lacks"
        return super().why_float(module)

    def left_for_convert(self, module: Any) -> bool:
        """Parametrized modules, whose weights are computed from other parameters."""
        return torch.nn.utils.parametrize.is_parametrized(module)

    @contextmanager
    def evaluating(self, model: Any) -> Iterator[None]:
        """Eval mode without gradients; afterwards every module gets its mode back."""
        modes = [(module, module.training) for module in model.modules()]
        model.eval()
        try:
            with torch.no_grad():
                yield
        finally:
            for module, training in modes:
                module.training = training

    def adapted(self, value: Any) -> Any:
        """Arrays as tensors, floats in PyTorch's default type; also inside of tuples, lists and dicts."""
        if isinstance(value, np.ndarray):
            kind = torch.get_default_dtype() if value.dtype.kind == "f" else None
            return torch.as_tensor(value.copy(), dtype=kind)
        if isinstance(value, dict):
            return {key: self.adapted(each) for key, each in value.items()}
        if type(value) in (tuple, list):
            return type(value)(self.adapted(each) for each in value)
        return value

    def contents(self, module: Any) -> list[Content]:
        """The parameters and buffers of a module itself, and the weights of a module of qrnn or ``torch.ao``."""
        if isinstance(module, QuantizedLayer):
            own = set(module._weight_names())
            return [*contents(module), *_arrays(each for each in _tensors(module) if each[0] not in own)]
        return [*_arrays(_tensors(module)), *packed_contents(module)]

    def of_others(self, model: Any) -> dict[str, Any]:
        theirs = quantized_by_torch_ao(model)
        return {} if theirs is None else {"torch.ao": theirs}

    def is_layer(self, module: Any) -> bool:
        return is_packed(module)

    def own_nbytes(self, module: Any) -> int | None:
        return _nbytes([each for _, each in _tensors(module)], [module])

    def nbytes(self, model: Any) -> int | None:
        return _nbytes([*model.parameters(), *model.buffers()], model.modules())

    @contextmanager
    def watching(self, model: Any, names: Collection[str], see: Seer) -> Iterator[Any]:
        """The model itself, with hooks while the context lasts."""
        with ExitStack() as stack:
            for name, module in model.named_modules():
                if name in names:
                    hook = partial(_tell, name, see)
                    stack.callback(module.register_forward_hook(hook, with_kwargs=True).remove)
            yield model

    def prepared_engine(self, module: Any) -> str | None:
        return module._prepared.engine if isinstance(module, PreparedLayer) else None

    def prepared(self, row: Row, module: Any, qconfig: Any, engine: str | None, isa: str | None) -> Any:
        return row.prepared_type._prepare(module, qconfig, engine, isa)

    def quantized(
        self, target: Any, module: Any, qconfig: Any, engine: str | None, isa: str | None, by_data: bool
    ) -> Any:
        return target._from_float(module, qconfig, engine, isa)

    def take_matrices(self, layer: Any, matrices: list[Matrix]) -> None:
        layer._hold(layer._spec, layer._engine, layer._isa, matrices)

    def copied_layer(self, layer: Any) -> Any:
        new = copy(layer)
        new._buffers, new._non_persistent_buffers_set = layer._buffers.copy(), layer._non_persistent_buffers_set.copy()
        return new

    def form(self, name: str, module: Any) -> Form | None:
        return form_of(name, module)


def _nbytes(tensors: Iterable[Any], modules: Iterable[Any]) -> int | None:
    """Bytes of tensors, and of codes, scales and biases that ``torch.ao`` keeps in C++ objects."""
    own = {id(each): each for each in tensors}
    total = int(sum(each.numel() * each.element_size() for each in own.values()))
    try:
        return total + sum(map(packed_nbytes, modules))
    except (TypeError, ValueError, RuntimeError):  # weights of another type than int8
        return None


def _tensors(module: Any) -> Iterator[tuple[str, Any]]:
    """Names and tensors that a module itself holds."""
    yield from module.named_parameters(recurse=False)
    yield from module.named_buffers(recurse=False)


def _arrays(tensors: Iterable[tuple[str, Any]]) -> list[Content]:
    """The description of tensors; matrices among them multiply floats."""
    found = ((name, tuple(each.shape), str(each.dtype).removeprefix("torch.")) for name, each in tensors)
    return [Content(*each, each[2] if each[0].startswith("weight") and len(each[1]) == 2 else "") for each in found]


def _tell(name: str, see: Seer, module: Any, args: Any, kwargs: Any, result: Any) -> None:
    """A forward hook."""
    see(name, module, args, kwargs, result)


TORCH = TorchFramework()
register(TORCH)
