#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""layers.py: an #include in src/<layer> points to the same layer or to one below it.

From the bottom: base ctx core sync io sys trace testing.  Public headers may be included anywhere;
a public header includes public and system headers only.  A command in cmd/ includes public headers
and those of its own folder.
"""
import os
import re
import sys

import csource

LAYERS = ['base', 'ctx', 'core', 'sync', 'io', 'sys', 'trace', 'testing']
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*(["<])([^">]+)[">]', re.M)


def target(path, name):
    """The file of the project that an include names, or None for a system header."""
    for folder in (os.path.dirname(path), 'src', 'include'):
        full = os.path.normpath(os.path.join(folder, name))
        if os.path.exists(os.path.join(csource.ROOT, full)):
            return full
    return None


def check(path):
    parts = path.split(os.sep)
    text = csource.read(path)
    for match in INCLUDE.finditer(text):
        where = f'{path}:{text.count(chr(10), 0, match.start()) + 1}'
        found = target(path, match[2])
        if not found:
            if match[1] == '"' or match[2].startswith('coop'):
                yield f'{where}: no file {match[2]}'
        elif parts[0] == 'include' and not found.startswith('include'):
            yield f'{where}: a public header includes {found}'
        elif parts[0] == 'src' and found.startswith('src'):
            mine, other = parts[1], found.split(os.sep)[1]
            if LAYERS.index(other) > LAYERS.index(mine):
                yield f'{where}: {mine} includes {found} of the higher layer {other}'
        elif parts[0] == 'cmd' and not found.startswith('include'):
            if os.path.dirname(found) != os.path.dirname(path):
                yield f'{where}: a command includes {found}'


def main():
    if sys.argv[1:]:
        print(__doc__)
        return 0
    wrong = []
    for path in csource.files('include', 'src', 'cmd', ext=('.c', '.h', '.S')):
        parts = path.split(os.sep)
        if parts[0] == 'src' and (len(parts) < 3 or parts[1] not in LAYERS):
            wrong.append(f'{path}: not in a layer')
        else:
            wrong += check(path)
    print('\n'.join(wrong) or 'layers: ok')
    return 1 if wrong else 0


if __name__ == '__main__':
    sys.exit(main())
