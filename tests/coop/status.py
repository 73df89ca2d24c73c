#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Exit statuses: the first fatal failure's own, 124 to 127, 128 + n, or the signal itself."""
import os
import shutil
import signal
import sys

from kit import Skip, equal, main, test


@test
def success_is_0(case):
    """All have ended well."""
    equal(case.run('run', 'true', 'true')[0], 0)


@test
def own_status_of_the_first_failure(case):
    """A task's own status is the status, and the others are stopped."""
    status, _, errors = case.run('run', 'exit 3', 'sleep 1000')
    equal(status, 3)
    assert 'cancelled' in errors, errors


@test
def first_failure_wins_over_later_ones(case):
    """What fails while it is stopped changes nothing."""
    status, _, _ = case.run(
        'run', '--name', 'b', "trap 'exit 9' TERM; touch b; sleep 1000 & wait",
        '--name', 'a', 'while ! [ -e b ]; do sleep 0.01; done; exit 4')
    equal(status, 4)


@test
def time_limit_is_124(case):
    """Of a task, of the whole job, and of exec."""
    equal(case.run('run', '--timeout', '100ms', 'sleep 1000', 'true')[0], 124)
    status, _, errors = case.run('run', 'sleep 1000', '--timeout', '100ms')
    equal(status, 124)
    assert 'the time limit was reached' in errors, errors
    equal(case.run('run', '--deadline', '100ms', 'sleep 1000', 'sleep 1000')[0], 124)
    equal(case.run('exec', '--timeout', '100ms', '--', 'sleep', '1000')[0], 124)


@test
def time_limit_comes_first(case):
    """Who fails while he is stopped for a time limit has not failed first: it is 124."""
    stubborn = "trap 'exit 7' TERM; touch up; while :; do sleep 0.01; done"
    late = 'until [ -e up ]; do sleep 0.01; done; sleep 1000'
    for args in (('--deadline', '500ms', stubborn, late), (stubborn, late, '--timeout', '500ms'),
                 ('-k', '--policy', 'g:timeout=500ms', '--group', 'g', stubborn, 'true')):
        status, _, errors = case.run('run', *args)
        equal(status, 124, errors)
        assert 'exit 7 while stopping' in errors, errors


@test
def first_failure_of_groups(case):
    """Of groups that go on, too, the first failure is the status, though its group ends later."""
    status, _, errors = case.run(
        'run', '-k', '--group', 'a', '--name', 'x', 'exit 2', '--group', 'a', '--name', 'y',
        'until [ -e b-failed ]; do sleep 0.01; done; sleep 0.2',
        '--group', 'b', '--name', 'z', '--after', 'x:done', 'touch b-failed; exit 3')
    equal(status, 2, errors)
    assert 'x  exit 2 after' in errors.partition('first failure')[0], errors


@test
def own_errors_are_125(case):
    """A wrong option, and a folder that is not there."""
    equal(case.run('run', '--wrong-option', 'true')[0], 125)
    status, _, errors = case.run('run', '--cwd', '/nonexistent', 'true')
    equal(status, 125)
    assert 'in /nonexistent: No such file' in errors, errors
    status, _, errors = case.run('run', '--tty', 'true')
    equal(status, 125)
    assert 'with --tty: ' in errors, errors
    status, _, errors = case.run('map', 'true', '::::', 'nonexistent')
    equal((status, errors), (125, 'coop: :::: nonexistent: No such file or directory\n'))


@test
def outputs_that_cannot_be_opened(case):
    """Whatever is to be written to is tried before anything starts, and named: status 125."""
    for screen in ('prefix', 'group', 'stream', 'json'):
        for option, value in (('--events', '/nonexistent/x'), ('--events', 'fd:99'),
                              ('--control', '/nonexistent/x'), ('--log-dir', '/nonexistent/x')):
            status, output, errors = case.run('run', '--output', screen, option, value, 'touch ran')
            equal(status, 125, output + errors)
            assert f'{option} {value}: ' in output + errors, output + errors
    assert not os.path.exists(case.path('ran'))


@test
def what_cannot_be_executed_is_126(case):
    """A file that is no program, by exec and by the shell."""
    case.write('text', 'no program')
    equal(case.run('exec', './text')[0], 126)
    equal(case.run('run', './text')[0], 126)


