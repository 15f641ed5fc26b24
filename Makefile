# `make help` lists the targets. All of them work in a virtual environment of their own, .venv.

PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
PYTEST := $(PY) -m pytest -q
C_FILES = $(shell find csrc tests/c tests/fuzz tests/nomem benchmarks/loadgen benchmarks/floor -name '*.[ch]')
EXT_SOURCES = $(shell find csrc -name '*.[ch]') setup.py
ASAN_TREE := build/asan
REFLEAK_TREE := build/refleak
NOMEM_TREE := build/nomem
VALGRIND_TREE := build/valgrind
TREE_FILES := csrc toolboxsio tests benchmarks Makefile pyproject.toml setup.py README.md LICENSE
ASAN_FLAGS := -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer

.DEFAULT_GOAL := help
.PHONY: help demo serve test test-py313 check build debug ctest asan asan-e2e valgrind refleak nomem fuzz dist portable nightly soak lint stubtest symbols bench instructions clean

help: ## this list
	@sed -n 's/^\([a-z0-9-]*\):.*## /\1	/p' $(MAKEFILE_LIST) | expand -t 12

demo: $(VENV)/demo ## install, serve the example application, show that it works, serve until Ctrl-C
	$(PY) -m toolboxsio.backend.demo

serve: $(VENV)/demo ## install and serve the example application
	$(PY) -m toolboxsio serve --debug

# Tests that wait for servers and clients are many: more of them at once than there are cores.
PARALLEL := -n $(shell expr $$(getconf _NPROCESSORS_ONLN) + 1) --dist loadfile --no-loadscope-reorder

test: build node_modules ## install everything and run the Python tests, upstream's own among them
	@PYTHON=$(PYTHON) .ci/need redis nginx chromium stdlib-tests clang
	$(PYTEST) $(or $(T),tests $(PARALLEL))

# Kept between runs; the tests are run in a copy of the tree within it.
TRIXIE ?= $(or $(TMPDIR),/var/tmp)/toolboxsio-trixie

test-py313: ## what `make test` does, on Python 3.13, in a Debian trixie (debootstrap, root): T='tests/unit'
	.ci/in-debian trixie $(TRIXIE) make test

check: ## all that has to hold: lint, stubs, C tests, Python tests
	@PYTHON=$(PYTHON) .ci/need $(CHECK_NEEDS)
	$(MAKE) -j 2 -O lint stubtest ctest fuzz-smoke
	$(MAKE) test

# What they need, in one installation: two at once get into each other's way.
CHECK_NEEDS = python venv headers cc gcc clang-asan clang-fuzz clang-format clang-tidy clang node redis nginx chromium stdlib-tests

$(VENV)/bin/pip: .ci/need
	@PYTHON=$(PYTHON) .ci/need python venv headers cc
	$(PYTHON) -m venv --upgrade-deps $(VENV)
	@touch $@

$(VENV)/demo: $(VENV)/bin/pip pyproject.toml $(EXT_SOURCES)
	TOOLBOXSIO_REQUIRE_EXT=1 $(PY) -m pip install -q -e '.[backend]' aiohttp
	@touch $@

$(VENV)/dev: $(VENV)/bin/pip pyproject.toml
	TOOLBOXSIO_REQUIRE_EXT=1 $(PY) -m pip install -q -e '.[dev]'
	@touch $@

.PHONY: node_modules
node_modules:
	@PYTHON=$(PYTHON) .ci/need node
	cd tests/js && $(abspath $(PY)) npm.py

build: $(VENV)/dev ## the extension, in place, with strict warnings
	TOOLBOXSIO_DEV=1 $(PY) setup.py -q build_ext --inplace

debug: $(VENV)/dev ## the extension, in place, with assertions and small limits
	TOOLBOXSIO_DEV=1 TOOLBOXSIO_DEBUG=1 $(PY) setup.py -q build_ext --inplace

ctest: $(VENV)/bin/pip ## floors 0 and 1 without Python, gcc and clang, ASan and UBSan
	@PYTHON=$(PYTHON) .ci/need gcc clang-asan
	$(MAKE) -s -j 2 -O -C tests/c run PYTHON=$(abspath $(PY))

# Shared by both: a tree of its own, and an interpreter that loads the sanitizers. A report of any
# process fails the target, also where the tests did not see it.
ASAN_RUN = cd $(ASAN_TREE) && env PYTHONMALLOC=malloc TOOLBOXSIO_SLOWNESS=4 \
	ASAN_OPTIONS=detect_leaks=0:log_path=$(abspath $(ASAN_TREE))/reports/asan \
	UBSAN_OPTIONS=print_stacktrace=1:log_path=$(abspath $(ASAN_TREE))/reports/ubsan \
	venv/bin/python -m pytest -q $(PARALLEL)
ASAN_REPORTS = ! find $(ASAN_TREE)/reports -type f -exec cat {} + | grep .

