#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Probes: when a task is ready, and what happens if it is not."""
import http.server
import os
import re
import socket
import sys
import threading

from kit import equal, main, test

PY = sys.executable
# A server that listens after a while; what is printed in between comes from nowhere.
TCP = ('import socket,time,sys; time.sleep(0.3); s=socket.socket(); '
       's.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); '
       's.bind(("127.0.0.1", {port})); s.listen(); open("up","w"); time.sleep(1000)')
UNIX = ('import socket,time; time.sleep(0.3); s=socket.socket(socket.AF_UNIX); s.bind("sock"); '
        's.listen(); open("up","w"); time.sleep(1000)')
HTTP = '''
import http.server, time
class H(http.server.BaseHTTPRequestHandler):
    count = 0
    def do_GET(self):
        H.count += 1
        good = H.count > 2 and self.path == "/health"
        if good: open("up", "w")
        self.send_response(204 if good else 503); self.end_headers()
    def log_message(self, *a): pass
http.server.HTTPServer(("127.0.0.1", {port}), H).serve_forever()
'''


def free_port():
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


def probe(case, ready, command, *more, wanted=0):
    """The second task starts when the first is ready, and sees what that one did before."""
    status, output, errors = case.run(
        'run', '--name', 'server', '--ready', ready, *more, '--service', command,
        '--name', 'user', '--after', 'server:ready', '[ -e up ] && echo saw it')
    equal(status, wanted, output + errors)
    if not wanted:
        assert 'saw it' in output and 'ready' in errors, output + errors
    return errors


@test
def by_tcp(case):
    """A connection is accepted."""
    port = free_port()
    probe(case, f'tcp:{port}', f"{PY} -c '{TCP.format(port=port)}'")


@test
def by_unix(case):
    """A connection to a socket in the file system is accepted."""
    probe(case, 'unix:sock', f"{PY} -c '{UNIX}'")


@test
def by_http(case):
    """A GET is answered with 200 to 399; 503 is not ready."""
    port = free_port()
    case.write('server.py', HTTP.format(port=port))
    probe(case, f'http://127.0.0.1:{port}/health', f'{PY} server.py')


@test
def by_log(case):
    """A line of its output matches, also one that comes in pieces."""
    probe(case, 'log:^now .*ready', 'echo not yet ready; sleep 0.2; touch up; '
          'printf "now it is "; sleep 0.1; echo ready; sleep 1000')


@test
def by_file(case):
    """A file is there."""
    probe(case, 'file:up', 'sleep 0.3; touch up; sleep 1000')


@test
def by_command(case):
    """A command ends with 0."""
    probe(case, 'cmd:test -e up', 'sleep 0.3; touch up; sleep 1000')


@test
def by_descriptor(case):
    """A newline on a descriptor, as s6 has it."""
    probe(case, 'fd:3', 'sleep 0.2; touch up; echo >&3; sleep 1000')


@test
def by_notify(case):
    """READY=1 to $NOTIFY_SOCKET; another message is none."""
    case.write('notify.py', '''
import os, socket, time
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
path = os.environ["NOTIFY_SOCKET"]
path = "\\0" + path[1:] if path[0] == "@" else path
s.sendto(b"STATUS=READY=1", path)
time.sleep(0.2)
open("up", "w")
s.sendto(b"STATUS=x\\nREADY=1\\n", path)
time.sleep(1000)
''')
    probe(case, 'notify', f'{PY} notify.py')


@test
def notify_goes_on(case):
    """Who is ready may go on talking: a barrier is answered, and no message waits for a reader."""
    case.write('notify.py', '''
import array, os, socket
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
path = os.environ["NOTIFY_SOCKET"]
s.connect("\\0" + path[1:] if path[0] == "@" else path)
s.send(b"READY=1")
for i in range(3000):
    s.send(b"WATCHDOG=1")
ours, theirs = os.pipe()
s.sendmsg([b"BARRIER=1"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [theirs]))])
os.close(theirs)
assert os.read(ours, 1) == b""
print("through", flush=True)
''')
    status, output, errors = case.run('run', '--ready', 'notify', f'{PY} notify.py', 'true')
    equal(status, 0, errors)
    assert 'through' in output and 'ready' in errors, output + errors


