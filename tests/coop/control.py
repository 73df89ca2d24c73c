#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The control socket: ps, tree, logs, stop and restart of a running coop."""
import fcntl
import os
import signal
import socket
import stat
import subprocess
import sys

from kit import equal, main, test, until

LOOP = 'while :; do sleep 0.02; done'
UNTIL_GO = 'while ! [ -e go ]; do sleep 0.02; done'


@test
def ps_and_tree(case):
    """What runs, in which state; the tree shows groups."""
    coop = case.start('run', '--name', 'db', '--ready', 'file:up', '--service', 'echo up; ' + LOOP,
                      '--name', 'e2e', '--group', 'tests/slow', '--after', 'db', 'sleep 1000')
    coop.wait_for('up')
    status, output, errors = case.run2('ps')
    equal(status, 0, errors)
    equal([line.split()[:2] for line in output.splitlines()],
          [['TASK', 'STATE'], ['db', 'running'], ['e2e', 'waiting']])
    case.write('up', '')
    coop.wait_for('ready')
    status, output, errors = case.run2('tree', str(coop.pid))
    equal((status, [line.split()[0] for line in output.splitlines()]),
          (0, ['run', 'db', 'tests', 'slow', 'e2e']), errors)
    coop.signal(signal.SIGTERM)
    equal(coop.end(), -signal.SIGTERM)


@test
def ps_of_a_map(case):
    """Each input is a line, whatever is in it, and no character of it is cut."""
    coop = case.start('map', '-j2', 'echo up; sleep 1000; : {}', ':::', 'a\nb', '\u00e9' * 150)
    until('both', lambda: coop.text.count('up') == 2)
    lines = case.run2('ps')[1].splitlines()
    equal((len(lines), sorted(line.split()[-1] for line in lines[1:])),
          (3, ['a...', '\u00e9' * 100 + '...']), lines)
    coop.signal(signal.SIGTERM)
    equal(coop.end(), -signal.SIGTERM)


@test
def logs(case):
    """What a task has written: all, the last lines, and what is still to come."""
    wait = 'while ! [ -e go ]; do sleep 0.02; done; '
    coop = case.start('run', '--name', 'a', 'seq 5; ' + wait + 'echo end',
                      '--name', 'b', 'echo other; ' + wait)
    coop.wait_for('5')
    coop.wait_for('other')
    equal(case.run2('logs', 'a')[1], '1\n2\n3\n4\n5\n')
    equal(case.run2('logs', '-n', '2', 'a')[1], '4\n5\n')
    follow = case.start('logs', '-f', '-n', '1', 'a')
    follow.wait_for('5')
    case.write('go', '')
    equal(follow.end(), 0)
    equal(follow.text, '5\nend\n')
    equal(coop.end(), 0)


@test
def no_log_controls_the_terminal(case):
    """S15: what a task wrote, and inputs of a map, are shown as on a screen."""
    evil = 'a\033]0;title\007b\033[2J\033[31mred\033[0m'
    line = f'printf "%s\\n" "{evil}"; while ! [ -e go ]; do sleep 0.02; done'
    coop = case.start('run', '--name', 'a', line)
    coop.wait_for('red')
    seen = case.start('logs', '--control', case.path(f'coop/{coop.pid}.sock'), tty=True)
    equal(seen.end(), 0)
    assert 'a^[]0;title^Gb^[[2J\033[31mred\033[0m' in seen.text, repr(seen.text)
    equal(case.run2('logs')[1], evil + '\n')
    case.write('go', '')
    equal(coop.end(), 0)
    os.unlink(case.path('go'))
    coop = case.start('map', 'echo up; while ! [ -e go ]; do sleep 0.02; done; true', ':::', evil)
    coop.wait_for('up')
    seen = case.start('ps', tty=True)
    equal(seen.end(), 0)
    assert 'a^[]0;title^Gb^[[2J' in seen.text and '\033]0' not in seen.text, repr(seen.text)
    case.write('go', '')
    equal(coop.end(), 0)


