#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""symbols.py BUILD: libcoop.so exports what the headers declare; os.c alone calls the system.

Two questions are asked of the build folder: are the exported names exactly the COOP_API ones, and
does any object but src/base/os*.o call the system, the clock or the allocator by itself?
"""
import glob
import os
import re
import subprocess
import sys

import csource
import doccheck

# What only the seam may ask for.  strdup and friends allocate behind the allocator's back.
SYSTEM = set('''
    malloc calloc realloc reallocarray free posix_memalign aligned_alloc memalign strdup strndup
    asprintf vasprintf open_memstream
    open openat creat close read write pread pwrite readv writev lseek dup dup2 dup3
    pipe pipe2 fcntl ioctl fopen fdopen fclose
    poll ppoll select pselect epoll_create epoll_create1 epoll_ctl epoll_wait epoll_pwait
    epoll_pwait2 eventfd eventfd_read eventfd_write timerfd_create timerfd_settime signalfd
    mmap mmap64 munmap mremap mprotect madvise process_madvise mincore prctl syscall
    socket bind listen accept accept4 connect send recv sendto recvfrom sendmsg recvmsg
    clock_gettime clock_nanosleep nanosleep usleep sleep time gettimeofday
    getenv secure_getenv setenv putenv rand random srand drand48 getrandom getentropy
    sigaction signal sigprocmask pthread_sigmask sigaltstack kill raise
    fork vfork execve posix_spawn waitpid waitid system popen
    io_uring_setup io_uring_enter io_uring_register
'''.split())

# object: names it may use all the same, and why
ALLOWED = {
    'sys_signal': {'raise', 'kill'},           # gives the signal back to its default action
    'sys_overflow': {'raise', 'pthread_sigmask', 'sigaction', 'sigaltstack'}, # inside a handler
    'sys_main': {'raise', 'sigprocmask'},      # dies by the signal that stopped it
}


def run(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def declared():
    """What the public headers declare, and what private ones export for our other libraries."""
    names = set()
    for path in csource.files('include', 'src', ext=('.h',)):
        if path.endswith(('testing.h', 'tls.h')):
            continue
        for _, declaration in doccheck.declarations(csource.read(path)):
            names.add(doccheck.name_of(declaration)[0])
    return names


def exported(library):
    names = set()
    for line in run('nm', '-D', '--defined-only', library).splitlines():
        kind, name = line.split()[-2:]
        if kind != 'A':
            names.add(name.split('@')[0])
    return names


def system_calls(objects):
    for path in objects:
        unit = re.sub(r'\.[cS]\.o$', '', os.path.basename(path))
        if unit.startswith('base_os'):
            continue
        used = {line.split()[-1].split('@')[0] for line in run('nm', '-u', path).splitlines()}
        for name in sorted(used & SYSTEM - ALLOWED.get(unit, set())):
            yield f'{unit}: calls {name}(), which goes through src/base/os.h'


def main():
    if len(sys.argv) != 2 or sys.argv[1].startswith('-'):
        print(__doc__)
        return 0 if '--help' in sys.argv else 2
    src = os.path.join(sys.argv[1], 'src')
    library = os.path.join(src, 'libcoop.so')
    have, want = exported(library), declared()
    wrong = [f'{n}: declared COOP_API, but not exported' for n in sorted(want - have)]
    wrong += [f'{n}: exported, but no header declares it' for n in sorted(have - want)]
    wrong += system_calls(sorted(glob.glob(os.path.join(src, 'libcoop.so.*.p', '*.o'))))
    print('\n'.join(wrong) or f'symbols: ok, {len(have)} exported')
    return 1 if wrong else 0


if __name__ == '__main__':
    sys.exit(main())
