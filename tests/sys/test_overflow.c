/* SPDX-License-Identifier: MIT */
/*
 * The report of a used-up stack, and that nobody else's fault is taken away.
 *
 * Each test takes sanitizers' own handlers off first, where there are any, so that
 * "the handler before" is what the test says it is.
 */
#include "base/os.h"
#include "ctx/ctx.h"
#include "ctx/stack.h"
#include "sys/overflow.h"
#include "test.h"

#include <coop.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static struct cp_ctx test, other;
static struct cp_stacks pool;
static void *top;

static void no_handlers(void)
{
	signal(SIGSEGV, SIG_DFL);
	signal(SIGBUS, SIG_DFL);
}

/* ---- a task that goes too deep */

static void describe(const void *of, char *buf, size_t size)
{
	snprintf(buf, size, "task \"%s\" (spawned at %s:%d)", of == top ? "greedy" : "?", "farm.c",
		 12);
}

static CP_NOINLINE int go_deeper(volatile char *from, int levels)
{
	volatile char frame[512];

	frame[0] = (char)(from[0] + 1);
	return levels ? go_deeper(frame, levels - 1) + frame[0] : 0;
}

static void greedy(void *arg)
{
	volatile char seed[1] = { 0 };

	(void)arg;
	cp_ctx_entered(&other);
	go_deeper(seed, 100000);
	cp_ctx_leave(&other, &test);
}

static void overflow_a_stack(void)
{
	if (cp_stacks_open(&pool, 0) < 0 || cp_stacks_reserve(&pool) < 0)
		_exit(99);
	top = cp_stacks_take(&pool);
	cp_ctx_init_thread(&test);
	cp_ctx_make(&other, cp_stacks_low(&pool, top), top, greedy, NULL);
	cp_ctx_switch(&test, &other);
}

/* The message names the task and its size, and the process ends by the fault itself. */
TEST_ABORT(
	overflow_is_told_by_name,
	"coop: stack overflow: task \"greedy\" (spawned at farm.c:12) used up its 240 KiB stack\n")
{
	no_handlers();
	cp_overflow_describe = describe;
	if (cp_overflow_install() < 0)
		_exit(99);
	overflow_a_stack();
}

/* Without anybody who knows the tasks the stack is told all the same. */
TEST_ABORT(overflow_is_told_without_a_name,
	   "coop: stack overflow: a task used up its 240 KiB stack\n")
{
	no_handlers();
	if (cp_overflow_install() < 0)
		_exit(99);
	overflow_a_stack();
}

/* Removed, it says nothing: the kernel's word is the last. */
TEST_ABORT(overflow_is_a_plain_fault_after_remove, "")
{
	no_handlers();
	if (cp_overflow_install() < 0)
		_exit(99);
	cp_overflow_remove();
	overflow_a_stack();
}

/* ---- the same in a program */

static int calls_itself(void *arg)
{
	volatile char seed[1] = { 0 };

	(void)arg;
	return go_deeper(seed, 100000);
}

/*
 * Its far end is beyond the guard, so the compiler has to touch the pages between. Clang does not
 * where a sanitizer makes the frame; there it is filled from above.
 */
#if defined(CP_ASAN) || defined(CP_TSAN)
#define FIRST_TOUCHED ((1 << 20) - 1)
#else
#define FIRST_TOUCHED 0
#endif

static int has_a_large_frame(void *arg)
{
	char frame[1 << 20];
	volatile char *far = frame;

	(void)arg;
	__asm__ volatile("" : "+r"(far) : : "memory"); /* so that all of it is there */
	for (int i = FIRST_TOUCHED; i >= 0; i--)
		far[i] = 1;
	return far[0];
}

static int spawns_deep(void *arg)
{
	struct coop_group g = COOP_GROUP_INIT;

	(void)arg;
	coop_group_open(&g, NULL);
	return coop_group_join(&g, coop_spawn(&g, calls_itself, NULL));
}