@test
def what_is_not_found_is_127(case):
    """A program that does not exist, by exec and by the shell."""
    equal(case.run('exec', 'no-such-program')[0], 127)
    equal(case.run('run', 'no-such-program; true; exit $?', 'true')[0], 0)
    equal(case.run('run', 'no-such-program')[0], 127)


@test
def death_by_a_signal_is_128_and_its_number(case):
    """K08: of a task; 255 is kept too."""
    equal(case.run('run', 'kill -SEGV $$')[0], 128 + signal.SIGSEGV)
    equal(case.run('exec', '--', 'sh', '-c', 'kill -KILL $$')[0], 128 + signal.SIGKILL)
    equal(case.run('run', 'exit 255')[0], 255)


@test
def signals_end_it_by_the_same_signal(case):
    """TERM, HUP and INT: it dies of what it was sent, after everything has ended."""
    for sig in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        coop = case.start('run', 'echo up; sleep 1000', 'sleep 1000')
        coop.wait_for('up')
        coop.signal(sig)
        equal(coop.end(), -sig)
        case.check_left()


@test
def failure_before_the_signal_counts(case):
    """A failure that came first is the status, also if a signal follows."""
    coop = case.start('run', '--stop', 'TERM,1000s,KILL', '--name', 'slow',
                      "trap '' TERM; echo up; while :; do sleep 0.05; done",
                      '--name', 'bad', 'sleep 0.2; exit 6')
    coop.wait_for('exit 6')
    coop.signal(signal.SIGINT)
    coop.wait_for('stopping')
    coop.signal(signal.SIGINT)
    equal(coop.end(), 6)
    case.check_left()


@test
def ok_codes_are_success(case):
    """--ok-codes says what success is: those, and nothing else."""
    equal(case.run('run', '--ok-codes', '3', 'exit 3')[0], 0)
    equal(case.run('run', '--ok-codes', '0,143', 'kill $$')[0], 0)
    equal(case.run('run', '--ok-codes', '3', 'exit 0')[0], 1)


@test
def ways_of_the_status(case):
    """--exit first, max, count, zero."""
    tasks = ['exit 3', 'sleep 0.3; exit 5', 'sleep 0.1; exit 4']
    for way, wanted in (('first', 3), ('max', 5), ('count', 3), ('zero', 0)):
        equal(case.run('run', '-k', '--exit', way, *tasks)[0], wanted, way)


@test
def ignored_interrupt_is_reset_for_tasks(case):
    """H05: started with SIGINT ignored (by `&` in a script), its tasks do not ignore it."""
    status, output, _ = case.run('run', 'grep SigIgn /proc/self/status', background=True)
    equal(status, 0)
    equal(int(output.split(':')[1], 16) & (1 << (signal.SIGINT - 1) | 1 << (signal.SIGPIPE - 1)), 0)
    status, output, _ = case.run('run', 'grep SigBlk /proc/self/status')
    equal(int(output.split(':')[1], 16), 0)


@test
def as_another_user(case):
    """S19: whoever is started with the set-uid bit starts nothing."""
    if os.getuid():
        raise Skip('only root can try')
    copy = case.path('coop-copy')
    shutil.copy(case.coop, copy)
    os.chmod(copy, 0o4755)
    os.chmod(case.folder, 0o755)
    status, output, errors = case.run(
        'python3', '-c', 'import os, sys; os.setgid(65534); os.setuid(65534); '
        'os.execv(sys.argv[1], sys.argv[1:])', copy, 'run', 'echo ran', program='env')
    equal((status, output), (125, ''), errors)
    assert 'set-uid' in errors, errors


@test
def as_pid_1(case):
    """As PID 1 of a namespace it reaps orphans, and passes the status on; 128 + n by a signal."""
    unshare = ['-Urfp', '--mount-proc', case.coop]
    probe = case.start('-Urfp', '--mount-proc', 'true', program='unshare')
    if probe.end():
        raise Skip('no PID namespace may be made here')
    coop = case.start(*unshare, 'exec', '--', 'sh', '-c', '(sleep 0.1 &); exit 5',
                      program='unshare')
    equal(coop.end(), 5)
    coop = case.start(*unshare, 'exec', '--', 'sh', '-c', 'echo up; sleep 1000', program='unshare')
    coop.wait_for('up')
    os.kill(coop.runtime(), signal.SIGTERM)  # unshare's child is coop, PID 1 there
    equal(coop.end(), 128 + signal.SIGTERM)
    case.check_left()


if __name__ == '__main__':
    sys.exit(main())
