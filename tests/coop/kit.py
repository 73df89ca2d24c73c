# SPDX-License-Identifier: MIT
"""What the tests of the command share: a coop under test, and the proof that nothing is left.

A test is a function with a sentence as its docstring, registered by @test.  It gets a Case, which
runs coops in a folder of its own.  Every process of a case has a mark in its environment, by which
it is found, and nothing but what has that mark is ever signalled.  No test looks at the clock: it
waits for what a program prints, or for a file.
"""
import concurrent.futures
import contextlib
import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
import traceback

LIMIT_S = 120  # for what should come at once: a test that hangs fails
TESTS = []


def test(fn):
    TESTS.append(fn)
    return fn


class Skip(Exception):
    pass


def alive(pid):
    """The state letter of a process, or nothing."""
    try:
        with open(f'/proc/{pid}/stat', 'rb') as f:
            return f.read().rpartition(b') ')[2][:1].decode()
    except OSError:
        return ''


def environment(pid):
    """Its words, and whether they are another thread's since the first one has ended."""
    for thread in sorted(os.listdir(f'/proc/{pid}/task'), key=int):
        with contextlib.suppress(OSError), open(f'/proc/{pid}/task/{thread}/environ', 'rb') as f:
            text = f.read()
            if text:
                return text.split(b'\0'), thread != str(pid)
    return [], False


def children(pid):
    try:
        with open(f'/proc/{pid}/task/{pid}/children', encoding='ascii') as f:
            return [int(word) for word in f.read().split()]
    except OSError:
        return []


def until(what, fn):
    """Waits until fn() gives something, and returns that."""
    end = time.monotonic() + LIMIT_S
    while time.monotonic() < end:
        value = fn()
        if value:
            return value
        time.sleep(0.005)
    raise AssertionError(f'{what}: has not come')


class Coop:
    """One running command, its output read by a thread."""

    def __init__(self, case, args, tty=False, stdin=subprocess.DEVNULL, env=None, background=False,
                 program=None, stdout=None, stderr=None, columns=100):
        self.case, self.data, self.errors = case, b'', b''
        self.terminal = -1
        self.is_hung_up = False
        self.last_signal = 0
        self.environ = dict(case.environ, **(env or {}))
        command = [program or case.coop, *args]
        ignored = signal.SIG_IGN if background else signal.SIG_DFL

        def prepare():
            for sig in (signal.SIGINT, signal.SIGQUIT):
                signal.signal(sig, ignored)
            for sig in (signal.SIGHUP, signal.SIGTERM, signal.SIGPIPE):
                signal.signal(sig, signal.SIG_DFL)
            if tty:
                fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        if tty:
            self.terminal, theirs = pty.openpty()
            fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack('HHHH', 24, columns, 0, 0))
            self.process = subprocess.Popen(
                command, stdin=theirs, stdout=theirs, stderr=theirs, env=self.environ,
                cwd=case.folder, start_new_session=True, preexec_fn=prepare)
            os.close(theirs)
            sources = [(self.terminal, 'data')]
        else:
            self.process = subprocess.Popen(
                command, stdin=stdin, stdout=subprocess.PIPE if stdout is None else stdout,
                stderr=subprocess.PIPE if stderr is None else stderr, env=self.environ,
                cwd=case.folder, start_new_session=True, preexec_fn=prepare)
            sources = []
            if stdout is None:
                sources.append((self.process.stdout.fileno(), 'data'))
            if stderr is None:
                sources.append((self.process.stderr.fileno(), 'errors'))
        self.readers = [threading.Thread(target=self.read, args=s, daemon=True) for s in sources]
        for reader in self.readers:
            reader.start()

    def read(self, fd, where):
        while not self.is_hung_up:
            if not select.select([fd], [], [], 0.05)[0]:
                continue
            try:
                data = os.read(fd, 65536)
            except OSError:  # the other side of a terminal is closed
                return
            if not data:
                return
            setattr(self, where, getattr(self, where) + data)

    def hang_up(self):
        """Closes the terminal, as a window that is closed does."""
        self.is_hung_up = True
        for reader in self.readers:
            reader.join()
        os.close(self.terminal)
        self.terminal = -1

    @property
    def text(self):
        return (self.data + self.errors).decode(errors='replace')

    @property
    def pid(self):
        return self.process.pid

    def runtime(self):
        """The process in which the tasks are children."""
        return until('the runtime', lambda: children(self.pid))[0]

    def wait_for(self, text):
        return until(f'{text!r} in the output:\n{self.text}', lambda: text in self.text)

    def wait_file(self, name):
        path = os.path.join(self.case.folder, name)
        return until(f'file {name}', lambda: os.path.exists(path) and os.path.getsize(path))

    def type(self, keys):
        os.write(self.terminal, keys)

    def signal(self, sig):
        if sig == self.last_signal:
            time.sleep(0.02)  # two from one program at the same moment count as one
        self.last_signal = sig
        self.process.send_signal(sig)

    def end(self):
        """The exit status, as subprocess has it; afterwards nothing may be left."""
        try:
            status = self.process.wait(timeout=LIMIT_S)
        except subprocess.TimeoutExpired:
            raise AssertionError(f'it has not ended:\n{self.text}\n{self.case.left()}') from None
        for reader in self.readers:
            reader.join(timeout=10)
        return status


