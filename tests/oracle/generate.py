#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Random scenario programs, the same for the same seed.

Half are drawn from the grammar with weights; half start from a shape in which
implementations are known to go wrong, with random parts put in.  Sleeps are
multiples of 10 and deadlines odd multiples of 5, so that many things happen at
one instant, but seldom a sleep's end and a deadline around it (world.py notices
where they do).
"""

import argparse
import random

from scenario import write

SLEEPS = (10, 10, 20, 20, 30, 40, 50, 60, 80, 100)
DEADLINES = (5, 15, 15, 25, 35, 45, 55, 75, 95)
GROUPS = ("G", "H", "J", "X")
SCOPES = ("S", "T", "U", "X")  # X may be either: cancel has to find the inner one
NESTING_MAX = 6
TASKS_MAX = 20

CORE = {
    "note": 8, "sleep": 18, "checkpoint": 5, "fail": 5, "time": 2, "group": 9, "spawn": 18,
    "start": 8, "started": 3, "scope": 8, "fail-after": 5, "cancel": 7, "deadline": 4,
    "shield": 4, "try": 7, "finally": 6, "swallow": 5, "repeat": 2, "shape": 3,
}
SYNC = {
    "send": 14, "recv": 14, "close": 3, "set": 5, "wait": 6, "lock": 8, "acquire": 5,
    "release": 5, "limit": 6,
}
# What tasks meet at: the operations of each kind.
KINDS = {
    "channel": ("send", "recv", "close"),
    "event": ("set", "wait"),
    "lock": ("lock",),
    "sem": ("acquire", "release"),
    "limiter": ("limit",),
}
# `core` has none of these, `full` all; `sync` draws one of the kinds, or full, for each program.
PROFILES = ("core", *KINDS, "full", "sync")


class Place:
    """Where in the program an operation is to stand: what it sees, what it holds."""

    def __init__(self, names=(), depth=0, held=(), started=False):
        self.names = names  # (kind, word), the innermost last
        self.depth = depth
        self.held = held  # locks and limiters of this task
        self.started = started  # in a task made for `start`

    def inside(self, *names, held=()):
        return Place(self.names + names, self.depth + 1, self.held + held, self.started)

    def words(self, *kinds):
        return [word for kind, word in self.names if kind in kinds]

    def of_child(self, group, started=False):
        """The place of a child of the innermost group of that name."""
        last = max(i for i, name in enumerate(self.names) if name == ("group", group))
        return Place(self.names[: last + 1], self.depth + 1, (), started)


class Generator:
    def __init__(self, dice, profile):
        self.dice = dice
        if profile == "sync":
            profile = dice.choice((*KINDS, "full"))
        self.meets = tuple(KINDS) if profile == "full" else () if profile == "core" else (profile,)
        self.tasks = {}
        self.done = []  # templates whose body is complete: these may be used again
        self.left = min(60, int(dice.paretovariate(0.8) * 6))
        self.notes = 0
        self.declared = {}
        weights = dict(CORE)
        if self.meets:
            words = [word for kind in self.meets for word in KINDS[kind]]
            more = 42 / sum(SYNC[word] for word in words)
            weights.update({word: SYNC[word] * (more if more > 1 else 1) for word in words})
            weights["shape"] = 6
            declared = {
                "channel": {"C": dice.choice((0, 0, 1, 2)), "D": dice.choice((0, 1, 3))},
                "event": {"E": None, "F": None},
                "lock": {"L": None, "K": None},
                "sem": {"P": dice.choice((0, 1, 1, 2))},
                "limiter": {"M": dice.choice((1, 1, 1, 2, 2, 0))},
            }
            self.declared = {kind: declared[kind] for kind in self.meets}
        self.kinds = list(weights)
        self.weights = list(weights.values())

    # ---- the whole

    def program(self):
        place = Place()
        if self.dice.random() < (0.7 if len(self.meets) == 1 else 0.5):
            main = self.around(place, self.shape)
        else:
            main = self.ops(place, 3, 8)
        if self.meets and self.dice.random() < 0.5:  # what waits for ever ends the program
            main = [["scope", "Z", ["deadline", 295], *main], *self.some(place, 2)]
        declarations = [
            [kind, word] if count is None else [kind, word, count]
            for kind, words in self.declared.items()
            for word, count in words.items()
        ]
        tasks = [["task", name] + ops for name, ops in self.tasks.items()]
        return ["program"] + declarations + tasks + [["main"] + main]

    def around(self, place, make):
        """What make(place) gives, now and then inside or beside something random."""
        roll = self.dice.random()
        if roll < 0.2:
            word = self.word(SCOPES)
            inner = place.inside(("scope", word))
            return [["scope", word, *self.options()] + make(inner)] + self.some(place, 2)
        if roll < 0.35:
            word = self.word(GROUPS)
            inner = place.inside(("group", word))
            return [["group", word, *self.some(inner, 1)] + make(inner)] + self.some(place, 2)
        if roll < 0.5:
            return [["try", make(place), self.handler(place)]] + self.some(place, 1)
        return make(place) + self.some(place, 2)

    def shape(self, place):
        if self.meets and self.dice.random() < (0.75 if len(self.meets) == 1 else 0.6):
            kind = self.dice.choice(self.meets)
            return self.dice.choice(SYNC_SHAPES + KIND_SHAPES.get(kind, ()))(self, place, kind)
        return self.dice.choice(SHAPES)(self, place)

    # ---- small things

    def word(self, words):
        return self.dice.choice(words)

    def seen(self, place, *kinds):
        """A word that means something at that place; now and then one that may not."""
        words = place.words(*kinds)
        if not words or self.dice.random() < 0.12:
            return self.dice.choice(GROUPS + SCOPES)
        return self.dice.choice(words[-2:] if self.dice.random() < 0.6 else words)

    def sleep(self):
        return ["sleep", self.dice.choice(SLEEPS)]

    def deadline(self):
        return self.dice.choice(DEADLINES) if self.dice.random() < 0.95 else 0

    def note(self):
        self.notes += 1
        return ["note", self.notes]

    def fail(self):
        return ["fail", self.dice.randint(1, 3)]  # few, so that handlers match

    def options(self):
        out = []
        if self.dice.random() < 0.55:
            out.append(["deadline", self.deadline()])
        if self.dice.random() < 0.3:
            out.append(["shield"])
        return out

    def handler(self, place):
        key = self.dice.choice((1, 2, 3, "any", "any"))
        ops = [self.note()] + self.ops(place.inside(), 0, 2)
        if self.dice.random() < 0.25:
            ops.append(self.dice.choice((self.fail(), ["checkpoint"], self.sleep())))
        return [key] + ops

    def some(self, place, most):
        return self.ops(place, 0, most)

    def new_task(self):
        name = f"T{len(self.tasks)}"
        self.tasks[name] = []
        return name

    def template(self, ops):
        name = self.new_task()
        self.tasks[name] += ops
        self.done.append(name)
        return name

    def child(self, place, group, started=False):
        """A template for a child of `group`: a new one, or one that is there."""
        if self.done and (len(self.tasks) >= TASKS_MAX or self.dice.random() < 0.3):
            return self.dice.choice(self.done)
        if len(self.tasks) >= TASKS_MAX or place.depth >= NESTING_MAX:
            return None
        name = self.new_task()
        ops = self.tasks[name]
        if self.meets and self.dice.random() < 0.5:
            ops.append(["sleep", self.dice.randint(1, 9)])  # who queues first is settled
        ops += self.ops(place.of_child(group, started), 1, 5)
        if started and self.dice.random() < 0.7:
            ops.insert(self.dice.randint(0, len(ops)), ["started"])
        self.done.append(name)
        return name

    # ---- operations

    def ops(self, place, least, most):
        out = []
        for _ in range(self.dice.randint(least, most)):
            if self.left <= 0:
                break
            self.left -= 1
            kind = self.dice.choices(self.kinds, self.weights)[0]
            op = self.op(kind, place)
            if op:
                out.append(op)
        return out

    def op(self, kind, place):
        """One operation, or None where it has no sense here."""
        dice = self.dice
        if kind in ("note", "sleep", "fail"):
            return getattr(self, kind)() if dice.random() > 0.04 else ["sleep", 0]
        if kind in ("checkpoint", "time"):
            return [kind]
        if kind == "started":
            return ["started"] if place.started or dice.random() < 0.1 else None
        if kind in ("spawn", "start"):
            group = self.seen(place, "group")
            if ("group", group) in place.names:
                child = self.child(place, group, kind == "start")
            else:
                child = self.done and dice.choice(self.done)
            return child and [kind, group, child]
        if kind == "cancel":
            return ["cancel", self.seen(place, "scope", "group")]
        if kind == "deadline":
            return ["deadline", self.seen(place, "scope"), self.deadline()]
        if kind == "shield":
            return ["shield", self.seen(place, "scope"), dice.choice(("on", "off"))]
        if kind in SYNC:
            return self.sync(kind, place)
        if place.depth >= NESTING_MAX or (kind == "shape" and place.held):
            return None  # a shape may take what is held already
        return self.block(kind, place)

    def block(self, kind, place):
        dice = self.dice
        inner = place.inside()
        if kind == "shape":
            ops = self.shape(inner) if len(self.tasks) < TASKS_MAX - 4 else []
            return ["repeat", 1] + ops
        if kind == "group":
            word = self.word(GROUPS)
            inner = place.inside(("group", word))
            return ["group", word] + self.children(inner, word) + self.ops(inner, 0, 4)
        if kind == "scope":
            word = self.word(SCOPES)
            inner = place.inside(("scope", word))
            return ["scope", word] + self.options() + self.ops(inner, 1, 5)
        if kind == "fail-after":
            word = self.word(SCOPES)
            inner = place.inside(("scope", word))
            return ["fail-after", word, self.deadline()] + self.ops(inner, 1, 5)
        if kind == "try":
            return ["try", self.ops(inner, 1, 4), self.handler(place)]
        if kind == "finally":
            return ["finally", self.ops(inner, 1, 4), self.ops(inner, 1, 3)]
        if kind == "swallow":
            return ["swallow"] + self.ops(inner, 1, 4)
        return ["repeat", dice.randint(0, 3)] + self.ops(inner, 1, 3)

    def children(self, inner, group):
        """Groups mostly begin with a few children."""
        out = []
        for _ in range(self.dice.choice((0, 1, 1, 2, 2, 3))):
            if self.left > 0:
                self.left -= 1
                name = self.child(inner, group)
                if name:
                    out.append(["spawn", group, name])
        return out

    def sync(self, kind, place):
        dice = self.dice
        if kind == "send":
            self.notes += 1
            op = ["send", dice.choice("CD"), self.notes]
        elif kind in ("recv", "close"):
            op = [kind, dice.choice("CD")]
        elif kind in ("set", "wait"):
            op = [kind, dice.choice("EF")]
        elif kind in ("acquire", "release"):
            op = [kind, "P"]
        else:
            word = "M" if kind == "limit" else dice.choice("LK")
            if word in place.held or place.depth >= NESTING_MAX:
                return None
            op = [kind, word] + self.ops(place.inside(held=(word,)), 0, 3)
        # What may wait for ever often stands under a deadline.
        if kind in ("send", "recv", "wait", "lock", "acquire", "limit") and dice.random() < 0.4:
            return ["scope", self.word(SCOPES), ["deadline", self.deadline()], op]
        return op


# Shapes: each returns operations for `place`, with its parameters drawn.


def both_fail(gen, place):
    """An inner and an outer group fail, near each other or at one instant."""
    inner_child = gen.template([gen.sleep(), gen.fail()])
    outer_child = gen.template([gen.sleep(), gen.fail()])
    slow = gen.template([["finally", [["sleep", 100]], gen.some(place, 2) + [gen.note()]]])
    inner = [["spawn", "H", inner_child], ["spawn", "H", slow]] + gen.some(
        place.inside(("group", "G"), ("group", "H")), 2)
    gen.dice.shuffle(inner)
    group = ["group", "H"] + inner
    if gen.dice.random() < 0.5:
        group = ["try", [group], gen.handler(place)]
    return [["group", "G", ["spawn", "G", outer_child], group, gen.sleep(), gen.note()]]


def cleanup(gen, place):
    """A cancellation meets tasks that clean up, with or without a shield and a limit."""
    inner = place.inside(("group", "G"))
    children = []
    for _ in range(gen.dice.randint(1, 3)):
        options = gen.dice.choice(([["shield"]], [["shield"], ["deadline", gen.deadline()]], []))
        last = [["scope", "T", *options, gen.sleep(), gen.note()]] + gen.some(inner, 2)
        if gen.dice.random() < 0.3:
            last.append(gen.fail())
        first = [gen.sleep(), gen.note(), ["sleep", 200]]
        children.append(gen.template([["finally", first, last]]))
    body = [["spawn", "G", child] for child in children] + gen.some(inner, 2)
    body += gen.dice.choice(([gen.sleep(), ["cancel", "G"]], [gen.sleep(), gen.fail()], []))
    return [["scope", "S", ["deadline", gen.deadline()], ["group", "G"] + body], gen.note()]


def start_cancelled(gen, place):
    """A start meets its cancellation before, at or after `started`."""
    early, late = gen.sleep(), gen.sleep()
    body = [early, ["started"], gen.note(), late, gen.note()]
    roll = gen.dice.random()
    if roll < 0.25:
        body = [["finally", body, gen.some(place, 2) + [["started"], gen.note()]]]
    elif roll < 0.5:
        body = [["swallow", early], ["started"], gen.note(), late]
    elif roll < 0.6:
        body = [["scope", "U", ["shield"], early, ["started"], late], gen.note()]
    elif roll < 0.7:
        child = gen.template([gen.sleep(), gen.dice.choice((gen.fail(), gen.note()))])
        body = [["group", "J", ["spawn", "J", child], early, ["started"], late, gen.note()]]
    if gen.dice.random() < 0.3:
        body.append(gen.fail())
    child = gen.template(body)
    scope = gen.dice.choice((
        ["scope", "S", ["deadline", gen.deadline()], ["start", "G", child], gen.sleep()],
        ["scope", "S", ["cancel", "S"], ["start", "G", child], gen.note(), ["checkpoint"]],
        ["fail-after", "S", gen.deadline(), ["start", "G", child], gen.sleep()],
        ["group", "H", ["spawn", "H", gen.template([gen.sleep(), gen.fail()])],
         ["start", "G", child], gen.sleep()],
    ))
    after = gen.dice.choice(([], [gen.sleep(), ["cancel", "G"]], [["cancel", "G"]], [gen.sleep()]))
    inner = place.inside(("group", "G"))
    return [["group", "G", *gen.some(inner, 1), scope, gen.note(), *after]]


def shield_toggled(gen, place):
    """A shield goes up and down while a cancellation from outside is about."""
    toggles, on = [], gen.dice.random() < 0.3
    for _ in range(gen.dice.randint(1, 4)):
        toggles += [gen.sleep(), ["shield", "T", "on" if on else "off"]]
        on = not on if gen.dice.random() < 0.8 else on
    toggler = gen.template([["scope", "U", ["shield"]] + toggles] if gen.dice.random() < 0.7
                           else toggles)
    options = [["shield"]] if gen.dice.random() < 0.6 else []
    inner = place.inside(("scope", "S"), ("scope", "T"), ("group", "G"))
    body = [["spawn", "G", toggler]]
    for _ in range(gen.dice.randint(0, 2)):
        body.append(["spawn", "G", gen.template([
            ["finally", [["sleep", 100]], [gen.note(), *gen.some(inner, 1)]]])])
    body += [gen.dice.choice((["swallow", ["sleep", 60]], ["sleep", 60])), gen.note()]
    return [["scope", "S", ["deadline", gen.deadline()],
             ["scope", "T", *options, ["group", "G"] + body, gen.note(), ["checkpoint"]],
             gen.note(), ["checkpoint"]], gen.note()]


def shield_after_an_end(gen, place):
    """One child has ended cancelled, another puts a shield up over the group and a start."""
    quick = gen.template([gen.dice.choice((["sleep", 100], ["checkpoint"], ["sleep", 40]))])
    ready = gen.template([["sleep", 40], ["started"], gen.note()])
    slow = gen.template([["finally", [["sleep", 100]],
                          [["scope", "U", ["shield"], gen.sleep()], ["shield", "T", "on"],
                           gen.note(), *gen.dice.choice(([], [["sleep", 20], gen.note()]))]]])
    other = gen.template([["scope", "U", ["shield"], gen.sleep(), gen.sleep(), gen.sleep()],
                          gen.sleep(), gen.note()])
    spawns = [["spawn", "G", quick], ["spawn", "G", slow], ["spawn", "G", other]]
    gen.dice.shuffle(spawns)
    body = spawns[:gen.dice.randint(2, 3)]
    if gen.dice.random() < 0.3:
        body.append(["start", "G", gen.dice.choice((quick, ready))])
    return [["scope", "S", ["deadline", gen.deadline()],
             ["scope", "T", ["group", "G", *body], gen.note(), ["checkpoint"], gen.note()],
             gen.note(), ["checkpoint"]], gen.note()]


def deadline_moved(gen, place):
    """A deadline is moved, from inside or by a child, before or after it fired."""
    moves = []
    for _ in range(gen.dice.randint(1, 3)):
        moves += [gen.sleep(), ["deadline", "S", gen.deadline()]]
    child = gen.template(
        [["scope", "U", ["shield"]] + moves] if gen.dice.random() < 0.4 else moves)
    inner = place.inside(("scope", "S"), ("group", "G"))
    body = [["group", "G", ["spawn", "G", child], *gen.some(inner, 2), ["sleep", 100], gen.note()]]
    if gen.dice.random() < 0.3:
        body.insert(0, ["deadline", "S", gen.deadline()])
    if gen.dice.random() < 0.5:
        return [["scope", "S", ["deadline", gen.deadline()], *body], gen.note()]
    return [["try", [["fail-after", "S", gen.deadline(), *body]], gen.handler(place)], gen.note()]


def late_spawn(gen, place):
    """Tasks are spawned or started into a group that is cancelled or closing."""
    late = gen.template([gen.note(), *gen.some(place, 2), gen.sleep(), gen.note()])
    ready = gen.template([gen.note(), ["started"], gen.sleep(), gen.note()])
    more = [gen.dice.choice((["spawn", "G", late], ["start", "G", ready], ["start", "G", late]))
            for _ in range(gen.dice.randint(1, 3))]
    if gen.dice.random() < 0.5:
        more = [["scope", "T", ["shield"], gen.sleep()]] + more
    child = gen.template([["finally", [gen.sleep()], more]])
    inner = place.inside(("group", "G"))
    end = gen.dice.choice(([], [["cancel", "G"]], [gen.fail()], [gen.sleep(), ["cancel", "G"]]))
    return [["group", "G", ["spawn", "G", child], *gen.some(inner, 2), *end]]


def hydra(gen, place):
    """Children spawn more children into a group that is going down."""
    name = gen.template([gen.note(), gen.sleep(), gen.note()])
    for _ in range(gen.dice.randint(1, 3)):
        body = [["spawn", "G", name]] * gen.dice.randint(1, 2)
        body += [gen.dice.choice((gen.fail(), gen.sleep(), ["checkpoint"]))]
        body += [["spawn", "G", name]] * gen.dice.randint(0, 1)
        if gen.dice.random() < 0.4:
            body = [["finally", body, [["spawn", "G", name]]]]
        name = gen.template(body)
    return [["group", "G", ["spawn", "G", name], gen.sleep(), ["spawn", "G", name]]]


def errors_in_finally(gen, place):
    """Errors and cancellations meet in clean-up lists, which may fail as well."""
    def part():
        return gen.dice.choice(([gen.fail()], [gen.sleep()], [["checkpoint"]], [gen.note()],
                                [gen.sleep(), gen.fail()]))
    children = [gen.template([["finally", [["finally", part(), part()]], part() + [gen.note()]]])
                for _ in range(gen.dice.randint(1, 3))]
    spawns = [["spawn", "G", child] for child in children]
    body = [["finally", spawns + part(), part() + [gen.note()]]]
    group = ["group", "G"] + body
    if gen.dice.random() < 0.6:
        return [["scope", "S", ["deadline", gen.deadline()], group, gen.note()], gen.note()]
    return [group]


def mixed_tree(gen, place):
    """A tree of errors and cancellations goes through try, swallow and scopes."""
    def child():
        return gen.template(gen.dice.choice((
            [gen.sleep(), gen.fail()],
            [["sleep", 20], gen.fail()],
            [["finally", [["sleep", 100]], [gen.fail()]]],
            [["finally", [["sleep", 100]], [gen.note()]]],
            [["fail-after", "U", gen.deadline(), ["sleep", 200]]],
            [["sleep", 100], gen.note()],
        )))

    def tree(depth):
        word = GROUPS[depth % 3]
        body = [["spawn", word, child()] for _ in range(gen.dice.randint(1, 3))]
        if depth < 2 and gen.dice.random() < 0.6:
            body += tree(depth + 1)
        if gen.dice.random() < 0.3:
            body.append(gen.sleep())
        gen.dice.shuffle(body)
        ops = [["group", word] + body]
        if gen.dice.random() < 0.3:
            ops = [["finally", ops, gen.some(place, 2)]]
        roll = gen.dice.random()
        if roll < 0.4:
            ops = [["try", ops, gen.handler(place)]]
        elif roll < 0.65:
            ops = [["swallow"] + ops]
        return ops + ([gen.note()] if gen.dice.random() < 0.5 else [["checkpoint"], gen.note()])

    ops = [["scope", "S", ["deadline", gen.dice.choice((15, 25, 35))]] + tree(0), gen.note()]
    return ops if gen.dice.random() < 0.5 else [["try", ops, gen.handler(place)], gen.note()]


def two_kinds(gen, place):
    """Part of a tree is handled or forgotten, and the rest goes on, maybe with more."""
    when = gen.sleep()
    bodies = [[when, ["fail", 1]], [when, ["fail", 2]],
              [["finally", [["sleep", 100]], [gen.dice.choice((["fail", 2], gen.note()))]]]]
    gen.dice.shuffle(bodies)
    spawns = [["spawn", "G", gen.template(body)] for body in bodies[:gen.dice.randint(2, 3)]]
    group = ["group", "G", *spawns, *gen.dice.choice(([], [["sleep", 100]]))]
    end = gen.dice.choice(([["fail", 3]], [["fail", 3]], [["checkpoint"]], [["fail", 2]], []))
    ops = gen.dice.choice((
        [["try", [group], [gen.dice.choice((1, 2, "any")), gen.note(), *end]]],
        [["swallow", group]],
        [["try", [["swallow", group]], [1, gen.note(), *end]]],
        [["swallow", ["try", [group], [1, gen.note(), *end]]]],
    ))
    if gen.dice.random() < 0.6:
        deadline = gen.dice.choice((5, 15, 25, 45))
        ops = [gen.dice.choice((["scope", "S", ["deadline", deadline]],
                                ["fail-after", "S", deadline]))
               + ops + gen.dice.choice(([], [gen.note(), ["checkpoint"]]))]
    ops.append(gen.note())
    return [gen.dice.choice((["group", "H", *ops], ["try", ops, gen.handler(place)])), gen.note()]


def nested_limits(gen, place):
    """Deadlines inside deadlines, equal ones too, with shields between."""
    def level(depth):
        if depth == 0:
            return [["sleep", 200], gen.note()]
        word = SCOPES[depth % 3]
        at = gen.dice.choice((15, 15, 25, 35))
        body = level(depth - 1) + gen.dice.choice(([], [["checkpoint"]], [gen.sleep()]))
        body.append(gen.note())
        if gen.dice.random() < 0.4:
            return [["fail-after", word, at] + body]
        shield = [["shield"]] if gen.dice.random() < 0.3 else []
        return [["scope", word, ["deadline", at], *shield] + body]

    ops = level(gen.dice.randint(2, 4))
    if gen.dice.random() < 0.4:
        ops = [["group", "G", ["spawn", "G", gen.template(ops)], gen.sleep(),
                gen.dice.choice((gen.fail(), ["cancel", "G"], gen.note()))]]
    return [["try", ops, gen.handler(place)], gen.note()]


def started_subtree(gen, place):
    """A task is adopted with scopes, groups and children of its own."""
    grandchild = gen.template([["finally", [gen.sleep(), gen.dice.choice((gen.fail(), gen.note()))],
                                [gen.note()]]])
    inner = [["spawn", "J", grandchild], gen.sleep(), ["started"], gen.sleep(), gen.note()]
    body = [["scope", "U", *gen.options(), ["group", "J"] + inner], gen.note()]
    child = gen.template(body)
    starter = gen.template([["scope", "S", ["deadline", gen.deadline()], ["start", "G", child],
                             gen.sleep()], gen.note()])
    there = place.inside(("group", "G"))
    end = gen.dice.choice(([["cancel", "G"]], [gen.fail()], [], [gen.sleep()]))
    return [["group", "G", ["group", "H", ["spawn", "H", starter], *gen.some(there, 1)],
             gen.note(), *end]]


def unnoticed(gen, place):
    """Work in a cancelled scope that looks nowhere: joins and starts end well."""
    quick = gen.template([gen.note(), *gen.dice.choice(([], [["started"]], [gen.fail()]))])
    other = gen.template([gen.note(), ["started"], *gen.dice.choice(([], [["checkpoint"]])),
                          gen.note()])
    ops = [gen.dice.choice((["spawn", "G", quick], ["start", "G", quick], ["start", "G", other],
                            ["spawn", "G", other])) for _ in range(gen.dice.randint(1, 3))]
    inner = place.inside(("scope", "S"), ("group", "G"))
    return [["scope", "S", ["cancel", "S"], ["group", "G", *ops, *gen.some(inner, 1)], gen.note(),
             *gen.some(place, 1), ["checkpoint"], gen.note()], gen.note()]


def looks_once(gen, place):
    """A cancellation comes while its task is between two checkpoints."""
    killer = gen.template([gen.dice.choice((["cancel", "S"], ["cancel", "G"], gen.fail(),
                                            ["deadline", "S", 0]))])
    quiet = gen.dice.choice(([["checkpoint"]], [["sleep", 0]], [["swallow", ["checkpoint"]]],
                             [["group", "H"]], [["group", "H", ["spawn", "H", killer]]]))
    inner = place.inside(("scope", "S"), ("group", "G"))
    body = [["spawn", "G", killer], *quiet, gen.note(), *gen.some(inner, 1), *quiet, gen.note()]
    word = gen.dice.choice((["scope", "S"], ["fail-after", "S", gen.deadline()]))
    return [word + [["group", "G"] + body[:gen.dice.randint(2, len(body))]], gen.note()]


def foreign_names(gen, place):
    """A child names what its spawner sees, what its group's opener saw, and what it opens."""
    words = ["S", "T", "G", "H"]
    ops = []
    for _ in range(gen.dice.randint(1, 3)):
        word = gen.dice.choice(words)
        ops += gen.dice.choice(([["cancel", word]], [["deadline", word, gen.deadline()]],
                                [["shield", word, "on"]], [gen.sleep()],
                                [["spawn", word, gen.template([gen.note()])]],
                                [["start", word, gen.template([["checkpoint"], ["started"]])]]))
    child = gen.template(gen.dice.choice((ops, [["scope", "T"] + ops + [["sleep", 30]]])))
    child = gen.template([["scope", "S", ["spawn", "G", child], ["sleep", 30], gen.note()]]
                         if gen.dice.random() < 0.5 else
                         [["group", "G", ["spawn", "H", child], ["sleep", 30]], gen.note()])
    inner = place.inside(("scope", "S"), ("group", "G"), ("group", "H"))
    return [["scope", "S", ["group", "G", ["group", "H", ["spawn", "H", child], gen.note(),
                                          *gen.some(inner, 2), ["sleep", 50]],
                           gen.note(), ["sleep", 20]], gen.note(), ["checkpoint"]], gen.note()]


