/* SPDX-License-Identifier: MIT */
/*
 * Running: from an ordinary thread into tasks, and out again in order.
 *
 *	int main(void) { return coop_main(app, NULL); }
 *
 * coop_run is the bare thing: it touches no signal, prints nothing, and returns
 * what the main task returned when every task has ended. coop_main is the
 * program's: SIGINT and SIGTERM stop it in order, an error is printed as a tree,
 * and the result becomes an exit status.
 *
 * The ladder of coop_main, signal by signal: the first stops softly (every task is
 * cancelled, soft shields have the grace), the second cuts the grace to 0 (hard
 * shields hold), the third ignores shields, the fourth prints a dump and ends
 * the process at once; also where a task hangs and the loop hears nothing, without a dump then.
 *
 * For every program, unless it is set-uid: COOP_CLOCK=virtual, COOP_IO=auto|uring|epoll|sim,
 * COOP_SEED=n, COOP_BUDGET=n, COOP_STACK=bytes (64K, 1M), COOP_SPIN=ns, COOP_LOG=level. They go
 * before options.
 *
 * The simulated engine has a world of its own: sockets, pipes and files in memory, whose behaviour
 * is drawn from the seed and planned by testing.h. Time there is the virtual clock's, unless
 * COOP_CLOCK=real says otherwise. Descriptors that come from elsewhere are real ones still.
 */
#ifndef COOP_RUN_H
#define COOP_RUN_H

#include <coop/base.h>
#include <coop/error.h>

COOP_BEGIN_DECLS

enum coop_clock {
	COOP_CLOCK_REAL,
	COOP_CLOCK_VIRTUAL,
};

enum coop_engine {
	COOP_ENGINE_AUTO,
	COOP_ENGINE_URING,
	COOP_ENGINE_EPOLL,
	COOP_ENGINE_SIM,
};

/** What coop_main does at the end of a shutdown that a signal began; COOP_EEXIT(n) goes before. */
enum coop_signal_exit {
	COOP_EXIT_RERAISE, /* dies by that signal; 128 + n as PID 1 */
	COOP_EXIT_ZERO,    /* 0 if everything drained */
};

/** Options of a run; all zero: the defaults. */
struct coop_run_opts {
	const char *name;          /* of the main task, copied; NULL: "main" */
	enum coop_clock clock;
	enum coop_engine engine;
	size_t stack_bytes;        /* of a task; 0: 240 KiB */
	uint32_t budget;           /* calls that need not wait, before others run; 0: 128 */
	uint64_t seed;             /* shuffles what is free in order; 0: strict FIFO */
	int64_t timer_slack_ns;    /* wake-ups this near are one; 0: 50 us, COOP_NEVER: none
				      beside the kernel's own, see timerslack of prctl(2) */
	int64_t grace_ns;          /* of cancels that give none; 0: 10 s; COOP_NO_GRACE */
	enum coop_signal_exit signal_exit; /* coop_main */
	bool keep_signals;         /* coop_main: leave SIGINT and SIGTERM alone */
	bool forever;              /* goes on when the main task has ended, until coop_stop
				      or a signal */
	bool detect_deadlock;      /* also on the real clock: everything blocked is an error */
	bool ignore_deadlock;      /* also on the virtual clock: not an error */
	bool stop_on_error;        /* a failure in the run's own group stops the run in order, and
				      is part of its result; else it is only a line in the log */
	size_t stack_cache_bytes;  /* touched memory of free stacks that is kept, of each size;
				      0: 64 MiB */
	int64_t ignore_warn;       /* cancels ignored in one scope before a warning; 0: 1000 */
	int64_t spin_ns;           /* before it sleeps the loop looks for so long whether something
				      comes, as long as things have come that fast; 0: 50 us,
				      COOP_NO_SPIN: sleeps at once */
	uint64_t _reserved[8];
};
#define COOP_NO_SPIN (-1)

/**
 * Runs fn(arg) as the main task on this thread, until every task has ended.
 *
 * The main task's end cancels the services that are left. Tasks that are left
 * by other ways (coop_spawn into the run's own group: forever) are cancelled, joined and
 * named in the log. The error object is in the thread's slot: coop_error_take. Where more
 * than the main task's error belongs to the result (of callbacks, of stop_on_error, an
 * interrupt) it is a group of all; what fn returned keeps its code, unless an interrupt
 * came before.
 *
 * Returns what fn returned.
 *
 * Checkpoint: never.
 * Errors: fn's; -EALREADY (inside a run), COOP_EFORK (in the child of a fork by a task, in the
 *   thread of that), -EINVAL (options), -ENOMEM, -EMFILE,
 *   -ENFILE, -ENOTSUP (engine not available), -EDEADLK (everything was blocked),
 *   COOP_EINTERRUPT (a signal stopped it and fn returned COOP_ECANCELED), COOP_EINTERNAL.
 * Thread: any that is not in a run.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_run(coop_fn *fn, void *arg, const struct coop_run_opts *opts);

/** A runtime that can be run several times; opaque. */
struct coop_runner;

