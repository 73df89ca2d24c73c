#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What people and programs see: the footer, groups, JSON, GitHub, the report, S15."""
import hashlib
import json
import os
import re
import signal
import subprocess
import sys

from kit import equal, main, test, until

TTY = {'TERM': 'xterm'}


class Terminal:
    """As much of a terminal as the footer needs: what stands in its lines at last."""

    def __init__(self, columns=100):
        self.lines, self.row, self.column, self.columns = [''], 0, 0, columns
        self.widest, self.erased_from = 0, 1000000

    def next_line(self):
        self.row += 1
        if self.row == len(self.lines):
            self.lines.append('')

    def put(self, char):
        if self.column == self.columns:
            self.next_line()
            self.column = 0
        line = self.lines[self.row]
        self.lines[self.row] = line[:self.column] + char + line[self.column + 1:]
        self.column += 1
        self.widest = max(self.widest, self.column)

    def feed(self, data):
        for piece in re.findall(r'\033\[[0-9;]*[A-Za-z]|.', data, re.S):
            if piece == '\n':
                self.next_line()
            elif piece == '\r':
                self.column = 0
            elif piece == '\033[K':
                self.lines[self.row] = self.lines[self.row][:self.column]
            elif piece == '\033[J':
                self.erased_from = min(self.erased_from, self.row)
                self.lines[self.row] = self.lines[self.row][:self.column]
                del self.lines[self.row + 1:]
            elif piece.startswith('\033['):
                assert piece.endswith('m') or piece.endswith('A'), f'{piece!r} moves too much'
                if piece.endswith('A'):
                    self.row -= int(piece[2:-1])
            else:
                self.put(piece)

    def text(self):
        return '\n'.join(line.rstrip() for line in self.lines)


def on_terminal(case, *args, env=None):
    """(status, raw output, what stands there at the end)"""
    coop = case.start(*args, tty=True, env=dict(TTY, **(env or {})))
    status = coop.end()
    case.check_left()
    return status, coop.data.decode(errors='replace'), seen_at_end(coop)


def seen_at_end(coop, columns=100):
    terminal = Terminal(columns)
    terminal.feed(coop.data.decode(errors='replace'))
    return terminal


@test
def footer_leaves_no_trace(case):
    """It counts while tasks run, and at the end only lines stand there."""
    status, raw, terminal = on_terminal(
        case, 'run', '--name', 'one', 'echo first; sleep 0.3; echo second', '--name', 'two',
        'sleep 0.3')
    equal(status, 0)
    assert '2 running' in raw and '0 failed' in raw, raw
    text = terminal.text()
    assert 'running' not in text, text
    for line in ('one │ first', 'one │ second'):
        assert line in text, text
    assert '\033[?' not in raw, raw  # no alternate screen, no hidden cursor
    assert terminal.erased_from > 0, raw  # tmux would keep what stood there
    assert terminal.widest < 100, terminal.widest


@test
def footer_has_room_for_a_key(case):
    """What the terminal echoes behind a footer that is cut (^C) leaves none of it behind."""
    coop = case.start('run', '--name', 'a-long-name-' * 3, '--pty', 'off',
                      'trap "" INT; echo up; sleep 0.3 & wait; exit 0', '--name', 'b', 'sleep 1000',
                      tty=True, columns=40, env=TTY)
    coop.wait_for('2 running')
    coop.type(b'\003')
    equal(coop.end(), -signal.SIGINT)
    text = seen_at_end(coop, 40).text()
    assert '^C stopping' in text and 'running' not in text, text


@test
def footer_is_drawn_seldom(case):
    """A thousand lines are no thousand footers: at most ten a second, and every line is there."""
    status, raw, terminal = on_terminal(
        case, 'run', 'i=0; while [ $i -lt 1000 ]; do echo line $i; i=$((i+1)); done', 'true')
    equal(status, 0)
    drawn = raw.count(' failed  ')
    seconds = max(float(s) for s in re.findall(r'failed  (\d+\.\d)s', raw) or ['0'])
    assert drawn <= 10 * (seconds + 0.2) + 3, (drawn, seconds)
    text = terminal.text()
    for i in range(1000):
        assert f'│ line {i}\n' in text + '\n', i


