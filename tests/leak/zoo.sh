#!/bin/sh
# SPDX-License-Identifier: MIT
#
# zoo.sh KIND: a task that is hard to get rid of. It leaves KIND.ready in $LEAK_DIR when it is set
# up. What it starts has the same marks in its environment as it has itself.
kind=$1
ready() { : >"$LEAK_DIR/$kind.ready"; }

case $1 in
fg) # waits for a child in the foreground
	ready
	sleep 300
	: ;;
bg) # waits for a child in the background, which ignores SIGINT then
	sleep 300 &
	ready
	wait ;;
clean) # needs a second to clean up
	clean() {
		trap '' INT TERM HUP
		sleep 1
		kill "$child" 2>/dev/null
		: >"$LEAK_DIR/clean.done"
		exit 0
	}
	trap clean INT TERM HUP
	sleep 300 &
	child=$!
	ready
	while :; do wait "$child"; done ;;
stub) # hears nothing
	trap '' INT TERM HUP QUIT
	ready
	while :; do sleep 5; done ;;
stopped) # stands still
	ready
	kill -STOP $$
	sleep 300 ;;
setsid) # its child is in a session of its own
	setsid sleep 300 &
	ready
	wait ;;
double) # its grandchild has no parent any more, and a session of its own
	(setsid sh -c 'sleep 300 & sleep 300' &)
	ready
	sleep 300
	: ;;
pipe) # has ended well, while something still holds its output
	setsid sleep 300 &
	ready ;;
headless) # its first thread has ended, another one goes on: in /proc it looks like a zombie
	setsid python3 -c '
import ctypes, os, threading, time
threading.Thread(target=time.sleep, args=(300,)).start()
open(os.environ["LEAK_DIR"] + "/headless.ready", "w").close()
ctypes.CDLL(None).syscall({"x86_64": 60}.get(os.uname().machine, 93), 0)' &
	wait ;;
fail) # waits until all others are ready, and fails
	ready
	while [ ! -e "$LEAK_DIR/go" ]; do sleep 0.1; done
	exit 3 ;;
*)
	echo "zoo.sh: no kind '$1'" >&2
	exit 2 ;;
esac
