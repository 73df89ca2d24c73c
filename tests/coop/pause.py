#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Ctrl-Z, fg, bg and their signals, under a shell that has job control."""
import os
import re
import signal
import sys
import termios
import time

from kit import Skip, alive, children, equal, main, test, until

LOOP = 'while :; do sleep 0.02; done'
UNTIL_GO = 'while ! [ -e go ]; do sleep 0.02; done'
LIMIT = '4s'  # of what must not be late because of a pause
PAUSE_S = 5   # longer than that


class Shell:
    """An interactive shell, and the coop that was started from it."""

    def __init__(self, case, line):
        self.case = case
        self.coop = case.start('--norc', '--noprofile', '--noediting', '-i', tty=True,
                               program='bash', env={'PS1': 'shell> ', 'TERM': 'xterm'})
        self.coop.wait_for('shell>')
        self.type(line)

    def type(self, line):
        self.coop.type(line.encode() + b'\n')

    def after(self, mark):
        found, _, rest = self.coop.text.rpartition(mark)
        return rest if found else ''

    def stop(self, count=1):
        """Ctrl-Z; when it returns, the shell has the terminal again."""
        self.coop.type(b'\x1a')
        until('Stopped', lambda: self.coop.text.count('Stopped') >= count)

    def running(self):
        """[(pid, command)] of what runs, the shell apart; in D it waits for a child to exec."""
        return [(pid, command) for pid, state, command in self.case.left()
                if state not in 'TD' and pid != self.coop.pid]

    def wait_all_stopped(self):
        """The signal takes effect when a process is on a processor."""
        until('the stop of all', lambda: not self.running())

    def guard(self):
        return until('the guard', lambda: children(self.coop.pid))[0]

    def runtime(self):
        return until('the runtime', lambda: children(self.guard()))[0]

    def end(self):
        self.type('exit')
        self.coop.end()
        self.case.check_left()

    def status(self):
        """The shell's $?"""
        self.type('echo "status=$?."')
        return int(until('a status', lambda: re.search(r'status=(\d+)\.', self.coop.text))[1])

    def continue_with_a_line(self, task):
        """fg, and the task that owns the terminal reads a line, with which all end well."""
        self.type('fg')
        until('the terminal', lambda: os.tcgetpgrp(self.coop.terminal) == task)
        self.coop.type(b'hello\n')
        self.coop.wait_for('got=hello')
        equal(self.status(), 0)
        self.end()


@test
def ctrl_z_stops_the_whole_tree(case):
    """What is in a session of its own, too, and another coop with its tasks; fg continues all."""
    shell = Shell(case, f'"$COOP" run --name plain --pty off "echo > up-1; {LOOP}" '
                        f'--name away "setsid sh -c \'echo > up-2; {LOOP}\' & wait" '
                        f'--name inner "\\"$COOP\\" run \'echo > up-3; {LOOP}\'"')
    for number in (1, 2, 3):
        shell.coop.wait_file(f'up-{number}')
    shell.stop()
    shell.wait_all_stopped()
    shell.type('fg')
    until('the end of the pause', lambda: not any(state == 'T' for _, state, _ in case.left()))
    shell.stop(2)
    shell.wait_all_stopped()
    shell.type('fg')
    until('the end of the pause', lambda: not any(state == 'T' for _, state, _ in case.left()))
    shell.coop.type(b'\x03')
    shell.coop.wait_for('ended by SIGINT')
    equal(shell.status(), 130)
    shell.end()


@test
def footer_and_terminal(case):
    """The footer is gone before the shell writes, and there again afterwards; no mode changes."""
    shell = Shell(case, f'"$COOP" run --name a "echo up; {LOOP}" true')
    shell.coop.wait_for('1 running')
    before = termios.tcgetattr(shell.coop.terminal)
    shell.stop()
    written = shell.coop.text
    last = written.rindex('running')
    assert '\x1b[K' in written[last:written.index('Stopped')], written
    shell.type('fg')
    until('the footer', lambda: ' running' in shell.after('fg\r\n'))
    equal(termios.tcgetattr(shell.coop.terminal), before)
    shell.coop.type(b'\x03')
    shell.coop.wait_for('ended by SIGINT')
    shell.end()


