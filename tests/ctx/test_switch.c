/* SPDX-License-Identifier: MIT */
/*
 * The switch: what a function may rely on when it parks in the middle, and what
 * debuggers and unwinders find on a stack that was made by hand.
 *
 * Two shapes are used. `pair` is one context that goes back and forth with the test;
 * `ring` is many of them in turn.
 */
#include "base/os.h"
#include "ctx/ctx.h"
#include "ctx/stack.h"
#include "test.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <unwind.h>

struct pair {
	struct cp_ctx test, other;
	struct cp_stacks pool;
	void *low, *top;  /* of the slot */
	uintptr_t *above; /* what lies above the stack of `other` */
	int rounds;
};

#define ABOVE 16 /* words */

/* A walk that goes past the outermost frame shall not find zeros there and end by luck. */
static void pair_make(struct pair *p, void (*entry)(void *arg))
{
	p->above = (uintptr_t *)p->top - ABOVE;
	for (int i = 0; i < ABOVE; i++)
		p->above[i] = (uintptr_t)entry + 8;
	cp_ctx_make(&p->other, p->low, p->above, entry, p);
}

static void pair_open(struct pair *p, void (*entry)(void *arg))
{
	*p = (struct pair){ .rounds = 0 };
	CHECK_INT(cp_stacks_open(&p->pool, 0), ==, 0);
	CHECK_INT(cp_stacks_reserve(&p->pool), ==, 0);
	p->top = cp_stacks_take(&p->pool);
	CHECK(p->top);
	p->low = cp_stacks_low(&p->pool, p->top);
	cp_ctx_init_thread(&p->test);
	pair_make(p, entry);
}

static void pair_close(struct pair *p)
{
	cp_ctx_drop(&p->other);
	cp_stacks_put(&p->pool, p->top, p->top);
	cp_stacks_unreserve(&p->pool);
	cp_stacks_close(&p->pool);
}

static void to_other(struct pair *p)
{
	cp_ctx_switch(&p->test, &p->other);
}

static void to_test(struct pair *p)
{
	cp_ctx_switch(&p->other, &p->test);
}

/* ---- registers */

/*
 * size_t registers_kept(void **save_sp, void *to_sp, uint64_t seed): fills each register
 * that a callee must keep with a number of its own, switches, and returns how many
 * have changed.
 */
size_t registers_kept(void **save_sp, void *const *to_sp, uint64_t seed);

#if defined(__x86_64__)
__asm__(".text\n"
	".type registers_kept, @function\n"
	"registers_kept:\n"
	"	pushq %rbp\n	pushq %rbx\n	pushq %r12\n"
	"	pushq %r13\n	pushq %r14\n	pushq %r15\n"
	"	pushq %rdx\n"
	"	movq (%rsi), %rsi\n"
	"	leaq 1(%rdx), %rbx\n	leaq 2(%rdx), %rbp\n	leaq 3(%rdx), %r12\n"
	"	leaq 4(%rdx), %r13\n	leaq 5(%rdx), %r14\n	leaq 6(%rdx), %r15\n"
	"	callq cp_ctx_switch_asm\n"
	"	popq %rdx\n"
	"	subq %rdx, %rbx\n	subq %rdx, %rbp\n	subq %rdx, %r12\n"
	"	subq %rdx, %r13\n	subq %rdx, %r14\n	subq %rdx, %r15\n"
	"	xorl %eax, %eax\n"
	"	cmpq $1, %rbx\n	je 1f\n	incl %eax\n"
	"1:	cmpq $2, %rbp\n	je 1f\n	incl %eax\n"
	"1:	cmpq $3, %r12\n	je 1f\n	incl %eax\n"
	"1:	cmpq $4, %r13\n	je 1f\n	incl %eax\n"
	"1:	cmpq $5, %r14\n	je 1f\n	incl %eax\n"
	"1:	cmpq $6, %r15\n	je 1f\n	incl %eax\n"
	"1:	popq %r15\n	popq %r14\n	popq %r13\n"
	"	popq %r12\n	popq %rbx\n	popq %rbp\n"
	"	ret\n"
	".size registers_kept, . - registers_kept\n");
