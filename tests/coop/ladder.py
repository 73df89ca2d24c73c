#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Ctrl-C on a real terminal: polite, hard, everything; and the terminal afterwards."""
import fcntl
import os
import re
import signal
import struct
import sys
import termios
import time

from kit import alive, children, equal, main, test, until

# Counts the signals it gets in a file, a line each, and goes on.
COUNT = ('for s in INT TERM HUP; do trap "echo $s >> got" $s; done; echo up; '
         'while :; do sleep 0.02; done')
STUBBORN = 'trap "" INT TERM HUP; echo up; while :; do sleep 0.02; done'
SLOW = '1000s'  # a rung that is never left in time


@test
def first_press_is_one_signal_each(case):
    """K07: each leader gets SIGINT once, though guard and runtime are in the foreground group."""
    coop = case.start('run', '--stop', f'INT,{SLOW},KILL', COUNT, tty=True)
    coop.wait_for('up')
    coop.type(b'\x03')
    coop.wait_for('stopping')
    coop.wait_file('got')
    coop.type(b'\x03')
    equal(coop.end(), -signal.SIGINT)
    equal(case.content('got'), 'INT\n')
    case.check_left()


@test
def second_press_kills_at_once(case):
    """K07: all that is not shielded, without a wait for the ladder."""
    coop = case.start('run', '--all', '--stop', f'INT,{SLOW},KILL', STUBBORN, STUBBORN, tty=True)
    until('both', lambda: coop.text.count('up') == 2)
    coop.type(b'\x03')
    coop.wait_for('stopping')
    coop.type(b'\x03')
    coop.wait_for('killing all but shielded tasks')
    equal(coop.end(), -signal.SIGINT)
    case.check_left()


@test
def second_press_kills_probes(case):
    """The command of a probe is no reason to wait, either."""
    probe = ('trap "sleep 3; echo late > late" TERM; echo up > asked; '
             'while :; do sleep 0.02; done')
    coop = case.start('run', '--ready', 'cmd:' + probe, 'sleep 1000', tty=True)
    coop.wait_file('asked')
    coop.type(b'\x03')
    coop.wait_for('stopping')
    coop.type(b'\x03')
    coop.wait_for('killing all but shielded tasks')
    equal(coop.end(), -signal.SIGINT)
    assert not os.path.exists(case.path('late'))
    case.check_left()


@test
def shield_holds_until_the_third_press(case):
    """A shielded task is not signalled by the first, nor by the second; the third kills it."""
    coop = case.start('run', '--name', 'migrate', '--shield', COUNT,
                      '--name', 'other', '--stop', f'INT,{SLOW},KILL', STUBBORN, tty=True)
    until('both', lambda: coop.text.count('up') == 2)
    coop.type(b'\x03')
    coop.wait_for('shielded, pid')
    coop.type(b'\x03')
    until('the end of the other', lambda: coop.text.count('cancelled') == 1)
    assert not os.path.exists(case.path('got')), case.content('got')
    coop.type(b'\x03')
    coop.wait_for('killing everything')
    equal(coop.end(), -signal.SIGINT)
    assert not os.path.exists(case.path('got'))
    case.check_left()


@test
def shielded_task_may_finish(case):
    """After the first press it is waited for, and ends well."""
    wait = 'echo up; while ! [ -e go ]; do sleep 0.02; done; echo fine'
    coop = case.start('run', '--shield', wait, 'sleep 1000', tty=True)
    coop.wait_for('up')
    coop.type(b'\x03')
    coop.wait_for('stopping')
    case.write('go', '')
    coop.wait_for('fine')
    equal(coop.end(), -signal.SIGINT)
    assert re.search('echo.* fine(.*\n)*.*echo.*✓', coop.text), coop.text
    case.check_left()


