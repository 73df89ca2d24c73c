# SPDX-License-Identifier: MIT
"""The interpreter of scenario programs on trio: the oracle.

Scopes, shields, deadlines, cancellation, group membership and adoption are
trio's own, and so are channels, events, locks, semaphores and limiters; errors
travel as exceptions, so what a scope catches is trio's decision too.  README.md
lists where plain trio does something else.

One virtual second of trio is one millisecond of the scenario: integers stay
exact in the clock's doubles.
"""

from math import inf

import trio
import trio.testing
from outcome import Error
from trio._core import _run
from trio.lowlevel import cancel_shielded_checkpoint, current_task, reschedule

from bent_trio import Order, Timer, orders
from errors import Abandoned, ErrorGroup, Timeout, UserError, is_cancelled, split, text_of
from scenario import by_task

OPS_MAX = 20000  # a run longer than this is given up, not compared


class Name:
    """One entry of an environment: a live group or scope, and those around it."""

    __slots__ = ("word", "kind", "scope", "nursery", "outer", "cancelled_by_op")

    def __init__(self, word, kind, outer):
        self.word = word
        self.kind = kind
        self.outer = outer
        self.scope = None
        self.nursery = None
        self.cancelled_by_op = False


class Task:
    __slots__ = ("name", "names", "spawned", "hidden", "status")

    def __init__(self, name, names):
        self.name = name
        self.names = names  # the innermost Name
        self.spawned = 0
        self.hidden = None  # where a task that was started runs until `started`
        self.status = None


class Channel:
    """Both ends of a channel of trio's; the sending one is closed for good."""

    def __init__(self, cap):
        self.sending, self.receiving = trio.open_memory_channel(cap)


def ended(receiving):
    """Whether it is drained and the other side closed."""
    stats = receiving.statistics()
    return stats.open_send_channels == 0 and stats.current_buffer_used == 0


def limiter(tokens):
    out = trio.CapacityLimiter(max(tokens, 1))
    out._total_tokens = tokens  # trio 0.22 does not take 0, but works with it
    return out


class Trace:
    """What a run left behind.

    lines      the trace
    unsettled  why it proves nothing, though the order did not matter (or None)
    """

    def __init__(self, lines, unsettled):
        self.lines = lines
        self.unsettled = unsettled


