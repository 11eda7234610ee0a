"""The base of all dynamically quantized layers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, TypeVar

from . import _arrays, _config, _core
from ._belongs import belongs
from ._computed import computed_weights
from ._defaults import expect_defaults
from ._described import precisions_shown
from ._layer import FloatLayer, Layer, new_matrices
from ._matrices import Matrix, float_matrices, pack
from ._own import class_adds, float_module_adds
from ._precision import quantize_matrices
from ._preparation import without_trial
from ._qtensor import QTensor, replaced
from ._recurrent import RecurrentLayer, SequenceLayer
from ._spec import LayerSpec, Slot, is_torch_type, module_spec
from ._types import dtype as _dtype

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["QuantizedCell", "QuantizedLayer", "QuantizedSequence"]

Q = TypeVar("Q", bound="QuantizedLayer")


class QuantizedLayer(Layer):
    """A layer with int8 weights whose inputs are quantized in each call.

    The class of ``torch.nn`` that it replaces is known by the name of qrnn's float class, so PyTorch
    need not be imported.
    """

    #: The float class of qrnn; the decorator ``quantizes`` sets it.
    _float_type: ClassVar[type[FloatLayer]]

    def _get_name(self) -> str:
        return f"DynamicQuantized{self._float_type.__name__}"

    def _says_format(self) -> bool:
        return True

    def _options_shown(self) -> list[str]:
        return [*super()._options_shown(), *_config.engine_shown(self.engine), *precisions_shown(self._precisions)]

    # ---- making one

    def _hold_quantized(
        self, spec: LayerSpec, engine: str, isa: str | None, matrices: list[Matrix], qconfig: Any = None
    ) -> None:
        """Quantize float `matrices` as engine and qconfig say, and pack them."""
        _core.check_engine(spec.kind, spec.proj_size, engine, spec.variant)
        self._hold(spec, pack(spec, engine, isa, quantize_matrices(spec, matrices, engine, qconfig)))

    def _fill(self, spec: LayerSpec, engine: str | None, isa: str | None) -> None:
        """Pack new weights."""
        engine, isa = _config.resolve_engine(engine), _config.resolve_isa(isa)
        self._hold_quantized(spec, engine, isa, new_matrices(spec))

    @classmethod
    def from_float(
        cls: type[Q],
        mod: Any,
        use_precomputed_fake_quant: bool = False,
        *,
        engine: str | None = None,
        isa: str | None = None,
    ) -> Q:
        """Quantize a float module.

        Parameters
        ----------
        mod : Module
            A float module of the same kind, of ``qrnn.nn`` or of ``torch.nn``, which is read
            without importing PyTorch. A subclass counts as its base if it adds nothing but a
            constructor. Its weights are converted to float32 first. Its attribute ``qconfig``, of
            qrnn or PyTorch, says how they are quantized; without one, or with None, by the engine's
            default. A prepared module determines the engine.
        use_precomputed_fake_quant : False
            An argument of PyTorch's function, which qrnn does not need: ValueError for anything else.
        engine : str, optional
            Default: the current one, see ``qrnn.engine``.
        isa : str, optional
            Default: ``QRNN_ISA``, else the best.

        Returns
        -------
        quantized module
            A module of this class.

        Raises
        ------
        TypeError
            If `mod` is something else.
        ValueError
            If a weight or bias is not finite (the text names it), or the qconfig asks for something
            other than symmetric int8.

        Examples
        --------
        >>> import qrnn
        >>> qrnn.RNNCell.from_float(qrnn.nn.RNNCell(4, 3, nonlinearity="relu"))
        DynamicQuantizedRNNCell(4, 3, nonlinearity=relu)
        """
        expect_defaults(use_precomputed_fake_quant=use_precomputed_fake_quant)
        return without_trial(cls._from_float(mod, getattr(mod, "qconfig", None), engine, isa))

    @classmethod
    def _from_float(cls: type[Q], mod: Any, qconfig: Any, engine: str | None, isa: str | None) -> Q:
        """`from_float` with `qconfig` instead of the module's own."""
        prepared = getattr(mod, "_prepared", None)
        if prepared is not None and isinstance(mod, cls._float_type):
            return prepared.convert(mod, cls, qconfig, engine, isa)  # type: ignore[no-any-return]
        cls._expect_float(mod)
        spec = module_spec(cls._float_type.__name__, mod)
        computed = {} if isinstance(mod, _core.Module) else computed_weights(mod, spec).values
        matrices, engine = float_matrices(mod, spec, computed), _config.resolve_engine(engine)
        new = cls.__new__(cls)
        new._take_over(mod)
        new._hold_quantized(spec, engine, _config.resolve_isa(isa), matrices, qconfig)
        return new

    @classmethod
    def _expect_float(cls, mod: Any) -> None:
        """Raise TypeError unless `mod` is a float module that this class quantizes, of qrnn or PyTorch."""
        own = cls._float_type
        base = next((c for c in type(mod).__mro__ if c is own or is_torch_type(c, own.__name__)), None)
        if base is None:
            cls._refuse(mod)
        adds = class_adds(type(mod), base) if base is own else float_module_adds(mod, base)
        if adds is not None:
            cls._refuse(mod, f"which {adds}")

    @classmethod
    def _refuse(cls, mod: Any, why: str = "") -> NoReturn:
        name = cls._float_type.__name__
        got = f"{type(mod).__module__}.{type(mod).__qualname__}"
        raise TypeError(
            f"mod: {cls.__name__}.from_float takes a qrnn.nn.{name} or a torch.nn.{name}, got {got}"
            + (f", {why}" if why else belongs(mod))
        )

    # ---- weights

    @property
    def weight_dtype(self) -> _dtype:
        """`qrnn.qint8`; `qrnn.float32` for a layer whose matrices are all float."""
        return self._weight_type()

    def _assign(self, name: str, found: Slot, value: Any) -> None:
        raise AttributeError(f"{name}: a quantized module's weights and biases are set by set_weight_bias")

    def _weights(self) -> dict[str, Any]:
        named = zip(self._spec.matrices, self._matrices(), strict=True)
        return {
            each.weight: _arrays.read_only(weight) if scale is None else QTensor(weight, scale)
            for each, (weight, scale, *_) in named
        }

    def get_weight(self) -> dict[str, Any]:
        """The weights by name, each a `QTensor`; one that stays float is a read-only float32 array."""
        return self._weights()

    def get_bias(self) -> dict[str, NDArray[Any] | None]:
        """The biases by name: read-only float32 arrays, or None for those that do not exist."""
        return self._biases()

    def _replace_all(self, weights: dict[str, Any], biases: dict[str, Any]) -> None:
        """Pack other weights and biases of the same shapes."""
        self._swap_in(self._packed(replaced(self._spec, self._matrices(), weights, biases)))