@test
def shield_ends(case):
    """--shield=D: after that it is stopped as any other."""
    coop = case.start('run', '--shield=100ms', COUNT + '; :', tty=True)
    coop.wait_for('up')
    coop.type(b'\x03')
    coop.wait_file('got')
    coop.type(b'\x03')
    equal(coop.end(), -signal.SIGINT)
    case.check_left()


@test
def ladder_climbs(case):
    """INT, then TERM, then KILL, each once."""
    coop = case.start('run', '--stop', 'INT,200ms,TERM,200ms,KILL', COUNT, tty=True)
    coop.wait_for('up')
    coop.type(b'\x03')
    equal(coop.end(), -signal.SIGINT)
    equal(case.content('got'), 'INT\nTERM\n')
    case.check_left()


@test
def term_begins_at_term(case):
    """S12: TERM to coop is a first press, and the ladder begins at TERM; a second is no press."""
    coop = case.start('run', '--stop', f'INT,200ms,TERM,{SLOW},KILL', COUNT)
    coop.wait_for('up')
    coop.signal(signal.SIGTERM)
    coop.wait_file('got')
    coop.signal(signal.SIGHUP)
    coop.signal(signal.SIGTERM)
    coop.signal(signal.SIGINT)
    equal(coop.end(), -signal.SIGTERM)
    equal(case.content('got'), 'TERM\n')
    case.check_left()


@test
def signal_to_the_whole_group_counts_once(case):
    """As a shell or timeout(1) sends it: to guard and runtime alike."""
    coop = case.start('run', '--stop', f'INT,{SLOW},KILL', COUNT)
    coop.wait_for('up')
    os.killpg(coop.pid, signal.SIGINT)
    coop.wait_file('got')
    os.killpg(coop.pid, signal.SIGINT)
    equal(coop.end(), -signal.SIGINT)
    equal(case.content('got'), 'INT\n')
    assert 'killing everything' not in coop.text
    case.check_left()


@test
def signal_to_the_runtime_alone(case):
    """It is heard too."""
    coop = case.start('run', '--stop', f'TERM,{SLOW},KILL', COUNT)
    coop.wait_for('up')
    os.kill(coop.runtime(), signal.SIGTERM)
    coop.wait_for('SIGTERM stopping')
    coop.signal(signal.SIGINT)
    equal(coop.end(), -signal.SIGTERM)
    case.check_left()


@test
def closed_terminal_stops(case):
    """HUP, as from a terminal that is closed."""
    coop = case.start('run', 'echo up; sleep 1000', tty=True)
    coop.wait_for('up')
    coop.hang_up()
    equal(coop.end(), -signal.SIGHUP)
    case.check_left()


@test
def quit_shows_the_tasks_and_goes_on(case):
    """Ctrl-\\ prints what each does."""
    coop = case.start('run', '--name', 'one', 'echo up; while ! [ -e go ]; do sleep 0.02; done',
                      '--name', 'two', '--after', 'one', 'true', tty=True)
    coop.wait_for('up')
    coop.type(b'\x1c')
    coop.wait_for('coop:   two                waiting')
    case.write('go', '')
    equal(coop.end(), 0)


@test
def a_key_at_the_very_begin(case):
    """Whenever it comes, it ends coop, and the tasks get what their ladders say: none of them
    dies of a key that was meant for coop, as one that has just been forked would."""
    for step in range(30):
        coop = case.start('run', '--all', '--stop', 'TERM,1s,KILL', 'sleep 1000', 'sleep 1000',
                          tty=True)
        time.sleep(step / 1000)
        coop.type(b'\x03')
        equal(coop.end(), -signal.SIGINT)
        assert 'killed by SIGINT' not in coop.text, coop.text
    case.check_left()


@test
def a_key_at_the_very_end(case):
    """One that comes when the job has ended changes nothing any more."""
    for _ in range(5):
        coop = case.start('run', 'echo up; sleep 0.05', 'true', tty=True)
        coop.wait_for('up')
        while coop.process.poll() is None:
            coop.type(b'\x1c')
        equal(coop.end(), 0)


