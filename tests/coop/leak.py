#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Nothing is left behind, whatever the tasks do and however coop itself ends (K01, S11, S14)."""
import contextlib
import os
import re
import signal
import subprocess
import sys

from kit import Skip, equal, main, test, until

# What a task may be like; each says "up" when it is what it is meant to be.
TASKS = {
    'fg': 'echo up; sleep 1000; true',
    'bg': 'sleep 1000 & echo up; wait',
    'clean': 'trap "sleep 0.5; echo cleaned >> cleaned; kill $!; exit 0" TERM INT; '
             'sleep 1000 & echo up; wait $!',
    'stubborn': 'trap "" TERM INT HUP; echo up; while :; do sleep 0.05; done',
    'setsid': 'setsid sh -c "echo up; sleep 1000" & wait',
    'double': '(setsid sh -c "trap \\"\\" TERM INT; echo up; sleep 1000 & sleep 1000; '
              'sleep 1000" &); sleep 1000; true',
    'stopped': 'echo up; kill -STOP $$; sleep 1000',
    'pipe': '(setsid sleep 1000 &); echo up; sleep 1000; true',
    'tree': 'sh -c "sh -c \\"sleep 1000 & sleep 1000\\" & sleep 1000; true" & echo up; wait',
}
# Its first thread has ended, and another one goes on: in /proc it is a zombie. It hears no TERM.
HEADLESS = '''import ctypes, os, signal, threading, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
threading.Thread(target=time.sleep, args=(1000,)).start()
print('up', flush=True)
ctypes.CDLL(None).syscall({'x86_64': 60}.get(os.uname().machine, 93), 0)
'''
LADDER = ['--all', '--stop', 'INT,300ms,TERM,1500ms,KILL']


def words(*more):
    args = ['run', *LADDER]
    for name, command in TASKS.items():
        args += ['--name', name, command]
    return [*args, *more]


def start(case, *more, **how):
    coop = case.start(*words(*more), **how)
    until('all tasks', lambda: coop.text.count('up') >= len(TASKS))
    return coop


def check(case, coop, status, cleaned=True):
    equal(coop.end(), status)
    case.check_left()
    equal(os.path.exists(case.path('cleaned')), cleaned)
    if cleaned:
        equal(case.content('cleaned'), 'cleaned\n')


@test
def after_a_failure(case):
    """One fails: the others end, the clean-up is waited for, the status is the failure's."""
    coop = start(case, '--name', 'bad', 'while ! [ -e go ]; do sleep 0.02; done; exit 3')
    case.write('go', '')
    check(case, coop, 3)


@test
def after_term(case):
    """TERM to coop."""
    coop = start(case)
    coop.signal(signal.SIGTERM)
    check(case, coop, -signal.SIGTERM)


@test
def after_hangup(case):
    """HUP to coop."""
    coop = start(case)
    coop.signal(signal.SIGHUP)
    check(case, coop, -signal.SIGHUP)


@test
def after_ctrl_c(case):
    """Ctrl-C on a terminal."""
    coop = start(case, tty=True)
    coop.type(b'\x03')
    check(case, coop, -signal.SIGINT)


@test
def after_two_ctrl_c(case):
    """A second one kills what was cleaning up."""
    coop = start(case, tty=True)
    coop.type(b'\x03')
    coop.wait_for('stopping')
    coop.type(b'\x03')
    coop.wait_for('killing')
    equal(coop.end(), -signal.SIGINT)
    case.check_left()


@test
def after_three_ctrl_c(case):
    """A third one kills shielded tasks."""
    coop = start(case, '--name', 'shielded', '--shield', 'echo up; sleep 1000; true', tty=True)
    until('all tasks', lambda: coop.text.count('up') >= len(TASKS) + 1)
    coop.type(b'\x03')
    coop.wait_for('stopping')
    coop.type(b'\x03')
    coop.wait_for('killing all but')
    coop.type(b'\x03')
    coop.wait_for('killing everything')
    equal(coop.end(), -signal.SIGINT)
    case.check_left()


@test
def after_kill_of_the_runtime(case):
    """kill -9 of the runtime: the guard ends the tree."""
    coop = start(case)
    os.kill(coop.runtime(), signal.SIGKILL)
    equal(coop.end(), 128 + signal.SIGKILL)
    case.check_left()


@test
def what_the_guard_says_nobody_reads(case):
    """The tree ends although standard error is full and its reader stands still."""
    reader, writer = os.pipe()
    coop = case.start('run', 'sleep 1000 & : > up; wait', stderr=writer)
    until('the task', lambda: os.path.exists(case.path('up')))
    os.set_blocking(writer, False)
    with contextlib.suppress(BlockingIOError):
        while os.write(writer, b'x' * 4096):
            pass
    os.set_blocking(writer, True)  # which is of the other end's opener, too
    os.close(writer)
    os.kill(coop.runtime(), signal.SIGKILL)
    until('the end of all but it', lambda: {pid for pid, *_ in case.left()} <= {coop.pid})
    with os.fdopen(reader, 'rb') as f:
        text = f.read()
    assert b'was killed by signal 9' in text, text[-200:]
    equal(coop.end(), 128 + signal.SIGKILL)


