#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""doccheck.py: each COOP_API function has a complete contract in the comment directly above it.

Demanded: what it Returns, Checkpoint:, Errors:, Thread:, Since:, and Cancel: where it may be
cancelled (Checkpoint: always or custom).
"""
import re
import sys

import csource

API = re.compile(r'^COOP_API\b([^;{]*)[;{]', re.M)
KINDS = ('always', 'never', 'schedule-only', 'custom')


def declarations(text):
    """(offset, declaration) of each exported declaration; comments inside it are taken out."""
    code = csource.bare(text)
    for match in API.finditer(code):
        yield match.start(), ' '.join(match[1].split())


def name_of(declaration):
    """The declared name, and whether it is a function."""
    decl = re.sub(r'COOP_PRINTF\s*\([^)]*\)|COOP_[A-Z_]+', '', declaration)
    match = re.search(r'(coop_\w+)\s*\(', decl)
    if match:
        return match[1], True
    names = re.findall(r'coop_\w+', decl)
    return (names[-1] if names else '?'), False


def problems(comment, declaration):
    words = ' '.join(line.strip(' \t*/') for line in comment.split('\n'))
    kind = re.search(r'\bCheckpoint:\s*([\w-]+)', words)
    if not kind:
        yield 'no "Checkpoint:"'
    elif kind[1] not in KINDS:
        yield f'"Checkpoint: {kind[1]}" is none of {", ".join(KINDS)}'
    elif kind[1] in ('always', 'custom') and 'Cancel:' not in words:
        yield 'no "Cancel:", but it may be cancelled'
    for field in ('Errors:', 'Thread:', 'Since:'):
        if field not in words:
            yield f'no "{field}"'
    void = re.match(r'(COOP_\w+ )*void coop_', declaration)
    if not void and not re.search(r'\bReturns?\b', words):
        yield 'does not say what it returns'


def check(path):
    text = csource.read(path)
    for offset, declaration in declarations(text):
        name, is_function = name_of(declaration)
        where = f'{path}:{text.count(chr(10), 0, offset) + 1}: {name}'
        above = re.search(r'/\*\*((?:(?!\*/).)*)\*/\s*$', text[:offset], re.S)
        if not above:
            yield f'{where}: no doc comment directly above'
        elif is_function:
            for problem in problems(above[1], declaration):
                yield f'{where}: {problem}'


def main():
    if sys.argv[1:]:
        print(__doc__)
        return 0
    wrong = []
    for path in csource.files('include', ext=('.h',)):
        wrong += check(path)
    print('\n'.join(wrong) or 'doccheck: ok')
    return 1 if wrong else 0


if __name__ == '__main__':
    sys.exit(main())