@test
def footer_tells_who_is_waited_for(case):
    """While a shielded task is waited for its name stands there."""
    coop = case.start('run', '--name', 'mig', '--shield',
                      'touch up; until [ -e go ]; do sleep 0.01; done', '--name', 'bad',
                      'until [ -e up ]; do sleep 0.01; done; exit 5',
                      tty=True, env=TTY)
    coop.wait_for('waiting: mig (shielded')
    case.write('go', '')
    equal(coop.end(), 5)
    case.check_left()


@test
def footer_tells_the_rung(case):
    """Which signal was sent, which comes next, and who of the group is still there."""
    coop = case.start('run', '--name', 'deaf', '--pty', 'off', '--stop', 'INT,2s,TERM,1000s,KILL',
                      'trap "" INT TERM; sleep 1000 & echo > up; while :; do wait; done', 'true',
                      tty=True, env=TTY)
    coop.wait_file('up')
    coop.type(b'\003')
    coop.wait_for(' waiting: deaf (INT sent, TERM in 2s, pids ')
    coop.wait_for('INT sent 1s ago, TERM in 1s')
    coop.wait_for('TERM sent, KILL in 16m40s')
    leader = int(re.search(r'TERM in 2s, pids (\d+) \d+\)', coop.text)[1])
    equal(os.getpgid(leader), leader)
    coop.type(b'\003')
    equal(coop.end(), -signal.SIGINT)
    case.check_left()


@test
def failure_names_whom_it_cancels(case):
    """Those of its group and below who have not ended; a few by name."""
    wait = 'until [ -e go ]; do sleep 0.01; done'
    _, _, errors = case.run('run', '--name', 'bad', '--after', 'well', wait + '; exit 3',
                            '--name', 'well', 'touch go', '--group', 'in', '--name', 'inner',
                            'sleep 1000', '--name', 'late', '--after', 'inner:ok', 'true')
    assert re.search(r'^bad   ✗ exit 3 after \S+: cancelling inner, late$', errors, re.M), errors
    _, _, errors = case.run('run', *['sleep 1000'] * 9, '--name', 'bad', 'exit 3')
    assert 's: cancelling sleep, sleep-2, sleep-3, sleep-4, sleep-5 and 4 more\n' in errors, errors
    for args in (('--keep-going',), ('--on-fail', 'log')):
        _, _, errors = case.run('run', *args, 'exit 3', 'sleep 0.2')
        assert 'cancelling' not in errors, errors


@test
def map_has_progress(case):
    """Of a map the footer has what is done of how many."""
    status, raw, terminal = on_terminal(
        case, 'map', '-j1', 'sleep 0.15; echo {}', ':::', 'a', 'b', 'c')
    equal(status, 0)
    assert re.search(r'[12]/3 done, 0 failed, 1 running', raw), raw
    equal(terminal.text().split(), ['a', 'b', 'c'])


@test
def s15_no_command_controls_the_terminal(case):
    """S15: colours pass; all other sequences are shown; --raw lets them through."""
    evil = r'printf "\033[31mred\033[0m \033[2J\033]0;title\007 \302\233 \342\200\256x \001\r\n"'
    _, raw, terminal = on_terminal(case, 'run', '--name', 'evil', evil, '--name', 'b', 'true')
    assert '\033[31mred\033[0m' in raw, raw
    for bad in ('\033[2J', '\033]0;', '\007', '\u009b', '\u202e', '\001'):
        assert bad not in raw, (bad, raw)
    for shown in ('^[[2J', '^[]0;title^G', '<U+009B>', '<U+202E>', '^A'):
        assert shown in terminal.text(), (shown, terminal.text())
    _, raw, _ = on_terminal_raw(case, 'run', '--raw', evil, 'true')
    assert '\033]0;title\007' in raw, raw


