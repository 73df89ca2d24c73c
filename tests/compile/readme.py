#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""readme.py FILE.md...: each ```c block of these texts compiles, as C with every warning.

A block that has no main() is put behind #include <coop.h>.
"""
import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BLOCK = re.compile(r'^```c\n(.*?)^```$', re.M | re.S)


def main():
    number = failed = 0
    for path in sys.argv[1:]:
        with open(path, encoding='utf-8') as f:
            text = f.read()
        for block in BLOCK.finditer(text):
            line = text.count('\n', 0, block.start()) + 2
            code = f'#line {line} "{os.path.basename(path)}"\n{block[1]}'
            if 'main(' not in block[1]:
                code = '#include <coop.h>\n' + code
            done = subprocess.run(
                ['gcc', '-std=gnu17', '-Wall', '-Wextra', '-Werror', '-fsyntax-only',
                 '-I' + os.path.join(ROOT, 'include'), '-x', 'c', '-'],
                input=code, text=True, check=False,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            number += 1
            failed += done.returncode != 0
            word = 'not ok' if done.returncode else 'ok'
            print(f'{word} {number} - {os.path.basename(path)} line {line}')
            print(''.join(f'# {line}\n' for line in done.stdout.splitlines()), end='')
    print(f'1..{number}')
    return 1 if failed or not number else 0


if __name__ == '__main__':
    sys.exit(main())
