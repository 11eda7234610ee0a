"""A model as the text of a C header: the modules that a frame goes through, and the sizes of frames."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from . import nn
from ._c_header import Placed, header_text
from ._c_parts import MADE_IN_C
from ._module import Module
from ._module_rows import reader_kind
from ._numpy_framework import NUMPY
from ._own import class_adds
from ._streamed import form_of

__all__ = ["model_text"]


def model_text(model: Module, name: str, file: str) -> str:
    """The header `file` of `model`, with names that begin with `name`; ValueError naming a module without C code."""
    parts = list(_placed(_frames("", model)))
    if not parts:
        raise ValueError("model: expected one with a layer in it, got an empty one")
    return header_text(name, file, parts)


def _frames(name: str, module: Module) -> Iterator[tuple[str, Module]]:
    """Names and modules that a frame goes through, in order."""
    _expect_plain(name, module)
    children: Iterable[tuple[str, Module]]
    if isinstance(module, nn.Sequential):
        children = module._children()
    elif hasattr(module, "_frame_modules") and reader_kind(type(module)) is not None:
        children = module._frame_modules()
    elif next((cls for cls in type(module).__mro__ if cls in MADE_IN_C), None) is None:
        raise ValueError(
            f"model: expected a Sequential of the modules that a frame passes, got {_shown(name, module)}: put its "
            "modules into one"
        )
    else:
        yield name, module
        return
    for own, child in children:
        yield from _frames(f"{name}.{own}" if name else own, child)


def _shown(name: str, module: Module) -> str:
    return f"{name or 'the model'} ({type(module).__name__})"


def _expect_plain(name: str, module: Module) -> None:
    """Raise ValueError if `module` is prepared, has hooks, or is of a class that computes something else."""
    if NUMPY.prepared_engine(module) is not None:
        raise ValueError(f"model: expected one that is converted or float, got {name or 'the model'} prepared")
    if any(vars(module).get(hooks) for hooks in ("_forward_hooks", "_forward_pre_hooks")):
        raise ValueError(f"model: expected modules without hooks, got {_shown(name, module)} with some")
    base = next((cls for cls in type(module).__mro__ if cls in MADE_IN_C or cls is nn.Sequential), None)
    adds = None if base is None else class_adds(type(module), base)
    if adds is not None:
        raise ValueError(f"model: expected plain modules, got {_shown(name, module)}, which {adds}")


def _placed(frames: Iterator[tuple[str, Module]]) -> Iterator[Placed]:
    """The parts with the sizes of their frames."""
    size: int | None = None
    waiting: list[tuple[str, Module]] = []
    for name, module in frames:
        form_of(name, module)  # refuses a layer that reads backwards
        _expect_frames(name, module)
        base = next(cls for cls in type(module).__mro__ if cls in MADE_IN_C)
        part = MADE_IN_C[base](module)
        if part.by_index and (size is not None or waiting):
            raise ValueError(f"model: expected an Embedding at the beginning, got {_shown(name, module)} after others")
        if part.takes is None and size is None:
            waiting.append((name, module))
            continue
        if size is not None and part.takes not in (None, size):
            raise ValueError(
                f"model: expected frames of {part.takes} for {_shown(name, module)}, got those of {size} before it"
            )
        takes = part.takes if size is None else size
        assert takes is not None
        for early, each in waiting:
            yield Placed(early, repr(each), MADE_IN_C[type(each)](each), takes, takes)
        waiting = []
        size = takes if part.gives is None else part.gives
        yield Placed(name, repr(module), part, takes, size)
    if waiting:
        raise ValueError(f"model: expected a layer that says how long frames are, got {_shown(*waiting[0])} alone")


def _expect_frames(name: str, module: Module) -> None:
    """Raise ValueError if a module that NumPy computes works over other axes than that of a frame."""
    if isinstance(module, (nn.Softmax, nn.LogSoftmax)) and module.dim != -1:
        raise ValueError(f"model: expected dim=-1 of {_shown(name, module)}, got {module.dim}")
    if isinstance(module, nn.LayerNorm) and len(module.normalized_shape) != 1:
        raise ValueError(f"model: expected one dimension of {_shown(name, module)}, got {len(module.normalized_shape)}")
