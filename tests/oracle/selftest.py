#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Small checks of the oracle, the generator and the comparison.  Prints TAP."""

import glob
import os
import subprocess
import sys
import tempfile

from bent_trio import Order, orders
from errors import ErrorGroup, Timeout, UserError, split, text_of
from generate import KINDS, PROFILES, generate
from scenario import ScenarioError, by_task, parse, write
from world import drive, run, settled

HERE = os.path.dirname(os.path.abspath(__file__))
SCENARIOS = os.path.join(HERE, "..", "scenarios")

CHECKS = []


def check(function):
    CHECKS.append(function)
    return function


def lines(text, order=None):
    return run(parse(f"(program {text})"), order).lines


def of(task, text):
    return [line.split(" ", 2)[2] for line in by_task(lines(text))[task]]


def why_not(text, count=10):
    return drive(settled(parse(f"(program {text})"), count, "selftest"))[1]


def refused(text):
    try:
        parse(text)
    except ScenarioError as error:
        return str(error)
    return None


# ---- text


@check
def text_is_read_with_comments_and_without_spaces():
    assert lines("(task A(note 1)); x\n(main(note 2);\n)")[1] == "0 main note 2"


@check
def errors_in_the_text_have_a_place():
    assert refused("(program\n  (main (dance)))").startswith("2:10: ")
    assert refused("(program (main (fail 0)))").startswith("1:22: ")
    assert refused("(program (main (spawn G A)))").startswith("1:25: ")


@check
def what_is_no_program_is_refused():
    for text in ("", "x", "()", "(main)", "(program)", "(program (main)) (program (main))",
                 "(program (main)))", "(program (main)", "(program (main) ())",
                 "(program (main (try ((fail 1)))))", "(program (main (scope)))"):
        assert refused(text), text


@check
def written_programs_read_back():
    for seed in range(50):
        form = generate(seed, "full")
        assert write(form).replace("\n", " ").split() != []
        assert run(parse(write(form))).lines == run(parse(write(form, width=10**6))).lines


@check
def options_are_told_from_operations():
    assert of("main", "(main (scope S (shield) (deadline 5) (deadline S 9) (sleep 20)))") == [
        "begin", "caught S", "done"]
    assert of("main", "(main (scope S (shield S on)))") == ["begin", "done"]


# ---- errors


@check
def text_of_a_tree_is_sorted_and_leaves_out_cancellations():
    import trio

    cancelled = trio.Cancelled._create()
    tree = ErrorGroup("G", [UserError(9), cancelled, UserError(10), Timeout(),
                            ErrorGroup("H", [cancelled]), ErrorGroup("~", [UserError(1)])])
    assert text_of(tree) == "G[e10 e9 timeout ~[e1]]"
    assert text_of(ErrorGroup("G", [cancelled])) is None and text_of(cancelled) is None


@check
def split_keeps_names_and_drops_empty_groups():
    tree = ErrorGroup("G", [UserError(1), ErrorGroup("H", [UserError(2)])])
    one, rest = split(tree, lambda e: isinstance(e, UserError) and e.number == 1)
    assert text_of(one) == "G[e1]" and text_of(rest) == "G[H[e2]]"
    assert split(UserError(1), lambda e: True)[1] is None


# ---- runs


@check
def times_are_whole_and_exact():
    trace = lines("(main (repeat 1000 (sleep 1)) (time) (sleep 1000000000000) (time))")
    assert trace[1] == "1000 main time" and trace[2] == "1000000001000 main time"


@check
def one_run_leaves_nothing_for_the_next():
    text = "(event E) (task A (scope S (deadline 500) (shield) (wait E)))" \
           "(main (group G (spawn G A) (cancel G)))"
    assert lines(text) == lines(text) and lines("(main)")[-1] == "0 result ok"


@check
def deadlock_ends_a_run():
    assert lines("(event E) (main (sleep 5) (finally ((wait E)) ((note 1))))") == [
        "0 main begin", "5 result deadlock"]


