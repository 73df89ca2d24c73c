# SPDX-License-Identifier: MIT
"""The text of scenario programs: reading, checking, writing.

A program is read into forms (nested lists of atoms that know where they
stand), and the forms are checked against SIGNATURES, one row an operation,
so that what the interpreter gets needs no further checks.
"""

import re

TOKEN = re.compile(r"[\s]+|;[^\n]*|[()]|[^\s();]+")
INTEGER = re.compile(r"-?[0-9]+\Z")
INTEGER_MAX = 10**15  # of ms, and exact in a double


class ScenarioError(Exception):
    """The text is no scenario."""

    def __init__(self, text, at, message):
        line = text.count("\n", 0, at) + 1
        column = at - text.rfind("\n", 0, at)
        super().__init__(f"{line}:{column}: {message}")


class Atom(str):
    __slots__ = ("at",)


class Form(list):
    __slots__ = ("at",)


class Op:
    """A checked operation: its name and its arguments, bodies as lists of Op."""

    __slots__ = ("name", "args")

    def __init__(self, name, args):
        self.name = name
        self.args = args


class Program:
    def __init__(self):
        self.channels = {}
        self.events = {}
        self.locks = {}
        self.sems = {}
        self.limiters = {}
        self.tasks = {}
        self.main = None


# What each operation takes, in order.  `body` is the rest of the form,
# `options` the (deadline N) and (shield) that may stand before a body.
SIGNATURES = {
    "note": ("atom",),
    "sleep": ("time",),
    "checkpoint": (),
    "fail": ("error",),
    "group": ("name", "body"),
    "spawn": ("name", "task"),
    "start": ("name", "task"),
    "started": (),
    "scope": ("name", "options", "body"),
    "fail-after": ("name", "time", "body"),
    "cancel": ("name",),
    "deadline": ("name", "time"),
    "shield": ("name", "switch"),
    "try": ("list", "handler"),
    "finally": ("list", "list"),
    "swallow": ("body",),
    "send": ("channel", "value"),
    "recv": ("channel",),
    "close": ("channel",),
    "set": ("event",),
    "wait": ("event",),
    "lock": ("lock", "body"),
    "acquire": ("sem",),
    "release": ("sem",),
    "limit": ("limiter", "body"),
    "repeat": ("count", "body"),
    "time": (),
}

DECLARATIONS = {
    "channel": ("channels", True),
    "event": ("events", False),
    "lock": ("locks", False),
    "sem": ("sems", True),
    "limiter": ("limiters", True),
}


def read_forms(text):
    """All forms of a text, each with its offset."""
    top, stack, at = [], [], 0
    current = top
    while at < len(text):
        token = TOKEN.match(text, at)
        word = token.group()
        if word == "(":
            form = Form()
            form.at = at
            current.append(form)
            stack.append(current)
            current = form
        elif word == ")":
            if not stack:
                raise ScenarioError(text, at, "')' without '('")
            current = stack.pop()
        elif not (word[0].isspace() or word[0] == ";"):
            atom = Atom(word)
            atom.at = at
            current.append(atom)
        at = token.end()
    if stack:
        raise ScenarioError(text, current.at, "'(' without ')'")
    return top


