/* SPDX-License-Identifier: MIT */
/*
 * Starting a process.
 *
 * The child shares our memory and runs on a small stack of its own until it has entered its
 * program; the calling thread stands still so long (CLONE_VM, CLONE_VFORK). So a start costs the
 * same however big we are, nothing is copied, and no lock of ours is held by a thread that is not
 * there. What the child may do is little: system calls, made directly, and writing its answer.
 *
 * Emulators of other processors, and valgrind, start a real copy instead. Then memory is not shared
 * and nothing stands still: the answer comes by a pipe, until it is known that it need not.
 *
 * Invariants
 *   1. No signal is handled between the clone and the child's program: all are blocked here, and
 *      the child unblocks them after its handlers are gone.
 *   2. The child ends by entering its program or by exit_group, and never returns.
 *   3. Functions of the child (CP_CHILD) are not watched by a sanitizer: their stack goes away
 *      under them, and the state that a sanitizer keeps belongs to the thread that stands still.
 *   4. When cp_os_spawn has failed the child is reaped, and every descriptor that it made closed.
 */
#include "base/os_impl.h"
#include "base/os_process.h"

#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define CP_CHILD __attribute__((no_sanitize("address", "thread", "undefined")))
#define CHILD_STACK_BYTES ((size_t)32 * 1024)
#define SIGNALS 64
#define SIGSET_BYTES ((size_t)8)

#ifndef CLONE_PIDFD
#define CLONE_PIDFD 0x1000
#endif
#ifndef SYS_close_range
#define SYS_close_range 436
#endif
#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif

/*
 * ThreadSanitizer stands in for clone(), and takes every child for one with memory of its own;
 * by this name of glibc's it is out of the way.
 */
#ifdef __GLIBC__
int __clone(int (*fn)(void *), void *stack, int flags, void *arg, ...);
#define cp_clone __clone
#else
#define cp_clone clone
#endif

/* ------------------------------------------------------------------- in the child */

/* A system call of the child: the result, or -errno. Tests can make it fail. */
CP_CHILD static long child_call(long number, long a, long b, long c, long d)
{
	long r;

	if (cp_os_refused())
		return cp_os_refusal();
	r = syscall(number, a, b, c, d, 0L, 0L);
	return r < 0 ? -errno : r;
}

/* Not _exit(): a sanitizer stands in for it, and would end what it keeps of the parent. */
CP_CHILD static _Noreturn void child_exit(void)
{
	for (;;)
		syscall(SYS_exit_group, 127);
}

/* What a kernel takes for the action of a signal: the handler first, all else zero here. */
struct child_action {
	uintptr_t handler;
	uintptr_t rest[7];
};

/* Every signal at its default, save what is to stay ignored. There is no way to fail. */
CP_CHILD static void child_signals(const struct cp_spawn *s)
{
	for (int sig = 1; sig <= SIGNALS; sig++) {
		struct child_action now = { 0 }, normal = { 0 };

		syscall(SYS_rt_sigaction, sig, NULL, &now, SIGSET_BYTES);
		if (now.handler == (uintptr_t)SIG_IGN && s->keep_ignored && sig != SIGPIPE)
			continue;
		if (now.handler != (uintptr_t)SIG_DFL)
			syscall(SYS_rt_sigaction, sig, &normal, NULL, SIGSET_BYTES);
	}
}

/* What a key of the terminal sent to the parent's group, the child's until now, is not for it. */
CP_CHILD static void child_forget_keys(void)
{
	uint64_t pending = 0;

	syscall(SYS_rt_sigpending, &pending, SIGSET_BYTES);
	for (int sig = 1; sig <= SIGNALS; sig++) {
		struct child_action now, ignore = { .handler = (uintptr_t)SIG_IGN };

		if ((sig != SIGINT && sig != SIGQUIT && sig != SIGTSTP) ||
		    !(pending >> (sig - 1) & 1))
			continue;
		syscall(SYS_rt_sigaction, sig, &ignore, &now, SIGSET_BYTES);
		syscall(SYS_rt_sigaction, sig, &now, NULL, SIGSET_BYTES);
	}
}

CP_CHILD static long child_group(const struct cp_spawn *s)
{
	long r = 0;

	if (s->session)
		r = child_call(SYS_setsid, 0, 0, 0, 0);
	else if (s->group >= 0)
		r = child_call(SYS_setpgid, 0, s->group, 0, 0);
	if (r >= 0 && (s->session || s->group >= 0))
		child_forget_keys();
	return r;
}