@check
def run_after_a_deadlock_is_clean():
    def client():
        first = yield parse("(program (event E) (task A (lock L (wait E))) (lock L)"
                            "(main (group G (spawn G A) (spawn G A) (start G A))))"), Order()
        second = yield parse("(program (main (sleep 5) (time)))"), Order()
        return first.lines[-1], second.lines

    assert drive(client()) == ("0 result deadlock", ["0 main begin", "5 main time", "5 main done",
                                                     "5 result ok"])


@check
def runs_that_are_too_long_are_given_up():
    assert why_not("(main (repeat 100000 (note 1)))") == "too long"


# ---- the bent places


@check
def empty_group_in_a_cancelled_scope_joins():
    assert of("main", "(main (scope S (cancel S) (group G) (note 1)))") == [
        "begin", "joined G", "note 1", "done"]


@check
def join_that_is_cancelled_unnoticed_joins():
    text = "(task A (scope S (shield) (sleep 20)))" \
           "(main (scope S (deadline 5) (group G (spawn G A))))"
    assert of("main", text) == ["begin", "joined G", "done"]


@check
def start_gives_bare_errors_and_no_error_for_silence():
    assert of("main", "(task A (fail 1)) (main (group G (start G A)))")[1] == "joined-error G G[e1]"
    assert of("main", "(task A) (main (group G (start G A)))")[1] == "not-started"


@check
def hidden_nursery_of_a_start_catches_nothing():
    # The shield goes up between the task's cancellation and the start's return.
    text = "(task A (finally ((checkpoint)) ((shield T on))))" \
           "(main (scope S (cancel S) (scope T (group G (start G A) (note 1)) (note 2)) (note 3)))"
    assert of("main", text)[1] == "joined G"  # the group was cancelled by its body
    assert "note 1" not in of("main", text)


@check
def sleep_that_is_over_is_over():
    text = "(task A (sleep 10) (note 1)) (task B (sleep 10) (cancel G))" \
           "(main (group G (spawn G A) (spawn G B)))"
    assert why_not(text) is None and "note 1" in of("main/A.0", text)


@check
def checkpoint_does_not_look_after_its_yield():
    text = "(task A (cancel S)) (main (scope S (group G (spawn G A) (checkpoint) (note 1))))"
    assert why_not(text) is None and "note 1" in of("main", text)


@check
def deadline_of_now_cancels_at_once():
    assert of("main", "(main (scope S (deadline S 0) (note 1) (checkpoint) (note 2)))") == [
        "begin", "note 1", "caught S", "done"]


@check
def cancel_before_the_deadline_makes_no_timeout():
    assert of("main", "(main (fail-after S 5 (cancel S) (checkpoint)))") == [
        "begin", "caught S", "done"]


@check
def refused_takes_no_number():
    text = "(task A) (main (spawn G A) (group G (spawn H A) (spawn G A)))"
    assert list(by_task(lines(text))) == ["main", "main/A.0", "result"]


# ---- what counts


@check
def dependence_on_order_is_seen():
    assert why_not("(task A (cancel G)) (task B (checkpoint) (note 1) (checkpoint) (note 2))"
                   "(main (group G (spawn G A) (spawn G B)))") == "the order of tasks matters"


@check
def counting_steps_is_seen():
    assert why_not("(task A (repeat 9 (checkpoint)) (cancel S)) (task B (checkpoint) (note 1))"
                   "(main (scope S (group G (spawn G A) (spawn G B))))")


@check
def ties_are_seen():
    tie = "(main (scope S (deadline 10) %s))"
    assert "deadline around" in why_not(tie % "(sleep 10)")
    assert "deadline around" in why_not(tie % "(scope T (sleep 10))")
    assert why_not(tie % "(scope T (shield) (sleep 10))") is None
    assert why_not("(task A (scope S (deadline 10) (sleep 20)))"
                   "(main (group G (spawn G A) (sleep 10)))") is None