# Shapes in which tasks meet at something of a kind.


def use(gen, kind, body):
    """Waits for something of that kind, then (or with it) does the body."""
    if kind == "channel":
        gen.notes += 1
        return [gen.dice.choice((["recv", "C"], ["recv", "C"], ["send", "C", gen.notes]))] + body
    if kind == "event":
        return [["wait", "E"]] + body
    if kind == "sem":
        return [["acquire", "P"], ["finally", body or [gen.note()], [["release", "P"]]]]
    return [["lock", "L"] + body if kind == "lock" else ["limit", "M"] + body]


def give(gen, kind):
    """Something for which those who wait by use() may wait."""
    if kind == "channel":
        gen.notes += 1
        return gen.dice.choice(([["send", "C", gen.notes]], [["recv", "C"]], [["close", "C"]],
                                [["scope", "U", ["deadline", 15], ["recv", "C"]]]))
    if kind == "event":
        return [["set", "E"]]
    if kind == "sem":
        return [["release", "P"]]
    return use(gen, kind, gen.dice.choice(([], [gen.note()], [["sleep", 3]])))


def limited(gen, ops):
    """The ops under a deadline, or shielded, or forgiven, or as they are."""
    return gen.dice.choice((
        ops, ops,
        [["scope", "T", ["deadline", gen.deadline()]] + ops],
        [["fail-after", "T", gen.deadline()] + ops],
        [["scope", "T", ["deadline", gen.deadline()], ["shield"]] + ops],
        [["swallow"] + ops],
        [["finally", ops, [gen.note()]]],
    ))


