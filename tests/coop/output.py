#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What tasks write arrives: every byte, whole lines, in bounded memory; and map, with its order."""
import fcntl
import hashlib
import os
import re
import signal
import subprocess
import sys

from kit import Skip, equal, main, test, until

PY = sys.executable


@test
def whole_lines_with_names(case):
    """S13: lines of many tasks are never mixed, also where they come in pieces."""
    task = 'i=0; while [ $i -lt 50 ]; do printf "one "; printf "line\\n"; i=$((i+1)); done'
    status, output, _ = case.run('run', '--output', 'prefix', *[task] * 4)
    equal(status, 0)
    equal({line.split('\u2502')[1] for line in output.splitlines()}, {' one line'})
    equal(len(output.splitlines()), 200)


@test
def every_byte_is_kept(case):
    """K03: 10 MiB and the exit right behind; the reader is slow."""
    case.write('big.py', 'import sys\nfor i in range(160000):\n'
               '    sys.stdout.write("%064d\\n" % i)\n')
    wanted = hashlib.sha256(b''.join(b'%064d\n' % i for i in range(160000))).hexdigest()
    for mode in ('prefix', 'stream'):
        shell = case.start('-c', f'"$COOP" run -o {mode} "{PY} big.py" true 2>/dev/null | '
                           '(sleep 1; cat)', program='sh')
        equal(shell.end(), 0)
        data = shell.data
        if mode == 'prefix':
            data = b''.join(line.partition('\u2502 '.encode())[2] + b'\n'
                            for line in data.splitlines())
        equal(hashlib.sha256(data).hexdigest(), wanted, mode)


@test
def bytes_without_a_line_end(case):
    """The last line may have none; binary bytes pass through stream as they are."""
    case.write('bytes.py', 'import sys\nsys.stdout.buffer.write(bytes(range(256)) * 300)\n')
    coop = case.start('run', '--output', 'stream', f'{PY} bytes.py')
    equal(coop.end(), 0)
    equal(coop.data, bytes(range(256)) * 300)
    status, output, _ = case.run('run', '--output', 'prefix', '--name', 'a', 'printf x', 'true')
    assert output == 'a    \u2502 x\n', output


@test
def long_line_in_bounded_memory(case):
    """A line of 20 MiB is handed on in pieces."""
    coop = case.start('run', '--output', 'stream', 'head -c 20000000 /dev/zero | tr "\\0" x',
                      'true')
    equal(coop.end(), 0)
    equal((len(coop.data), set(coop.data)), (20000000, {ord('x')}))


@test
def pieces_of_a_line_are_told(case):
    """S13: a line beyond 64 KiB is handed on in pieces, and those behind the first are marked."""
    task = 'head -c 150000 /dev/zero | tr "\\0" x; echo; echo y; printf z; exec >&-; sleep 0.1'
    _, output, _ = case.run('run', '--output', 'prefix', '--name', 'a', task, 'true')
    equal([(line[5], line[7]) for line in output.splitlines()],
          [('\u2502', 'x'), ('\u2506', 'x'), ('\u2506', 'x'), ('\u2502', 'y'), ('\u2502', 'z')])
    equal(output.count('x'), 150000)


@test
def reader_that_goes_away(case):
    """K09: our standard output is closed: the tasks are stopped, and we die of SIGPIPE."""
    shell = case.start('-c', '"$COOP" run --output prefix "while echo y; do :; done" "sleep 1000" '
                       '2>/dev/null | head -n 1; echo ${PIPESTATUS[0]}', program='bash')
    equal(shell.end(), 0)
    equal(shell.text.splitlines()[1:], [str(128 + signal.SIGPIPE)])
    case.check_left()


