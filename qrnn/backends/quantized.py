"""``qrnn.backends.quantized``: the process's default engine, as ``torch.backends.quantized``.

``engine`` can be read and assigned; assignment checks the name. ``supported_engines`` lists the
names. A module keeps the engine it was made with, whatever is assigned later. Inside
``with qrnn.engine(...)`` the engine of that block takes precedence over this default.

Examples
--------
>>> import qrnn
>>> qrnn.backends.quantized.engine
'qrnn'
>>> qrnn.backends.quantized.supported_engines
['qrnn', 'qrnn13', 'fbgemm', 'x86', 'qnnpack', 'onednn']
>>> qrnn.backends.quantized.engine = "fbgem"
Traceback (most recent call last):
ValueError: engine: expected one of qrnn, qrnn13, fbgemm, x86, qnnpack, onednn, got 'fbgem'
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING

from .. import _config, _core

__all__ = ["engine", "supported_engines"]

if TYPE_CHECKING:
    engine: str
    supported_engines: list[str]


class _Quantized(ModuleType):
    """This module's class: two of its attributes are properties."""

    @property
    def engine(self) -> str:
        return _config.default_engine()

    @engine.setter
    def engine(self, name: str) -> None:
        _config.set_default_engine(name)

    @property
    def supported_engines(self) -> list[str]:
        return list(_core.engines())


sys.modules[__name__].__class__ = _Quantized
