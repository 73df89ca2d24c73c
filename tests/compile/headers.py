#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""headers.py [HEADER...]: each public header compiles alone, as C11 and as C++17.

The initialisers it defines are used once, too.  TAP: one result for a header and a language, with
each compiler that is there.
"""
import os
import re
import shutil
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
INCLUDE = os.path.join(ROOT, 'include')
STRICT = ['-pedantic', '-Wall', '-Wextra', '-Werror', '-Wundef', '-fsyntax-only',
          '-I' + INCLUDE, '-']
LANGUAGES = [
    ('C11', ['gcc', 'clang'], ['-x', 'c', '-std=c11', '-Wstrict-prototypes']),
    ('C++17', ['g++', 'clang++'], ['-x', 'c++', '-std=c++17']),
]


def headers():
    found = ['coop.h'] if os.path.exists(os.path.join(INCLUDE, 'coop.h')) else []
    folder = os.path.join(INCLUDE, 'coop')
    return found + sorted('coop/' + n for n in os.listdir(folder) if n.endswith('.h'))


def compile_alone(compiler, flags, header):
    # Twice, so that a missing include guard shows as well.
    text = f'#include <{header}>\n#include <{header}>\nint coop_alone(void);\n'
    text += 'int coop_alone(void)\n{\n'
    with open(os.path.join(INCLUDE, header), encoding='utf-8') as f:
        for name, args in re.findall(r'^#define COOP_(\w+)_INIT\b(\([\w, ]+\))?', f.read(), re.M):
            zeros = ', '.join(['0'] * (args.count(',') + 1))
            value = f'COOP_{name}_INIT' + (f'({zeros})' if args else '')
            text += f'\tstruct coop_{name.lower()} {name} = {value};\n\t(void){name};\n'
    text += '\treturn 0;\n}\n'
    return subprocess.run([compiler, *flags, *STRICT], input=text, text=True, check=False,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def main():
    number = failed = 0
    for header in sys.argv[1:] or headers():
        for language, compilers, flags in LANGUAGES:
            output = ''
            for compiler in filter(shutil.which, compilers):
                done = compile_alone(compiler, flags, header)
                if done.returncode:
                    output += f'{compiler}:\n{done.stdout}'
            number += 1
            failed += bool(output)
            print(f'{"not ok" if output else "ok"} {number} - {header} as {language}')
            print(''.join(f'# {line}\n' for line in output.splitlines()), end='')
    print(f'1..{number}')
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
