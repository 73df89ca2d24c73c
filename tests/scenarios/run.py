#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Runs scenario programs and compares their traces with the ones kept beside them.

    run.py --scenario build/tests/scenario [--seeds N] [FILE or FOLDER...]
    run.py --scenario build/tests/scenario --sweep cancel|alloc [--generated N] [FILE...]

Without files: those in this folder, and in sync/, where tasks meet at channels, events, locks,
semaphores and limiters; and bad/, whose texts are no scenarios and are to end with status 2 and a
message that says where.  A sweep has the interpreter run each program once for every place where a
cancel, or a failed allocation, can be put in, over files or over random programs.
"""

import argparse
import glob
import os
import re
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "oracle"))

from generate import generate  # noqa: E402
from scenario import by_task, write  # noqa: E402

RUN_SECONDS = 60


class Case:
    """A program: a file, or one that was generated."""

    def __init__(self, path=None, seed=None, profile=None):
        self.path = path
        self.name = f"generated {seed}" if seed else os.path.relpath(path, HERE)[:-4]
        self.text = write(generate(seed, profile)) if seed else None
        self.is_bad = bool(path) and os.path.basename(os.path.dirname(path)) == "bad"

    def run(self, command):
        return subprocess.run([*command, self.path or "-"], input=self.text, text=True,
                              capture_output=True, timeout=RUN_SECONDS, check=False)


def wrong_refusal(case, done):
    """What is wrong with how a text that is no scenario was refused, or None."""
    with open(case.path, encoding="utf-8") as file:
        line = re.match(r"; line (\d+):", file.readline())
    at = re.search(r"(\d+):\d+: .", done.stderr)
    if done.returncode != 2 or done.stdout:
        return f"status {done.returncode}, not 2, or something on standard output"
    if not at or (line and at[1] != line[1]):
        return f"no message with line {line[1] if line else ''} and column: {done.stderr!r}"
    return None


def wrong_trace(case, done):
    """Where the trace is not the one that is kept, or None."""
    kept = case.path[:-4] + ".trace"
    if done.returncode:
        return f"status {done.returncode}: {done.stderr.strip()[-500:]}"
    if not os.path.exists(kept):
        return "no trace is kept beside it"
    if any(line.count(" ") < 2 for line in done.stdout.splitlines()):
        return f"no trace: {done.stdout[:200]!r}"
    with open(kept, encoding="utf-8") as file:
        want = by_task(file.read().splitlines())
    got = by_task(done.stdout.splitlines())
    for task in dict.fromkeys([*want, *got]):
        if want.get(task) != got.get(task):
            return "\n".join([f"{task}: expected", *want.get(task, ["nothing"]),
                              "and got", *got.get(task, ["nothing"])])
    return None


def wrong_sweep(case, done):
    """What a sweep found, or None: the interpreter ends with 0 where it found nothing."""
    if done.returncode == 0:
        return None
    said = (done.stdout[-2000:] + done.stderr[-2000:]).strip()
    return f"status {done.returncode}\n{said}\n{case.text or ''}"


def check(case, command, wrong):
    try:
        done = case.run(command)
    except subprocess.TimeoutExpired:
        return "gave no answer in time"
    return (wrong_refusal if case.is_bad else wrong)(case, done)


def note_proofs(case):
    """Tells tools/behaviours that the rules in the first line ("; B81, S2: ...") hold."""
    path = os.environ.get("COOP_PROVES_FILE")
    with open(case.path, encoding="utf-8") as file:
        head = re.match(r";+ *((?:[BS]\d+[, ]*)+):", file.readline())
    if path and head:
        with open(path, "a", encoding="utf-8") as file:
            file.writelines(f"{tag} scenarios {case.name}\n"
                            for tag in re.findall(r"[BS]\d+", head[1]))


def cases(args):
    if args.generated:
        return [Case(seed=f"sweep:{n}", profile=("core", "sync")[n % 2])
                for n in range(args.generated)]
    folders = [HERE, os.path.join(HERE, "sync")]
    if not args.sweep:
        folders.append(os.path.join(HERE, "bad"))
    paths = []
    for given in args.files or folders:
        inside = sorted(glob.glob(os.path.join(given, "*.scn")))
        paths += inside if os.path.isdir(given) else [given]
    return [Case(os.path.abspath(path)) for path in paths]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--scenario", required=True, help="the interpreter, as a command")
    parser.add_argument("--seeds", type=int, default=0, metavar="N",
                        help="run each under N shuffled schedules as well")
    parser.add_argument("--sweep", choices=("cancel", "alloc"))
    parser.add_argument("--generated", type=int, metavar="N",
                        help="sweep over N random programs in place of files")
    parser.add_argument("files", nargs="*", metavar="FILE or FOLDER")
    args = parser.parse_args()
    command = args.scenario.split()
    if args.sweep:
        wrong, runs = wrong_sweep, [[*command, f"--sweep={args.sweep}"]]
    else:
        wrong, runs = wrong_trace, [command]
        runs += [[*command, "--seed", str(n)] for n in range(1, args.seeds + 1)]
    todo = cases(args)
    print(f"1..{len(todo)}")
    failed = 0
    for number, case in enumerate(todo, 1):
        found = next(filter(None, (check(case, run, wrong) for run in runs)), None)
        print(f"{'not ok' if found else 'ok'} {number} - {case.name}", flush=True)
        if found:
            failed += 1
            print("\n".join(f"# {line}" for line in found.splitlines()), flush=True)
        elif case.path and not args.sweep:
            note_proofs(case)
    print(f"# {len(todo) - failed} passed, {failed} failed")
    return failed > 0 or not todo


if __name__ == "__main__":
    sys.exit(main())