def on_terminal_raw(case, *args):
    coop = case.start(*args, tty=True, env=TTY)
    return coop.end(), coop.data.decode(errors='replace'), None


@test
def ornaments_of_colourful_programs(case):
    """What gcc, grep and tput write beside their colours is no text: erasing to the end of the
    line, the way back to ASCII, links."""
    _, raw, terminal = on_terminal(
        case, 'run', '--name', 'a', r'printf "\033[01;31m\033[Kred\033[m\033[K \033[2Kx\033(B\n"; '
        r'printf "\033]8;;http://x/\033\\link\033]8;;\007 \033]8;;open\n"', '--name', 'b', 'true')
    for line in ('a │ red x\n', 'a │ link ^[]8;;open\n'):
        assert line in terminal.text(), (line, terminal.text())
    assert 'm\033[K' not in raw and '\033]8' not in raw, raw


@test
def progress_is_shown_as_it_was_last(case):
    """A line that is begun again by a carriage return does not show all its states, here nor in
    the report; and nothing of it is written over what stands there."""
    _, raw, terminal = on_terminal(
        case, 'run', '--name', 'a', r'printf "1%%\r50%%\r99%%\r\nx\r\r\n100%%\r\033[K\n"; '
        r'printf "open 1\ropen 2"; exit 3', '--name', 'b', 'sleep 1000')
    assert re.search('a │ 99%\na │ x\na │\na │ open 2\n', terminal.text()), terminal.text()
    assert '50%' not in raw and '^M' not in raw, raw
    report = terminal.text()[terminal.text().index('failed: 1'):]
    assert re.search('│ x\n[ │]+│\n[ │]+│ open 2\n', report), report
    _, output, _ = case.run('run', '-o', 'prefix', r'printf "1%%\r2%%\n"', 'true')
    assert '1%\r2%\n' in output, output


@test
def long_lines_are_cut_between_characters(case):
    """A line that comes in pieces has whole characters and sequences in each, and the last bytes
    that the report keeps begin with one."""
    word = '\u00e9' * 3000
    for shift in (0, 1):
        case.write('line', 'x' * (65534 + shift) + word + '\n')
        _, output, errors = case.run('run', '-o', 'json', '--report', 'json', '--name', 'a',
                                     'cat line; exit 3', '--name', 'b', 'sleep 1000')
        lines = [e['line'] for e in objects(output) if e['event'] == 'output']
        equal(len(lines), 2)
        assert '\ufffd' not in ''.join(lines) and ''.join(lines).endswith(word), lines
        tail = json.loads(errors.splitlines()[-1])['tasks'][0]['last_output']
        assert tail.strip('\u00e9') == '\n', tail
    case.write('line', 'x' * 65530 + '\033[38;5;200mpink\n')
    _, raw, _ = on_terminal(case, 'run', 'cat line', 'true')
    assert '\033[38;5;200mpink' in raw and '^[' not in raw, raw[-2000:]


@test
def s15_no_file_controls_the_terminal(case):
    """S15: what a file holds that somebody else wrote is shown as well, when it is looked at."""
    case.write('Procfile', 'evil: echo \033]0;title\007 \302\x9b\n'.replace('\302\x9b', '\u009b'))
    for args in (('up', '--dry-run'), ('graph',)):
        _, raw, _ = on_terminal_raw(case, *args)
        assert 'evil' in raw and not re.search('[\033\007\u009b]', raw), raw
    equal(case.run('up', '--dry-run')[1].count('\033]0;title'), 1)


@test
def bytes_go_unchanged_where_there_is_no_terminal(case):
    """S15: into a pipe everything goes as it is."""
    _, output, _ = case.run('run', '--output', 'stream', r'printf "\033[2J\007x\n"')
    equal(output, '\033[2J\007x\n')


@test
def no_color(case):
    """NO_COLOR and a dumb terminal have none."""
    for env in ({'NO_COLOR': '1'}, {'TERM': 'dumb'}):
        _, raw, _ = on_terminal(case, 'run', '--pty', 'off', 'echo x', 'exit 1', env=env)
        assert not re.search(r'\033\[3\dm', raw), raw


