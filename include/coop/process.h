/* SPDX-License-Identifier: MIT */
/*
 * Processes: started exactly as said, waited for without blocking the loop, stopped by a ladder,
 * and never left behind.
 *
 *	struct coop_process_opts opts = { .argv = (char *[]){ "make", "-s", NULL } };
 *	struct coop_process_status status;
 *
 *	r = coop_process_run(&opts, &status);    // a cancel stops it, and returns when it is gone
 *
 * A process belongs to whoever started it until coop_process_free: it ends what still runs and
 * takes the status away. Nothing is ever signalled that is not ours: a process is named by a
 * descriptor (pidfd), its group by a number that stays its own while the process is not reaped.
 *
 * What is started has every signal at its default, none blocked, and no descriptor but those that
 * are named; the program is never copied (no fork), so its locks and clean-ups are not the child's.
 * The calling thread stands still until the program of the child has been entered.
 *
 * Processes live in real time: on the virtual clock timers do not wait for them.
 */
#ifndef COOP_PROCESS_H
#define COOP_PROCESS_H

#include <coop/base.h>

#include <signal.h>
#include <sys/types.h>

COOP_BEGIN_DECLS

/** A process that was started; opaque. */
struct coop_process;

/** What one of the three standard streams of a process is. */
enum coop_process_io {
	COOP_PROCESS_INHERIT, /* ours; the null device if we have none */
	COOP_PROCESS_NULL,    /* the null device */
	COOP_PROCESS_PIPE,    /* a pipe: coop_process_fd gives our end */
	COOP_PROCESS_FD,      /* a descriptor of ours: `fd`, which stays open here */
	COOP_PROCESS_PTY,     /* a terminal of its own: one for all streams that say so */
	COOP_PROCESS_STDOUT,  /* standard error only: where standard output goes */
};

struct coop_process_stream {
	enum coop_process_io how;
	int fd; /* of COOP_PROCESS_FD */
};

/** One more descriptor: ours, and its number there, 3 or more. */
struct coop_process_fd {
	int fd;
	int as;
};

/** A limit: RLIMIT_NOFILE, say; UINT64_MAX: none. */
struct coop_process_limit {
	int resource;
	uint64_t soft;
	uint64_t hard;
};

/** One rung of a stop ladder: a signal, and how long its effect is waited for. */
struct coop_process_rung {
	int signal;
	int64_t wait_ns;
};

#define COOP_PROCESS_RUNGS_MAX 8

/** In which group of processes, and so who gets the signals of a terminal. */
enum coop_process_group {
	COOP_PROCESS_SAME_GROUP,  /* ours, or the one of `join` */
	COOP_PROCESS_OWN_GROUP,   /* a new one that it leads */
	COOP_PROCESS_OWN_SESSION, /* a new session, and group; as with a pty always */
};

/** What a start was at when it failed. */
enum coop_process_step {
	COOP_PROCESS_AT_NOTHING,
	COOP_PROCESS_AT_OPTIONS,  /* they make no sense */
	COOP_PROCESS_AT_MEMORY,
	COOP_PROCESS_AT_STREAMS,  /* pipes, a pty, the null device */
	COOP_PROCESS_AT_CLONE,    /* making the process */
	COOP_PROCESS_AT_GROUP,    /* session, group */
	COOP_PROCESS_AT_CGROUP,
	COOP_PROCESS_AT_DEATH,    /* death_signal, subreaper */
	COOP_PROCESS_AT_CWD,
	COOP_PROCESS_AT_FDS,
	COOP_PROCESS_AT_TERMINAL,
	COOP_PROCESS_AT_LIMITS,   /* limits, nice */
	COOP_PROCESS_AT_EXEC,     /* finding and entering the program */
};

