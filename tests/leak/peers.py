# SPDX-License-Identifier: MIT
"""The tools that the leak test is run on: how each is told to run some commands at once.

A tool is a function from commands (each a line for a shell) and a folder that it may write to, to
an argument list. All have their default options but for those in their names.
"""
import json
import os
import shlex
import shutil
import subprocess

TOOLS = {}


def tool(name, needs):
    """Registers one; `needs` is the program that must be there."""
    def register(make):
        TOOLS[name] = (needs, make)
        return make
    return register


def write(folder, name, text):
    path = os.path.join(folder, name)
    with open(path, 'w', encoding='utf-8') as f:
        f.write(text)
    return path


def names(commands):
    return [f't{i}' for i in range(len(commands))]


def all_at_once(commands):
    return ' '.join(f'{command} &' for command in commands) + ' wait'


@tool('coop run', 'coop')
def coop(commands, folder):
    return ['coop', 'run'] + commands


@tool('parallel --halt now,fail=1', 'parallel')
def parallel(commands, folder):
    return ['parallel', '--will-cite', '--halt', 'now,fail=1', '-j0', ':::'] + commands


@tool('xargs -P0', 'xargs')
def xargs(commands, folder):
    path = write(folder, 'xargs.in', ''.join(f'{command}\0' for command in commands))
    return ['xargs', '-a', path, '-0', '-P0', '-n1', 'sh', '-c']


@tool('make -j', 'make')
def make(commands, folder):
    rules = ''.join(f'{name}:\n\t@{command}\n' for name, command in zip(names(commands), commands))
    path = write(folder, 'leak.mk', f'all: {" ".join(names(commands))}\n{rules}')
    return ['make', '-s', '-j', '-f', path]


@tool('concurrently -k', 'concurrently')
def concurrently(commands, folder):
    return ['concurrently', '-k'] + commands


@tool('run-p (npm-run-all2)', 'run-p')
def run_p(commands, folder):
    write(folder, 'package.json', json.dumps({'scripts': dict(zip(names(commands), commands))}))
    return ['sh', '-c', f'cd {folder} && exec run-p -s {" ".join(names(commands))}']


@tool('foreman', 'foreman')
def foreman(commands, folder):
    lines = ''.join(f'{name}: {command}\n' for name, command in zip(names(commands), commands))
    return ['foreman', 'start', '-f', write(folder, 'Procfile', lines)]


@tool('supervisord', 'supervisord')
def supervisord(commands, folder):
    text = f'[supervisord]\nnodaemon=true\nlogfile={folder}/log\npidfile={folder}/pid\nuser=root\n'
    for name, command in zip(names(commands), commands):
        text += f'[program:{name}]\ncommand=sh -c {shlex.quote("exec " + command)}\n'
    return ['supervisord', '-n', '-c', write(folder, 'supervisord.conf', text)]


@tool('tini sh -c', 'tini')
def tini(commands, folder):
    return ['tini', '-s', '--', 'sh', '-c', all_at_once(commands)]


@tool('tini -g sh -c', 'tini')
def tini_group(commands, folder):
    return ['tini', '-s', '-g', '--', 'sh', '-c', all_at_once(commands)]


@tool('dumb-init sh -c', 'dumb-init')
def dumb_init(commands, folder):
    return ['dumb-init', 'sh', '-c', all_at_once(commands)]


@tool('sh: a & b & wait', 'sh')
def shell(commands, folder):
    return ['sh', '-c', all_at_once(commands)]


def is_there(name):
    needs, _ = TOOLS[name]
    if not shutil.which(needs):
        return False
    if needs != 'coop':
        return True
    return subprocess.run(['coop', 'run', 'true'], stdin=subprocess.DEVNULL, capture_output=True,
                          timeout=60, check=False).returncode == 0
