# SPDX-License-Identifier: MIT
"""Where plain trio 0.22 does something else than a scenario says, and its dice.

Importing this bends the trio of the whole process.
"""

import random
from math import inf

from trio._core import _run
from trio.lowlevel import Abort, cancel_shielded_checkpoint, current_task, reschedule
from trio.lowlevel import wait_task_rescheduled

from errors import ErrorGroup


async def _join(self, body_error):
    """In place of Nursery._nested_child_finished.

    Trio 0.22's adds a Cancelled of the nursery's own to the errors when a
    cancellation meets the wait or the exit of an empty nursery.  Here the
    wait is deaf, as a join is: what counts is how body and children ended.
    """
    if body_error is not None:
        self._add_exc(body_error)
    self._nested_child_running = False
    self._check_nursery_closed()
    if self._closed:
        await cancel_shielded_checkpoint()
    else:
        self._parent_waiting_in_aexit = True

        def on_cancel(_):
            self.was_reached = True
            return Abort.FAILED

        await wait_task_rescheduled(on_cancel)
    popped = self._parent_task._child_nurseries.pop()
    assert popped is self
    return ErrorGroup(self.label, self._pending_excs) if self._pending_excs else None


_run.Nursery._nested_child_finished = _join
_run.Nursery.label = ""
_run.Nursery.was_reached = False


class Order:
    """The order in which tasks that could run do run; takes the place of trio's dice.

    Trio sorts each batch by age, calls shuffle() and runs from the end.
    Orders of whole batches let all tasks advance in step, so that a program
    could count steps; `prio` and `random` run one task at a time and leave
    the others in the queue.
    """

    def __init__(self, kind="fifo", seed=0):
        self.kind = kind
        self.dice = random.Random(seed)
        self.prios = {}

    def shuffle(self, batch):
        if self.kind == "fifo":
            batch.reverse()
        elif self.kind != "lifo" and batch:
            chosen = max(batch, key=self.prio) if self.kind == "prio" else self.dice.choice(batch)
            batch.remove(chosen)
            _run.GLOBAL_RUN_CONTEXT.runner.runq.extend(batch)
            batch[:] = [chosen]

    def prio(self, task):
        if task not in self.prios:
            self.prios[task] = self.dice.random()
        return self.prios[task]


def orders(count, seed=0):
    """`count` different orders, the plainest first."""
    plain = [Order("fifo"), Order("lifo")]
    rest = [Order("random" if n % 3 == 2 else "prio", f"{seed}:{n}") for n in range(count - 2)]
    return (plain + rest)[:count]


class Timer:
    """A sleep, as an entry of trio's deadlines.

    Trio's own sleep is a cancel scope, and a cancellation that comes between
    its end and the task's next step undoes it.  This one hands the task its
    wake-up: what was given stays given.
    """

    def __init__(self, deadline):
        self.task = current_task()
        self.deadlines = _run.GLOBAL_RUN_CONTEXT.runner.deadlines
        self._registered_deadline = deadline  # the name trio looks for
        self.deadlines.add(deadline, self)

    async def wait(self):
        def on_cancel(_):
            self.stop()
            return Abort.SUCCEEDED

        await wait_task_rescheduled(on_cancel)

    def cancel(self):  # trio's name for: the deadline has come
        self.stop()
        reschedule(self.task)

    def stop(self):
        if self._registered_deadline != inf:
            self.deadlines.remove(self._registered_deadline, self)
            self._registered_deadline = inf
