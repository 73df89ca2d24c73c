#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""stage.py COMMAND...: runs a command as an interactive shell does, on descriptor 0's terminal.

It leads the session of the terminal, and the command is the terminal's foreground group, with all
signals at their defaults. It writes the command's number and then its status to descriptor 3, and
stays until descriptor 4 is closed: the session must not end while it is looked at what is left.
"""
import fcntl
import os
import signal
import subprocess
import sys
import termios


def in_foreground():
    """In the child, before the command."""
    os.setpgid(0, 0)
    os.tcsetpgrp(0, os.getpid())  # SIGTTOU is ignored here, or this would stop us
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])


def main():
    os.setsid()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    tool = subprocess.Popen(sys.argv[1:], preexec_fn=in_foreground)
    os.write(3, f'{tool.pid}\n'.encode())
    os.write(3, f'{tool.wait()}\n'.encode())
    os.read(4, 1)


main()