@test
def reader_that_goes_away_is_no_failure(case):
    """As of other programs at the left of `head`: no word, unless -v or something has failed."""
    lines = "'while echo y; do :; done'"
    for args in (f'run -o prefix {lines} "sleep 1000"', f'run -o stream {lines} "sleep 1000"',
                 f'run {lines}', f'map -j2 {lines}"; : {{}}" ::: a b c', 'exec yes',
                 f'run --name a {lines} --after a true', 'run -o group "seq 100000" "sleep 1000"',
                 'run -o group --name a "seq 100000" --after a true'):
        status, output, errors = case.run(
            '-c', f'"$COOP" {args} | head -c 1; echo ${{PIPESTATUS[0]}}', program='bash')
        equal((status, output[1:], errors), (0, '141\n', ''), args)
    told = f'-o prefix --name stopped {lines} "sleep 1000"'
    failed = f'-k --name bad "exit 3" --name writer --after bad:done {lines}'
    trap = lines.replace("'", "'trap \"exit 3\" TERM; ", 1)
    for args, code, wanted in (
            (f'-v {told}', 141, ('stopped: 2 of 2 tasks cancelled', 'stopped \u2298 cancelled')),
            (f'-o prefix {failed}', 3, ('bad', 'failed: 1 of 2 tasks')),
            (f'-o prefix --name bad {trap} "sleep 1000"', 141,
             ('bad', 'failed: 1 of 2 tasks', 'exit 3 while stopping'))):
        status, output, errors = case.run(
            '-c', f'"$COOP" run {args} | head -c 1; echo ${{PIPESTATUS[0]}}', program='bash')
        equal((status, output[1:]), (0, f'{code}\n'), errors)
        for text in wanted:
            assert text in errors, (args, text, errors)
    status, output, errors = case.run('exec', 'sh', '-c', 'kill -s PIPE $$')
    equal((status, errors), (141, 'coop: sh: killed by SIGPIPE\n'))


@test
def output_that_cannot_be_written(case):
    """K09: in each mode, also where the job has ended before: the status tells, and a line why."""
    for mode in ('prefix', 'group', 'stream', 'github', 'json'):
        with open('/dev/full', 'w', encoding='utf-8') as full:
            done = subprocess.run(
                [case.coop, 'run', '-o', mode, 'echo x', 'echo y'], stdout=full, check=False,
                stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, env=case.environ, cwd=case.folder)
        equal(done.returncode, 125, (mode, done.stderr))
        equal(done.stderr.count(b'coop: standard output: No space left on device\n'), 1,
              (mode, done.stderr))
        reader, writer = os.pipe()
        os.close(reader)
        done = subprocess.run(
            [case.coop, 'run', '-o', mode, 'echo x', 'echo y'], stdout=writer, check=False,
            stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, env=case.environ, cwd=case.folder)
        os.close(writer)
        equal(done.returncode, -signal.SIGPIPE, (mode, done.stderr))


@test
def events_that_cannot_be_written(case):
    """They are a part of what was ordered: one line says so, and the status is 125."""
    status, output, errors = case.run('run', '--events', '/dev/full', 'echo x')
    equal((status, output), (125, 'x\n'))
    equal(errors, 'coop: --events /dev/full: No space left on device\n')


@test
def logs_need_a_folder(case):
    """One that is something else is told before anything starts."""
    case.write('file', '')
    status, output, errors = case.run('run', '--log-dir', 'file', 'echo x')
    equal((status, output, errors), (125, '', 'coop run: --log-dir file: Not a directory\n'))


@test
def logs_are_called_by_names(case):
    """Of a command in a folder its file name, of equal ones with numbers; an input has its own."""
    os.makedirs(case.path('sub/dir'))
    case.write('sub/dir/tool', '#!/bin/sh\necho tool\n')
    os.chmod(case.path('sub/dir/tool'), 0o755)
    status, _, errors = case.run('run', '--log-dir', 'logs-run', './sub/dir/tool',
                                 'sub/dir/tool', 'X=a/b /bin/echo a/b', '--name', 'own', 'echo own',
                                 '--group', 'g/h', 'echo in a group')
    equal((status, {name: case.content(f'logs-run/{name}')
                    for name in os.listdir(case.path('logs-run'))}),
          (0, {'tool.log': 'tool\n', 'tool-2.log': 'tool\n', 'echo.log': 'a/b\n',
               'own.log': 'own\n', 'echo-2.log': 'in a group\n'}), errors)
    status, _, errors = case.run('map', '--log-dir', 'logs-map', './sub/dir/tool', ':::',
                                 '../x', '/y/z')
    equal((status, sorted(os.listdir(case.path('logs-map')))),
          (0, ['tool-1.log', 'tool-2.log']), errors)
    status, _, errors = case.run('run', '--log-dir', 'logs', '--name', 'a/b', 'true')
    assert status == 125 and "'a/b' has a character that no name has" in errors, errors


