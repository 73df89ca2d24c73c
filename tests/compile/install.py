#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""install.py BUILD: an installed coop can be used by programs that know nothing of this tree.

Installs into a staging folder, then builds and runs there: a C program with pkg-config, against the
shared and against the static library; the same with the testing library; and a C++ program with
CMake's find_package(coop).  And the command is there with all that belongs to it.
"""
import os
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'consumer')


def run(*command, **env):
    return subprocess.run(command, check=True, text=True, env={**os.environ, **env},
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT).stdout


class Staged:
    """An installation below a folder that is not its prefix."""

    def __init__(self, build, folder):
        self.folder = folder
        run('meson', 'install', '-C', build, '--no-rebuild', '--quiet', '--destdir', folder)
        pc = next(os.path.join(base, 'coop.pc') for base, _, names in os.walk(folder)
                  if 'coop.pc' in names)
        self.libdir = os.path.dirname(os.path.dirname(pc))
        self.prefix = run('pkg-config', '--variable=prefix', pc).strip()
        self.env = {
            'PKG_CONFIG_PATH': os.path.dirname(pc),
            'PKG_CONFIG_SYSROOT_DIR': folder,
            'LD_LIBRARY_PATH': self.libdir,
        }

    def flags(self, package, *options):
        out = run('pkg-config', *options, '--cflags', '--libs', package, **self.env)
        return out.split()

    def build_c(self, source, flags):
        program = os.path.join(self.folder, 'program')
        run('cc', '-std=c11', '-Wall', '-Wextra', '-Werror', os.path.join(HERE, source),
            '-o', program, *flags, **self.env)
        return program


def c_shared(staged):
    program = staged.build_c('consumer.c', staged.flags('coop'))
    assert 'libcoop.so.0' in run('readelf', '-d', program)
    return run(program, **staged.env)


def c_static(staged):
    flags = staged.flags('coop', '--static')
    flags = ['-l:libcoop.a' if f == '-lcoop' else f for f in flags]
    program = staged.build_c('consumer.c', flags)
    assert 'libcoop.so' not in run('readelf', '-d', program)
    return run(program)


def c_testing(staged):
    return run(staged.build_c('testing.c', staged.flags('coop-testing')), **staged.env)


def c_testing_static(staged):
    flags = staged.flags('coop-testing', '--static')
    flags = ['-l:libcoop.a' if f == '-lcoop' else f for f in flags]
    return run(staged.build_c('testing.c', flags))


def cxx_cmake(staged):
    build = os.path.join(staged.folder, 'cmake-build')
    prefix = staged.folder + staged.prefix
    run('cmake', '-S', HERE, '-B', build, '-DCMAKE_PREFIX_PATH=' + prefix,
        '-DCMAKE_LIBRARY_ARCHITECTURE=' + os.path.basename(staged.libdir))
    run('cmake', '--build', build)
    return (run(os.path.join(build, 'consumer_shared'), **staged.env)
            + run(os.path.join(build, 'consumer_static')))


def command(staged):
    prefix = staged.folder + staged.prefix
    for name in ('man/man1/coop.1', 'bash-completion/completions/coop',
                 'zsh/site-functions/_coop', 'fish/vendor_completions.d/coop.fish',
                 'coop/coop.schema.json'):
        assert os.path.exists(os.path.join(prefix, 'share', name)), f'no share/{name}'
    coop = os.path.join(prefix, 'bin', 'coop')
    assert 'libcoop.so' not in run('readelf', '-d', coop), 'the command wants libcoop.so'
    return run(coop, 'version') + run(coop, 'run', '--output', 'quiet', 'true')


def main():
    if len(sys.argv) != 2 or sys.argv[1].startswith('-'):
        print(__doc__)
        return 0 if '--help' in sys.argv else 2
    folder = tempfile.mkdtemp(prefix='coop-install-')
    failed = 0
    tests = [c_shared, c_static, c_testing, c_testing_static, cxx_cmake, command]
    try:
        staged = Staged(sys.argv[1], folder)
        for number, test in enumerate(tests, 1):
            try:
                output, ok = test(staged), True
            except subprocess.CalledProcessError as error:
                output, ok = f'{" ".join(error.cmd)}\n{error.stdout}', False
            except AssertionError as error:
                output, ok = f'it is not as it should be: {error}', False
            failed += not ok
            print(f'{"ok" if ok else "not ok"} {number} - {test.__name__}')
            print(''.join(f'# {line}\n' for line in output.splitlines()), end='')
        print(f'1..{len(tests)}')
    finally:
        shutil.rmtree(folder)
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
