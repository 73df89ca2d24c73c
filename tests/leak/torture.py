#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""torture.py [OPTION...]: random trees of tasks, and something that happens at a random moment.

Each run is a `coop run` on a terminal, with tasks of the zoo and further `coop run`s in it. At a
moment of its first half second it, or its other half, is killed by SIGKILL, or it gets SIGTERM,
or somebody types Ctrl-C. Then nothing of it may be left, no zombie either, and the status must be
right.

  --count N    how many (1000)
  --jobs N     so many at once (8)
  --seed N     of the first one; each next one's is one more (1)
  --limit S    until it counts as hanging (30)
"""
import argparse
import concurrent.futures
import os
import random
import shlex
import shutil
import signal
import sys
import time

import leak

KINDS = ['fg', 'bg', 'clean', 'stub', 'stopped', 'setsid', 'double', 'pipe',
         'headless']
EVENTS = {'kill': -9, 'half': 128 + 9, 'term': -15, 'int': -2}
LADDER = ['coop', 'run', '--all', '--stop', 'TERM,300ms,KILL']


class Tortured(leak.Run):
    def __init__(self, seed, limit):
        self.random = random.Random(seed)
        super().__init__('coop run', self.random.choice(list(EVENTS)), 'P', limit)
        self.seed = seed
        self.seen = set()
        self.unreaped = ''

    def tree(self, depth):
        commands = []
        for _ in range(self.random.randint(1, 4)):
            if depth < 3 and self.random.random() < 0.25:
                commands.append(shlex.join(self.tree(depth + 1)))
            else:
                commands.append(self.command(self.random.choice(KINDS)))
        return LADDER + commands

    def arguments(self):
        return self.tree(1)

    def look(self):
        self.seen |= {(pid, stat_of(pid)[2]) for pid, _ in leak.MARKED.look(self.mark)
                      if pid != self.stage.pid}

    def zombies(self):
        """Of those that have been seen; init's are its own affair."""
        found = []
        for pid, since in self.seen:
            state, parent, now = stat_of(pid)
            if state == 'Z' and now == since and parent not in (1, self.stage.pid):
                found.append(pid)
        return found

    def is_clean(self):
        """Else what there is is in the text; at this moment, since it may be gone in the next."""
        found = self.zombies()
        self.unreaped = '; '.join(line_of(pid) for pid in found)
        return not found

    def judge(self):
        ended = leak.until(lambda: self.look() or self.status is not None, self.limit)
        if not ended:
            self.text = 'HANG ' + ','.join(self.left())
            return
        gone = leak.until(lambda: not self.left(), self.limit)
        clean = leak.until(self.is_clean, 5)
        expected = {EVENTS[self.scenario]}
        if set(self.ready) == {'pipe'}:
            expected.add(0)  # all had ended before
        self.text = leak.status_text(self.status)
        self.text += '' if gone else ' LEAK ' + ','.join(self.left())
        self.text += '' if clean else f' ZOMBIES {self.unreaped}'
        self.passed = gone and clean and self.status in expected
        if self.status not in expected:
            self.text += f' (not {sorted(expected)})'

    def run(self):
        self.start()
        try:
            time.sleep(self.random.uniform(0, 0.5))
            self.look()
            try:
                self.happen()
            except (ProcessLookupError, FileNotFoundError):
                pass  # it has ended
            self.judge()
        finally:
            self.finish()
        return self

    def other_half(self):
        """As soon as there is one."""
        found = []

        def look():
            found.extend(pid for pid, kind in leak.MARKED.look(self.mark)
                         if kind == 'tool' and stat_of(pid)[1] == self.pid)
            return found or self.status is not None

        leak.until(look, 10)
        if not found:
            raise ProcessLookupError
        return found[0]


def stat_of(pid):
    """State, parent, and when it began, which tells it from a later one of the same number."""
    try:
        with open(f'/proc/{pid}/stat', encoding='utf-8', errors='replace') as f:
            fields = f.read().rpartition(')')[2].split()
    except OSError:
        return '', 0, 0
    return fields[0], int(fields[1]), int(fields[19])


def word_of(pid, name):
    try:
        with open(f'/proc/{pid}/{name}', encoding='utf-8', errors='replace') as f:
            return f.read().replace('\0', ' ').strip()
    except OSError:
        return '?'


def describe(pid):
    """For people: its number, name, state, where in the kernel it waits, and its command."""
    words = [str(pid), f'({word_of(pid, "comm")})', stat_of(pid)[0] or 'gone',
             word_of(pid, 'wchan'), word_of(pid, 'cmdline')]
    return ' '.join(words).strip()


def line_of(pid):
    """A process and those above it, up to the first or to ourselves."""
    line = []
    while pid > 0 and len(line) < 20:
        line.append(describe(pid))
        pid = 0 if pid in (1, os.getpid()) else stat_of(pid)[1]
    return ' of '.join(line)


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument('--count', type=int, default=1000)
    parser.add_argument('--jobs', type=int, default=8)
    parser.add_argument('--seed', type=int, default=1)
    parser.add_argument('--limit', type=float, default=30)
    opts = parser.parse_args()
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if not shutil.which('coop'):
        sys.exit('torture.py: no coop in PATH')
    bad = done = 0
    events = dict.fromkeys(EVENTS, 0)
    with concurrent.futures.ThreadPoolExecutor(opts.jobs) as pool:
        work = [pool.submit(Tortured(seed, opts.limit).run)
                for seed in range(opts.seed, opts.seed + opts.count)]
        for future in concurrent.futures.as_completed(work):
            run = future.result()
            done += 1
            events[run.scenario] += 1
            if not run.passed:
                bad += 1
                print(f'--seed {run.seed} --count 1: {run.scenario}: {run.text}: '
                      f'{" ".join(run.ready)}', flush=True)
    print(f'{done} trees, {bad} not as they should be: ' +
          ', '.join(f'{count} {event}' for event, count in events.items()))
    return int(bad > 0)


if __name__ == '__main__':
    sys.exit(main())
