"""The reader of HDF5 under qrnn.keras, beside h5py, which writes what it reads; and files that lie."""

from __future__ import annotations

import io

import numpy as np
import pytest

h5py = pytest.importorskip("h5py", reason="H5PY IS NOT INSTALLED: the reader of HDF5 was not tested")

import qrnn
from qrnn.keras import _hdf5

DTYPES = ("f2", "<f4", ">f4", "<f8", ">f8", "u1", "i1", "<i4", ">i8", "u2")
SHAPES = ((), (3,), (2, 5), (4, 1, 7), (0,), (3, 0))


def written(write, **options):
    content = io.BytesIO()
    with h5py.File(content, "w", **options) as file:
        write(file)
    return content.getvalue()


def opened(write, **options):
    return _hdf5.opened(written(write, **options))


def values(shape, dtype):
    return (50 * np.random.default_rng(1).random(shape)).astype(dtype)


@pytest.mark.parametrize("options", [{}, {"libver": "latest"}, {"userblock_size": 1024}, {"track_order": False}])
def test_types_shapes_and_layouts(options):
    dtypes = DTYPES[:8] if "libver" in options else DTYPES  # of more the names stand in a heap

    def write(file):
        for dtype in dtypes:
            for shape in SHAPES:
                group = file.require_group(f"{dtype.strip('<>')}{'big' if dtype[0] == '>' else ''}")
                group.create_dataset("x".join(map(str, shape)) or "scalar", data=values(shape, dtype))

    root = opened(write, **options)
    for dtype in dtypes:
        for shape in SHAPES:
            name = f"{dtype.strip('<>')}{'big' if dtype[0] == '>' else ''}/{'x'.join(map(str, shape)) or 'scalar'}"
            found = root.find(name)
            assert found.shape == shape, name
            array = found.read()
            assert array.dtype == np.dtype(dtype).newbyteorder("=") and array.flags.writeable
            assert (array == values(shape, dtype)).all() and array.shape == shape, name


@pytest.mark.parametrize(
    "options",
    [{}, {"compression": "gzip"}, {"shuffle": True, "compression": "gzip", "fletcher32": True}, {"fletcher32": True}],
)
def test_chunks(options):
    shapes = {(7,): (3,), (10, 6): (4, 6), (9, 5, 4): (2, 3, 4), (40, 40): (1, 1)}

    def write(file):
        for shape, chunks in shapes.items():
            file.create_dataset(f"{len(shape)}{chunks[0]}", data=values(shape, "f4"), chunks=chunks, **options)

    root = opened(write)
    for shape, chunks in shapes.items():
        assert (root.find(f"{len(shape)}{chunks[0]}").read() == values(shape, "f4")).all()


def test_groups_and_attributes():
    """Hundreds of names, which make trees of several levels; texts of any length."""
    long = "é" * 70_000

    def write(file):
        for i in range(700):
            file.create_group(f"group {i}/inner").attrs["number"] = i
        file.attrs["text"], file.attrs["bytes"], file.attrs["long"] = "a text", b"bytes", long
        file.attrs["list"] = [b"one", b"three"]
        file.attrs["empty"] = []
        file.attrs["texts"] = ["x", "yz"]

    root = opened(write)
    assert len(root.names()) == 700
    assert [int(root.find(f"group {i}/inner").attribute("number")) for i in (0, 350, 699)] == [0, 350, 699]
    found = [root.attribute(name) for name in ("text", "bytes", "long", "list", "texts", "none")]
    assert found == ["a text", "bytes", long, ["one", "three"], ["x", "yz"], None]
    assert root.attribute("empty").size == 0
    assert root.find("group 1/inner/none") is None and root.find("none") is None


def test_bfloat16():
    """As Keras writes it: two bytes that HDF5 knows nothing of, and an attribute."""
    numbers = np.array([1.0, -2.5, 3e38], np.float32)

    def write(file):
        for name in ("said", "not"):
            data = (numbers.view(np.uint32) >> 16).astype("<u2").view("V2")
            file.create_dataset(name, data=data)
        file["said"].attrs["dtype"] = "bfloat16"

    root = opened(write)
    assert (root.find("said").read() == (numbers.view(np.uint32) >> 16 << 16).view(np.float32)).all()
    with pytest.raises(qrnn.FormatError, match="HDF5: /not: expected numbers, got bytes"):
        root.find("not").read()