@test
def too_late(case):
    """Not ready within the limit: stopped, 124, and who waits never starts."""
    status, output, errors = case.run(
        'run', '--name', 'server', '--ready', 'file:up', '--ready-timeout', '200ms', 'sleep 1000',
        '--after', 'server:ready', 'echo never')
    equal(status, 124, errors)
    assert 'not ready within 200ms (file:up' in errors and 'never' not in output, output + errors


class Refusing(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(503)
        self.end_headers()

    def log_message(self, *args):
        pass


@test
def who_is_asked_says_why_not(case):
    """Of a probe that asks, the last answer stands behind the limit."""
    server = http.server.HTTPServer(('127.0.0.1', 0), Refusing)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    port = server.server_address[1]
    for ready, command, why in (
            (f'tcp:{free_port()}', 'sleep 1000', 'Connection refused'),
            ('unix:none', 'sleep 1000', 'No such file or directory'),
            ('file:none', 'sleep 1000', 'No such file or directory'),
            ('cmd:exit 7', 'sleep 1000', 'exit 7'),
            ('cmd:no-such-program', 'sleep 1000', 'exit 127'),
            (f'http:127.0.0.1:{port}/health', 'sleep 1000', 'answered with 503')):
        status, _, errors = case.run('run', '--name', 'server', '--ready', ready,
                                     '--ready-timeout', '1500ms', command, 'sleep 1000')
        equal(status, 124, errors)
        assert f'✗ not ready within 1.5s ({ready}: {why})' in errors, (ready, errors)
    server.shutdown()
    server.server_close()


@test
def hosts_that_are_none(case):
    """Of a name that leads nowhere it is said, and not of a file; with or without name servers."""
    _, _, errors = case.run('run', '--name', 'a', '--ready', 'tcp:no-such-host.invalid:1',
                            '--ready-timeout', '500ms', 'sleep 1000')
    assert re.search(r'\(tcp:no-such-host.invalid:1(: no such host|: no name server answers|'
                     r': no answer|)\)', errors), errors


@test
def command_has_what_its_task_has(case):
    """The command of a probe runs in the folder of its task, with its variables."""
    os.mkdir(case.path('inside'))
    probe(case, 'cmd:[ "$WORD-$COOP_TASK" = said-server ] && [ -e here ] && [ -e ../up ]',
          'touch here; sleep 0.2; touch ../up; sleep 1000', '--cwd', 'inside', '--env', 'WORD=said')


@test
def ends_too_early(case):
    """One that ends well and was never ready has failed: nobody is left out in silence."""
    for ready in ('log:up', 'file:none', 'fd:3', 'notify', f'tcp:{free_port()}', 'cmd:false'):
        status, output, errors = case.run(
            'run', '--name', 'server', '--ready', ready, 'exit 0',
            '--name', 'user', '--after', 'server', 'echo never')
        equal((status, output), (1, ''), errors)
        assert re.search(r'server ✗ exit 0 after \S+ \(before it was ready\)', errors), errors
    status, _, errors = case.run('run', '--ready', 'log:up', '--retry', '1', '--backoff', '1ms',
                                 'echo $COOP_ATTEMPT; [ $COOP_ATTEMPT = 1 ] || echo up', 'true')
    equal(status, 0, errors)


@test
def ready_at_its_end(case):
    """What it did last counts, though it has ended before anybody could see that."""
    for ready, command in (('log:up', 'echo up'), ('file:out', 'touch out'),
                           ('fd:3', 'echo >&3'), ('cmd:test -e out', 'touch out')):
        status, output, errors = case.run(
            'run', '--name', 'maker', '--ready', ready, command,
            '--name', 'user', '--after', 'maker:ready', 'echo seen')
        equal(status, 0, errors)
        assert 'user  │ seen\n' in output, output + errors


@test
def ends_before_it_is_ready(case):
    """Who waits is not started."""
    status, output, errors = case.run(
        'run', '-k', '--name', 'server', '--ready', 'file:up', 'exit 3',
        '--name', 'user', '--after', 'server:ready', 'echo never')
    equal(status, 3, errors)
    assert 'server was never ready' in errors and not output, output + errors


if __name__ == '__main__':
    sys.exit(main())
