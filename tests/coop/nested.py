#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A coop in a task of another one is a subtree there, and nothing that it says is trusted."""
import fcntl
import json
import os
import re
import signal
import socket
import subprocess
import sys

from kit import alive, children, equal, main, test, until

TTY = {'TERM': 'xterm'}
WAIT = 'until [ -e go ]; do sleep 0.01; done'
LEAF = f'"$COOP" run --name leaf "touch leaf-up; {WAIT}; exit 3" --name other "sleep 1000"'
MID = f'"$COOP" run --name mid \'{LEAF}\' --name side --group g/h "sleep 1000"'
DEEP = ['--name', 'outer', MID]

# What a task can send that is no coop: PROGRAM, with `say` for events, `heard` to wait until they
# were read, and `s` for the socket.
HOSTILE = '''
import array, fcntl, json, os, socket, sys, termios, time
s = socket.socket(fileno=int(os.environ['COOP_EVENTS_FD']))
s.setblocking(True)
def raw(data, *more):
    s.sendmsg([data], *more)
def say(**event):
    raw(json.dumps(dict({'event': 'started', 'attempt': 1, 'pid': 1}, **event)).encode())
def heard():
    while int.from_bytes(fcntl.ioctl(s, termios.TIOCOUTQ, bytes(4)), sys.byteorder):
        time.sleep(0.001)
def up():
    open('up', 'w').write('up')
    while not os.path.exists('go'):
        time.sleep(0.01)
'''


def hostile(case, program):
    """The words of a task that runs this."""
    case.write('hostile.py', HOSTILE + program)
    return f'exec {sys.executable} hostile.py'


def events(case, name):
    return [json.loads(line) for line in case.content(name).splitlines()]


def tree(case):
    child = subprocess.run([case.coop, 'tree'], env=case.environ, stdin=subprocess.DEVNULL,
                           stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, encoding='utf-8',
                           check=False)
    return child.stdout