class World:
    """One run of one program."""

    def __init__(self, program, clock):
        self.program = program
        self.clock = clock
        self.start = clock.current_time()
        self.lines = []
        self.over = False
        self.unsettled = None
        self.blocked = set()
        self.ops_left = OPS_MAX
        self.channels = {name: Channel(cap) for name, cap in program.channels.items()}
        self.events = {name: trio.Event() for name in program.events}
        self.locks = {name: trio.Lock() for name in program.locks}
        self.sems = {name: trio.Semaphore(count) for name, count in program.sems.items()}
        self.limiters = {name: limiter(tokens) for name, tokens in program.limiters.items()}

    def now(self):
        return int(self.clock.current_time() - self.start)

    def line(self, text):
        if not self.over:
            self.lines.append(f"{self.now()} {text}")

    def trace(self, task, event):
        self.line(f"{task.name} {event}")

    # ---- the end

    async def run(self):
        """Runs main in a nursery of its own; nothing comes out of it but the lines."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.run_main)
        return Trace(self.lines, self.unsettled)

    async def run_main(self):
        try:
            await self.task(Task("main", None), self.program.main)
        except BaseException as error:
            text = text_of(error)
            self.line(f"result error {text}" if text else "result cancelled")
        else:
            self.line("result ok")

    def idle(self, runner):
        """Every task is blocked: on to the next deadline, if there is one."""
        deadline = runner.deadlines.next_deadline()
        if deadline == inf:
            self.line("result deadlock")
            self.abandon()
            return
        self.look_for_ties(runner.deadlines, deadline)
        self.clock.jump(deadline - self.clock.current_time())

    def look_for_ties(self, deadlines, deadline):
        """A sleep that ends at the instant of a deadline around it may end either way."""
        due = {who for when, _, who in deadlines._heap
               if when == deadline == who._registered_deadline}
        for timer in due:
            status = timer.task._cancel_status if isinstance(timer, Timer) else None
            while status is not None:
                if status._scope in due:
                    self.unsettled = "a sleep ends at a deadline around it"
                status = None if status._scope.shield else status._parent

    def abandon(self):
        self.over = True
        for task in self.blocked:
            if task._abort_func is not None:  # else it has been woken, and finds out by itself
                reschedule(task, Error(Abandoned()))

    # ---- tasks and bodies

    async def task(self, task, ops):
        self.trace(task, "begin")
        try:
            await self.body(task, ops)
        except BaseException as error:
            if self.over:
                return
            text = text_of(error)
            self.trace(task, f"failed {text}" if text else "cancelled")
            raise
        self.trace(task, "done")

    async def body(self, task, ops):
        for op in ops:
            self.ops_left -= 1
            if self.ops_left < 0 and not self.over:
                self.unsettled = "too long"
                self.abandon()
            if self.over:
                raise Abandoned
            await OPERATIONS[op.name](self, task, *op.args)

    # ---- checkpoints

    async def notice(self):
        """The first half of a checkpoint.  (Trio's own yields before it looks.)"""
        if current_task()._cancel_status.effectively_cancelled:
            await cancel_shielded_checkpoint()
            raise trio.Cancelled._create()

    async def block(self, wait, *args):
        """Waits by a function of trio's; should the run end first, it ends with Abandoned."""
        task = current_task()
        self.blocked.add(task)
        try:
            return await wait(*args)
        finally:
            self.blocked.discard(task)

    async def wait_for(self, wait, *args):
        """A wait of trio's that is a checkpoint.

        All these begin with checkpoint_if_cancelled, which finds nothing after
        notice(); they end with a yield, or were woken.
        """
        await self.notice()
        return await self.block(wait, *args)

    # ---- names

    def find(self, task, word, kinds):
        name = task.names
        while name is not None and not (name.word == word and name.kind in kinds):
            name = name.outer
        if name is None:
            self.trace(task, "refused")
        return name

    # ---- operations: talk and time

    async def note(self, task, word):
        self.trace(task, f"note {word}")

    async def time(self, task):
        self.trace(task, "time")

    async def fail(self, task, number):
        raise UserError(number)

    async def sleep(self, task, ms):
        await self.notice()
        if ms == 0:
            await cancel_shielded_checkpoint()
            return
        timer = Timer(self.clock.current_time() + ms)
        try:
            await self.block(timer.wait)
        finally:
            timer.stop()

    async def checkpoint(self, task):
        await self.notice()
        await cancel_shielded_checkpoint()

    # ---- operations: control

    async def repeat(self, task, count, ops):
        for _ in range(count):
            await self.body(task, ops)

    async def try_(self, task, ops, handler):
        key, handler_ops = handler

        def matches(error):
            if isinstance(error, UserError):
                return key is None or error.number == key
            return key is None and isinstance(error, Timeout)

        try:
            await self.body(task, ops)
        except BaseException as error:
            caught, rest = split(error, matches)
        else:
            return
        if caught is not None:
            try:
                await self.body(task, handler_ops)
            except BaseException as error:
                rest = error if rest is None else ErrorGroup("~", [error, rest])
        if rest is not None:
            raise rest

    async def finally_(self, task, ops, last_ops):
        first = None
        try:
            await self.body(task, ops)
        except BaseException as error:
            first = error
        await self.body(task, last_ops)
        if first is not None:
            raise first

    async def swallow(self, task, ops):
        try:
            await self.body(task, ops)
        except BaseException as error:
            rest = split(error, is_cancelled)[1]
        else:
            return
        if rest is not None:
            raise rest

    # ---- operations: scopes

    async def scope(self, task, word, deadline, shield, ops):
        """Runs ops in a new scope; true if it then caught a cancel by its own deadline."""
        name = Name(word, "scope", task.names)
        deadline = inf if deadline is None else self.clock.current_time() + deadline
        scope = name.scope = trio.CancelScope(deadline=deadline, shield=shield)
        task.names = name
        try:
            with scope:
                await self.body(task, ops)
        finally:
            task.names = name.outer
            if scope.cancelled_caught:
                self.trace(task, f"caught {word}")
        return scope.cancelled_caught and not name.cancelled_by_op

    async def fail_after(self, task, word, ms, ops):
        if await self.scope(task, word, ms, False, ops):
            raise Timeout

    async def cancel(self, task, word):
        name = self.find(task, word, ("scope", "group"))
        if name is not None:
            # Which came first decides whether a fail-after times out.
            if not name.scope.cancel_called:
                name.cancelled_by_op = True
            name.scope.cancel()

    async def deadline(self, task, word, ms):
        name = self.find(task, word, ("scope",))
        if name is not None:
            name.scope.deadline = self.clock.current_time() + ms
            if ms == 0:  # trio would see it only before the next batch
                name.scope.cancel()

    async def shield(self, task, word, on):
        name = self.find(task, word, ("scope",))
        if name is not None:
            name.scope.shield = on

    # ---- operations: groups

    async def group(self, task, word, ops):
        name = Name(word, "group", task.names)
        task.names = name
        try:
            async with trio.open_nursery() as name.nursery:
                name.nursery.label = word
                name.scope = name.nursery.cancel_scope
                await self.body(task, ops)
        except BaseException as error:
            if self.over:
                raise Abandoned
            text = text_of(error)
            self.trace(task, f"joined-error {word} {text}" if text else f"joined-cancelled {word}")
            raise
        finally:
            task.names = name.outer
        self.trace(task, f"joined {word}")

    def find_open_group(self, task, word):
        name = self.find(task, word, ("group",))
        if name is not None and name.nursery._closed:
            self.trace(task, "refused")
            return None
        return name

    def child(self, task, name, template):
        """The next child of `task`, whose names are those of the group's opener."""
        child = Task(f"{task.name}/{template}.{task.spawned}", name)
        task.spawned += 1
        return child

    async def spawn(self, task, word, template):
        name = self.find_open_group(task, word)
        if name is not None:
            child = self.child(task, name, template)
            name.nursery.start_soon(self.task, child, self.program.tasks[template])

    async def start_(self, task, word, template):
        """As Nursery.start, with a hidden nursery of trio's for the time before `started`.

        Its scope is closed by hand, so that it catches nothing; its error, if
        there is one, is raised bare; and that the task ended without a word
        is no error.
        """
        name = self.find_open_group(task, word)
        if name is None:
            return
        target = name.nursery
        child = self.child(task, name, template)
        target._pending_starts += 1
        scope = trio.CancelScope()
        scope.__enter__()
        hidden = _run.Nursery._create(current_task(), scope, True)
        child.hidden = hidden
        child.status = _run._TaskStatus(hidden, target)
        hidden.start_soon(self.task, child, self.program.tasks[template])
        error = await hidden._nested_child_finished(None)
        scope._close(None)
        target._pending_starts -= 1
        target._check_nursery_closed()
        if self.over:
            raise Abandoned
        if error is not None:
            raise error.exceptions[0]
        self.trace(task, "started" if child.status._called_started else "not-started")

    async def started(self, task):
        status = task.status
        if status is None or status._called_started:
            return
        # Trio looks whether the start is cancelled now; what counts here is
        # whether it ever was, and the two part where a shield went up since.
        if task.hidden.was_reached != task.hidden._cancel_status.effectively_cancelled:
            self.unsettled = "started after a shield hid the cancellation of the start"
        if task.hidden.was_reached:
            status._called_started = True
        else:
            status.started()

    # ---- operations: channels, events, locks, semaphores, limiters

    async def send(self, task, word, value):
        channel = self.channels[word].sending
        await self.notice()
        try:
            if channel._closed:  # trio would not yield
                await cancel_shielded_checkpoint()
                raise trio.ClosedResourceError
            await self.block(channel.send, value)
        except trio.ClosedResourceError:
            self.trace(task, "broken")
        else:
            self.trace(task, f"sent {value}")

    async def recv(self, task, word):
        channel = self.channels[word].receiving
        await self.notice()
        try:
            if ended(channel):  # trio would not yield
                await cancel_shielded_checkpoint()
                raise trio.EndOfChannel
            value = await self.block(channel.receive)
        except trio.EndOfChannel:
            self.trace(task, "end")
        else:
            self.trace(task, f"got {value}")

    async def close(self, task, word):
        self.channels[word].sending.close()

    async def set(self, task, word):
        self.events[word].set()

    async def wait(self, task, word):
        event = self.events[word]
        await self.notice()
        if event.is_set():  # trio would look once more
            await cancel_shielded_checkpoint()
        else:
            await self.block(event.wait)
        self.trace(task, "woke")

    async def hold(self, task, what, event, ops):
        await self.wait_for(what.acquire)
        self.trace(task, event)
        try:
            await self.body(task, ops)
        finally:
            if not self.over:
                what.release()

    async def lock(self, task, word, ops):
        await self.hold(task, self.locks[word], "locked", ops)

    async def limit(self, task, word, ops):
        await self.hold(task, self.limiters[word], "limited", ops)

    async def acquire(self, task, word):
        await self.wait_for(self.sems[word].acquire)
        self.trace(task, "acquired")

    async def release(self, task, word):
        self.sems[word].release()


OPERATIONS = {
    "note": World.note,
    "time": World.time,
    "fail": World.fail,
    "sleep": World.sleep,
    "checkpoint": World.checkpoint,
    "repeat": World.repeat,
    "try": World.try_,
    "finally": World.finally_,
    "swallow": World.swallow,
    "scope": World.scope,
    "fail-after": World.fail_after,
    "cancel": World.cancel,
    "deadline": World.deadline,
    "shield": World.shield,
    "group": World.group,
    "spawn": World.spawn,
    "start": World.start_,
    "started": World.started,
    "send": World.send,
    "recv": World.recv,
    "close": World.close,
    "set": World.set,
    "wait": World.wait,
    "lock": World.lock,
    "limit": World.limit,
    "acquire": World.acquire,
    "release": World.release,
}


def drive(client):
    """Serves a generator that yields (program, order) and is sent each Trace.

    All runs share one trio.run: opening one costs more than a short program.
    Returns what the generator returns.
    """
    clock = trio.testing.MockClock(autojump_threshold=0)
    world = None

    async def serve():
        nonlocal world
        trace = None
        while True:
            try:
                program, order = client.send(trace)
            except StopIteration as stop:
                return stop.value
            _run._r = order
            world = World(program, clock)
            trace = await world.run()

    dice = _run._r, _run._ALLOW_DETERMINISTIC_SCHEDULING
    _run._r, _run._ALLOW_DETERMINISTIC_SCHEDULING = Order(), True
    # MockClock would spin for ever where there is no deadline to jump to.
    clock._autojump = lambda: world.idle(_run.GLOBAL_RUN_CONTEXT.runner)
    try:
        return trio.run(serve, clock=clock, strict_exception_groups=True)
    finally:
        _run._r, _run._ALLOW_DETERMINISTIC_SCHEDULING = dice


def run(program, order=None):
    """The Trace of one program."""

    def client():
        return (yield program, order or Order())

    return drive(client())


def settled(program, count, seed):
    """Runs a program under `count` orders: (its trace, why it proves nothing or None)."""
    first = None
    for order in orders(count, seed):
        trace = yield program, order
        if trace.unsettled:
            return trace.lines, trace.unsettled
        if first is None:
            first, tasks = trace.lines, by_task(trace.lines)
        elif trace.lines != first and by_task(trace.lines) != tasks:
            return first, "the order of tasks matters"
    return first, None