def handed_over(gen, place, kind):
    """What a task waits for is given to it and it is cancelled, in one instant, either first."""
    waiters = []
    for n in range(gen.dice.randint(1, 3)):
        body = gen.dice.choice(([gen.note()], [gen.note(), gen.sleep(), gen.note()],
                                [["checkpoint"], gen.note()]))
        waiters.append(gen.template([["sleep", n + 1], *limited(gen, use(gen, kind, body))]))
    word = gen.dice.choice("SG")
    acts = [give(gen, kind) for _ in range(gen.dice.randint(1, 2))] + [[["cancel", word]]]
    gen.dice.shuffle(acts)
    first = [["sleep", 10]]
    acts = first + [op for act in acts for op in act]
    if kind in ("lock", "limiter"):  # they wait because it is held; leaving it is the gift
        acts = use(gen, kind, first) + gen.dice.choice(([["cancel", word]], acts))
    giver = gen.dice.choice((acts, [["scope", "U", ["shield"]] + acts]))
    spawns = [["spawn", "G", waiter] for waiter in waiters]
    spawns.append(["spawn", "G", gen.template(giver)])
    gen.dice.shuffle(spawns)
    again = ["scope", "T", ["deadline", 15], *use(gen, kind, [gen.note()])]
    return [["scope", "S", ["group", "G", *spawns]], again, gen.note()]


