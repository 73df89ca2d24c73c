/* SPDX-License-Identifier: MIT */
/*
 * Starting a process: options are checked, streams are made, the plan is laid out in memory, and
 * base/os_spawn.c carries it out.
 *
 * A `struct start` is what exists during a start. Whatever has been made in it is given back by
 * start_end, after success and failure alike; what the process keeps is taken out before.
 */
#include "sys/process.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CP_BUSY_WAIT_NS COOP_MILLISECONDS(100) /* for a program that is being written */
#define CP_PATH_DEFAULT "/usr/local/bin:/usr/bin:/bin"
#define CP_FDS_MAX 1024

struct start {
	const struct coop_process_opts *opts;
	struct cp_spawn spawn;
	const char *file; /* the program as it was asked for */
	struct coop_process *process;
	char **paths;
	int theirs[3]; /* what the child gets; ours to close where `made` */
	bool made[3];
	int pty; /* the terminal's side; -1: none */
	int null;
	bool session;
};

/* --------------------------------------------------------------------- options */

static bool stream_ok(const struct coop_process_stream *s, int which)
{
	if (s->how < COOP_PROCESS_INHERIT || s->how > COOP_PROCESS_STDOUT)
		return false;
	if (s->how == COOP_PROCESS_FD && s->fd < 0)
		return false;
	return s->how != COOP_PROCESS_STDOUT || which == STDERR_FILENO;
}

static bool fds_ok(const struct coop_process_opts *o)
{
	if (o->fds_count > CP_FDS_MAX || (o->fds_count && !o->fds))
		return false;
	for (size_t i = 0; i < o->fds_count; i++) {
		if (o->fds[i].fd < 0 || o->fds[i].as <= STDERR_FILENO)
			return false;
		for (size_t k = 0; k < i; k++)
			if (o->fds[k].as == o->fds[i].as)
				return false;
	}
	return true;
}

static bool ladder_ok(const struct coop_process_opts *o)
{
	if (o->stop_count > COOP_PROCESS_RUNGS_MAX || (o->stop_count && !o->stop))
		return false;
	for (size_t i = 0; i < o->stop_count; i++)
		if (o->stop[i].signal < 1 || o->stop[i].signal > SIGRTMAX || o->stop[i].wait_ns < 0)
			return false;
	return true;
}

static bool opts_ok(const struct coop_process_opts *o)
{
	if (!o || !o->argv || !o->argv[0] || (o->path && !*o->path) || (!o->path && !*o->argv[0]))
		return false;
	for (size_t i = 0; i < CP_ARRAY_LEN(o->_reserved); i++)
		if (o->_reserved[i])
			return false;
	if (!stream_ok(&o->in, 0) || !stream_ok(&o->out, 1) || !stream_ok(&o->err, 2))
		return false;
	if (o->group < COOP_PROCESS_SAME_GROUP || o->group > COOP_PROCESS_OWN_SESSION ||
	    o->join < 0 || (o->join && o->group != COOP_PROCESS_SAME_GROUP))
		return false;
	if (o->death_signal < 0 || o->death_signal > SIGRTMAX || o->cgroup_fd < 0 ||
	    (o->limits_count && !o->limits) || (o->umask_set & ~01777u))
		return false;
	return fds_ok(o) && ladder_ok(o);
}

static bool wants_pty(const struct coop_process_opts *o)
{
	return o->in.how == COOP_PROCESS_PTY || o->out.how == COOP_PROCESS_PTY ||
	       o->err.how == COOP_PROCESS_PTY;
}

/* --------------------------------------------------------------------- streams */

/* The null device, opened once for all that want it. */
static int null_of(struct start *s)
{
	if (s->null < 0)
		s->null = cp_os_open_null();
	return s->null;
}

