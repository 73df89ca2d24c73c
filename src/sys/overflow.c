/* SPDX-License-Identifier: MIT */
/*
 * Stack overflows, told by name.
 *
 * Invariants
 *   1. The handlers are the process's and counted: the first install sets them, the
 *      last remove puts back what was there, unless somebody has replaced them since.
 *   2. The handler runs on a stack of its own (one a thread), since the one it reports
 *      on has no room. A thread that had such a stack, large enough, keeps it.
 *   3. Every fault goes on to the handler that was there before, with what the kernel
 *      said of it. Where there was none the default is put back and the instruction
 *      faults again.
 *   4. Of the installs a forked child has those of its thread; without any, the handlers are gone.
 *   5. In the handler only async-signal-safe calls are made and nothing is allocated.
 */
#include "sys/overflow.h"

#include "base/forks.h"
#include "base/os.h"
#include "ctx/stack.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>

#ifndef AT_MINSIGSTKSZ
#define AT_MINSIGSTKSZ 51
#endif

#define HANDLER_STACK_MIN ((size_t)64 << 10)
#define HANDLER_STACK_SPARE ((size_t)16 << 10) /* above what the kernel's frame takes */

static const int signals[] = { SIGSEGV, SIGBUS };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int installs;                                   /* under the lock */
static struct sigaction before[CP_ARRAY_LEN(signals)]; /* constant while installed */

/* This thread's; `bytes` 0 when it had a good one. */
static _Thread_local struct {
	void *mem;
	size_t bytes;
	stack_t before;
	int installs;
} handler_stack;

void (*cp_overflow_describe)(const void *top, char *buf, size_t size);

/* ---- in the handler */

static void report(const struct cp_stack_hit *hit)
{
	char who[256] = "a task";
	char line[384];
	int bytes;

	if (cp_overflow_describe)
		cp_overflow_describe(hit->top, who, sizeof who);
	bytes = snprintf(line, sizeof line, "coop: stack overflow: %s used up its %zu KiB stack\n",
			 who, hit->stack_bytes >> 10);
	cp_os_complain(line, (size_t)bytes < sizeof line ? (size_t)bytes : sizeof line - 1);
}

/* A fault of an instruction, and not a signal that somebody sent. */
static bool is_fault(const siginfo_t *info)
{
	return info->si_code > 0;
}

static const struct sigaction *before_of(int sig)
{
	return &before[sig == SIGSEGV ? 0 : 1];
}

/* The default, or to be ignored: the kernel shall decide, as if we had not been there. */
static void leave_to_kernel(int sig, const siginfo_t *info, const struct sigaction *old)
{
	if (!is_fault(info) && old->sa_handler == SIG_IGN)
		return;
	sigaction(sig, old, NULL);
	if (!is_fault(info))
		raise(sig); /* blocked until we return; a fault comes again by itself */
}

static void chain(int sig, siginfo_t *info, void *context)
{
	const struct sigaction *old = before_of(sig);

	if (old->sa_handler == SIG_DFL || old->sa_handler == SIG_IGN) {
		leave_to_kernel(sig, info, old);
		return;
	}
	pthread_sigmask(SIG_BLOCK, &old->sa_mask, NULL); /* the return from the signal undoes it */
	if (old->sa_flags & SA_SIGINFO)
		old->sa_sigaction(sig, info, context);
	else
		old->sa_handler(sig);
}

static void on_fault(int sig, siginfo_t *info, void *context)
{
	int saved = errno;
	struct cp_stack_hit hit;

	if (is_fault(info) && cp_stacks_find(info->si_addr, &hit) && hit.in_guard)
		report(&hit);
	errno = saved;
	chain(sig, info, context);
}

/* ---- the stack it runs on */

static size_t handler_stack_bytes(void)
{
	size_t bytes = getauxval(AT_MINSIGSTKSZ) + HANDLER_STACK_SPARE;

	return bytes > HANDLER_STACK_MIN ? bytes : HANDLER_STACK_MIN;
}

static bool has_stack(const stack_t *stack)
{
	return !(stack->ss_flags & SS_DISABLE) && stack->ss_size >= HANDLER_STACK_SPARE;
}

static int stack_set(void *mem, size_t bytes)
{
	stack_t stack = { .ss_sp = mem, .ss_size = bytes };
	int r = cp_os_sigaltstack(&stack, NULL);

	if (r < 0)
		cp_os_unmap(mem, bytes);
	return r;
}

static int stack_open(void)
{
	size_t bytes = handler_stack_bytes();
	stack_t old;
	void *mem;
	int r = cp_os_sigaltstack(NULL, &old);

	if (r < 0 || has_stack(&old))
		return r;
	r = cp_os_map(bytes, &mem);
	if (r < 0)
		return r;
	r = stack_set(mem, bytes);
	if (r < 0)
		return r;

	handler_stack.mem = mem;
	handler_stack.bytes = bytes;
	handler_stack.before = old;
	return 0;
}

/*
 * Not when somebody has set another one since: that one is theirs to remove. What
 * undoes is asked of the system directly: no test may refuse it.
 */
static void stack_close(void)
{
	stack_t now;

	if (!handler_stack.bytes)
		return;
	sigaltstack(NULL, &now);
	if (now.ss_sp == handler_stack.mem)
		sigaltstack(&handler_stack.before, NULL);
	cp_os_unmap(handler_stack.mem, handler_stack.bytes);
	handler_stack.bytes = 0;
}

/* ---- the handlers */

static bool is_ours(int sig)
{
	struct sigaction now;

	return sigaction(sig, NULL, &now) == 0 && now.sa_flags & SA_SIGINFO &&
	       now.sa_sigaction == on_fault;
}

static void handlers_unset(size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (is_ours(signals[i]))
			sigaction(signals[i], &before[i], NULL);
}

/* What was there is known before ours can need it. */
static int handlers_set(void)
{
	struct sigaction act = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK };

	sigemptyset(&act.sa_mask);
	for (size_t i = 0; i < CP_ARRAY_LEN(signals); i++) {
		int r = cp_os_sigaction(signals[i], NULL, &before[i]);

		if (r >= 0)
			r = cp_os_sigaction(signals[i], &act, NULL);
		if (r < 0) {
			handlers_unset(i);
			return r;
		}
	}
	return 0;
}

static int handlers_ref(void)
{
	int r = 0;

	pthread_mutex_lock(&lock);
	if (installs == 0)
		r = handlers_set();
	if (r >= 0)
		installs++;
	pthread_mutex_unlock(&lock);
	return r;
}

static void handlers_unref(void)
{
	pthread_mutex_lock(&lock);
	CP_ASSERT(installs > 0);
	if (--installs == 0)
		handlers_unset(CP_ARRAY_LEN(signals));
	pthread_mutex_unlock(&lock);
}

static void after_fork(void)
{
	int others = installs - handler_stack.installs;

	installs -= others;
	if (others && !installs)
		handlers_unset(CP_ARRAY_LEN(signals));
}

static struct cp_forked forked = { .lock = &lock, .child = after_fork };
CP_FORKED(forked)

int cp_overflow_install(void)
{
	int r = handler_stack.installs ? 0 : stack_open();

	if (r < 0)
		return r;
	r = handlers_ref();
	if (r < 0) {
		if (!handler_stack.installs)
			stack_close();
		return r;
	}
	handler_stack.installs++;
	return 0;
}

void cp_overflow_remove(void)
{
	CP_ASSERT(handler_stack.installs > 0);
	handlers_unref();
	if (--handler_stack.installs == 0)
		stack_close();
}
