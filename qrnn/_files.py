"""`save` and `load`: models as safetensors files."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, overload

from . import _arrays
from ._module import Module

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["as_numpy", "checked_path", "load", "save"]

T = TypeVar("T")

#: The key of the metadata under which a file of ours says what its modules are.
_KEY = "qrnn"


def save(model: Any, path: str | os.PathLike[str]) -> None:
    """Write a model to a file of the safetensors format, which `load` and the package ``safetensors`` read.

    Parameters
    ----------
    model : Module, torch.nn.Module, or mapping of str to array_like
        For a model the file holds what ``state_dict`` returns, and a description of its modules. For a mapping it
        holds the arrays. Tensors of bfloat16 become float32.
    path : str or PathLike
        An existing file is replaced in one step, when all is on the disk.

    Raises
    ------
    TypeError
        If `model` is something else, or holds something that is not an array of real numbers.
    ValueError
        If such a file cannot hold a name or the type of an array, or if `path` exists and is not a regular file.
    OSError
        If `path` cannot be written; an existing file is then unchanged.

    Examples
    --------
    >>> import os, tempfile, qrnn
    >>> from qrnn import nn
    >>> model = qrnn.quantize_dynamic(nn.Sequential(nn.GRUCell(4, 3), nn.Tanh()))
    >>> path = os.path.join(tempfile.mkdtemp(), "model.safetensors")
    >>> qrnn.save(model, path)
    >>> qrnn.load(path)
    Sequential(
      (0): DynamicQuantizedGRUCell(4, 3)
      (1): Tanh()
    )
    """
    from . import _safetensors  # here and below, because no import of the package needs it
    from ._model_entries import entries_of, text_of_entries

    path = checked_path(path)
    if isinstance(model, Module) or _is_torch_module(model):
        state, metadata = model.state_dict(), {_KEY: text_of_entries(entries_of(model))}
    elif isinstance(model, Mapping):
        state, metadata = model, {}
    else:
        raise TypeError(f"model: expected a Module, a torch.nn.Module or a mapping, got {type(model).__name__}")
    for key in state:
        if not isinstance(key, str):
            raise TypeError(f"model: expected names that are str, got {type(key).__name__}")
    arrays = {key: _arrays.to_numpy(value, key) for key, value in state.items()}
    _safetensors.write(path, arrays, metadata)


@overload
def load(path: str | os.PathLike[str], into: None = None) -> Any: ...
@overload
def load(path: str | os.PathLike[str], into: T) -> T: ...
def load(path: str | os.PathLike[str], into: Any = None) -> Any:
    """Read a model from a file that `save` wrote, or the arrays of any file of the safetensors format.

    Nothing in a file is executed. Weights are packed for the CPU that loads them; no random number is drawn.

    Parameters
    ----------
    path : str or PathLike
    into : Module or torch.nn.Module, optional
        Load into this model, which has the modules and names that were saved. Needed if it has your own classes.

    Returns
    -------
    Module or dict of str to ndarray
        `into` if it is given. Else a model of ``qrnn.nn``, even if one of PyTorch was saved; or, if the file does not
        describe its modules, the arrays as a state dict, bfloat16 as float32.

    Raises
    ------
    FormatError
        If the file is cut short, changed, of another format or of a later version; or if `into` is not given and the
        file has modules that qrnn cannot make by itself.
    RuntimeError
        If the file does not fit `into`. The text names all that is missing, unexpected, or of another shape, kind or
        engine. A model of ``qrnn.nn`` is unchanged then.
    TypeError
        If `into` is not a model.
    OSError
        If the file cannot be read.

    Examples
    --------
    >>> import os, tempfile, qrnn
    >>> from qrnn import nn
    >>> class Model(nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.cell = nn.LSTMCell(4, 3)
    ...     def forward(self, x):
    ...         return self.cell(x)[0]
    >>> path = os.path.join(tempfile.mkdtemp(), "model.safetensors")
    >>> qrnn.save(Model(), path)
    >>> model = qrnn.load(path, into=Model())
    >>> try:
    ...     qrnn.load(path, into=nn.Sequential(nn.Linear(4, 3)))
    ... except RuntimeError as error:
    ...     print(str(error).expandtabs(4))
    Error(s) in loading state_dict for Sequential:
        Missing key(s) in state_dict: "0.weight", "0.bias".
        Unexpected key(s) in state_dict: "cell.weight_ih", "cell.weight_hh", "cell.bias_ih", "cell.bias_hh".
    """
    from . import _safetensors

    if not (into is None or isinstance(into, Module) or _is_torch_module(into)):
        raise TypeError(f"into: expected a Module or a torch.nn.Module, got {type(into).__name__}")
    path = checked_path(path)
    state, metadata = _safetensors.read(path)
    if _KEY not in metadata:
        if into is not None:
            _load_into(into, state, [])
        return state if into is None else into
    from ._format_error import FormatError
    from ._model_entries import entries_of_text
    from ._rebuilding import rebuilt
    from ._saved_reports import keep_reports, reports_of

    try:
        entries = entries_of_text(metadata[_KEY])
        if into is None:
            return rebuilt(entries, state)
        reports = reports_of(entries)
    except FormatError as error:
        raise FormatError(f"{path}: {error}") from None
    _load_into(into, state, entries)
    if isinstance(into, Module):
        keep_reports(into, reports)
    return into


def _load_into(model: Any, state: Mapping[str, NDArray[Any]], entries: list[tuple[str, dict[str, Any]]]) -> None:
    from ._loading import LoadPlan
    from ._model_entries import misfits

    wrong = misfits(entries, model, state) if entries else []
    if isinstance(model, Module):
        plan = LoadPlan(state)
        plan.errors += wrong
        model._plan_all("", plan)
        plan.finish(type(model).__name__, True)
        return
    hook = model._register_load_state_dict_pre_hook(lambda *arguments: arguments[-1].extend(wrong))
    try:
        model.load_state_dict({key: sys.modules["torch"].from_numpy(value) for key, value in state.items()})
    finally:
        hook.remove()


def as_numpy(model: Any) -> Module:
    """`model`; a model of PyTorch is converted as by `save` and `load`.

    Raises
    ------
    ValueError
        If it has modules that ``qrnn.nn`` lacks.
    """
    if isinstance(model, Module):
        return model
    from ._format_error import FormatError
    from ._model_entries import entries_of
    from ._rebuilding import rebuilt

    state = {key: _arrays.to_numpy(value, key) for key, value in model.state_dict().items()}
    try:
        return rebuilt(entries_of(model), state)
    except FormatError as error:
        raise ValueError(f"model: expected modules that qrnn.nn has too: {error}") from None


def checked_path(path: Any) -> str:
    """The argument `path` as a str; TypeError if it is not a path."""
    try:
        checked = os.fspath(path)
    except TypeError:
        raise TypeError(f"path: expected a str or a PathLike, got {type(path).__name__}") from None
    return os.fsdecode(checked)


def _is_torch_module(obj: Any) -> bool:
    """Whether `obj` is a module of PyTorch. Does not import PyTorch."""
    module = getattr(getattr(sys.modules.get("torch"), "nn", None), "Module", None)
    return module is not None and isinstance(obj, module)
