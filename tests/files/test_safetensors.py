"""Files of the safetensors format: what is written, what is read, and what is refused."""

from __future__ import annotations

import os
import stat
import sys
import tracemalloc

import numpy as np
import pytest
from support.safetensors_files import as_bytes, assert_same_arrays, parts, tensor

import qrnn

TYPES = ("?", "u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8")


def arrays_of_all_types(seed=1):
    """Of each type one array of some dimensions, one without elements, and a scalar, in an order that is no type's."""
    rng, arrays = np.random.default_rng(seed), {}
    for dims in ((), (0,), (3, 0, 2), (7,), (3, 5), (1, 2, 3, 1)):
        for kind in TYPES:
            size = int(np.prod(dims)) * np.dtype(kind).itemsize
            bits = rng.integers(0, 2 if kind == "?" else 256, size, np.uint8)
            arrays[f"{kind} {dims}"] = np.frombuffer(bits.tobytes(), kind).reshape(dims)
    return arrays


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.safetensors"


def test_arrays_come_back(path):
    """Every type, shapes without elements, scalars, and NaN bit for bit; the arrays are writable."""
    arrays = arrays_of_all_types()
    qrnn.save(arrays, path)
    found = qrnn.load(path)
    assert_same_arrays(found, arrays)
    assert all(array.flags.writeable and array.flags.aligned for array in found.values())


@pytest.mark.parametrize("arrays", [{}, {"a": np.zeros(0, np.float32)}, {'ä "\\\n\x7f 名 😀': np.float64(1)}])
def test_small_files(path, arrays):
    qrnn.save(arrays, path)
    assert_same_arrays(qrnn.load(path), {key: np.asarray(value) for key, value in arrays.items()})


def test_what_is_written(path):
    """Little-endian, the largest elements first and all aligned, the header in the order of the arrays."""
    qrnn.save({"a": np.array([True]), "b": np.array([1, 2], ">i4"), "c": np.array([[0.5]], ">f8")}, path)
    header, data = parts(path)
    assert header == {
        "a": tensor("BOOL", [1], 16, 17),
        "b": tensor("I32", [2], 8, 16),
        "c": tensor("F64", [1, 1], 0, 8),
    }
    assert list(header) == ["a", "b", "c"]
    assert data == np.array([0.5], "<f8").tobytes() + np.array([1, 2], "<i4").tobytes() + b"\1"
    content = path.read_bytes()
    assert int.from_bytes(content[:8], "little") % 8 == 0
    qrnn.save({"a": np.array([True]), "b": np.array([1, 2]), "c": np.array([[0.5]])}, path)
    first = path.read_bytes()
    qrnn.save({"a": np.array([True]), "b": np.array([1, 2]), "c": np.array([[0.5]])}, path)
    assert path.read_bytes() == first


def test_arrays_of_other_layouts(path):
    whole = np.arange(24, dtype=np.float32).reshape(4, 6)
    odd = np.frombuffer(b"x" + whole.tobytes(), np.float32, 24, offset=1)
    given = {"transposed": whole.T, "strided": whole[::2, ::-1], "byte-swapped": whole.astype(">f4"), "odd": odd}
    qrnn.save({**given, "list": [1.5, 2], "number": 3}, path)
    expected = {**given, "byte-swapped": whole, "list": np.array([1.5, 2]), "number": np.array(3)}
    assert_same_arrays(qrnn.load(path), expected)


def test_the_package_reads_what_is_written(path):
    numpy = pytest.importorskip("safetensors.numpy", reason="SAFETENSORS IS NOT INSTALLED: its reader was not tried")
    safetensors = pytest.importorskip("safetensors")
    arrays = arrays_of_all_types()
    qrnn.save(arrays, path)
    found = numpy.load_file(path)
    assert_same_arrays({key: found[key] for key in arrays}, arrays)
    model = qrnn.quantize_dynamic(qrnn.nn.Sequential(qrnn.nn.LSTM(4, 3), qrnn.nn.Tanh()))
    qrnn.save(model, path)
    state = model.state_dict()
    found = numpy.load_file(path)
    assert_same_arrays({key: found[key] for key in state}, state)
    with safetensors.safe_open(path, "np") as file:
        assert set(file.metadata()) == {"qrnn"}


def test_what_the_package_writes_is_read(path):
    numpy = pytest.importorskip("safetensors.numpy", reason="SAFETENSORS IS NOT INSTALLED: its writer was not tried")
    arrays = arrays_of_all_types()
    numpy.save_file(arrays, path, {"of": "somebody"})
    found = qrnn.load(path)
    assert_same_arrays({key: found[key] for key in arrays}, arrays)


