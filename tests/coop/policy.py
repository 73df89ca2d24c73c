#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""When tasks start, what their ends mean for others, how often they are tried."""
import os
import re
import sys

from kit import equal, main, test

# Tasks write what they do into one file, a line each: `log WORD`.
LOG = 'log() { echo $1 >> log; }; '


def lines(case):
    return case.content('log').split()


def two_at_a_time(case, count):
    """`+` where one begins and another word where it ends: two at once at most, and they were."""
    running = most = 0
    for word in lines(case):
        running += 1 if word == '+' else -1
        most = max(most, running)
    equal((most, running, len(lines(case))), (2, 0, count))


@test
def after_waits_for_a_good_end(case):
    """--after T: T has ended well before this one starts."""
    status, _, errors = case.run('run', '--name', 'a', LOG + 'sleep 0.2; log a',
                                 '--name', 'b', '--after', 'a', LOG + 'log b')
    equal(status, 0, errors)
    equal(lines(case), ['a', 'b'])


@test
def after_ok_of_a_failure_never_starts(case):
    """What waits for a good end is skipped after a failure, and what waits for an end runs."""
    status, _, errors = case.run(
        'run', '-k', '--name', 'a', 'exit 2', '--name', 'b', '--after', 'a:ok', LOG + 'log b',
        '--name', 'c', '--after', 'a:done', LOG + 'log c', '--name', 'd', '--after', 'b:ready',
        LOG + 'log d')
    equal(status, 2)
    equal(lines(case), ['c'])
    assert 'a has not ended well' in errors and 'b was never ready' in errors, errors


@test
def stops_in_reverse_order(case):
    """What was started after another is stopped before it."""
    trap = (LOG + 'trap "sleep 0.2; log $COOP_TASK; exit 0" TERM; log up; '
            'while :; do sleep 0.02; done')
    status, _, errors = case.run(
        'run', '--name', 'db', trap, '--name', 'api', '--after', 'db:started', trap,
        '--name', 'web', '--after', 'api:started', trap,
        '--name', 'bad', '--after', 'web:started',
        'while [ $(grep -c up log) -lt 3 ]; do sleep 0.02; done; exit 3')
    equal(status, 3, errors)
    equal(lines(case)[3:], ['web', 'api', 'db'])


@test
def locks_exclude(case):
    """Two tasks with one lock never run at once."""
    task = LOG + 'log in; sleep 0.1; log out'
    status, _, _ = case.run('run', '--all', '--lock', 'x', task, task, task)
    equal(status, 0)
    equal(lines(case), ['in', 'out'] * 3)


@test
def jobs_limit(case):
    """-j 1: one after the other; a service takes no place."""
    task = LOG + 'log in; sleep 0.1; log out'
    status, _, errors = case.run('run', '-j', '1', '--name', 's', '--service', 'sleep 1000',
                                 '--name', 'a', '--after', 's:started', task, '--name', 'b', task)
    equal(status, 0, errors)
    equal(lines(case), ['in', 'out'] * 2)


@test
def shares_the_jobserver_of_make(case):
    """Under make -j2 there are never more than two tasks at once, and all tokens come back."""
    case.write('Makefile', 'all:\n\t+@"$(COOP)" map -j0 \'./one {}\' ::: 1 2 3 4 5 6\n'
                           '\t+@"$(COOP)" map -j0 \'./one {}\' ::: 1 2 3 4 5 6\n')
    case.write('one', '#!/bin/sh\necho + >> log; sleep 0.05; echo - >> log\n')
    os.chmod(case.path('one'), 0o755)
    make = case.start('-s', '-j2', program='make')
    equal(make.end(), 0, make.text)
    two_at_a_time(case, 24)


@test
def make_in_a_task_shares_the_jobserver(case):
    """Its recipes take places of the make above: two that wait for each other both run."""
    case.write('Makefile', 'all:\n\t+@"$(COOP)" run --pty off "make -s -f inner a b"\n')
    case.write('inner', 'a:\n\t@echo > a; while ! [ -e b ]; do sleep 0.02; done\n'
                        'b:\n\t@echo > b; while ! [ -e a ]; do sleep 0.02; done\n')
    make = case.start('-s', '-j2', program='make')
    equal(make.end(), 0, make.text)
    assert 'jobserver' not in make.text, make.text


