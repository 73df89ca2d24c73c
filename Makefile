# SPDX-License-Identifier: MIT
#
# A thin front of Meson: each target is a line or two.
#
#   make              build into build/
#   make demo         build, and show the coop command at work
#   make demo-library the same for programs of the library
#   make check        build, run the quick tests and the checks of the tree
#   make check-all    everything: both compilers, sanitizers, valgrind, aarch64, models, mutants
#   make bench        what things cost, and what they cost in the peers that are installed
#   make bench-net    of that, TCP echo beside other servers
#   make leak-table   what runners of commands leave behind, and what coop does; LEAK='--details'
#   make docs         docs/behaviours.md from a run of the tests
#   make fmt, tidy    clang-format; clang-tidy and the rules of form
#   make deps         install what this machine lacks (DEPS=all: for check-all)
#   make static       build-static/coop, the command as one static file, by musl
#   make deb          Debian packages, into build-deb/
#   make hooks        install the pre-commit hook
#   make install      PREFIX=/usr/local DESTDIR= LIBDIR=
#
# BUILD=dir is another build folder, SETUP='...' goes to meson setup, JOBS=n limits ninja.

BUILD  ?= build
PREFIX ?= /usr/local
DEPS   ?= check
JOBS   ?= $(shell nproc)
SETUP  ?=

ifdef DEB_BUILD_OPTIONS
SETUP += -Dwerror=false
endif
PLACES = -Dprefix=$(PREFIX) $(if $(LIBDIR),-Dlibdir=$(LIBDIR))
C_FILES = $(shell find include src cmd tests examples bench -name '*.[ch]' -o -name '*.cpp')

.PHONY: all lists demo demo-library check check-all bench bench-net leak-table docs fmt tidy deps auto-deps hooks install clean
.NOTPARALLEL:

all: lists $(BUILD)/build.ninja
	@ninja -C $(BUILD) -j $(JOBS) $(if $(VERBOSE),-v,--quiet)

# The lists of sources follow what is on disk; ninja configures again where one has changed.
lists:
	@tools/sources

$(BUILD)/build.ninja:
	@type meson ninja >/dev/null || { echo 'meson or ninja is missing: make deps'; exit 1; }
	meson setup $(BUILD) $(PLACES) $(SETUP) >/dev/null || meson setup $(BUILD) $(PLACES) $(SETUP)

auto-deps:
	@tools/deps --auto check

demo: auto-deps all
	@tools/demo $(BUILD)

demo-library: auto-deps all
	@tools/demo-library $(BUILD)

check: auto-deps all
	@tools/check $(BUILD)

check-all:
	@tools/check-all.sh $(STEPS)

bench: all
	@$(BUILD)/bench/coop-bench
	@bench/run-peers.sh $(BUILD)
	@bench/run-net.sh $(BUILD)

bench-net: all
	@bench/run-net.sh $(BUILD)

# The peers that are missing are "absent": tests/leak/install $(BUILD)/leak gets them.
leak-table: all
	@PATH="$(abspath $(BUILD)):$$PATH:$(abspath $(BUILD)/leak/node_modules/.bin)" \
		tests/leak/leak.py $(LEAK)

docs: auto-deps all
	@tools/run-tests $(BUILD) --suite programs,scenarios,examples --no-suite slow \
		--proves $(BUILD)/proves.txt
	@tools/behaviours $(BUILD)/proves.txt

fmt:
	clang-format -i $(C_FILES)

tidy: all
	tools/tidy.py
	tools/layers.py
	tools/doccheck.py
	tools/contract.py
	clang-tidy -p $(BUILD) --quiet $(filter src/%.c cmd/%.c,$(C_FILES))

deps:
	@tools/deps $(DEPS)

static:
	@tools/static

deb:
	@tools/deb

hooks:
	@tools/hooks --install

install: all
	@meson configure $(BUILD) $(PLACES)
	meson install -C $(BUILD) $(if $(DESTDIR),--destdir $(abspath $(DESTDIR)))
	@[ -n "$(DESTDIR)" ] || [ "$$(id -u)" != 0 ] || ldconfig

clean:
	rm -rf $(BUILD)