/** How to start a process; all zero but `argv` is a good default. */
struct coop_process_opts {
	char *const *argv; /* ends with NULL; as of all here, borrowed for the call */
	const char *path;  /* the program; NULL: argv[0]. Without '/': looked up in its PATH */
	char *const *env;  /* "NAME=value", ends with NULL; NULL: this process's */
	const char *cwd;   /* NULL: this process's */
	struct coop_process_stream in, out, err;
	const struct coop_process_fd *fds; /* further ones; all others are closed */
	size_t fds_count;
	const struct coop_process_limit *limits;
	size_t limits_count;
	enum coop_process_group group;
	int32_t join;         /* SAME_GROUP: the group to join; 0: ours */
	int death_signal;     /* that it gets when the thread that starts it ends; 0: none */
	int cgroup_fd;        /* a cgroup's folder, that it begins in; 0: ours */
	int32_t nice;         /* that is added to ours */
	uint32_t umask_set;   /* 01000 | the umask; 0: ours */
	uint16_t rows, columns; /* of the pty; 0: 24, 80 */
	bool subreaper;       /* orphans below it become its children */
	bool keep_ignored;    /* signals that we ignore stay ignored (nohup), but for SIGPIPE */
	bool terminal;        /* its standard input becomes the terminal of its session */
	bool foreground;      /* its group becomes the foreground one of its standard input */
	bool plain_pty;       /* the pty passes on what is written as it is, and echoes nothing */
	const struct coop_process_rung *stop; /* NULL: SIGTERM, for as long as the grace */
	size_t stop_count;
	bool stop_slowly;     /* rungs are waited for in full, whatever grace the cancel has */
	bool stop_rest;       /* coop_process_run: afterwards the rest of its group is stopped */
	enum coop_process_step *ret_step; /* where a failed start was; NULL: who asks */
	uint64_t _reserved[8];
};

/** How a process has ended. */
struct coop_process_status {
	int code;      /* of the exit, 0 to 255 */
	int signal;    /* that ended it; 0: it has exited */
	bool core;     /* and left a core dump */
	int64_t user_ns, system_ns; /* of it and the children that it waited for */
	int64_t memory_max;         /* most bytes that were resident */
};