@test
def quit_shows_the_tree(case):
    """SIGQUIT says on the screen what `coop tree` says, inputs of a map included."""
    wait = 'while ! [ -e go ]; do sleep 0.02; done'
    for args in (('run', '--name', 'a', wait, '--group', 'g/h', '--name', 'b', 'echo up; ' + wait),
                 ('map', '-j2', 'echo up; ' + wait + '; true', ':::', 'one', 'two', 'three')):
        coop = case.start(*args)
        coop.wait_for('up')
        until('all', lambda: case.run2('tree')[1].count(' ready ') == 2)
        wanted = [line.split()[:3] for line in case.run2('tree')[1].splitlines()]
        coop.signal(signal.SIGQUIT)
        coop.wait_for(wanted[-1][0] + ' ' * 9)
        lines = [line[6:].split()[:3] for line in coop.text.splitlines() if line[:6] == 'coop: ']
        equal(lines, wanted, coop.text)
        case.write('go', '')
        equal(coop.end(), 0)
        os.unlink(case.path('go'))


@test
def stop_of_one_task(case):
    """It is stopped politely, and the job goes on; its status is no failure."""
    coop = case.start('run', '--name', 'a', 'trap "echo polite; exit 0" TERM; echo up; ' + LOOP,
                      '--name', 'b', 'while ! [ -e go ]; do sleep 0.02; done')
    coop.wait_for('up')
    equal(case.run2('stop', 'a')[0], 0)
    coop.wait_for('polite')
    case.write('go', '')
    equal(coop.end(), 0)


@test
def stop_of_the_main_task(case):
    """Its exit status is the job's, however it came to its end; one that has not begun has none."""
    main_task = ('--name', 'm', '--main')
    term = 'trap "exit {}" TERM; echo up; ' + LOOP
    for args, wanted in (
            ((*main_task, 'echo up; exec sleep 1000'), 143),
            ((*main_task, '--ok-codes', '0,143', 'echo up; exec sleep 1000'), 0),
            ((*main_task, term.format(0)), 0),
            ((*main_task, term.format(7)), 7),
            ((*main_task, '--stop', 'TERM,10ms,KILL', 'trap "" TERM; echo up; ' + LOOP), 137),
            (('--name', 'a', 'echo up; sleep 1000', *main_task, '--after', 'a', 'true'), 1)):
        coop = case.start('run', *args, '--name', 'other', 'sleep 1000')
        coop.wait_for('up')
        equal(case.run2('stop', 'm')[0], 0)
        equal(coop.end(), wanted, coop.text)
        assert wanted == 0 or f'exit status {wanted}' in coop.text, coop.text


@test
def main_task_that_never_starts(case):
    """What it waits for was stopped, or a failure of that was only noted: it has not succeeded."""
    coop = case.start('run', '--name', 'a', 'echo up; sleep 1000', '--name', 'm', '--main',
                      '--after', 'a', 'true')
    coop.wait_for('up')
    equal(case.run2('stop', 'a')[0], 0)
    equal(coop.end(), 1, coop.text)
    assert 'coop: main task m was never started: a has not ended well' in coop.text, coop.text
    status, _, errors = case.run('run', '-o', 'stream', '--name', 'a', '--on-fail', 'log', 'exit 3',
                                 '--main', '--name', 'm', '--after', 'a:ok', 'true')
    equal((status, errors.splitlines()[-1]),
          (1, 'coop: main task m was never started: a has not ended well'))
    equal(case.run('run', '-k', '--name', 'a', 'exit 3', '--main', '--name', 'm', '--after', 'a:ok',
                   'true')[0], 3)


@test
def stop_of_many_tasks(case):
    """All that were named, however many a request can hold; the job goes on."""
    names = [f't{i}' for i in range(300)]
    coop = case.start('run', '--name', 'a', 'echo up; while ! [ -e go ]; do sleep 0.02; done',
                      *(word for name in names for word in
                        ('--name', name, '--after', 'a', 'echo started')))
    coop.wait_for('up')
    equal(case.run2('stop', *names)[0], 0)
    case.write('go', '')
    equal(coop.end(), 0)
    assert 'started' not in coop.text, coop.text


@test
def finally_by_name(case):
    """It is stopped if somebody asks for that, as a shielded task is; it does not run twice."""
    coop = case.start('run', '--finally', 'trap "echo polite; exit 0" TERM; echo up; ' + LOOP,
                      'true')
    coop.wait_for('up')
    status, _, errors = case.run2('restart', 'finally')
    assert status == 125 and 'finally is a --finally: it runs once' in errors, errors
    equal(case.run2('stop', 'finally')[0], 0)
    coop.wait_for('polite')
    equal(coop.end(), 0, coop.text)