@test
def the_same_lines_on_every_screen(case):
    """A terminal and a pipe get the same: names, marks, words, KILL as the ladder names it."""
    args = ('run', '--output', 'prefix', '--stop', 'USR1,100ms,WINCH,100ms,KILL', '-v', '--name',
            'stubborn', '--pty', 'off', '--ready', 'log:up',
            'trap "" USR1 WINCH; echo up; while :; do sleep 0.01; done',
            '--name', 'again', '--after', 'stubborn', '--retry', '1', '--backoff', '1ms', 'false',
            '--name', 'long-name', '--after', 'again', 'sleep 1000')
    wanted = [r'stubborn  │ up', r'stubborn  ✓ ready \d\.\ds',
              r'again     ↻ exit 1 after \d\.\ds; again soon',
              r'again     ✗ exit 1 after \d\.\ds', r'stubborn  … USR1 sent, pid \d+',
              r'stubborn  … WINCH sent, pid \d+', r'stubborn  … KILL sent, pid \d+',
              r'stubborn  ⊘ cancelled after \d\.\ds: again: exit 1',
              r'long-name ⊘ ']
    seen = [case.run(*args)[2], on_terminal(case, *args, env={'NO_COLOR': '1'})[2].text(),
            re.sub('\033\\[[0-9;]*m', '', on_terminal(case, *args)[1]).replace('\r', '')]
    for text in seen:
        for pattern in wanted[1:] if text is seen[0] else wanted:
            assert re.search('^' + pattern, text, re.M), (pattern, text)


@test
def what_is_no_terminal_gets_the_same_lines(case):
    """A standard output that goes elsewhere has the names that it has without a terminal, and no
    colours; beside a reader of it (tee, a pager) there is no footer. A map's are bytes as ever."""
    for way in ('run', 'run -o prefix'):
        run = f'"$COOP" {way} -n a "echo out; echo err >&2" -n b --after a "sleep 0.3; echo x"'
        for to, has_footer in (('> f', True), ('| cat > f', False)):
            coop = case.start('-c', f'{run} {to}', program='sh', tty=True, env=TTY)
            equal(coop.end(), 0)
            equal(case.content('f'), 'a │ out\nb │ x\n')
            equal('running' in coop.text, has_footer and way == 'run', coop.text)
            assert 'err' in coop.text, coop.text
    coop = case.start('-c', '"$COOP" map -j1 "printf %s {}" ::: 1 2 > f', program='sh', tty=True)
    equal((coop.end(), case.content('f')), (0, '12'))


@test
def what_we_say_begins_a_line(case):
    """Behind a line of a command that has no end, where both go to one place."""
    for args in (('run', '-o', 'stream', 'printf x; exit 2', 'sleep 1000'),
                 ('run', 'printf x; sleep 1000', '--timeout', '300ms')):
        coop = case.start(*args, stderr=subprocess.STDOUT)
        coop.end()
        assert re.match('x\ncoop: ', coop.text), coop.text


@test
def end_lines(case):
    """What went well has only its time; else there is the end, the time, then the reason."""
    _, _, errors = case.run('run', '-k', '--output', 'prefix', '--name', 'well', 'true',
                            '--name', 'limit', '--timeout', '50ms', 'sleep 1000',
                            '--name', 'killed', 'kill -SEGV $$', '--name', 'not', './no-file',
                            '--name', 'three', '--ok-codes', '3', 'exit 3')
    for pattern in (r'well   ✓ \d\.\ds$', 'limit  ✗ timeout after 50ms$',
                    r'killed ✗ killed by SIGSEGV.* after \d\.\ds$',
                    'not    ✗ cannot be started: ./no-file: No such file or directory$',
                    r'three  ✓ exit 3 after \d\.\ds$'):
        assert re.search('^' + pattern, errors, re.M), (pattern, errors)


