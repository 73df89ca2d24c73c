#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""stage.py ANSWER STAY COMMAND...: runs a command as an interactive shell does.

It leads the session of descriptor 0's terminal, and the command is the terminal's foreground group,
with all signals at their defaults. It writes the command's number and then its status to the
descriptor ANSWER, and stays until the other end of the pipe STAY is closed: the session must not
end while it is looked at what is left.
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
    answer, stay = int(sys.argv[1]), int(sys.argv[2])
    tool = subprocess.Popen(sys.argv[3:], preexec_fn=in_foreground)
    os.write(answer, f'{tool.pid}\n'.encode())
    os.write(answer, f'{tool.wait()}\n'.encode())
    os.read(stay, 1)


main()