@test
def jobserver_by_name(case):
    """One that is a named pipe is used as well: no more than two at once, its byte comes back."""
    os.mkfifo(case.path('pipe'))
    pipe = os.open(case.path('pipe'), os.O_RDWR | os.O_NONBLOCK)
    os.write(pipe, b'+')
    flags = f' -j2 --jobserver-auth=fifo:{case.path("pipe")}'
    case.write('one', 'echo + >> log; [ "$MAKEFLAGS" = "$WANTED" ] || exit 3\n'
                      'while [ $1 -lt 3 ] && [ $(grep -c + log) -lt 2 ]; do sleep 0.02; done\n'
                      'echo - >> log\n')
    status, _, errors = case.run('map', '-j0', 'sh ./one {}', ':::', '1', '2', '3', '4', '5',
                                 env={'MAKEFLAGS': flags, 'WANTED': flags})
    equal(status, 0, errors)
    equal(os.read(pipe, 10), b'+')
    os.close(pipe)
    two_at_a_time(case, 10)


@test
def jobserver_that_is_none(case):
    """Numbers that make has not handed over limit nothing, and nothing has them in a task."""
    case.write('one', 'echo > up-$1; while ! [ -e up-1 -a -e up-2 -a -e up-3 ]\n'
                      'do sleep 0.02; done; ! [ -e /dev/fd/3 -o -e /dev/fd/4 ]\n')
    for auth in ('3,4', '0,1', '99999,4', '-1,-1'):
        status, _, errors = case.run('map', '-j0', 'sh ./one {}', ':::', '1', '2', '3',
                                     env={'MAKEFLAGS': f' -j2 --jobserver-auth={auth}'})
        equal(status, 0, errors)
        for number in (1, 2, 3):
            os.unlink(case.path(f'up-{number}'))


@test
def number_that_jobserver_and_probe_want(case):
    """The probe has it; a make in that task is told that it is alone, all others share."""
    os.mkfifo(case.path('pipe'))
    case.write('show', 'echo "<$MAKEFLAGS>"; [ -p /dev/fd/7 ]\n')
    coop = case.start('-c', 'exec 7<> pipe; MAKEFLAGS="ks -j3 --jobserver-auth=7,7 -- A=-j9"; '
                      'export MAKEFLAGS; exec "$COOP" run -o stream -q --name a --ready fd:7 '
                      '"echo >&7; sh ./show" --after a:ok "sh ./show"', program='bash')
    equal((coop.end(), coop.text),
          (0, '<ks -- A=-j9>\n<ks -j3 --jobserver-auth=7,7 -- A=-j9>\n'))


@test
def main_ends_the_rest(case):
    """The end of the main task cancels all others, and its status is the status."""
    for code in (0, 7):
        status, _, errors = case.run('run', 'sleep 1000', '--main', f'exit {code}', 'sleep 1000')
        equal(status, code, errors)


@test
def services_end_with_the_others(case):
    """Services are cancelled when all that are none are done."""
    status, _, errors = case.run('run', '--service', 'sleep 1000', 'sleep 0.1', 'true')
    equal(status, 0, errors)
    assert 'all others are done' in errors, errors


@test
def service_that_ends_is_a_failure(case):
    """Even with 0."""
    equal(case.run('run', '--service', 'exit 0', 'sleep 1000')[0], 1)
    equal(case.run('run', '--service', 'exit 4', 'sleep 1000')[0], 4)


@test
def failure_that_is_only_noted(case):
    """--on-fail log: nobody is cancelled, and the status is 0."""
    status, _, errors = case.run('run', '--on-fail', 'log', 'exit 3', LOG + 'sleep 0.2; log x')
    equal(status, 0, errors)
    equal(case.run('run', '--main', '--on-fail', 'log', 'exit 3', 'sleep 1000')[0], 0)
    equal(lines(case), ['x'])