@test
def timestamps(case):
    """--timestamps puts the time before each line of every screen that has lines."""
    for args in (('run', '--output', 'prefix', 'echo x'), ('run', 'echo x'), ('exec', 'echo', 'x'),
                 ('map', '--output', 'stream', 'echo {}', ':::', 'x')):
        _, output, _ = case.run(args[0], '--timestamps', *args[1:])
        assert re.search(r'^\d\d:\d\d:\d\d\.\d{3} (echo │ )?x$', output, re.M), output


@test
def group_is_in_one_piece(case):
    """What a task wrote stands together, though they write at the same time."""
    script = 'for i in 1 2 3 4 5; do echo $NAME $i; sleep 0.02; done'
    status, output, _ = case.run('run', '--output', 'group', '--name', 'a', f'NAME=a; {script}',
                                 '--name', 'b', f'NAME=b; {script}')
    equal(status, 0)
    for name in 'ab':
        block = '\n'.join(f'{name} {i}' for i in range(1, 6))
        assert re.search(f'┌─ {name} ✓ .*\n{block}\n└─ {name}\n', output), output


@test
def no_footer_on_a_dumb_terminal(case):
    """Nor where nobody has told what it is: no sequence of ours, only lines."""
    for term in ('dumb', ''):
        _, raw, _ = on_terminal(case, 'run', '--pty', 'off', 'echo x; sleep 0.3', 'exit 1',
                                env={'TERM': term})
        assert '\033' not in raw and 'running' not in raw, raw


@test
def group_holds_more_than_memory_should(case):
    """Megabytes wait in a file, and each byte of them comes; without a folder for it as well."""
    wanted = '\n'.join(str(i) for i in range(1, 400001))
    for folder in (case.folder, case.path('none')):
        status, output, errors = case.run(
            'run', '--output', 'group', '--pty', 'off', 'seq 400000', 'sleep 0.2',
            env={'TMPDIR': folder})
        equal((status, errors), (0, ''))
        lines = [line for line in output.splitlines() if line.isdigit()]
        equal(hashlib.sha256('\n'.join(lines).encode()).hexdigest(),
              hashlib.sha256(wanted.encode()).hexdigest())


@test
def ci_is_noticed(case):
    """auto: groups in CI, and GitHub's words in its Actions; what has failed is not folded."""
    _, output, _ = case.run('run', 'echo x', 'true', env={'CI': 'true'})
    assert '┌─ echo' in output, output
    _, output, _ = case.run('run', '--name', 'f', 'echo x; exit 3', 'sleep 1000',
                            env={'CI': 'true', 'GITHUB_ACTIONS': 'true'})
    assert re.search(r'^f ✗ exit 3 .*\nx\n::error title=f::✗ exit 3', output, re.M), output
    assert '::group::sleep \u2298' in output, output
    _, output, _ = case.run('run', '"$COOP" run "echo x" true', 'true',
                            env={'CI': 'true', 'GITHUB_ACTIONS': 'true'})
    equal(output.count('::group::'), 2, output)  # an inner group would end the outer one
    assert '\u250c\u2500 echo' in output, output


def objects(text):
    return [json.loads(line) for line in text.splitlines()]


@test
def json_is_an_object_a_line(case):
    """Each event is one; what is no UTF-8 is replaced; the last one has the status."""
    status, output, _ = case.run(
        'run', '--output', 'json', '--name', 'a',
        r'printf "say \"hi\"\\\\ \377 \001\n"; echo err >&2; printf open; exit 3',
        '--name', 'b', 'sleep 1000')
    equal(status, 3)
    events = objects(output)
    lines = {(e['stream'], e['line']) for e in events if e['event'] == 'output'}
    assert ('stdout', 'say "hi"\\ \ufffd \u0001') in lines, lines
    assert ('stderr', 'err') in lines and ('stdout', 'open') in lines, lines
    ended = {e['task']: e for e in events if e['event'] == 'ended'}
    equal((ended['a']['code'], ended['a']['outcome']), (3, 'failed'))
    equal((ended['b']['outcome'], ended['b']['why']), ('cancelled', 'a: exit 3'))
    equal([e['signal'] for e in events if e['event'] == 'signal'], ['SIGTERM'])
    equal((events[-1]['event'], events[-1]['status']), ('finished', 3))