def queue_with_holes(gen, place, kind):
    """Tasks queue in a settled order, some leave it early, then all is given out."""
    spawns = []
    for n in range(gen.dice.randint(3, 5)):
        ops = use(gen, kind, [gen.note()] + gen.dice.choice(([], [gen.sleep()], [gen.fail()])))
        if gen.dice.random() < 0.5:
            ops = [["scope", "T", ["deadline", gen.dice.choice((5, 15, 25))], *ops], gen.note()]
        spawns.append(["spawn", "G", gen.template([["sleep", n + 1], *ops])])
    gives = []
    for _ in range(gen.dice.randint(1, 4)):
        gives += gen.dice.choice(([], [gen.sleep()])) + give(gen, kind)
    holds = kind in ("lock", "limiter")
    body = spawns + (use(gen, kind, [gen.sleep(), gen.note()]) if holds else [gen.sleep()]) + gives
    return [["scope", "S", ["deadline", gen.dice.choice((55, 75, 95))], ["group", "G", *body]],
            gen.note()]


def waits_when_cancelled(gen, place, kind):
    """A task that is cancelled waits in its clean-up, or waits again."""
    last = gen.dice.choice((
        [["scope", "U", ["shield"], ["deadline", gen.deadline()], *use(gen, kind, [gen.note()])]],
        use(gen, kind, [gen.note()]),
        [["swallow", *use(gen, kind, [gen.note()])], gen.note()],
    ))
    first = limited(gen, use(gen, kind, [["sleep", 100]]))
    child = gen.template([["finally", first, last + [gen.note()]]])
    body = [["spawn", "G", child], gen.sleep()]
    body += gen.dice.choice((give(gen, kind), [["cancel", "G"]], [gen.fail()],
                             [["cancel", "G"], *give(gen, kind)]))
    return [["scope", "S", ["deadline", gen.deadline()], ["group", "G"] + body, gen.note()],
            gen.note(), *limited(gen, give(gen, kind))]


