#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""golden.py COOP [--write] [NAME...]: what the command says before it starts anything.

Each line of golden.tsv is a case: a name, the exit status, and a line for sh, run in files/ with
`coop` the program that is tested.  What it prints, on both outputs, is compared with NAME.out;
--write makes the .out files anew.  Prints TAP; what needs YAML is skipped where COOP has none.
"""
import os
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
LIMIT_S = 60
NO_YAML = 'this coop was built without libfyaml'


def read_cases(names):
    with open(os.path.join(HERE, 'golden.tsv'), encoding='utf-8') as f:
        for line in f:
            if line.strip() and not line.startswith('#'):
                name, status, command = line.rstrip('\n').split('\t')
                if not names or name in names:
                    yield name, int(status), command


def run(command, path):
    """(output, status)"""
    env = {'PATH': path + ':/usr/bin:/bin', 'COLUMNS': '80', 'LC_ALL': 'C.UTF-8'}
    for name in ('ASAN_OPTIONS', 'UBSAN_OPTIONS', 'LD_LIBRARY_PATH'):
        if name in os.environ:
            env[name] = os.environ[name]
    done = subprocess.run(['/bin/sh', '-c', command], cwd=os.path.join(HERE, 'files'), env=env,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=LIMIT_S)
    return done.stdout.decode(errors='backslashreplace'), done.returncode


def judge(name, status, command, path, write):
    """What is wrong with a case, or nothing."""
    golden = os.path.join(HERE, name + '.out')
    output, was = run(command, path)
    if NO_YAML in output:
        return NO_YAML
    if write:
        with open(golden, 'w', encoding='utf-8') as f:
            f.write(output)
    if was != status:
        return f'exit status {was}, not {status}\n{output}'
    with open(golden, encoding='utf-8') as f:
        expected = f.read()
    return '' if output == expected else f'expected\n{expected}--- but printed\n{output}'


def main():
    words = [w for w in sys.argv[1:] if not w.startswith('--')]
    if not words:
        print(__doc__)
        return 0 if '--help' in sys.argv else 2
    failed = 0
    cases = list(read_cases(words[1:]))
    path = tempfile.mkdtemp()
    try:
        os.symlink(os.path.abspath(words[0]), os.path.join(path, 'coop'))
        for number, (name, status, command) in enumerate(cases, 1):
            wrong = judge(name, status, command, path, '--write' in sys.argv)
            if wrong == NO_YAML:
                print(f'ok {number} - {name} # SKIP no YAML')
                continue
            failed += bool(wrong)
            print(f'{"not ok" if wrong else "ok"} {number} - {name}')
            print(''.join(f'# {line}\n' for line in wrong.splitlines()), end='')
    finally:
        shutil.rmtree(path)
    print(f'1..{len(cases)}')
    return 1 if failed or not cases else 0


if __name__ == '__main__':
    sys.exit(main())