@test
def nothing_is_late_because_of_a_pause(case):
    """Limits of tasks, groups and inner coops, probes and rungs do not count the pause."""
    shell = Shell(case, f'"$COOP" run --name limit --timeout {LIMIT} "echo > up-1; {UNTIL_GO}" '
                        f'--name probe --ready file:go --ready-timeout {LIMIT} '
                        f'"echo > up-2; {UNTIL_GO}" '
                        f'--name group --group g "echo > up-3; {UNTIL_GO}" '
                        f'--policy g:timeout={LIMIT} '
                        f'--name inner "\\"$COOP\\" run \'echo > up-4; {UNTIL_GO}\' true '
                        f'--timeout {LIMIT}"')
    for number in (1, 2, 3, 4):
        shell.coop.wait_file(f'up-{number}')
    shell.stop()
    case.write('go', '')
    time.sleep(PAUSE_S)
    shell.type('fg')
    equal(shell.status(), 0)
    shell.end()


@test
def restarts_are_counted_without_the_pause(case):
    """Two ends with a pause between them are as near as without it: one restart too many."""
    shell = Shell(case, 'true')
    for turn in range(5):
        begun = time.monotonic()
        shell.type(f'"$COOP" run --restart always --restart-limit 1/{LIMIT} --backoff 1ms '
                   f'"echo x >> log-{turn}; [ \\$(wc -l < log-{turn}) = 1 ] || '
                   f'while ! [ -e go-{turn} ]; do sleep 0.02; done; exit 1"')
        shell.coop.wait_file(f'log-{turn}')
        until('the restart', lambda: case.content(f'log-{turn}').count('x') == 2)
        shell.stop(turn + 1)
        ran = time.monotonic() - begun
        case.write(f'go-{turn}', '')
        time.sleep(PAUSE_S)
        begun = time.monotonic()
        shell.type(f'fg; echo "end-$?-{turn}"')
        shell.coop.wait_for(f'end-1-{turn}')
        ran += time.monotonic() - begun
        if ran < int(LIMIT[:-1]):  # on a machine that is too busy the window is over without it
            break
    else:
        raise Skip('the machine is too slow')
    shell.end()
    equal(case.content(f'log-{turn}').count('x'), 2, shell.coop.text)


@test
def rung_is_not_over_because_of_a_pause(case):
    """A task that is being stopped has all of its time to clean up."""
    shell = Shell(case, f'"$COOP" run --stop INT,{LIMIT},KILL '
                        f'"trap \'{UNTIL_GO}; echo clean; exit 0\' INT; echo up; {LOOP}"')
    shell.coop.wait_for('up\r\n')
    shell.coop.type(b'\x03')
    shell.coop.wait_for('stopping')
    shell.stop()
    time.sleep(PAUSE_S)
    shell.type('fg')
    until('the end of the pause', lambda: not any(state == 'T' for _, state, _ in case.left()))
    case.write('go', '')
    shell.coop.wait_for('clean\r\n')
    equal(shell.status(), 130)
    shell.end()


@test
def background(case):
    """bg: it goes on, and ends as it would have; without a footer under the shell's prompt."""
    shell = Shell(case, f'"$COOP" run --name a "echo up; {UNTIL_GO}; echo on" --name b true')
    shell.coop.wait_for('up\r\n')
    shell.stop()
    case.write('go', '')
    shell.type('bg')
    shell.coop.wait_for('on\r\n')
    shell.type('wait %1')
    assert ' running' not in shell.after('bg\r\n'), shell.coop.text
    equal(shell.status(), 0)
    shell.end()


@test
def terminal_goes_back_to_its_task(case):
    """bg and then fg: the task that owns the terminal has it again, also if it wanted it before."""
    shell = Shell(case, '"$COOP" run --name a --tty "echo up; read x; echo got=\\$x" --name b true')
    shell.coop.wait_for('up\r\n')
    os.kill(shell.guard(), signal.SIGTSTP)  # Ctrl-Z is an ordinary key here
    until('Stopped', lambda: 'Stopped' in shell.coop.text)
    task = until('the task', lambda: children(shell.runtime()))[0]
    shell.type('bg')
    until('the stop of who reads in the background',
          lambda: alive(shell.runtime()) in 'SR' and alive(task) == 'T')
    shell.continue_with_a_line(task)