def start_waits(gen, place, kind):
    """A task that is started waits before, or holds across, `started`."""
    waits = use(gen, kind, gen.dice.choice(([["started"], gen.note(), gen.sleep()], [gen.note()])))
    child = gen.template(limited(gen, waits) + [["started"], gen.note(), gen.sleep()])
    giver = gen.template([gen.sleep(), *give(gen, kind), gen.note()])
    start = ["start", "G", child]
    start = gen.dice.choice(([start], [["scope", "S", ["deadline", gen.deadline()], start]]))
    return [["group", "G", ["spawn", "G", giver], *start, gen.note(), *give(gen, kind)]]


def pipeline(gen, place, kind):
    """Producers and consumers over a channel, one side of which goes away."""
    sends = [["send", "C", n] for n in range(1, gen.dice.randint(2, 5))]
    if gen.dice.random() < 0.5:
        sends.insert(gen.dice.randint(0, len(sends)), gen.sleep())
    producer = gen.template(sends + gen.dice.choice(([["close", "C"]], [], [gen.fail()])))
    consumer = gen.template([["repeat", gen.dice.randint(1, 5), ["recv", "C"],
                              *gen.dice.choice(([], [["sleep", 3]]))]])
    inner = place.inside(("group", "G"))
    body = [["spawn", "G", producer], ["spawn", "G", consumer], *gen.some(inner, 1)]
    body += gen.dice.choice(([], [gen.sleep(), ["close", "C"]], [gen.sleep(), ["cancel", "G"]]))
    return [["scope", "S", ["deadline", gen.deadline()], ["group", "G"] + body], gen.note()]


