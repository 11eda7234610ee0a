"""Which engine and which instruction set a module gets, and that it keeps them."""

from __future__ import annotations

import asyncio
import contextvars
import os
import threading

import numpy as np
import pytest
import support
from support import assert_same_bits, run_python
from support.reference import ENGINES

import qrnn
from qrnn import nn
from qrnn.nn.quantized import dynamic as qd

f32 = np.float32


@pytest.fixture(autouse=True)
def default_engine():
    yield
    qrnn.backends.quantized.engine = "qrnn"


def test_names():
    assert tuple(qrnn._core.engines()) == ENGINES
    assert qrnn.backends.quantized.supported_engines == list(ENGINES)
    assert qrnn.backends.quantized.engine == "qrnn"
    assert qrnn.isas() == qrnn._core.isas()


def test_process_default():
    for name in ENGINES:
        qrnn.backends.quantized.engine = name
        assert qrnn.backends.quantized.engine == name
        assert qd.RNNCell(2, 2).engine == name and qd.Linear(2, 2).engine == name
        assert qd.RNNCell.from_float(nn.RNNCell(2, 2)).engine == name
        assert qrnn.quantize_dynamic(nn.Sequential(nn.Linear(2, 2)))[0].engine == name


def test_supported_engines_is_no_handle():
    qrnn.backends.quantized.supported_engines.clear()
    assert qrnn.backends.quantized.supported_engines == list(ENGINES)


def test_context_over_the_default():
    qrnn.backends.quantized.engine = "fbgemm"
    with qrnn.engine("qnnpack"):
        assert qd.RNNCell(2, 2).engine == "qnnpack"
        with qrnn.engine("qrnn"):
            assert qd.RNNCell(2, 2).engine == "qrnn"
            assert qd.RNNCell(2, 2, engine="onednn").engine == "onednn", "an argument stands above all"
        assert qd.RNNCell(2, 2).engine == "qnnpack"
    assert qd.RNNCell(2, 2).engine == "fbgemm"
    with pytest.raises(KeyError), qrnn.engine("qnnpack"):
        raise KeyError
    assert qd.RNNCell(2, 2).engine == "fbgemm"


def test_one_block_object_entered_twice():
    block = qrnn.engine("qnnpack")
    with block, block:
        assert qd.RNNCell(2, 2).engine == "qnnpack"
    assert qd.RNNCell(2, 2).engine == "qrnn"


def test_context_belongs_to_its_task():
    async def make(name):
        with qrnn.engine(name):
            await asyncio.sleep(0.001)
            return qd.RNNCell(2, 2).engine

    async def main():
        return await asyncio.gather(*(make(name) for name in ENGINES))

    assert asyncio.run(main()) == list(ENGINES)
    with qrnn.engine("fbgemm"):
        context = contextvars.copy_context()
    assert context.run(lambda: qd.RNNCell(2, 2).engine) == "fbgemm"


def test_a_module_keeps_its_engine():
    x = np.linspace(-1, 1, 12, dtype=f32).reshape(3, 4)
    cells = {name: qd.RNNCell(4, 3, engine=name) for name in ENGINES}
    wanted = {name: cell(x) for name, cell in cells.items()}
    for default in ENGINES:
        qrnn.backends.quantized.engine = default
        for name, cell in cells.items():
            assert cell.engine == name
            assert_same_bits(cell(x), wanted[name])


def test_float_modules_have_no_choice():
    qrnn.backends.quantized.engine = "fbgemm"
    assert nn.RNNCell(2, 2).engine == "float32"


def test_engines_differ_and_x86_is_fbgemm():
    rng = np.random.default_rng(110)
    cell = nn.RNNCell(30, 20, nonlinearity="relu")
    x = rng.standard_normal((5, 30)).astype(f32)
    out = {name: qd.RNNCell.from_float(cell, engine=name)(x) for name in ENGINES}
    assert_same_bits(out["x86"], out["fbgemm"])
    names = ("qrnn", "fbgemm", "qnnpack", "onednn")
    for i, a in enumerate(names):
        for b in names[:i]:
            assert not support.same_bits(out[a], out[b]), (a, b)


