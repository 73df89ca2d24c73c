#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""elf.py LIBCOOP.SO: what the linker made of libcoop, read back with readelf.

The soname, eager binding, a stack that is not executable, no writable code.  On x86-64 each of our
objects has the mark for indirect branch tracking (the library has it where libc's start files have
it too), and nothing is marked for shadow stacks, which stacks of one's own do not support.
"""
import glob
import os
import re
import subprocess
import sys


def readelf(*args):
    done = subprocess.run(['readelf', '-W', *args], check=True, capture_output=True, text=True)
    return done.stdout


def results(path):
    header = readelf('-h', path)
    dynamic = readelf('-d', path)
    segments = readelf('-l', path)
    notes = readelf('-n', path)
    stack = re.search(r'GNU_STACK.*', segments)
    loads = re.findall(r'LOAD\s+(?:0x\w+\s+){5}([RWE ]{3})', segments)

    yield 'soname is libcoop.so.0', 'soname: [libcoop.so.0]' in dynamic
    yield 'binds eagerly', 'NOW' in dynamic and 'GNU_RELRO' in segments
    yield 'stack is not executable', bool(stack) and ' RWE ' not in stack[0]
    yield 'no segment is writable and executable', bool(loads) and not any(
        'W' in flags and 'E' in flags for flags in loads)
    yield 'no text relocations', 'TEXTREL' not in dynamic
    if 'X86-64' in header:
        marks = [readelf('-n', o) for o in sorted(glob.glob(path + '.p/*.o'))]
        yield 'objects are marked for indirect branch tracking', bool(marks) and all(
            'IBT' in m for m in marks)
        yield 'nothing is marked for shadow stacks', 'SHSTK' not in notes + ''.join(marks)


def main():
    if len(sys.argv) != 2 or sys.argv[1].startswith('-'):
        print(__doc__)
        return 0 if '--help' in sys.argv else 2
    number = failed = 0
    for what, holds in results(os.path.realpath(sys.argv[1])):
        number += 1
        failed += not holds
        print(f'{"ok" if holds else "not ok"} {number} - {what}')
    print(f'1..{number}')
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
