"""The command line: each command, what it says of mistakes, and the session of docs/command-line.md."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from support import HAVE_TORCH, ROOT, environment

pytest.importorskip("click", reason="CLICK IS NOT INSTALLED: the command line was not tested")

import qrnn
from qrnn import nn
from qrnn._cli import main
from qrnn._quantized_layer import QuantizedLayer


def model():
    qrnn.manual_seed(3)
    return nn.Sequential(nn.GRUCell(12, 32), nn.Linear(32, 5))


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Files of all kinds, in the current folder."""
    monkeypatch.chdir(tmp_path)
    qrnn.save(model(), "model.safetensors")
    qrnn.save(qrnn.quantize_dynamic(model()), "int8.safetensors")
    qrnn.save(model().state_dict(), "state.safetensors")
    np.savez("state.npz", **model().state_dict())
    np.save("x.npy", np.random.default_rng(0).standard_normal((40, 8, 12), np.float32))
    return tmp_path


@pytest.fixture
def command(capfd):
    """Runs a command: its status, what it printed, and its errors."""

    def run(*arguments):
        status = main(list(arguments))
        printed, errors = capfd.readouterr()
        return status, printed, errors

    return run


@pytest.fixture
def values(command):
    """What a command prints with ``--json``, of one that succeeds."""

    def run(*arguments):
        status, printed, errors = command(*arguments, "--json")
        assert status == 0 and errors == "", errors
        return json.loads(printed)

    return run


def in_page(page):
    """The commands of the blocks of a page, each with what it prints."""
    text = "\n".join(re.findall(r"^```console\n(.*?)^```", (ROOT / page).read_text(), re.MULTILINE | re.DOTALL))
    for part in re.split(r"^\$ qrnn ", text, flags=re.MULTILINE)[1:]:
        line, _, printed = part.partition("\n")
        yield shlex.split(line), printed


def without_numbers(text):
    return re.sub(r"[\d.,e+-]*\d", "0", re.sub(r" +", " ", text)).strip()


def onnx_model():
    """A GRU and a head for its last state, with its inputs."""
    onnx = pytest.importorskip("onnx", reason="ONNX IS NOT INSTALLED: the session of docs/command-line.md did not run")
    model = onnx.parser.parse_model("""<ir_version: 8, opset_import: ["" : 17]>
        speech (float[steps, batch, 12] frames) => (float[batch, 5] scores) {
            , last = GRU <hidden_size = 32, linear_before_reset = 1> (frames, W, R)
            state = Squeeze(last, axis)
            scores = Gemm <transB = 1> (state, head, bias)
        }""")
    rng, arrays = np.random.default_rng(0), {"axis": np.array([0])}
    for name, shape in {"W": (1, 96, 12), "R": (1, 96, 32), "head": (5, 32), "bias": (5,)}.items():
        arrays[name] = np.float32(0.3) * rng.standard_normal(shape, np.float32)
    model.graph.initializer.extend(onnx.numpy_helper.from_array(array, name) for name, array in arrays.items())
    return onnx, model, rng.standard_normal((40, 10, 1, 12), np.float32)


def test_the_session_of_the_page(command):
    """Each command does what the page says, and prints it, but for the numbers; the file gives the model's outputs."""
    onnx, model, x = onnx_model()
    onnx.save(model, "model.onnx")
    np.save("x.npy", x)
    commands = list(in_page("docs/command-line.md"))
    assert {arguments[0] for arguments, _ in commands} == {"info", "convert", "verify", "bench", "export-c"}
    for arguments, expected in commands:
        status, printed, errors = command(*arguments)
        assert status == 0, errors
        assert without_numbers(printed) == without_numbers(expected)
    onnxruntime = pytest.importorskip("onnxruntime", reason="ONNXRUNTIME IS NOT INSTALLED: outputs were not compared")
    session, ours = onnxruntime.InferenceSession(model.SerializeToString()), qrnn.load("model.safetensors")
    wrong = [ours(each) - session.run(None, {"frames": each})[0] for each in x]
    size = [session.run(None, {"frames": each})[0] for each in x]
    assert np.sqrt(np.mean(np.square(wrong)) / np.mean(np.square(size))) < 0.02
    assert command("convert", "model.onnx", "float.safetensors")[0] == 0
    assert command("verify", "model.onnx", "float.safetensors", "--data", "x.npy", "--tolerance", "0")[0] == 0


