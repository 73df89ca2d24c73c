#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""tidy.py [FILE...]: the rules of form that a compiler does not check.

Everywhere: 100 columns, no trailing blanks, an SPDX line.  In C: indentation by tabs, no cp_ names
in public headers.  In src/ and cmd/: no unsafe string calls, no #if inside a function, no function
over 70 lines without a "long: why" comment; in src/ the system is called in src/base/os*.c only.
And the lists of files in the meson.build files are those on disk, and the version is the same
everywhere.
"""
import os
import re
import subprocess
import sys

import csource

COLUMNS = 100
FUNCTION_LINES = 70
UNSAFE = r'strcpy|strcat|sprintf|vsprintf|gmtime|localtime|gets|alloca|pthread_cancel'  # rel_I10
SYSTEM = (r'malloc|calloc|realloc|free|strdup|read|write|close|open|socket|mmap|munmap|mprotect|'
          r'epoll_create1?|epoll_ctl|epoll_p?wait2?|madvise|clock_gettime|nanosleep|poll|eventfd|'
          r'getenv|secure_getenv')
# A name that is called; not a member, and not the tail of a longer name.
CALL = r'(?<![\w.>])({})\s*\('
TEXT_FOLDERS = ('src', 'include', 'tests', 'examples', 'bench', 'tools', 'cmd')
TEXT_EXT = ('.c', '.h', '.cpp', '.S', '.py', '.sh', '.build', '.map')


def form(path, lines):
    for number, line in enumerate(lines, 1):
        if line != line.rstrip():
            yield number, 'trailing blanks'
        if len(line.expandtabs(8)) > COLUMNS and 'http' not in line:
            yield number, f'over {COLUMNS} columns'
    head = '\n'.join(lines[:3])
    if 'SPDX-License-Identifier: MIT' not in head:
        yield 1, 'no SPDX line'


def c_rules(path, code):
    for number, line in enumerate(code.split('\n'), 1):
        if re.match(r' +\S', line) and not re.match(r' +\*', line):
            yield number, 'indented by blanks'
        if path.startswith('include') and re.search(r'\bcp_\w', line):
            yield number, 'a cp_ name in a public header'


def src_rules(path, text, code):
    lines = code.split('\n')
    for number, line in enumerate(lines, 1):
        call = re.search(CALL.format(UNSAFE), line)
        if call:
            yield number, f'{call[1]}() is banned'
        call = re.search(CALL.format(SYSTEM), line)
        if call and path.startswith('src/') and not path.startswith('src/base/os'):
            yield number, f'{call[1]}() outside src/base/os*.c'
    original = text.split('\n')
    for first, last, name in csource.functions(code):
        body = '\n'.join(original[first - 1:last])
        for number in range(first, last + 1):
            if re.match(r'\s*#\s*(if|else|elif)', lines[number - 1]) and \
                    '{' in lines[first - 1:number]:
                yield number, f'preprocessor condition inside {name}()'
        if last - first + 1 > FUNCTION_LINES and 'long:' not in body:
            yield first, f'{name}() has {last - first + 1} lines and no "long:" comment'


def check(path):
    text = csource.read(path)
    yield from form(path, text.split('\n'))
    if path.endswith(('.c', '.h', '.cpp')):
        code = csource.bare(text)
        yield from c_rules(path, code)
        if path.startswith(('src/', 'cmd/')):
            yield from src_rules(path, text, code)


def versions():
    """The version stands in meson.build, in version.h and in debian/changelog."""
    built = re.search(r"version: '([\d.]+)'", csource.read('meson.build'))[1]
    header = 'include/coop/version.h'
    if f'"{built}"' not in csource.read(header):
        yield f'{header}: not the version of meson.build, {built}'
    if f'({built})' not in csource.read('debian/changelog').split('\n')[0]:
        yield f'debian/changelog: not the version of meson.build, {built}'


def main():
    if '--help' in sys.argv:
        print(__doc__)
        return 0
    os.chdir(csource.ROOT)
    paths = sys.argv[1:] or csource.files(*TEXT_FOLDERS, ext=TEXT_EXT)
    wrong = []
    for path in paths:
        if path.endswith(TEXT_EXT):
            wrong += [f'{path}:{number}: {what}' for number, what in sorted(check(path))]
    if not sys.argv[1:]:
        wrong += versions()
        lists = subprocess.run(['tools/sources', '--check'], stdout=subprocess.PIPE, text=True)
        wrong += lists.stdout.splitlines()
    print('\n'.join(wrong) or 'tidy: ok')
    return 1 if wrong else 0


if __name__ == '__main__':
    sys.exit(main())
