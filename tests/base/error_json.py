#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""error_json.py PROGRAM: errors as JSON are read back, and say what the objects say of themselves.

PROGRAM is json_cases.c. Its JSON is read strictly; a text must be what the bytes are as UTF-8, each
byte that belongs to no character standing as U+FFFD.
"""
import codecs
import json
import re
import subprocess
import sys
import threading

KINDS = ['leaf', 'group', 'wrap']
COMMON = ['kind', 'code', 'code_name', 'message', 'file', 'line', 'func', 'task', 'when_ns',
          'during_cancel', 'truncated', 'trace', 'trace_lost']
KEYS = {
    'leaf': COMMON,
    'wrap': COMMON + ['cause'],
    'group': COMMON + ['name', 'cancel_pending', 'cancelled', 'cancelled_total', 'members_total',
                       'members'],
}
TRACE_KEYS = (['line', 'file'], ['line', 'file', 'note'])

codecs.register_error('each', lambda error: ('\ufffd' * (error.end - error.start), error.end))


class Wrong(Exception):
    pass


def refuse(name):
    raise Wrong(f'{name} is no JSON')


def pairs(items):
    keys = [key for key, _ in items]
    if len(set(keys)) != len(keys):
        raise Wrong(f'a key twice: {keys}')
    return dict(items)


def read(line):
    # Strict: no control characters in strings, no NaN; bytes that are no UTF-8 raise.
    return json.loads(line.decode('utf-8'), object_pairs_hook=pairs, parse_constant=refuse)


def text_of(field):
    return bytes.fromhex(field[1:]).decode('utf-8', 'each')


def flatten(root):
    """The objects of a tree, in pre-order."""
    stack = [root] if root is not None else []
    while stack:
        node = stack.pop()
        yield node
        stack += reversed(node.get('members', []))
        if 'cause' in node:
            stack.append(node['cause'])


def compare(node, fields):
    kind, code, line, when, flags, members, total, cancelled, *texts = fields
    message, file, func, task, name = map(text_of, texts)
    file = re.sub(r'^(\.\./)+', '', file)  # from a build folder back to the tree: not shown
    is_group = kind == '1'
    expected = {
        'kind': KINDS[int(kind)], 'code': int(code), 'line': int(line), 'when_ns': int(when),
        'during_cancel': flags[1] == '1', 'truncated': flags[2] == '1', 'message': message,
        'file': file, 'func': func, 'task': task,
    }
    if is_group:
        expected.update(cancel_pending=flags[0] == '1', members_total=int(total),
                        cancelled_total=int(cancelled), name=name)
    for key, value in expected.items():
        if node[key] != value or type(node[key]) is not type(value):
            raise Wrong(f'{key}: {node[key]!r}, not {value!r}')
    if list(node) != KEYS[node['kind']]:
        raise Wrong(f'keys {list(node)}')
    if is_group and len(node['members']) != int(members):
        raise Wrong(f'{len(node["members"])} members, not {members}')
    for place in node['trace']:
        if list(place) not in TRACE_KEYS:
            raise Wrong(f'trace {place}')
    for gone in node.get('cancelled', []):
        if list(gone) != ['task', 'reason', 'blocked_in']:
            raise Wrong(f'cancelled {gone}')


def check(output):
    """Number of errors and of objects compared."""
    errors, objects, nodes = 0, 0, iter(())
    for line in output.split(b'\n')[:-1]:
        try:
            if line.startswith(b'J '):
                if next(nodes, None) is not None:
                    raise Wrong('the JSON before has more objects')
                nodes = flatten(read(line[2:]))
                errors += 1
            else:
                compare(next(nodes, {}), line.decode().split(' ')[1:])
                objects += 1
        except (Wrong, ValueError, KeyError) as wrong:
            raise SystemExit(f'error {errors}: {wrong!r}: {line[:400]!r}') from wrong
    if next(nodes, None) is not None:
        raise SystemExit('the last JSON has more objects')
    return errors, objects


def main():
    done = subprocess.run(sys.argv[1:], check=False, stdout=subprocess.PIPE)
    if done.returncode:
        return f'status {done.returncode}'
    errors, objects = check(done.stdout)
    print(f'{errors} errors, {objects} objects')
    return 0 if errors > 2600 and objects > errors else 'too few'


def run_deep():
    sys.setrecursionlimit(1000000)
    threading.stack_size(512 << 20)  # json reads deep trees by recursion
    result = []

    def target():
        try:
            result.append(main())
        except SystemExit as end:
            result.append(end.code)

    thread = threading.Thread(target=target)
    thread.start()
    thread.join()
    return result[0] if result else 'it was interrupted'


if __name__ == '__main__':
    sys.exit(run_deep())