.PHONY: asan-tree
asan-tree: $(VENV)/dev node_modules
	rm -rf $(ASAN_TREE) && mkdir -p $(ASAN_TREE)/reports
	tar -c --exclude='*.so' $(TREE_FILES) | tar -x -C $(ASAN_TREE)
	cd $(ASAN_TREE) && CC=gcc CFLAGS='$(ASAN_FLAGS)' LDFLAGS='$(ASAN_FLAGS)' TOOLBOXSIO_DEBUG=1 \
		$(abspath $(PY)) setup.py -q build_ext --inplace
	.ci/preloaded-venv $(PY) $(abspath $(ASAN_TREE)) \
		"$$(gcc -print-file-name=libasan.so)" "$$(gcc -print-file-name=libubsan.so)"

asan: asan-tree ## the unit and parity tests with the extension under ASan and UBSan
	@PYTHON=$(PYTHON) .ci/need redis stdlib-tests
	$(ASAN_RUN) tests/unit tests/parity $(addprefix --ignore tests/unit/test_,build.py bench.py benchmarks.py charts.py instructions.py loadgen.py tree.py refleak.py)
	$(ASAN_REPORTS)

asan-e2e: asan-tree ## the end-to-end and integration tests, their servers under ASan and UBSan
	@PYTHON=$(PYTHON) .ci/need redis nginx chromium
	$(ASAN_RUN) --timeout 600 tests/e2e tests/integration --ignore tests/e2e/test_leaks.py --ignore tests/e2e/test_crowds.py
	$(ASAN_REPORTS)

VALGRIND_UNITS = ack connection eio_codec event_stats fanout json_dec json_enc json_finite pubsub reentrancy sio_codec
VALGRIND_RUN = cd $(VALGRIND_TREE) && env PYTHONMALLOC=malloc PYTHONPATH=. TOOLBOXSIO_SLOWNESS=10 TOOLBOXSIO_VALGRIND=1
# Slow because the count of what is left is slow, or about no C; one counts seconds.
VALGRIND_SKIPPED = digits_of_a_long_integer or garbage_is_collected or collect or deadline or seconds

