#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""What the generator is worth: breaks one rule at a time in a copy of the
oracle and counts the random programs whose trace tells.

    mutants.py [--count N] [--seed S] [NAME...]

A rule that no program tells means a shape is missing in generate.py.  The exit
status is 1 where there is one.
"""

import argparse
import collections
import contextlib
import sys
from unittest.mock import patch

import trio
from trio._core import _run
from trio.lowlevel import ParkingLot, cancel_shielded_checkpoint, current_task

import bent_trio
import world
from bent_trio import orders
from errors import ErrorGroup, Timeout, UserError, is_cancelled, split, text_of
from generate import generate
from scenario import by_task, parse, write
from world import World, drive, settled

MUTANTS = {}


def mutant(*profiles):
    """Registers a generator that breaks something, yields, and mends it."""

    def add(function):
        MUTANTS[function.__name__] = profiles or ("core",), contextlib.contextmanager(function)
        return function

    return add


def swap(owner, name, new):
    return patch.object(owner, name, new)


def swap_op(word, new):
    return patch.dict(world.OPERATIONS, {word: new})


# ---- joins and groups


@mutant()
def join_is_interrupted():
    join = bent_trio._join

    async def broken(self, error):
        out = await join(self, error)
        if self.was_reached:
            self._pending_excs.append(trio.Cancelled._create())
            out = ErrorGroup(self.label, self._pending_excs)
        return out

    with swap(_run.Nursery, "_nested_child_finished", broken):
        yield


@mutant()
def join_of_nothing_is_a_cancellation_point():
    join = bent_trio._join

    async def broken(self, error):
        if error is None and not self._children and not self._pending_starts:
            try:
                await trio.lowlevel.checkpoint()
            except trio.Cancelled as cancelled:
                error = cancelled
        return await join(self, error)

    with swap(_run.Nursery, "_nested_child_finished", broken):
        yield


@mutant()
def cancelled_child_spares_its_group():
    add = _run.Nursery._add_exc

    def broken(self, error):
        if is_cancelled(error):
            self._pending_excs.append(error)
        else:
            add(self, error)

    with swap(_run.Nursery, "_add_exc", broken):
        yield


@mutant()
def failed_child_spares_its_group():
    with swap(_run.Nursery, "_add_exc", lambda self, error: self._pending_excs.append(error)):
        yield


@mutant()
def failed_body_spares_its_group():
    join = bent_trio._join

    async def broken(self, error):
        out = await join(self, None)
        if error is None:
            return out
        return ErrorGroup(self.label, [error, *(out.exceptions if out else ())])

    with swap(_run.Nursery, "_nested_child_finished", broken):
        yield


@mutant()
def group_of_one_is_bare():
    join = bent_trio._join

    async def broken(self, error):
        out = await join(self, error)
        return out.exceptions[0] if out and len(out.exceptions) == 1 and self.label else out

    with swap(_run.Nursery, "_nested_child_finished", broken):
        yield


@mutant()
def second_error_is_lost():
    def broken(self, error):
        if not any(not is_cancelled(e) for e in self._pending_excs):
            self._pending_excs.append(error)
        self.cancel_scope.cancel()

    with swap(_run.Nursery, "_add_exc", broken):
        yield


@mutant()
def spawn_into_cancelled_group_is_dropped():
    async def broken(self, task, word, template):
        name = self.find(task, word, ("group",))
        if name is None:
            return
        if name.nursery._cancel_status.effectively_cancelled:
            task.spawned += 1
        else:
            await World.spawn(self, task, word, template)

    with swap_op("spawn", broken):
        yield


@mutant()
def spawn_is_refused_while_the_group_closes():
    async def broken(self, task, word, template):
        name = self.find(task, word, ("group",))
        if name is not None and not name.nursery._nested_child_running:
            self.trace(task, "refused")
        elif name is not None:
            await World.spawn(self, task, word, template)

    with swap_op("spawn", broken):
        yield


# ---- names


@mutant()
def names_come_from_the_spawner():
    child = World.child

    def broken(self, task, name, template):
        out = child(self, task, name, template)
        out.names = task.names
        return out

    with swap(World, "child", broken):
        yield


@mutant()
def outermost_name_is_found():
    def broken(self, task, word, kinds):
        name, found = task.names, None
        while name is not None:
            if name.word == word and name.kind in kinds:
                found = name
            name = name.outer
        if found is None:
            self.trace(task, "refused")
        return found

    with swap(World, "find", broken):
        yield


@mutant()
def refused_takes_a_number():
    find = World.find_open_group

    def broken(self, task, word):
        name = find(self, task, word)
        task.spawned += name is None
        return name

    with swap(World, "find_open_group", broken):
        yield


@mutant()
def deadline_finds_groups():
    async def broken(self, task, word, ms):
        name = self.find(task, word, ("scope", "group"))
        if name is not None:
            name.scope.deadline = self.clock.current_time() + ms
            if ms == 0:
                name.scope.cancel()

    with swap_op("deadline", broken):
        yield


# ---- cancellation


@mutant()
def cancel_is_edge_triggered():
    seen = set()

    async def broken(self):
        key = current_task(), current_task()._cancel_status
        if key not in seen:
            await NOTICE(self)
            return
        await cancel_shielded_checkpoint()

    async def notice(self):
        if current_task()._cancel_status.effectively_cancelled:
            seen.add((current_task(), current_task()._cancel_status))
        await REAL(self)

    REAL, NOTICE = World.notice, notice
    with swap(World, "notice", broken):
        yield


@mutant()
def checkpoint_looks_after_its_yield():
    async def broken(self, task):
        await cancel_shielded_checkpoint()
        await self.notice()

    with swap_op("checkpoint", broken):
        yield


@mutant()
def scope_catches_what_comes_from_outside():
    close = trio.CancelScope._close

    def broken(self, error):
        status = self._cancel_status
        if self._cancel_called and status is not None and status._parent is not None:
            status._scope._shield = True
        return close(self, error)

    with swap(trio.CancelScope, "_close", broken):
        yield


@mutant()
def cancelled_scope_catches_nothing_beside_errors():
    close = trio.CancelScope._close

    def broken(self, error):
        if isinstance(error, ErrorGroup) and split(error, is_cancelled)[1] is not None:
            close(self, None)
            return error
        return close(self, error)

    with swap(trio.CancelScope, "_close", broken):
        yield


@mutant()
def shield_does_not_protect():
    async def broken(self, task, word, deadline, shield, ops):
        return await SCOPE(self, task, word, deadline, False, ops)

    SCOPE = World.scope
    with swap_op("scope", broken):
        yield


@mutant()
def shield_goes_down_only_for_later_checkpoints():
    async def broken(self, task, word, on):
        name = self.find(task, word, ("scope",))
        if name is not None:
            with swap(_run.Task, "_attempt_delivery_of_any_pending_cancel", lambda self: None):
                name.scope.shield = on

    with swap_op("shield", broken):
        yield


@mutant()
def shield_stops_the_own_deadline():
    async def broken(self, task, word, deadline, shield, ops):
        return await SCOPE(self, task, word, None if shield else deadline, shield, ops)

    SCOPE = World.scope
    with swap_op("scope", broken):
        yield


@mutant()
def moving_a_deadline_uncancels():
    async def broken(self, task, word, ms):
        name = self.find(task, word, ("scope",))
        if name is None:
            return
        if ms and name.scope._cancel_called:
            name.scope._cancel_called = False
            name.scope._cancel_status.recalculate()
        await DEADLINE(self, task, word, ms)

    DEADLINE = World.deadline
    with swap_op("deadline", broken):
        yield


@mutant()
def deadline_moves_only_earlier():
    async def broken(self, task, word, ms):
        name = self.find(task, word, ("scope",))
        if name is not None and self.clock.current_time() + ms < name.scope.deadline:
            await DEADLINE(self, task, word, ms)

    DEADLINE = World.deadline
    with swap_op("deadline", broken):
        yield


@mutant()
def cancel_undoes_a_sleep_that_is_over():
    async def broken(self, task, ms):
        await SLEEP(self, task, ms)
        if ms:
            await self.notice()

    SLEEP = World.sleep
    with swap_op("sleep", broken):
        yield


# ---- start


@mutant()
def start_wraps_errors():
    async def broken(self, task, word, template):
        try:
            await START(self, task, word, template)
        except BaseException as error:
            raise error if is_cancelled(error) else ErrorGroup("~", [error])

    START = World.start_
    with swap_op("start", broken):
        yield


@mutant()
def started_after_a_cancel_is_adopted():
    async def broken(self, task):
        if task.status is not None and not task.status._called_started:
            status = task.hidden._cancel_status
            keep, status.effectively_cancelled = status.effectively_cancelled, False
            task.status.started()
            status.effectively_cancelled = keep

    with swap_op("started", broken):
        yield


@mutant()
def started_adopts_nobody():
    async def broken(self, task):
        if task.status is not None:
            task.status._called_started = True

    with swap_op("started", broken):
        yield


@mutant()
def start_is_a_spawn():
    async def broken(self, task, word, template):
        await World.spawn(self, task, word, template)
        await cancel_shielded_checkpoint()
        self.trace(task, "started")

    with swap_op("start", broken):
        yield


@mutant()
def not_started_is_an_error():
    async def broken(self, task, word, template):
        lines = len(self.lines)
        await START(self, task, word, template)
        if any(line.endswith(f"{task.name} not-started") for line in self.lines[lines:]):
            raise UserError(99)

    START = World.start_
    with swap_op("start", broken):
        yield


@mutant()
def start_in_a_cancelled_scope_starts_nothing():
    async def broken(self, task, word, template):
        await self.notice()
        await START(self, task, word, template)

    START = World.start_
    with swap_op("start", broken):
        yield


# ---- fail-after, try, finally, swallow


@mutant()
def fail_after_times_out_on_cancel():
    async def broken(self, task, word):
        name = self.find(task, word, ("scope", "group"))
        if name is not None:
            name.scope.cancel()

    with swap_op("cancel", broken):
        yield


@mutant()
def fail_after_only_moves_on():
    async def broken(self, task, word, ms, ops):
        await World.scope(self, task, word, ms, False, ops)

    with swap_op("fail-after", broken):
        yield


@mutant()
def fail_after_adds_timeout_to_errors():
    async def broken(self, task, word, ms, ops):
        begin = self.clock.current_time()
        try:
            out = await World.scope(self, task, word, ms, False, ops)
        except BaseException as error:
            late = self.clock.current_time() >= begin + ms
            if late and isinstance(error, ErrorGroup):
                raise Timeout from None
            raise
        if out:
            raise Timeout

    with swap_op("fail-after", broken):
        yield


def broken_try(any_matches=(UserError, Timeout), once=True, join=True, keep_rest=True):
    async def broken(self, task, ops, handler):
        key, handler_ops = handler

        def matches(error):
            return (isinstance(error, any_matches) if key is None
                    else isinstance(error, UserError) and error.number == key)

        try:
            await self.body(task, ops)
        except BaseException as error:
            caught, rest = split(error, matches)
        else:
            return
        if caught is not None:
            try:
                for _ in range(1 if once else str(text_of(caught)).count("e")):
                    await self.body(task, handler_ops)
            except BaseException as error:
                rest = error if rest is None or not join else ErrorGroup("~", [error, rest])
        if rest is not None and (keep_rest or caught is None):
            raise rest

    return broken


@mutant()
def any_does_not_match_timeout():
    with swap_op("try", broken_try(any_matches=UserError)):
        yield


@mutant()
def any_matches_cancellation():
    with swap_op("try", broken_try(any_matches=(UserError, Timeout, trio.Cancelled))):
        yield


@mutant()
def handler_runs_for_each_error():
    with swap_op("try", broken_try(once=False)):
        yield


@mutant()
def handler_error_replaces_the_rest():
    with swap_op("try", broken_try(join=False)):
        yield


@mutant()
def rest_is_lost():
    with swap_op("try", broken_try(keep_rest=False)):
        yield


@mutant()
def first_outcome_of_finally_wins():
    async def broken(self, task, ops, last_ops):
        first = None
        try:
            await self.body(task, ops)
        except BaseException as error:
            first = error
        try:
            await self.body(task, last_ops)
        except BaseException:
            if first is None:
                raise
        if first is not None:
            raise first

    with swap_op("finally", broken):
        yield


@mutant()
def swallow_forgets_errors_too():
    async def broken(self, task, ops):
        try:
            await self.body(task, ops)
        except BaseException as error:
            if split(error, is_cancelled)[0] is None:
                raise

    with swap_op("swallow", broken):
        yield


@mutant()
def swallow_forgets_only_bare_cancellation():
    async def broken(self, task, ops):
        try:
            await self.body(task, ops)
        except BaseException as error:
            if split(error, is_cancelled)[1] is not None:
                raise

    with swap_op("swallow", broken):
        yield


# ---- channels, events, locks, semaphores, limiters


@contextlib.contextmanager
def on_wait(broken):
    """In place of World.block, which waits for all that tasks meet at."""
    BLOCK = World.block

    async def block(self, wait, *args):
        return await broken(self, BLOCK, wait, *args)

    with swap(World, "block", block):
        yield


def method(wait):
    return f"{type(wait.__self__).__name__}.{wait.__name__}"


@mutant("lock", "sem", "limiter")
def waiters_are_served_last_first():
    def broken(self, count):
        for _ in range(min(count, len(self._parked))):
            yield self._parked.popitem()[0]

    with swap(ParkingLot, "_pop_several", broken):
        yield


class LastFirst(collections.OrderedDict):
    def popitem(self, last=True):
        return super().popitem(not last)


def broken_state(**parts):
    """Channels whose state is made of other parts."""
    INIT = world.Channel.__init__

    def broken(self, cap):
        INIT(self, cap)
        for name, make in parts.items():
            setattr(self.sending._state, name, make())

    return swap(world.Channel, "__init__", broken)


@mutant("channel")
def receivers_are_served_last_first():
    with broken_state(receive_tasks=LastFirst):
        yield


@mutant("channel")
def senders_are_served_last_first():
    with broken_state(send_tasks=LastFirst):
        yield


@mutant("channel")
def values_are_received_last_first():
    class Stack(collections.deque):
        popleft = collections.deque.pop

    with broken_state(data=Stack):
        yield


@mutant("channel", "event", "lock", "sem", "limiter")
def what_was_given_is_lost_by_cancel():
    async def broken(self, block, wait, *args):
        value = await block(self, wait, *args)
        if method(wait) != "Timer.wait":
            await self.notice()
        return value

    with on_wait(broken):
        yield


@mutant("channel", "event", "lock", "sem", "limiter")
def what_need_not_wait_is_no_checkpoint():
    async def broken(self):
        pass

    with swap(World, "notice", broken):
        yield


@mutant("channel")
def cancelled_send_leaves_its_value():
    async def broken(self, block, wait, *args):
        try:
            return await block(self, wait, *args)
        except trio.Cancelled:
            if method(wait) == "MemorySendChannel.send":
                wait.__self__._state.data.append(*args)
            raise

    with on_wait(broken):
        yield


@mutant("channel")
def cancelled_receiver_takes_a_value():
    async def broken(self, block, wait, *args):
        try:
            return await block(self, wait, *args)
        except trio.Cancelled:
            if method(wait) == "MemoryReceiveChannel.receive":
                wait.__self__._state.receive_tasks["ghost"] = None
            raise

    RESCHEDULE = trio.lowlevel.reschedule

    def reschedule(task, *args):
        if task != "ghost":
            RESCHEDULE(task, *args)

    def popitem(self, last=True):
        task, value = POPITEM(self, last)
        if task == "ghost":
            task = Ghost()
        return task, value

    class Ghost:
        custom_sleep_data = type("", (), {"_tasks": type("", (), {"remove": lambda *_: None})})

        def __eq__(self, other):
            return other == "ghost"

    POPITEM = collections.OrderedDict.popitem
    Queue = type("Queue", (collections.OrderedDict,), {"popitem": popitem})
    with on_wait(broken), broken_state(receive_tasks=Queue), swap(
            trio.lowlevel, "reschedule", reschedule):
        yield


@mutant("channel")
def close_drops_the_buffer():
    async def broken(self, task, word):
        self.channels[word].sending._state.data.clear()
        await CLOSE(self, task, word)

    CLOSE = World.close
    with swap_op("close", broken):
        yield


@mutant("channel")
def close_leaves_senders_waiting():
    async def broken(self, task, word):
        state = self.channels[word].sending._state
        waiting = state.send_tasks.copy()
        senders = self.channels[word].sending._tasks
        keep, self.channels[word].sending._tasks = senders, set()
        state.send_tasks.clear()
        await CLOSE(self, task, word)
        self.channels[word].sending._tasks = keep
        state.send_tasks.update(waiting)

    CLOSE = World.close
    with swap_op("close", broken):
        yield


@mutant("channel")
def close_leaves_receivers_waiting():
    async def broken(self, task, word):
        state = self.channels[word].sending._state
        waiting = state.receive_tasks.copy()
        state.receive_tasks.clear()
        await CLOSE(self, task, word)
        state.receive_tasks.update(waiting)

    CLOSE = World.close
    with swap_op("close", broken):
        yield


@mutant("channel")
def buffer_has_one_place_more():
    INIT = world.Channel.__init__
    with swap(world.Channel, "__init__", lambda self, cap: INIT(self, cap + 1)):
        yield


@mutant("channel")
def rendezvous_keeps_one():
    INIT = world.Channel.__init__
    with swap(world.Channel, "__init__", lambda self, cap: INIT(self, cap or 1)):
        yield


@mutant("channel")
def freed_place_stays_free():
    """Who receives out of a full buffer does not let the first sender in."""
    async def broken(self, block, wait, *args):
        state = getattr(wait.__self__, "_state", None)
        if method(wait) != "MemoryReceiveChannel.receive" or not state.data:
            return await block(self, wait, *args)
        await cancel_shielded_checkpoint()
        return state.data.popleft()

    with on_wait(broken):
        yield


@mutant("event")
def event_wakes_one():
    async def broken(self, task, word):
        event = self.events[word]
        event._flag = True
        if event._tasks:
            trio.lowlevel.reschedule(event._tasks.pop())

    with swap_op("set", broken):
        yield


@mutant("event")
def event_is_forgotten():
    async def broken(self, task, word):
        await SET(self, task, word)
        self.events[word]._flag = False

    SET = World.set
    with swap_op("set", broken):
        yield


@mutant("lock", "limiter")
def lock_stays_held_after_an_error():
    async def broken(self, task, what, event, ops):
        await self.wait_for(what.acquire)
        self.trace(task, event)
        await self.body(task, ops)
        what.release()

    with swap(World, "hold", broken):
        yield


@mutant("lock", "limiter")
def leaving_a_lock_is_a_checkpoint():
    async def broken(self, task, what, event, ops):
        await HOLD(self, task, what, event, ops)
        await self.notice()

    HOLD = World.hold
    with swap(World, "hold", broken):
        yield


@mutant("sem")
def release_is_a_checkpoint():
    async def broken(self, task, word):
        self.sems[word].release()
        await self.notice()

    with swap_op("release", broken):
        yield


@mutant("sem")
def release_beyond_the_start_is_lost():
    async def broken(self, task, word):
        if self.sems[word]._lot or self.sems[word].value < self.program.sems[word]:
            self.sems[word].release()

    with swap_op("release", broken):
        yield


@mutant("limiter")
def limiter_has_one_token_more():
    LIMITER = world.limiter
    with swap(world, "limiter", lambda tokens: LIMITER(tokens + 1)):
        yield


@mutant("lock", "sem", "limiter")
def cancelled_waiter_keeps_its_place():
    """A gift that falls on a waiter who has gone is lost."""
    PARK, POP = ParkingLot.park, ParkingLot._pop_several

    async def park(self):
        try:
            await PARK(self)
        except trio.Cancelled:
            self._parked[object()] = None
            raise

    def pop_several(self, count):
        for task in POP(self, count):
            if isinstance(task, _run.Task):
                yield task

    with swap(ParkingLot, "park", park), swap(ParkingLot, "_pop_several", pop_several):
        yield


# ---- the run


def told(program, expected, breaking):
    """Whether the broken oracle gives another trace (or breaks down)."""

    def client():
        for order in orders(2):
            trace = yield program, order
            if by_task(trace.lines) != by_task(expected):
                return True
        return False

    with breaking():
        try:
            return drive(client())
        except (Exception, BaseExceptionGroup):  # it broke what the oracle rests on
            return True


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", default="mutants")
    parser.add_argument("names", nargs="*", metavar="NAME")
    args = parser.parse_args()
    programs = {}
    chosen = args.names or MUTANTS
    for profile in {profile for name in chosen for profile in MUTANTS[name][0]}:
        programs[profile] = []
        for n in range(args.count):
            program = parse(write(generate(f"{args.seed}:{n}", profile)))
            lines, why = drive(settled(program, 5, n))
            if not why:
                programs[profile].append((program, lines))
    silent = 0
    for name in chosen:
        profiles, breaking = MUTANTS[name]
        for profile in profiles:
            tells = sum(told(program, lines, breaking) for program, lines in programs[profile])
            silent += tells == 0
            print(f"{tells:5} of {len(programs[profile])} {profile} programs tell: {name}")
    return silent > 0


if __name__ == "__main__":
    sys.exit(main())