def test_what_is_in_a_file_that_is_not_read_whole(command):
    onnx, model, _ = onnx_model()
    model.graph.node[1].op_type = "NonZero"
    model.graph.node[1].input.pop()
    onnx.save(model, "model.onnx")
    status, printed, errors = command("info", "model.onnx")
    assert status == 0 and "not read whole: " in printed and "GRU" in printed.partition("not read whole")[2], errors
    status, _, errors = command("convert", "model.onnx", "o.safetensors")
    assert status == 4 and "NonZero" in errors


def test_info_of_models(values, command):
    found = values("info", "int8.safetensors")
    assert found["format"] == "safetensors" and found["model"] and not found["calibration"]["rows"]
    assert [row["name"] for row in found["modules"]] == ["0", "1"]
    assert found["modules"][0]["engine"] == "qrnn" and found["modules"][0]["description"]["kind"] == "GRUCell"
    assert found["parameters"] == sum(value.size for value in model().state_dict().values())
    assert found["memory"] == qrnn.quantize_dynamic(model()).nbytes
    assert command("convert", "model.safetensors", "c.safetensors", "--calibrate", "x.npy")[0] == 0
    assert values("info", "c.safetensors")["calibration"]["rows"]
    assert "data" in command("info", "c.safetensors")[1]


@pytest.mark.parametrize("file, format", [("state.npz", "npz"), ("state.safetensors", "safetensors")])
def test_info_of_states(values, file, format):
    found = values("info", file)
    assert found["format"] == format and not found["model"]
    assert {each["name"]: each["shape"] for each in found["arrays"]} == {
        name: list(value.shape) for name, value in model().state_dict().items()
    }


@pytest.mark.skipif(not HAVE_TORCH, reason="NO PyTorch HERE: no checkpoint of it was read")
def test_checkpoints(values):
    import torch

    theirs = torch.nn.Sequential(torch.nn.GRUCell(12, 32), torch.nn.Linear(32, 5))
    theirs.load_state_dict({name: torch.from_numpy(value) for name, value in model().state_dict().items()})
    torch.save({"epoch": 3, "model": theirs.state_dict()}, "checkpoint.pt")
    assert values("info", "checkpoint.pt")["format"] == "PyTorch checkpoint"
    assert values("verify", "checkpoint.pt", "model.safetensors")["largest"] == 0
    values("convert", "checkpoint.pt", "out.npz")
    with np.load("out.npz") as file:
        np.testing.assert_array_equal(file["1.weight"], model()[1].weight)


@pytest.fixture
def keras_file(folder):
    """A small file of Keras, written without Keras, and a batch of its inputs."""
    pytest.importorskip("h5py", reason="H5PY IS NOT INSTALLED: the command line was not tried on files of Keras")
    from support.keras_seeds import keras_3

    (folder / "tagger.keras").write_bytes(keras_3())
    np.save("words.npy", np.random.default_rng(0).integers(1, 7, (20, 2, 5)))
    return "tagger.keras"


