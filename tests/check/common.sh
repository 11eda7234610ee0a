# What the scripts of this folder share; sourced by them. Each runs by itself, prints what it found, and
# exits with another status than 0 where anything is wrong. PYTHON names the interpreter with NumPy,
# pytest, hypothesis and setuptools (default: the one that `make` keeps); products go to WORK.

set -euo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
NAME=$(basename "$0")
PYTHON=${PYTHON:-$ROOT/${VENV:-.venv}/bin/python}
WORK=${QRNN_CHECK_DIR:-$ROOT/build/check}/$NAME
FREE_THREADED=${XDG_CACHE_HOME:-$HOME/.cache}/qrnn-free-threaded # what the check of this name keeps
unset QRNN_ISA QRNN_REQUIRE_ISAS PYTEST_ARGS PYTHONPATH
mkdir -p "$WORK"

C_FLAGS=(-std=c11 -D_GNU_SOURCE -Wall -Wextra -I"$ROOT/csrc/core" -I"$ROOT/csrc/kernels" -I"$ROOT/tests/c")
WRAP_MEMORY=-Wl,--wrap=aligned_alloc,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=free
WRAP_THREADS=-Wl,--wrap=pthread_create,--wrap=pthread_key_create,--wrap=pthread_key_delete,--wrap=pthread_setspecific
WRAP_TEAM=-Wl,--wrap=sched_yield,--wrap=pthread_cond_wait,--wrap=pthread_create,--wrap=pthread_mutex_init,--wrap=pthread_cond_init,--wrap=pthread_attr_init,--wrap=sched_getcpu,--wrap=sched_getaffinity

say() { printf '%s: %s\n' "$NAME" "$*"; }
fail() { printf '%s: FAILED: %s\n' "$NAME" "$*" >&2; exit 1; }

incomplete() { printf '%s: INCOMPLETE: %s\n' "$NAME" "$*" >&2; exit 77; }

# need TEST [ARG ...] -- PACKAGE ...: the check goes on if the command TEST succeeds. If it fails, these Debian packages
# are installed, and it runs again. If it still fails, the check ends with status 77: INCOMPLETE, but nothing was found.
# A TEST gives a tool the very work that the check has for it, because a name proves little: a compiler can lack the
# library of a sanitizer, and valgrind the symbols of the C library. It leaves in `what` what it tried.
# can TEST [ARG ...] -- PACKAGE ...: the same, but returns whether TEST succeeded; `reason` says why it did not.
need() { can "$@" || incomplete "$reason"; }
can() {
    local command=() log=$WORK/tool.log
    while [ "$1" != -- ]; do
        command+=("$1")
        shift
    done
    shift
    ! "${command[@]}" >"$log" 2>&1 || return 0
    reason="$what: $(grep -m 1 . "$log" || echo 'failed')"
    install_packages "$@" || return 1
    ! "${command[@]}" >"$log" 2>&1 || return 0
    reason="$what, after the installation of $*: $(grep -m 1 . "$log" || echo 'failed')"
    return 1
}

# alone COMMAND ...: no other check of this folder runs a command by this function at the same time.
alone() { flock "$(dirname "$WORK")" "$@"; }

# install_packages PACKAGE ...: nothing that they only recommend, so what a TEST needs of that has to be named too.
install_packages() {
    if ! command -v apt-get >/dev/null || [ "$(id -u)" != 0 ]; then
        reason+=" (only root can install $*, with apt-get)"
        return 1
    fi
    local apt=(apt-get -qq -o Acquire::http::Timeout=20 -o DPkg::Lock::Timeout=120)
    alone "${apt[@]}" update >/dev/null || true
    if ! DEBIAN_FRONTEND=noninteractive alone "${apt[@]}" install -y --no-install-recommends "$@" >/dev/null; then
        reason+=" (and apt-get cannot install $*)"
        return 1
    fi
}

# apt_of SUITE FOLDER [OPTION ...]: apt becomes a command that knows one suite of Debian alone, source packages too, and
# keeps what it knows in FOLDER. The machine's own lists stay as they are.
apt_of() {
    local mirror
    mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Label: Debian' | head -n 1) || true
    [ -n "$mirror" ] || incomplete 'apt has no Debian mirror'
    mkdir -p "$2/lists/partial" "$2/archives/partial"
    : >"$2/status"
    printf "%s [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $1 main\n" deb deb-src >"$2/list"
    apt=(apt-get -qq -o "Dir::Etc::SourceList=$2/list" -o Dir::Etc::SourceParts=/dev/null -o "Dir::State::Lists=$2/lists"
        -o "Dir::State::status=$2/status" -o "Dir::Cache::archives=$2/archives" -o APT::Sandbox::User=root "${@:3}")
    "${apt[@]}" update >"$2/log" 2>&1 || true
}

