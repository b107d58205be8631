# Everything is made and kept in .venv; nothing is installed elsewhere.
#   make demo   sets up and runs the main job      make test   sets up and runs every gate
# Another Python: make test PYTHON=/path/to/python3.12
UV_VERSION := 0.13.8
PYTHON ?=
BIN := .venv/bin
UV := $(BIN)/uv
BOOT := .venv/.uv-$(UV_VERSION)

# Someone's active environment must not leak into ours, and uv must use the Python that make chose.
unexport VIRTUAL_ENV PYTHONPATH PYTHONHOME
export UV_PROJECT_ENVIRONMENT := $(CURDIR)/.venv
export UV_PYTHON := $(CURDIR)/$(BIN)/python
export UV_PYTHON_DOWNLOADS := never

# GNU make 4 keeps the output of gates that run side by side apart; older ones mix it.
TOGETHER := $(if $(filter output-sync,$(.FEATURES)),--output-sync=target)
GATES := lint types contracts docs wheel

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup demo test $(GATES) unit numpy nightly cluster bench sanitize format lock upgrade clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# The kernels are compiled where there is a compiler with Python's headers, and must compile there; elsewhere NumPy serves.
KERNELS := CMakeLists.txt $(wildcard native/*)
ifeq ($(origin CXX),default)
CXX := c++
endif
HEADERS = import os, sysconfig; p = sysconfig.get_paths()["include"]; g = sysconfig.get_config_var("Py_GIL_DISABLED"); raise SystemExit(bool(g) or not os.path.exists(os.path.join(p, "Python.h")))
NATIVE = $$(echo 'int main() {}' | $(CXX) -x c++ -std=c++17 -o /dev/null - >/dev/null 2>&1 && $(BIN)/python -c '$(HEADERS)' && echo CROSSMARGIN_REQUIRE_NATIVE=1)

# --- set-up -------------------------------------------------------------------------------------------------------
OLD = import sys; sys.exit(sys.version_info < (3, 11))
PIP_FREE = import ensurepip, venv

$(BOOT):
	@found=; for python in $(or $(PYTHON),python3 python3.14 python3.13 python3.12 python3.11); do \
	    if "$$python" -c '$(OLD)' >/dev/null 2>&1; then found=$$python; break; fi; done; \
	if [ -z "$$found" ]; then \
	    echo "crossmargin needs Python 3.11 or newer, and $(or $(PYTHON),python3) is not: install it, or name one, as in 'make PYTHON=/path/to/python3.12 demo'" >&2; exit 1; fi; \
	if ! "$$found" -c '$(PIP_FREE)' >/dev/null 2>&1; then \
	    echo "$$found cannot make a virtual environment (no ensurepip): install it (on Debian and Ubuntu: apt install python3-venv)" >&2; exit 1; fi; \
	echo "setting up .venv with $$("$$found" --version)"; \
	"$$found" -m venv --clear .venv && \
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --only-binary :all: 'uv==$(UV_VERSION)'
	@touch $@

# --inexact: the tools of a developer who runs the demo stay. Compiled, because a first start that compiles takes twice
# as long, and where PYTHONDONTWRITEBYTECODE is set every start would be a first one.
.venv/.core: $(BOOT) pyproject.toml uv.lock $(KERNELS)
	@echo "installing crossmargin and what it needs, as uv.lock says"
	@env $(NATIVE) $(UV) sync --quiet --locked --inexact --no-default-groups --compile-bytecode
	@$(BIN)/python -m compileall -q src
	@touch $@

.venv/.dev: .venv/.core
	@echo "installing the tools of the gates, as uv.lock says"
	@env $(NATIVE) $(UV) sync --quiet --locked --group dev
	@touch $@

setup: .venv/.dev ## .venv with the command and the tools of the gates

# --- the main job ---------------------------------------------------------------------------------------------------
demo: .venv/.core ## a desk on a real-looking market, margined and explained
	@$(BIN)/crossmargin demo

# --- gates ----------------------------------------------------------------------------------------------------------
test: .venv/.dev ## every gate; pytest runs last
	@$(MAKE) --no-print-directory --keep-going --jobs=4 $(TOGETHER) $(GATES)
	@$(MAKE) --no-print-directory unit

lint: .venv/.dev ## style and format
	@echo "== lint"
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check . || { echo "not formatted: run 'make format'"; false; }

types: .venv/.dev ## mypy --strict on src, tests, scripts
	@echo "== types"
	@$(BIN)/mypy

contracts: .venv/.dev ## which room may import which
	@echo "== contracts"
	@$(BIN)/lint-imports --no-logo 2>&1

# not --quiet, which would hide warnings from --strict too
docs: .venv/.dev ## the documentation, into site/; a warning is an error
	@echo "== docs"
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict 2>&1

wheel: .venv/.dev ## the wheel, installed alone, runs the demo
	@echo "== wheel"
	@env $(NATIVE) $(BIN)/python scripts/check_wheel.py

unit: .venv/.dev ## the tests
	@echo "== unit"
	@env $(NATIVE) $(BIN)/pytest --numprocesses=auto --dist=worksteal

# What the compiled kernels do the NumPy engine does too: the same tests, but for those of the kernels themselves.
numpy: .venv/.dev ## the tests of figures once more, on the NumPy engine
	@echo "== numpy"
	@CROSSMARGIN_KERNEL=numpy $(BIN)/pytest --numprocesses=auto --dist=worksteal --quiet \
	    tests/kernels tests/pricing tests/scenarios tests/margin tests/cluster

nightly: .venv/.dev ## the tests with many more examples
	@$(BIN)/pytest --numprocesses=auto --dist=worksteal --hypothesis-profile=nightly -m ''

# Ray is heavy, and the gates do without it: its tests are skipped, aloud, until this has run once.
cluster: .venv/.dev ## Ray into .venv, and the tests of a cluster on this machine
	@env $(NATIVE) $(UV) sync --quiet --locked --inexact --group dev --extra ray
	@$(BIN)/pytest tests/cluster

# QUICK=1: under a minute. KEEP=1: a whole run and its curves into docs/data, and from there into docs/benchmarks.md.
TODAY = $$(date +%Y-%m-%d)
bench: .venv/.dev ## the benchmark beside other libraries (QUICK=1, KEEP=1)
ifdef KEEP
	@mkdir -p docs/data
	@$(BIN)/crossmargin bench --format json --output docs/data/bench-$(TODAY).json
	@$(BIN)/crossmargin bench --curves --format json --output docs/data/curves-$(TODAY).json
	@$(BIN)/python -m scripts.bench_pages && $(BIN)/python -m scripts.docs_tables
else
	@$(BIN)/crossmargin bench $(if $(QUICK),--quick)
endif

# A build of its own, beside the package's. AddressSanitizer must be loaded before Python, which leaks by design, and with
# it the C++ library, or it finds no exceptions to watch.
SANITIZE := -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer -g
CMAKE = $$(command -v cmake || echo $(UV) tool run --quiet cmake)
TESTED = import importlib.util as u, sys, pytest; s = u.spec_from_file_location("crossmargin.kernels._native", sys.argv[1]); m = u.module_from_spec(s); s.loader.exec_module(m); sys.modules[s.name] = m; raise SystemExit(pytest.main(sys.argv[2:]))
sanitize: .venv/.dev ## the kernels under AddressSanitizer and UBSan, where the compiler has them
	@echo "== sanitize"
	@asan=$$($(CXX) -print-file-name=libasan.so); \
	if ! echo 'int main() {}' | $(CXX) -x c++ $(SANITIZE) -o /dev/null - >/dev/null 2>&1 || [ ! -e "$$asan" ]; then \
	    echo "SKIPPED: $(CXX) has no AddressSanitizer here"; exit 0; fi; \
	$(CMAKE) -S . -B build/sanitize -DCMAKE_BUILD_TYPE=Debug "-DCMAKE_CXX_FLAGS=$(SANITIZE)" "-DPython_EXECUTABLE=$(CURDIR)/$(BIN)/python" >/dev/null && \
	$(CMAKE) --build build/sanitize --parallel 4 && \
	LD_PRELOAD="$$asan $$($(CXX) -print-file-name=libstdc++.so)" ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1 \
	    $(BIN)/python -c '$(TESTED)' build/sanitize/_native.abi3.so -q -p no:cacheprovider -p no:xdist tests/kernels

# --- for developers ---------------------------------------------------------------------------------------------------
format: .venv/.dev ## writes the format, and the fixes that ruff is sure of
	@$(BIN)/ruff check --quiet --fix-only .
	@$(BIN)/ruff format .

lock: $(BOOT) ## uv.lock after a change of dependencies; versions stay where they can
	@$(UV) lock

upgrade: $(BOOT) ## newest versions into uv.lock
	@$(UV) lock --upgrade

clean: ## removes everything that make made
	rm -rf .venv site dist build .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