def relay(gen, place, kind):
    """Values go through two channels; one stage is slow, fails or stops early."""
    count = gen.dice.randint(2, 4)
    first = [["send", "C", n] for n in range(1, count + 1)] + [["close", "C"]]
    stage = [["repeat", count + 1, ["recv", "C"], *gen.dice.choice(([], [["sleep", 3]])),
              ["send", "D", 7]], ["close", "D"]]
    last = [["repeat", gen.dice.randint(1, count + 2), ["recv", "D"],
             *gen.dice.choice(([], [gen.sleep()]))]]
    if gen.dice.random() < 0.3:
        last.append(gen.fail())
    spawns = [["spawn", "G", gen.template(ops)] for ops in (first, stage, last)]
    gen.dice.shuffle(spawns)
    end = gen.dice.choice(([], [gen.sleep(), ["close", "D"]], [gen.sleep(), ["cancel", "G"]]))
    return [["scope", "S", ["deadline", 95], ["group", "G", *spawns, *end]], gen.note()]


def closing(gen, place, kind):
    """A channel is closed with values in it and senders in the queue, then drained."""
    sends = [["spawn", "G", gen.template([["sleep", n], ["send", "C", n], *gen.some(place, 1)])]
             for n in range(1, gen.dice.randint(3, 6))]
    drain = [["repeat", gen.dice.randint(1, 4), ["recv", "C"]]]
    close = [gen.sleep(), ["close", "C"]]
    end = gen.dice.choice((close + drain, drain + close, close + [["send", "C", 9]] + drain, close))
    return [["scope", "S", ["deadline", 95], ["group", "G", *sends, *end]], gen.note()]