# ---------------------------------------------------------------------------------------------------
# Instruction sets
# ---------------------------------------------------------------------------------------------------
def test_isa_argument(isa):
    for module in (
        qd.RNNCell(4, 3, isa=isa),
        nn.RNNCell(4, 3, isa=isa),
        qd.Linear(4, 3, isa=isa),
        nn.Linear(4, 3, isa=isa),
        qd.RNNCell.from_float(nn.RNNCell(4, 3), isa=isa),
    ):
        assert module.isa == isa
        support.note(module)
    for changed in (qd.RNNCell(4, 3, isa=isa), nn.RNNCell(4, 3, isa=isa)):
        changed.bias_ih = np.ones(3, f32)
        assert changed.isa == isa, "new weights keep the instruction set"
        changed.load_state_dict(changed.state_dict())
        assert changed.isa == isa


@pytest.mark.skipif("QRNN_ISA" in os.environ, reason="QRNN_ISA IS SET: the default was not checked")
def test_the_best_by_default():
    assert qd.RNNCell(4, 3).isa == qrnn.isas()[-1]


def test_environment(isa):
    code = "import qrnn\nprint(qrnn.RNNCell(4, 3).isa, qrnn.nn.Linear(4, 3).isa, qrnn.RNNCell(4, 3, isa='scalar').isa)"
    assert run_python(code, QRNN_ISA=isa).split() == [isa, isa, "scalar"]


def test_environment_is_read_once():
    code = "import os, qrnn; os.environ['QRNN_ISA'] = 'scalar'; print(qrnn.RNNCell(4, 3).isa)"
    assert run_python(code, QRNN_ISA="").strip() == qrnn.isas()[-1]


def test_environment_with_a_wrong_name():
    """An error when a module is made, never a silent fallback; and the import works."""
    code = (
        "import qrnn\n"
        "for make in (lambda: qrnn.RNNCell(4, 3), lambda: qrnn.nn.Linear(4, 3),\n"
        "             lambda: qrnn.RNNCell.from_float(qrnn.nn.RNNCell(4, 3, isa='scalar'))):\n"
        "    try:\n"
        "        make()\n"
        "    except ValueError as error:\n"
        "        assert 'QRNN_ISA' in str(error) and 'mmx' in str(error)\n"
        "    else:\n"
        "        raise SystemExit('no error')\n"
        "print(qrnn.RNNCell(4, 3, isa='scalar').isa)\n"
    )
    assert run_python(code, QRNN_ISA="mmx").strip() == "scalar"


def test_the_core_reads_no_environment():
    """It is the Python package that does."""
    code = "import numpy as np\nfrom qrnn import _core\nprint(len(_core.isas()))\n_core.apply('tanh', np.ones(3, 'f'))"
    assert int(run_python(code, QRNN_ISA="mmx")) == len(qrnn.isas())


def test_show_versions(capsys):
    qrnn.show_versions()
    text = capsys.readouterr().out
    for word in ("qrnn", qrnn.__version__, np.__version__, "scalar", "torch"):
        assert word in text


def test_one_object_in_two_threads():
    """Each thread has its own blocks, also of one object."""
    fbgemm, inside, seen = qrnn.engine("fbgemm"), threading.Barrier(2, timeout=60), []

    def work(first):
        if not first:
            inside.wait()
        with fbgemm:
            if first:
                inside.wait()
            inside.wait()
            seen.append(qrnn.engine.current())
            if not first:
                inside.wait()
        if first:
            inside.wait()
        seen.append(qrnn.engine.current())

    threads = [threading.Thread(target=work, args=(first,)) for first in (True, False)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(seen) == ["fbgemm", "fbgemm", "qrnn", "qrnn"]
    assert qrnn.engine.current() == "qrnn"