LOG_SMALL = 'ulimit -f 8; exec "$COOP" "$@"'


@test
def logs_that_cannot_be_written(case):
    """No room: told at once with the name, all is shown and done, and what would be success is
    125; a status of the tasks stays."""
    both = 'seq 1 3000 & seq 3001 6000 >&2; wait'
    for end, wanted in (('', 125), ('; exit 3', 3)):
        status, output, errors = case.run(
            '-c', LOG_SMALL, 'sh', 'run', '-o', 'stream', '--log-dir', 'logs', '--name', 'big',
            both + end, '--after', 'big:done', 'echo small', program='sh')
        equal(status, wanted, errors)
        lines = errors.splitlines()
        equal([line for line in lines if line.startswith('coop: ')][0],
              'coop: big: logs/big.log: File too large: the log of this task is not complete')
        assert 'coop: --log-dir logs: 1 log is not complete' in lines, errors
        equal(sorted(int(n) for n in output.split() + lines if n.isdigit()),
              list(range(1, 6001)))
        assert os.path.getsize(case.path('logs/big.log')) <= 4096
        if not end:
            equal(case.content('logs/echo.log'), 'small\n')


@test
def logs_that_are_removed(case):
    """What was taken away while it was written is not complete, nor what has no folder any more."""
    status, _, errors = case.run('run', '--log-dir', 'logs', '--name', 'a', 'rm -r logs; echo x',
                                 '--name', 'b', '--after', 'a', 'echo y')
    equal(status, 125, errors)
    told = re.findall(r'^coop: (.): logs/\1.log: (?:it was removed|No such file or directory): '
                      'the log of this task is not complete$', errors, re.M)
    equal(sorted(told), ['a', 'b'], errors)
    assert errors.endswith('coop: --log-dir logs: 2 logs are not complete\n'), errors
    status, _, errors = case.run('map', '-j1', '--log-dir', 'logs', '-n', 'm', 'rm -rf logs; echo',
                                 ':::', '1', '2')
    equal(status, 125, errors)
    assert 'coop: m-2: logs/m-2.log: No such file or directory: the log' in errors, errors


@test
def what_is_kept_finds_no_room(case):
    """-o group keeps much in a file: without room for it the job ends, told where that was."""
    os.mkdir(case.path('kept'))
    status, output, errors = case.run(
        '-c', LOG_SMALL, 'sh', 'run', '-o', 'group', '-n', 'much', 'seq 100000; sleep 1000',
        'sleep 1000', program='sh', env={'TMPDIR': case.path('kept')})
    equal(status, 125, errors)
    told = f'coop: the output of much, kept in {case.path("kept")}'
    assert errors.startswith(told[:80]) and 'File too large\n' in errors, errors
    assert '\n1\n2\n' in output, output[:100]
    case.check_left()


@test
def what_found_no_room_is_shown_once(case):
    """As far as it was kept, and once: what comes behind that is lost, which is said."""
    os.mkdir(case.path('kept'))
    status, output, errors = case.run(
        '-c', 'ulimit -f 8; "$COOP" "$@" | cat', 'sh', 'run', '-o', 'group', '-n', 'much', '--stop',
        'TERM,60s,KILL', 'trap "" TERM; seq 300000; seq 300000; echo end', 'sleep 1000',
        program='sh', env={'TMPDIR': case.path('kept')})
    lines = output.splitlines()
    begin = next(i for i, line in enumerate(lines) if '\u250c\u2500 much' in line)
    end = lines.index('coop: much: output lost: File too large')
    shown = lines[begin + 1:end]
    equal(shown[:40000], [str(n) for n in range(1, 40001)])
    assert 'end' not in shown and len(shown) < 300000, len(shown)
    case.check_left()


@test
def both_streams_of_much_are_kept(case):
    """With -o group all of what a task writes to both is there, each stream in its order."""
    status, output, errors = case.run(
        'run', '-o', 'group', '-n', 'much',
        'seq -f o%.0f 300000 & seq -f e%.0f 300000 >&2; wait', 'true')
    equal((status, errors), (0, ''))
    for word in 'oe':
        lines = [line for line in output.splitlines() if line.startswith(word)]
        assert lines == [f'{word}{n}' for n in range(1, 300001)], (word, len(lines))


