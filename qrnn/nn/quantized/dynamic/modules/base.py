"""What every dynamically quantized layer shares."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, TypeVar

from ..... import _arrays, _config, _quantize
from ....._qtensor import QTensor
from ....._types import dtype as _dtype
from ....._types import qint8
from ....modules.layer import (
    FloatLayer,
    Form,
    Layer,
    LayerShape,
    Matrix,
    Slot,
    commit_load,
    matrix_names,
    mismatch,
    new_matrices,
    overrides,
    planned,
    read_entry,
    slots,
)
from ....modules.module import LoadPlan
from ....modules.recurrent import RecurrentLayer

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["QuantizedLayer", "QuantizedRecurrent", "check_engine_has"]

Q = TypeVar("Q", bound="QuantizedLayer")


def check_engine_has(form: Form, engine: str) -> None:
    """Raise ValueError where `engine` is one of PyTorch's, and `form` is what PyTorch has not quantized."""
    if engine == "qrnn":
        return
    lacks = f"with engine {engine!r}, which has PyTorch's arithmetic alone: use engine 'qrnn'"
    if form.projection:
        raise ValueError(f"proj_size: expected 0 {lacks}")
    if form.kind == "gru_reset_before":
        raise ValueError(f"reset_after: expected True {lacks}")


class QuantizedLayer(Layer):
    """A layer with int8 weights whose inputs are quantized in each call.

    Subclasses say which float module they stand for: ours by `_float_type`, PyTorch's by the name
    of its class, so that PyTorch need not be imported.
    """

    _float_type: ClassVar[type[FloatLayer]]
    _torch_type: ClassVar[tuple[str, str]]  # (module, name)

    def _get_name(self) -> str:
        return f"DynamicQuantized{self._float_type.__name__}"

    # ---- making one

    def _pack_float(
        self, form: Form, engine: str, isa: str | None, matrices: list[Matrix], qconfig: Any = None
    ) -> None:
        """Quantize float `matrices` as engine and qconfig say, and pack them."""
        check_engine_has(form, engine)
        quantized = []
        for (name, _), matrix in zip(matrix_names(form), matrices, strict=True):
            codes, scale = _quantize.quantize_weight(matrix.weight, name, engine, qconfig)
            quantized.append(Matrix(codes, scale, matrix.bias))
        self._pack_matrices(form, engine, isa, quantized)

    def _fill(self, shape: LayerShape, engine: str | None, isa: str | None) -> None:
        """Pack new weights of `shape`."""
        self._pack_float(shape.form, _config.resolve_engine(engine), _config.resolve_isa(isa), new_matrices(shape))

    @classmethod
    def from_float(cls: type[Q], mod: Any, engine: str | None = None, isa: str | None = None) -> Q:
        """Quantize a float module.

        Parameters
        ----------
        mod : Module
            The float module of the same kind: of ``qrnn.nn``, or a single one of ``torch.nn``,
            which is read without importing PyTorch. A subclass that overrides neither ``forward``
            nor ``__call__`` counts as its base. Its weights are converted to float32 first. Its
            attribute ``qconfig``, ours or PyTorch's, says how they are quantized; where it has
            none or None, the engine's default is taken. A prepared module brings its engine along.
        engine : str, optional
            Default: the current one, see ``qrnn.engine``.
        isa : str, optional
            Default: ``QRNN_ISA``, else the best.

        Returns
        -------
        quantized module
            Of this class.

        Raises
        ------
        TypeError
            If `mod` is something else.
        ValueError
            If a weight or bias is not finite (naming it), or the qconfig asks for something else
            than symmetric int8.

        Examples
        --------
        >>> import qrnn
        >>> qrnn.RNNCell.from_float(qrnn.nn.RNNCell(4, 3, nonlinearity="relu"))
        DynamicQuantizedRNNCell(4, 3, nonlinearity=relu)
        """
        return cls._from_float(mod, getattr(mod, "qconfig", None), engine, isa)

    @classmethod
    def _from_float(cls: type[Q], mod: Any, qconfig: Any, engine: str | None, isa: str | None) -> Q:
        """`from_float` under `qconfig`, whatever the module's own is."""
        prepared = getattr(mod, "_prepared", None)
        if prepared is not None and isinstance(mod, cls._float_type):
            return prepared.convert(mod, cls, qconfig, engine, isa)  # type: ignore[no-any-return]
        matrices = cls._read_float(mod)
        form, engine = cls._form_of(mod), _config.resolve_engine(engine)
        new = cls.__new__(cls)
        new._adopt(mod)
        new._pack_float(form, engine, _config.resolve_isa(isa), matrices, qconfig)
        return new

    @classmethod
    def _read_float(cls, mod: Any) -> list[Matrix]:
        """The float matrices of `mod`, one of ours or of PyTorch's; TypeError for anything else."""
        if isinstance(mod, cls._float_type):
            if overrides(type(mod), cls._float_type):
                cls._refuse(mod, "which overrides forward or __call__")
            return mod._matrices()
        base = next((c for c in type(mod).__mro__ if (c.__module__, c.__name__) == cls._torch_type), None)
        if base is None:
            cls._refuse(mod)
        if overrides(type(mod), base) or "forward" in vars(mod):
            cls._refuse(mod, "which overrides forward or __call__")
        return cls._read_torch(mod)

    @classmethod
    def _read_torch(cls, mod: Any) -> list[Matrix]:
        """The float32 matrices of a single torch.nn module."""
        matrices = []
        for weight_name, bias_name in matrix_names(cls._form_of(mod)):
            bias = None if bias_name is None else getattr(mod, bias_name, None)
            matrices.append(
                Matrix(
                    _arrays.to_float32(getattr(mod, weight_name), weight_name),
                    None,
                    None if bias is None else _arrays.to_float32(bias, str(bias_name)),
                )
            )
        return matrices

    @classmethod
    def _refuse(cls, mod: Any, why: str = "") -> NoReturn:
        name = cls._float_type.__name__
        got = f"{type(mod).__module__}.{type(mod).__qualname__}"
        raise TypeError(
            f"mod: {cls.__name__}.from_float takes a qrnn.nn.{name} or a torch.nn.{name}, got {got}"
            + (f", {why}" if why else "")
        )

    # ---- weights

    @property
    def weight_dtype(self) -> _dtype:
        """`qrnn.qint8`."""
        return qint8

    def _assign(self, name: str, found: Slot, value: Any) -> None:
        raise AttributeError(f"{name}: a quantized module's weights and biases are set by set_weight_bias")

    def _qtensors(self) -> dict[str, QTensor]:
        return {name: QTensor(m.weight, m.scale) for name, _, m in self._named_matrices()}

    def get_weight(self) -> dict[str, QTensor]:
        """The weights by name, each a `QTensor`."""
        return self._qtensors()

    def get_bias(self) -> dict[str, NDArray[Any] | None]:
        """The biases by name: read-only float32 arrays, or None where there are none."""
        return self._biases()

    def _replace_all(self, weights: dict[str, Any], biases: dict[str, Any]) -> None:
        """Pack other weights and biases of the same shapes."""
        matrices = []
        absent = set()
        for name, bias_name, old in self._named_matrices():
            tensor, bias = QTensor.of(weights[name], name), None
            if tensor.shape != old.weight.shape:
                raise ValueError(f"{name}: expected shape {old.weight.shape}, got {tensor.shape}")
            if bias_name is not None:
                bias = biases[bias_name]
                absent.add(bias is None)
                if bias is not None:
                    bias = _arrays.to_weight(bias, bias_name, old.weight.shape[:1])
            scale = tensor.q_per_channel_scales() if tensor._scale.ndim else tensor._scale
            matrices.append(Matrix(tensor.int_repr(), scale, bias))
        if len(absent) > 1:
            names = " and ".join(self._biases())
            raise ValueError(f"expected {names} all given or all None")
        self._swap_in(self._packed(matrices))

    # ---- state

    def _state(self) -> dict[str, NDArray[Any]]:
        matrices, state = self._matrices(), {}
        for name, (index, what) in slots(self._form()).items():
            array = getattr(matrices[index], what)
            if array is not None:
                state[name] = array
            if what == "weight":
                state[f"{name}_scale"] = matrices[index].scale
        return state

    def _plan_load(self, prefix: str, plan: LoadPlan) -> None:
        matrices = planned(self, plan)
        before = list(matrices)
        for name, (index, what) in slots(self._form()).items():
            old = getattr(matrices[index], what)
            if what == "weight":
                matrices[index] = _read_weight(plan, prefix + name, matrices[index])
            elif old is not None:
                value = plan.take(prefix + name)
                bias = None if value is None else read_entry(plan, prefix + name, value, old.shape)
                if bias is not None:
                    matrices[index] = matrices[index]._replace(bias=bias)
        commit_load(self, before, matrices, prefix, plan)


