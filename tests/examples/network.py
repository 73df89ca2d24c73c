#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""network.py BUILD: the example programs that talk, with peers that are not ours.

proxy and crawl, against servers and clients of Python's own, and curl, socat and nc where they are.
Prints TAP, and writes the rules that were shown to COOP_PROVES_FILE.
"""
import http.server
import os
import shutil
import signal
import socket
import socketserver
import subprocess
import sys
import threading

LIMIT_S = 30
BIG = bytes(range(256)) * 4096 * 4  # 4 MiB


class Failed(Exception):
    pass


def must(condition, text):
    if not condition:
        raise Failed(text)


def serve(handler, server=socketserver.ThreadingTCPServer):
    """A server of this process at a free port of the loopback."""
    server.daemon_threads = True
    server.request_queue_size = 128
    s = server(('127.0.0.1', 0), handler)
    threading.Thread(target=s.serve_forever, daemon=True).start()
    return s


class Answers(socketserver.BaseRequestHandler):
    """Reads until the end, and only then answers: the length and all of it."""

    def handle(self):
        data = b''
        while True:
            part = self.request.recv(65536)
            if not part:
                break
            data += part
        self.request.sendall(b'%d:' % len(data) + data)


class Proxy:
    def __init__(self, build, target):
        self.process = subprocess.Popen(
            [os.path.join(build, 'examples', 'proxy'), '127.0.0.1:0', target],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        must(line.startswith('listening at 127.0.0.1:'), f'the proxy said {line!r}')
        self.port = int(line.rsplit(':', 1)[1])

    def connect(self):
        return socket.create_connection(('127.0.0.1', self.port), timeout=LIMIT_S)

    def stop(self):
        """By SIGTERM; the exit status and what it said."""
        self.process.send_signal(signal.SIGTERM)
        errors = self.process.communicate(timeout=LIMIT_S)[1]
        return self.process.returncode, errors


def receive_all(s):
    data = b''
    while True:
        part = s.recv(65536)
        if not part:
            return data
        data += part


def proxy_half_close(build):
    """The client ends its side; the answer that comes then is whole, large ones too."""
    with serve(Answers) as target:
        proxy = Proxy(build, '127.0.0.1:%d' % target.server_address[1])
        for data in (b'', b'question', BIG):
            with proxy.connect() as s:
                s.sendall(data)
                s.shutdown(socket.SHUT_WR)
                must(receive_all(s) == b'%d:' % len(data) + data, f'{len(data)} bytes')
        status, errors = proxy.stop()
        must(status == -signal.SIGTERM, f'status {status}: {errors}')


def proxy_many(build):
    """Connections at once, one of which says nothing, do not disturb each other."""
    with serve(Answers) as target:
        proxy = Proxy(build, '127.0.0.1:%d' % target.server_address[1])
        idle = proxy.connect()
        sockets = [proxy.connect() for _ in range(50)]
        for number, s in enumerate(sockets):
            s.sendall(b'%d' % number * 1000)
        for s in sockets:
            s.shutdown(socket.SHUT_WR)
        for number, s in enumerate(sockets):
            data = b'%d' % number * 1000
            answer = receive_all(s)
            must(answer == b'%d:' % len(data) + data, f'connection {number}: {answer[:99]}')
            s.close()
        idle.close()
        proxy.stop()


def proxy_without_target(build):
    """Nobody at the target: the client's connection ends, and the proxy goes on."""
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        port = s.getsockname()[1]
    proxy = Proxy(build, f'127.0.0.1:{port}')
    for _ in range(3):
        with proxy.connect() as s:
            must(s.recv(1) == b'', 'bytes out of nowhere')
    must(proxy.process.poll() is None, 'the proxy has ended')
    status, errors = proxy.stop()
    must(status == -signal.SIGTERM, f'status {status}: {errors}')


def proxy_reset(build):
    """A client that resets its connection ends that one alone."""
    with serve(Answers) as target:
        proxy = Proxy(build, '127.0.0.1:%d' % target.server_address[1])
        for _ in range(5):
            s = proxy.connect()
            s.sendall(b'x')
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b'\1\0\0\0\0\0\0\0')
            s.close()
        with proxy.connect() as s:
            s.sendall(b'still')
            s.shutdown(socket.SHUT_WR)
            must(receive_all(s) == b'5:still', 'the next connection')
        proxy.stop()


class Cuts(socketserver.BaseRequestHandler):
    """Says a part and resets the connection."""

    def handle(self):
        self.request.recv(1)
        self.request.sendall(b'a part')
        self.request.recv(1)
        self.request.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b'\1\0\0\0\0\0\0\0')
        self.request.close()


def proxy_cut(build):
    """An answer that is cut off is no whole one to the client either: its connection is reset."""
    with serve(Cuts) as target:
        proxy = Proxy(build, '127.0.0.1:%d' % target.server_address[1])
        with proxy.connect() as s:
            s.sendall(b'?')
            must(s.recv(100) == b'a part', 'the part')
            s.sendall(b'?')
            try:
                must(False, f'an end: {s.recv(100)!r}')
            except ConnectionResetError:
                pass
        proxy.stop()