@test
def terminal_that_is_written_keeps_its_mode(case):
    """What is written meanwhile does not make a read of the task that owns the terminal fail."""
    case.write('look', 'import fcntl, os, sys\n'
                       'modes = [fcntl.fcntl(0, fcntl.F_GETFL) for _ in range(300000)]\n'
                       'sys.exit(any(mode & os.O_NONBLOCK for mode in modes))\n')
    coop = case.start('run', '--name', 'a', '--tty', '--main', f'echo up; exec {sys.executable} '
                      './look', '--name', 'b', '--pty', 'off', 'yes', tty=True)
    equal(coop.end(), 0, coop.text[-1000:])


@test
def owner_of_the_terminal_stops_itself(case):
    """As an editor does at its Ctrl-Z: the job stops with it, the shell has the terminal, fg."""
    shell = Shell(case, '"$COOP" run --name a --tty "echo up; kill -STOP \\$\\$; read x; '
                        f'echo got=\\$x" --name b "{LOOP}" --name c --after a:ok --main true')
    until('Stopped', lambda: 'Stopped' in shell.coop.text)
    shell.wait_all_stopped()
    task = until('the task', lambda: children(shell.runtime()))[0]
    shell.type('bg')
    until('the end of the pause', lambda: alive(shell.runtime()) in 'SR')
    equal(alive(task), 'T')
    shell.continue_with_a_line(task)


@test
def owner_finds_its_modes_again(case):
    """The shell has the terminal as it was, and after fg it is as the task had set it."""
    shell = Shell(case, '"$COOP" run --name a --tty "stty -echo; kill -STOP \\$\\$; '
                        'stty -a > modes; echo on" --name b true')
    until('Stopped', lambda: 'Stopped' in shell.coop.text)
    shell.wait_all_stopped()
    assert termios.tcgetattr(shell.coop.terminal)[3] & termios.ECHO
    shell.type('fg')
    shell.coop.wait_for('on\r\n')
    equal(shell.status(), 0)
    assert ' -echo ' in case.content('modes'), case.content('modes')
    assert termios.tcgetattr(shell.coop.terminal)[3] & termios.ECHO
    shell.end()


@test
def owner_stops_itself_where_there_is_no_shell(case):
    """Nobody could continue it, so it goes on at once."""
    coop = case.start('run', '--tty', 'kill -STOP $$; echo on', 'true', tty=True)
    coop.wait_for('on\r\n')
    equal(coop.end(), 0)


@test
def stopped_tasks_are_shown(case):
    """Told once, and shown as stopped until they go on."""
    coop = case.start('run', '--name', 'a', f'kill -STOP $$; {UNTIL_GO}', '--name', 'b', LOOP,
                      '--main', UNTIL_GO, tty=True)
    coop.wait_for('is stopped')
    coop.wait_for('a stopped')
    task = [pid for pid in children(coop.runtime()) if alive(pid) == 'T'][0]
    coop.wait_for(f'a: process {task} is stopped')
    for verb in ('ps', 'tree'):
        shown = case.run2(verb, str(coop.pid))[1]
        assert re.search(rf'\ba +stopped +{task} ', shown), shown
    os.kill(task, signal.SIGCONT)
    until('its going on', lambda: alive(task) in 'SR')
    shown = case.run2('ps', str(coop.pid))[1]
    assert re.search(rf'\ba +ready +{task} ', shown), shown
    case.write('go', '')
    equal(coop.end(), 0)
    equal(coop.text.count('is stopped'), 1)


@test
def who_got_another_parent_goes_on(case):
    """One whose parent is killed during the pause, and who comes to an inner coop by that."""
    case.write('leaf.sh', f'echo $$ > leaf; {LOOP}')
    case.write('middle.sh', 'echo $$ > middle; sh leaf.sh & wait')
    case.write('leader.sh', 'sh middle.sh & sleep 1000; true')
    shell = Shell(case, '"$COOP" run --name out \'"$COOP" run --name in "sh leader.sh"\'')
    leaf, middle = (int(shell.coop.wait_file(name) and case.content(name))
                    for name in ('leaf', 'middle'))
    shell.stop()
    shell.wait_all_stopped()
    os.kill(middle, signal.SIGKILL)
    until('its end', lambda: alive(middle) in ('', 'Z'))
    shell.type('fg')
    until('the leaf', lambda: alive(leaf) in ('S', 'R'))
    shell.coop.type(b'\x03')
    shell.end()


