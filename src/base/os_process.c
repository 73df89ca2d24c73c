/* SPDX-License-Identifier: MIT */
/* The seam to the world, for processes: all but their start, which is os_spawn.c. */
#include "base/os_impl.h"
#include "base/os_process.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif
#ifndef SYS_pidfd_send_signal
#define SYS_pidfd_send_signal 424
#endif
#define CP_P_PIDFD 3
#ifndef TIOCGPTPEER
#define TIOCGPTPEER _IO('T', 0x41)
#endif

/* ---- waiting */

static int64_t time_ns(struct timeval time)
{
	return (int64_t)time.tv_sec * 1000000000 + (int64_t)time.tv_usec * 1000;
}

static void fill_status(const siginfo_t *info, const struct rusage *usage,
			struct coop_process_status *status)
{
	bool exited = info->si_code == CLD_EXITED;

	*status = (struct coop_process_status){
		.code = exited ? info->si_status & 0xff : 0,
		.signal = exited ? 0 : info->si_status,
		.core = info->si_code == CLD_DUMPED,
		.user_ns = time_ns(usage->ru_utime),
		.system_ns = time_ns(usage->ru_stime),
		.memory_max = (int64_t)usage->ru_maxrss * 1024,
	};
}

/* The system call: the C library's waitid has no place for the usage. */
static int wait_for(int kind, int id, int flags, struct coop_process_status *ret_status)
{
	struct rusage usage = { 0 };
	siginfo_t info = { 0 };
	long r;

	do
		r = syscall(SYS_waitid, kind, id, &info, flags, &usage);
	while (r < 0 && errno == EINTR);
	if (r < 0)
		return -errno;
	if (info.si_pid == 0)
		return -EAGAIN;
	fill_status(&info, &usage, ret_status);
	return 0;
}

int cp_os_wait_process(int pid, int pidfd, bool reap, struct coop_process_status *ret_status)
{
	int flags = WEXITED | WNOHANG | (reap ? 0 : WNOWAIT);
	int r;

	if (cp_os_refused())
		return cp_os_refusal();
	r = pidfd < 0 ? -EINVAL : wait_for(CP_P_PIDFD, pidfd, flags, ret_status);
	return r == -EINVAL ? wait_for(P_PID, pid, flags, ret_status) : r;
}

int cp_os_wait_blocking(int pid, struct coop_process_status *ret_status)
{
	return wait_for(P_PID, pid, WEXITED, ret_status);
}

/* ---- signalling */

int cp_os_pidfd_open(int pid)
{
	if (cp_os_refused())
		return cp_os_refusal();
	return cp_os_result(syscall(SYS_pidfd_open, pid, 0U));
}

int cp_os_signal_process(int pid, int pidfd, int sig)
{
	long r;

	if (cp_os_refused())
		return cp_os_refusal();
	if (pidfd < 0)
		return cp_os_result(kill(pid, sig));
	r = syscall(SYS_pidfd_send_signal, pidfd, sig, NULL, 0U);
	if (r < 0 && errno == ENOSYS)
		r = kill(pid, sig);
	return cp_os_result(r);
}

int cp_os_signal_group(int group, int sig)
{
	CP_ASSERT(group > 1);
	return cp_os_refused() ? cp_os_refusal() : cp_os_result(kill(-group, sig));
}

int cp_os_pid(void)
{
	return (int)getpid();
}

int cp_os_set_subreaper(bool on)
{
	return cp_os_refused() ? cp_os_refusal()
			       : cp_os_result(prctl(PR_SET_CHILD_SUBREAPER, on ? 1UL : 0UL));
}

/* ---- streams */

static int no_blocking(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	return flags < 0 ? -errno : cp_os_result(fcntl(fd, F_SETFL, flags | O_NONBLOCK));
}

int cp_os_child_pipe(bool ours_is_read, int *ret_ours, int *ret_theirs)
{
	int fds[2], r;

	if (cp_os_refused())
		return cp_os_refusal();
	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	r = no_blocking(fds[ours_is_read ? 0 : 1]);
	if (r < 0) {
		cp_os_close(fds[0]);
		cp_os_close(fds[1]);
		return r;
	}
	*ret_ours = fds[ours_is_read ? 0 : 1];
	*ret_theirs = fds[ours_is_read ? 1 : 0];
	return 0;
}

int cp_os_pty_resize(int fd, unsigned rows, unsigned columns)
{
	struct winsize size = { .ws_row = (unsigned short)rows, .ws_col = (unsigned short)columns };

	return cp_os_refused() ? cp_os_refusal() : cp_os_result(ioctl(fd, TIOCSWINSZ, &size));
}

/* What is written passes as it is, and nothing is echoed; a Ctrl-C is one still. */
static int make_plain(int fd)
{
	struct termios t;

	if (tcgetattr(fd, &t) < 0)
		return -errno;
	t.c_oflag &= ~(tcflag_t)OPOST;
	t.c_lflag &= ~(tcflag_t)(ECHO | ECHONL);
	return cp_os_result(tcsetattr(fd, TCSANOW, &t));
}

static int open_terminal(int ours, unsigned rows, unsigned columns, bool plain)
{
	int unlocked = 0, fd, r;

	if (ioctl(ours, TIOCSPTLCK, &unlocked) < 0)
		return -errno;
	fd = ioctl(ours, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	r = cp_os_pty_resize(ours, rows, columns);
	if (r >= 0 && plain)
		r = make_plain(fd);
	if (r >= 0)
		return fd;
	cp_os_close(fd);
	return r;
}

int cp_os_pty(unsigned rows, unsigned columns, bool plain, int *ret_ours, int *ret_theirs)
{
	int ours, fd;

	if (cp_os_refused())
		return cp_os_refusal();
	ours = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
	if (ours < 0)
		return -errno;
	fd = open_terminal(ours, rows, columns, plain);
	if (fd < 0) {
		cp_os_close(ours);
		return fd;
	}
	*ret_ours = ours;
	*ret_theirs = fd;
	return 0;
}

int cp_os_open_null(void)
{
	if (cp_os_refused())
		return cp_os_refusal();
	return cp_os_result(open("/dev/null", O_RDWR | O_CLOEXEC));
}

bool cp_os_fd_is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

bool cp_os_is_pty(int fd)
{
	int number;

	return ioctl(fd, TIOCGPTN, &number) == 0;
}

int cp_os_read_now(int fd, void *buf, size_t bytes)
{
	ssize_t n;

	if (cp_os_refused())
		return cp_os_refusal();
	do
		n = read(fd, buf, bytes);
	while (n < 0 && errno == EINTR);
	return cp_os_result(n);
}

/* A pipe has no way to be written without the signal, so it is taken back where it came up. */
int cp_os_write_quiet(int fd, const void *data, size_t bytes)
{
	const struct timespec now = { 0 };
	sigset_t pipe_set, before, pending;
	bool was_pending;
	ssize_t n;

	if (cp_os_refused())
		return cp_os_refusal();
	sigemptyset(&pipe_set);
	sigaddset(&pipe_set, SIGPIPE);
	pthread_sigmask(SIG_BLOCK, &pipe_set, &before);
	sigpending(&pending);
	was_pending = sigismember(&pending, SIGPIPE) == 1;
	do
		n = write(fd, data, bytes);
	while (n < 0 && errno == EINTR);
	n = n < 0 ? -errno : n;
	if (n == -EPIPE && !was_pending)
		while (sigtimedwait(&pipe_set, NULL, &now) < 0 && errno == EINTR)
			;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return (int)n;
}