@test
def after_kill_of_the_guard(case):
    """kill -9 of the guard: the runtime stops politely."""
    coop = start(case)
    coop.signal(signal.SIGKILL)
    coop.process.wait()
    case.wait_nothing_left()
    equal(case.content('cleaned'), 'cleaned\n')


@test
def leaders_after_kill_of_the_group(case):
    """kill -9 of the whole group, as timeout -s KILL does it: at least the leaders are gone."""
    coop = case.start('run', 'echo up; exec sleep 1000', '--pty', 'on', 'echo up; exec sleep 1000')
    until('all tasks', lambda: coop.text.count('up') >= 2)
    os.killpg(coop.pid, signal.SIGKILL)
    coop.process.wait()
    case.wait_nothing_left()


@test
def after_success(case):
    """Tasks that end well and leave something in the background, in a session of its own or not."""
    status, _, errors = case.run('run', 'sleep 1000 & true', '(setsid sleep 1000 &); true',
                                 'sleep 1000 > /dev/null 2>&1 & true',
                                 '(setsid sh -c "trap : TERM; sleep 1000; sleep 1000" &)')
    equal(status, 0, errors)


def start_headless(case, line):
    case.write('headless.py', HEADLESS)
    coop = case.start('run', '--stop', 'TERM,100ms,KILL', line)
    coop.wait_for('up')
    until('the end of its first thread', lambda: any(state == 'Z' for _, state, _ in case.left()))
    return coop


def end_headless(coop):
    coop.signal(signal.SIGTERM)
    equal(coop.end(), -signal.SIGTERM)
    assert 'cannot be ended' not in coop.text, coop.text


@test
def headless_tasks(case):
    """A task whose first thread has ended looks like a zombie, and is none."""
    end_headless(start_headless(case, 'exec python3 headless.py'))
    case.check_left()


@test
def headless_orphans(case):
    """The same for one that has left its group, its session and its parent."""
    end_headless(start_headless(case, '(setsid python3 headless.py &); sleep 1000; true'))
    case.check_left()


@test
def headless_orphans_of_the_runtime(case):
    """The same for the guard."""
    coop = start_headless(case, '(setsid python3 headless.py &); sleep 1000; true')
    os.kill(coop.runtime(), signal.SIGKILL)
    equal(coop.end(), 128 + signal.SIGKILL)
    assert 'cannot be ended' not in coop.text, coop.text
    case.check_left()


def run_without_proc(case, *args):
    with open(case.coop, 'rb') as f:
        if re.search(b'__[at]san_init', f.read()):
            raise Skip('a sanitizer needs /proc')
    hide = 'mount -t tmpfs none /proc && '
    if subprocess.run(['unshare', '-m', 'sh', '-c', hide + 'true'], check=False,
                      stderr=subprocess.DEVNULL).returncode:
        raise Skip('no file system may be mounted here')
    return case.run('-m', 'sh', '-c', hide + 'exec "$COOP" "$@"', 'sh', *args, program='unshare')


@test
def without_proc(case):
    """Where nothing can be seen, nothing is left all the same, nor said to be left."""
    status, _, errors = run_without_proc(
        case, 'run', "(setsid sh -c 'sleep 1000 & sleep 1000; true' &); exit 3", 'true')
    equal(status, 3, errors)
    assert 'no process left behind' in errors, errors


@test
def without_proc_politely(case):
    """There, too, orphans are told to end before they are killed."""
    orphan = ('trap "echo asked > polite; exit" TERM; echo > up; '
              'while :; do sleep 0.05; done')
    status, _, errors = run_without_proc(
        case, 'run', '-v', f"(setsid sh -c '{orphan}' &); until [ -s up ]; do sleep 0.01; done",
        'true')
    equal((status, case.content('polite')), (0, 'asked\n'), errors)
    assert 'was left over: ending it' in errors, errors


@test
def held_pipe_does_not_hang(case):
    """H08, S11: a descendant that got away holds the output open; what was written is not lost."""
    status, output, errors = case.run(
        'run', '-v', '(setsid sh -c "echo > away; sleep 1000; :" &); '
        'until [ -s away ]; do sleep 0.01; done; echo last words; exit 3', 'true')
    equal((status, output.split('\u2502')[1]), (3, ' last words\n'), errors)
    equal(errors.count('setsid: somebody holds its output open'), 1, errors)


