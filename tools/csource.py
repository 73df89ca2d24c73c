# SPDX-License-Identifier: MIT
"""What the checks share: where the C files are, and a C file without its comments and strings."""
import os
import re

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

TOKEN = re.compile(
    r'/\*.*?\*/|//[^\n]*'                # comments
    r'|"(?:\\.|[^"\\\n])*"'              # strings
    r"|'(?:\\.|[^'\\\n])*'",             # characters
    re.S)


def files(*folders, ext=('.c', '.h', '.cpp')):
    """All C files below the folders, as paths relative to the root, sorted."""
    out = []
    for folder in folders:
        for base, _, names in os.walk(os.path.join(ROOT, folder)):
            out += [os.path.relpath(os.path.join(base, n), ROOT) for n in names if n.endswith(ext)]
    return sorted(out)


def read(path):
    with open(os.path.join(ROOT, path), encoding='utf-8') as f:
        return f.read()


def bare(text):
    """The text with comments and literals blanked out; lines and columns stay where they are."""
    def blank(match):
        token = match[0]
        keep = token[0] if token[0] in '"\'' else ''
        inner = re.sub(r'[^\n\t]', ' ', token[len(keep):len(token) - len(keep)])
        return keep + inner + keep

    return TOKEN.sub(blank, text)


def functions(code):
    """(first line, last line, name) of each function of a bare text, lines counted from 1.

    Relies on the form that clang-format gives: the brace of a function stands alone in column 0.
    """
    lines = code.split('\n')
    start = None
    for number, line in enumerate(lines, 1):
        if line == '{':
            start = number
        elif line.startswith('}') and start:
            head = '\n'.join(lines[max(0, start - 8):start - 1])
            head = re.sub(r'__attribute__\s*\(\(.*?\)\)', '', head.split('}')[-1].split(';')[-1])
            names = re.findall(r'(\w+)\s*\(', head)
            first = start - 1
            while first > 1 and lines[first - 2].strip() and not lines[first - 2].startswith('}'):
                first -= 1
            if line == '}':
                yield first, number, names[0] if names else '?'
            start = None