static int pty_of(struct start *s, int which)
{
	const struct coop_process_opts *o = s->opts;
	int ours, r;

	for (int i = 0; i < which; i++)
		if (s->pty >= 0 && s->theirs[i] == s->pty) {
			s->process->fds[which] = s->process->fds[i];
			return s->pty;
		}
	r = cp_os_pty(o->rows ? o->rows : 24, o->columns ? o->columns : 80, o->plain_pty, &ours,
		      &s->pty);
	if (r < 0)
		return r;
	s->process->fds[which] = ours;
	return s->pty;
}

/* What stream `which` is in the child: a descriptor of ours, or -errno. */
static int stream_fd(struct start *s, int which, const struct coop_process_stream *stream)
{
	int r, fd;

	switch (stream->how) {
	case COOP_PROCESS_NULL: return null_of(s);
	case COOP_PROCESS_FD: return stream->fd;
	case COOP_PROCESS_STDOUT: return s->theirs[STDOUT_FILENO];
	case COOP_PROCESS_PTY: return pty_of(s, which);
	case COOP_PROCESS_PIPE:
		r = cp_os_child_pipe(which != STDIN_FILENO, &s->process->fds[which], &fd);
		s->made[which] = r >= 0;
		return r < 0 ? r : fd;
	default: return cp_os_fd_is_open(which) ? which : null_of(s);
	}
}

static int make_streams(struct start *s)
{
	const struct coop_process_stream *streams[] = { &s->opts->in, &s->opts->out,
							&s->opts->err };

	s->spawn.step = COOP_PROCESS_AT_STREAMS;
	for (int i = 0; i < 3; i++) {
		int fd = stream_fd(s, i, streams[i]);

		if (fd < 0)
			return fd;
		s->theirs[i] = fd;
	}
	return 0;
}

static int by_number(const void *a, const void *b)
{
	return ((const struct cp_spawn_fd *)a)->to - ((const struct cp_spawn_fd *)b)->to;
}

/* Which descriptor goes where, in order of their numbers in the child. */
static int lay_fds(struct start *s)
{
	size_t count = 3 + s->opts->fds_count;
	struct cp_spawn_fd *fds = cp_calloc(count, sizeof *fds);

	s->spawn.step = COOP_PROCESS_AT_MEMORY;
	if (!fds)
		return -ENOMEM;
	for (int i = 0; i < 3; i++)
		fds[i] = (struct cp_spawn_fd){ .from = s->theirs[i], .to = i };
	for (size_t i = 0; i < s->opts->fds_count; i++)
		fds[3 + i] = (struct cp_spawn_fd){ .from = s->opts->fds[i].fd,
						   .to = s->opts->fds[i].as };
	qsort(fds, count, sizeof *fds, by_number);
	s->spawn.fds = fds;
	s->spawn.fds_count = count;
	return 0;
}

/* --------------------------------------------------------------------- program */

static const char *path_of(char *const *env)
{
	for (; *env; env++)
		if (strncmp(*env, "PATH=", 5) == 0)
			return *env + 5;
	return CP_PATH_DEFAULT;
}

static size_t count_folders(const char *path)
{
	size_t count = 1;

	for (; *path; path++)
		count += *path == ':';
	return count;
}

/* Every place where the program may be, as pointers and texts in one block. */
static int lay_search(struct start *s, const char *path)
{
	size_t folders = count_folders(path), file_bytes = strlen(s->file) + 1;
	size_t bytes = (folders + 1) * sizeof(char *) + strlen(path) + folders * (file_bytes + 2);
	char *text;

	s->paths = cp_alloc(bytes);
	if (!s->paths)
		return -ENOMEM;
	text = (char *)(s->paths + folders + 1);
	for (size_t i = 0; i < folders; i++) {
		size_t n = strcspn(path, ":");

		s->paths[i] = text;
		memcpy(text, path, n);
		text += n;
		if (n) /* an empty one is the current folder */
			*text++ = '/';
		memcpy(text, s->file, file_bytes);
		text += file_bytes;
		path += n + 1;
	}
	s->paths[folders] = NULL;
	s->spawn.paths = s->paths;
	return 0;
}

