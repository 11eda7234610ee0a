# What the scripts of this folder share; sourced by them. Each runs by itself, prints what it found, and
# exits with another status than 0 where anything is wrong. PYTHON names the interpreter with NumPy,
# pytest, hypothesis and setuptools (default: the one that `make` keeps); products go to WORK.

set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
NAME=$(basename "$0")
PYTHON=${PYTHON:-$ROOT/${VENV:-.venv}/bin/python}
WORK=${QRNN_CHECK_DIR:-$ROOT/build/check}/$NAME
unset QRNN_ISA QRNN_REQUIRE_ISAS PYTEST_ARGS PYTHONPATH
mkdir -p "$WORK"

C_FLAGS=(-std=c11 -D_GNU_SOURCE -Wall -Wextra -I"$ROOT/csrc/core" -I"$ROOT/csrc/kernels" -I"$ROOT/tests/c")
CORE=("$ROOT"/csrc/core/?*.c "$ROOT"/csrc/kernels/?*.c)
C_LIBS=(-lm -lpthread)

say() { printf '%s: %s\n' "$NAME" "$*"; }
fail() { printf '%s: FAILED: %s\n' "$NAME" "$*" >&2; exit 1; }

# need COMMAND PACKAGE ...: installs Debian packages whose commands are missing, as root, or says so.
need() {
    local missing=()
    while [ $# -gt 0 ]; do
        command -v "$1" >/dev/null || missing+=("$2")
        shift 2
    done
    [ ${#missing[@]} -eq 0 ] && return
    command -v apt-get >/dev/null && [ "$(id -u)" = 0 ] || fail "needs the packages ${missing[*]}"
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "${missing[@]}" >/dev/null
}

# Instruction sets of this CPU, and the best of them.
isas() { PYTHONPATH= "$PYTHON" - "$1" <<'PYTHON'
import sys
sys.path.insert(0, sys.argv[1])
from qrnn import _core
print(*_core.isas())
PYTHON
}

# build_package FOLDER: the package with its extension under FOLDER, whose path is printed. The environment
# chooses the kind of build (setup.py).
build_package() {
    (cd "$ROOT" && "$PYTHON" setup.py -q build --build-base "$1") >"$1.log" 2>&1 ||
        { tail -n 50 "$1.log" >&2; fail 'the extension did not build'; }
    echo "$1"/lib*
}

# pytest_on PACKAGE ARG ...: the suite on a package made by build_package.
pytest_on() {
    local package=$1
    shift
    (cd "$ROOT/tests" && PYTHONPATH=$package "$PYTHON" -m pytest -q -p no:cacheprovider "$@")
}
