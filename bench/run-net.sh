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

have_c() { echo "#include <$1>" | cc -E -x c - >/dev/null 2>&1; }
yes_if() { if "$@"; then echo yes; else echo no; fi; }
cc_to() { cc -O2 -std=gnu17 "$here/$1.c" -o "$out/$1" "${@:2}"; }

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

exec "$here/table.py" "$out" "$@"
