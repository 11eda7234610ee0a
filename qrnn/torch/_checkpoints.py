"""`load_checkpoint`: reads the state dict in a file that ``torch.save`` wrote."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

import torch

from .._format_error import FormatError

__all__ = ["load_checkpoint"]

#: Keys under which training programs keep the state dict of a model, the clearest first.
_NESTS = ("state_dict", "model_state_dict", "model_state", "model", "module", "net", "network", "params", "weights")

#: The deepest nesting of dicts around a state dict; a dict in a file can contain itself.
_DEEPEST = 8

#: The most bytes of tensors for each byte of the file: a stride of 0 repeats one stored element any number of times.
_MAX_BYTES = 100

#: A pattern for the class or function that a file asks for, in the error text of ``torch.load``.
_REFUSED = re.compile(r"GLOBAL (\S+) was not")

#: Prefixes that PyTorch's wrappers, DataParallel and torch.compile, add to every name.
_PREFIXES = ("module.", "_orig_mod.")


def load_checkpoint(path: str | os.PathLike[str], key: str | None = None) -> dict[str, torch.Tensor]:
    """Read the state dict of a model in a ``.pt`` or ``.pth`` file, wherever the training program put it.

    Parameters
    ----------
    path : str or PathLike
        A file of ``torch.save``: a state dict, or dicts that contain one under names such as ``"model"`` or
        ``"state_dict"``. It is read with ``weights_only=True``, so nothing in it is executed.
    key : str, optional
        The name of the state dict, if a file has several or an unusual one: "encoder", or, with dots for nested
        dicts, "models.encoder".

    Returns
    -------
    dict of str to torch.Tensor
        Tensors on the CPU, for ``load_state_dict`` of a model of ``torch.nn``, ``qrnn.torch`` or ``qrnn.nn``. The
        prefixes ``module.`` and ``_orig_mod.`` are removed if all names have them.

    Raises
    ------
    FormatError
        If the file cannot be read in this way (a whole pickled model, a TorchScript archive), or has no state dict,
        or none under such a name, or tensors of more than 100 times its size. A file of the safetensors format is for
        ``qrnn.load``.
    OSError
        If there is no such file.

    Examples
    --------
    >>> import os, tempfile, torch, qrnn.torch
    >>> path = os.path.join(tempfile.mkdtemp(), "last.pt")
    >>> torch.save({"epoch": 3, "model": torch.nn.DataParallel(torch.nn.Linear(3, 2)).state_dict()}, path)
    >>> list(qrnn.torch.load_checkpoint(path))
    ['weight', 'bias']
    """
    with open(path, "rb"):
        pass  # errors of the path itself; torch.load raises OSError for what is in a file, too
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise FormatError(
            f"{path}: expected tensors in dicts, as torch.save writes them, got {_reason(error)}"
        ) from None
    state = _state(found) if key is None else _at(found, key)
    if state is None:
        keys = list(found) if isinstance(found, Mapping) else type(found).__name__
        expected = f"alone or under one of {', '.join(_NESTS)}" if key is None else f"under {key!r}"
        raise FormatError(f"{path}: expected a state dict, {expected}, got {keys!r:.200}")
    _expect_elements(path, state)
    for prefix in _PREFIXES:
        if all(name.startswith(prefix) for name in state):
            state = {name.removeprefix(prefix): value for name, value in state.items()}
    return state


def _reason(error: Exception) -> str:
    """What the file has, taken from the text of ``torch.load``, whose advice is to execute the file's contents."""
    text = str(error)
    if "TorchScript" in text:
        return "a TorchScript archive: qrnn.torch.recurrent_layers reads the module that torch.jit.load gives"
    found, line = _REFUSED.search(text), text.partition("\n")[0]
    return f"an object of {found[1]}" if found else f"another file ({type(error).__name__}: {line:.80})"


def _expect_elements(path: str | os.PathLike[str], state: Mapping[str, torch.Tensor]) -> None:
    """Raise FormatError if a tensor has no elements in the file, or all take more than this file may hold."""
    room = _MAX_BYTES * os.path.getsize(path)
    for name, value in state.items():
        room -= value.numel() * value.element_size()
        if value.device.type != "cpu" or room < 0 or min(value.shape, default=0) < 0:
            what = f"{tuple(value.shape)} on {value.device}"
            raise FormatError(f"{path}: {name}: expected a tensor whose elements are in the file, got {what:.200}")


def _at(found: Any, key: str) -> dict[str, torch.Tensor] | None:
    """The state dict under `key`, in which dots lead into nested dicts."""
    for name in key.split("."):
        found = found.get(name) if isinstance(found, Mapping) else None
    return _state(found)


def _state(found: Any, depth: int = 0) -> dict[str, torch.Tensor] | None:
    """The state dict that `found` is, or has under one of the known names."""
    if not isinstance(found, Mapping) or not found or depth > _DEEPEST:
        return None
    if all(isinstance(name, str) and isinstance(value, torch.Tensor) for name, value in found.items()):
        return dict(found)
    inner = (_state(found[name], depth + 1) for name in _NESTS if name in found)
    return next((state for state in inner if state is not None), None)
