#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Compares an interpreter of scenario programs with the oracle on random programs.

    compare.py --scenario build/tests/scenario --count 1000 --seed 7 --profile core

A program counts only where every order of the oracle's tasks gives each task
the same lines, and nothing in it is left open (README.md).  At a difference the
program is made smaller while it lasts, written beside the interpreter and
printed, and the exit status is 1.
"""

import argparse
import collections
import multiprocessing
import os
import subprocess
import sys
import time

from bent_trio import orders
from generate import PROFILES, generate
from scenario import ScenarioError, by_task, parse, write
from world import drive, settled

CHUNK = 100  # programs in one call of the interpreter
ORDERS = 5
ORDERS_OF_DOUBT = 150  # before a difference is believed
ANSWER_SECONDS = 10  # for a call, and half a second more for each program in it
SHRINK_SECONDS = 60
# Lines that only operations at which tasks meet print; how many programs print them is told.
MEETINGS = ("sent", "got", "end", "broken", "woke", "locked", "acquired", "limited")


def occurs(program, answer, seed):
    """Whether the oracle gives that answer under some order."""
    tasks = by_task(answer)
    for order in orders(ORDERS_OF_DOUBT, f"{seed}:doubt"):
        trace = yield program, order
        if by_task(trace.lines) == tasks:
            return True
    return False


class Subject:
    """The interpreter under test, many programs a call (README.md has the protocol)."""

    def __init__(self, command, seed=None):
        self.command = command.split() + ["--batch"]
        if seed is not None:
            self.command += ["--seed", str(seed)]

    def answers(self, texts):
        """For each text (lines, status or what happened instead of one)."""
        stream = "".join(f"%% {n}\n{text}" for n, text in enumerate(texts))
        try:
            done = subprocess.run(self.command, input=stream, capture_output=True, text=True,
                                  errors="replace", check=False,
                                  timeout=ANSWER_SECONDS + len(texts) / 2)
            out, end = done.stdout, f"ended with status {done.returncode}"
            if done.stderr.strip():
                end += f" and said {done.stderr.strip()[-300:]!r}"
        except subprocess.TimeoutExpired as late:
            out, end = late.stdout or b"", "gave no answer in time"
            out = out.decode(errors="replace") if isinstance(out, bytes) else out
        found, lines = {}, []
        for line in out.splitlines():
            if line.startswith("%% "):
                words = line.split()
                if len(words) == 4:
                    found[words[1]] = lines, int(words[3])
                lines = []
            else:
                lines.append(line)
        # Only the first without an answer is to blame, the rest were not reached.
        out = []
        for n in range(len(texts)):
            if str(n) not in found:
                out.append((lines, end))
                break
            out.append(found[str(n)])
        return out


class Difference:
    def __init__(self, ident, form, subject, expected, answer):
        self.ident = ident
        self.form = form
        self.subject = subject
        self.expected = expected
        self.answer = answer

    def report(self):
        lines, status = self.answer
        out = [write(self.form).rstrip(), "", f"; {' '.join(self.subject.command)}: {status}"]
        want, got = by_task(self.expected), by_task(lines)
        for task in dict.fromkeys([*want, *got]):
            if want.get(task) != got.get(task):
                out += [f";   {task}:"]
                out += [f";     oracle  {line}" for line in want.get(task, ["-"])]
                out += [f";     subject {line}" for line in got.get(task, ["-"])]
        out += ["; the oracle's whole trace:", *(f";   {line}" for line in self.expected)]
        out += ["; the subject's:", *(f";   {line}" for line in lines)]
        return "\n".join(out) + "\n"


def differs(form, subject, seed):
    """The Difference a program shows, or None."""
    text = write(form)
    try:
        program = parse(text)
    except ScenarioError:
        return None
    expected, why = yield from settled(program, ORDERS, seed)
    if why:
        return None
    answer = subject.answers([text])[0]
    if answer[1] == 0 and by_task(answer[0]) == by_task(expected):
        return None
    if answer[1] == 0 and (yield from occurs(program, answer[0], seed)):
        return None
    return Difference(seed, form, subject, expected, answer)


def smaller(node, tasks):
    """Every program with one list gone, put in place of its parent, or run without a task."""
    for index, item in enumerate(node):
        if not isinstance(item, (list, tuple)):
            continue
        before, after = list(node[:index]), list(node[index + 1:])
        yield before + after
        bodies = [i for i in item if isinstance(i, (list, tuple))]
        for body in bodies:
            yield before + [i for i in body if isinstance(i, (list, tuple))] + after
        if bodies:
            yield before + bodies + after
        if item and item[0] in ("spawn", "start") and item[-1] in tasks:
            yield before + tasks[item[-1]] + after
        for less in smaller(item, tasks):
            yield before + [less] + after


def shrink(difference):
    """The smallest program found that still shows a difference."""
    until = time.monotonic() + SHRINK_SECONDS
    found = True
    while found:
        found = False
        tasks = {item[1]: list(item[2:]) for item in difference.form[1:] if item[0] == "task"}
        for form in smaller(difference.form, tasks):
            if time.monotonic() > until:
                return difference
            less = yield from differs(form, difference.subject, difference.ident)
            if less is not None:
                difference, found = less, True
                break
    return difference


class Tally:
    """How many programs counted, why others did not, and what those that counted printed."""

    def __init__(self):
        self.counted = 0
        self.left_out = collections.Counter()
        self.printed = collections.Counter()

    def leave_out(self, why):
        self.left_out[why] += 1

    def count(self, trace):
        self.counted += 1
        words = {line.split(" ", 3)[2] for line in trace}
        self.printed.update(word for word in MEETINGS if word in words)

    def add(self, other):
        self.counted += other.counted
        self.left_out += other.left_out
        self.printed += other.printed


def compare(args, worker):
    """One worker's share of the programs: (Tally, (Difference, a smaller one) or None)."""
    quota = args.count // args.jobs + (worker < args.count % args.jobs)
    tally, index, waiting = Tally(), worker, []
    while tally.counted < quota:
        form = generate(f"{args.seed}:{index}", args.profile)
        text = write(form)
        expected, why = yield from settled(parse(text), ORDERS, f"{args.seed}:{index}")
        if why:
            tally.leave_out(why)
        else:
            waiting.append((f"{args.seed}:{index}", form, text, expected))
        index += args.jobs
        if len(waiting) < min(CHUNK, quota - tally.counted):
            continue
        doubted = set()
        # The plain schedule, and one that is shuffled anew each time.
        for subject in Subject(args.scenario), Subject(args.scenario, index):
            answers = subject.answers([text for _, _, text, _ in waiting])
            for (ident, form, _, expected), answer in zip(waiting, answers):
                if answer[1] == 0 and (answer[0] == expected or
                                       by_task(answer[0]) == by_task(expected)):
                    continue
                found = yield from differs(form, subject, ident)
                if found is None and answer[1] != 0:  # it broke down, in this company only
                    found = Difference(ident, form, subject, expected, answer)
                    return tally, (found, found)
                if found is not None:
                    small = yield from shrink(found)
                    return tally, (found, small)
                doubted.add(ident)
        for ident, _, _, expected in waiting:
            if ident in doubted:
                tally.leave_out("the order of tasks matters, as the subject showed")
            else:
                tally.count(expected)
        waiting = []
    return tally, None