static int lay_program(struct start *s)
{
	const struct coop_process_opts *o = s->opts;

	s->spawn.step = COOP_PROCESS_AT_MEMORY;
	s->file = o->path ? o->path : o->argv[0];
	s->spawn.argv = o->argv;
	s->spawn.env = o->env ? o->env : environ;
	if (!strchr(s->file, '/'))
		return lay_search(s, path_of(s->spawn.env));
	s->paths = cp_calloc(2, sizeof *s->paths);
	if (!s->paths)
		return -ENOMEM;
	s->paths[0] = (char *)(uintptr_t)s->file;
	s->spawn.paths = s->paths;
	return 0;
}

static void lay_rest(struct start *s)
{
	const struct coop_process_opts *o = s->opts;

	s->spawn.cwd = o->cwd;
	s->spawn.limits = o->limits;
	s->spawn.limits_count = o->limits_count;
	s->spawn.session = s->session;
	s->spawn.group = -1;
	if (o->group == COOP_PROCESS_OWN_GROUP)
		s->spawn.group = 0;
	else if (o->join)
		s->spawn.group = o->join;
	s->spawn.death_signal = o->death_signal;
	s->spawn.cgroup = o->cgroup_fd ? o->cgroup_fd : -1;
	s->spawn.nice = o->nice;
	s->spawn.umask_set = o->umask_set;
	s->spawn.subreaper = o->subreaper;
	s->spawn.keep_ignored = o->keep_ignored;
	s->spawn.foreground = o->foreground;
	s->spawn.terminal = o->terminal ? STDIN_FILENO : -1;
	for (int i = 0; i < 3 && s->pty >= 0 && s->spawn.terminal < 0; i++)
		if (s->theirs[i] == s->pty)
			s->spawn.terminal = i;
}

/* ----------------------------------------------------------------------- start */

static void left_open(struct cp_debt *debt)
{
	struct coop_process *p = CP_CONTAINER_OF(debt, struct coop_process, debt);

	coop_log(COOP_LOG_WARN, "process %d (%s) was left when the run ended: it is killed", p->pid,
		 p->name);
	cp_process_end_now(p);
	p->rt = NULL;
}

static int new_process(struct cp_rt *rt, struct start *s)
{
	const struct coop_process_opts *o = s->opts;
	static const struct coop_process_rung usual = { SIGTERM, COOP_NEVER };
	struct coop_process *p = cp_calloc(1, sizeof *p);

	s->spawn.step = COOP_PROCESS_AT_MEMORY;
	if (!p)
		return -ENOMEM;
	p->rt = rt;
	p->pid = p->pidfd = -1;
	p->fds[0] = p->fds[1] = p->fds[2] = -1;
	p->leader = s->session || o->group == COOP_PROCESS_OWN_GROUP;
	p->stop_slowly = o->stop_slowly;
	p->stop_count = (uint8_t)(o->stop_count ? o->stop_count : 1);
	memcpy(p->stop, o->stop_count ? o->stop : &usual, p->stop_count * sizeof usual);
	cp_copy_name(p->name, o->argv[0]);
	p->debt.left = left_open;
	s->process = p;
	return 0;
}

static void start_begin(struct start *s, const struct coop_process_opts *opts)
{
	*s = (struct start){ .opts = opts, .theirs = { -1, -1, -1 }, .pty = -1, .null = -1 };
	s->session = opts->group == COOP_PROCESS_OWN_SESSION || wants_pty(opts);
}

static void start_end(struct start *s)
{
	for (int i = 0; i < 3; i++)
		if (s->made[i])
			cp_os_close(s->theirs[i]);
	if (s->pty >= 0)
		cp_os_close(s->pty);
	if (s->null >= 0)
		cp_os_close(s->null);
	for (int i = 0; i < 3 && s->process; i++) { /* nobody has used them yet */
		int fd = coop_process_take_fd(s->process, i);

		if (fd >= 0)
			cp_os_close(fd);
	}
	cp_free(s->process);
	cp_free(s->spawn.fds);
	cp_free(s->paths);
}

