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
WRAP_MEMORY=-Wl,--wrap=aligned_alloc,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=free
WRAP_THREADS=-Wl,--wrap=pthread_create,--wrap=pthread_key_create,--wrap=pthread_key_delete,--wrap=pthread_setspecific
WRAP_TEAM=-Wl,--wrap=sched_yield,--wrap=pthread_cond_wait,--wrap=pthread_create,--wrap=pthread_mutex_init,--wrap=pthread_cond_init,--wrap=pthread_attr_init,--wrap=sched_getcpu,--wrap=sched_getaffinity

say() { printf '%s: %s\n' "$NAME" "$*"; }
fail() { printf '%s: FAILED: %s\n' "$NAME" "$*" >&2; exit 1; }

# need COMMAND PACKAGES ...: installs Debian packages whose commands are missing, as root. Where that cannot be, the
# check ends here, with status 77: INCOMPLETE, but nothing was found.
incomplete() { printf '%s: INCOMPLETE: %s\n' "$NAME" "$*" >&2; exit 77; }
need() {
    local missing=() packages
    while [ $# -gt 0 ]; do
        command -v "$1" >/dev/null || { read -ra packages <<<"$2"; missing+=("${packages[@]}"); }
        shift 2
    done
    [ ${#missing[@]} -eq 0 ] && return
    command -v apt-get >/dev/null && [ "$(id -u)" = 0 ] || incomplete "needs the packages ${missing[*]}"
    apt-get update -qq -o Acquire::http::Timeout=20 || true
    DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "${missing[@]}" >/dev/null ||
        incomplete "the packages ${missing[*]} cannot be installed"
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

# objects FOLDER COMPILER FLAG ...: core and kernels, compiled into FOLDER, two at a time. What was compiled before
# from the same text by the same command is taken from OBJECTS, which plants of bugs and several checks share.
OBJECTS=${QRNN_CHECK_DIR:-$ROOT/build/check}/objects
mkdir -p "$OBJECTS"
object() {
    local out=$1/$(basename "$2" .c).o source=$2 key kept
    shift 2
    case " $* " in *' --coverage '*) "$@" -c "$source" -o "$out"; return ;; esac # notes lie beside the object
    key=$({ printf '%s\n' "$@"; "$1" --version; "$@" -E "$source"; } | sha256sum)
    kept=$OBJECTS/${key%% *}.o
    if [ ! -e "$kept" ]; then
        "$@" -c "$source" -o "$kept.$$" || return
        mv "$kept.$$" "$kept"
    fi
    cp "$kept" "$out"
}
export OBJECTS
export -f object
objects() {
    local folder=$1
    shift
    rm -rf "$folder"
    mkdir -p "$folder"
    printf '%s\n' "$ROOT"/csrc/core/?*.c "$ROOT"/csrc/kernels/?*.c |
        xargs -P "${JOBS:-2}" -I{} bash -o pipefail -c 'object "$@"' objects "$folder" {} "$@" "${C_FLAGS[@]}" ||
        fail 'the core did not compile'
}

# program FOLDER SOURCE ... -- COMPILER FLAG ...: a program over the objects of FOLDER, FOLDER/program.
program() {
    local folder=$1 sources=()
    shift
    while [ "$1" != -- ]; do
        sources+=("$ROOT/tests/$1")
        shift
    done
    shift
    "$@" "${C_FLAGS[@]}" "${sources[@]}" "$folder"/*.o -lm -lpthread -o "$folder/program" || fail 'a program did not compile'
}
