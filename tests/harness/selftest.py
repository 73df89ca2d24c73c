#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""selftest.py PROGRAM: the harness passes what is good, fails what is bad, and counts proofs."""
import os
import re
import subprocess
import sys
import tempfile


def main():
    program = sys.argv[1:]
    listed = subprocess.run([*program, '-l'], check=True, stdout=subprocess.PIPE, text=True)
    names = listed.stdout.split()
    with tempfile.NamedTemporaryFile() as proves:
        env = {**os.environ, 'COOP_PROVES_FILE': proves.name, 'COOP_TEST_TIMEOUT_SCALE': '1'}
        done = subprocess.run(program, env=env, check=False, capture_output=True, text=True)
        tags = {line.split()[0] for line in proves.read().decode().splitlines()}
    results = {name: word == 'ok' for word, name in
               re.findall(r'^(ok|not ok) \d+ - (\w+)', done.stdout, re.M)}
    one = subprocess.run([*program, 'good_chec*', 'good_exi'], check=False, capture_output=True,
                         text=True).stdout

    checks = [(name, results.get(name) == name.startswith('good_')) for name in names]
    checks += [
        ('the plan is complete', f'1..{len(names)}' in done.stdout and len(names) >= 18),
        ('a failure shows in the status', done.returncode == 1),
        ('--tap leaves the counting to the reader',
         subprocess.run([*program, '--tap', 'bad_check'], check=False,
                        stdout=subprocess.DEVNULL).returncode == 0),
        ('both values are shown', 'CHECK_INT(1 == 2): 1, 2' in done.stdout),
        ('a skip says why', re.search(r'^ok \d+ - good_skips # SKIP no moon$', done.stdout, re.M)),
        ('tags of passing tests count, and no others', tags == {'X1', 'X2', 'X3'}),
        ('names choose by glob and by part', '1..2' in one),
        ('-x leaves out by glob',
         subprocess.run([*program, '-l', '-x', 'bad_*', '-x', 'good_exits'], check=True,
                        stdout=subprocess.PIPE, text=True).stdout.split() ==
         [n for n in names if not n.startswith('bad_') and n != 'good_exits']),
        ('an unknown name is an error',
         subprocess.run([*program, 'nosuch'], check=False, capture_output=True).returncode == 1),
    ]
    failed = 0
    for number, (what, holds) in enumerate(checks, 1):
        failed += not holds
        print(f'{"ok" if holds else "not ok"} {number} - {what}')
    if failed:
        print(''.join(f'# {line}\n' for line in done.stdout.splitlines()), end='')
    print(f'1..{len(checks)}')
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