/**
 * Starts a process.
 *
 * Returns 0 and the process in `ret_process`, the caller's to free. On failure there is none, no
 * descriptor is left, and the error object says what failed in which step; so does *ret_step.
 *
 * A program that is being written (ETXTBSY) is tried again for up to 100 ms.
 *
 * Checkpoint: always.
 * Cancel: COOP_ECANCELED; nothing was started.
 * Errors: COOP_ECANCELED, -EINVAL (options), -ENOMEM, -EMFILE, -ENFILE, -EAGAIN (too many
 *   processes), those of each step: -ENOENT, -EACCES, -ENOEXEC, -ETXTBSY, -E2BIG ... of the
 *   program, COOP_ENOTASK, COOP_EFORK.
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_process_spawn(const struct coop_process_opts *opts, struct coop_process **ret_process);

/**
 * Waits until the process has ended, and reaps it: its number is free for others then.
 *
 * Any number of tasks may wait, and all get the status; after the end too.
 *
 * Returns 0 and how it ended in `ret_status` (NULL: not wanted).
 *
 * Checkpoint: always.
 * Cancel: COOP_ECANCELED; the process goes on, and the status is not lost.
 * Errors: COOP_ECANCELED, -ECHILD (somebody else has reaped it, or SIGCHLD is ignored: it has
 *   ended, and how is not known), COOP_EWRONGTHREAD, COOP_ENOTASK, COOP_EFORK.
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_process_wait(struct coop_process *process, struct coop_process_status *ret_status);

/**
 * The same without reaping it: its number stays its own, so its group can still be signalled.
 *
 * Returns 0 and how it ended in `ret_status` (NULL: not wanted).
 *
 * Checkpoint: always.
 * Cancel: COOP_ECANCELED; the process goes on.
 * Errors: as coop_process_wait.
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_process_wait_end(struct coop_process *process, struct coop_process_status *ret_status);

/**
 * Tells whether and how it has ended, without waiting or reaping.
 *
 * Returns 0 and how in `ret_status` (NULL: not wanted).
 *
 * Checkpoint: never.
 * Errors: -EAGAIN (it runs), -ECHILD (as coop_process_wait).   Thread: the runtime's.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_process_look(struct coop_process *process, struct coop_process_status *ret_status);

/**
 * Sends it a signal; 0 only asks.
 *
 * Returns 0.
 *
 * Checkpoint: never.
 * Errors: -ESRCH (it has ended), -EPERM (it has become somebody else's), -EINVAL.
 * Thread: any, while nobody reaps or frees it.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_process_signal(struct coop_process *process, int sig);

/**
 * Sends a signal to the group that it leads, also after its end while it is not reaped.
 *
 * Returns 0.
 *
 * Checkpoint: never.
 * Errors: -ESRCH (it is reaped), -EPERM (it leads none: SAME_GROUP), -EINVAL.
 * Thread: any, while nobody reaps or frees it.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_process_signal_group(struct coop_process *process, int sig);

/**
 * Gives its number in the system. It may be another's once it is reaped.
 *
 * Returns the number.
 *
 * Checkpoint: never.   Errors: none.   Thread: any.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_process_pid(const struct coop_process *process);

/**
 * Gives our end of standard stream `which`, 0 to 2: of a pipe, or of the pty.
 *
 * It does not block, and is not inherited. It stays the process's: coop_process_free closes it.
 *
 * Returns the descriptor; -1 if there is none.
 *
 * Checkpoint: never.   Errors: none.   Thread: the runtime's.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_process_fd(const struct coop_process *process, int which);

/**
 * Takes our end of a standard stream: it is the caller's to close.
 *
 * The pty is taken for all streams at once.
 *
 * Returns the descriptor; -1 if there is none.
 *
 * Checkpoint: never.   Errors: none.   Thread: the runtime's.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_process_take_fd(struct coop_process *process, int which);

/**
 * Tells its terminal, a pty, another size.
 *
 * Returns 0.
 *
 * Checkpoint: never.
 * Errors: -ENOTTY (it has none, or it was taken).   Thread: the runtime's.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_process_resize(struct coop_process *process, unsigned rows, unsigned columns);

/**
 * Stops it: climbs the ladder of its options until it is gone, and reaps it.
 *
 * Each rung's signal goes once to the process, or to the group where it leads one; then its end is
 * waited for, and that of the group. What is still there after the last rung, or when the grace of
 * a cancel is over (but see stop_slowly), is killed. One that has ended already
 * is only reaped, after the rest of its group was stopped in the same way.
 *
 * Returns 0 and how it ended in `ret_status` (NULL: not wanted).
 *
 * Checkpoint: custom; it waits until the process is reaped, and a cancel only makes it hurry.
 * Cancel: never.
 * Errors: -ECHILD (as coop_process_wait), -EPERM (it has become somebody else's and cannot be
 *   signalled; not reaped), COOP_EWRONGTHREAD, COOP_ENOTASK, COOP_EFORK.
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_process_stop(struct coop_process *process, struct coop_process_status *ret_status);

/**
 * Ends it if it still runs (SIGKILL, its whole group if it leads one), reaps it, closes our ends
 * of its streams, and frees it. NULL is fine.
 *
 * Calls of other tasks that wait for its end get its status first. One that was left when its run
 * ended has been killed and reaped then. One that cannot be killed, since it has become somebody
 * else's, is left, which is logged; those calls get -ECHILD.
 *
 * Returns NULL.
 *
 * Checkpoint: custom; where it has to wait for the end it does, whether cancelled or not.
 * Cancel: never.
 * Errors: none; in another thread than the run's it aborts the program.
 * Thread: the runtime's.   Since: 0.1
 */
COOP_API
struct coop_process *coop_process_free(struct coop_process *process);

