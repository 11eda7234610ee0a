"""tests/check: a tool counts as there when it does its work; what plants and reasons say of the sources holds.

How tools are searched for is in common.sh, where what fails is installed and tried again.
"""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest
from support import ROOT

COMPILER = shutil.which("cc")
pytestmark = pytest.mark.skipif(
    not (COMPILER and shutil.which("bash")), reason="NO cc AND bash: the checks' search for tools was not tried"
)

# A compiler that is there, but whose linker finds the library of a sanitizer only once a package is installed.
FAKES = {
    "cc": f"""[ -e "$INSTALLED" ] || case "$*" in *-fsanitize=thread*) echo 'cannot find libtsan' >&2; exit 1; esac
exec {COMPILER} "${{@/-fsanitize=thread/-O0}}"
""",
    "apt-get": """echo "apt-get $*" >>"$ASKED"
case "$*" in *install*) [ "$HAVE" = yes ] && touch "$INSTALLED"; esac
""",
    "id": "echo $ID\n",
}


@pytest.fixture
def check(tmp_path):
    """Run the lines of a check among the fakes: its exit status and output, and what apt-get was asked for."""
    (tmp_path / "bin").mkdir()
    for name, text in FAKES.items():
        (tmp_path / "bin" / name).write_text(f"#!{shutil.which('bash')}\n{text}")
        (tmp_path / "bin" / name).chmod(0o755)

    def run(lines, have="yes", root=True):
        script, asked = tmp_path / "probe", tmp_path / "asked"
        script.write_text(f". {ROOT}/tests/check/common.sh\n{lines}\n")
        environment = {
            **{name: value for name, value in os.environ.items() if name != "CC"},
            "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}",
            "QRNN_CHECK_DIR": str(tmp_path / "work"),
            "ASKED": str(asked),
            "INSTALLED": str(tmp_path / "installed"),
            "HAVE": have,
            "ID": "0" if root else "1000",
        }
        done = subprocess.run(["bash", script], env=environment, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout + done.stderr, asked.read_text() if asked.exists() else ""

    return run


def test_a_tool_that_works_is_not_installed(check):
    assert check("need_cc -O2; echo went on") == (0, "went on\n", "")


def test_a_tool_without_its_library_is_installed_and_tried_again(check):
    status, printed, asked = check("need_cc -fsanitize=thread; echo went on")
    assert (status, printed) == (0, "went on\n")
    assert "install -y --no-install-recommends gcc libc6-dev" in asked


def test_what_cannot_be_installed_is_incomplete(check):
    status, printed, _ = check("need_cc -fsanitize=thread; echo went on", have="no")
    assert status == 77
    assert printed == (
        "probe: INCOMPLETE: making a program with cc -fsanitize=thread: cannot find libtsan "
        "(and apt-get cannot install gcc libc6-dev)\n"
    )


def test_what_does_not_help_is_incomplete(check):
    status, printed, _ = check("need runs false -- some-package; echo went on")
    assert status == 77
    assert printed == "probe: INCOMPLETE: making a program with false, after the installation of some-package: failed\n"


def test_only_root_installs(check):
    status, printed, asked = check("need_cc -fsanitize=thread; echo went on", root=False)
    assert (status, asked) == (77, "")
    assert "only root can install gcc libc6-dev" in printed


def test_a_program_that_does_not_run_is_no_tool(check):
    status, printed, _ = check("need runs_under 'false' cc -O0 -- valgrind")
    assert status == 77
    assert "running a program under false that was made with cc -O0, after the installation of valgrind" in printed


def test_a_check_may_go_on_without_a_tool(check):
    assert check("can runs false -- some-package || echo without it")[:2] == (0, "without it\n")


@pytest.mark.parametrize(("digest", "status"), [("00ff", 0), ("00fe", 1)])
def test_the_table_of_digests_fails_where_they_differ(check, digest, status):
    lines = f"""folder=$(dirname "$WORK")
mkdir -p "$folder/arm" "$folder/systems"
printf 'this CPU|scalar avx2 |00ff\\nAArch64|scalar neon |00ff\\n' >"$folder/arm/digests"
printf 'this CPU|scalar avx2 |00ff\\nWebAssembly|scalar wasm |{digest}\\n' >"$folder/systems/digests"
digest_table "$folder" && exit 0 || exit 1"""
    got, printed, _ = check(lines)
    assert got == status and ("FAILED: the digests differ" in printed) == bool(status)
    rows = [line.split() for line in printed.splitlines() if not line.startswith("FAILED")]
    assert rows == [
        ["this", "CPU", "scalar", "avx2", "00ff"],
        ["AArch64", "scalar", "neon", "00ff"],
        ["WebAssembly", "scalar", "wasm", digest],
    ]


def test_plants_replace_text_that_is_there():
    command = ["bash", ROOT / "tests/check/planted", "texts"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_reasons_name_lines_that_are_there():
    """Of unreached.txt, which the check `coverage` reads: it runs too long to be the first to see."""
    rows = [line.split(" | ", 2) for line in (ROOT / "tests/check/unreached.txt").read_text().splitlines()]
    rows = [row for row in rows if len(row) == 3]
    assert len(rows) > 20
    for file, function, text in rows:
        source = (ROOT / "csrc" / file.split(" (")[0]).read_text()
        name = function.removesuffix("_sloped") if file.startswith("kernels/ends.def") else function  # a macro's name
        assert name in source, f"{file}: {function}"
        assert text == "*" or text in {line.strip() for line in source.splitlines()}, f"{file}: {text}"