# ---- what tasks meet at


@check
def closed_channel_yields_once():
    # B runs between the send or recv of main and what it prints.
    for op, word in (("(send C 1)", "broken"), ("(recv C)", "end")):
        text = f"(channel C 0) (task B (note 1)) (main (close C) (group G (spawn G B) {op}))"
        trace = lines(text, Order("lifo"))
        assert trace.index("0 main/B.0 note 1") < trace.index(f"0 main {word}"), op


@check
def cancellation_that_was_seen_is_raised():
    # The shield goes up while the operation yields.
    for op in ("(send C 1)", "(recv C)", "(wait E)", "(lock L)", "(acquire P)", "(limit M)",
               "(sleep 5)", "(checkpoint)"):
        text = "(channel C 1) (event E) (lock L) (sem P 1) (limiter M 1)" \
               f"(task A (shield T on)) (task B (finally ({op}) ((note 1))))" \
               "(main (scope S (cancel S) (scope T (group G (spawn G B) (spawn G A)))))"
        assert of("main/B.0", text) == ["begin", "note 1", "cancelled"], op


@check
def set_event_does_not_look_again():
    text = "(event E) (task A (cancel S))" \
           "(main (set E) (scope S (group G (spawn G A) (wait E) (note 1))))"
    assert why_not(text) is None and of("main", text)[1:3] == ["woke", "note 1"]


@check
def limiter_may_have_no_tokens():
    assert of("main", "(limiter M 0) (main (scope S (deadline 5) (limit M (note 1))))") == [
        "begin", "caught S", "done"]


@check
def deadlock_ends_those_who_wait_for_each_kind():
    for op in ("(send C 1)", "(recv C)", "(wait E)", "(lock L)", "(acquire P)", "(limit M)"):
        text = "(channel C 0) (event E) (lock L) (sem P 0) (limiter M 1)" \
               f"(task A (lock L (limit M (wait E)))) (task B (sleep 1) {op})" \
               "(main (group G (spawn G A) (spawn G B)))"
        assert lines(text)[-1] == "1 result deadlock", op
    assert lines("(main)")[-1] == "0 result ok"


@check
def hidden_cancellation_of_a_start_is_seen():
    text = "(task A (swallow (checkpoint)) (shield T on) (started))" \
           "(main (scope S (cancel S) (scope T (group G (start G A)))))"
    assert "shield" in why_not(text)


@check
def orders_differ_and_repeat():
    text = "(task A (note 1)) (main (group G (spawn G A) (spawn G A) (spawn G A)))"
    many = [tuple(lines(text, order)) for order in orders(8, 1)]
    assert many == [tuple(lines(text, order)) for order in orders(8, 1)] and len(set(many)) > 2


# ---- the generator


@check
def generator_repeats_and_varies():
    for profile in PROFILES:
        texts = [write(generate(seed, profile)) for seed in range(60)]
        assert texts == [write(generate(seed, profile)) for seed in range(60)]
        assert len(set(texts)) > 55


@check
def generated_programs_run():
    for profile in PROFILES:
        ends = set()
        for seed in range(100):
            ends.add(run(parse(write(generate(seed, profile)))).lines[-1].split()[2])
        assert {"ok", "error"} <= ends
        assert ("deadlock" in ends) == (profile not in ("core", "lock"))


@check
def profiles_use_their_kind():
    words = {"channel": {"sent", "got"}, "event": {"woke"}, "lock": {"locked"},
             "sem": {"acquired"}, "limiter": {"limited"}}
    for profile in KINDS:
        traces = [run(parse(write(generate(seed, profile)))).lines for seed in range(100)]
        told = sum(any(line.split(" ", 3)[2] in words[profile] for line in t) for t in traces)
        assert told > 40, f"{profile}: {told}"


# ---- commands