/**
 * Runs a process: starts it, waits for its end, reaps it; the body of a task.
 *
 * On a cancel it climbs the stop ladder, and returns when the process is reaped.
 *
 * Returns 0 and how it ended in `ret_status`. Without `ret_status` anything but exit 0 is an error.
 *
 * Checkpoint: always.
 * Cancel: COOP_ECANCELED; it was not started, or is stopped and reaped.
 * Errors: as coop_process_spawn and coop_process_wait; -EPERM (as coop_process_stop);
 *   COOP_EPROCESS (no ret_status, and it did not exit with 0; the error says how it ended).
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_process_run(const struct coop_process_opts *opts, struct coop_process_status *ret_status);

/** What coop_process_capture takes and keeps; all zero: no input, 1 MiB of either stream. */
struct coop_capture_opts {
	const void *input; /* for its standard input; borrowed until the call returns */
	size_t input_bytes;
	size_t out_max, err_max; /* bytes kept; 0: 1 MiB */
	int64_t drain_ns; /* after its end, how long others may hold the streams open; 0: 1 s */
	uint64_t _reserved[4];
};

/** What a process has written. Each text is followed by a NUL that does not count. */
struct coop_capture {
	char *out, *err;             /* never NULL after success */
	size_t out_bytes, err_bytes; /* kept */
	uint64_t out_total, err_total; /* written; what was beyond the limit is not kept */
	bool held; /* somebody held a stream open for longer than drain_ns: more may have come */
	struct coop_process_status status;
};

/**
 * Runs a process and keeps what it writes: `out` and `err` of `opts` are pipes where they say
 * INHERIT, and so is `in` where there is input, else the null device.
 *
 * All streams are served at once, so nobody waits for the other. On a cancel the process can go on
 * writing while it is stopped.
 *
 * Returns 0 with *ret_capture filled, to be given to coop_capture_deinit.
 *
 * Checkpoint: always.
 * Cancel: COOP_ECANCELED; it was not started, or is stopped and reaped; nothing is kept.
 * Errors: as coop_process_run; -EIO and the like of reading its streams.
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_process_capture(const struct coop_process_opts *opts,
			 const struct coop_capture_opts *capture, struct coop_capture *ret_capture);

/**
 * Frees what a capture has kept. One that is all zero is fine.
 *
 * Checkpoint: never.   Errors: none.   Thread: any.   Since: 0.1
 */
COOP_API
void coop_capture_deinit(struct coop_capture *capture);

/**
 * Tells whether a process has ended well: exit 0.
 *
 * Returns true or false.
 *
 * Checkpoint: never.   Errors: none.   Thread: any.   Since: 0.1
 */
COOP_API COOP_MUST_USE
bool coop_process_ok(const struct coop_process_status *status);

/**
 * Gives the number that a shell has for it: the exit's, or 128 and the signal's.
 *
 * Returns 0 to 255.
 *
 * Checkpoint: never.   Errors: none.   Thread: any.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_process_shell_code(const struct coop_process_status *status);

/**
 * Puts an end into words: "exit 3", "killed by SIGSEGV (core dumped)".
 *
 * Returns `buf`, cut where it is too small.
 *
 * Checkpoint: never.   Errors: none.   Thread: any.   Since: 0.1
 */
COOP_API
char *coop_process_text(const struct coop_process_status *status, char *buf, size_t size);

/*
 * Containment. A process whose parent ends becomes a child of the nearest subreaper above it, so
 * below a subreaper nobody gets away, by setsid and double forks neither. These calls are for
 * programs that own every process below them, as runners and init do: they see those of
 * other libraries in this program, too. What is said to be for any thread needs no run.
 */

/** A process below another one, as /proc had it a moment ago. */
struct coop_process_info {
	int pid;
	int parent;
	int group;
	int session;
	unsigned depth; /* 1: a child of where the walk began; 0: no walk */
	char state; /* as ps has it: R, S, D, T, Z ...; Z only when its last thread has ended */
	char name[16];
};

/** Called with each process of a tree; true ends the walk. */
typedef bool coop_process_tree_fn(const struct coop_process_info *info, void *ctx);