#elif defined(__aarch64__)
__asm__(".text\n"
	".type registers_kept, %function\n"
	"registers_kept:\n"
	"	sub sp, sp, #176\n"
	"	stp x19, x20, [sp, #0]\n	stp x21, x22, [sp, #16]\n"
	"	stp x23, x24, [sp, #32]\n	stp x25, x26, [sp, #48]\n"
	"	stp x27, x28, [sp, #64]\n	stp x29, x30, [sp, #80]\n"
	"	stp d8, d9, [sp, #96]\n	stp d10, d11, [sp, #112]\n"
	"	stp d12, d13, [sp, #128]\n	stp d14, d15, [sp, #144]\n"
	"	str x2, [sp, #160]\n"
	"	ldr x1, [x1]\n"
	"	.irp n, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29\n"
	"	add x\\n, x2, #\\n\n"
	"	.endr\n"
	"	.irp n, 8, 9, 10, 11, 12, 13, 14, 15\n"
	"	add x9, x2, #\\n\n"
	"	fmov d\\n, x9\n"
	"	.endr\n"
	"	bl cp_ctx_switch_asm\n"
	"	ldr x2, [sp, #160]\n"
	"	mov x0, #0\n"
	"	.irp n, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29\n"
	"	add x9, x2, #\\n\n"
	"	cmp x9, x\\n\n"
	"	cinc x0, x0, ne\n"
	"	.endr\n"
	"	.irp n, 8, 9, 10, 11, 12, 13, 14, 15\n"
	"	add x9, x2, #\\n\n"
	"	fmov x10, d\\n\n"
	"	cmp x9, x10\n"
	"	cinc x0, x0, ne\n"
	"	.endr\n"
	"	ldp x19, x20, [sp, #0]\n	ldp x21, x22, [sp, #16]\n"
	"	ldp x23, x24, [sp, #32]\n	ldp x25, x26, [sp, #48]\n"
	"	ldp x27, x28, [sp, #64]\n	ldp x29, x30, [sp, #80]\n"
	"	ldp d8, d9, [sp, #96]\n	ldp d10, d11, [sp, #112]\n"
	"	ldp d12, d13, [sp, #128]\n	ldp d14, d15, [sp, #144]\n"
	"	add sp, sp, #176\n"
	"	ret\n"
	".size registers_kept, . - registers_kept\n");
#endif

static void registers_entry(void *arg)
{
	struct pair *p = arg;

	for (uint64_t seed = 1000;; seed += 1000)
		if (registers_kept(&p->other.sp, &p->test.sp, seed) != 0)
			abort();
}

/* Both sides fill what a callee must keep with numbers of their own, and find them again. */
TEST(switch_keeps_the_callees_registers)
{
	struct pair p;

	pair_open(&p, registers_entry);
	for (uint64_t seed = 7; seed < 700; seed += 7)
		CHECK_INT(registers_kept(&p.test.sp, &p.other.sp, seed << 32), ==, 0);
	pair_close(&p);
}

/* ---- a new stack */

struct seen {
	void *arg;
	uintptr_t local, frame;
};
static struct seen seen;

static void looking_entry(void *arg)
{
	struct pair *p = arg;
	_Alignas(16) volatile char local[16] = { 0 };

	cp_ctx_entered(&p->other);
	seen = (struct seen){ arg, (uintptr_t)local, (uintptr_t)__builtin_frame_address(0) };
	for (;;)
		to_test(p);
}

/* The entry gets its argument and runs on the new stack, aligned as the ABI says. */
TEST(new_stack_begins_aligned_with_its_argument)
{
	struct pair p;

	pair_open(&p, looking_entry);
	to_other(&p);
	CHECK(seen.arg == &p);
	CHECK_INT(seen.local % 16, ==, 0);
	CHECK_INT(seen.frame % 16, ==, 0);
	CHECK(seen.frame > (uintptr_t)p.low && seen.frame < (uintptr_t)p.above);
	CHECK((uintptr_t)p.above - seen.frame < 256);
	pair_close(&p);
}

/* A stack pointer in the middle of nowhere would be found out much later: it is refused. */
TEST_ABORT(new_stack_must_be_aligned, "assertion failed")
{
	static char stack[4096] __attribute__((aligned(64)));
	struct cp_ctx ctx;

	cp_ctx_make(&ctx, stack, stack + sizeof stack - 8, looking_entry, NULL);
}