def contention(gen, place, kind):
    """Tasks queue, in a settled order, for a lock, a limiter or a semaphore; some give up."""
    spawns = []
    for n in range(gen.dice.randint(2, 4)):
        held = [gen.sleep(), gen.note()] + gen.dice.choice(([], [], [gen.fail()]))
        ops = use(gen, kind, held)
        if gen.dice.random() < 0.4:
            ops = [["scope", "T", ["deadline", gen.deadline()]] + ops]
        spawns.append(["spawn", "G", gen.template([["sleep", n + 1]] + ops + [gen.note()])])
    extra = [["release", "P"]] if kind == "sem" else []
    end = gen.dice.choice(([], [], [gen.sleep(), ["cancel", "G"]]))
    return [["group", "G", *spawns, *extra, *end], gen.note()]


def two_locks(gen, place, kind):
    """Two tasks take two locks, in the same order or not."""
    def task(one, other):
        inner = limited(gen, [["lock", other, gen.note()]])
        return gen.template([["sleep", gen.dice.randint(1, 9)],
                             ["lock", one, gen.sleep(), *inner, gen.note()]])
    tasks = [task("L", "K"), task(*gen.dice.choice(("LK", "KL")))]
    return [["scope", "S", ["deadline", gen.dice.choice((45, 95))],
             ["group", "G", *[["spawn", "G", task] for task in tasks], *gen.some(place, 1)]],
            gen.note(), ["lock", "L", gen.note()]]


