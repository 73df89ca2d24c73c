#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""golden.py BUILD [--real] [--write] [NAME...]: the example programs print what they should.

Reads golden.tsv beside this file, and compares what each program prints on standard output with
NAME.out there, byte for byte; "PID: n" counts as equal.  On the virtual clock, or with --real on
the real one.  --write makes the .out files anew.  Prints TAP, and writes the rules that were shown
to COOP_PROVES_FILE.
"""
import concurrent.futures
import os
import pty
import re
import select
import signal
import subprocess
import sys
import tempfile
import time
import tty

HERE = os.path.dirname(os.path.abspath(__file__))
LIMIT_S = 60
REAL = {'services'}  # other processes do not live on the virtual clock


class Case:
    """One line of golden.tsv.  A field that is empty or "-" says nothing."""

    def __init__(self, row):
        row = [field if field != '-' else '' for field in row] + [''] * 6
        self.program, self.args, self.out, self.status, self.signals, self.proves = row[:6]
        self.out = self.out or os.path.basename(self.program)
        # "INT after [5] Task start!, TERM after ...": the line that has to be there first
        self.signals = [re.match(r'(\w+) after (.*)', s.strip()).groups()
                        for s in self.signals.split(';') if s.strip()]
        self.name = self.out

    def run(self, build, real):
        """(standard output, standard error, exit status)."""
        env = dict(os.environ)
        if not real and self.program not in REAL:
            env['COOP_CLOCK'] = 'virtual'
        # A terminal in raw mode: the program writes line by line, and the bytes stay as they are.
        reader, writer = pty.openpty()
        tty.setraw(writer)
        errors = tempfile.TemporaryFile()
        child = subprocess.Popen(
            [os.path.join(build, 'examples', self.program), *self.args.split()], env=env,
            stdin=subprocess.DEVNULL, stdout=writer, stderr=errors)
        os.close(writer)
        # On the virtual clock the programs raise their signal themselves.
        output, waiting = b'', list(self.signals) if real else []
        end = time.monotonic() + LIMIT_S
        while time.monotonic() < end:
            if not select.select([reader], [], [], 1)[0]:
                continue
            try:
                output += os.read(reader, 65536)
            except OSError:  # the other side is closed
                break
            while waiting and waiting[0][1].encode() in output:
                child.send_signal(getattr(signal, 'SIG' + waiting.pop(0)[0]))
        else:
            child.kill()
        os.close(reader)
        status = child.wait()
        with errors:
            errors.seek(0)
            return output.decode(), errors.read().decode(errors='replace'), status


def same_pids(text):
    return re.sub(r'PID: \d+', 'PID: n', text)


def read_cases(names, real):
    """The cases; of a program with signals, other goldens than its own are for real ones."""
    with open(os.path.join(HERE, 'golden.tsv'), encoding='utf-8') as f:
        for line in f:
            if line.strip() and not line.startswith('#'):
                case = Case(line.rstrip('\n').split('\t'))
                if case.signals and not real and case.out != os.path.basename(case.program):
                    if '--as-printed' not in case.args:
                        continue
                if not names or case.name in names:
                    yield case


def judge(case, build, real, write):
    """What is wrong with a case, or nothing."""
    path = os.path.join(HERE, case.out + '.out')
    output, errors, status = case.run(build, real)
    if write:
        with open(path, 'w', encoding='utf-8') as f:
            f.write(same_pids(output))
    if status != int(case.status or 0):
        return f'exit status {status}, not {case.status or 0}\n{errors}'
    with open(path, encoding='utf-8') as f:
        expected = f.read()
    if same_pids(output) != same_pids(expected):
        return f'expected\n{expected}--- but printed\n{output}--- and on standard error\n{errors}'
    return ''


def main():
    words = [w for w in sys.argv[1:] if not w.startswith('--')]
    if not words:
        print(__doc__)
        return 0 if '--help' in sys.argv else 2
    build, names = words[0], words[1:]
    proves = os.environ.get('COOP_PROVES_FILE')
    real, write = '--real' in sys.argv, '--write' in sys.argv
    # A program that is started from here finds SIGINT as from a terminal, also in a background job.
    signal.signal(signal.SIGINT, signal.default_int_handler)

    cases = list(read_cases(names, real))
    failed = 0
    # On the real clock they all wait most of the time.
    with concurrent.futures.ThreadPoolExecutor(8 if real else 2) as pool:
        results = list(pool.map(lambda case: judge(case, build, real, write), cases))
    for number, (case, wrong) in enumerate(zip(cases, results), 1):
        failed += bool(wrong)
        print(f'{"not ok" if wrong else "ok"} {number} - {case.name}')
        print(''.join(f'# {line}\n' for line in wrong.splitlines()), end='')
        if proves and not wrong:
            with open(proves, 'a', encoding='utf-8') as f:
                for tag in case.proves.split():
                    f.write(f'{tag} examples {case.name}\n')
    print(f'1..{len(cases)}')
    return 1 if failed or not cases else 0


if __name__ == '__main__':
    sys.exit(main())