@test
def lost_logs_of_many_are_counted(case):
    """Of a map without room the first few are told, and then how many there were."""
    status, output, errors = case.run(
        '-c', LOG_SMALL, 'sh', 'map', '--log-dir', 'logs', 'seq 3000; : {}', ':::', *'123456789',
        program='sh')
    equal((status, output.count('3000\n')), (125, 9), errors)
    equal(errors.count('the log of this task is not complete'), 5)
    assert 'coop: --log-dir logs: 9 logs are not complete' in errors, errors


@test
def pipes_that_nobody_opens(case):
    """A named pipe without its other side hangs nothing: inputs are waited for until a signal, a
    log or events there are refused."""
    os.mkfifo(case.path('pipe'))
    coop = case.start('map', 'echo', '::::', 'pipe')
    until('the control socket', lambda: os.path.exists(case.path(f'coop/{coop.pid}.sock')))
    coop.signal(signal.SIGTERM)
    equal(coop.end(), -signal.SIGTERM)
    case.check_left()
    coop = case.start('map', 'echo', '::::', 'pipe')
    with open(case.path('pipe'), 'w', encoding='ascii') as f:
        f.write('a\n')
    equal((coop.end(), coop.text), (0, 'a\n'))
    equal(case.run('run', '--events', 'pipe', 'true'),
          (125, '', 'coop: --events pipe: No such device or address\n'))
    os.mkfifo(case.path('a.log'))
    status, output, errors = case.run('run', '--log-dir', '.', '-n', 'a', 'echo x')
    equal((status, output), (125, 'x\n'))
    assert 'coop: a: ./a.log: No such device or address: the log' in errors, errors


@test
def inputs_that_are_none(case):
    """A byte that no argument can have, a folder: told with its place, and nothing is cut short."""
    case.write('inputs', 'a\nb\0c\n')
    for source, wanted in (('inputs', 'inputs, input 2: a byte that is 0; --null ends inputs'),
                           ('.', '., input 1: Is a directory')):
        status, output, errors = case.run('map', 'echo', '::::', source)
        equal(status, 125, errors)
        assert f'coop: {wanted}' in errors and 'b' not in output, (output, errors)


@test
def modes_of_our_descriptors_stay(case):
    """K02: O_NONBLOCK is never set on what we inherited, not even for a moment."""
    reader, writer = os.pipe()
    child = subprocess.Popen(
        [case.coop, 'run', '--output', 'prefix', 'echo up; sleep 0.5', 'true'], stdout=writer,
        stderr=writer, stdin=subprocess.DEVNULL, env=case.environ, cwd=case.folder)
    os.read(reader, 1)
    equal(fcntl.fcntl(writer, fcntl.F_GETFL) & os.O_NONBLOCK, 0)
    equal(child.wait(), 0)
    equal(fcntl.fcntl(writer, fcntl.F_GETFL) & os.O_NONBLOCK, 0)
    os.close(reader)
    os.close(writer)


@test
def nothing_else_is_inherited(case):
    """S5: a task has its three streams and the one that COOP_EVENTS_FD names, and no other."""
    script = 'ls /proc/self/fd; echo $COOP_EVENTS_FD'
    for args in (('run', script), ('exec', '--', 'sh', '-c', script)):
        status, output, errors = case.run(*args)
        numbers = output.split()
        equal((status, sorted(numbers[:-1])), (0, sorted(['0', '1', '2', '3', numbers[-1]])),
              errors)  # 3 is the folder itself


@test
def logs_in_a_folder(case):
    """--log-dir: what each has written, unchanged, for the user alone; the folder is made."""
    status, _, errors = case.run('run', '--log-dir', 'logs',
                                 '--name', 'a', 'echo out; echo err >&2', '--name', 'b', 'printf b')
    equal(status, 0, errors)
    equal(sorted(case.content('logs/a.log').split()), ['err', 'out'])
    equal(case.content('logs/b.log'), 'b')
    equal(os.stat(case.path('logs/a.log')).st_mode & 0o777, 0o600)