/**
 * Walks all processes below `pid`, itself apart, parents before their children; 0: below this one.
 *
 * The tree may change meanwhile: one that is started behind the walk's back is not seen.
 *
 * Returns how many it has called `fn` with.
 *
 * Checkpoint: never.
 * Errors: -ESRCH (no such process), -ENOMEM, those of reading /proc.   Thread: any.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_process_tree(int pid, coop_process_tree_fn *fn, void *ctx);

/**
 * Looks at one process; 0: this one.
 *
 * Returns 0 and what there is in `ret_info`.
 *
 * Checkpoint: never.
 * Errors: -ESRCH (no such process), those of reading /proc.   Thread: any.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_process_info(int pid, struct coop_process_info *ret_info);

/** Called with the number of each child; true ends the walk. */
typedef bool coop_process_child_fn(int pid, void *ctx);

/**
 * Walks the children of `pid`, without looking at any of them; 0: of this process. Those that have
 * ended and are not reaped are among them.
 *
 * Returns how many it has called `fn` with.
 *
 * Checkpoint: never.
 * Errors: -ESRCH (no such process), -ENOMEM, those of reading /proc.   Thread: any.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_process_children(int pid, coop_process_child_fn *fn, void *ctx);

/**
 * Makes this process the subreaper of what is below it, or no longer.
 *
 * Returns 0.
 *
 * Checkpoint: never.   Errors: the system's.   Thread: any.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_subreaper(bool on);

/**
 * Called with a child that has ended and was not started by coop: one that was adopted. True: it is
 * reaped; false: somebody else in this program waits for it. It may be asked again about the same.
 */
typedef bool coop_orphan_fn(int pid, const struct coop_process_status *status, void *ctx);

/**
 * Reaps the adopted children that have ended. `fn` is asked about each; NULL: all are.
 *
 * Children that coop has started, in this run or another, are never touched.
 *
 * Returns how many were reaped.
 *
 * Checkpoint: never.
 * Errors: -EAGAIN (another thread starts a process right now: later), -ENOMEM, those of reading
 *   /proc.   Thread: any.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_orphans_reap(coop_orphan_fn *fn, void *ctx);

/**
 * Reaps adopted children as they end, by SIGCHLD, until it is cancelled; the body of a service.
 *
 * Returns what ended it.
 *
 * Checkpoint: always.
 * Cancel: COOP_ECANCELED; none was lost.
 * Errors: COOP_ECANCELED, -EBUSY (SIGCHLD has a receiver), COOP_EWRONGTHREAD (another run owns
 *   signals), -ENOMEM, those of reading /proc, COOP_ENOTASK, COOP_EFORK.
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_orphans_serve(coop_orphan_fn *fn, void *ctx);

/** A process that a sweep could not end. */
struct coop_survivor {
	int pid;
	int reason; /* -EPERM: may not be signalled; -EBUSY: killed, and the kernel holds it */
	char state; /* as ps has it: D, say */
	char name[16];
};

struct coop_sweep_opts {
	int below;          /* everything below this one, itself apart; 0: below this process */
	int64_t timeout_ns; /* for those that do not go; 0: 5 s */
	uint64_t _reserved[4];
};

/**
 * Ends every process below this one, and reaps the adopted ones; for a subreaper.
 *
 * First all are stopped, so that none starts another one unseen, then all are killed; that is
 * repeated until none is left. Each is named by a pidfd that is known to be of the process that the
 * walk has seen. Those that coop has started are left for their owners to reap.
 *
 * Returns the number of survivors, 0 for none; the first `room` of them are in `ret_survivors`.
 *
 * Checkpoint: custom; it waits for them to go, no longer than was said, and no cancel ends that.
 * Cancel: never.
 * Errors: -EINVAL (options), -ESRCH (no such process), -ENOMEM, those of reading /proc,
 *   COOP_ENOTASK, COOP_EFORK.
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_process_sweep(const struct coop_sweep_opts *opts, struct coop_survivor *ret_survivors,
		       size_t room);

COOP_END_DECLS

#endif
