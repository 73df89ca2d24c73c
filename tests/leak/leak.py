#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""leak.py [OPTION...]: what do runners of several commands leave behind?

Each tool runs tasks of a zoo on a terminal of its own, and then something happens: one of them
fails, the tool gets a signal, somebody types Ctrl-C, the tool is killed. A run passes if the tool
ends in time, nothing that it has started is left, its status is not 0, and a task that needs a
second to clean up has had it (not after SIGKILL, and not after a second Ctrl-C, which asks for
haste).

  --tool WORD       only tools whose names begin with it
  --only SCENARIO   only this scenario; may be repeated
  --jobs N          so many runs at once (6)
  --limit SECONDS   until a tool counts as hanging, or what is left as leaked (25)
  --details         print every run
  --check           the status is 1 if a run has not passed, or a tool is not there

What is left is found by a mark in the environment, so nothing gets away by leaving its group,
session or parent. Peers are looked up in PATH; `tests/leak/install` gets those that are missing.
"""
import argparse
import concurrent.futures
import itertools
import os
import pty
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

import peers

HERE = os.path.dirname(os.path.abspath(__file__))
ZOO = os.path.join(HERE, 'zoo.sh')
STAGE = os.path.join(HERE, 'stage.py')

# Which tasks run together, by the letter that stands for them in the table.
GROUPS = {
    'P': ('polite', ['fg', 'bg', 'clean']),
    'R': ('rough', ['fg', 'stub', 'stopped']),
    'A': ('away', ['fg', 'setsid', 'double']),
    'H': ('holds its pipe', ['fg', 'pipe']),
    'N': ('nested', ['fg', 'inner']),
}
INNER = ['bg', 'clean']  # what a nested tool runs

SCENARIOS = {
    'fail': 'a task fails',
    'term': 'SIGTERM',
    'int': 'Ctrl-C',
    'int2': 'Ctrl-C twice',
    'int3': 'three times',
    'hup': 'SIGHUP',
    'kill': 'SIGKILL',
    'half': 'SIGKILL of the other half, for a tool of two processes',
}
CLEANS = ('fail', 'term', 'int', 'hup')  # a task has the time to clean up
MARK = 'LEAK_MARK'


def environment(pid):
    """Of one that lives: of its first thread, or of another one when that has ended."""
    try:
        for thread in sorted(os.listdir(f'/proc/{pid}/task'), key=int):
            words = environment_of_thread(f'/proc/{pid}/task/{thread}')
            if words:
                return words
    except OSError:
        pass
    return []


def environment_of_thread(folder):
    try:
        with open(f'{folder}/environ', 'rb') as f:
            text = f.read().decode(errors='replace')
        with open(f'{folder}/stat', encoding='utf-8', errors='replace') as f:
            state = f.read().rpartition(')')[2].split()[0]
    except OSError:
        return []
    return text.split('\0') if text and state not in 'ZX' else []


class Marked:
    """The processes that have a mark in their environment, by mark; looked up for all at once."""

    def __init__(self):
        self.lock = threading.Lock()
        self.when = 0.0
        self.found = {}

    def look(self, mark):
        """[(pid, kind)] of the living ones."""
        with self.lock:
            if time.monotonic() - self.when > 0.05:
                self.found = self.scan()
                self.when = time.monotonic()
            return self.found.get(mark, [])

    @staticmethod
    def scan():
        found = {}
        for pid in filter(str.isdigit, os.listdir('/proc')):
            values = dict(word.partition('=')[::2] for word in environment(pid))
            if MARK in values:
                kind = values.get('LEAK_KIND', 'tool')
                found.setdefault(values[MARK], []).append((int(pid), kind))
        return found


MARKED = Marked()
NUMBERS = itertools.count()


def until(condition, seconds):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def status_text(status):
    return f'sig{-status}' if status < 0 else str(status)


class Run:
    """One tool, one group of the zoo, one thing that happens."""

    def __init__(self, tool, scenario, letter, limit):
        self.tool, self.scenario, self.letter, self.limit = tool, scenario, letter, limit
        self.mark = f'{os.getpid()}-{next(NUMBERS)}'
        self.folder = tempfile.mkdtemp(prefix='coop-leak-')
        self.status = self.pid = None
        self.passed, self.text = False, ''
        self.ready = []

    def command(self, kind):
        self.ready.append(kind)
        return f'env LEAK_KIND={kind} {ZOO} {kind}'

    def arguments(self):
        make = peers.TOOLS[self.tool][1]
        commands = []
        for kind in GROUPS[self.letter][1]:
            if kind == 'inner':
                inner = os.path.join(self.folder, 'inner')
                os.mkdir(inner)
                commands.append(shlex.join(make([self.command(k) for k in INNER], inner)))
            else:
                commands.append(self.command(kind))
        if self.scenario == 'fail':
            commands.append(self.command('fail'))
        return make(commands, self.folder)

    def start(self):
        master, slave = pty.openpty()
        answers, answer = os.pipe()
        stay, self.leave = os.pipe()
        variables = dict(os.environ, LEAK_DIR=self.folder, LEAK_MARK=self.mark, TERM='xterm')
        self.stage = subprocess.Popen(
            [sys.executable, STAGE, str(answer), str(stay)] + self.arguments(),
            stdin=slave, stdout=slave, stderr=slave, env=variables, pass_fds=(answer, stay))
        for fd in (slave, answer, stay):
            os.close(fd)
        self.master = master
        self.output = b''
        self.reader = threading.Thread(target=self.read_output, daemon=True)
        self.reader.start()
        self.answers = os.fdopen(answers)
        self.pid = int(self.answers.readline() or 0)
        if not self.pid:  # which would be ourselves, for a signal
            raise RuntimeError(f'the stage has not started anything: {self.said()}')
        threading.Thread(target=self.read_status, daemon=True).start()

    def read_output(self):
        try:
            while piece := os.read(self.master, 65536):
                self.output = (self.output + piece)[-4000:]
        except OSError:
            pass

    def said(self):
        return self.output.decode(errors='replace')[-200:]

    def read_status(self):
        with self.answers:
            line = self.answers.readline()
        self.status = int(line) if line else None

    def left(self):
        """The kinds of what is alive, the stage apart."""
        return sorted({kind for pid, kind in MARKED.look(self.mark)
                       if pid not in (self.stage.pid, self.pid)})

    def happen(self):
        """What happens to the tool."""
        if self.scenario == 'fail':
            with open(os.path.join(self.folder, 'go'), 'w', encoding='utf-8'):
                pass
        elif self.scenario.startswith('int'):
            for i in range(int(self.scenario[3:] or 1)):
                if i and until(lambda: self.status is not None, 0.7):
                    break
                os.write(self.master, b'\x03')
        elif self.scenario == 'half':
            os.kill(self.other_half(), signal.SIGKILL)
        else:
            number = {'term': signal.SIGTERM, 'hup': signal.SIGHUP, 'kill': signal.SIGKILL}
            os.kill(self.pid, number[self.scenario])

    def other_half(self):
        """The tool's child that is the tool as well; what is killed must be there."""
        for pid, kind in MARKED.look(self.mark):
            with open(f'/proc/{pid}/stat', encoding='utf-8') as f:
                parent = int(f.read().rpartition(')')[2].split()[1])
            if kind == 'tool' and parent == self.pid:
                return pid
        raise RuntimeError('this tool has no other half')

    def judge(self):
        ended = until(lambda: self.status is not None, self.limit)
        patience = self.limit if self.scenario in ('kill', 'half') else 1
        gone = ended and until(lambda: not self.left(), patience)
        if not ended:
            self.text = 'HANG ' + ','.join(self.left())
            return
        cleaned = os.path.exists(os.path.join(self.folder, 'clean.done'))
        words = [status_text(self.status)]
        if not gone:
            words.append('LEAK ' + ','.join(self.left()))
        if 'clean' in self.ready:
            words.append('cleaned' if cleaned else 'cut')
        self.text = ' '.join(words)
        self.passed = bool(gone and self.status != 0 and
                           (cleaned or 'clean' not in self.ready or self.scenario not in CLEANS))

    def finish(self):
        """Everything of this run is ended, by its mark."""
        def nobody():
            MARKED.when = 0
            found = MARKED.look(self.mark)
            for pid, _ in found:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            return not found

        has_left = self.stage.poll() is not None
        os.close(self.leave)
        until(nobody, 10)
        code = self.stage.wait()
        self.reader.join(10)  # it must not read from what is another run's descriptor then
        os.close(self.master)
        if has_left or code not in (0, -signal.SIGKILL):
            self.passed = False
            self.text += f' THE STAGE HAS ENDED: {status_text(code)}: {self.said()}'
        shutil.rmtree(self.folder, ignore_errors=True)

    def run(self):
        self.start()
        try:
            all_ready = until(lambda: all(os.path.exists(f'{self.folder}/{kind}.ready')
                                          for kind in self.ready), 60)
            if all_ready:
                time.sleep(0.2)  # what is ready to be seen goes on to sleep
                try:
                    self.happen()
                except ProcessLookupError:
                    pass  # it has ended already, because a task has
                self.judge()
            else:
                self.text = f'not started: {self.said()}'
        finally:
            self.finish()
        return self


