#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""table.py COOP-BENCH FOLDER [--runs N] [QUESTION...]: coop and the peers in turn, by question.

The peers are the programs in FOLDER.  All run on the last core this process may use, each run in
a fresh process, and those of one question one after the other, so that a change of the machine's
mood meets all of them.  Shown are medians, how far coop's runs lie apart, and coop by the best
peer.
"""
import os
import statistics
import subprocess
import sys

PEERS = ['floor', 'fcontext', 'st', 'fiber', 'go', 'tokio']
QUESTIONS = ['yield', 'yield1000', 'spawn_join', 'spawn1000', 'cancel10000', 'sleepers100k',
             'timers100k', 'timers2000', 'skynet']
MORE_IS_BETTER = {'timers100k', 'timers2000_rate'}
# Rulers and no rivals: what the processor and the kernel take by themselves.
RULERS = {'floor', 'fcontext'}
NO_ANSWER = 64
LIMIT_S = 300


def ask(command):
    """One run: {figure: value}, {} if the program has no answer."""
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=LIMIT_S,
                              check=False)
    except subprocess.TimeoutExpired:
        return {}
    if done.returncode not in (0, NO_ANSWER):
        print(f'{" ".join(command)}: ended with {done.returncode}', file=sys.stderr)
    return {line.split()[0]: float(line.split()[1]) for line in done.stdout.splitlines()
            if done.returncode == 0}


def number(value):
    digits = 0 if value >= 1000 else 1 if value >= 100 else 2 if value >= 10 else 3
    return f'{value:.{digits}f}'


def row(figure, what, values, peers):
    """values: {program: [value of each run]}"""
    ours = values['coop']
    rivals = [statistics.median(values[p]) for p in peers if values.get(p)
              and p not in RULERS]
    better = max if figure in MORE_IS_BETTER else min
    ratio = f'{statistics.median(ours) / better(rivals):.2f}' if rivals else '-'
    cells = [number(statistics.median(ours)), f'{number(min(ours))}..{number(max(ours))}']
    cells += [number(statistics.median(values[p])) if values.get(p) else '-' for p in peers]
    print(f'{what:<44}{cells[0]:>9}{cells[1]:>18}' + ''.join(f'{c:>9}' for c in cells[2:])
          + f'{ratio:>8}', flush=True)


def compare(bench, folder, peers, question, whats, runs):
    seen = {}
    for _ in range(runs):
        for name in ['coop'] + peers:
            command = ([bench, '--once', question] if name == 'coop'
                       else [os.path.join(folder, name), question])
            for figure, value in ask(command).items():
                seen.setdefault(figure, {}).setdefault(name, []).append(value)
    for figure, values in seen.items():
        if 'coop' in values:
            row(figure, whats[figure], values, peers)


def main():
    args = sys.argv[1:]
    if len(args) < 2 or '--help' in args:
        print(__doc__)
        return 0 if '--help' in args else 2
    bench, folder, names, runs = os.path.abspath(args[0]), args[1], args[2:], 5
    if '--runs' in names:
        at = names.index('--runs')
        runs = int(names[at + 1])
        del names[at:at + 2]
    core = max(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {core})
    peers = [p for p in PEERS if os.access(os.path.join(folder, p), os.X_OK)]
    listed = subprocess.run([bench, '--list'], stdout=subprocess.PIPE, text=True, check=True).stdout
    whats = {line.split()[1]: line.split(maxsplit=2)[2] for line in listed.splitlines()}
    print(f'core {core}, medians of {runs} runs; the last column: coop by the best of the others\n')
    print(f'{"what":<44}{"coop":>9}{"min..max":>18}' + ''.join(f'{p:>9}' for p in peers)
          + f'{"ratio":>8}')
    for question in names or QUESTIONS:
        compare(bench, folder, peers, question, whats, runs)
    return 0


if __name__ == '__main__':
    sys.exit(main())