def test_bfloat16_are_the_upper_bits_of_float32(path):
    """All 65,536 of them, NaN too, in more than one part of the reader."""
    bits = np.tile(np.arange(1 << 16, dtype="<u2"), 5)
    path.write_bytes(as_bytes({"a": tensor("BF16", [5, 1 << 16], 0, bits.nbytes)}, bits.tobytes()))
    found = qrnn.load(path)["a"]
    assert found.dtype == np.float32 and found.shape == (5, 1 << 16)
    np.testing.assert_array_equal(found.view(np.uint32).ravel(), bits.astype(np.uint32) << 16)


@pytest.mark.parametrize(
    "dtype",
    ["F8_E4M3", "F8_E5M2", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ", "F4", "F6_E2M3", "F6_E3M2", "C64", "f32", ""],
)
def test_other_types_are_refused_by_name(path, dtype):
    path.write_bytes(as_bytes({"weight": tensor(dtype, [8], 0, 8)}, bytes(8)))
    with pytest.raises(qrnn.FormatError, match=f"weight: expected a dtype of BOOL, .*, F64, got {dtype or 'none'}$"):
        qrnn.load(path)


ONE = tensor("U8", [4], 0, 4)
OF_4 = {
    "no file": (b"", "got 0 bytes"),
    "a length alone": (bytes(7), "got 7 bytes"),
    "an empty header": (bytes(8), "begins with '{', got b''"),
    "a header beyond the file": (as_bytes("{}", length=3), "length of its header, 2 at most, got 3"),
    "a huge header": (as_bytes("{}", length=(1 << 64) - 1), "2 at most, got 18446744073709551615"),
    "a pickle": (b"\x80\x04\x95\x1a\x00\x00\x00\x00", "0 at most"),
    "white space first": (as_bytes(" {}"), "begins with '{', got b' {}'"),
    "a list": (as_bytes("[]"), "begins with '{'"),
    "a half object": (as_bytes("{"), "expected a text, got ''"),
    "more behind it": (as_bytes("{} {}"), "expected the end, got '{'"),
    "no UTF-8": (as_bytes(b'{"\xff":1}'), "header: invalid start byte at byte 2"),
    "UTF-16": (as_bytes('{"a":1}'.encode("utf-16-le")), "header, character 1: expected a text"),
    "half a pair": (as_bytes(r'{"\ud800":{}}'), "surrogates not allowed"),
    "a control character": (as_bytes('{"a\n":{}}'), "Invalid control character"),
    "a comma too many": (as_bytes('{"a":' + str(ONE).replace("'", '"') + ",}", bytes(4)), "expected a text, got '}'"),
    "a key twice": (as_bytes('{"a":%s,"a":%s}' % ((str(ONE).replace("'", '"'),) * 2), bytes(4)), "got 'a' again"),
    "an escaped key twice": (
        as_bytes('{"a":%s,"\\u0061":%s}' % ((str(ONE).replace("'", '"'),) * 2), bytes(4)),
        "got 'a' again",
    ),
    "metadata twice": (as_bytes('{"__metadata__":{},"__metadata__":{}}'), "got '__metadata__' again"),
    "a text twice": (as_bytes('{"__metadata__":{"a":"","a":""}}'), "got 'a' again"),
    "texts that are none": (as_bytes({"__metadata__": {"a": 1}}), "expected a text, got '1'"),
    "a number": (as_bytes({"a": 1}), "expected '{', got '1'"),
    "another key": (
        as_bytes({"a": {**ONE, "name": "b"}}, bytes(4)),
        "expected a dtype, a shape and data_offsets of 'a'",
    ),
    "no type": (as_bytes({"a": {"shape": [4], "data_offsets": [0, 4]}}, bytes(4)), "a: expected a dtype"),
    "no shape": (as_bytes({"a": {"dtype": "U8", "data_offsets": [0, 4]}}, bytes(4)), "a: expected a shape, got none"),
    "no offsets": (as_bytes({"a": {"dtype": "U8", "shape": [4]}}, bytes(4)), "a: expected data_offsets"),
    "three offsets": (as_bytes({"a": {**ONE, "data_offsets": [0, 4, 4]}}, bytes(4)), r"got \[0, 4, 4\]"),
    "backward": (as_bytes({"a": {**ONE, "data_offsets": [4, 0]}}, bytes(4)), r"got \[4, 0\]"),
    "a negative size": (as_bytes({"a": {**ONE, "shape": [-4]}}, bytes(4)), "integers of 0 to 19 digits, got '-'"),
    "a float size": (as_bytes({"a": {**ONE, "shape": [4.0]}}, bytes(4)), "integers of 0 to 19 digits, got '4'"),
    "an exponent": (as_bytes('{"a":{"shape":[4e0]}}', bytes(4)), "integers of 0 to 19 digits, got '4'"),
    "a bool": (as_bytes({"a": {**ONE, "shape": [True]}}, bytes(4)), "integers of 0 to 19 digits, got 't'"),
    "a leading zero": (as_bytes('{"a":{"shape":[04]}}', bytes(4)), "expected ',', got '4'|0 to 19 digits"),
    "a number of 20 digits": (as_bytes({"a": {**ONE, "shape": [10**19]}}, bytes(4)), "0 to 19 digits"),
    "a size of null": (as_bytes({"a": {**ONE, "shape": None}}, bytes(4)), r"expected '\[', got 'n'"),
    "65 dimensions": (as_bytes({"a": {**ONE, "shape": [1] * 64 + [4]}}, bytes(4)), "at most 64 integers"),
    "no commas": (as_bytes('{"a":{"shape":[2 2]}}', bytes(4)), "expected ',', got '2'"),
    "another size": (as_bytes({"a": {**ONE, "shape": [5]}}, bytes(4)), "a: expected 5 bytes"),
    "a product that overflows to 4": (
        as_bytes({"a": {**ONE, "shape": [4194305, 4194305, 211106198978564]}}, bytes(4)),
        "a: expected 3713821298447761542108676100 bytes",
    ),
    "no elements of a huge shape": (
        as_bytes({"a": tensor("U8", [0, 10**18, 10**18], 0, 0)}),
        r"a: shape \[0, 1000000000000000000, 1000000000000000000\]",
    ),
    "bytes before": (as_bytes({"a": tensor("U8", [3], 1, 4)}, bytes(4)), "a: expected to begin at byte 0, .* got 1"),
    "bytes behind": (as_bytes({"a": tensor("U8", [3], 0, 3)}, bytes(4)), "expected 3 bytes of tensors, got 4"),
    "bytes without a tensor": (as_bytes("{}", bytes(4)), "expected 0 bytes of tensors, got 4"),
    "too few bytes": (as_bytes({"a": ONE}, bytes(3)), "expected 4 bytes of tensors, got 3"),
    "a hole": (
        as_bytes({"a": tensor("U8", [1], 0, 1), "b": tensor("U8", [2], 2, 4)}, bytes(4)),
        "b: expected to begin at byte 1, .* got 2",
    ),
    "an overlap": (
        as_bytes({"a": tensor("U8", [3], 0, 3), "b": tensor("U8", [2], 2, 4)}, bytes(4)),
        "b: expected to begin at byte 3, .* got 2",
    ),
    "the same bytes twice": (as_bytes({"a": ONE, "b": ONE}, bytes(4)), "b: expected to begin at byte 4, .* got 0"),
    "a bool of 2": (as_bytes({"a": tensor("BOOL", [2], 0, 2)}, b"\1\2"), "a: expected booleans, 0 or 1, got 2"),
}


@pytest.mark.parametrize("case", OF_4)
def test_bad_files(path, case):
    """Each is named, with the file."""
    content, text = OF_4[case]
    path.write_bytes(content)
    with pytest.raises(qrnn.FormatError, match=text) as caught:
        qrnn.load(path)
    assert str(caught.value).startswith(f"{path}: ") and isinstance(caught.value, ValueError)


def test_offsets_may_be_in_any_order_and_white_space_anywhere(path):
    header = """{ "b" : {"data_offsets":[ 1 ,1] , "shape":[0, 3 ],"dtype":"F64"},\r\n\t"a":
    {"dtype":"U8","shape":[],"data_offsets":[0,1]},"c":{"dtype":"I8","shape":[2],"data_offsets":[1,3]}} \n """
    path.write_bytes(as_bytes(header, b"\7\1\xff"))
    expected = {"b": np.zeros((0, 3)), "a": np.array(7, np.uint8), "c": np.array([1, -1], np.int8)}
    assert_same_arrays(qrnn.load(path), expected)


def test_a_file_that_shrinks_while_it_is_read(path, monkeypatch):
    path.write_bytes(as_bytes({"a": ONE}, bytes(3)))
    size = path.stat().st_size
    monkeypatch.setattr(os, "fstat", lambda handle: os.stat_result([0] * 6 + [size + 1] + [0] * 3))
    with pytest.raises(qrnn.FormatError, match="a: the file ended before its elements did"):
        qrnn.load(path)


def peak_of_load(path):
    """The most bytes that a load takes at a time, and whether it succeeded."""
    qrnn.save({}, path.with_name("empty"))  # what they need is imported
    qrnn.load(path.with_name("empty"))
    tracemalloc.start()
    try:
        try:
            found = qrnn.load(path)
        except qrnn.FormatError:
            found = None
        return tracemalloc.get_traced_memory()[1], found is not None
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "text",
    [
        '{"a":' + "[" * 500_000,
        '{"a":{"shape":[' + "0," * 250_000,
        '{"__metadata__":{"a":' + "[]," * 170_000,
        '{"__metadata__":{"a":"' + r"\u0061" * 80_000,
        '{"a":' * 100_000,
        '{"' + "a" * 500_000,
        '{"a":{"shape":[' + "9" * 500_000,
        "{" + " " * 500_000,
    ],
    ids=range(8),
)
def test_headers_that_would_grow(path, text):
    """Refused where they go wrong, with the memory of the file twice, not that of what they would become."""
    path.write_bytes(as_bytes(text))
    peak, loaded = peak_of_load(path)
    assert not loaded and peak < 2.2 * path.stat().st_size + 100_000


