#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""made.py COOP MANUAL BASH ZSH FISH SCHEMA: what is made from the table of options is complete.

The manual page has no complaint of mandoc or groff, and names each option that `coop help` names;
so do the completions, which their shells can read, and bash's is tried.  The schema has the keys
that the reader of coop.yaml has.  Prints TAP; a tool that is
missing skips its test.
"""
import ctypes
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile

# A verb that talks to a running coop finds none of somebody else's.
PRIVATE = tempfile.TemporaryDirectory()
os.environ['XDG_RUNTIME_DIR'] = PRIVATE.name

COOP, MANUAL, BASH, ZSH, FISH, SCHEMA = (sys.argv[1:] + [''] * 6)[:6]


def run(*command, **more):
    """(status, output)"""
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=120, check=False, **more)
    return done.returncode, done.stdout.decode(errors='replace')


def read(path):
    with open(path, encoding='utf-8') as f:
        return f.read()


def verbs():
    return re.findall(r'^  (\w+) ', run(COOP, 'help')[1], re.M)


def options(verb):
    return re.findall(r'^  (?:-\w, |    )--([\w-]+)', run(COOP, 'help', verb)[1], re.M)


def manual_names_each_option():
    page = read(MANUAL)
    for verb in verbs():
        if f'.It Cm {verb}' not in page:
            yield f'no verb {verb}'
        for option in options(verb):
            if f'Fl -{option}' not in page:
                yield f'no option {option}'


def manual_is_clean_for_mandoc():
    for line in run('mandoc', '-Tlint', MANUAL)[1].splitlines():
        # what is installed on this machine is not the page's fault
        if 'mandoc.db' not in line and 'referenced manual not found' not in line:
            yield line


def manual_is_clean_for_groff():
    status, output = run('groff', '-ww', '-mandoc', '-Tutf8', '-z', MANUAL)
    if status or output:
        yield output


def help_and_parser_agree():
    """Each option that is explained exists."""
    for verb in verbs():
        for option in options(verb):
            output = run(COOP, verb, f'--{option}')[1]
            if 'no option' in output or 'is an option of' in output:
                yield f'{verb}: {output}'


def completions_name_each_option():
    for path, form in ((BASH, '--{}'), (ZSH, '--{}'), (FISH, '-l {}')):
        text = read(path)
        for verb in verbs():
            if not re.search(rf'\b{verb}\b', text):
                yield f'{path}: no verb {verb}'
            for option in options(verb):
                if form.format(option) not in text:
                    yield f'{path}: no {option}'


def letters(verb):
    return re.findall(r'^  -(\w), --', run(COOP, 'help', verb)[1], re.M)


def completions_name_each_letter():
    """Those of one letter, in zsh and fish; bash offers the long ones."""
    for path, form in ((ZSH, r"'\*?-{}[+\[]"), (FISH, r'-s {}\b')):
        text = read(path)
        for verb in verbs():
            for letter in letters(verb):
                if not re.search(form.format(letter), text):
                    yield f'{path}: no -{letter} of {verb}'


def bash_completes():
    cases = [
        ('coop ru', 'run'),
        ('coop help gr', 'graph'),
        ('coop run --on-fail l', 'log'),
        ('coop run --kee', '--keep-going'),
        ('coop run -o gi', 'github'),
        ('coop exec --gro', ''),
        ('coop graph --format d', 'dot'),
        ('coop run --cwd /us', '/usr'),
        ('coop logs -f --li', '--lines'),
    ]
    for line, expected in cases:
        script = f'source {BASH}; COMP_WORDS=({line}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); ' \
                 '_coop; echo "${COMPREPLY[@]}"'
        output = run('bash', '-c', script)[1].strip()
        if output != expected:
            yield f'{line}: {output!r}, not {expected!r}'


def bash_can_read_its_completion():
    yield from run('bash', '-n', BASH)[1].splitlines()


def zsh_can_read_its_completion():
    yield from run('zsh', '-n', ZSH)[1].splitlines()


def fish_can_read_its_completion():
    yield from run('fish', '--no-execute', FISH)[1].splitlines()


def check_file(text):
    """What coop check says of it."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, 'coop.yaml')
        with open(path, 'w', encoding='utf-8') as f:
            f.write(text)
        return run(COOP, 'check', '-f', path)[1]