CP_CHILD static long child_cgroup(const struct cp_spawn *s)
{
	long fd, r;

	if (s->cgroup < 0)
		return 0;
	fd = child_call(SYS_openat, s->cgroup, (long)"cgroup.procs", O_WRONLY | O_CLOEXEC, 0);
	if (fd < 0)
		return fd;
	r = child_call(SYS_write, fd, (long)"0", 1, 0);
	syscall(SYS_close, fd);
	return r;
}

/* If the parent has died before the kernel knew that we care, there is nobody to tell. */
CP_CHILD static long child_death(const struct cp_spawn *s)
{
	long r = 0;

	if (s->subreaper)
		r = child_call(SYS_prctl, PR_SET_CHILD_SUBREAPER, 1, 0, 0);
	if (r < 0 || !s->death_signal)
		return r;
	r = child_call(SYS_prctl, PR_SET_PDEATHSIG, s->death_signal, 0, 0);
	if (r >= 0 && syscall(SYS_getppid) != s->parent)
		child_exit();
	return r;
}

CP_CHILD static bool is_target(const struct cp_spawn *s, int fd, size_t but)
{
	for (size_t i = 0; i < s->fds_count; i++)
		if (i != but && s->fds[i].to == fd)
			return true;
	return false;
}

/* A copy that is none of the child's three streams and nobody's place. */
CP_CHILD static long child_aside(const struct cp_spawn *s, int fd)
{
	long r, at = STDERR_FILENO + 1;

	for (;;) {
		r = child_call(SYS_fcntl, fd, F_DUPFD_CLOEXEC, at, 0);
		if (r < 0) /* EINVAL: there are no such numbers */
			return r == -EINVAL ? -EMFILE : r;
		if (!is_target(s, (int)r, s->fds_count))
			return r;
		syscall(SYS_close, r);
		at = r + 1;
	}
}

/* Puts it to its place; one that the limit does not allow is a bad one to the kernel. */
CP_CHILD static long child_place(int now, int to)
{
	long r;

	if (now == to)
		return child_call(SYS_fcntl, to, F_SETFD, 0, 0);
	r = child_call(SYS_dup3, now, to, 0, 0);
	return r == -EBADF && syscall(SYS_fcntl, now, F_GETFD, 0) >= 0 ? -EMFILE : r;
}

/*
 * What would be covered by another one is moved out of the way; then each goes to its place.
 * `from` is not changed: the same plan may be carried out again.
 */
CP_CHILD static long child_fds(struct cp_spawn *s)
{
	long r = 0;

	for (size_t i = 0; i < s->fds_count; i++) {
		struct cp_spawn_fd *f = &s->fds[i];

		f->now = f->from;
		if (f->from == f->to || !is_target(s, f->from, i))
			continue;
		r = child_aside(s, f->from);
		if (r < 0)
			return r;
		f->now = (int)r;
	}
	for (size_t i = 0; i < s->fds_count && r >= 0; i++)
		r = child_place(s->fds[i].now, s->fds[i].to);
	return r;
}

struct child_dirent {
	uint64_t inode;
	int64_t offset;
	unsigned short bytes;
	unsigned char type;
	char name[];
};

CP_CHILD static int child_number(const char *text)
{
	int n = 0;

	if (*text < '0' || *text > '9')
		return -1;
	while (*text >= '0' && *text <= '9' && n < 100000000)
		n = n * 10 + (*text++ - '0');
	return n;
}

/* Closes those from `first` to `last` by looking them up, where there is no close_range. */
CP_CHILD static long child_close_listed(int first, int last)
{
	char buf[2048] __attribute__((aligned(8)));
	bool closed;
	long n;
	long dir = child_call(SYS_openat, AT_FDCWD, (long)"/proc/self/fd",
			      O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);

	if (dir < 0)
		return dir;
	do {
		closed = false;
		syscall(SYS_lseek, dir, 0, SEEK_SET);
		while ((n = syscall(SYS_getdents64, dir, buf, sizeof buf)) > 0) {
			for (long at = 0; at < n;) {
				struct child_dirent *entry = (void *)(buf + at);
				int fd = child_number(entry->name);

				at += entry->bytes;
				if (fd < first || fd > last || fd == dir)
					continue;
				if (syscall(SYS_close, fd) == 0)
					closed = true;
			}
		}
	} while (closed); /* the list has changed while it was read */
	syscall(SYS_close, dir);
	return n < 0 ? -EIO : 0;
}