class Checker:
    def __init__(self, text):
        self.text = text
        self.program = Program()

    def fail(self, at, message):
        raise ScenarioError(self.text, at, message)

    def read(self):
        forms = read_forms(self.text)
        if len(forms) != 1 or not isinstance(forms[0], Form) or forms[0][:1] != ["program"]:
            at = forms[1].at if len(forms) > 1 else forms[0].at if forms else 0
            self.fail(at, "expected one (program ...)")
        bodies = []
        for form in forms[0][1:]:
            if not isinstance(form, Form) or not form or not isinstance(form[0], Atom):
                self.fail(form.at, "expected a declaration, a task or main")
            bodies += self.declaration(form)
        if self.program.main is None:
            self.fail(forms[0].at, "a program needs a main")
        # Bodies last: a task may name one that stands further down.
        for ops, rest in bodies:
            ops += self.ops(rest)
        return self.program

    def declaration(self, form):
        """Enters one declaration; the bodies in it are left for later."""
        kind = form[0]
        if kind in DECLARATIONS:
            table, counted = DECLARATIONS[kind]
            if len(form) != (3 if counted else 2):
                self.fail(form.at, f"{kind} takes a name{' and a number' if counted else ''}")
            name = self.new_name(getattr(self.program, table), form[1])
            count = self.integer(form[2], 0, INTEGER_MAX) if counted else None
            getattr(self.program, table)[name] = count
            return []
        if kind == "task":
            if len(form) < 2:
                self.fail(form.at, "task takes a name")
            ops = self.program.tasks[self.new_name(self.program.tasks, form[1])] = []
            return [(ops, form[2:])]
        if kind == "main":
            if self.program.main is not None:
                self.fail(form.at, "main is there already")
            self.program.main = []
            return [(self.program.main, form[1:])]
        self.fail(kind.at, f"unknown declaration '{kind}'")

    def new_name(self, table, atom):
        name = self.name(atom)
        if name in table:
            self.fail(atom.at, f"'{name}' is declared already")
        return name

    def ops(self, forms):
        return [self.op(form) for form in forms]

    def op(self, form):
        if not isinstance(form, Form) or not form or not isinstance(form[0], Atom):
            self.fail(form.at, "expected an operation")
        name, rest = str(form[0]), form[1:]
        if name not in SIGNATURES:
            self.fail(form[0].at, f"unknown operation '{name}'")
        args = []
        for kind in SIGNATURES[name]:
            if kind == "body":
                args.append(self.ops(rest))
                rest = []
            elif kind == "options":
                args += self.options(rest)
            elif not rest:
                self.fail(form.at, f"'{name}' takes more")
            else:
                args.append(self.argument(kind, rest.pop(0)))
        if rest:
            self.fail(rest[0].at, f"'{name}' takes no more")
        return Op(name, args)

    def argument(self, kind, given):
        if kind == "list":
            return self.list(given)
        if kind == "handler":
            return self.handler(given)
        if kind == "time" or kind == "count":
            return self.integer(given, 0, INTEGER_MAX)
        if kind == "value":
            return self.integer(given, -INTEGER_MAX, INTEGER_MAX)
        if kind == "error":
            return self.integer(given, 1, 99)
        if kind == "atom":
            return str(self.atom(given))
        if kind == "switch":
            if self.atom(given) not in ("on", "off"):
                self.fail(given.at, "expected on or off")
            return given == "on"
        if kind == "name":
            return self.name(given)
        table = self.program.tasks if kind == "task" else None
        if table is None:
            table = getattr(self.program, DECLARATIONS[kind][0])
        if self.name(given) not in table:
            self.fail(given.at, f"unknown {kind} '{given}'")
        return str(given)

    def options(self, rest):
        """Takes (deadline N) and (shield) off the front; returns both."""
        deadline, shield = None, False
        while rest and isinstance(rest[0], Form):
            option = rest[0]
            if option[:1] == ["deadline"] and len(option) == 2 and deadline is None:
                deadline = self.integer(option[1], 0, INTEGER_MAX)
            elif option == ["shield"] and not shield:
                shield = True
            else:
                break
            rest.pop(0)
        return deadline, shield

    def handler(self, form):
        if not isinstance(form, Form) or not form:
            self.fail(form.at, "expected a handler (K op...)")
        key = self.atom(form[0])
        key = None if key == "any" else self.integer(key, 1, 99)
        return key, self.ops(form[1:])

    def list(self, form):
        if not isinstance(form, Form):
            self.fail(form.at, "expected a list of operations")
        return self.ops(form)

    def atom(self, given):
        if not isinstance(given, Atom):
            self.fail(given.at, "expected an atom")
        return given

    def name(self, given):
        if INTEGER.match(self.atom(given)):
            self.fail(given.at, "expected a name")
        return str(given)

    def integer(self, given, low, high):
        if not INTEGER.match(self.atom(given)) or not low <= int(given) <= high:
            self.fail(given.at, f"expected an integer from {low} to {high}")
        return int(given)


def parse(text):
    """The program in `text`; ScenarioError where there is none."""
    return Checker(text).read()


def write(form, width=96):
    """The text of nested lists, short ones on a line of their own."""

    def flat(node):
        if not isinstance(node, (list, tuple)):
            return str(node)
        return "(" + " ".join(map(flat, node)) + ")"

    def lines(node, indent):
        line = flat(node)
        if len(line) + indent <= width or not isinstance(node, (list, tuple)):
            return [" " * indent + line]
        head = []
        for item in node:
            if isinstance(item, (list, tuple)):
                break
            head.append(str(item))
        out = [" " * indent + "(" + " ".join(head)]
        rest = node[len(head):]
        for index, item in enumerate(rest):
            below = lines(item, indent + 2)
            if index == 0 and not head:
                below[0] = " " * indent + "(" + below[0].lstrip()
                out = []
            out += below
        out[-1] += ")"
        return out

    return "\n".join(lines(form, 0)) + "\n"


def by_task(trace):
    """A trace (list of lines) as each task's own sequence of lines.

    Two traces agree when these are equal.  The last line of all, the result,
    stands under its own word: no task can have that name.
    """
    tasks = {}
    for line in trace:
        tasks.setdefault(line.split(" ", 2)[1], []).append(line)
    return tasks
