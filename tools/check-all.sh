#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# check-all.sh [STEP...]: everything we know to check, one function a step, a table at the end.
#
# Each step builds into build-STEP and writes build-logs/STEP.log.  A tool that is missing makes its
# step fail: nothing is skipped.  Without arguments all steps run, in the order of STEPS.
set -u
export LC_ALL=C
cd "$(dirname "$0")/.." || exit 1

STEPS=(deps tree gcc gcc-debug gcc-release clang-debug clang-release
	gcc-asan clang-asan clang-tsan valgrind aarch64
	epoll sim cares sweeps soak leak fuzz static deb oracle examples models mutants clang-tidy)
LOGS=build-logs

# Sanitizers, valgrind and qemu are slow: tests lower their numbers, and get more time.
LIGHT=(env COOP_TEST_LIGHT=1)

# build NAME MESON_OPTION...: builds into build-NAME.
build() {
	local folder=build-$1
	shift
	tools/sources
	local again=
	[ ! -f "$folder/build.ninja" ] || again=--reconfigure
	meson setup $again "$folder" "$@" && ninja -C "$folder"
}

# suite NAME OPTION...: the tests of build-NAME; a skipped one is a failed one.
suite() {
	local folder=build-$1
	shift
	tools/run-tests "$folder" --strict --suite quick,stress "$@"
}

step_deps() { tools/deps --auto all && tools/deps --list all; }
step_tree() {
	tools/tidy.py && tools/layers.py && tools/doccheck.py && tools/contract.py &&
		tools/mutants --fit
}

step_gcc() {
	CC=gcc CXX=g++ build gcc && suite gcc --proves build-gcc/proves.txt &&
		tools/behaviours --check build-gcc/proves.txt
}
# optimised NAME COMPILER LEVEL: the debug information stays, for the test that has gdb walk a
# parked stack.
optimised() {
	local cxx=${2/gcc/g++}
	CC=$2 CXX=${cxx/clang/clang++} build "$1" "-Doptimization=$3" && suite "$1"
}
step_gcc-debug() { optimised gcc-debug gcc 0; }
step_gcc-release() { optimised gcc-release gcc 3; }
step_clang-debug() { optimised clang-debug clang 0; }
step_clang-release() { optimised clang-release clang 3; }

# clang's sanitizers leave names undefined until the program is linked: b_lundef.  Instrumented code
# makes gcc warn of what cannot be: no werror.
sanitize() { # sanitize NAME KIND SUITES
	build "$1" "-Db_sanitize=$2" -Db_lundef=false -Dwerror=false &&
		"${LIGHT[@]}" ASAN_OPTIONS=abort_on_error=0:detect_leaks=1 \
			UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1 \
			TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1:atexit_sleep_ms=0 \
			tools/run-tests "build-$1" --strict --time-scale 5 --suite "$3"
}
step_gcc-asan() {
	CC=gcc CXX=g++ sanitize gcc-asan address,undefined programs,scenarios,examples
}
step_clang-asan() {
	CC=clang CXX=clang++ sanitize clang-asan address,undefined programs,scenarios,examples
}
step_clang-tsan() { CC=clang CXX=clang++ sanitize clang-tsan thread programs; }

step_valgrind() {
	command -v valgrind && CC=gcc CXX=g++ build valgrind --buildtype=debug &&
		"${LIGHT[@]}" tools/run-tests build-valgrind --strict --suite base,ctx,core \
			--time-scale 20 --wrapper "valgrind -q --error-exitcode=99 \
				--leak-check=full --errors-for-leak-kinds=definite"
}

# The one place where a skip is no failure: gdb cannot run a program of another machine.
step_aarch64() {
	build aarch64 --cross-file tools/cross/aarch64.ini &&
		"${LIGHT[@]}" tools/run-tests build-aarch64 --suite programs \
			--except tools/not-under-qemu.tsv --time-scale 10 \
			--wrapper 'qemu-aarch64 -L /usr/aarch64-linux-gnu'
}

# Engines are equals: the same tests on each that there is.
step_epoll() { CC=gcc CXX=g++ build gcc && COOP_IO=epoll suite gcc --suite programs; }
# A run of the real world under the virtual clock is no test: tools/not-on-sim.tsv names them.
step_sim() {
	CC=gcc CXX=g++ build gcc &&
		COOP_IO=sim suite gcc --suite programs --except tools/not-on-sim.tsv
}