static int spawns_wide(void *arg)
{
	struct coop_group g = COOP_GROUP_INIT;

	(void)arg;
	coop_group_open(&g, NULL);
	return coop_group_join(&g, coop_spawn(&g, has_a_large_frame, NULL));
}

/* A chain of calls that has no end hits the guard, and the report names the task. */
TEST_ABORT(rel_I07_deep_calls, "coop: stack overflow: task \"calls_itself\" (spawned at ")
{
	PROVES(rel_I07);
	no_handlers();
	_exit(coop_main(spawns_deep, NULL));
}

/* A frame larger than the guard does not jump over it. */
TEST_ABORT(rel_I07_a_large_frame, "coop: stack overflow: task \"has_a_large_frame\" (spawned at ")
{
	PROVES(rel_I07);
	no_handlers();
	_exit(coop_main(spawns_wide, NULL));
}

static void *overflow_in_a_thread(void *arg)
{
	if (cp_overflow_install() < 0)
		_exit(99);
	overflow_a_stack();
	return arg;
}

/* Each thread that runs tasks has a stack of its own for the handler. */
TEST_ABORT(overflow_in_another_thread_is_told, "used up its 240 KiB stack\n")
{
	pthread_t thread;

	no_handlers();
	if (cp_overflow_install() < 0 || pthread_create(&thread, NULL, overflow_in_a_thread, NULL))
		_exit(99);
	pthread_join(thread, NULL);
}

/* ---- others' faults */

static void say_and_exit(int sig, siginfo_t *info, void *context)
{
	(void)sig;
	(void)info;
	(void)context;
	cp_os_complain("the handler before\n", 19);
	_exit(3);
}

static void set_handler(int sig, void (*handler)(int, siginfo_t *, void *), int flags)
{
	struct sigaction act = { .sa_sigaction = handler, .sa_flags = SA_SIGINFO | flags };

	CHECK_INT(sigaction(sig, &act, NULL), ==, 0);
}

/* A handler that was there before has its turn after the report. */
TEST_EXIT(overflow_goes_on_to_the_handler_before, 3, "the handler before\n")
{
	set_handler(SIGSEGV, say_and_exit, 0);
	if (cp_overflow_install() < 0)
		_exit(99);
	overflow_a_stack();
}

static char *page;
static volatile int mended;

static void mend(int sig, siginfo_t *info, void *context)
{
	(void)context;
	if (sig != SIGSEGV || (char *)info->si_addr != page + 5)
		_exit(98);
	mprotect(page, cp_os_page_bytes(), PROT_READ | PROT_WRITE);
	mended++;
}

/* A program that mends its faults goes on doing so, again and again, with us in between. */
TEST(mended_faults_stay_mended)
{
	volatile char *at;

	set_handler(SIGSEGV, mend, 0);
	CHECK_INT(cp_overflow_install(), ==, 0);
	CHECK_INT(cp_os_map(cp_os_page_bytes(), (void **)&page), ==, 0);
	at = page + 5;
	for (int i = 1; i <= 3; i++) {
		CHECK_INT(cp_os_protect_none(page, cp_os_page_bytes()), ==, 0);
		*at = (char)i;
		CHECK_INT(mended, ==, i);
		CHECK_INT(*at, ==, i);
	}
	cp_os_unmap(page, cp_os_page_bytes());
	cp_overflow_remove();
}

/* A fault that has nothing to do with stacks ends the process as ever. */
TEST_ABORT(other_fault_ends_the_process, "")
{
	no_handlers();
	if (cp_overflow_install() < 0 || cp_os_map(cp_os_page_bytes(), (void **)&page) < 0)
		_exit(99);
	cp_os_unmap(page, cp_os_page_bytes());
	*(volatile char *)page = 1;
}

/* A signal that somebody sends is no fault that comes again: it is passed on. */
TEST_ABORT(sent_signal_ends_the_process, "")
{
	no_handlers();
	if (cp_overflow_install() < 0)
		_exit(99);
	kill(getpid(), SIGSEGV);
}