def command(*args, text=""):
    return subprocess.run([sys.executable, *args], input=text, capture_output=True, text=True,
                          check=False, cwd=HERE)


@check
def interp_gives_status_and_place():
    good = command("interp.py", "-", text="(program (main))")
    bad = command("interp.py", "-", text="(program\n(main x))")
    assert good.returncode == 0 and good.stdout == "0 main begin\n0 main done\n0 result ok\n"
    assert bad.returncode == 2 and bad.stdout == "" and bad.stderr.startswith("2:7: ")


@check
def batch_answers_each_program():
    done = command("interp.py", "--batch", text="%% a\n(program (main))\n%% b\nx\n%% c\n(program"
                                                "\n(main (time)))\n")
    assert done.stdout.splitlines() == [
        "%% a", "0 main begin", "0 main done", "0 result ok", "%% a status 0", "%% b",
        "%% b status 2", "%% c", "0 main begin", "0 main time", "0 main done", "0 result ok",
        "%% c status 0"]


@check
def comparison_finds_nothing_in_the_oracle_itself():
    done = command("compare.py", "--scenario", f"{sys.executable} interp.py", "--count", "60",
                   "--seed", "selftest", "--out", tempfile.gettempdir())
    assert done.returncode == 0 and "60 core programs agree" in done.stdout, done.stdout


IDLE = """
import sys
for line in sys.stdin:
    if line.startswith("%% "):
        line = line.strip()
        print(line, "0 main begin", "0 main done", "0 result ok", line + " status 0", sep="\\n")
"""


@check
def comparison_finds_a_difference_and_makes_it_small():
    with tempfile.TemporaryDirectory() as folder:
        subject = os.path.join(folder, "subject.py")  # right about empty programs only
        with open(subject, "w", encoding="utf-8") as file:
            file.write(IDLE)
        done = command("compare.py", "--scenario", f"{sys.executable} -S {subject}", "--jobs", "1",
                       "--seed", "selftest", "--out", folder)
        assert done.returncode == 1 and "DIFFERENCE" in done.stdout, done.stdout
        small, = glob.glob(os.path.join(folder, "*.scn"))
        with open(small, encoding="utf-8") as file:
            assert file.read().count("(") == 3


@check
def broken_rules_are_told():
    from mutants import MUTANTS, told

    text = "(program (task A (fail 1)) (main (group G (spawn G A))))"
    right = run(parse(text)).lines
    assert told(parse(text), right, MUTANTS["group_of_one_is_bare"][1])
    assert not told(parse(text), right, MUTANTS["start_wraps_errors"][1])


@check
def comparison_tells_of_a_subject_that_dies():
    with tempfile.TemporaryDirectory() as folder:
        done = command("compare.py", "--scenario", "false", "--count", "2", "--jobs", "1", "--out",
                       folder)
    assert done.returncode == 1 and "ended with status 1" in done.stdout, done.stdout


# ---- the scenario files


@check
def scenario_files_hold_under_every_order():
    paths = glob.glob(os.path.join(SCENARIOS, "*.scn")) + glob.glob(
        os.path.join(SCENARIOS, "sync", "*.scn"))
    assert len(paths) > 100
    for path in paths:
        with open(path, encoding="utf-8") as file:
            trace, why = drive(settled(parse(file.read()), 12, path))
        assert why is None, f"{path}: {why}"
        with open(path[:-4] + ".trace", encoding="utf-8") as file:
            assert by_task(file.read().splitlines()) == by_task(trace), path


def main():
    failed = 0
    print(f"1..{len(CHECKS)}")
    for number, function in enumerate(CHECKS, 1):
        try:
            function()
        except Exception as error:  # a check may fail in any way
            failed += 1
            print(f"not ok {number} - {function.__name__}")
            print(f"# {type(error).__name__}: {error}".replace("\n", "\n# "))
        else:
            print(f"ok {number} - {function.__name__}")
    print(f"# {len(CHECKS) - failed} passed, {failed} failed")
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