def work(task):
    # A generator is a client of the oracle's one loop, see world.drive().
    tally, found = drive(compare(*task))
    if found:
        first, small = found
        found = first.ident, first.report(), small.report(), write(small.form)
    return tally, found


def run(args):
    """All workers; the first difference ends them."""
    tally = Tally()
    with multiprocessing.Pool(args.jobs) as pool:
        shares = [(args, worker) for worker in range(args.jobs)]
        for more, found in pool.imap_unordered(work, shares):
            tally.add(more)
            if found:
                return tally, found
    return tally, None


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--scenario", required=True, help="the interpreter, as a command")
    parser.add_argument("--count", type=int, default=1000, help="programs that are to count")
    parser.add_argument("--seed", default="1")
    parser.add_argument("--profile", choices=PROFILES, default="core")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--out", help="where a difference is written (default: beside the command)")
    args = parser.parse_args()
    begin = time.monotonic()
    tally, found = run(args)
    for why, count in sorted(tally.left_out.items()):
        print(f"# left out, {why}: {count}")
    if tally.printed:
        print("# printed by:", ", ".join(f"{w} {tally.printed[w]}" for w in MEETINGS
                                         if tally.printed[w]))
    if not found:
        print(f"{tally.counted} {args.profile} programs agree (seed {args.seed}, "
              f"{time.monotonic() - begin:.1f} s)")
        return 0
    ident, first, report, small = found
    out = args.out or os.path.dirname(args.scenario.split()[0]) or "."
    path = os.path.join(out, f"oracle-{args.profile}-{ident.replace(':', '-')}")
    with open(f"{path}.txt", "w", encoding="utf-8") as file:
        file.write(f"; as generated\n{first}\n; made smaller\n{report}")
    with open(f"{path}.scn", "w", encoding="utf-8") as file:
        file.write(small)
    print(f"DIFFERENCE in program {ident}, written to {path}.txt, the small one to {path}.scn\n")
    print(report)
    return 1


if __name__ == "__main__":
    sys.exit(main())