@test
def no_output_is_held_by_nobody(case):
    """That somebody holds an output is not said of one that has ended, on a terminal or not."""
    for tty in (True, False):
        coop = case.start('run', '-v', 'echo x', 'true', 'echo y', '--name', 'z', 'true', tty=tty,
                          env={'TERM': 'xterm'})
        equal((coop.end(), 'holds' in coop.text), (0, False), coop.text)


@test
def streams_that_are_closed(case):
    """They stay so, and nothing of ours gets their numbers, for whoever inherits them."""
    def closed(which, *args):
        return case.run('-c', f'exec "$COOP" "$@" {which}', 'sh', *args, program='sh')
    equal(closed('<&-', 'exec', 'cat'), (1, '', 'cat: -: Bad file descriptor\n'))
    equal(closed('<&-', 'map', 'echo'),
          (125, '', 'coop: standard input, input 1: Bad file descriptor\n'))
    equal(closed('<&-', 'run', 'cat; echo x'), (0, 'x\n', ''))
    status, _, errors = closed('>&-', 'run', 'echo x', 'true')
    equal((status, errors.splitlines()[-1]),
          (125, 'coop: standard output: Bad file descriptor'))
    equal(closed('>&-', '--help'),
          (125, '', 'coop: cannot write to standard output: Bad file descriptor\n'))
    equal(closed('2>&-', 'exec', 'sh', '-c', 'echo x; echo y >&2 || echo z'), (0, 'x\nz\n', ''))
    equal(closed('<&- >&- 2>&-', 'run', 'touch done', 'true')[0], 0)
    assert os.path.exists(case.path('done'))


@test
def starts_that_fail_say_of_what(case):
    """The program, the folder, the null device, the terminal, too many files."""
    for args, wanted in ((('nosuch-program',), ': nosuch-program: No such file or directory'),
                         (('-C', '/none', 'true'), ' in /none: No such file or directory'),
                         (('--tty', 'true'), ' with --tty: (Inappropriate ioctl for device|Not a '
                                             'tty) \\(standard input is no terminal\\)')):
        errors = case.run('run', '-n', 'a', *args)[2]  # glibc's words or musl's
        assert re.fullmatch(f'coop: a: cannot be started{wanted}\n', errors), errors
    script = 'ulimit -n 12; exec "$COOP" run "sleep 0.1" "sleep 0.1" "sleep 0.1" "sleep 0.1"'
    errors = case.run('-c', script, program='sh')[2]
    assert re.search(r'cannot be started: its pipes or terminal: '
                     r'(Too many open files|No file descriptors available) \(see ulimit -n\)',
                     errors), errors
    hide = 'mount -t tmpfs none /dev && '
    if subprocess.run(['unshare', '-m', 'sh', '-c', hide + 'true'], check=False,
                      stderr=subprocess.DEVNULL).returncode:
        raise Skip('no file system may be mounted here')
    status, _, errors = case.run('-m', 'sh', '-c', hide + 'exec "$COOP" run -n a true',
                                 program='unshare')
    equal((status, errors),
          (125, 'coop: a: cannot be started: /dev/null: No such file or directory\n'))


@test
def colours_are_kept(case):
    """On a terminal a task has a terminal too, as wide as ours; in a pipe it has none."""
    command = 'if [ -t 1 ]; then echo yes $(stty size < /dev/tty); else echo no; fi'
    coop = case.start('run', command, 'true', tty=True)
    coop.wait_for('yes 24 100')
    equal(coop.end(), 0)
    assert 'no' in case.run('run', command, 'true')[1]


@test
def map_over_arguments(case):
    """Each input once; as an argument, or where {} stands; no shell for several words."""
    status, output, _ = case.run('map', 'echo', ':::', 'a b', '$HOME', "it's")
    equal((status, sorted(output.splitlines())), (0, ['$HOME', 'a b', "it's"]))
    status, output, _ = case.run('map', 'echo [{}] | tr a-z A-Z', ':::', 'a b', "it's; exit 1")
    equal((status, sorted(output.splitlines())), (0, ['[A B]', "[IT'S; EXIT 1]"]))