# Names by c-ares, which is not in the default build: everything again, and its own under ASan.
step_cares() {
	CC=gcc CXX=g++ build cares -Dcares=enabled && suite cares --suite programs &&
		CC=clang CXX=clang++ build cares-asan -Dcares=enabled \
			-Db_sanitize=address,undefined -Db_lundef=false -Dwerror=false &&
		"${LIGHT[@]}" ASAN_OPTIONS=abort_on_error=0:detect_leaks=1 \
			tools/run-tests build-cares-asan --strict --time-scale 5 \
			sys-dns_cares sys-net_resolve
}

# The long ones on their own, so that the table has a row for each.
long() { CC=gcc CXX=g++ build gcc && tools/run-tests build-gcc --strict "$@"; }
step_sweeps() { long sweep-cancel-all sweep-alloc-all; }

# Each fuzz target for a minute, from its seeds (one a line); FUZZ_SECONDS=3600 looks longer.
fuzz() {
	local name=$1 corpus=build-fuzz/corpus-$1 libs
	libs=$(pkg-config --libs libfyaml liburing libutf8proc)
	mkdir -p "$corpus"
	split -l 1 "tests/fuzz/$name.seeds" "$corpus/seed-"
	clang -g -D_GNU_SOURCE -fsanitize=fuzzer,address,undefined -fno-sanitize-recover -Iinclude \
		-Icmd/coop "tests/fuzz/fuzz_$name.c" build-fuzz/cmd/coop/libcoop-cmd.a \
		build-fuzz/src/libcoop.a $libs -o "build-fuzz/fuzz-$name" &&
		"build-fuzz/fuzz-$name" -max_total_time="${FUZZ_SECONDS:-60}" -max_len=1024 \
			-artifact_prefix=build-fuzz/ "$corpus"
}
step_fuzz() {
	CC=clang CXX=clang++ build fuzz -Db_sanitize=address,undefined -Db_lundef=false \
		-Dwerror=false -Dtests=false -Dc_args=-fsanitize=fuzzer-no-link || return 1
	for target in tests/fuzz/fuzz_*.c; do
		fuzz "$(basename "$target" .c | cut -c6-)" || return 1
	done
}

# 9,000 connections for a minute on each engine.
step_soak() {
	CC=gcc CXX=g++ build gcc || return 1
	local engine
	for engine in epoll uring; do
		echo "engine $engine"
		COOP_IO=$engine build-gcc/tests/soak 9000 60 || return 1
	done
}

# The command leaves nothing behind: the zoo of tasks, and a thousand random trees.
step_leak() {
	CC=gcc CXX=g++ build gcc &&
		PATH=$PWD/build-gcc:$PATH tests/leak/leak.py --check --tool coop &&
		PATH=$PWD/build-gcc:$PATH tests/leak/torture.py --count 1000
}

# The command linked with musl does what it does elsewhere, but reads no YAML.
step_static() {
	tools/static && tests/cli/golden.py build-static/coop || return 1
	for name in control ladder leak output policy ready screen status; do
		python3 "tests/coop/$name.py" build-static || return 1
	done
}
step_deb() { tools/deb; }
step_oracle() { long oracle-long; }
step_examples() { long examples-real; }

step_models() { command -v spin && tests/models/run; }
step_mutants() { tools/mutants; }
step_clang-tidy() {
	CC=clang CXX=clang++ build clang-debug --buildtype=debug &&
		find src cmd -name '*.c' -print0 |
		xargs -0 -n 4 -P "$(nproc)" clang-tidy -p build-clang-debug --quiet
}

[ $# -eq 0 ] || STEPS=("$@")
mkdir -p "$LOGS"
failed=0
table=
for step in "${STEPS[@]}"; do
	if ! declare -F "step_$step" >/dev/null; then
		echo "no step $step; there are: ${STEPS[*]}"
		exit 2
	fi
	printf '%-16s ' "$step"
	start=$EPOCHREALTIME
	if "step_$step" >"$LOGS/$step.log" 2>&1; then
		result=PASS
	else
		result=FAIL
		failed=$((failed + 1))
	fi
	seconds=$(((${EPOCHREALTIME/./} - ${start/./}) / 1000000))
	row=$(printf '%s %6d s  %s' $result $seconds "$(grep -aE '^[0-9]+ passed|mutants killed$' \
		"$LOGS/$step.log" | tail -n 1)")
	echo "$row"
	[ $result = PASS ] || tail -n 25 "$LOGS/$step.log" | sed 's/^/    /'
	table+=$(printf '%-16s %s' "$step" "$row")$'\n'
done
printf '\n%s' "$table"
echo "${#STEPS[@]} steps, $failed failed"
[ $failed -eq 0 ]