CP_CHILD static long child_close_range(int first, int last)
{
	long r;

	if (first > last)
		return 0;
	r = child_call(SYS_close_range, first, last, 0, 0);
	return r == -ENOSYS || r == -EPERM ? child_close_listed(first, last) : r;
}

/* But for the one by which a failure is told. */
CP_CHILD static long child_close_between(const struct cp_spawn *s, int first, int last)
{
	long r;

	if (s->report < first || s->report > last)
		return child_close_range(first, last);
	r = child_close_range(first, s->report - 1);
	return r < 0 ? r : child_close_range(s->report + 1, last);
}

/* Closes all but those that were placed, and that one. */
CP_CHILD static long child_close_others(const struct cp_spawn *s)
{
	int next = 0;
	long r = 0;

	for (size_t i = 0; i < s->fds_count && r >= 0; i++) {
		r = child_close_between(s, next, s->fds[i].to - 1);
		next = s->fds[i].to + 1;
	}
	return r < 0 ? r : child_close_between(s, next, INT32_MAX);
}

CP_CHILD static long child_terminal(const struct cp_spawn *s)
{
	int pid = (int)syscall(SYS_getpid);
	long r = 0;

	if (s->terminal >= 0)
		r = child_call(SYS_ioctl, s->terminal, TIOCSCTTY, 0, 0);
	if (r >= 0 && s->foreground)
		r = child_call(SYS_ioctl, STDIN_FILENO, TIOCSPGRP, (long)&pid, 0);
	return r;
}

CP_CHILD static long child_limits(const struct cp_spawn *s)
{
	long r = 0;

	for (size_t i = 0; i < s->limits_count && r >= 0; i++) {
		uint64_t pair[2] = { s->limits[i].soft, s->limits[i].hard };

		r = child_call(SYS_prlimit64, 0, s->limits[i].resource, (long)pair, 0);
	}
	if (r < 0 || !s->nice)
		return r;
	r = child_call(SYS_getpriority, PRIO_PROCESS, 0, 0, 0); /* 20 - nice */
	return r < 0 ? r : child_call(SYS_setpriority, PRIO_PROCESS, 0, 20 - r + s->nice, 0);
}

/* Enters the program; a place of the search where it is not does not end the search. */
CP_CHILD static long child_exec(const struct cp_spawn *s)
{
	bool single = !s->paths[1];
	bool refused = false;
	long r = -ENOENT;

	for (char *const *path = s->paths; *path; path++) {
		r = child_call(SYS_execve, (long)*path, (long)s->argv, (long)s->env, 0);
		refused |= r == -EACCES;
		if (single || (r != -ENOENT && r != -ENOTDIR && r != -EACCES))
			return r;
	}
	return refused ? -EACCES : -ENOENT;
}

/* Carries out the plan; returns only with what went wrong, and in s->step where. */
CP_CHILD static long child_carry_out(struct cp_spawn *s)
{
	uint64_t none = 0;
	long r;

	child_signals(s);
	s->step = COOP_PROCESS_AT_GROUP;
	r = child_group(s);
	if (r < 0)
		return r;
	s->step = COOP_PROCESS_AT_CGROUP;
	r = child_cgroup(s);
	if (r < 0)
		return r;
	s->step = COOP_PROCESS_AT_DEATH;
	r = child_death(s);
	if (r < 0)
		return r;
	s->step = COOP_PROCESS_AT_CWD;
	r = s->cwd ? child_call(SYS_chdir, (long)s->cwd, 0, 0, 0) : 0;
	if (r < 0)
		return r;
	s->step = COOP_PROCESS_AT_FDS;
	r = child_fds(s);
	if (r >= 0)
		r = child_close_others(s);
	if (r < 0)
		return r;
	s->step = COOP_PROCESS_AT_TERMINAL;
	r = child_terminal(s);
	if (r < 0)
		return r;
	s->step = COOP_PROCESS_AT_LIMITS;
	if (s->umask_set)
		syscall(SYS_umask, s->umask_set & 0777);
	r = child_limits(s);
	if (r < 0)
		return r;
	s->step = COOP_PROCESS_AT_EXEC;
	syscall(SYS_rt_sigprocmask, SIG_SETMASK, &none, NULL, SIGSET_BYTES);
	return child_exec(s);
}