/* ---- many */

#define RING_MAX 1000

struct ring {
	struct cp_ctx test;
	struct cp_ctx ctx[RING_MAX];
	void *top[RING_MAX];
	long sum[RING_MAX];
	int count, at;
};
static struct ring ring;

static void ring_entry(void *arg)
{
	long *sum = arg;
	int me = ring.at;

	cp_ctx_entered(&ring.ctx[me]);
	for (long i = 1;; i++) {
		int next = ring.at = (me + 1) % ring.count;

		*sum += i;
		cp_ctx_switch(&ring.ctx[me], next ? &ring.ctx[next] : &ring.test);
	}
}

/* A thousand stacks in turn, each with its own loop in the middle of which it is left. */
TEST(a_thousand_stacks_take_turns)
{
	struct cp_stacks pool;
	int rounds = TEST_COUNT(100, 10);

	ring.count = RING_MAX;
	cp_ctx_init_thread(&ring.test);
	CHECK_INT(cp_stacks_open(&pool, 0), ==, 0);
	for (int i = 0; i < ring.count; i++) {
		CHECK_INT(cp_stacks_reserve(&pool), ==, 0);
		ring.top[i] = cp_stacks_take(&pool);
		CHECK(ring.top[i]);
		cp_ctx_make(&ring.ctx[i], cp_stacks_low(&pool, ring.top[i]), ring.top[i],
			    ring_entry, &ring.sum[i]);
	}
	for (int round = 0; round < rounds; round++)
		cp_ctx_switch(&ring.test, &ring.ctx[0]);
	for (int i = 0; i < ring.count; i++) {
		CHECK_INT(ring.sum[i], ==, (long)rounds * (rounds + 1) / 2);
		cp_ctx_drop(&ring.ctx[i]);
		cp_stacks_put(&pool, ring.top[i], ring.top[i]);
		cp_stacks_unreserve(&pool);
	}
	cp_stacks_close(&pool);
}

static void leaving_entry(void *arg)
{
	struct pair *p = arg;

	cp_ctx_entered(&p->other);
	p->rounds++;
	cp_ctx_leave(&p->other, &p->test);
}

/* A stack that was left for ever is used again, more often than any sanitizer has fibers. */
TEST(left_stack_is_used_again)
{
	struct pair p;
	int lives = TEST_COUNT(100000, 10000);

	pair_open(&p, leaving_entry);
	for (int i = 0; i < lives; i++) {
		if (i > 0)
			pair_make(&p, leaving_entry);
		to_other(&p);
	}
	CHECK_INT(p.rounds, ==, lives);
	pair_close(&p);
}

/* ---- walks */

struct walk {
	int frames;
	bool through_entry;
	_Unwind_Reason_Code ended;
};
static struct walk walk;

static void walking_entry(void *arg);

static _Unwind_Reason_Code walk_frame(struct _Unwind_Context *context, void *arg)
{
	struct walk *w = arg;

	w->frames++;
	if (_Unwind_FindEnclosingFunction((void *)_Unwind_GetIP(context)) == (void *)walking_entry)
		w->through_entry = true;
	return w->frames < 50 ? _URC_NO_REASON : _URC_NORMAL_STOP;
}

static CP_NOINLINE void walk_here(void)
{
	walk.ended = _Unwind_Backtrace(walk_frame, &walk);
	__asm__ volatile("" : : : "memory");
}

static void walking_entry(void *arg)
{
	struct pair *p = arg;

	cp_ctx_entered(&p->other);
	walk_here();
	for (;;)
		to_test(p);
}

/* An unwinder goes from a task's function to the trampoline and ends there, content. */
TEST(unwinder_ends_at_the_trampoline)
{
	struct pair p;

	pair_open(&p, walking_entry);
	to_other(&p);
	CHECK(walk.through_entry);
	CHECK_INT(walk.frames, >=, 3);
	CHECK_INT(walk.frames, <, 12);
	CHECK_INT(walk.ended, ==, _URC_END_OF_STACK);
	pair_close(&p);
}