def halves(tool):
    return 2 if tool.startswith('coop') else 1


def plan(tools, scenarios, limit):
    for tool, scenario, letter in itertools.product(tools, scenarios, GROUPS):
        if scenario == 'half' and halves(tool) < 2:
            continue
        yield tool, scenario, letter, limit


def cell(runs):
    """'ok', or the letters of the groups that did not pass."""
    if not runs:
        return '-'
    bad = ''.join(run.letter for run in runs if not run.passed)
    hang = any('HANG' in run.text for run in runs)
    return 'ok' if not bad else bad + (' hang' if hang else '')


def table(tools, scenarios, runs):
    rows = [['tool'] + list(scenarios) + ['passed']]
    for tool in tools:
        mine = [run for run in runs if run.tool == tool]
        row = [tool] + [cell([run for run in mine if run.scenario == s]) for s in scenarios]
        rows.append(row + [f'{sum(run.passed for run in mine)}/{len(mine)}' if mine else 'absent'])
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        print('  '.join(text.ljust(width) for text, width in zip(row, widths)).rstrip())
    print('\nThe letters are of the tasks with which a tool did not pass: it has left something,\n'
          'or hung, or cut a clean-up short, or said that all was well.\n' +
          ', '.join(f'{letter} {name}' for letter, (name, _) in GROUPS.items()) + '.')


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument('--tool', action='append')
    parser.add_argument('--only', action='append', choices=SCENARIOS)
    parser.add_argument('--jobs', type=int, default=6)
    parser.add_argument('--limit', type=float, default=25)
    parser.add_argument('--details', action='store_true')
    parser.add_argument('--check', action='store_true')
    opts = parser.parse_args()
    tools = [name for name in peers.TOOLS
             if not opts.tool or any(name.startswith(word) for word in opts.tool)]
    scenarios = opts.only or list(SCENARIOS)
    there = [name for name in tools if peers.is_there(name)]
    runs = []
    with concurrent.futures.ThreadPoolExecutor(opts.jobs) as pool:
        work = [pool.submit(Run(*words).run) for words in plan(there, scenarios, opts.limit)]
        for future in concurrent.futures.as_completed(work):
            run = future.result()
            runs.append(run)
            if opts.details or (opts.check and not run.passed):
                print(f'{run.tool}: {run.scenario}: {GROUPS[run.letter][0]}: '
                      f'{"ok" if run.passed else "NOT OK"}: {run.text}', flush=True)
    runs.sort(key=lambda run: list(GROUPS).index(run.letter))
    table(tools, scenarios, runs)
    return int(opts.check and (len(there) < len(tools) or not all(run.passed for run in runs)))


if __name__ == '__main__':
    sys.exit(main())
