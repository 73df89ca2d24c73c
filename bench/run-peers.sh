#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# run-peers.sh [BUILD [--runs N] [QUESTION...]]: coop beside its peers, on one core, in one session.
#
# Builds the peers that this machine has what it takes for, into BUILD/bench/peers, and has table.py
# ask them. One that is not there is said to be missing, and by which package it would come; that is
# no error, and nothing is installed.
set -u
here=$(cd "$(dirname "$0")/peers" && pwd)
build=${1:-build}
shift $(($# ? 1 : 0))
mkdir -p "$build/bench/peers"
out=$(cd "$build/bench/peers" && pwd)
crates=/usr/share/cargo/registry

# have_c HEADER, have_cxx HEADER: is there a compiler, and does it find the header?
have_c() { echo "#include <$1>" | cc -E -x c - >/dev/null 2>&1; }
have_cxx() { echo "#include <$1>" | c++ -E -x c++ - >/dev/null 2>&1; }

# peer NAME PACKAGES AVAILABLE BUILD...: builds NAME, or says why not.
peer()
{
	name=$1 packages=$2 available=$3
	shift 3
	if [ "$available" != yes ]; then
		rm -f "$out/$name"
		echo "$name: not installed (Debian: apt install $packages)"
	elif ! "$@" >"$out/$name.log" 2>&1; then
		rm -f "$out/$name"
		echo "$name: did not build here; why is in $out/$name.log"
	fi
}

have_go() { type go >/dev/null 2>&1; }
have_tokio() { type cargo >/dev/null 2>&1 && [ -n "$(ls -d "$crates"/tokio-1.* 2>/dev/null)" ]; }
yes_if() { if "$@"; then echo yes; else echo no; fi; }

build_go()
{
	GO111MODULE=off GOFLAGS='' GOCACHE="$out/go.cache" \
		go build -o "$out/go" "$here/peer.go"
}

# Without the network: crates are taken from where Debian puts them.
build_tokio()
{
	mkdir -p "$out/tokio.build/.cargo"
	cp "$here/tokio/Cargo.toml" "$here/tokio/main.rs" "$out/tokio.build"
	printf '[source.crates-io]\nreplace-with = "debian"\n[source.debian]\ndirectory = "%s"\n' \
		"$crates" >"$out/tokio.build/.cargo/config.toml"
	(cd "$out/tokio.build" && cargo build --release --offline) &&
		cp "$out/tokio.build/target/release/tokio-peer" "$out/tokio"
}

peer floor gcc "$(yes_if have_c stdio.h)" cc -O2 -std=gnu17 "$here/floor.c" -o "$out/floor"
peer fcontext 'g++ libboost-context-dev' "$(yes_if have_cxx boost/context/detail/fcontext.hpp)" \
	c++ -O2 -std=gnu++17 "$here/fcontext.cpp" -o "$out/fcontext" -lboost_context
peer st 'gcc libst-dev' "$(yes_if have_c st.h)" \
	cc -O2 -std=gnu17 "$here/st.c" -o "$out/st" -lst
peer fiber 'g++ libboost-fiber-dev' "$(yes_if have_cxx boost/fiber/all.hpp)" \
	c++ -O2 -std=gnu++17 "$here/fiber.cpp" -o "$out/fiber" -lboost_fiber -lboost_context
peer go golang-go "$(yes_if have_go)" build_go
peer tokio 'cargo librust-tokio-dev' "$(yes_if have_tokio)" build_tokio

exec "$here/table.py" "$build/bench/coop-bench" "$out" "$@"