@pytest.mark.parametrize("dtype", ["F32", "BF16", "U8"])
def test_memory_of_a_load(path, dtype):
    size = 8 << 20
    elements = size // {"F32": 4, "BF16": 2, "U8": 1}[dtype]
    path.write_bytes(as_bytes({"a": tensor(dtype, [elements], 0, size)}, bytes(size)))
    peak, loaded = peak_of_load(path)
    assert loaded and peak <= 2.1 * size + 1_000_000


# ---- writing


def test_a_failure_leaves_the_old_file(path, monkeypatch):
    qrnn.save({"a": np.ones(3)}, path)
    before = path.read_bytes()

    def fails(*args):
        raise OSError("the disk is full")

    for name in ("fsync", "replace"):
        with monkeypatch.context() as patch:
            patch.setattr(os, name, fails)
            with pytest.raises(OSError, match="the disk is full"):
                qrnn.save({"a": np.zeros(3)}, path)
        assert path.read_bytes() == before and list(path.parent.iterdir()) == [path]


@pytest.mark.skipif(sys.platform == "win32", reason="permissions are POSIX's")
def test_permissions(path):
    """A new file has those that open() gives, a file that is replaced keeps its own."""
    old = os.umask(0o027)
    try:
        qrnn.save({}, path)
        assert stat.S_IMODE(path.stat().st_mode) == 0o640
        path.chmod(0o604)
        qrnn.save({}, path)
        assert stat.S_IMODE(path.stat().st_mode) == 0o604
    finally:
        os.umask(old)