@test
def stop_of_one_that_has_failed(case):
    """It comes when there is but the rest of its group: the failure stays one."""
    coop = case.start('run', '--keep-going', '--name', 'a',
                      '(trap "echo polite" TERM; echo up; '
                      'while ! [ -e go ]; do sleep 0.02; done) & '
                      'while ! [ -e gone ]; do sleep 0.02; done; exit 3', '--name', 'b', LOOP)
    coop.wait_for('up')
    case.write('gone', '')
    coop.wait_for('polite')
    stop = case.start('stop', 'a', 'b')
    coop.wait_for('b \u2298')
    case.write('go', '')
    equal((stop.end(), coop.end()), (0, 3), coop.text)


@test
def stop_of_the_job(case):
    """As TERM."""
    coop = case.start('run', 'echo up; sleep 1000', 'sleep 1000')
    coop.wait_for('up')
    equal(case.run2('stop')[0], 0)
    equal(coop.end(), -signal.SIGTERM)
    case.check_left()


@test
def restart(case):
    """Stopped, and started again; what waits for another one is not."""
    coop = case.start('run', '--name', 'a', '--ready', 'file:never', 'echo up >> log; ' + LOOP,
                      '--name', 'b', '--after', 'a', 'true')
    coop.wait_file('log')
    equal(case.run2('restart', 'a')[0], 0)
    until('the second start', lambda: case.content('log').count('up') == 2)
    status, _, errors = case.run2('restart', 'b')
    assert status == 125 and 'b cannot be restarted now: it is waiting' in errors, errors
    coop.signal(signal.SIGTERM)
    coop.end()


@test
def attempts_and_restarts(case):
    """ps counts them; between two lives there is no attempt."""
    coop = case.start('run', '--name', 'a', '--restart', 'always', '--backoff', '1000s', 'exit 0',
                      '--name', 'b', '--retry', '3', '--backoff', '10ms..1000s',
                      'echo $COOP_ATTEMPT >> log; [ $COOP_ATTEMPT = 2 ] && sleep 1000; exit 1')
    coop.wait_file('log')
    until('the second attempt', lambda: '2' in case.content('log'))
    until('the pause', lambda: 'pausing' in case.run2('ps')[1])
    lines = [line.split('  ')[-1] for line in case.run2('ps')[1].splitlines()[1:]]
    equal(lines, ['1 restart', 'attempt 2'])
    coop.signal(signal.SIGTERM)
    coop.end()


@test
def restart_of_what_has_ended(case):
    """A whole new life: who had failed, and ends well then, has not failed; logs are kept."""
    os.mkdir(case.path('logs'))
    coop = case.start('run', '--keep-going', '--log-dir', 'logs',
                      '--name', 'a', 'echo life; echo $COOP_ATTEMPT >> log; test -e good',
                      '--name', 'b', '--after', 'a:ok', 'echo b > second',
                      '--name', 'c', 'while ! [ -e go ]; do sleep 0.02; done')
    coop.wait_for('has not ended well')
    case.write('good', '')
    equal(case.run2('restart', 'a', 'b')[0], 0)
    coop.wait_file('second')
    equal(case.content('log'), '1\n1\n')
    equal(case.content('logs/a.log'), 'life\nlife\n')
    equal(case.run2('logs', 'a')[1], 'life\nlife\n')
    equal(case.run2('stop', 'b')[0], 0)  # what is asked for is so
    case.write('go', '')
    equal(coop.end(), 0, coop.text)
    assert 'has not ended' not in coop.text.partition('tasks in')[2], coop.text


@test
def failure_of_the_last_life_counts(case):
    """The status is that of those that have failed in the end, the first of them first."""
    coop = case.start('run', '--keep-going',
                      '--name', 'a', 'if [ -e good ]; then exit 5; fi; exit 4',
                      '--name', 'b', '--after', 'a:done', 'exit 6',
                      '--name', 'c', 'while ! [ -e go ]; do sleep 0.02; done')
    coop.wait_for('exit 6')
    case.write('good', '')
    equal(case.run2('restart', 'a')[0], 0)
    coop.wait_for('exit 5')
    case.write('go', '')
    equal(coop.end(), 6, coop.text)