def refused(write, path, match, **options):
    with pytest.raises(qrnn.FormatError, match=match):
        opened(write, **options).find(path).read()


def test_what_is_refused(tmp_path):
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = np.ones(3)

    def link(kind):
        def write(file):
            file["real"] = np.ones(2)
            file["x"] = h5py.ExternalLink(str(tmp_path / "other.h5"), "/x") if kind else h5py.SoftLink("/real")

        return write

    refused(link(True), "x", "HDF5: /x: expected it in this place, got a link to another file")
    refused(link(False), "x", "HDF5: /x: expected it in this place, got a link by a name")
    elsewhere = [(str(tmp_path / "raw"), 0, 24)]
    refused(lambda f: f.create_dataset("x", (3,), "f4", external=elsewhere), "x", "expected numbers in this file")
    refused(lambda f: f.create_dataset("x", (3,), "f4"), "x", "never written|expected 12 bytes")
    refused(lambda f: f.create_dataset("x", (3,), "f4", chunks=(1,)), "x", "expected")
    refused(lambda f: f.create_dataset("x", data=np.ones(3, complex)), "x", "expected numbers or texts")
    refused(lambda f: f.create_dataset("x", data=["a"]), "x", "expected numbers, got reference")
    refused(lambda f: f.create_dataset("x", data=np.zeros(10), chunks=(5,), compression="lzf"), "x", "filters")
    many = {"libver": "latest"}
    with pytest.raises(qrnn.FormatError, match="expected links in its header or in a tree, got them in a heap"):
        opened(lambda f: [f.create_group(str(i)) for i in range(20)], **many)
    with pytest.raises(qrnn.FormatError, match="expected a layout that HDF5 1.8 reads, got version 4"):
        opened(lambda f: f.create_dataset("x", data=np.ones(9), chunks=(2,)), **many).find("x").read()
    with pytest.raises(qrnn.FormatError, match="expected a file of HDF5"):
        _hdf5.opened(b"no file of that kind")


def test_bombs():
    """Shapes whose product is small in 64 bits, zeros that were packed well, wide chunks, circles of groups."""
    content = written(lambda f: f.create_dataset("x", data=np.ones((2, 3, 4), "f4")))
    for dims in ((4194305, 4194305, 211106198978564), (2**32, 2**32, 2), (2**63, 2, 2)):
        old = b"".join(size.to_bytes(8, "little") for size in (2, 3, 4))
        new = b"".join(size.to_bytes(8, "little") for size in dims)
        assert old in content
        with pytest.raises(qrnn.FormatError, match="HDF5: /x: expected .* bytes for shape"):
            _hdf5.opened(content.replace(old, new)).find("x").read()
    zeros = np.zeros(30_000_000, "u1")
    bomb = written(lambda f: f.create_dataset("x", data=zeros, chunks=(10_000_000,), compression="gzip"))
    assert len(bomb) < 100_000
    with pytest.raises(qrnn.FormatError, match="expected no more than a file of .* bytes can hold"):
        _hdf5.opened(bomb).find("x").read()

    many = written(lambda f: [f.attrs.__setitem__(f"names{i}", [b"x"]) for i in range(3000)])
    assert [_hdf5.opened(many).attribute(f"names{i}") for i in (0, 2999)] == [["x"], ["x"]]
    wide = written(
        lambda f: f.create_dataset(
            "x", data=np.ones((400, 1)), maxshape=(None, None), chunks=(1, 100_000), compression="gzip"
        )
    )
    with pytest.raises(qrnn.FormatError, match="expected no more than a file of .* bytes can hold"):
        _hdf5.opened(wide).find("x").read()

    def circle(file):
        group = file.create_group("a")
        group["a"] = group

    root = opened(circle)
    with pytest.raises(qrnn.FormatError, match="expected no more than a file of .* bytes can hold"):
        root.find("/".join("a" * 100_000))