def names(output):
    """[(depth, name)] of a tree's lines."""
    return [((len(line) - len(line.lstrip())) // 2, line.split()[0])
            for line in output.splitlines()]


@test
def three_levels_in_the_tree(case):
    """tree has each coop's tasks below the task it runs in; so has SIGQUIT; ps has whole names."""
    coop = case.start('run', *DEEP)
    until('the leaf', lambda: os.path.exists(case.path('leaf-up')))
    until('the whole tree', lambda: 'leaf' in tree(case) and 'side' in tree(case))
    wanted = [(0, 'run'), (1, 'outer'), (2, 'mid'), (3, 'leaf'), (3, 'other'), (2, 'g/h/side')]
    equal(sorted(names(tree(case))), sorted(wanted))
    equal(names(tree(case))[:4], wanted[:4])
    listed = {line.split()[0]: line.split()[1] for line in case.run2('ps')[1].splitlines()}
    assert listed['outer/mid/leaf'] in ('running', 'ready'), listed
    coop.signal(signal.SIGQUIT)
    coop.wait_for('coop:       leaf ')
    shown = [line[6:] for line in coop.text.splitlines() if line.startswith('coop: ')]
    equal(sorted(names('\n'.join(shown))), sorted(wanted), coop.text)
    case.write('go', '')
    equal(coop.end(), 3)
    case.check_left()


@test
def error_tree(case):
    """At the end the subtree says who failed, at any depth, in place of the inner's last lines."""
    coop = case.start('run', *DEEP, '--name', 'well', 'true')
    until('the leaf', lambda: os.path.exists(case.path('leaf-up')))
    case.write('go', '')
    equal(coop.end(), 3)
    report = coop.errors.decode().split('\nfailed: ')[-1]
    for pattern in (r'^   └─ ✗ outer +exit 3 after .*first failure',
                    r'^    +├─ ✗ mid  exit 3 after \d',
                    r'^    +│  ├─ ✗ leaf  exit 3 after \d',
                    r'^    +│  └─ ⊘ other  cancelled after \S+: leaf: exit 3',
                    r'^    +└─ ⊘ g/h/side  cancelled after'):
        assert re.search(pattern, report, re.M), (pattern, report)
    assert '│ no process' not in report, report
    case.check_left()


@test
def events_have_paths(case):
    """JSON: nested tasks are named outer/inner; the end of an inner job is not that of ours."""
    coop = case.start('run', '--events', 'log', '--report', 'json', *DEEP)
    until('the leaf', lambda: os.path.exists(case.path('leaf-up')))
    case.write('go', '')
    equal(coop.end(), 3)
    seen = events(case, 'log')
    equal([e['event'] for e in seen if e.get('task') == 'outer/mid/leaf'], ['started', 'ended'])
    ended = {e['task']: e for e in seen if e['event'] == 'ended'}
    equal((ended['outer/mid/leaf']['code'], ended['outer/mid/leaf']['outcome']), (3, 'failed'))
    equal(ended['outer/g/h/side']['why'], 'mid: exit 3')
    equal([e['event'] for e in seen].count('finished'), 1)
    order = [e['task'] for e in seen if e['event'] == 'ended']
    assert order.index('outer/mid/leaf') < order.index('outer/mid') < order.index('outer'), order
    report = json.loads(coop.errors.decode().splitlines()[-1])
    nested = {t['task']: t['outcome'] for t in report['tasks'][0]['nested']}
    equal((nested['mid/leaf'], nested['g/h/side']), ('failed', 'cancelled'))


@test
def screen_json_has_them(case):
    """--output json has nested events too; what the inner prints is output of the task."""
    _, output, _ = case.run('run', '--output', 'json', '--name', 'o',
                            '"$COOP" run --name i "echo x"')
    seen = [json.loads(line) for line in output.splitlines()]
    assert any(e['event'] == 'ended' and e['task'] == 'o/i' for e in seen), seen
    assert any(e['event'] == 'output' and e['task'] == 'o' and e['line'] == 'x' for e in seen), seen


@test
def short_ones_are_seen(case):
    """An inner coop that is gone at once was heard nevertheless, each of them."""
    inner = ';'.join(f'"$COOP" run --name n{i} true' for i in range(20))
    status, _, _ = case.run('run', '--events', 'log', '--name', 'o', inner)
    equal(status, 0)
    equal([e['task'] for e in events(case, 'log') if e['event'] == 'ended'],
          [f'o/n{i}' for i in range(20)] + ['o'])


@test
def one_footer(case):
    """On a terminal the inner has no footer; the outer's names the tasks that run in it."""
    coop = case.start('run', '--name', 'o',
                      f'"$COOP" run --name first "touch up; {WAIT}" --name second "{WAIT}"',
                      '--name', 'p', WAIT, tty=True, env=TTY)
    coop.wait_for('(first, second)')
    case.write('go', '')
    equal(coop.end(), 0)
    lines = re.sub('\033\\[[0-9;]*m', '', coop.text).replace('\r', '\n').split('\n')
    inner = [line for line in lines if line.startswith('o ')]
    assert inner and not any('running' in line for line in inner), inner


@test
def killed_inner_is_lost(case):
    """kill -9 of the inner's runtime, and of its guard: what ran in it is marked as lost."""
    for who in ('runtime', 'guard'):
        for name in ('up', 'gone', 'go'):
            if os.path.exists(case.path(name)):
                os.remove(case.path(name))
        coop = case.start('run', '--events', 'log', '--name', 'o',
                          '"$COOP" run --name in "touch up; exec sleep 1000" & '
                          f'echo $! >guard; wait; touch gone; {WAIT}')
        until('the inner', lambda: os.path.exists(case.path('up')))
        guard = int(case.content('guard'))
        until('the subtree', lambda: '  in ' in tree(case))
        if who == 'runtime':
            os.kill(children(guard)[0], signal.SIGKILL)
        else:
            os.kill(guard, signal.SIGKILL)
        until('its end', lambda: os.path.exists(case.path('gone')))
        mark = r'^    in +ended .*(lost: its coop|cancelled)'
        until('the mark', lambda: re.search(mark, tree(case), re.M))
        case.write('go', '')
        equal(coop.end(), 0)
        ends = [e for e in events(case, 'log') if e['event'] == 'ended' and e['task'] == 'o/in']
        equal(len(ends), 1)
        if who == 'runtime':
            equal(ends[0]['outcome'], 'lost')
        case.check_left()


@test
def lost_with_its_task(case):
    """What has not been told when its task ends is lost, and the report says so."""
    command = hostile(case, "say(task='in')\nheard()\nsys.exit(5)\n")
    status, _, errors = case.run('run', '--events', 'log', '--name', 'o', command, 'sleep 1000')
    equal(status, 5)
    ended = [e['task'] for e in events(case, 'log') if e['event'] == 'ended']
    equal(ended[:2], ['o/in', 'o'])
    assert re.search('\u2298 in  lost after .*: its coop has gone', errors), errors


@test
def each_attempt_begins_anew(case):
    """What ran in an attempt that has failed is not below the next one."""
    coop = case.start('run', '--name', 'o', '--retry', '1', '--backoff', '1ms',
                      'if [ $COOP_ATTEMPT = 1 ]; then "$COOP" run --name first false; '
                      f'else "$COOP" run --name second "{WAIT}"; fi', WAIT)
    until('the second', lambda: '  second ' in tree(case))
    assert '  first ' not in tree(case), tree(case)
    case.write('go', '')
    equal(coop.end(), 0)


@test
def descriptors_are_given_back(case):
    """After a nested coop its descriptors are free for others: attempt after attempt ends."""
    inner = '"$COOP" run --name in "echo said; exit 1"; echo after; exit 1'
    status, output, errors = case.run(
        'run', '--events', 'log', '--all', '--retry', '30', '--backoff', '1ms', '-k',
        '--name', 'a', inner, '--name', 'b', inner)
    equal((status, output.count('said'), output.count('after')), (1, 62, 62), errors)
    ended = [e['task'] for e in events(case, 'log') if e['event'] == 'ended']
    equal(sorted(ended), sorted(['a/in'] * 31 + ['b/in'] * 31 + ['a', 'b']))


@test
def a_stale_variable_is_ignored(case):
    """COOP_EVENTS_FD that names nothing, a file, a socket of others: no word goes there."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    case.write('file', '')
    with open(case.path('file'), 'r+b') as file, ours, theirs:
        for value in ('999', str(file.fileno()), str(theirs.fileno()), '1', '0', '-1', '', 'x',
                      '20x', '99999999999999999999'):
            child = subprocess.run(
                [case.coop, 'run', '--name', 't', 'echo fd $COOP_EVENTS_FD', 'true'],
                env=dict(case.environ, COOP_EVENTS_FD=value), cwd=case.folder, check=False,
                pass_fds=(file.fileno(), theirs.fileno()), stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            equal((child.returncode, child.stderr.count(b'\n')), (0, 2), child.stderr)
            assert re.fullmatch(rb't    .* fd \d+\n', child.stdout), child.stdout
        ours.setblocking(False)
        try:
            assert not ours.recv(100), 'it was written to'
        except BlockingIOError:
            pass
        equal(case.content('file'), '')


@test
def inner_tasks_have_the_inner_socket(case):
    """What the inner starts has the inner's descriptor, and the outer's no more."""
    show = 'readlink /proc/self/fd/$COOP_EVENTS_FD; ls -l /proc/self/fd | grep -c socket:'
    status, output, errors = case.run('exec', '--', 'sh', '-c',
                                      f"{show}; exec \"$COOP\" exec -- sh -c '{show}'")
    equal(status, 0, errors)
    outer, count, inner, inner_count = output.split()
    assert outer != inner and outer.startswith('socket:') and inner.startswith('socket:'), output
    equal((count, inner_count), ('1', '1'))


@test
def hostile_datagrams(case):
    """Nonsense of every kind is dropped; what is left of names and texts is only text."""
    program = '''
for data in (b'', b'x', b'{', b'{}', b'null', b'[1]', b'{"event":"started"}', b'\\0' * 100,
             b'{"event":"started","task":""}', b'{"event":"exploded","task":"bad1"}',
             b'{"event":"started","task":{"a":1}}', b'{"event":"started","task":"bad2"',
             b'{"event":"started","task":"bad3"}x', b'{"event":"started","task":"bad4\\\\u12"}',
             b'{"event":"started","task":"bad5","pid":1e999}', b'{"event":5,"task":"bad6"}',
             b'{"event":"started","task":"bad7' + b'x' * 300 + b'"}',
             b'{"event":"started","task":"bad8","why":"' + b'x' * 9000 + b'"}', b'x' * 100000):
    raw(data)
for i in range(50):
    raw(b'{"event":"started","task":"fds"}',
        [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', [0, 1, 2, 0, 1, 2]))])
say(task='\\033[2Jevil\\n\\u202e\\0', pid=-5, attempt=-1)
say(task='other', event='ended', code=2**40, text='\\007' * 5000)
say(task='bad9', pid=2**70)
say(task='a/../b', group='/', pid=2**40)
up()
'''
    coop = case.start('run', '--name', 'h', '--ready', 'file:up', hostile(case, program), '--name',
                      'calm', '--after', 'h', WAIT)
    coop.wait_file('up')
    before = len(os.listdir(f'/proc/{coop.runtime()}/fd'))
    output = until('all of it', lambda: 'a/../b' in tree(case) and tree(case))
    assert 'bad' not in output and 'fds' in output, output
    assert '\033' not in output and '\007' not in output and '\u202e' not in output, output
    assert '?[2Jevil???' in output and ' 2147483647 ' in output, output
    assert before < 30, before  # descriptors that were sent are closed
    equal([depth for depth, name in names(output) if name == 'calm'], [1], output)
    case.write('go', '')
    equal(coop.end(), 0)
    assert coop.errors.count(b'evil') == 0, coop.errors


@test
def of_another_task_nobody_can_speak(case):
    """What a task says is below that task; one that is no child of any is not heard."""
    program = '''
if os.fork() == 0:
    os.setsid()
    if os.fork():
        os._exit(0)
    while os.getppid() != int(os.environ['RUNTIME']):
        time.sleep(0.01)
    say(task='stray')
    open('sent', 'w').write('sent')
    time.sleep(1000)
while not os.path.exists('sent'):
    time.sleep(0.01)
say(task='mine')
up()
'''
    command = 'RUNTIME=$PPID; export RUNTIME; ' + hostile(case, program)
    coop = case.start('run', '--name', 'a', command, '--name', 'b', WAIT)
    until('it', lambda: 'mine' in tree(case))
    assert names(tree(case)) in ([(0, 'run'), (1, 'a'), (2, 'mine'), (1, 'b')],), tree(case)
    case.write('go', '')
    equal(coop.end(), 0)


@test
def there_are_bounds(case):
    """Of a task a hundred are kept, what went well goes first; the rest is counted, and told."""
    program = '''
for i in range(90):
    say(task=f'well{i}')
    say(task=f'well{i}', event='ended', outcome='ok', code=0)
for i in range(150):
    say(task=f'run{i}')
for i in range(150):
    say(task=f'run{i}', event='ready')
say(task='last')
up()
'''
    coop = case.start('run', '--events', 'log', '--name', 'h', hostile(case, program), 'true')
    coop.wait_file('up')
    output = until('the count', lambda: '(51 more)' in tree(case) and tree(case))
    equal(len(re.findall(r'^    run\d+ ', output, re.M)), 100)
    assert 'well' not in output, output
    case.write('go', '')
    equal(coop.end(), 0)
    assert 'h/last' in [e.get('task') for e in events(case, 'log')], coop.text


@test
def events_wait_for_who_reads_them(case):
    """Where nobody reads the output a flood is held back, so that it fills no memory."""
    program = '''
s.settimeout(1)
try:
    while True:
        say(task='one')
        say(task='one', event='ended', outcome='ok', code=0)
except TimeoutError:
    up()
'''
    reader = f'{WAIT}; exec cat > out'
    case.write('task', hostile(case, program))
    coop = case.start('-c', f'"$COOP" run --output json --name h "$(cat task)" | ({reader})',
                      program='sh')
    coop.wait_file('up')
    case.write('go', '')
    equal(coop.end(), 0)
    assert any(e.get('task') == 'h/one' for e in events(case, 'out'))


@test
def a_flood_keeps_nobody_waiting(case):
    """While one task sends without end, the coop answers, the others run, and all is stopped."""
    program = '''
open('up', 'w').write('up')
while True:
    say(task='flood')
'''
    coop = case.start('run', '--name', 'h', hostile(case, program), '--name', 'b',
                      '"$COOP" run --name calm "touch calm-up; exec sleep 1000"')
    coop.wait_file('up')
    until('the other one', lambda: 'calm' in tree(case))
    for _ in range(5):
        until('an answer', lambda: 'flood' in tree(case))
    coop.signal(signal.SIGTERM)
    equal(coop.end(), -signal.SIGTERM)
    case.check_left()


@test
def a_socket_that_was_shut_down(case):
    """A task that shuts it down for all ends the subtrees, and nothing else."""
    program = '''
say(task='before')
s.shutdown(socket.SHUT_RDWR)
up()
'''
    coop = case.start('run', '--name', 'h', hostile(case, program), '--name', 'b',
                      'until [ -e up ]; do sleep 0.01; done; "$COOP" run --name in "echo fine"')
    coop.wait_for('fine')
    ticks = [sum(map(int, open(f'/proc/{coop.runtime()}/stat', encoding='ascii').read()
                     .rpartition(') ')[2].split()[11:13]))]
    assert ticks[0] < 200, ticks  # of 10 ms: it does not go round and round
    case.write('go', '')
    equal(coop.end(), 0)


@test
def who_holds_it_keeps_nobody_waiting(case):
    """A descendant that got away with the descriptor does not delay the end."""
    inner = '"$COOP" run --name in \'setsid sleep 1000 & echo $! >pid\''
    status, _, errors = case.run('run', inner, 'true')
    equal(status, 0, errors)
    until('its end', lambda: not alive(int(case.content('pid') or 0)))


@test
def a_number_that_is_taken(case):
    """--ready fd:N of the same number goes before; a limit without room for it is no failure."""
    status, output, _ = case.run('exec', '--', 'sh', '-c', 'echo $COOP_EVENTS_FD')
    equal(status, 0)
    number = output.strip()
    status, output, errors = case.run('run', '--ready', f'fd:{number}',
                                      f'echo -$COOP_EVENTS_FD-; echo >/proc/self/fd/{number}',
                                      'true')
    assert status == 0 and '--' in output, (output, errors)
    script = f'ulimit -Sn {number}; exec "$COOP" run \'echo -$COOP_EVENTS_FD-\''
    child = subprocess.run(['sh', '-c', script],
                           env=case.environ, stdout=subprocess.PIPE, check=False)
    equal((child.returncode, child.stdout), (0, b'--\n'))


if __name__ == '__main__':
    sys.exit(main())