@test
def first_failure_that_is_left(case):
    """The status is that of the one which the report says was first, in a group or not."""
    wait = 'while ! [ -e {} ]; do sleep 0.02; done'
    coop = case.start('run', '--keep-going', '--name', 'a', 'test -e good',
                      '--name', 'x', '--after', 'a:done', '--group', 'g', 'exit 5',
                      '--name', 'y', '--group', 'g', wait.format('end-of-g'),
                      '--name', 'b', '--after', 'x:done', 'exit 6',
                      '--name', 'c', wait.format('go'))
    coop.wait_for('exit 6')
    case.write('good', '')
    equal(case.run2('restart', 'a')[0], 0)
    coop.wait_for('a \u2713')
    case.write('end-of-g', '')
    coop.wait_for('y \u2713')
    case.write('go', '')
    equal(coop.end(), 5, coop.text)
    assert 'x  exit 5' in coop.text.partition('first failure')[0].splitlines()[-1], coop.text


@test
def failure_of_a_group_still_counts(case):
    """A restart takes back the failure of its task only: a signal afterwards is not the reason."""
    coop = case.start('run', '--keep-going', '--name', 'a', 'test -e good',
                      '--name', 'b', '--group', 'late', 'sleep 1000', '--name', 'c', 'sleep 1000',
                      '--policy', 'late:timeout=100ms')
    coop.wait_for('b \u2298')
    coop.wait_for('a \u2717')
    case.write('good', '')
    equal(case.run2('restart', 'a')[0], 0)
    coop.wait_for('a \u2713')
    coop.signal(signal.SIGTERM)
    equal(coop.end(), 124, coop.text)


@test
def restart_that_cannot_be(case):
    """The group of the task has ended or is ending: it is said which."""
    wait = 'while ! [ -e go ]; do sleep 0.02; done'
    coop = case.start('run', '--name', 'a', '--group', 'inner', 'true', '--name', 'b', wait,
                      '--name', 'd', '--group', 'other', 'exit 3',
                      '--name', 'e', '--group', 'other', '--shield', wait,
                      '--policy', 'other:fail-fast', '--keep-going')
    coop.wait_for('a ')
    until('the end of its group',
          lambda: 'so has its group' in case.run2('restart', 'a')[2])
    coop.wait_for('exit 3')
    status, _, errors = case.run2('restart', 'd')
    assert status == 125 and 'd has ended (exit 3), and its group is being stopped: d: exit 3' \
        in errors, errors
    case.write('go', '')
    equal(coop.end(), 3)


@test
def wrong_names(case):
    """A task that does not exist, no coop at all, and two of them."""
    assert 'no coop' in case.run2('ps')[2]
    status, _, errors = case.run2('tree', '1')
    equal((status, errors), (125, 'coop tree: process 1 is no running coop of yours\n'))
    first = case.start('run', 'echo up; sleep 1000')
    first.wait_for('up')
    status, _, errors = case.run2('stop', 'nobody')
    assert status == 125 and 'no task nobody' in errors, errors
    status, _, errors = case.run2('restart', 'ecoh')
    assert status == 125 and 'no task ecoh; did you mean echo?' in errors, errors
    second = case.start('run', 'echo up; sleep 1000')
    second.wait_for('up')
    status, _, errors = case.run2('stop')
    assert status == 125 and str(first.pid) in errors and str(second.pid) in errors, errors
    for coop in (first, second):
        path = os.path.join(case.folder, 'coop', f'{coop.pid}.sock')
        equal(case.run2('stop', '--control', path)[0], 0)
        coop.end()


@test
def sockets_that_nobody_listens_at(case):
    """Of one who has gone it is taken away; of one who is about to listen it is not."""
    gone = subprocess.Popen(['true'])
    gone.wait()
    os.mkdir(case.path('coop'), 0o700)
    paths = [case.path(f'coop/{pid}.sock') for pid in (os.getpid(), gone.pid)]
    with socket.socket(socket.AF_UNIX) as here, socket.socket(socket.AF_UNIX) as there:
        here.bind(paths[0])
        there.bind(paths[1])
        status, _, errors = case.run2('ps')
    equal((status, errors), (125, 'coop ps: no coop of yours is running\n'))
    equal([os.path.exists(path) for path in paths], [True, False])


@test
def socket_is_private(case):
    """S18: 0600 in a folder of 0700; away at the end; none where others can enter the folder."""
    coop = case.start('run', 'echo up; sleep 1000')
    coop.wait_for('up')
    folder = case.path('coop')
    path = os.path.join(folder, f'{coop.pid}.sock')
    equal(stat.S_IMODE(os.stat(folder).st_mode), 0o700)
    equal(stat.S_IMODE(os.stat(path).st_mode), 0o600)
    with socket.socket(socket.AF_UNIX) as s:  # nonsense is answered
        s.connect(path)
        s.sendall(b'frobnicate\n')
        assert s.recv(100).startswith(b'error'), 'no error'
    coop.signal(signal.SIGTERM)
    coop.end()
    equal(os.listdir(folder), [])
    os.chmod(folder, 0o755)
    coop = case.start('run', 'ls coop')
    equal((coop.end(), coop.text), (0, ''))