class QuantizedRecurrent(RecurrentLayer, QuantizedLayer):
    """What quantized cells and sequences share: their real biases, which can be assigned."""

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            found = self._find(name)
            if found is None or found.what != "bias":
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
            array = self._unpack(*found)
            return None if array is None else _arrays.read_only(array)

    def _assign(self, name: str, found: Slot, value: Any) -> None:
        if found.what == "weight" or self._unpack(*found) is None:
            super()._assign(name, found, value)
        self._replace_all(self._qtensors(), {**self._biases(), name: value})

    def _weight_bias(self) -> dict[str, dict[str, Any]]:
        """``{"weight": get_weight(), "bias": get_bias()}``, as PyTorch's."""
        return {"weight": dict(self.get_weight()), "bias": dict(self.get_bias())}


def _read_weight(plan: LoadPlan, key: str, old: Matrix) -> Matrix:
    """`old` with the codes and the scale that the load brings, or as it is."""
    codes, scale = plan.take(key), plan.take(f"{key}_scale")
    if codes is not None:
        codes = _read_codes(plan, key, codes, old.weight.shape)
    if scale is not None:
        scale = _read_scale(plan, f"{key}_scale", scale, len(old.weight))
    if codes is not None and scale is not None:
        return old._replace(weight=codes, scale=scale)
    if (codes is None) != (scale is None) and not plan.errors:
        plan.errors.append(f"{key} and {key}_scale go together: got only one of them.")
    return old


def _read_codes(plan: LoadPlan, key: str, value: Any, shape: tuple[int, ...]) -> NDArray[Any] | None:
    try:
        array = _arrays.to_numpy(value, key)
        if array.shape != shape:
            plan.errors.append(mismatch(key, array.shape, shape))
            return None
        return _arrays.to_codes(array, key)
    except (TypeError, ValueError) as error:
        plan.errors.append(str(error))
        return None


def _read_scale(plan: LoadPlan, key: str, value: Any, rows: int) -> NDArray[Any] | None:
    try:
        return _arrays.to_scale(value, key, rows)
    except (TypeError, ValueError) as error:
        plan.errors.append(str(error))
        return None