@test
def keep_going(case):
    """-k: the others go on, and the status is that of the first failure."""
    equal(case.run('run', '-k', 'exit 3', LOG + 'sleep 0.2; log x')[0], 3)
    equal(lines(case), ['x'])


@test
def groups_have_their_own_policy(case):
    """A failure in a group that keeps going stops nobody in it, and then fails the outer one."""
    status, _, errors = case.run(
        'run', '--policy', 'a:keep-going', '--group', 'a', 'exit 5',
        '--group', 'a', LOG + 'sleep 0.2; log kept', '--name', 'outer', 'sleep 1000')
    equal(status, 5, errors)
    equal(lines(case), ['kept'])


@test
def nested_group_fails_fast_alone(case):
    """A group that fails fast within one that keeps going stops its own tasks only."""
    status, _, errors = case.run(
        'run', '-k', '--policy', 'a/b:fail-fast', '--name', 'bad', '--group', 'a/b', 'exit 5',
        '--name', 'stopped', '--group', 'a/b', 'sleep 1000',
        '--name', 'kept', '--group', 'a', LOG + 'sleep 0.2; log kept')
    equal(status, 5, errors)
    equal(lines(case), ['kept'])


@test
def time_limit_of_a_group(case):
    """A group's own limit fails the group with 124."""
    status, _, errors = case.run('run', '--policy', 'a:timeout=100ms', '--group', 'a', 'sleep 1000',
                                 'sleep 1000')
    equal(status, 124, errors)


@test
def finally_runs_whatever_happened(case):
    """After all have ended: after success, failure and Ctrl-C; in order, also if one fails."""
    done = ['--finally', LOG + 'log f1; exit 9', '--finally', LOG + 'log f2']
    equal(case.run('run', LOG + 'log x', *done)[0], 9)
    equal(case.run('run', LOG + 'log x; exit 3', 'sleep 1000', *done)[0], 3)
    coop = case.start('run', LOG + 'trap "sleep 0.2; log x; exit" INT; echo up; '
                                   'while :; do sleep 0.02; done', *done)
    coop.wait_for('up')
    coop.signal(2)
    equal(coop.end(), -2)
    equal(lines(case), ['x', 'f1', 'f2'] * 3)


@test
def each_finally_has_a_name_of_its_own(case):
    """In the report, and for its log, also beside a task that is called so."""
    _, _, errors = case.run('run', '-k', '--log-dir', 'logs', '--name', 'finally', 'echo task',
                            '--finally', 'echo one; exit 1', '--policy', 'g:finally=echo two',
                            '--group', 'g', 'true')
    equal([case.content(f'logs/{name}.log') for name in ('finally', 'finally-2', 'finally-3')],
          ['task\n', 'one\n', 'two\n'])
    assert '✗ finally-2  exit 1' in errors, errors


@test
def finally_has_a_limit(case):
    """--finally-timeout; that it has failed cancels nobody."""
    status, _, errors = case.run('run', 'true', '--finally', 'sleep 1000',
                                 '--finally-timeout', '100ms')
    equal(status, 124)
    assert 'first failure\n' in errors, errors


@test
def retries_with_backoff(case):
    """--retry: tried again until it succeeds; COOP_ATTEMPT counts."""
    status, _, errors = case.run('run', '--retry', '5', '--backoff', '1ms..20ms',
                                 LOG + 'log $COOP_ATTEMPT; [ $COOP_ATTEMPT = 3 ]')
    equal(status, 0, errors)
    equal(lines(case), ['1', '2', '3'])


@test
def cancelled_between_two_attempts(case):
    """It was waiting to be tried again: cancelled, and its last failure does not count."""
    coop = case.start('run', '--name', 'flaky', '--retry', '5', '--backoff', '1000s', 'exit 7',
                      '--name', 'main', '--main', 'while ! [ -e go ]; do sleep 0.02; done')
    coop.wait_for('exit 7')
    case.write('go', '')
    equal(coop.end(), 0)
    assert 'cancelled' in coop.text, coop.text