class QuantizedRecurrent(RecurrentLayer, QuantizedLayer):
    """The base of quantized cells and sequences: their float biases can be assigned."""

    _attributes = ("bias",)

    def _assign(self, name: str, found: Slot, value: Any) -> None:
        if self._is_added(found):
            self._assign_floats(name, found, value)
            return
        if found.what == "weight" or self._unpack(*found) is None:
            super()._assign(name, found, value)
        self._replace_all(self._weights(), {**self._biases(), name: value})

    def _weight_bias(self) -> dict[str, dict[str, Any]]:
        """``{"weight": get_weight(), "bias": get_bias()}``, as PyTorch's."""
        return {"weight": dict(self.get_weight()), "bias": dict(self.get_bias())}


class QuantizedCell(QuantizedRecurrent):
    """The base of quantized cells."""

    bias_ih: NDArray[Any] | None
    bias_hh: NDArray[Any] | None

    def set_weight_bias(self, weight_bias_dict: Mapping[str, Mapping[str, Any]]) -> None:
        """Replace all weights and biases.

        Parameters
        ----------
        weight_bias_dict : dict
            ``{"weight": {name: QTensor}, "bias": {name: array_like or None}}``, as `_weight_bias`
            returns. Quantized torch tensors are accepted too; a weight that stays float is array_like.

        Raises
        ------
        KeyError
            If a name is missing.
        TypeError, ValueError
            If a value does not fit. In each case nothing has changed.
        """
        if not isinstance(weight_bias_dict, Mapping):
            raise TypeError(f"weight_bias_dict: expected a dict, got {type(weight_bias_dict).__name__}")
        self._replace_all(dict(weight_bias_dict["weight"]), dict(weight_bias_dict["bias"]))


class QuantizedSequence(SequenceLayer, QuantizedRecurrent):
    """The base of quantized sequences."""

    dropout: float

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...  # bias_ih_l0, bias_hh_l1_reverse, ...

    @property
    def dtype(self) -> _dtype:
        """As `weight_dtype`."""
        return self._weight_type()

    def set_weight_bias(self, weight_bias_dict: Mapping[str, Any]) -> None:
        """Replace all weights and biases.

        Parameters
        ----------
        weight_bias_dict : dict
            ``{name: QTensor or array_like or None}``: weights and biases in one dict, as PyTorch's
            sequence modules take them, here ``{**rnn.get_weight(), **rnn.get_bias()}``. Quantized
            torch tensors are accepted too; a weight that stays float is array_like.

        Raises
        ------
        KeyError
            If a name is missing.
        TypeError, ValueError
            If a value does not fit. In each case nothing has changed.
        """
        flat = dict(weight_bias_dict)
        self._replace_all(flat, flat)