static int spawn_registered(struct start *s)
{
	int r;

	cp_process_starting();
	r = cp_os_spawn(&s->spawn, &s->process->pid, &s->process->pidfd);
	cp_process_started(r >= 0 ? s->process : NULL);
	return r;
}

/* A program that is open for writing somewhere is written to its end in a moment. */
static int spawn_patiently(struct start *s)
{
	int64_t slept = 0, nap = COOP_MILLISECONDS(1);

	for (;;) {
		int r = spawn_registered(s);

		if (r != -ETXTBSY || slept >= CP_BUSY_WAIT_NS)
			return r;
		r = coop_sleep(nap);
		if (r < 0)
			return r;
		slept += nap;
		nap *= 2;
	}
}

static int start(struct cp_rt *rt, struct start *s)
{
	int r = new_process(rt, s);

	if (r >= 0)
		r = make_streams(s);
	if (r >= 0)
		r = lay_fds(s);
	if (r >= 0)
		r = lay_program(s);
	if (r < 0)
		return r;
	lay_rest(s);
	return spawn_patiently(s);
}

static const char *step_text(enum coop_process_step step)
{
	static const char *const texts[] = {
		[COOP_PROCESS_AT_NOTHING] = "",
		[COOP_PROCESS_AT_OPTIONS] = "its options",
		[COOP_PROCESS_AT_MEMORY] = "memory",
		[COOP_PROCESS_AT_STREAMS] = "its streams",
		[COOP_PROCESS_AT_CLONE] = "making the process",
		[COOP_PROCESS_AT_GROUP] = "its group",
		[COOP_PROCESS_AT_CGROUP] = "its cgroup",
		[COOP_PROCESS_AT_DEATH] = "its death signal",
		[COOP_PROCESS_AT_CWD] = "its folder",
		[COOP_PROCESS_AT_FDS] = "its descriptors",
		[COOP_PROCESS_AT_TERMINAL] = "its terminal",
		[COOP_PROCESS_AT_LIMITS] = "its limits",
		[COOP_PROCESS_AT_EXEC] = "the program",
	};

	return texts[step];
}

/* Says what failed where; `r` is no cancellation. */
static int failed(const struct coop_process_opts *opts, enum coop_process_step step, int r)
{
	const char *file = opts && opts->argv ? opts->path ? opts->path : opts->argv[0] : NULL;

	if (opts && opts->ret_step)
		*opts->ret_step = step;
	return coop_fail(r, "cannot start %s: %s%s%s", file ? file : "a process", step_text(step),
			 step == COOP_PROCESS_AT_CWD && opts && opts->cwd ? " " : "",
			 step == COOP_PROCESS_AT_CWD && opts && opts->cwd ? opts->cwd : "");
}

int coop_process_spawn(const struct coop_process_opts *opts, struct coop_process **ret_process)
{
	struct cp_rt *rt = cp_in_task();
	struct start s;
	int r;

	if (!rt)
		return cp_no_task();
	cp_check_frames(rt->body, __builtin_frame_address(0), "coop_process_spawn");
	r = opts_ok(opts) ? cp_cancel_point(rt) : cp_refuse(-EINVAL);
	if (r == -EINVAL)
		return failed(opts, COOP_PROCESS_AT_OPTIONS, r);
	if (r < 0)
		return r;
	start_begin(&s, opts);
	r = start(rt, &s);
	if (r >= 0) {
		*ret_process = s.process;
		cp_debt_add(rt, &s.process->debt);
		s.process = NULL;
	}
	start_end(&s);
	cp_schedule_point(rt);
	return r < 0 && r != COOP_ECANCELED ? failed(opts, s.spawn.step, r) : r;
}