valgrind: $(VENV)/dev ## unit tests, then servers with clients of every kind, under valgrind's memcheck
	@PYTHON=$(PYTHON) .ci/need valgrind libc-symbols
	rm -rf $(VALGRIND_TREE) && mkdir -p $(VALGRIND_TREE)/reports
	tar -c --exclude='*.so' $(TREE_FILES) | tar -x -C $(VALGRIND_TREE)
	cd $(VALGRIND_TREE) && CFLAGS='-O1 -g' TOOLBOXSIO_DEBUG=1 $(abspath $(PY)) setup.py -q build_ext --inplace
	$(VALGRIND_RUN) $(abspath $(PY)) -m pytest -q -s tests/e2e/test_uninitialised.py
	$(VALGRIND_RUN) valgrind --xml=yes --xml-file=reports/%p.xml --leak-check=no --num-callers=30 --error-limit=no \
		$(abspath $(PY)) -m pytest -q --timeout 0 -k 'not ($(VALGRIND_SKIPPED))' \
		$(VALGRIND_UNITS:%=tests/unit/test_%.py)
	$(PY) tests/e2e/memcheck.py $(VALGRIND_TREE)/reports/*.xml

refleak: $(VENV)/dev ## reference counts, by a debug interpreter, after many runs of all that the extension offers
	@PYTHON=$(PYTHON) .ci/need debug-python
	rm -rf $(REFLEAK_TREE) && mkdir -p $(REFLEAK_TREE)
	tar -c --exclude='*.so' csrc toolboxsio tests/conftest.py tests/unit tests/e2e pyproject.toml setup.py README.md LICENSE | tar -x -C $(REFLEAK_TREE)
	cd $(REFLEAK_TREE) && export PYTHONPATH="$$($(abspath $(PY)) -c 'import sysconfig; print(sysconfig.get_path("purelib"))')" && \
		dbg=python$$($(abspath $(PY)) -c 'import sys; print("%d.%d" % sys.version_info[:2])')-dbg && \
		TOOLBOXSIO_DEBUG=1 $$dbg setup.py -q build_ext --inplace && \
		$$dbg -m pytest -q -W default tests/unit/test_refleak.py tests/e2e/test_leaks.py

nomem: $(VENV)/dev ctest ## every call that allocates fails, in each scenario, under a debug interpreter
	@PYTHON=$(PYTHON) .ci/need debug-python
	export PYTHONPATH="$$($(abspath $(PY)) -c 'import sysconfig; print(sysconfig.get_path("purelib"))')" && \
		dbg=python$$($(abspath $(PY)) -c 'import sys; print("%d.%d" % sys.version_info[:2])')-dbg && \
		$$dbg tests/nomem/build.py $(NOMEM_TREE) && cd $(NOMEM_TREE) && $$dbg -m tests.nomem --all

FUZZ = @PYTHON=$(PYTHON) .ci/need clang-fuzz headers && \
	$(MAKE) -s -C tests/fuzz PYTHON=$(abspath $(PY))

fuzz: $(VENV)/dev ## fuzzing: T=target SECONDS=60; without T all targets; without both their list
	$(FUZZ) $(if $(T)$(SECONDS),run T=$(T) SECONDS=$(or $(SECONDS),60),list)

.PHONY: fuzz-smoke
fuzz-smoke: $(VENV)/dev
	$(FUZZ) -j 2 -O smoke

# A virtual environment with a dependency group of pyproject.toml.
build/venv-%: pyproject.toml | $(VENV)/bin/pip
	$(PYTHON) -m venv --upgrade-deps $@
	$@/bin/python -m pip install -q --group $*
	@touch $@

dist: build/venv-release ## the source archive and a manylinux wheel, each installed and tried, with a compiler and without
	@PYTHON=$(PYTHON) .ci/need cc headers
	$(PYTHON) tests/release/dist.py $< dist

PORTABLE := build/portable
PORTABLE_CTEST = PATH="$(abspath $(PORTABLE))/bin:$$PATH" WINEPREFIX=$(abspath $(PORTABLE))/wine WINEDEBUG=-all \
	$(MAKE) -s -C tests/c run OUT=$(abspath $(PORTABLE))/ctest SANITIZE= PYTHON=$(abspath $(PY))

portable: $(VENV)/dev build/venv-portable ## the C sources for other systems: compiled by zig; their tests on musl, ARM (qemu), Windows (wine)
	@PYTHON=$(PYTHON) .ci/need qemu-aarch64 wine64
	build/venv-portable/bin/python tests/portable/build.py $(PORTABLE)
	$(PORTABLE_CTEST) CC=x86_64-linux-musl VARIANTS=plain
	$(PORTABLE_CTEST) CC=aarch64-linux-musl VARIANTS="plain portable" RUNNER=qemu-aarch64
	$(PORTABLE_CTEST) CC=x86_64-windows-gnu VARIANTS=intrinsics RUNNER=$$(command -v wine64 || echo /usr/lib/wine/wine64) \
		TESTS="$(filter-out test_clock test_nomem,$(patsubst tests/c/%.c,%,$(wildcard tests/c/test_*.c)))"
	for mac in aarch64-macos x86_64-macos; do $(PORTABLE_CTEST) CC=$$mac VARIANTS=plain RUNNER="echo linked:" || exit 1; done

nightly: build node_modules ## the generated tests, hostile clients, faults, leaks, crowds and idle proxies, at length
	@PYTHON=$(PYTHON) .ci/need valgrind redis nginx stdlib-tests
	TOOLBOXSIO_NIGHTLY=1 $(PYTEST) tests/parity tests/hostile tests/unit/test_instructions.py \
		$(patsubst %,tests/e2e/test_%.py,conformance differential faults leaks crowds) \
		tests/integration/test_proxy.py --timeout 3600

soak: build node_modules ## clients of every kind for SECONDS=1200, CLIENTS=2000 of them, on two servers and Redis
	@PYTHON=$(PYTHON) .ci/need redis
	$(PY) -m tests.soak --seconds $(or $(SECONDS),1200) --clients $(or $(CLIENTS),2000) --report build/soak.json

lint: $(VENV)/dev ## format and lint of Python and C, types
	@PYTHON=$(PYTHON) .ci/need clang-format clang-tidy
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(PY) -m mypy
	clang-format --dry-run -Werror $(C_FILES)
	find csrc -name '*.c' | xargs -P 2 -n 4 sh -c 'clang-tidy --quiet "$$@" -- -std=c11 -Icsrc \
		-isystem $(shell $(PYTHON) -c 'import sysconfig; print(sysconfig.get_path("include"))') 2>/dev/null' clang-tidy
	$(PYTEST) tests/unit/test_tree.py

stubtest: build ## toolboxsio/_core.pyi against the built module
	$(PY) -m mypy.stubtest --mypy-config-file pyproject.toml toolboxsio._core

symbols: build ## the extension exports its init function and nothing else
	$(PYTEST) tests/unit/test_build.py -k exports

bench: build ## all benchmarks (an hour), their chart, and their tables in the README
	$(PY) -m benchmarks all
	$(PY) -m benchmarks charts
	$(PY) -m benchmarks readme

instructions: build ## instructions of the C path beside those of the last record; RECORD=1 writes one
	@PYTHON=$(PYTHON) .ci/need valgrind
	$(PY) -m benchmarks instructions $(if $(RECORD),--record)

clean: ## remove what was built
	rm -rf build dist .venv toolboxsio/*.so *.egg-info tests/js/node_modules