@test
def stopped_task_hears_the_signal(case):
    """A task that has stopped itself gets CONT with the polite signal."""
    coop = case.start('run', '--stop', f'TERM,{SLOW},KILL',
                      'trap "echo heard > got; exit 0" TERM; echo up; kill -STOP $$; '
                      'while :; do sleep 0.02; done')
    coop.wait_for('up')
    shell = until('the shell', lambda: children(coop.runtime()))[0]
    until('its stop', lambda: alive(shell) == 'T')
    coop.signal(signal.SIGTERM)
    equal(coop.end(), -signal.SIGTERM)
    equal(case.content('got'), 'heard\n')
    case.check_left()


@test
def terminal_is_left_as_it_was(case):
    """K02, K05, S17: modes, foreground group and O_NONBLOCK; also after kill -9 of the runtime."""
    def state(fd):
        return termios.tcgetattr(fd), fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_NONBLOCK

    for ending in ('true', 'kill -9 $PPID'):
        shell = case.start('-c', 'stty -a > before; "$COOP" run "$0" true; stty -a > after; '
                           '[ $(cut -d" " -f8 /proc/$$/stat) = $$ ] && echo foreground', ending,
                           tty=True, program='bash')
        # Not through a pipe: the same terminal, and so the same description.
        before = state(shell.terminal)
        shell.wait_for('foreground') if ending == 'true' else None
        shell.end()
        equal(state(shell.terminal), before)
        equal(case.content('after'), case.content('before'))
        case.wait_nothing_left()


@test
def one_task_owns_the_terminal(case):
    """--tty: it can ask questions, and coop has the terminal again afterwards."""
    coop = case.start('run', '--tty', 'read answer; echo got $answer', tty=True)
    until('the foreground', lambda: os.tcgetpgrp(coop.terminal) != coop.pid)
    coop.type(b'forty-two\n')
    coop.wait_for('got forty-two')
    equal(coop.end(), 0)


@test
def terminal_comes_back_while_others_run(case):
    """After the end of the task that owned it, Ctrl-C is ours again."""
    coop = case.start('run', '--tty', 'read answer; echo got $answer',
                      'while :; do sleep 0.02; done', tty=True)
    until('the foreground', lambda: os.tcgetpgrp(coop.terminal) != coop.pid)
    coop.type(b'\x1ax\n')  # Ctrl-Z stops nobody
    coop.wait_for('got')
    until('the foreground', lambda: os.tcgetpgrp(coop.terminal) == coop.pid)
    coop.type(b'\x03')
    equal(coop.end(), -signal.SIGINT)
    case.check_left()


@test
def window_size_is_passed_on(case):
    """The terminals of tasks change with ours."""
    coop = case.start('run', 'trap "stty size < /dev/tty; exit" WINCH; echo up; '
                      'while :; do sleep 0.02; done', 'true', tty=True)
    coop.wait_for('up')
    fcntl.ioctl(coop.terminal, termios.TIOCSWINSZ, struct.pack('HHHH', 33, 77, 0, 0))
    coop.wait_for('33 77')
    equal(coop.end(), 0)


@test
def exec_hands_on_user_signals(case):
    """USR1 to coop reaches the one program of exec."""
    coop = case.start('exec', '--', 'sh', '-c',
                      'trap "echo usr1; exit 3" USR1; echo up; while :; do sleep 0.02; done')
    coop.wait_for('up')
    coop.signal(signal.SIGUSR1)
    equal(coop.end(), 3)


@test
def lifeline(case):
    """--stdin-lifeline: the end of standard input stops the job."""
    reader, writer = os.pipe()
    coop = case.start('exec', '--stdin-lifeline', '--', 'sh', '-c', 'echo up; sleep 1000',
                      stdin=reader)
    os.close(reader)
    coop.wait_for('up')
    os.close(writer)
    equal(coop.end(), -signal.SIGHUP)
    case.check_left()


if __name__ == '__main__':
    sys.exit(main())