def schema_and_reader_agree():
    """Each key of the schema is known, and each task option is in the schema."""
    schema = json.loads(read(SCHEMA))
    task = schema['definitions']['task']['properties']
    if 'built without libfyaml' in check_file('tasks: {a: x}'):
        return
    for form, keys in (('tasks: {{a: {{{}: ~}}}}', task),
                       ('groups: {{a: {{{}: ~}}}}', schema['definitions']['group']['properties']),
                       ('{}: ~', schema['properties'])):
        for key in keys:
            output = check_file(form.format(key) + '\n')
            if 'unknown key' in output:
                yield output
        output = check_file(form.format('no_such_key') + '\n')
        if 'unknown key' not in output:
            yield output
    of_all = set(options('up')) | set(options('map'))
    for option in set(options('run')) - of_all - {'name', 'argv', 'all', 'policy'}:
        if option.replace('-', '_') not in task:
            yield f'no task option {option}'


def doctor_tries_all():
    """What it finds is the machine's; that it tries and concludes is ours."""
    status, output = run(COOP, 'doctor')
    found = re.findall(r'^(?:yes|no ) +(\S+)', output, re.M)
    if found != ['subreaper', 'pdeathsig', 'pidfd', 'children', 'cgroup', 'pty', 'io_uring']:
        yield f'tried {found}'
    if status not in (0, 1) or (status == 0) != ('Nothing stays behind' in output):
        yield f'status {status}\n{output}'
    if status == 0 and 'After kill -9 of both at one instant' not in output:
        yield 'does not say what is not contained'


def refuse_prctl(what):
    """In a child: the system refuses prctl(what) from now on."""
    number = {'x86_64': 157, 'aarch64': 167}[os.uname().machine]
    code = [(0x20, 0, 0, 0), (0x15, 0, 3, number), (0x20, 0, 0, 16), (0x15, 0, 1, what),
            (0x06, 0, 0, 0x00050001), (0x06, 0, 0, 0x7fff0000)]
    packed = b''.join(struct.pack('HBBI', *line) for line in code)
    buffer = ctypes.create_string_buffer(packed, len(packed))
    program = struct.pack('HxxxxxxP', len(code), ctypes.addressof(buffer))
    libc = ctypes.CDLL(None)
    libc.prctl(38, 1, 0, 0, 0)  # no new privileges
    if libc.prctl(22, 2, ctypes.create_string_buffer(program, len(program)), 0, 0):
        os._exit(99)


def doctor_is_not_deceived():
    """What may be asked for, and is refused when it is wanted, is not there."""
    for what, name in ((36, 'subreaper'), (1, 'pdeathsig')):
        status, output = run(COOP, 'doctor', preexec_fn=lambda what=what: refuse_prctl(what))
        if status == 99:
            continue  # no filter may be set here
        if not re.search(rf'^no   {name} ', output, re.M) or status != 1 or \
                'processes may stay behind' not in output:
            yield f'{name}: status {status}\n{output}'


TESTS = [
    (manual_names_each_option, None),
    (manual_is_clean_for_mandoc, 'mandoc'),
    (manual_is_clean_for_groff, 'groff'),
    (help_and_parser_agree, None),
    (completions_name_each_option, None),
    (completions_name_each_letter, None),
    (bash_can_read_its_completion, None),
    (bash_completes, None),
    (zsh_can_read_its_completion, 'zsh'),
    (fish_can_read_its_completion, 'fish'),
    (schema_and_reader_agree, None),
    (doctor_tries_all, None),
    (doctor_is_not_deceived, None),
]


def main():
    if not SCHEMA:
        print(__doc__)
        return 0 if '--help' in sys.argv else 2
    failed = 0
    for number, (test, tool) in enumerate(TESTS, 1):
        if tool and not shutil.which(tool):
            print(f'ok {number} - {test.__name__} # SKIP no {tool}')
            continue
        wrong = list(test())
        failed += bool(wrong)
        print(f'{"not ok" if wrong else "ok"} {number} - {test.__name__}')
        print(''.join(f'# {line}\n' for text in wrong for line in text.splitlines()), end='')
    print(f'1..{len(TESTS)}')
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