def signal(gen, place, kind):
    """Tasks wait for an event that is set late, twice, or never."""
    waiters = [gen.template([["wait", "E"], gen.note(), *gen.some(place, 1)]),
               gen.template([["scope", "T", ["deadline", gen.deadline()], ["wait", "E"]],
                             gen.note()])]
    sets = gen.dice.choice(([["set", "E"]], [["set", "E"], ["set", "E"]], [], [["cancel", "G"]]))
    return [["group", "G", *[["spawn", "G", w] for w in waiters], gen.sleep(), *sets,
             ["spawn", "G", gen.dice.choice(waiters)]], gen.note()]


SHAPES = (both_fail, cleanup, start_cancelled, shield_toggled, shield_after_an_end,
          deadline_moved, late_spawn, hydra, errors_in_finally, mixed_tree, two_kinds,
          nested_limits, started_subtree, unnoticed, looks_once, foreign_names)
SYNC_SHAPES = (handed_over, queue_with_holes, waits_when_cancelled, start_waits)
KIND_SHAPES = {
    "channel": (pipeline, pipeline, closing, relay),
    "event": (signal, signal),
    "lock": (contention, two_locks),
    "sem": (contention, contention),
    "limiter": (contention, contention),
}


def generate(seed, profile):
    """The program of that seed, as nested lists."""
    dice = random.Random(f"{profile}:{seed}")
    while True:
        generator = Generator(dice, profile)
        program = generator.program()
        if uses(program, generator.meets):
            return program


def uses(program, kinds):
    """Whether some operation of these kinds stands in it; true where there are no kinds."""
    words = {word for kind in kinds for word in KINDS[kind]}
    todo = [form for form in program[1:] if form[0] in ("task", "main")]
    while words and todo:
        for item in todo.pop():
            if isinstance(item, (list, tuple)):
                todo.append(item)
            elif item in words:
                return True
    return not words


def main():
    parser = argparse.ArgumentParser(description="Prints random scenario programs.")
    parser.add_argument("--seed", default="1")
    parser.add_argument("--count", type=int, default=1)
    parser.add_argument("--profile", choices=PROFILES, default="core")
    args = parser.parse_args()
    for index in range(args.count):
        if args.count > 1:
            print(f"%% {args.seed}:{index}")
        print(write(generate(f"{args.seed}:{index}", args.profile)), end="")


if __name__ == "__main__":
    main()
