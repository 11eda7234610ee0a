"""The computing core, in C: see csrc/README.md."""

from typing import Any, Literal, TypeAlias, TypedDict, overload, type_check_only

import numpy as np
from numpy.typing import NDArray
from typing_extensions import disjoint_base

# Weight (float32 or int8), scale (float32, () or (rows,); None for float32 weights), bias.
_Parts: TypeAlias = tuple[NDArray[Any], NDArray[np.float32] | None, NDArray[np.float32] | None]
# The same with the name of the format of activations that it multiplies.
_Matrix: TypeAlias = _Parts | tuple[NDArray[Any], NDArray[np.float32] | None, NDArray[np.float32] | None, str]

@disjoint_base
class Module:
    """What computes: packed weights that can be called. The base class of every layer."""

    @property
    def kind(self) -> str: ...
    @property
    def engine(self) -> str: ...
    @property
    def isa(self) -> str: ...
    @property
    def nbytes(self) -> int: ...
    @property
    def input_size(self) -> int: ...
    @property
    def hidden_size(self) -> int: ...
    @property
    def proj_size(self) -> int: ...
    @property
    def num_layers(self) -> int: ...
    @property
    def num_directions(self) -> int: ...
    @property
    def batch_first(self) -> bool: ...
    @property
    def sequence(self) -> tuple[int, int, bool] | None: ...
    @property
    def options(self) -> tuple[Any, ...] | None: ...
    @property
    def has_bias(self) -> bool: ...
    def __call__(self, input: Any, hx: Any = None, *, lengths: Any = None, out: Any = None) -> Any: ...
    def forward(self, input: Any, hx: Any = None, *, lengths: Any = None, out: Any = None) -> Any: ...
    def _forward_layers(
        self, input: Any, hx: Any = None, *, lengths: Any = None, out: Any = None
    ) -> tuple[Any, NDArray[np.float32], NDArray[np.float32] | None, NDArray[np.float32]]: ...
    def _pack(
        self,
        kind: str,
        engine: str,
        isa: str | None,
        /,
        *matrices: _Matrix | None,
        sequence: tuple[int, int, bool] | None = None,
        options: tuple[Any, ...] | None = None,
    ) -> None: ...
    @overload
    def _unpack(self, index: int, what: Literal["activations"], /) -> str: ...
    @overload
    def _unpack(self, index: int, what: Literal["weight", "scale", "bias"], /) -> NDArray[Any] | None: ...
    def _take_packed(self, other: Module, /) -> None: ...

MAX_LAYERS: int
VERSION: str
COMPILER: str

@type_check_only
class _Kind(TypedDict):
    family: str
    gates: int
    states: int
    projects: bool
    resets_before: bool
    activations: tuple[str, ...]

@type_check_only
class _Engine(TypedDict):
    quantized: bool
    per_row: bool
    scale_per_row: bool
    projects: bool
    resets_before: bool
    options: bool
    activations: str

def kinds() -> dict[str, _Kind]: ...
def activations() -> dict[str, tuple[float | None, ...]]: ...
def engine_table() -> dict[str, _Engine]: ...
def matrices(
    kind: str,
    input_size: int,
    hidden_size: int,
    proj_size: int = 0,
    sequence: tuple[int, int, bool] | None = None,
    options: tuple[Any, ...] | None = None,
    /,
) -> tuple[tuple[str, str | None, int, int, bool], ...]: ...
def check_engine(kind: str, proj_size: int, engine: str, options: tuple[Any, ...] | None = None, /) -> None: ...
def check_engine_name(engine: Any, argument: str = "engine", /) -> str: ...
def check_isa(isa: Any, argument: str = "isa", /) -> str: ...
def check_call(
    kind: str,
    input_size: int,
    hidden_size: int,
    proj_size: int,
    sequence: tuple[int, int, bool] | None,
    input_shape: tuple[int, ...],
    state_shapes: tuple[tuple[int, ...], ...] | None = None,
    lengths: Any = None,
    engine: str = "qrnn",
    /,
) -> list[int] | None: ...
def split_state(kind: str, hx: Any, /) -> tuple[Any, ...]: ...
def isas() -> tuple[str, ...]: ...
def known_isas() -> tuple[str, ...]: ...
def engines() -> tuple[str, ...]: ...
def apply(name: str, x: Any, isa: str | None = None, out: NDArray[np.float32] | None = None) -> Any: ...
def set_num_threads(n: int, /) -> None: ...
def get_num_threads() -> int: ...
def _gates(
    module: Module, x: Any, hx: Any = None
) -> tuple[NDArray[np.int32] | None, NDArray[np.int32] | None, NDArray[np.float32]]: ...
def quantize(
    engine: str, v: Any, isa: str | None = None
) -> tuple[NDArray[np.int16], NDArray[np.float32], NDArray[np.int32]]: ...
def fake_quantize(engine: str, v: Any, isa: str | None = None) -> NDArray[np.float32]: ...
def add_moments(
    engine: str,
    v: Any,
    sums: tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]],
    isa: str | None = None,
    weights: Any = None,
) -> None: ...