@test
def map_over_lines(case):
    """Of standard input and of a file; the last needs no end; 0 bytes with -0."""
    case.write('list', 'one\ntwo two\nthree')
    with open(case.path('list'), 'rb') as f:
        status, output, _ = case.run('map', '--ordered', 'echo', stdin=f)
    equal((status, output), (0, 'one\ntwo two\nthree\n'))
    status, output, _ = case.run('map', '--ordered', 'echo', '::::', 'list')
    equal((status, output), (0, 'one\ntwo two\nthree\n'))
    case.write('zeros', 'a\nb\0c\0')
    status, output, _ = case.run('map', '-0', '--ordered', 'echo', '::::', 'zeros')
    equal((status, output), (0, 'a\nb\nc\n'))
    equal(case.run('map', 'echo', '::::', 'no-such-file')[0], 125)
    equal(case.run('map', 'echo', ':::')[0], 0)


@test
def map_keeps_the_order(case):
    """--ordered: the first is slow; much is held, and not all of it in memory."""
    task = ('[ {} = 0 ] && sleep 0.5; '
            'for i in $(seq 20000); do echo {} a line that fills a buffer; done')
    status, output, _ = case.run('map', '-j', '4', '--ordered', task, ':::', *'01234567')
    equal(status, 0)
    equal([line[0] for line in output.splitlines()], sorted('01234567' * 20000))


@test
def map_limits_and_goes_on(case):
    """-j 2: never three at once; a failure stops nothing, and is the status."""
    # The fourth ends when the second has been seen to: however late that is, it is the first.
    task = ('echo +; sleep 0.05; [ {} = 3 ] && echo $$ > three; [ {} = 4 ] && '
            'while [ ! -s three ] || kill -0 $(cat three) 2> /dev/null; do sleep 0.01; done; '
            'echo -; exit {}')
    status, output, _ = case.run('map', '-j', '2', task, ':::', '0', '3', '0', '4', '0')
    equal((status, output.count('+')), (3, 5))
    running = most = 0
    for sign in output.split():
        running += 1 if sign == '+' else -1
        most = max(most, running)
    equal(most, 2)


@test
def map_fails_fast(case):
    """--fail-fast: the first failure ends the others, and no more are started."""
    line = ('if [ {} = 1 ]; then until [ -e up ]; do sleep 0.02; done; exit 9; fi; '
            'echo {}; : > up; sleep 1000')
    status, output, _ = case.run('map', '--fail-fast', '-j', '2', line, ':::', '0', '1', '2')
    equal((status, output), (9, '0\n'))


@test
def map_reads_no_further_than_it_runs(case):
    """Standard input is read as there is room; an interrupt ends a map whose input goes on."""
    reader, writer = os.pipe()
    coop = case.start('map', '-j', '1', 'echo got', stdin=reader)
    os.close(reader)
    os.write(writer, b'one\n')
    coop.wait_for('got one')
    coop.signal(signal.SIGINT)
    equal(coop.end(), -signal.SIGINT)
    os.close(writer)
    case.check_left()


@test
def output_that_nobody_takes(case):
    """Who reads coop's output may have stopped to: two presses end the job all the same."""
    for mode in ('prefix', 'json', 'group'):
        reader, writer = os.pipe()
        coop = case.start('run', '--output', mode, f'echo up > {mode}; yes', stdout=writer)
        os.close(writer)
        coop.wait_file(mode)
        coop.signal(signal.SIGINT)
        coop.signal(signal.SIGINT)
        equal(coop.end(), -signal.SIGINT)
        os.close(reader)
    case.check_left()


@test
def memory_with_a_hundred_tasks(case):
    """100 tasks that write at once: guard and runtime stay under 8 MiB each at their peaks."""
    task = 'echo up; while ! [ -e go ]; do sleep 0.2; done'
    coop = case.start('run', '--output', 'prefix', *[task] * 100)
    until('all', lambda: coop.text.count('up') == 100)
    peaks = []
    for pid in (coop.pid, coop.runtime()):
        with open(f'/proc/{pid}/status', encoding='ascii') as f:
            peaks += [int(line.split()[1]) for line in f if line.startswith('VmHWM')]
    case.write('go', '')
    equal(coop.end(), 0)
    with open(case.coop, 'rb') as f:
        is_sanitized = b'__asan_init' in f.read()
    assert max(peaks) < 8192 or is_sanitized, peaks


if __name__ == '__main__':
    sys.exit(main())
