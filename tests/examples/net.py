#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""net.py BUILD [CONNECTIONS]: the servers in examples/, with clients that others wrote.

Each engine in turn: socat and nc talk to them, many connections are served at once, and a SIGTERM
in the middle leaves no request without its answer; the exit status is 0 then.  Prints TAP.
"""
import os
import resource
import select
import shutil
import signal
import socket
import subprocess
import sys
import time

LIMIT_S = 60
REQUEST = b'sixty-four bytes of a request, and no byte more, nor one less..\n'


class Missing(Exception):
    """A client that this machine does not have."""


def need(command):
    if not shutil.which(command):
        raise Missing(f'{command} is not installed')


class Server:
    """An example on an engine, at a free port."""

    def __init__(self, build, program, engine):
        self.child = subprocess.Popen(
            [os.path.join(build, 'examples', program), '127.0.0.1:0'], stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, env=dict(os.environ, COOP_IO=engine))
        words = self.child.stdout.readline().split()
        if not words:
            raise RuntimeError(self.child.communicate()[1].strip())
        host, port = words[-1].split(':')
        self.address = (host, int(port))

    def connect(self):
        return socket.create_connection(self.address, timeout=LIMIT_S)

    def stop(self):
        """Ends it by SIGTERM: its exit status, and what it had to say."""
        self.child.send_signal(signal.SIGTERM)
        try:
            errors = self.child.communicate(timeout=LIMIT_S)[1]
        except subprocess.TimeoutExpired:
            self.child.kill()
            return 'it does not end', self.child.communicate()[1]
        return self.child.returncode, errors


def receive(client, count):
    """So many bytes, or fewer where the other side ends."""
    data = b''
    while len(data) < count:
        part = client.recv(count - len(data))
        if not part:
            break
        data += part
    return data


def check_stop(server):
    status, errors = server.stop()
    assert status == 0, f'exit status {status}: {errors}'


def client_echo(build, engine, *command):
    """A program sends many lines, ends its side, and prints what comes back."""
    need(command[0])
    server = Server(build, 'echo', engine)
    host, port = server.address
    words = [word.format(host=host, port=port) for word in command]
    text = ''.join(f'line {n}\n' for n in range(2000))
    done = subprocess.run(words, input=text, stdout=subprocess.PIPE, text=True, timeout=LIMIT_S)
    assert done.stdout == text, f'{len(done.stdout)} bytes of {len(text)} came back'
    check_stop(server)


def echo_socat(build, engine, _connections):
    client_echo(build, engine, 'socat', '-t', str(LIMIT_S), '-', 'TCP:{host}:{port}')


def echo_nc(build, engine, _connections):
    client_echo(build, engine, 'nc', '-N', '{host}', '{port}')


def echo_sigterm(build, engine, connections):
    """Every connection has a request on its way when the signal comes."""
    server = Server(build, 'echo', engine)
    clients = [server.connect() for _ in range(connections)]
    for _ in range(3):
        for client in clients:
            client.sendall(REQUEST)
        for client in clients:
            assert receive(client, len(REQUEST)) == REQUEST, 'not what was sent'
    for client in clients:
        client.sendall(REQUEST)
    server.child.send_signal(signal.SIGTERM)
    answered = sum(receive(client, len(REQUEST)) == REQUEST for client in clients)
    assert answered == connections, f'{answered} of {connections} were answered'
    for client in clients:
        assert client.recv(1) == b'', 'more than was sent'
        client.close()
    errors = server.child.communicate(timeout=LIMIT_S)[1]
    assert server.child.returncode == 0, f'exit status {server.child.returncode}: {errors}'


def echo_idle(build, engine, _connections):
    """Connections that say nothing hold up no end."""
    server = Server(build, 'echo', engine)
    clients = [server.connect() for _ in range(20)]
    for client in clients[:10]:
        client.sendall(b'x')
        assert receive(client, 1) == b'x'
    check_stop(server)
    for client in clients:
        assert client.recv(1) == b''
        client.close()


def chat(build, engine, _connections):
    """Lines go to all others, in order; one of them is socat."""
    need('socat')
    server = Server(build, 'chat', engine)
    host, port = server.address
    guest = subprocess.Popen(['socat', '-', f'TCP:{host}:{port}'], stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE)
    clients = [server.connect() for _ in range(3)]
    end = time.monotonic() + LIMIT_S
    # Until all are in: a line is repeated until it has been heard.
    for hearer in [guest.stdout.fileno()] + [client.fileno() for client in clients[1:]]:
        while not select.select([hearer], [], [], 0.05)[0]:
            assert time.monotonic() < end, 'nobody hears'
            clients[0].sendall(b'hello\n')
    clients[0].sendall(b'half a ')
    clients[0].sendall(b'line\n')
    lines = guest.stdout
    while (line := lines.readline()) == b'hello\n':
        pass
    assert line == b'half a line\n', line
    guest.stdin.write(b'from socat\n')
    guest.stdin.flush()
    for client in clients:
        heard = b''
        while not heard.endswith(b'from socat\n'):
            part = client.recv(1000)
            assert part, f'the end after {heard}'
            heard += part
    check_stop(server)
    assert guest.wait(timeout=LIMIT_S) == 0
    for client in clients:
        client.close()


TESTS = [echo_socat, echo_nc, echo_sigterm, echo_idle, chat]


def main():
    if len(sys.argv) < 2 or sys.argv[1].startswith('-'):
        print(__doc__)
        return 2
    build = sys.argv[1]
    connections = int(sys.argv[2]) if len(sys.argv) > 2 else 300
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    number = failed = 0
    for engine in ('epoll', 'uring'):
        for test in TESTS:
            number += 1
            name = f'{test.__name__}_{engine}'
            try:
                test(build, engine, connections)
                print(f'ok {number} - {name}', flush=True)
            except Missing as problem:
                print(f'ok {number} - {name} # SKIP {problem}', flush=True)
            except RuntimeError as problem:
                skip = engine == 'uring' and 'no io_uring' in str(problem).lower()
                failed += not skip
                print(f'{"ok" if skip else "not ok"} {number} - {name}'
                      f'{" # SKIP" if skip else ""} {problem}', flush=True)
            except (AssertionError, OSError, subprocess.SubprocessError) as problem:
                failed += 1
                print(f'not ok {number} - {name}\n# {problem}', flush=True)
    print(f'1..{number}')
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