/**
 * Makes a runner for this thread.
 *
 * Returns 0 and a runner in `ret_runner`, to be closed with coop_runner_close.
 *
 * Checkpoint: never.
 * Errors: as coop_run.   Thread: any; the runner belongs to it.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_runner_open(const struct coop_run_opts *opts, struct coop_runner **ret_runner);

/**
 * Runs fn(arg) as coop_run does; stacks and memory are kept for the next time.
 *
 * Returns what fn returned.
 *
 * Checkpoint: never.
 * Errors: as coop_run; COOP_EFORK (in a child that was forked since it was opened), COOP_ECLOSED.
 * Thread: the one that opened it.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_runner_run(struct coop_runner *runner, coop_fn *fn, void *arg);

/**
 * Frees what the runner holds; further runs return COOP_ECLOSED. Twice is fine.
 *
 * The runner itself is freed by coop_runner_free.
 *
 * Returns 0.
 *
 * Checkpoint: never.
 * Errors: -EBUSY (running), COOP_EWRONGTHREAD.   Thread: the one that opened it.   Since: 0.1
 */
COOP_API
int coop_runner_close(struct coop_runner *runner);

/**
 * Closes and frees a runner; NULL is fine.
 *
 * Returns NULL.
 *
 * Checkpoint: never.   Errors: none; a running one aborts the program.
 * Thread: the one that opened it.   Since: 0.1
 */
COOP_API
struct coop_runner *coop_runner_free(struct coop_runner *runner);

/**
 * Runs fn(arg) as a program: signals, errors and exit status taken care of.
 *
 * `return coop_main(app, NULL);` It installs the ladder for SIGINT and SIGTERM (a SIGINT that
 * was ignored at start stays ignored), a handler that reports the overflow of a
 * task's stack, prints an error as a tree on standard error, and after a shutdown by
 * signal dies by that signal (see coop_main_with).
 *
 * Returns the exit status: 0; n for COOP_EEXIT(n); else 1.
 *
 * Checkpoint: never.
 * Errors: none but the status.   Thread: the main one.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_main(coop_fn *fn, void *arg);

/**
 * The same with options.
 *
 * A signal that comes when the run is over is raised again, for what was there before.
 *
 * Returns the exit status; with COOP_EXIT_ZERO 0 after a signal and a complete drain: nothing
 * failed, and no shield had to be ignored.
 *
 * Checkpoint: never.
 * Errors: none but the status.   Thread: the main one.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_main_with(coop_fn *fn, void *arg, const struct coop_run_opts *opts);

/**
 * Stops the run in order, as a first signal does: every task is cancelled.
 *
 * Returns 0, or 1 if a shutdown was going on already.
 *
 * Checkpoint: never.
 * Errors: COOP_ENOTASK, COOP_EFORK.   Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API
int coop_stop(const char *reason);

/** Phase of a shutdown. */
enum coop_shutdown {
	COOP_SHUTDOWN_NONE,
	COOP_SHUTDOWN_SOFT,  /* cancelled; shields and protected tasks have the grace */
	COOP_SHUTDOWN_HARD,  /* the grace is over; hard shields hold */
	COOP_SHUTDOWN_FORCE, /* shields are ignored */
};

/**
 * Tells how far a shutdown of the run has come.
 *
 * Returns the phase.
 *
 * Checkpoint: never.   Errors: none.   Thread: the runtime's.   Since: 0.1
 */
COOP_API COOP_MUST_USE
enum coop_shutdown coop_shutdown_phase(void);

/**
 * Has fn(arg) run when a shutdown begins, as a task of the run that is shielded with the grace.
 *
 * At most 8; they begin in order, before anybody is cancelled. Its error is part of the run's
 * result: beside the others, or the only one.
 *
 * Returns 0.
 *
 * Checkpoint: never.
 * Errors: -EINVAL, -ENOSPC, -EALREADY (one has begun), COOP_ENOTASK.
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_on_shutdown(coop_fn *fn, void *arg);

/**
 * Gives the group of the run, to which tasks can be given that the main task does not wait for.
 *
 * They are cancelled when the main task has ended, or live on with `forever`.
 *
 * Returns a group borrowed for the run; NULL outside of tasks.
 *
 * Checkpoint: never.   Errors: none.   Thread: the runtime's.   Since: 0.1
 */
COOP_API COOP_MUST_USE
struct coop_group *coop_run_group(void);

/**
 * Tells whether the run is on the virtual clock.
 *
 * Returns true or false.
 *
 * Checkpoint: never.   Errors: none.   Thread: the runtime's.   Since: 0.1
 */
COOP_API COOP_MUST_USE
bool coop_clock_is_virtual(void);

COOP_END_DECLS

#endif
