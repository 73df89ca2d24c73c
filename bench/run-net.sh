#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# run-net.sh [BUILD [--conns 1,64,...] [--seconds S] [--rounds N] [--servers a,b] [--idle N]
#            [--first]]: TCP echo by coop on each engine, beside its peers.
#
# Builds the load generator and the servers that this machine has what it takes for, into
# BUILD/bench/net, and has net/table.py measure them. One that is not there is said to be
# missing, and by which package it would come; that is no error, and nothing is installed.
set -u
here=$(cd "$(dirname "$0")/net" && pwd)
build=${1:-build}
shift $(($# ? 1 : 0))
mkdir -p "$build/bench/net"
out=$(cd "$build/bench/net" && pwd)
coop=$(cd "$build/bench" && pwd)/echo_coop
: >"$out/servers"

crates=/usr/share/cargo/registry

have_cxx() { echo "#include <$1>" | c++ -E -x c++ - >/dev/null 2>&1; }
have_python() { /usr/bin/python3 -c "import $1" 2>/dev/null; }
have_go() { type go >/dev/null 2>&1; }
have_tokio() { type cargo >/dev/null 2>&1 && [ -n "$(ls -d "$crates"/tokio-1.* 2>/dev/null)" ]; }
have_c() { echo "#include <$1>" | cc -E -x c - >/dev/null 2>&1; }
yes_if() { if "$@"; then echo yes; else echo no; fi; }
cc_to() { cc -O2 -std=gnu17 "$here/$1.c" -o "$out/$1" "${@:2}"; }
build_asio() { c++ -O2 -std=gnu++17 "$here/echo_asio.cpp" -o "$out/echo_asio" -pthread; }
build_go()
{
	GO111MODULE=off GOFLAGS='' GOCACHE="$out/go.cache" \
		go build -o "$out/echo_go" "$here/echo.go"
}

# Without the network: crates are taken from where Debian puts them.
build_tokio()
{
	mkdir -p "$out/tokio.build/.cargo"
	cp "$here/tokio/Cargo.toml" "$here/tokio/main.rs" "$out/tokio.build"
	printf '[source.crates-io]\nreplace-with = "debian"\n[source.debian]\ndirectory = "%s"\n' \
		"$crates" >"$out/tokio.build/.cargo/config.toml"
	(cd "$out/tokio.build" && cargo build --release --offline) &&
		cp "$out/tokio.build/target/release/tokio-echo" "$out/echo_tokio"
}

# program NAME PACKAGES AVAILABLE BUILD...: builds NAME, or says why not.
program()
{
	local name=$1 packages=$2 available=$3
	shift 3
	if [ "$available" != yes ]; then
		echo "$name: not installed (Debian: apt install $packages)"
	elif ! "$@" >"$out/$name.log" 2>&1; then
		echo "$name: did not build here; why is in $out/$name.log"
	else
		return 0
	fi
	return 1
}

# server NAME [VAR=value...] PROGRAM WORD...: one row of the table.
server() { echo "$*" >>"$out/servers"; }

uring=$(yes_if have_c liburing.h)
program load 'gcc liburing-dev' "$uring" cc_to load -luring || exit 1
program idle gcc yes cc_to idle || exit 1
program echo_epoll gcc yes cc_to echo_epoll && server epoll "$out/echo_epoll"
if program echo_uring 'gcc liburing-dev' "$uring" cc_to echo_uring -luring; then
	server uring-linked "$out/echo_uring" linked
	server uring-plain "$out/echo_uring" plain
fi
server coop-epoll COOP_IO=epoll "$coop"
server coop-uring COOP_IO=uring "$coop"
server coop-plain "$coop" plain
program echo_uv 'gcc libuv1-dev' "$(yes_if have_c uv.h)" cc_to echo_uv -luv &&
	server libuv "$out/echo_uv"
program echo_tokio 'cargo librust-tokio-dev' "$(yes_if have_tokio)" build_tokio &&
	server tokio "$out/echo_tokio"
program echo_asio 'g++ libboost-dev' "$(yes_if have_cxx boost/asio.hpp)" build_asio &&
	server asio "$out/echo_asio"
program echo_st 'gcc libst-dev' "$(yes_if have_c st.h)" cc_to echo_st -lst &&
	server st "$out/echo_st"
program echo_go golang-go "$(yes_if have_go)" build_go && server go "$out/echo_go"
program uvloop python3-uvloop "$(yes_if have_python uvloop)" true &&
	server uvloop /usr/bin/python3 "$here/echo_asyncio.py" uvloop
program asyncio python3 "$(yes_if have_python asyncio)" true &&
	server asyncio /usr/bin/python3 "$here/echo_asyncio.py"

exec "$here/table.py" "$out" "$@"
