"""The choice of engine and instruction set for a new module.

An engine is the name of one arithmetic, whatever the instruction set. Both are chosen here when a
module is made, and the module keeps them: a call does not ask again.
"""

from __future__ import annotations

import os
from contextvars import ContextVar
from typing import Any

from . import _core

__all__ = [
    "check_engine",
    "check_engine_and_isa",
    "engine",
    "engine_shown",
    "isas",
    "resolve_engine",
    "resolve_isa",
]

_FIRST_ENGINE = "qrnn"
_default_engine: str = _FIRST_ENGINE
#: The engines of the ``with`` blocks that this thread or task is in, the innermost last.
_engines_here: ContextVar[tuple[str, ...]] = ContextVar("qrnn_engines", default=())
isa_of_environment: str | None = os.environ.get("QRNN_ISA") or None


#: Returns `name` if it is an engine's; otherwise raises TypeError or ValueError naming the argument.
check_engine = _core.check_engine_name


def default_engine() -> str:
    """The process's default engine."""
    return _default_engine


def set_default_engine(name: Any) -> None:
    """Set the process's default engine."""
    global _default_engine
    _default_engine = check_engine(name)


def engine_shown(name: str) -> list[str]:
    """What the repr of a quantized layer says about its engine: nothing if it is the initial default."""
    return [] if name == _FIRST_ENGINE else [f"engine={name}"]


def resolve_engine(name: Any = None) -> str:
    """The engine of a module that is made here and now with ``engine=name``."""
    return engine.current() if name is None else check_engine(name)


def resolve_isa(name: Any = None) -> str | None:
    """The instruction set of a new module: `name`, else ``QRNN_ISA``, else None (the best)."""
    if name is not None:
        return _core.check_isa(name)
    return None if isa_of_environment is None else _core.check_isa(isa_of_environment, "QRNN_ISA")


def check_engine_and_isa(engine: Any, isa: Any) -> None:
    """Raise TypeError or ValueError if the argument `engine` or `isa` is given but is not the name of one."""
    if engine is not None:
        check_engine(engine)
    resolve_isa(isa)


def isas() -> tuple[str, ...]:
    """Instruction sets that this CPU runs, from ``"scalar"`` to the best.

    All of them give the same bits. A new module uses the last, unless the environment variable
    ``QRNN_ISA`` (read once, at import) or the argument ``isa=`` names another.

    Returns
    -------
    tuple of str

    Examples
    --------
    >>> import qrnn
    >>> qrnn.isas()[0]
    'scalar'
    """
    return _core.isas()


class engine:
    """Make modules of one engine inside a ``with`` block.

    It overrides ``qrnn.backends.quantized.engine``, but only for the current thread or asynchronous
    task. A module keeps the engine that it was made with.

    Parameters
    ----------
    name : str
        One of ``qrnn.backends.quantized.supported_engines``.

    Raises
    ------
    TypeError, ValueError
        If `name` is not the name of an engine.

    Examples
    --------
    >>> import qrnn
    >>> with qrnn.engine("fbgemm"):
    ...     cell = qrnn.RNNCell(4, 3)
    >>> cell.engine
    'fbgemm'
    >>> qrnn.engine.current()
    'qrnn'
    """

    def __init__(self, name: str) -> None:
        self._name = check_engine(name, "name")

    def __enter__(self) -> engine:
        _engines_here.set((*_engines_here.get(), self._name))
        return self

    def __exit__(self, *exc: object) -> None:
        _engines_here.set(_engines_here.get()[:-1])

    def __repr__(self) -> str:
        return f"qrnn.engine({self._name!r})"

    @staticmethod
    def current() -> str:
        """The engine of a module that is made here and now."""
        here = _engines_here.get()
        return here[-1] if here else _default_engine