@pytest.mark.skipif(sys.platform == "win32", reason="links take a right that users of Windows do not have")
def test_a_link_stays_one(path, tmp_path):
    real = tmp_path / "folder" / "real"
    real.parent.mkdir()
    path.symlink_to(real)
    for _ in range(2):
        qrnn.save({"a": np.ones(2)}, path)
        assert path.is_symlink() and list(qrnn.load(real)) == ["a"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no such files")
def test_what_is_no_file_is_not_replaced(tmp_path):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    for target in (fifo, tmp_path):
        with pytest.raises(ValueError, match="path: expected a regular file or none"):
            qrnn.save({}, target)
    assert stat.S_ISFIFO(fifo.stat().st_mode)
    with pytest.raises(FileNotFoundError):
        qrnn.save({}, tmp_path / "none" / "file")


@pytest.mark.parametrize(
    ("model", "error", "text"),
    [
        (np.ones(3), TypeError, "model: expected a Module, a torch.nn.Module or a mapping, got ndarray"),
        (None, TypeError, "model: expected a Module, a torch.nn.Module or a mapping, got NoneType"),
        ({1: np.ones(3)}, TypeError, "model: expected names that are str, got int"),
        ({"a": None}, TypeError, "a: expected an array of real numbers, got None"),
        ({"a": np.ones(3, complex)}, TypeError, "a: expected an array of real numbers"),
        pytest.param(
            *(
                {"a": np.ones(3, np.longdouble)},
                ValueError,
                "a: expected one of the types .* got (float128|longdouble)",
            ),
            marks=pytest.mark.skipif(np.dtype(np.longdouble).itemsize == 8, reason="here it is float64"),
        ),
        ({"\ud800": np.ones(3)}, ValueError, "expected names that are text"),
        ({"__metadata__": np.ones(3)}, ValueError, "expected other names than __metadata__"),
    ],
)
def test_what_cannot_be_saved(path, model, error, text):
    with pytest.raises(error, match=text):
        qrnn.save(model, path)
    assert not list(path.parent.iterdir())


def test_paths(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for path in ("plain", tmp_path / "path", b"bytes", "名"):
        qrnn.save({"a": np.ones(1)}, path)
        assert list(qrnn.load(path)) == ["a"]
    for call in (lambda: qrnn.save({}, 3), lambda: qrnn.load(None)):
        with pytest.raises(TypeError, match="path: expected a str or a PathLike, got (int|NoneType)"):
            call()
    with pytest.raises(FileNotFoundError):
        qrnn.load("missing")