class Pages(http.server.BaseHTTPRequestHandler):
    """Fails the first time for /flaky, never has /missing."""
    running = peak = 0
    flaky = set()
    lock = threading.Lock()

    def do_GET(self):
        cls = type(self)
        with cls.lock:
            cls.running += 1
            cls.peak = max(cls.peak, cls.running)
            fails = self.path.startswith('/flaky') and self.path not in cls.flaky
            cls.flaky.add(self.path)
        if fails:
            self.close_connection = True
        elif self.path == '/missing':
            self.send_error(404)
        else:
            body = self.path.encode() * 1000
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)
        with cls.lock:
            cls.running -= 1

    def log_message(self, *_):
        pass


def crawl(build, *args):
    return subprocess.run([os.path.join(build, 'examples', 'crawl'), *args], timeout=LIMIT_S,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)


def crawl_pages(build):
    """All pages, a few at a time; what fails once is tried again."""
    with serve(Pages, http.server.ThreadingHTTPServer) as server:
        base = 'http://127.0.0.1:%d' % server.server_address[1]
        urls = [f'{base}/page{n}' for n in range(20)] + [f'{base}/flaky{n}' for n in range(3)]
        done = crawl(build, '-j', '3', *urls)
        must(done.returncode == 0, f'status {done.returncode}: {done.stderr}')
        must(len(done.stdout.splitlines()) == 23, done.stdout)
        for url in urls:
            size = len(url[len(base):]) * 1000
            must(f'{size:8} {url}\n' in done.stdout, f'{url} is missing: {done.stdout}')
        must('23 of 23 pages, 0 failed, 3 retries' in done.stderr, done.stderr)
        must(1 <= Pages.peak <= 3, f'{Pages.peak} at once')


def crawl_fails(build):
    """What cannot be had is told, beside what can."""
    with serve(Pages, http.server.ThreadingHTTPServer) as server:
        base = 'http://127.0.0.1:%d' % server.server_address[1]
        done = crawl(build, f'{base}/missing', f'{base}/page', 'ftp://nowhere/x')
        must(done.returncode == 1, f'status {done.returncode}: {done.stderr}')
        must(f'{base}/page' in done.stdout, done.stdout)
        must('404' in done.stderr and 'ftp://nowhere/x' in done.stderr, done.stderr)


def with_curl(build):
    """curl, through the proxy, of a page and of many at once over several connections."""
    if not shutil.which('curl'):
        return 'curl is not installed'
    with serve(Pages, http.server.ThreadingHTTPServer) as server:
        proxy = Proxy(build, '127.0.0.1:%d' % server.server_address[1])
        out = subprocess.run(
            ['curl', '-sS', '--noproxy', '*', f'http://127.0.0.1:{proxy.port}/page[1-20]'],
            timeout=LIMIT_S, stdout=subprocess.PIPE, check=True).stdout
        must(out == b''.join(b'/page%d' % n * 1000 for n in range(1, 21)), f'{len(out)} bytes')
        proxy.stop()
    return ''


def with_socat(build):
    """socat ends its side after its input, and waits for the answer."""
    if not shutil.which('socat'):
        return 'socat is not installed'
    with serve(Answers) as target:
        proxy = Proxy(build, '127.0.0.1:%d' % target.server_address[1])
        out = subprocess.run(['socat', '-t', str(LIMIT_S), '-', f'TCP:127.0.0.1:{proxy.port}'],
                             input=b'from socat', timeout=LIMIT_S, stdout=subprocess.PIPE,
                             check=True).stdout
        must(out == b'10:from socat', repr(out))
        proxy.stop()
    return ''


def with_nc(build):
    """nc the same way, over several connections at once."""
    if not shutil.which('nc'):
        return 'nc is not installed'
    with serve(Answers) as target:
        proxy = Proxy(build, '127.0.0.1:%d' % target.server_address[1])
        running = [subprocess.Popen(['nc', '-N', '127.0.0.1', str(proxy.port)],
                                    stdin=subprocess.PIPE, stdout=subprocess.PIPE)
                   for _ in range(5)]
        for number, nc in enumerate(running):
            out = nc.communicate(b'nc %d' % number, timeout=LIMIT_S)[0]
            must(out == b'4:nc %d' % number, repr(out))
        proxy.stop()
    return ''


# Rules that a case shows.
PROVES = {'proxy_cut': 'S110', 'crawl_pages': 'S110', 'crawl_fails': 'S110'}

CASES = [proxy_half_close, proxy_many, proxy_without_target, proxy_reset, proxy_cut, crawl_pages,
         crawl_fails, with_curl, with_socat, with_nc]


def main():
    if len(sys.argv) != 2:
        print(__doc__)
        return 2
    failed = 0
    proves = os.environ.get('COOP_PROVES_FILE')
    for number, case in enumerate(CASES, 1):
        try:
            skipped = case(sys.argv[1])
            print(f'ok {number} - {case.__name__}' + (f' # SKIP {skipped}' if skipped else ''))
            if proves and case.__name__ in PROVES:
                with open(proves, 'a', encoding='utf-8') as f:
                    f.write(f'{PROVES[case.__name__]} examples {case.__name__}\n')
        except (Failed, OSError, subprocess.SubprocessError) as e:
            failed += 1
            print(f'not ok {number} - {case.__name__}')
            print(''.join(f'# {line}\n' for line in str(e).splitlines()), end='')
        sys.stdout.flush()
    print(f'1..{len(CASES)}')
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