@test
def retries_end(case):
    """After N more tries it has failed, with the last status; codes that are not listed at once."""
    equal(case.run('exec', '--retry', '2', '--backoff', '1ms', '--', 'sh', '-c',
                   LOG + 'log x; exit 6')[0], 6)
    equal(len(lines(case)), 3)
    equal(case.run('exec', '--retry', '2', '--retry-on', '5', '--', 'sh', '-c',
                   LOG + 'log x; exit 6')[0], 6)
    equal(len(lines(case)), 4)


@test
def retry_after_a_time_limit(case):
    """Each attempt has the whole limit."""
    status, _, errors = case.run('exec', '--retry', '1', '--backoff', '1ms', '--timeout', '200ms',
                                 '--', 'sh', '-c', LOG + 'log x; sleep 1000')
    equal(status, 124, errors)
    equal(len(lines(case)), 2)


@test
def restarts_up_to_a_limit(case):
    """--restart always: beyond the limit the group fails."""
    status, _, errors = case.run('run', '--restart', 'always', '--restart-limit', '3/60s',
                                 '--backoff', '1ms', LOG + 'log x')
    equal(status, 1, errors)
    equal(len(lines(case)), 4)
    assert 'restarted 3 times within 1m' in errors, errors
    errors = case.run('run', '--restart', 'always', '--restart-limit', '1', '--backoff', '1ms',
                      'exit 1')[2]
    assert '(restarted once)' in errors, errors


@test
def restart_on_failure(case):
    """A good end is the end; a bad one is not."""
    status, _, _ = case.run('run', '--restart', 'on-failure', '--backoff', '1ms',
                            LOG + 'log x; [ $(wc -l < log) -ge 3 ]')
    equal(status, 0)
    equal(len(lines(case)), 3)


@test
def environment_and_folder(case):
    """--env, --env-file, --cwd, and what coop adds."""
    case.write('env', 'A=file\nB=file\n')
    os.mkdir(case.path('sub'))
    status, output, errors = case.run(
        'run', '--name', 'me', '--group', 'g', '--env-file', 'env', '--env', 'A=given',
        '--cwd', 'sub',
        'echo $A $B $COOP_TASK $COOP_GROUP $COOP_ATTEMPT ${PWD##*/}')
    equal((status, output), (0, 'given file me g 1 sub\n'), errors)


@test
def surroundings_are_for_the_tasks(case):
    """The library's variables and the limit of descriptors: theirs as they were, not coop's own."""
    case.write('show', 'sleep 0.3; echo $COOP_CLOCK $(ulimit -Sn)\n')
    coop = case.start('-c', 'ulimit -Sn 200; COOP_CLOCK=virtual COOP_IO=sim '
                      '"$COOP" run --timeout 1000s "sh ./show"', program='bash')
    equal((coop.end(), coop.text), (0, 'virtual 200\n'))
    coop = case.start('-c', 'ulimit -Sn 200; "$COOP" run --ready "cmd:ulimit -Sn > probe" '
                      '"while ! [ -s probe ]; do sleep 0.02; done"', program='bash')
    equal((coop.end(), case.content('probe')), (0, '200\n'), coop.text)


@test
def many_tasks_at_once(case):
    """More than a low limit of descriptors allows."""
    coop = case.start('-c', 'ulimit -Sn 64; "$COOP" run -o stream $(yes true | head -n 150)',
                      program='bash')
    equal((coop.end(), coop.text), (0, ''))


@test
def low_limit_of_descriptors(case):
    """It runs, or says in one line that there are too few."""
    for limit in range(8, 26):
        coop = case.start('-c', f'ulimit -n {limit}; exec "$COOP" run true', program='bash')
        status = coop.end()
        said = coop.text.count('\n') == 1 and re.search(  # glibc's words or musl's
            'Too many open files|No file descriptors available', coop.text)
        assert (status, coop.text) == (0, '') or (status == 125 and said), (limit, coop.text)


@test
def procfile(case):
    """`up` runs a Procfile; its tasks are services."""
    case.write('Procfile', 'web: echo web; sleep 1000\nworker: sleep 0.2; exit 3\n')
    status, output, errors = case.run('up')
    equal(status, 3, errors)
    assert 'web' in output, output


if __name__ == '__main__':
    sys.exit(main())
