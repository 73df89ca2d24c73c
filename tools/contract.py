#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""contract.py: each public call has a row in tests/contract, which says what its comment says.

A row is ROW(call, KIND, ...) or one of its sisters (tests/contract/contract.h); KIND is what the
comment has after "Checkpoint:". A further row of a call may be NEVER, if it is refused before that;
one that is always a checkpoint is one then, too.
"""
import re
import sys

import csource
import doccheck

KINDS = 'ALWAYS|NEVER|SCHEDULE_ONLY|CUSTOM'
ROW = re.compile(rf'^ROW(?:_AS|_FULL)?\(\s*(coop_\w+),\s*(?:(\w+),\s*)?({KINDS}),', re.M)


def promises():
    """{call: (header, kind)} of all public functions."""
    out = {}
    for path in csource.files('include', ext=('.h',)):
        text = csource.read(path)
        for offset, declaration in doccheck.declarations(text):
            name, is_function = doccheck.name_of(declaration)
            kinds = re.findall(r'\bCheckpoint:\s*([\w-]+)', text[:offset])
            if is_function and kinds:
                out[name] = (path, kinds[-1].upper().replace('-', '_'))
    return out


def rows():
    """[(file, call, kind, whether it is a further one)] of all rows."""
    for path in csource.files('tests/contract', ext=('.c',)):
        for match in ROW.finditer(csource.bare(csource.read(path))):
            yield path, match[1], match[3], match[2] not in (None, match[1])


def problems():
    calls = promises()
    seen = set()
    for path, call, kind, is_further in rows():
        if not is_further:
            seen.add(call)
        if call not in calls:
            yield f'{path}: {call} is no public call'
        elif calls[call][1] != kind and not (
                is_further and kind == 'NEVER' and calls[call][1] != 'ALWAYS'):
            yield f'{path}: {call}: {kind}, but its comment has {calls[call][1]}'
    for call, (path, kind) in calls.items():
        if call not in seen:
            yield f'{path}: {call} ({kind}) has no row in tests/contract'


def main():
    if sys.argv[1:]:
        print(__doc__)
        return 0
    wrong = list(problems())
    print('\n'.join(wrong) or 'contract: ok')
    return 1 if wrong else 0


if __name__ == '__main__':
    sys.exit(main())