# debian_root FOLDER SUITE ARCHITECTURE PACKAGE ...: unpacks packages and what they depend on into FOLDER, once.
debian_root() {
    local folder=$1 suite=$2 architecture=$3 apt package
    [ ! -e "$folder/unpacked" ] || return 0
    shift 3
    rm -rf "$folder"
    mkdir -p "$folder"
    apt_of "$suite" "$folder/apt" -o "APT::Architecture=$architecture" -o "APT::Architectures=$architecture"
    "${apt[@]}" install -y --download-only --no-install-recommends "$@" >>"$folder/apt/log" 2>&1 ||
        incomplete "$* of $suite for $architecture: $(tail -n 1 "$folder/apt/log")"
    for package in "$folder"/apt/archives/*.deb; do dpkg -x "$package" "$folder"; done
    [ -e "$folder/lib" ] || ln -s usr/lib "$folder/lib" # which a package of the base system would do
    rm -rf "$folder/apt"
    touch "$folder/unpacked"
}

# The CPython without a GIL that QRNN_FREE_THREADED names, or the newest that was built for these checks; or nothing.
free_threaded() {
    if [ -n "${QRNN_FREE_THREADED:-}" ]; then echo "$QRNN_FREE_THREADED"; else
        find "$FREE_THREADED/python/bin" -name 'python3.*t' 2>/dev/null | sort -V | tail -n 1 || true
    fi
}
without_gil() { "$1" -c 'import sysconfig, sys; sys.exit(sysconfig.get_config_var("Py_GIL_DISABLED") != 1)'; }

# Tests of tools. compiles COMPILER FLAG ...: the compiler and its linker make the program TOOL with these flags.
TOOL=$WORK/tool
compiles() {
    what="making a program with $*"
    rm -f "$TOOL"
    printf '#include <%s>\n' math.h stdio.h >"$TOOL.c"
    printf '#ifndef __wasi__ /* which has no threads */\n#include <pthread.h>\n#endif\n' >>"$TOOL.c"
    printf 'int main(void) { return puts("it runs") < 0; }\n' >>"$TOOL.c"
    "$1" "$TOOL.c" "${@:2}" -lm -lpthread -o "$TOOL"
}

# runs COMPILER FLAG ...: and the program runs; runs_under COMMAND ...: under this command, one word.
runs() { runs_under '' "$@"; }
runs_under() {
    local under
    read -ra under <<<"$1"
    compiles "${@:2}" || return
    what="running a program${under[*]:+ under ${under[*]}} that was made with ${*:2}"
    "${under[@]}" "$TOOL" >"$TOOL.out" && grep -qx 'it runs' "$TOOL.out"
}

# need_cc FLAG ...: the C compiler makes programs with these flags, and they run.
need_cc() { need runs "${CC:-cc}" "$@" -- gcc libc6-dev; }

# What build_package needs: PYTHON with its headers, and its modules, which come from pip.
need_python() {
    local include
    "$PYTHON" -c 'import hypothesis, numpy, pytest, setuptools' || fail "PYTHON=$PYTHON: it needs these modules"
    include=$("$PYTHON" -c 'import sysconfig; print(sysconfig.get_path("include"))')
    need runs "${CC:-cc}" -I"$include" -include Python.h -- gcc libc6-dev python3-dev
}

# need_preloaded LIBRARY ...: PYTHON runs with these libraries of the compiler; PRELOADED is their paths.
need_preloaded() {
    local library
    PRELOADED=
    for library; do PRELOADED+=" $("${CC:-cc}" -print-file-name="$library")"; done
    need preloads "$@" -- gcc
}
preloads() {
    what="loading$PRELOADED before $PYTHON"
    LD_PRELOAD=$PRELOADED "$PYTHON" -c 'import sys, numpy
maps = open("/proc/self/maps").read()
sys.exit(" ".join(name for name in sys.argv[1:] if name not in maps) or None)' "$@"
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
    need_python
    # Builds share the egg-info of the checkout.
    (cd "$ROOT" && alone "$PYTHON" setup.py -q build --build-base "$1") >"$1.log" 2>&1 ||
        { tail -n 50 "$1.log" >&2; fail 'the extension did not build'; }
    echo "$1"/lib*
}

# pytest_on PACKAGE ARG ...: the suite on a package made by build_package, but for tests of the sources, which no build
# of the package changes.
OF_SOURCES=(errands core/test_{branches,c_library,check_tools,emulated,mutants,source_rules}.py)
pytest_on() {
    local package=$1
    shift
    (cd "$ROOT/tests" && PYTHONPATH=$package "$PYTHON" -m pytest -q -p no:cacheprovider \
        "${OF_SOURCES[@]/#/--ignore=}" "$@")
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

# digest_of PLATFORM COMMAND ...: runs check_kernels, which compares the instruction sets that are there; `digest` is
# what it printed. Each is a row of the table that `all` prints: PLATFORM|SETS|DIGEST.
DIGESTS=$WORK/digests
: >"$DIGESTS"
digest_of() {
    local platform=$1 printed sets
    shift
    printed=$(timeout 900 "$@" 2>/dev/null) || fail "check_kernels: $* ended with status $?"
    digest=$(grep -oP '^digest: \K[0-9a-f]{16}$' <<<"$printed") || fail "check_kernels: $* printed no digest"
    sets=$(grep -oP '^\w+(?=: checked$)' <<<"$printed" | tr '\n' ' ') || true
    printf '%s|%s|%s\n' "$platform" "scalar $sets" "$digest" >>"$DIGESTS"
}

# digest_table FOLDER: the rows of all checks whose products are in this folder; fails where digests differ.
digest_table() {
    local rows
    rows=$(cat "$1"/*/digests | awk '!seen[$0]++')
    awk -F'|' '{printf "%-28s %-36s %s\n", $1, $2, $3}' <<<"$rows"
    [ "$(cut -d'|' -f3 <<<"$rows" | sort -u | wc -l)" = 1 ] || { echo 'FAILED: the digests differ'; return 1; }
}

# digest_here PROGRAM: `expected` is the digest of this CPU.
digest_here() {
    digest_of "this CPU, $(uname -m)" "$1" 5
    expected=$digest
}

# same PLATFORM COMMAND ...: the digest of check_kernels run by the command is `expected`.
same() {
    digest_of "$@"
    [ "$digest" = "$expected" ] || fail "check_kernels on $1: the digest of the scalar results is $digest, here it is $expected"
    say "check_kernels on $1: digest $digest, as on this CPU"
}