def test_keras(command, values, keras_file):
    found = values("info", keras_file)
    assert found["format"] == "Keras" and found["model"]
    assert {"both", "gru", "head"} <= {row["name"].partition(".")[0] for row in found["modules"]}
    values("convert", keras_file, "out.safetensors")
    data = ("--data", "words.npy")
    assert values("verify", keras_file, "out.safetensors", *data, "--tolerance", "0")["same"]
    status, printed, _ = command("convert", keras_file, "int8.safetensors", "--calibrate", "words.npy", "--json")
    found = json.loads(printed)  # beside a warning that int8 costs the head much
    assert status == 0 and found["format"] == "Keras" and found["quantized_layers"] == 4
    assert values("verify", keras_file, "int8.safetensors", *data)["same"]  # its last layer is a softmax of one unit
    values("convert", keras_file, "state.npz")
    assert values("verify", "state.npz", "out.safetensors")["same"]
    whole = Path(keras_file).read_bytes()
    Path("cut.keras").write_bytes(whole[: len(whole) // 2])
    assert command("info", "cut.keras")[0] == 3


def test_tflite(command, values, folder):
    """The file of examples, whose layers have the codes of the file: nothing is left to quantize."""
    file = str(ROOT / "examples/frames.tflite")
    found = values("info", file)
    assert found["format"] == "TFLite" and found["model"] and "LSTM" in {row["module"] for row in found["modules"]}
    np.save("frames.npy", np.random.default_rng(0).standard_normal((20, 2, 5, 4), np.float32))
    data = ("--data", "frames.npy")
    values("convert", file, "out.safetensors")
    assert values("verify", file, "out.safetensors", *data, "--tolerance", "0")["same"]
    status, _, errors = command("convert", file, "int8.safetensors", "--engine", "qrnn")
    assert status == 4 and "no float layer that could be quantized" in errors
    whole = Path(file).read_bytes()
    Path("cut.tflite").write_bytes(whole[: len(whole) // 2])
    status, _, errors = command("convert", "cut.tflite", "o.npz")
    assert status == 3 and errors.startswith("qrnn: cut.tflite: ")


def test_convert_to_onnx(command, values):
    """Float and quantized, by drawn inputs and by those that are given; what comes back computes the same."""
    pytest.importorskip("onnxscript", reason="ONNXSCRIPT IS NOT INSTALLED: the command line wrote no ONNX")
    values("convert", "model.safetensors", "float.onnx")
    assert values("verify", "model.safetensors", "float.onnx", "--data", "x.npy")["same"]
    values("convert", "model.safetensors", "int8.onnx", "--calibrate", "x.npy")
    ort = pytest.importorskip("onnxruntime", reason="ONNXRUNTIME IS NOT INSTALLED: ONNX files were not run")
    values("convert", "model.safetensors", "int8.safetensors", "--calibrate", "x.npy")
    ours, session, x = qrnn.load("int8.safetensors"), ort.InferenceSession("int8.onnx"), np.load("x.npy")
    name = session.get_inputs()[0].name
    for each in x[:5]:
        np.testing.assert_allclose(session.run(None, {name: each})[0], ours(each), atol=5e-3)
    np.savez("named.npz", input=x)
    values("convert", "model.safetensors", "named.onnx", "--calibrate", "named.npz", "--engine", "qrnn13")
    status, _, errors = command("convert", "state.npz", "o.onnx")
    assert status == 4 and "cannot be written as ONNX" in errors and not Path("o.onnx").exists()


def engines_of(path):
    return {each.engine for each in qrnn.load(path).modules() if isinstance(each, QuantizedLayer)}


@pytest.mark.parametrize("engine", ["qrnn", "qrnn13", "fbgemm"])
def test_convert_with_an_engine(values, engine):
    found = values("convert", "model.safetensors", "out.safetensors", "--engine", engine)
    assert found["engines"] == [engine] and found["quantized_layers"] == 2
    state, want = (
        each.state_dict() for each in (qrnn.load("out.safetensors"), qrnn.quantize_dynamic(model(), engine=engine))
    )
    assert {name: value.tobytes() for name, value in state.items()} == {k: v.tobytes() for k, v in want.items()}


def test_convert_with_data(values):
    values("convert", "model.safetensors", "out.safetensors", "--calibrate", "x.npy", "--engine", "qrnn13")
    loaded = qrnn.load("out.safetensors")
    assert engines_of("out.safetensors") == {"qrnn13"} and len(qrnn.quantization.calibration_report(loaded)) == 3
    np.savez("arrays.npz", *np.load("x.npy"))
    np.savez("named.npz", input=np.load("x.npy"))
    for data in ("arrays.npz", "named.npz"):
        model_ = "cell.safetensors"
        qrnn.save(nn.GRUCell(12, 32), model_)
        assert values("convert", model_, "again.safetensors", "--calibrate", data)["engines"] == ["qrnn"]


def test_convert_with_a_bound(values):
    found = values("convert", "model.safetensors", "out.safetensors", "--calibrate", "x.npy", "--max-error", "0.05")
    assert found["quantized_layers"] == 2
    assert (
        values("verify", "model.safetensors", "out.safetensors", "--data", "x.npy", "--tolerance", "0.2")["error"]
        < 0.05
    )


def test_convert_as_it_is(values):
    values("convert", "int8.safetensors", "out.npz")
    with np.load("out.npz") as file:
        assert set(file.files) == set(qrnn.load("int8.safetensors").state_dict())
    values("convert", "out.npz", "again.safetensors")
    assert values("verify", "again.safetensors", "int8.safetensors")["same"]


def test_verify(command, values):
    assert values("verify", "model.safetensors", "model.safetensors")["largest"] == 0
    assert values("verify", "state.npz", "model.safetensors")["same"]
    status, printed, _ = command("verify", "model.safetensors", "int8.safetensors")
    assert status == 1 and printed.endswith("DIFFERENT\n")
    other = nn.Sequential(nn.GRUCell(12, 32), nn.Linear(32, 4))
    qrnn.save(other, "other.safetensors")
    np.savez("other.npz", **other.state_dict())
    status, printed, _ = command("verify", "model.safetensors", "other.safetensors", "--json")
    assert status == 1 and json.loads(printed)["missing"] == ["outputs of shapes [[2, 5]] and [[2, 4]]"]
    assert json.loads(printed)["largest"] == "inf"
    status, printed, _ = command("verify", "model.safetensors", "other.npz")
    assert status == 1 and "not alike: 1.weight of shape [5, 32] and [4, 32]" in printed


@pytest.mark.parametrize(
    "make",
    [
        lambda: nn.LSTM(3, 4, batch_first=True),
        lambda: nn.GRU(3, 4, 2),
        lambda: nn.Sequential(nn.Embedding(7, 3), nn.GRU(3, 4)),
        lambda: nn.Sequential(nn.Conv1d(3, 4, 2), nn.ReLU()),
        lambda: nn.Linear(3, 4),
    ],
)
def test_inputs_are_drawn(values, make):
    qrnn.save(make(), "a.safetensors")
    assert values("verify", "a.safetensors", "a.safetensors")["largest"] == 0


@pytest.mark.parametrize("file", ["model.safetensors", "int8.safetensors"])
def test_bench(values, file):
    found = values("bench", file, "--batches", "1,3", "--rounds", "2")
    assert [row["batch"] for row in found["rows"]] == [1, 3]
    assert all(row["quantized"] > 0 and row["float32"] > 0 for row in found["rows"])
    qrnn.save(qrnn.LSTM(3, 4, 2, bidirectional=True, engine="fbgemm"), "lstm.safetensors")
    assert values("bench", "lstm.safetensors", "--batches", "2", "--rounds", "1")["rows"][0]["steps"] == 101


def test_export_c(command, folder):
    assert command("export-c", "int8.safetensors", "gate.h", "--name", "noise_gate")[0] == 0
    qrnn.export_c(qrnn.load("int8.safetensors"), "want.h", "noise_gate")
    assert (folder / "gate.h").read_text() == (folder / "want.h").read_text().replace("want.h", "gate.h")


def test_doctor(values):
    found = values("doctor")
    assert found["versions"]["qrnn"] == qrnn.__version__ and found["executable"] == sys.executable
    assert found["checks"] == dict.fromkeys(qrnn.isas(), True)


BAD = {
    "no command": ((), 2, "Usage"),
    "another command": (("transform",), 2, "No such command 'transform'"),
    "an argument too few": (("convert", "model.safetensors"), 2, "Missing argument 'OUT'"),
    "no engine": (("convert", "model.safetensors", "o.npz", "--engine", "fast"), 2, "--engine: expected one of"),
    "no size": (("bench", "model.safetensors", "--batches", "1,x"), 2, "expected sizes such as 1,4,32, got '1,x'"),
    "no file": (("info", "nothing"), 3, "qrnn: nothing: No such file or directory"),
    "a folder": (("info", "."), 3, "qrnn: .: Is a directory"),
    "no folder": (("convert", "model.safetensors", "no/o.npz"), 3, "no/o.npz: no folder no"),
    "another format": (("info", "x.npy"), 3, "qrnn: x.npy: expected a file of safetensors, Keras,"),
    "a file cut short": (("info", "cut.safetensors"), 3, "qrnn: cut.safetensors: "),
    "a zip cut short": (("info", "cut.npz"), 3, "qrnn: cut.npz: "),
    "a class of a user": (("info", "mine.safetensors"), 3, "classes of yours are in it: the model"),
    "no data": (("verify", "model.safetensors", "int8.safetensors", "--data", "nothing"), 3, "qrnn: nothing: No such"),
    "bad data": (
        ("verify", "model.safetensors", "int8.safetensors", "--data", "cut.npz"),
        3,
        "expected a file that np.save",
    ),
    "data of one number": (("convert", "model.safetensors", "o.npz", "--calibrate", "one.npy"), 3, "got shape ()"),
    "data of other shapes": (("verify", "model.safetensors", "int8.safetensors", "--data", "bad.npy"), 4, "input_size"),
    "another ending": (
        ("convert", "model.safetensors", "model.pt"),
        4,
        "model.pt: expected a name that ends with .safe",
    ),
    "a bound without data": (
        ("convert", "model.safetensors", "o.npz", "--max-error", "0.1"),
        4,
        "--max-error needs --cal",
    ),
    "a bound of another engine": (
        ("convert", "model.safetensors", "o.npz", "--max-error", "0.1", "--calibrate", "x.npy", "--engine", "fbgemm"),
        4,
        "--max-error chooses precisions of engine qrnn",
    ),
    "a state to quantize": (("convert", "state.npz", "o.npz", "--engine", "qrnn"), 4, "and cannot be quantized"),
    "a state to export": (("export-c", "state.npz", "o.h"), 4, "and cannot be exported"),
    "a state to time": (("bench", "state.npz"), 4, "a state dict"),
    "a state with data": (("verify", "state.npz", "state.npz", "--data", "x.npy"), 4, "--data needs two models"),
    "nothing to quantize": (("convert", "int8.safetensors", "o.npz", "--engine", "qrnn"), 4, "no float layer"),
    "an engine of a quantized model": (
        ("bench", "int8.safetensors", "--engine", "qrnn"),
        4,
        "--engine is for float ones",
    ),
    "both directions in C": (("export-c", "both.safetensors", "o.h"), 4, "expected layers that read forwards"),
}


class Mine(nn.Module):
    pass


@pytest.mark.parametrize("case", BAD)
def test_mistakes(command, folder, case):
    """A sentence that names what is wrong, its status, and no traceback; nothing is written."""
    for name in ("cut.safetensors", "cut.npz"):
        whole = (folder / {"cut.npz": "state.npz"}.get(name, "model.safetensors")).read_bytes()
        (folder / name).write_bytes(whole[: len(whole) // 2])
    qrnn.save(Mine(), "mine.safetensors")
    qrnn.save(nn.GRU(3, 4, bidirectional=True), "both.safetensors")
    np.save("one.npy", np.float32(1))
    np.save("bad.npy", np.ones((2, 3, 4), np.float32))
    arguments, status, text = BAD[case]
    got, printed, errors = command(*arguments)
    assert got == status and text in printed + errors, errors
    assert "Traceback" not in errors and not (folder / "o.npz").exists() and not (folder / "o.h").exists()


def process(*arguments, code=None, **options):
    start = ["-m", "qrnn"] if code is None else ["-c", code]
    return subprocess.run(
        [sys.executable, *start, *arguments], capture_output=True, text=True, check=False, env=environment(), **options
    )


def test_without_click():
    code = "import sys; sys.modules['click'] = None; from qrnn._cli import main; sys.exit(main(['info', 'x']))"
    done = process(code=code)
    assert (done.returncode, done.stdout) == (5, "")
    assert done.stderr == "qrnn: the command line needs the package click: pip install 'quantized-rnn[cli]'\n"


@pytest.mark.parametrize("arguments", [("info", "model.onnx"), ("convert", "model.safetensors", "o.onnx")])
def test_without_onnx(folder, arguments):
    (folder / "model.onnx").write_bytes(b"\x08\x08" + bytes(20))
    code = "import sys; sys.modules['onnx'] = sys.modules['onnx_ir'] = None; from qrnn._cli import main; "
    done = process(code=f"{code}sys.exit(main({list(arguments)!r}))")
    assert (done.returncode, done.stdout) == (5, "") and "pip install" in done.stderr
    assert done.stderr.startswith("qrnn: ") and "Traceback" not in done.stderr


def test_in_a_pipe():
    """Whoever reads may go away early."""
    done = process("info", "model.safetensors")
    assert done.returncode == 0 and done.stdout.startswith("model.safetensors: ")
    code = "import sys; from qrnn._cli import main; sys.stdin.read(); sys.exit(main(['info', 'model.safetensors']))"
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    ) as reader:
        reader.stdout.close()
        reader.stdin.close()
        assert reader.stderr.read() == b"" and reader.wait(60) == 141


def test_the_import_of_the_package_brings_no_command_line():
    code = "import sys, qrnn; print(sorted({'click', 'qrnn._cli', 'qrnn._c_model'} & set(sys.modules)))"
    assert process(code=code).stdout == "[]\n"
