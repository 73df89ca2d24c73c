/* SPDX-License-Identifier: MIT */
/* The seam to the world: threads, what they sleep on, and the clock that disturbs one of them. */
#include "base/libc.h"
#include "base/os_impl.h"

#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

unsigned cp_os_cpus(void)
{
	cpu_set_t set;
	int n = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;

	return n > 0 ? (unsigned)n : 1;
}

/* What a thread of ours leaves to the program's own; but a fault is the thread's. */
static void block_signals(int but, sigset_t *ret_old)
{
	static const int faults[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS };
	sigset_t all;

	sigfillset(&all);
	for (size_t i = 0; i < sizeof faults / sizeof *faults; i++)
		sigdelset(&all, faults[i]);
	sigdelset(&all, but);
	pthread_sigmask(SIG_SETMASK, &all, ret_old);
}

int cp_os_thread_start(void *(*fn)(void *), void *arg, int sig)
{
	sigset_t before;
	pthread_t thread;
	int r;

	if (cp_os_refused())
		return cp_os_refusal();
	block_signals(sig, &before); /* the new thread has them blocked from its first step */
	r = pthread_create(&thread, NULL, fn, arg);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (r == 0)
		pthread_detach(thread);
	return -r;
}

int cp_os_futex_wait(uint32_t *word, uint32_t expected, int64_t timeout_ns)
{
	struct timespec timeout = {
		.tv_sec = timeout_ns / 1000000000,
		.tv_nsec = timeout_ns % 1000000000,
	};

	return cp_os_result(syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, expected,
				    timeout_ns < 0 ? NULL : &timeout, NULL, 0));
}

void cp_os_futex_wake(uint32_t *word, int count)
{
	int saved = errno;

	syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, count, NULL, NULL, 0);
	errno = saved;
}

int cp_os_alarm_open(struct cp_os_alarm *alarm, int sig)
{
	struct sigevent to = { .sigev_notify = SIGEV_THREAD_ID, .sigev_signo = sig };
	int r;

	to.sigev_notify_thread_id = (pid_t)syscall(SYS_gettid);
	r = cp_os_refused() ? cp_os_refusal()
			    : cp_os_result(timer_create(CLOCK_MONOTONIC, &to, &alarm->timer));
	alarm->open = r >= 0; /* the timer itself is a number, and may be 0 */
	return r;
}

void cp_os_alarm_set(struct cp_os_alarm *alarm, int64_t period_ns)
{
	struct itimerspec when = {
		.it_value = { .tv_nsec = period_ns ? 1 : 0 },
		.it_interval = { .tv_sec = period_ns / 1000000000,
				 .tv_nsec = period_ns % 1000000000 },
	};

	CP_ASSERT(timer_settime(alarm->timer, 0, &when, NULL) == 0);
}

void cp_os_alarm_close(struct cp_os_alarm *alarm)
{
	if (alarm->open)
		timer_delete(alarm->timer);
	alarm->open = false;
}
