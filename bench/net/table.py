#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""table.py FOLDER [--conns 1,64,1000,8000] [--seconds 2] [--rounds 3] [--servers a,b] [--idle N]

Echo servers beside a plain one on epoll: TCP on the loopback, 64 bytes there and back, one
message under way on each connection.  The server runs on the first core that this process may
use, the load on the last one.  Absolute figures of such a machine swing threefold within minutes,
so each measurement of a server stands between two of the reference, in each round anew, and what
counts is the ratio to their mean: its median over the rounds, least and most.  Each is a fresh
process.

Columns: requests/s and the ratio to epoll's; p50 and p99 in microseconds and by epoll's; the
server's CPU time by request in ns, and by epoll's; how busy the load's core was (near 1.00 the
load is the limit: read CPU time then).  Then, with N connections that are idle: the server's
memory for each, its wake-ups and its CPU time by second.  Servers come from FOLDER/servers.
"""
import argparse
import os
import statistics
import subprocess
import sys

REFERENCE = 'epoll'
START_S = 20


class Failed(Exception):
    """A server or a load that did not do its work."""


def known_servers(folder):
    """{name: (environment, command)} from lines of "name VAR=value... program word..." """
    servers = {}
    with open(os.path.join(folder, 'servers'), encoding='utf-8') as f:
        for line in f:
            name, *words = line.split()
            env = dict(os.environ)
            while words and '=' in words[0]:
                key, value = words.pop(0).split('=', 1)
                env[key] = value
            servers[name] = (env, words)
    return servers


def pinned(core):
    return lambda: os.sched_setaffinity(0, {core})


class Server:
    """A server that runs while the `with` block does."""

    def __init__(self, spec, core):
        env, command = spec
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, env=env,
                                        preexec_fn=pinned(core))

    def __enter__(self):
        line = self.process.stdout.readline()
        if not line.strip().isdigit():
            self.__exit__()
            raise Failed('did not start')
        self.port = line.strip().decode()
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.stdout.close()
        self.process.wait()


def measure(folder, spec, cores, program, *words):
    """The numbers that `program` prints about a server."""
    with Server(spec, cores[0]) as server:
        command = [os.path.join(folder, program), server.port, str(server.process.pid),
                   *map(str, words)]
        try:
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False,
                                  timeout=START_S + 3 * float(words[-1]),
                                  preexec_fn=pinned(cores[1]))
        except subprocess.TimeoutExpired as e:
            raise Failed('no answers in time') from e
        if done.returncode != 0:
            raise Failed(f'{program} ended with {done.returncode}')
        return [float(word) for word in done.stdout.split()]


def spread(values, form):
    return f'{statistics.median(values):{form}} ({min(values):{form}}..{max(values):{form}})'


def thousands(value):
    return f'{value / 1000:.1f}k'


def print_row(name, conns, runs, ratios):
    """runs: the numbers of each round; ratios: the same by the reference's beside them."""
    mid = [statistics.median(column) for column in zip(*runs)]
    by = [statistics.median(column) for column in zip(*ratios)]
    print(f'{name:<14}{conns:>6}{thousands(mid[0]):>9}  {spread([r[0] for r in ratios], ".2f"):<19}'
          f'{mid[1] / 1000:>8.0f}{by[1]:>6.2f}{mid[2] / 1000:>9.0f}{by[2]:>6.2f}'
          f'{mid[3]:>8.0f}{by[3]:>6.2f}{mid[4]:>7.2f}', flush=True)


def compare(folder, servers, names, conns, opts, cores):
    """All servers in turn at one number of connections."""
    def once(name):
        return measure(folder, servers[name], cores, 'load', conns, opts.seconds)

    runs, ratios, failed = {REFERENCE: []}, {REFERENCE: []}, {}
    for _ in range(opts.rounds):
        before = once(REFERENCE)
        runs[REFERENCE].append(before)
        for name in names:
            if name in failed:
                continue
            try:
                values = once(name)
            except Failed as e:
                failed[name] = str(e)
                continue
            after = once(REFERENCE)
            runs[REFERENCE].append(after)
            runs.setdefault(name, []).append(values)
            ratios.setdefault(name, []).append(
                [v * 2 / (b + a) for v, b, a in zip(values, before, after)])
            before = after
    middle = [statistics.median(column) for column in zip(*runs[REFERENCE])]
    ratios[REFERENCE] = [[v / m for v, m in zip(run, middle)] for run in runs[REFERENCE]]
    for name in [REFERENCE] + names:
        if name in runs:
            print_row(name, conns, runs[name], ratios[name])
    for name, why in failed.items():
        print(f'{name:<14}{conns:>6}  {why}')


def idle(folder, servers, names, opts, cores):
    print(f'\n{opts.idle} idle connections\n{"server":<14}{"bytes each":>12}{"wakes/s":>9}'
          f'{"CPU us/s":>10}')
    for name in [REFERENCE] + names:
        try:
            mem, wakes, cpu = measure(folder, servers[name], cores, 'idle', opts.idle, 3)
            print(f'{name:<14}{mem:>12.0f}{wakes:>9.1f}{cpu / 1000:>10.1f}', flush=True)
        except Failed as e:
            print(f'{name:<14}  {e}')


def options():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument('folder')
    p.add_argument('--conns', default='1,64,1000,8000')
    p.add_argument('--seconds', type=float, default=2)
    p.add_argument('--rounds', type=int, default=3)
    p.add_argument('--servers', default='')
    p.add_argument('--idle', type=int, default=5000, help='0: leave that out')
    p.add_argument('--first', action='store_true',
                   help='as root: go before what else runs on this machine')
    return p.parse_args()


def go_first():
    """A scheduling group of its own, which the kernel prefers to the others."""
    if os.getsid(0) != os.getpid():
        if os.fork():
            sys.exit(os.waitstatus_to_exitcode(os.wait()[1]))
        os.setsid()
    os.nice(-20)
    if os.path.exists('/proc/self/autogroup'):
        with open('/proc/self/autogroup', 'w', encoding='ascii') as f:
            f.write('-20')


def main():
    opts = options()
    if opts.first:
        go_first()
    servers = known_servers(opts.folder)
    names = opts.servers.split(',') if opts.servers else list(servers)
    unknown = [n for n in names if n not in servers]
    if unknown or REFERENCE not in servers:
        print(f'there are: {", ".join(servers)}; not: {", ".join(unknown)}')
        return 2
    names = [n for n in names if n != REFERENCE]
    usable = sorted(os.sched_getaffinity(0))
    cores = (usable[0], usable[-1])
    if cores[0] == cores[1]:
        print('one core only: the server and its load share it, and the ratios mean little')
    print(f'server on core {cores[0]}, load on core {cores[1]}; {opts.rounds} rounds of '
          f'{opts.seconds:g} s; ratios to {REFERENCE} (least..most)\n')
    print(f'{"server":<14}{"conns":>6}{"req/s":>9}  {"ratio":<19}{"p50 us":>8}{"ratio":>6}'
          f'{"p99 us":>9}{"ratio":>6}{"CPU ns":>8}{"ratio":>6}{"load":>7}')
    for conns in map(int, opts.conns.split(',')):
        compare(opts.folder, servers, names, conns, opts, cores)
    if opts.idle:
        idle(opts.folder, servers, names, opts, cores)
    return 0


if __name__ == '__main__':
    sys.exit(main())