/* And an ignored one is ignored. */
TEST(sent_and_ignored_signal_is_ignored)
{
	no_handlers();
	signal(SIGBUS, SIG_IGN);
	CHECK_INT(cp_overflow_install(), ==, 0);
	kill(getpid(), SIGBUS);
	cp_overflow_remove();
}

static int plain_calls;

static void plain(int sig)
{
	if (sig == SIGBUS)
		plain_calls++;
}

/* A handler of the old kind, which takes the number only, is called as such. */
TEST(handler_of_the_old_kind_is_called)
{
	no_handlers();
	signal(SIGBUS, plain);
	CHECK_INT(cp_overflow_install(), ==, 0);
	raise(SIGBUS);
	CHECK_INT(plain_calls, ==, 1);
	cp_overflow_remove();
}

/* ---- install and remove */

struct found {
	struct sigaction segv, bus;
	stack_t stack;
};

static struct found look(void)
{
	struct found found;

	memset(&found, 0, sizeof found);
	CHECK_INT(sigaction(SIGSEGV, NULL, &found.segv), ==, 0);
	CHECK_INT(sigaction(SIGBUS, NULL, &found.bus), ==, 0);
	CHECK_INT(sigaltstack(NULL, &found.stack), ==, 0);
	return found;
}

static bool same(const struct found *a, const struct found *b)
{
	return a->segv.sa_handler == b->segv.sa_handler && a->bus.sa_handler == b->bus.sa_handler &&
	       a->stack.ss_flags == b->stack.ss_flags &&
	       (a->stack.ss_flags & SS_DISABLE || a->stack.ss_sp == b->stack.ss_sp);
}

/* The last remove puts back what the first install found. */
TEST(remove_puts_back_what_was_there)
{
	struct found before, now;

	no_handlers();
	before = look();
	CHECK_INT(cp_overflow_install(), ==, 0);
	CHECK_INT(cp_overflow_install(), ==, 0);
	cp_overflow_remove();
	now = look();
	CHECK(now.segv.sa_handler != before.segv.sa_handler);
	cp_overflow_remove();
	now = look();
	CHECK(same(&now, &before));
}

/* A handler that somebody has set since is theirs, and stays. */
TEST(remove_leaves_a_later_handler)
{
	no_handlers();
	CHECK_INT(cp_overflow_install(), ==, 0);
	set_handler(SIGSEGV, say_and_exit, 0);
	cp_overflow_remove();
	CHECK(look().segv.sa_sigaction == say_and_exit);
	CHECK(look().bus.sa_handler == SIG_DFL);
}

/* A thread that has a stack for its handlers keeps it. */
TEST(handler_stack_of_the_thread_is_kept)
{
	static char stack[128 << 10];
	stack_t ours = { .ss_sp = stack, .ss_size = sizeof stack };
	stack_t before;

	CHECK_INT(sigaltstack(&ours, &before), ==, 0);
	CHECK_INT(cp_overflow_install(), ==, 0);
	CHECK(look().stack.ss_sp == stack);
	cp_overflow_remove();
	CHECK(look().stack.ss_sp == stack);
	CHECK_INT(sigaltstack(&before, NULL), ==, 0);
}

/* Whichever call is refused, nothing has changed, and the next try succeeds. */
TEST(refused_install_changes_nothing)
{
	struct found before, now;
	int refused = 0;

	no_handlers();
	sigaltstack(&(stack_t){ .ss_flags = SS_DISABLE }, NULL);
	before = look();
	for (uint64_t which = 1; which <= 10; which++) {
		int r;

		cp_os_faults.call_fail_at = cp_os_faults.call_calls + which;
		cp_os_faults.call_errno = ENOMEM;
		r = cp_overflow_install();
		cp_os_faults.call_fail_at = 0;
		refused += r < 0;
		if (r == 0)
			cp_overflow_remove();
		now = look();
		CHECK(same(&now, &before));
	}
	CHECK_INT(refused, ==, 7);
}