@test
def inputs_in_json(case):
    """Of a map each start has the command as it was written, and the input."""
    _, output, _ = case.run('map', '-o', 'json', '-j1', 'echo {}; true', ':::', 'a b', '"')
    equal([(e['command'], e['input']) for e in objects(output) if e['event'] == 'started'],
          [('echo {}; true', 'a b'), ('echo {}; true', '"')])
    _, output, _ = case.run('run', '-o', 'json', 'echo x')
    assert 'input' not in objects(output)[0], output


@test
def events_go_beside_the_screen(case):
    """--events writes the same events into a file of its own, mode 0600."""
    case.run('run', '--events', 'log.json', 'echo x', 'true')
    events = objects(case.content('log.json'))
    equal([e['event'] for e in events].count('ended'), 2)
    assert all(e['event'] != 'output' for e in events), events
    equal(events[-1]['event'], 'finished')


@test
def report_tells_who_was_first(case):
    """The tree: who failed first with its last lines, who was cancelled by whom, nested groups."""
    status, _, errors = case.run(
        'run', '--name', 'first', '--group', 'in/deep',
        'until [ -e up ]; do sleep 0.01; done; echo one; echo two; exit 4',
        '--name', 'worse', "trap 'exit 9' TERM; touch up; sleep 1000 & wait",
        '--name', 'other', 'sleep 1000')
    equal(status, 4, errors)
    report = errors[errors.index('\nfailed: '):]
    wanted = [r'failed: 2 of 3 tasks in \S+ +exit status 4', '└─ run',
              'worse  +exit 9 while stopping', 'other  +cancelled', 'in$', 'deep$',
              'first  exit 4 after .*first failure', '│ one',
              '│ two', 'no process left behind']
    for pattern in wanted:
        assert re.search(pattern, report, re.M), (pattern, report)
    lines = report.splitlines()
    assert 'first  exit 4' in [line for line in lines if ' \u2717 ' in line][-1], report


@test
def report_on_a_narrow_terminal(case):
    """Output is cut there, and reasons are not."""
    coop = case.start('run', '--name', 'a-long-name', 'echo 123456789 123456789 123456789; exit 4',
                      '--name', 'other', 'sleep 1000', tty=True, columns=24,
                      env={'TERM': 'dumb'})
    equal(coop.end(), 4)
    report = coop.text[coop.text.index('failed: '):]
    assert re.search('✗ a-long-name  exit 4 after .*← first failure, cancelled the group',
                     report), report
    assert re.search(r'⊘ other +cancelled after \S+: a-long-name: exit 4', report), report
    assert '│ 123456789 123' in report and '123456789 123456789' not in report, report
    assert '\033' not in report, report


@test
def report_is_silent_on_success(case):
    """No tree for what went well, nor for a single task, nor with --report none."""
    for args in (('run', 'true', 'true'), ('run', 'exit 3'),
                 ('run', '--report', 'none', 'exit 3', 'true')):
        _, _, errors = case.run(*args)
        assert '└─' not in errors, errors


@test
def report_of_a_map_names_the_failed(case):
    """The inputs that failed, by number, with what they wrote."""
    status, _, errors = case.run('map', 'echo said {}; test {} != b', ':::', 'a', 'b', 'c')
    equal(status, 1)
    assert re.search(r'failed: 1 of 3 in', errors), errors
    assert 'said b' in errors and 'said a' not in errors, errors
    _, _, errors = case.run('map', '--report', 'json', '-q', 'false', ':::', 'a"b')
    equal([task['input'] for task in json.loads(errors.splitlines()[-1])['tasks']], ['a"b'])
    _, _, errors = case.run('map', '-j1', 'false {}', ':::', 'a\033[2Jb', 'c\nd')
    for line in (r'false-1  exit 1 after \S+: a\^\[\[2Jb   ←',
                 r'false-2  exit 1 after \S+: c\.\.\.'):
        assert re.search(line, errors), errors


