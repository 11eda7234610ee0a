"""A node of a graph, with its attributes as plain values and its inputs under their names in the scope."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .._format_error import FormatError
from ._scope import Scope, expect_texts
from ._tensors import array_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Node", "Unsupported", "domain_of"]

#: The field of an AttributeProto that holds a value, by its type.
_FIELDS = {1: "f", 2: "i", 3: "s", 4: "t", 5: "g", 6: "floats", 7: "ints", 8: "strings", 10: "graphs"}


class Unsupported(Exception):
    """A node needs something that qrnn lacks; the text says what."""


def domain_of(name: str) -> str:
    """The short name of a domain of operators."""
    return "" if name == "ai.onnx" else name


class Node:
    """A node of a graph that is being read.

    Attributes
    ----------
    proto : onnx.NodeProto
    scope : Scope
    op_type, domain, name : str
        A node without a name gets that of the operator, with a number.
    inputs, outputs : list of str
        ``""`` for those that are left out.
    """

    def __init__(self, proto: Any, scope: Scope) -> None:
        expect_texts(scope.file.source.name, proto.name, proto.op_type, proto.domain, *proto.input, *proto.output)
        expect_texts(scope.file.source.name, *(each.name for each in proto.attribute))
        self.proto, self.scope = proto, scope
        self.op_type, self.domain = str(proto.op_type), domain_of(proto.domain)
        self.name = scope.file.unique(proto.name or self.op_type)
        scope.file.op_types[self.name] = self.op_type
        self.inputs = [scope.named(name) for name in proto.input]
        while self.inputs and not self.inputs[-1]:
            self.inputs.pop()
        self.outputs = list(proto.output)
        self._attributes = {each.name: each for each in proto.attribute}

    @property
    def where(self) -> str:
        """The name of the node in texts."""
        return f"{self.scope.where}{self.op_type} {self.name!r}"

    @property
    def opset(self) -> int:
        """The version of its operator's domain."""
        return self.scope.file.opsets.get(self.domain, 1)

    def constant(self, index: int) -> NDArray[Any] | None:
        """The input of this number, if it is given and constant."""
        return self.scope.find(self.inputs[index]) if self.given(index) else None

    def given(self, index: int) -> bool:
        """Whether the input of this number is given."""
        return index < len(self.inputs) and bool(self.inputs[index])

    def names(self) -> list[str]:
        """The names of its attributes."""
        return list(self._attributes)

    def attribute(self, name: str, default: Any = None) -> Any:
        """The value of an attribute: a number, a text, a list of them, an array or a GraphProto."""
        proto = self._attributes.get(name)
        if proto is None:
            return default
        field = _FIELDS.get(proto.type)
        if field is None or proto.ref_attr_name:
            raise FormatError(f"{self.where}: attribute {name}: expected a number, a text, a tensor or a graph")
        value = getattr(proto, field)
        if field == "t":
            array = array_of(value, f"{self.where}: {name}", self.scope.file.source.folder)
            self.scope.file.take(array.nbytes)
            return array
        if field in ("floats", "ints", "graphs"):
            return list(value)
        if field in ("s", "strings"):
            texts = [each.decode("utf-8", "replace") for each in ([value] if field == "s" else value)]
            return texts[0] if field == "s" else texts
        return value

    def number(self, name: str, default: Any) -> Any:
        """An attribute that is a number of the type of `default`."""
        value = self.attribute(name, default)
        if not isinstance(value, (int, float)) or (isinstance(default, int) and not isinstance(value, int)):
            raise FormatError(f"{self.where}: attribute {name}: expected a number, got {type(value).__name__}")
        return value

    def numbers(self, name: str, default: Any = None) -> list[int] | None:
        """An attribute that is a list of integers."""
        value = self.attribute(name, default)
        if value is not None and not (isinstance(value, list) and all(isinstance(each, int) for each in value)):
            raise FormatError(f"{self.where}: attribute {name}: expected integers, got {type(value).__name__}")
        return value

    def expect(self, *known: str) -> None:
        """Raise `Unsupported` if it has an attribute that is not in `known`."""
        for name in self._attributes:
            if name not in known:
                raise Unsupported(f"attribute {name}")