def wait_for_answer(case, coop, path):
    coop.wait_for('up')
    status, output, errors = case.run2('ps', '--control', path)
    equal((status, len(output.splitlines())), (0, 2), errors)


@test
def socket_of_one_who_was_killed(case):
    """S18: one at a path that was given is replaced, and taken away at the end."""
    coop = case.start('run', '--control', 'here', '--name', 'a', 'echo up; sleep 1000')
    wait_for_answer(case, coop, 'here')
    os.kill(coop.runtime(), signal.SIGKILL)
    coop.end()
    case.wait_nothing_left()
    assert stat.S_ISSOCK(os.lstat(case.path('here')).st_mode), 'it has not stayed'
    for path in ('here', case.path('here')):
        coop = case.start('run', '--control', path, '--name', 'a', 'echo up; ' + UNTIL_GO)
        wait_for_answer(case, coop, path)
        equal(stat.S_IMODE(os.stat(case.path('here')).st_mode), 0o600)
        case.write('go', '')
        equal(coop.end(), 0, coop.text)
        assert not os.path.lexists(case.path('here')), 'it was left'
        os.unlink(case.path('go'))
        with socket.socket(socket.AF_UNIX) as s:
            s.bind(case.path('here'))


@test
def path_of_a_socket_that_is_taken(case):
    """Of one who listens, or what is no socket: refused before anything starts, and untouched."""
    coop = case.start('run', '--control', 'here', '--name', 'a', 'echo up; ' + UNTIL_GO)
    wait_for_answer(case, coop, 'here')
    status, output, errors = case.run2('run', '--control', 'here', 'echo x')
    equal((status, output, errors), (125, '', 'coop: --control here: another one listens there\n'))
    wait_for_answer(case, coop, 'here')
    case.write('go', '')
    equal(coop.end(), 0, coop.text)
    case.write('file', 'text')
    os.symlink('nowhere', case.path('link'))
    os.mkdir(case.path('folder'))
    for path in ('file', 'link', 'folder'):
        status, output, errors = case.run('run', '--control', path, 'echo x')
        equal((status, output, errors),
              (125, '', f'coop: --control {path}: it is there, and no socket\n'))
    equal((case.content('file'), os.readlink(case.path('link')), os.listdir(case.path('folder'))),
          ('text', 'nowhere', []))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.bind(case.path('datagrams'))
        equal(case.run('run', '--control', 'datagrams', 'true')[0], 125)
        assert os.path.lexists(case.path('datagrams')), 'it was taken away'


@test
def many_at_the_socket_of_one_who_was_killed(case):
    """One of those that start at once has it, all others are told, and none takes it away."""
    for turn in range(4):
        with socket.socket(socket.AF_UNIX) as s:
            s.bind(case.path('here'))
        coops = [case.start('run', '--control', 'here', '--name', 'a',
                            f'echo up; while ! [ -e go-{turn} ]; do sleep 0.02; done')
                 for _ in range(8)]
        until('those that were refused',
              lambda: sum(coop.process.poll() == 125 for coop in coops) == 7)
        winner = [coop for coop in coops if coop.process.poll() is None]
        equal(len(winner), 1)
        wait_for_answer(case, winner[0], 'here')
        case.write(f'go-{turn}', '')
        equal(sorted(coop.end() for coop in coops), [0] + 7 * [125])
        assert not os.path.lexists(case.path('here')), 'it was left'


@test
def folder_that_somebody_has_locked(case):
    """Who cannot look alone takes no socket away; without one there it works."""
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(case.path('old'))
    lock = os.open(case.folder, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    status, _, errors = case.run('run', '--control', 'old', 'true')
    equal((status, errors),
          (125, 'coop: --control old: it is there, and its folder is locked by another one\n'))
    equal(case.run('run', '--control', 'new', 'true')[0], 0)
    os.close(lock)
    equal(case.run('run', '--control', 'old', 'true')[0], 0)
    assert not os.path.lexists(case.path('old')), 'it was left'


if __name__ == '__main__':
    sys.exit(main())