@test
def of_exec_and_map(case):
    """After their time limits."""
    equal(case.run('exec', '--timeout', '300ms', '--stop', 'TERM,200ms,KILL', '--', 'sh', '-c',
                   TASKS['double'])[0], 124)
    equal(case.run('map', '-j4', '--timeout', '300ms', '--stop', 'TERM,200ms,KILL',
                   TASKS['bg'] + '; : {}', ':::', 'a', 'b', 'c')[0], 124)


@test
def fork_storm(case):
    """A task that forks as fast as it can, children in sessions of their own."""
    case.write('storm', '#!/bin/sh\ntrap "" TERM INT\n'
               'i=0; while [ $i -lt 200 ]; do setsid sh -c "trap \\"\\" TERM; sleep 1000; :" & '
               'i=$((i+1)); done\necho up\nwait\n')
    os.chmod(case.path('storm'), 0o755)
    coop = case.start('run', '--stop', 'TERM,100ms,KILL', './storm')
    until('some of it', lambda: len(case.left()) > 30)
    coop.signal(signal.SIGTERM)
    equal(coop.end(), -signal.SIGTERM)
    case.check_left()


@test
def ends_that_race_with_the_stop(case):
    """K06: tasks that end by themselves at the moment when they are stopped: no error, no loss."""
    tasks = [f'sleep 0.{10 + i % 10:02}' for i in range(40)]
    status, _, errors = case.run('run', '-k', '--all', '--timeout', '150ms', *tasks)
    assert status in (0, 124), errors
    for line in errors.splitlines():
        assert not line.startswith('coop:'), errors
    status, _, errors = case.run('run', *tasks, 'sleep 0.15; exit 3')
    equal(status, 3, errors)


@test
def nested_jobs(case):
    """A coop in a coop: each clean-up once, from the outermost Ctrl-C; nothing left."""
    inner = f'"$COOP" run --stop INT,5s,TERM,5s,KILL \'{TASKS["clean"]}\' \'{TASKS["fg"]}\''
    coop = case.start('run', '--stop', 'INT,20s,TERM,5s,KILL', inner, TASKS['fg'], tty=True)
    until('all tasks', lambda: coop.text.count('up') >= 3)
    coop.type(b'\x03')
    check(case, coop, -signal.SIGINT)


@test
def nested_job_killed(case):
    """The inner guard is killed, then all of the outer one's runtime: nothing left."""
    inner = f'"$COOP" run \'{TASKS["clean"]}\' \'{TASKS["stubborn"]}\' \'{TASKS["double"]}\''
    coop = case.start('run', inner, TASKS['fg'])
    until('all tasks', lambda: coop.text.count('up') >= 4)
    os.kill(coop.runtime(), signal.SIGKILL)
    equal(coop.end(), 128 + signal.SIGKILL)
    case.check_left()


def can_make_cgroups(case):
    """Whether doctor says so."""
    rows = case.run('doctor')[1].splitlines()
    return any(row.startswith('yes') and 'cgroup' in row for row in rows)


def kill_both(coop):
    """Guard and runtime at one instant: neither sees the other's end."""
    runtime = coop.runtime()
    os.kill(coop.pid, signal.SIGSTOP)
    os.kill(runtime, signal.SIGSTOP)
    os.kill(runtime, signal.SIGKILL)
    coop.signal(signal.SIGKILL)
    coop.process.wait()


@test
def after_kill_of_both(case):
    """--contain cgroup: guard and runtime are killed at one instant, and nothing is left."""
    if not can_make_cgroups(case):
        raise Skip('no cgroup may be made here')
    coop = case.start('run', '--contain', 'cgroup', TASKS['clean'], TASKS['double'],
                      TASKS['stubborn'])
    until('all tasks', lambda: coop.text.count('up') >= 3)
    kill_both(coop)
    case.wait_nothing_left()


@test
def probe_after_kill_of_both(case):
    """The command of a probe goes as a task does: its first process, with a cgroup all of it."""
    ways = [('tree', 'echo up > probe; exec sleep 1000')]
    if can_make_cgroups(case):
        ways.append(('cgroup', 'sleep 1000 & echo up > probe; sleep 1000'))
    for way, command in ways:
        coop = case.start('run', '--contain', way, '--ready', 'cmd:' + command, 'exec sleep 1000')
        coop.wait_file('probe')
        kill_both(coop)
        case.wait_nothing_left()
        os.unlink(case.path('probe'))


@test
def cgroup_goes_with_the_job(case):
    """After an end in order the group is taken away, and so is its keeper."""
    if not can_make_cgroups(case):
        raise Skip('no cgroup may be made here')
    status, output, errors = case.run2('run', '--contain', 'cgroup', 'cat /proc/self/cgroup')
    equal(status, 0, errors)
    path = [line for line in output.splitlines() if line.startswith('0::')][0][3:]
    assert '/coop-' in path, path
    for mount in ('/sys/fs/cgroup', '/sys/fs/cgroup/unified'):
        assert not os.path.exists(mount + path), mount + path
    case.wait_nothing_left()


if __name__ == '__main__':
    sys.exit(main())
