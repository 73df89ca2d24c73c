#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""selftest.py: the stage stays whatever its descriptors are, and who is not reaped is named."""
import os
import subprocess
import sys
import types

import leak
import torture

PLACES = (3, 4)  # the numbers that are the first to be free
ENDS = ('answers', 'answer', 'stay', 'leave')  # of the pipes of a run, as they are made


class Staged(leak.Run):
    def __init__(self):
        super().__init__('sh', 'nothing', 'P', 30)

    def arguments(self):
        return ['sh', '-c', 'exit 3']

    def judge(self):
        self.passed = leak.until(lambda: self.status is not None, 30) and self.status == 3
        self.text = f'status {self.status}'

    def run(self):
        self.start()
        try:
            self.judge()
        finally:
            self.finish()
        return self


def keep_places():
    """Nothing of a run comes there by itself."""
    while (fd := os.open('/dev/null', os.O_RDONLY)) <= max(PLACES):
        pass
    os.close(fd)


def staged_with(end, place):
    """A run one of whose pipes' ends has that number, as when others close theirs meanwhile."""
    pipe, made = os.pipe, []

    def moved():
        fds = list(pipe())
        for i, fd in enumerate(fds):
            if ENDS[len(made):][:1] == (end,):
                fds[i] = os.dup2(fd, place, inheritable=False)
                os.close(fd)
            made.append(fds[i])
        return fds

    keep_places()
    run = Staged()
    usual = run.start

    def start():
        os.pipe = moved
        try:
            usual()
        finally:
            os.pipe = pipe

    run.start = start
    return run.run()


def zombie_is_named():
    child = subprocess.Popen(['sleep', '0'])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    run = torture.Tortured(1, 1)
    os.rmdir(run.folder)
    run.stage = types.SimpleNamespace(pid=-1)
    run.seen = {(child.pid, torture.stat_of(child.pid)[2])}
    was_clean, text = run.is_clean(), run.unreaped
    child.wait()
    words = (f'{child.pid} (sleep) Z', f' of {os.getpid()} (', 'selftest.py')
    return not was_clean and all(word in text for word in words) and run.is_clean(), text


def main():
    checks = []
    for place in PLACES:
        for end in ENDS:
            run = staged_with(end, place)
            checks.append((f'{end} is descriptor {place}', run.passed, run.text))
    checks.append(('a zombie and its parent are named', *zombie_is_named()))
    for number, (name, passed, text) in enumerate(checks, 1):
        print(f'{"ok" if passed else "not ok"} {number} - {name}')
        if not passed:
            print(f'# {text!r}')
    print(f'1..{len(checks)}')
    return int(not all(passed for _, passed, _ in checks))


if __name__ == '__main__':
    sys.exit(main())
