"""What every dynamically quantised layer shares."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, TypeVar

from ..... import _arrays, _config, _quantise
from ....._qtensor import QTensor
from ....modules.layer import (
    FloatLayer,
    Layer,
    LayerShape,
    Matrix,
    commit_load,
    mismatch,
    new_matrices,
    overrides,
    read_entry,
)
from ....modules.module import LoadPlan

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["QuantisedLayer"]

Q = TypeVar("Q", bound="QuantisedLayer")


class QuantisedLayer(Layer):
    """A layer with int8 weights whose inputs are quantised in each call.

    Subclasses say which float module they stand for: ours by `_float_type`, PyTorch's by the name
    of its class, so that PyTorch need not be imported.
    """

    _float_type: ClassVar[type[FloatLayer]]
    _torch_type: ClassVar[tuple[str, str]]  # (module, name)

    def _get_name(self) -> str:
        return f"DynamicQuantized{self._float_type.__name__}"

    # ---- making one

    def _pack_float(
        self, kind: str, engine: str, isa: str | None, matrices: list[Matrix], qconfig: Any = None
    ) -> None:
        """Quantise float `matrices` as engine and qconfig say, and pack them."""
        quantised = []
        for (name, _), matrix in zip(self._parameter_names(), matrices, strict=True):
            codes, scale = _quantise.quantise_weight(matrix.weight, name, engine, qconfig)
            quantised.append(Matrix(codes, scale, matrix.bias))
        self._pack_matrices(kind, engine, isa, quantised)

    def _fill(self, shape: LayerShape, engine: str | None, isa: str | None) -> None:
        """Pack new weights of `shape`."""
        self._pack_float(
            shape.kind, _config.resolve_engine(engine), _config.resolve_isa(isa), new_matrices(shape)
        )

    @classmethod
    def from_float(cls: type[Q], mod: Any, engine: str | None = None, isa: str | None = None) -> Q:
        """Quantise a float module.

        Parameters
        ----------
        mod : Module
            The float module of the same kind: of ``qrnn.nn``, or a single one of ``torch.nn``,
            which is read without importing PyTorch. A subclass that overrides neither ``forward``
            nor ``__call__`` counts as its base. Its weights are converted to float32 first. Its
            attribute ``qconfig``, ours or PyTorch's, says how they are quantised; where it has
            none or None, the engine's default is taken. A prepared module brings its engine along.
        engine : str, optional
            Default: the current one, see ``qrnn.engine``.
        isa : str, optional
            Default: ``QRNN_ISA``, else the best.

        Returns
        -------
        quantised module
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
        kind, engine = cls._kind_of(mod), _config.resolve_engine(engine)
        new = cls.__new__(cls)
        new._adopt(mod)
        new._pack_float(kind, engine, _config.resolve_isa(isa), matrices, qconfig)
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
        for weight_name, bias_name in cls._torch_parameter_names(mod):
            weight, bias = getattr(mod, weight_name), getattr(mod, bias_name)
            matrices.append(
                Matrix(
                    _arrays.to_float32(weight, weight_name),
                    None,
                    None if bias is None else _arrays.to_float32(bias, bias_name),
                )
            )
        return matrices

    @classmethod
    def _torch_parameter_names(cls, mod: Any) -> tuple[tuple[str, str], ...]:
        """(weight, bias) of each matrix of a torch.nn module, in the core's order."""
        return cls.__new__(cls)._parameter_names()

    @classmethod
    def _refuse(cls, mod: Any, why: str = "") -> NoReturn:
        name = cls._float_type.__name__
        got = f"{type(mod).__module__}.{type(mod).__qualname__}"
        raise TypeError(
            f"mod: {cls.__name__}.from_float takes a qrnn.nn.{name} or a torch.nn.{name}, got {got}"
            + (f", {why}" if why else "")
        )

    @classmethod
    def _kind_of(cls, module: Any) -> str:
        """The core's kind for a float module, ours or PyTorch's."""
        raise NotImplementedError

    # ---- weights

    def _assign(self, name: str, found: tuple[int, str], value: Any) -> None:
        raise AttributeError(f"{name}: a quantised module's weights and biases are set by set_weight_bias")

    def _qtensors(self) -> dict[str, QTensor]:
        return {name: QTensor(m.weight, m.scale) for name, _, m in self._named_matrices()}

    def _biases(self) -> dict[str, NDArray[Any] | None]:
        biases = {}
        for index, (_, name) in enumerate(self._parameter_names()):
            array = self._unpack(index, "bias")
            biases[name] = None if array is None else _arrays.read_only(array)
        return biases

    def get_weight(self) -> dict[str, QTensor]:
        """The weights by name, each a `QTensor`."""
        return self._qtensors()

    def get_bias(self) -> dict[str, NDArray[Any] | None]:
        """The biases by name: read-only float32 arrays, or None where there are none."""
        return self._biases()

    def _replace_all(self, weights: dict[str, Any], biases: dict[str, Any]) -> None:
        """Pack other weights and biases of the same shapes."""
        matrices = []
        for name, bias_name, old in self._named_matrices():
            tensor, bias = QTensor.of(weights[name], name), biases[bias_name]
            if tensor.shape != old.weight.shape:
                raise ValueError(f"{name}: expected shape {old.weight.shape}, got {tensor.shape}")
            if bias is not None:
                bias = _arrays.to_weight(bias, bias_name, old.weight.shape[:1])
            scale = tensor.q_per_channel_scales() if tensor._scale.ndim else tensor._scale
            matrices.append(Matrix(tensor.int_repr(), scale, bias))
        if len({matrix.bias is None for matrix in matrices}) > 1:
            names = " and ".join(name for _, name in self._parameter_names())
            raise ValueError(f"expected {names} all given or all None")
        self._share(self._packed(matrices))

    # ---- state

    def _state(self) -> dict[str, NDArray[Any]]:
        named = self._named_matrices()
        state: dict[str, Any] = {}
        for name, _, matrix in named:
            state[name], state[f"{name}_scale"] = matrix.weight, matrix.scale
        for _, name, matrix in named:
            if matrix.bias is not None:
                state[name] = matrix.bias
        return state

    def _plan_load(self, prefix: str, plan: LoadPlan) -> None:
        matrices = self._matrices()
        for index, (name, bias_name, old) in enumerate(self._named_matrices()):
            codes = plan.take(prefix + name)
            scale = plan.take(f"{prefix}{name}_scale")
            if codes is not None:
                codes = _read_codes(plan, prefix + name, codes, old.weight.shape)
            if scale is not None:
                scale = _read_scale(plan, f"{prefix}{name}_scale", scale, len(old.weight))
            if codes is not None and scale is not None:
                matrices[index] = matrices[index]._replace(weight=codes, scale=scale)
            elif (codes is None) != (scale is None) and not plan.errors:
                plan.errors.append(
                    f"{prefix}{name} and {prefix}{name}_scale go together: got only one of them."
                )
            if old.bias is not None:
                bias = plan.take(prefix + bias_name)
                if bias is not None:
                    bias = read_entry(plan, prefix + bias_name, bias, old.bias.shape)
                    matrices[index] = matrices[index]._replace(bias=bias)
        commit_load(self, matrices, prefix, plan)


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