struct frame_record {
	struct frame_record *up;
	uintptr_t pc;
};
static int records;

static CP_NOINLINE void count_records(void)
{
	const struct frame_record *record = __builtin_frame_address(0);

	for (records = 0; record && records < 50; records++)
		record = record->up;
	__asm__ volatile("" : : : "memory");
}

static void counting_entry(void *arg)
{
	struct pair *p = arg;

	cp_ctx_entered(&p->other);
	count_records();
	for (;;)
		to_test(p);
}

/* So does a walk along the frame pointers, which is what profilers do. */
TEST(frame_pointers_end_at_zero)
{
	struct pair p;

	pair_open(&p, counting_entry);
	to_other(&p);
	CHECK_INT(records, ==, 2);
	pair_close(&p);
}

/* ---- gdb */

void gdb_parked_here(const struct cp_ctx *parked);
void gdb_runs_here(void);

CP_NOINLINE void gdb_parked_here(const struct cp_ctx *parked)
{
	__asm__ volatile("" : : "r"(parked), "r"(cp_ctx_resume_pc) : "memory");
}

CP_NOINLINE void gdb_runs_here(void)
{
	__asm__ volatile("" : : : "memory");
}

static CP_NOINLINE void gdb_inner(struct pair *p)
{
	gdb_runs_here();
	to_test(p);
	p->rounds++;
}

static CP_NOINLINE void gdb_outer(struct pair *p)
{
	gdb_inner(p);
	p->rounds++;
}

static void gdb_entry(void *arg)
{
	struct pair *p = arg;

	cp_ctx_entered(&p->other);
	for (;;)
		gdb_outer(p);
}

/* What the debugger of the test below is shown; by itself it shows that the pieces run. */
TEST(gdb_subject)
{
	struct pair p;

	pair_open(&p, gdb_entry);
	to_other(&p);
	gdb_parked_here(&p.other);
	to_other(&p);
	CHECK_INT(p.rounds, ==, 2);
	pair_close(&p);
}

/* A program of another machine, run by an emulator, is not for the gdb that is here. */
#if defined(__x86_64__)

static const char gdb_command[] =
	"gdb -nx -batch"
	" -ex 'set debuginfod enabled off'"
	" -ex 'set startup-with-shell off'"
	" -ex 'set breakpoint pending on'"
	" -ex 'break gdb_runs_here' -ex 'break gdb_parked_here'"
	" -ex run -ex 'echo RUNNING\\n' -ex bt -ex continue"
	" -ex 'set $sp = parked->sp' -ex 'set $pc = *(long *)&cp_ctx_resume_pc'"
	" -ex 'echo PARKED\\n' -ex bt -ex kill"
	" --args '%s' -n gdb_subject 2>&1";

static void read_all(FILE *from, char *text, size_t size)
{
	size_t bytes = fread(text, 1, size - 1, from);

	text[bytes] = 0;
}

/* Frames in order, innermost first, and nothing that gdb complains of. */
static void check_backtrace(const char *text)
{
	static const char *const frames[] = { "gdb_inner", "gdb_outer", "gdb_entry",
					      "cp_ctx_start" };

	for (size_t i = 0; i < CP_ARRAY_LEN(frames); i++) {
		CHECK_HAS(text, frames[i]);
		text = strstr(text, frames[i]);
	}
}

/* gdb prints where a running task is, and, from its saved stack pointer, where a parked one is. */
TEST(gdb_walks_running_and_parked_stacks)
{
	char command[4096], text[65536];
	FILE *gdb;

	if (system("gdb --version >/dev/null 2>&1") != 0)
		SKIP("gdb is not installed");
	snprintf(command, sizeof command, gdb_command, program_invocation_name);
	gdb = popen(command, "r");
	CHECK(gdb);
	read_all(gdb, text, sizeof text);
	pclose(gdb);
	puts(text);
	CHECK_HAS(text, "RUNNING");
	CHECK_HAS(text, "PARKED");
	CHECK(!strstr(text, "corrupt stack"));
	CHECK(!strstr(text, "Backtrace stopped"));
	check_backtrace(strstr(text, "RUNNING"));
	check_backtrace(strstr(text, "PARKED"));
}

#endif
