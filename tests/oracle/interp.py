#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Runs scenario programs on trio and prints their traces; see world.py."""

import argparse
import sys

from bent_trio import Order
from scenario import ScenarioError, parse
from world import drive, run, settled


def batch(text, order):
    """The answer of `scenario --batch` (README.md) to a stream of programs."""
    ident, lines = None, []

    def answer():
        print(f"%% {ident}")
        try:
            program = parse("".join(lines))
        except ScenarioError as error:
            print(error, file=sys.stderr)
            print(f"%% {ident} status 2", flush=True)
        else:
            trace = yield program, order
            print(*trace.lines, sep="\n")
            print(f"%% {ident} status 0", flush=True)

    for line in text:
        if line.startswith("%% "):
            if ident is not None:
                yield from answer()
            ident, lines = line[3:].strip(), []
        else:
            lines.append(line)
    if ident is not None:
        yield from answer()


def main():
    parser = argparse.ArgumentParser(description="Runs scenario programs on trio.")
    parser.add_argument("file", nargs="?", default="-", help="a scenario, - for standard input")
    parser.add_argument("--batch", action="store_true", help="many programs on standard input")
    parser.add_argument("--seed", help="shuffle the order of tasks")
    parser.add_argument("--orders", type=int, metavar="N",
                        help="under N orders; exit status 1 where they differ")
    args = parser.parse_args()
    order = Order() if args.seed is None else Order("random", args.seed)
    if args.batch:
        drive(batch(sys.stdin, order))
        return 0
    try:
        with open(0 if args.file == "-" else args.file, encoding="utf-8") as file:
            program = parse(file.read())
    except ScenarioError as error:
        print(error, file=sys.stderr)
        return 2
    trace = run(program, order)
    print(*trace.lines, sep="\n")
    if args.orders:
        why = drive(settled(program, args.orders, "cli"))[1]
        if why:
            print(f"proves nothing: {why}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