@test
def report_of_many(case):
    """Failures are all there, as they came, the first one on top; others only a few, but with -v;
    and how many more."""
    _, _, errors = case.run('map', '-j1', 'exit {}', ':::', '1', '2', '3')
    equal(re.findall(r'✗ exit-\d  exit (\d)', errors[errors.index('└─ map'):]), ['1', '2', '3'])
    args = ('run', '--name', 'bad', 'sleep 0.2; exit 3', *['sleep 1000'] * 30)
    _, _, errors = case.run(*args)
    report = errors[errors.index('└─ run'):].splitlines()
    equal((len(report), report[-2]), (14, '   └─ 20 more, cancelled or skipped'), errors)
    assert '✗ bad ' in report[1] and '⊘ sleep' in report[2], errors
    _, _, errors = case.run(args[0], '-v', *args[1:])
    report = errors[errors.index('└─ run'):]
    equal((report.count('⊘ sleep'), 'more' in report), (30, False), errors)
    _, _, errors = case.run('map', '-j8', 'exit 1; : {}', ':::', *map(str, range(1003)))
    assert errors.endswith('   └─ 3 more\nno process left behind\n'), errors[-300:]


@test
def report_of_a_map_that_was_stopped(case):
    """How many were cancelled, how many never began; what nobody knows is not told."""
    task = 'echo up; sleep 1000; true'
    coop = case.start('map', '-j2', task, ':::', *'12345')
    until('two', lambda: coop.text.count('up') == 2)
    coop.signal(signal.SIGINT)
    equal(coop.end(), -signal.SIGINT)
    assert re.search(r'stopped: 2 of 5 cancelled in \S+, 3 not started   ended by', coop.text), \
        coop.text
    _, _, errors = case.run('map', '-j1', '--fail-fast', 'exit {}', ':::', '0', '4', '0')
    assert re.search(r'failed: 1 of 3 in \S+, 1 not started   exit status 4', errors), errors
    case.write('list', '0\n4\n0\n')
    _, _, errors = case.run('map', '-j1', '--fail-fast', 'exit {}', '::::', 'list')
    assert re.search(r'failed: 1 of 2 in \S+   exit status 4', errors), errors


@test
def report_as_json(case):
    """--report json is one object on standard error."""
    _, _, errors = case.run('run', '--report', 'json', '-q', '--name', 'x', 'echo tail; exit 2',
                            'true')
    report = json.loads([line for line in errors.splitlines() if line.startswith('{')][0])
    equal(report['status'], 2)
    task = {t['task']: t for t in report['tasks']}['x']
    equal((task['code'], task['first_failure'], task['last_output']), (2, True, 'tail\n'))


@test
def report_beside_json(case):
    """With JSON on the standard output the report is on the other one: it is no event."""
    _, output, errors = case.run('run', '-o', 'json', '--report', 'json', 'exit 2', 'true')
    equal([e['event'] for e in objects(output)][-1], 'finished')
    equal([r['status'] for r in objects(errors)], [2])


@test
def words_of_github_are_escaped(case):
    """What a workflow command decodes is encoded, and nothing else: a colon is one in a text."""
    _, output, _ = case.run('run', '--output', 'github', '--name', 'a%b', '--cwd', '/none/%:',
                            'true', '--name', 'c', 'sleep 1000')
    end = '✗ cannot be started in /none/%25:: No such file or directory'
    assert f'\n::error title=a%25b::{end}\n' in output, output
    _, output, _ = case.run('run', '--output', 'github', '--name', 'a%b', 'true')
    assert output.startswith('::group::a%25b ✓'), output


@test
def closing_a_terminal_is_no_end(case):
    """A task that closes its outputs before it ends is not hung up by that."""
    status, _, _ = on_terminal(
        case, 'run', 'exec >&- 2>&- <&-; sleep 0.2; exit 0', 'exec >&- 2>&-; sleep 0.1; exit 0')
    equal(status, 0)


if __name__ == '__main__':
    sys.exit(main())