class Case:
    """What one test runs in."""
    count = 0
    lock = threading.Lock()

    def __init__(self, build):
        self.build = build
        self.coop = os.path.join(build, 'coop')
        with Case.lock:
            Case.count += 1
            self.mark = f'COOP_TEST_MARK={os.getpid()}-{Case.count}'
        self.dir = tempfile.TemporaryDirectory(prefix='coop-test-')
        self.folder = self.dir.name
        self.environ = {k: v for k, v in os.environ.items()
                        if not k.startswith('COOP_') and k not in ('MAKEFLAGS', 'CI')}
        self.environ['COOP_TEST_MARK'] = self.mark.partition('=')[2]
        self.environ['COOP'] = self.coop
        self.environ['XDG_RUNTIME_DIR'] = self.folder
        self.started = []

    def path(self, name):
        return os.path.join(self.folder, name)

    def write(self, name, text):
        with open(self.path(name), 'w', encoding='utf-8') as f:
            f.write(text)

    def content(self, name):
        with open(self.path(name), encoding='utf-8') as f:
            return f.read()

    def start(self, *args, **more):
        coop = Coop(self, args, **more)
        self.started.append(coop)
        return coop

    def run(self, *args, **more):
        """Runs to the end: (status, output, errors); nothing may be left."""
        coop = self.start(*args, **more)
        status = coop.end()
        self.check_left()
        return status, coop.data.decode(errors='replace'), coop.errors.decode(errors='replace')

    def run2(self, *args):
        """The same, while others of this case may go on."""
        coop = self.start(*args)
        status = coop.end()
        return status, coop.data.decode(errors='replace'), coop.errors.decode(errors='replace')

    def left(self):
        """[(pid, state, command)] of what has the mark and is no zombie."""
        found = []
        for pid in filter(str.isdigit, os.listdir('/proc')):
            try:
                words, is_headless = environment(pid)
                marked = self.mark.encode() in words
                with open(f'/proc/{pid}/cmdline', 'rb') as f:
                    command = f.read().replace(b'\0', b' ').decode(errors='replace')
            except OSError:
                continue
            if marked and (is_headless or alive(pid) not in ('', 'Z', 'X')):
                found.append((int(pid), alive(pid), command))
        return found

    def check_left(self):
        left = self.left()
        assert not left, f'left behind: {left}'

    def wait_nothing_left(self):
        until('the end of all processes', lambda: not self.left())

    def close(self):
        for pid, _, _ in self.left():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for coop in self.started:
            coop.process.wait()
            if coop.terminal >= 0:
                os.close(coop.terminal)
        self.dir.cleanup()


def equal(got, wanted, more=''):
    assert got == wanted, f'{got!r}, not {wanted!r}\n{more}'


def judge(fn, build):
    case = Case(build)
    try:
        fn(case)
        return 'ok', ''
    except Skip as skip:
        return 'ok', f'# SKIP {skip}'
    except Exception:  # whatever it is, the test has failed
        return 'not ok', traceback.format_exc() + ''.join(
            f'--- {" ".join(c.process.args)}\n{c.text}\n' for c in case.started)
    finally:
        case.close()


def main():
    """PROGRAM BUILD [--long] [NAME...]"""
    names = [word for word in sys.argv[2:] if not word.startswith('-')]
    tests = [fn for fn in TESTS if not names or fn.__name__ in names]
    failed = 0
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        results = pool.map(lambda fn: judge(fn, os.path.abspath(sys.argv[1])), tests)
        for number, (fn, (verdict, text)) in enumerate(zip(tests, results), 1):
            skip = text if text.startswith('# SKIP') else ''
            failed += verdict != 'ok'
            print(f'{verdict} {number} - {fn.__name__}{" " + skip if skip else ""}')
            if not skip:
                print(''.join(f'# {line}\n' for line in text.splitlines()), end='')
            sys.stdout.flush()
    print(f'1..{len(tests)}')
    return 1 if failed or not tests else 0