@test
def signals_do_the_same(case):
    """TSTP and CONT to coop's own number; a task that has stopped itself stays as it is."""
    shell = Shell(case, f'"$COOP" run "echo up; {LOOP}" "kill -STOP \\$\\$; true" '
                        f'--name third "{LOOP}" &')
    shell.coop.wait_for('up\r\n')
    runtime = shell.runtime()
    own = until('the one that stops itself',
                lambda: [pid for pid in children(runtime) if alive(pid) == 'T'])
    for _ in range(2):
        os.kill(shell.guard(), signal.SIGTSTP)
        shell.wait_all_stopped()
        equal(alive(shell.guard()), 'T')
        os.kill(shell.guard(), signal.SIGCONT)
        until('the end of the pause', lambda: [pid for pid, state, _ in case.left()
                                               if state == 'T'] == own)
    os.kill(shell.guard(), signal.SIGTERM)
    shell.coop.wait_for('ended by SIGTERM')
    shell.end()


@test
def stop_from_outside(case):
    """STOP, that nobody hears, and CONT: it goes on, and nothing was ended."""
    shell = Shell(case, f'"$COOP" run --timeout {LIMIT} "echo up; {UNTIL_GO}" true')
    shell.coop.wait_for('up\r\n')
    os.killpg(shell.guard(), signal.SIGSTOP)
    until('the stop', lambda: alive(shell.runtime()) == 'T' and alive(shell.guard()) == 'T')
    time.sleep(PAUSE_S)
    shell.type('fg')
    until('the end of the stop', lambda: alive(shell.runtime()) in 'SR')
    case.write('go', '')
    equal(shell.status(), 0)
    shell.end()


@test
def who_has_no_shell_is_not_stopped(case):
    """Where nobody could continue it, Ctrl-Z stops nobody, as the kernel has it for all others."""
    coop = case.start('run', f'echo up; {UNTIL_GO}', 'true', tty=True)
    coop.wait_for('up\r\n')
    coop.type(b'\x1a')
    coop.wait_for('^Z')
    case.write('go', '')
    equal(coop.end(), 0)


@test
def killed_while_it_is_stopped(case):
    """kill -9 of the guard, or of the runtime and fg: nothing is left of a job that is stopped."""
    for half in ('guard', 'runtime'):
        shell = Shell(case, f'"$COOP" run "echo up; {LOOP}" "setsid sh -c \'{LOOP}\' & wait"')
        shell.coop.wait_for('up\r\n')
        shell.stop()
        os.kill(getattr(shell, half)(), signal.SIGKILL)
        if half == 'runtime':
            shell.type('fg')
        until('the end', lambda s=shell: [p for p, _, _ in case.left()] == [s.coop.pid])
        shell.end()


@test
def guard_killed_before_all_is_stopped(case):
    """While the runtime is busy with the stop, by an output that nobody reads: it ends all."""
    shell = Shell(case, '"$COOP" run --name a yes --name b true | sleep 1000')
    task = until('the task', lambda: children(shell.runtime()))[0]
    until('a full pipe',
          lambda: all(time.sleep(0.01) or alive(task) == 'S' for _ in range(20)))
    guard, reader = children(shell.coop.pid)
    os.kill(guard, signal.SIGTSTP)
    until('the stop of the task', lambda: alive(task) == 'T')
    os.kill(guard, signal.SIGKILL)
    until('the end of the task', lambda: alive(task) in ('', 'Z'))
    os.kill(reader, signal.SIGKILL)
    until('the end', lambda: [p for p, _, _ in case.left()] == [shell.coop.pid])
    shell.end()


@test
def closed_terminal(case):
    """A window that is closed over a job that is stopped ends the job."""
    shell = Shell(case, f'"$COOP" run --all --stop TERM,200ms,KILL '
                        f'"echo up; {LOOP}" "trap \'\' HUP TERM; {LOOP}"')
    shell.coop.wait_for('up\r\n')
    shell.stop()
    shell.coop.hang_up()
    case.wait_nothing_left()


if __name__ == '__main__':
    sys.exit(main())