CP_CHILD static int child_main(void *arg)
{
	struct cp_spawn *s = arg;
	int answer[2];

	s->ran = true;
	s->err_no = (int)-child_carry_out(s);
	answer[0] = s->err_no;
	answer[1] = (int)s->step;
	if (s->report >= 0)
		syscall(SYS_write, s->report, answer, sizeof answer);
	child_exit();
}

/* ------------------------------------------------------------------ in the parent */

static int memory_is_shared; /* atomic: a child has been seen to write into our memory */

/* The pipe for the answer; its end in the child is where the child gets nothing else. */
static int report_open(struct cp_spawn *s, int *ret_read)
{
	int fds[2];
	long aside;

	s->report = *ret_read = -1;
	if (__atomic_load_n(&memory_is_shared, __ATOMIC_RELAXED))
		return 0;
	if (cp_os_refused())
		return cp_os_refusal();
	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	aside = child_aside(s, fds[1]);
	cp_os_close(fds[1]);
	if (aside < 0) {
		cp_os_close(fds[0]);
		return (int)aside;
	}
	s->report = (int)aside;
	*ret_read = fds[0];
	return 0;
}

/* How it went, of a child that does not share our memory: nothing comes if it has begun. */
static int report_read(struct cp_spawn *s, int fd)
{
	int answer[2];
	ssize_t n;

	do
		n = read(fd, answer, sizeof answer);
	while (n < 0 && errno == EINTR);
	if (n != sizeof answer)
		return 0;
	s->step = answer[1];
	return -answer[0];
}

/* Makes the child: its number, or -errno. Without a pidfd where the system knows none. */
static int make_child(struct cp_spawn *s, char *stack, int *ret_pidfd)
{
	int flags = CLONE_VM | CLONE_VFORK | SIGCHLD;
	char *top = stack + CHILD_STACK_BYTES;
	int pidfd = -1, pid;

	top -= (uintptr_t)top % 16;
	if (cp_os_refused())
		return cp_os_refusal();
	pid = cp_clone(child_main, top, flags | CLONE_PIDFD, s, &pidfd);
	if (pid < 0 && (errno == EINVAL || errno == EPERM || errno == ENOSYS))
		pid = cp_clone(child_main, top, flags, s, &pidfd);
	if (pid < 0)
		return -errno;
	*ret_pidfd = pidfd >= 0 ? pidfd : cp_os_pidfd_open(pid);
	return pid;
}

/* With every signal blocked, those of the C library too: see invariant 1. */
static int make_child_masked(struct cp_spawn *s, char *stack, int *ret_pidfd)
{
	uint64_t all = UINT64_MAX, before = 0;
	int err_no = errno; /* the child's calls write it */
	int pid;

	syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, &before, SIGSET_BYTES);
	pid = make_child(s, stack, ret_pidfd);
	syscall(SYS_rt_sigprocmask, SIG_SETMASK, &before, NULL, SIGSET_BYTES);
	errno = err_no;
	return pid;
}

/* A child that could not enter its program is gone in a moment. */
static void bury(int pid, int pidfd)
{
	struct coop_process_status status;

	cp_os_wait_blocking(pid, &status);
	if (pidfd >= 0)
		cp_os_close(pidfd);
}

/* How the start of a child went that has been made. */
static int outcome(struct cp_spawn *s, int report_fd)
{
	if (!s->ran)
		return report_fd >= 0 ? report_read(s, report_fd) : 0;
	__atomic_store_n(&memory_is_shared, 1, __ATOMIC_RELAXED);
	return -s->err_no;
}

int cp_os_spawn(struct cp_spawn *s, int *ret_pid, int *ret_pidfd)
{
	int report_fd = -1, pidfd = -1;
	char *stack;
	int pid, r;

	s->ran = false;
	s->err_no = 0;
	s->parent = getpid();
	s->step = COOP_PROCESS_AT_MEMORY;
	stack = cp_alloc(CHILD_STACK_BYTES);
	if (!stack)
		return -ENOMEM;
	s->step = COOP_PROCESS_AT_CLONE;
	pid = r = report_open(s, &report_fd);
	if (r >= 0)
		pid = make_child_masked(s, stack, &pidfd);
	if (s->report >= 0)
		cp_os_close(s->report);
	r = pid < 0 ? pid : outcome(s, report_fd);
	if (report_fd >= 0)
		cp_os_close(report_fd);
	cp_free(stack);
	if (pid >= 0 && r < 0)
		bury(pid, pidfd);
	if (r < 0)
		return r;
	*ret_pid = pid;
	*ret_pidfd = pidfd;
	return 0;
}
