"""Reads HDF5 files: groups, attributes and arrays. The bytes are not trusted.

It reads what h5py writes by default, and of later layouts what small groups need. Every address and size is compared
with the file's size, circles do not cause endless reading, and links to other files are refused. Addresses and lengths
have 8 bytes, numbers are little-endian.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from .._format_error import FormatError
from ._hdf5_bytes import NOWHERE, Bytes, padded
from ._hdf5_data import Array, Value, attribute_value, dataspace, datatype, layout

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["SIGNATURE", "Dataset", "Group", "opened"]

SIGNATURE = b"\x89HDF\r\n\x1a\n"

# Types of the messages that a header consists of.
_DATASPACE, _LINK_INFO, _DATATYPE, _EXTERNAL, _LINK, _LAYOUT, _FILTERS = 0x01, 0x02, 0x03, 0x07, 0x06, 0x08, 0x0B
_ATTRIBUTE, _CONTINUATION, _SYMBOL_TABLE, _ATTRIBUTE_INFO = 0x0C, 0x10, 0x11, 0x15

#: A bit of a message's flags: its content is stored elsewhere.
_SHARED = 2


class _Message(NamedTuple):
    kind: int
    flags: int
    start: int
    size: int


def opened(content: bytes) -> Group:
    """The root group of a file.

    Parameters
    ----------
    content : bytes
        The whole file. The format's signature is at its beginning, or at 512, 1024, 2048, ... .

    Raises
    ------
    FormatError
        If it is not such a file, or has a layout that is not supported.
    """
    start = 0
    while content[start : start + 8] != SIGNATURE:
        start = start * 2 or 512
        if start + 8 > len(content):
            raise FormatError("expected a file of HDF5, got no signature of HDF5")
    file = Bytes(content[start:] if start else content)
    version = file.number(8, 1)
    if version in (0, 1):
        sizes, root = file.take(13, 2), file.number(56 + 8 + (4 if version else 0), 8)
    elif version in (2, 3):
        sizes, root = file.take(9, 2), file.number(36, 8)
    else:
        raise FormatError(f"HDF5: expected a superblock of version 0 to 3, got {version}")
    if sizes != b"\x08\x08":
        raise FormatError(f"HDF5: expected addresses and lengths of 8 bytes, got {sizes[0]} and {sizes[1]}")
    return Group(file, "", root)


class _Object:
    """An object with a header: a group or an array."""

    def __init__(self, file: Bytes, name: str, address: int) -> None:
        self._file, self.name = file, name
        file.enter(address)
        self._attributes: dict[str, tuple[int, int, int, int]] | None = None
        version_1 = file.take(address, 4) != b"OHDR"
        self._messages = list(_messages_1(file, address) if version_1 else _messages_2(file, address))

    def _of_kind(self, kind: int) -> list[_Message]:
        found = [each for each in self._messages if each.kind == kind]
        if any(each.flags & _SHARED for each in found):
            raise FormatError(f"HDF5: {self.name or '/'}: expected its own header, got one that others share")
        return found

    def attribute(self, name: str) -> Value | None:
        """The attribute `name`: a text, a list of texts, or an array of numbers; None if there is none.

        Raises
        ------
        FormatError
            If it is of another type.
        """
        if self._of_kind(_ATTRIBUTE_INFO) and not self._of_kind(_ATTRIBUTE):
            info = self._of_kind(_ATTRIBUTE_INFO)[0]
            heap = self._file.number(info.start + (4 if self._file.number(info.start + 1, 1) & 1 else 2), 8)
            if heap != NOWHERE:
                raise FormatError(f"HDF5: {self.name or '/'}: expected attributes in its header, got them in a heap")
        if self._attributes is None:
            self._attributes = dict(_attribute(self._file, each) for each in self._of_kind(_ATTRIBUTE))
        if name not in self._attributes:
            return None
        try:
            return attribute_value(self._file, *self._attributes[name])
        except FormatError as error:
            raise FormatError(f"HDF5: {self.name or '/'}: attribute {name}: {error}") from None


class Group(_Object):
    """A group: arrays and groups by names."""

    def __init__(self, file: Bytes, name: str, address: int) -> None:
        super().__init__(file, name, address)
        self._links: dict[str, int | str] = {}
        self._found: dict[str, Group | Dataset] = {}
        for message in self._of_kind(_SYMBOL_TABLE):
            tree, heap = file.number(message.start, 8), file.number(message.start + 8, 8)
            self._links.update(_links_of_tree(file, tree, heap))
        for message in self._of_kind(_LINK):
            self._links.update([_link(file, message.start)])
        for message in self._of_kind(_LINK_INFO):
            at = message.start + (10 if file.number(message.start + 1, 1) & 1 else 2)
            if file.number(at, 8) != NOWHERE:
                raise FormatError(f"HDF5: {name or '/'}: expected links in its header or in a tree, got them in a heap")

    def names(self) -> list[str]:
        """The names of its arrays and groups."""
        return list(self._links)

    def find(self, path: str) -> Group | Dataset | None:
        """The object with the name `path`, which may be several names joined by "/"; None if there is none.

        Raises
        ------
        FormatError
            If it is a link by name, in this file or to another one.
        """
        place: Group | Dataset | None = self
        for part in filter(None, path.split("/")):
            if not isinstance(place, Group):
                return None
            place = place._child(part)
        return place

    def _child(self, name: str) -> Group | Dataset | None:
        target = self._links.get(name)
        if target is None or name in self._found:
            return self._found.get(name)
        full = f"{self.name}/{name}"
        if isinstance(target, str):
            raise FormatError(f"HDF5: {full}: expected it in this place, got {target}")
        dataset = Dataset(self._file, full, target)
        self._found[name] = dataset if dataset.is_array else Group(self._file, full, target)
        return self._found[name]


class Dataset(_Object):
    """An array with attributes."""

    @property
    def is_array(self) -> bool:
        """Whether the header is that of an array, and not of a group."""
        return any(each.kind == _LAYOUT for each in self._messages)

    def _described(self) -> Array:
        file = self._file
        if self._of_kind(_EXTERNAL):
            raise FormatError("expected numbers in this file, got them in another one")
        messages = []
        for kind, what in ((_DATASPACE, "shape"), (_DATATYPE, "type"), (_LAYOUT, "place")):
            found = self._of_kind(kind)
            if not found:
                raise FormatError(f"expected a {what}, got none")
            messages.append(found[0].start)
        filters = self._of_kind(_FILTERS)
        return layout(
            file,
            messages[2],
            dataspace(file, messages[0]),
            datatype(file, messages[1]),
            filters[0].start if filters else None,
        )

    @property
    def shape(self) -> tuple[int, ...]:
        """The sizes of the array, as they are declared."""
        return self._named(lambda: self._described().shape)  # type: ignore[no-any-return]

    def read(self) -> NDArray[Any]:
        """The numbers as a new array; bfloat16 as float32.

        Raises
        ------
        FormatError
            If the file does not have all of it, or stores it in a way that is not supported.
        """
        return self._named(lambda: self._described().read(self._file, self._is_bfloat16()))  # type: ignore[no-any-return]

    def _is_bfloat16(self) -> bool:
        """Whether an attribute says so; Keras writes it because HDF5 lacks the type."""
        return self.attribute("dtype") == "bfloat16"

    def _named(self, get: Any) -> Any:
        try:
            return get()
        except FormatError as error:
            raise FormatError(f"HDF5: {self.name}: {str(error).removeprefix('HDF5: ')}") from None


# ---- headers


def _messages_1(file: Bytes, address: int) -> Iterator[_Message]:
    """The messages of a header of version 1, including its continuations."""
    if file.number(address, 1) != 1:
        raise FormatError(f"HDF5: expected a header at {address}, got {file.take(address, 4)!r}")
    left, blocks = file.number(address + 2, 2), [(address + 16, file.number(address + 8, 4))]
    for at, size in blocks:
        stop = at + size
        while at + 8 <= stop and left:
            file.enter()
            kind, length, flags = file.number(at, 2), file.number(at + 2, 2), file.number(at + 4, 1)
            left -= 1
            at += 8
            _expect_inside(at, length, stop)
            if kind == _CONTINUATION:
                blocks.append((file.number(at, 8), file.number(at + 8, 8)))
            else:
                yield _Message(kind, flags, at, length)
            at += length


def _messages_2(file: Bytes, address: int) -> Iterator[_Message]:
    """The messages of a header of version 2, whose blocks end with a checksum."""
    flags, at = file.number(address + 5, 1), address + 6
    at += (16 if flags & 0x20 else 0) + (4 if flags & 0x10 else 0)
    width, extra = 1 << (flags & 3), 2 if flags & 4 else 0
    blocks = [(at + width, file.number(at, width))]
    for at, size in blocks:
        stop = at + size
        while at + 4 + extra <= stop:
            file.enter()
            kind, length, shared = file.number(at, 1), file.number(at + 1, 2), file.number(at + 3, 1)
            at += 4 + extra
            _expect_inside(at, length, stop)
            if kind == _CONTINUATION:
                start, whole = file.number(at, 8), file.number(at + 8, 8)
                if file.take(start, 4) != b"OCHK" or whole < 8:
                    raise FormatError(f"HDF5: expected the rest of a header at {start}")
                blocks.append((start + 4, whole - 8))
            else:
                yield _Message(kind, shared, at, length)
            at += length


def _expect_inside(at: int, length: int, stop: int) -> None:
    if at + length > stop:
        raise FormatError(f"HDF5: expected a header that ends at {stop}, got one that goes on to {at + length}")


def _attribute(file: Bytes, message: _Message) -> tuple[str, tuple[int, int, int, int]]:
    """The name of an attribute, and where its type, its shape and its value begin, and where it ends."""
    at = message.start
    version, sizes = file.number(at, 1), [file.number(at + 2 * i, 2) for i in (1, 2, 3)]
    if version not in (1, 2, 3) or (version > 1 and file.number(at + 1, 1)):
        raise FormatError(f"HDF5: expected an attribute with its type, of version 1 to 3, got version {version}")
    at += 9 if version == 3 else 8
    starts = [at]
    for size in sizes:
        at += padded(size) if version == 1 else size
        starts.append(at)
    _expect_inside(message.start, at - message.start, message.start + message.size)
    name = file.take(starts[0], sizes[0]).rstrip(b"\0").decode("utf-8", "replace")
    return name, (starts[1], starts[2], starts[3], message.start + message.size)


# ---- links


def _links_of_tree(file: Bytes, tree: int, heap: int) -> Iterator[tuple[str, int | str]]:
    """The links of a group that has them in a tree, and their names in a heap."""
    if file.take(heap, 4) != b"HEAP":
        raise FormatError(f"HDF5: expected a heap of names at {heap}")
    names = file.take(file.number(heap + 24, 8), file.number(heap + 8, 8))
    file.spend(len(names))
    for node in file.leaves(tree, 0, 8):
        if file.take(node.child, 4) != b"SNOD":
            raise FormatError(f"HDF5: expected links at {node.child}")
        for i in range(file.number(node.child + 6, 2)):
            file.enter()
            at = node.child + 8 + 40 * i
            start = file.number(at, 8)
            end = names.find(b"\0", start)
            if end < 0:
                raise FormatError(f"HDF5: expected a name at {start} of the heap at {heap}, got no end of it")
            file.spend(end - start)
            name = names[start:end].decode("utf-8", "replace")
            yield name, "a link by a name" if file.number(at + 16, 4) == 2 else file.number(at + 8, 8)


def _link(file: Bytes, at: int) -> tuple[str, int | str]:
    """The link in a message of a header."""
    flags, kind = file.number(at + 1, 1), 0
    at += 2
    if flags & 8:
        kind = file.number(at, 1)
        at += 1
    at += (8 if flags & 4 else 0) + (1 if flags & 16 else 0)
    width = 1 << (flags & 3)
    length = file.number(at, width)
    at += width
    name = file.take(at, length).decode("utf-8", "replace")
    others = {1: "a link by a name", 64: "a link to another file"}
    return name, file.number(at + length, 8) if kind == 0 else others.get(kind, f"a link of type {kind}")
