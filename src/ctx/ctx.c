/* SPDX-License-Identifier: MIT */
/*
 * New stacks, and the switch as the sanitizers want to see it.
 *
 * cp_ctx_make writes onto an empty stack what the assembly would have left there,
 * with the trampoline cp_ctx_start as the place to go on.
 *
 * Under AddressSanitizer and ThreadSanitizer every change of stack is announced.
 * Invariants there
 *   1. A switch is: announce, assembly, take up. Nothing instrumented runs between
 *      announce and assembly, since it would be booked to the other stack.
 *   2. `leaving` is the context the running stack was entered from, until it has
 *      been taken up; NULL when that one was left for ever.
 *   3. A ThreadSanitizer fiber is in one context, in the free list, or just given up. Fibers cost
 *      about a megabyte, and the sanitizer has room for about 8,000: they are used
 *      again, and each is replaced after a number of lives, since functions that
 *      never return leave entries in its record of the call stack.
 */
#include "ctx.h"

#include "base/forks.h"
#include "base/os.h"

#ifdef CP_ASAN
#include <sanitizer/asan_interface.h>
#endif
#ifdef CP_TSAN
#include <sanitizer/tsan_interface.h>
#endif

__thread const void *cp_ctx_parked;

void cp_ctx_start(void); /* the assembly's trampoline */

/* What cp_ctx_switch_asm pops, lowest address first. */
#if defined(__x86_64__)
struct frame {
	uintptr_t r15, r14, r13, r12, rbx, rbp, pc;
};
#define FRAME_INIT(entry, arg) \
	{ \
		.r12 = (uintptr_t)(entry), .r13 = (uintptr_t)(arg), .pc = (uintptr_t)cp_ctx_start \
	}
#elif defined(__aarch64__)
struct frame {
	uintptr_t x19, x20, x21_to_x28[8], x29, pc;
	uint64_t d8_to_d15[8];
};
#define FRAME_INIT(entry, arg) \
	{ \
		.x19 = (uintptr_t)(entry), .x20 = (uintptr_t)(arg), .pc = (uintptr_t)cp_ctx_start \
	}
#else
#error "coop has no context switch for this machine yet"
#endif

/* Code that runs while the sanitizer's idea of the stack is not the processor's. */
#define UNSANITIZED __attribute__((no_sanitize("address"), no_sanitize("thread")))

/* ---- AddressSanitizer */

#ifdef CP_ASAN
static _Thread_local struct cp_ctx *leaving;

static void asan_make(struct cp_ctx *ctx, void *low, void *top)
{
	ctx->asan_fake = NULL;
	ctx->asan_low = low;
	ctx->asan_bytes = (size_t)((char *)top - (char *)low);
	/* Frames that were never left have their red zones there still. */
	__asan_unpoison_memory_region(low, ctx->asan_bytes);
}

/* `save_fake` NULL: the stack is given up, and its fake frames with it. */
UNSANITIZED static inline void asan_announce(struct cp_ctx *from, const struct cp_ctx *to,
					     void **save_fake)
{
	leaving = save_fake ? from : NULL;
	__sanitizer_start_switch_fiber(save_fake, to->asan_low, to->asan_bytes);
}

/* The bounds of a thread's own stack are learned here, when it is first left. */
UNSANITIZED static inline void asan_take_up(struct cp_ctx *self)
{
	const void *low;
	size_t bytes;

	__sanitizer_finish_switch_fiber(self->asan_fake, &low, &bytes);
	if (!leaving)
		return;
	leaving->asan_low = low;
	leaving->asan_bytes = bytes;
	leaving = NULL;
}
#define ASAN_FAKE(ctx) (&(ctx)->asan_fake)
#else
#define asan_make(ctx, low, top) ((void)(low))
#define asan_announce(from, to, save_fake) ((void)0)
#define asan_take_up(self) ((void)(self))
#define ASAN_FAKE(ctx) NULL
#endif

/* ---- ThreadSanitizer */

#ifdef CP_TSAN
#define FIBERS_MAX 8000
#define FIBER_LIVES_MAX 256

struct cp_ctx_fiber {
	struct cp_ctx_fiber *next;
	void *handle;
	int lives;
};

static struct cp_ctx_fiber fibers[FIBERS_MAX];
static size_t fibers_made;
/* One list a thread: a lock would order the threads for the sanitizer and hide their races. */
static _Thread_local struct cp_ctx_fiber *fibers_free;
static _Thread_local struct cp_ctx_fiber *given_up; /* left for ever, not yet given back */
static _Thread_local uint32_t free_in; /* the process of the list: a forked child has no fibers */

static struct cp_ctx_fiber *fiber_new(void)
{
	size_t made = __atomic_fetch_add(&fibers_made, 1, __ATOMIC_RELAXED);

	if (made >= FIBERS_MAX)
		cp_die("ThreadSanitizer has no room for more than %d tasks at once", FIBERS_MAX);
	fibers[made].handle = __tsan_create_fiber(0);
	return &fibers[made];
}

static void tsan_make(struct cp_ctx *ctx)
{
	struct cp_ctx_fiber *fiber;

	if (free_in != cp_forks())
		fibers_free = NULL;
	free_in = cp_forks();
	fiber = fibers_free;
	if (fiber)
		fibers_free = fiber->next;
	else
		fiber = fiber_new();
	ctx->tsan_own = fiber;
	ctx->tsan_fiber = fiber->handle;
}

static void fiber_free(struct cp_ctx_fiber *fiber)
{
	if (++fiber->lives == FIBER_LIVES_MAX) {
		__tsan_destroy_fiber(fiber->handle);
		fiber->handle = __tsan_create_fiber(0);
		fiber->lives = 0;
	}
	fiber->next = fibers_free;
	fibers_free = fiber;
}

static void tsan_drop(struct cp_ctx *ctx)
{
	if (!ctx->tsan_own)
		return;
	fiber_free(ctx->tsan_own);
	ctx->tsan_own = NULL;
	ctx->tsan_fiber = NULL;
}

/* The running fiber cannot be given back; whoever runs next does it. */
static void tsan_give_up(struct cp_ctx *ctx)
{
	given_up = ctx->tsan_own;
	ctx->tsan_own = NULL;
}

static void tsan_take_up(void)
{
	struct cp_ctx_fiber *fiber = given_up;

	given_up = NULL;
	if (fiber)
		fiber_free(fiber);
}

#define tsan_init_thread(ctx) ((ctx)->tsan_fiber = __tsan_get_current_fiber())
#define tsan_announce(to) __tsan_switch_to_fiber((to)->tsan_fiber, 0)
#else
#define tsan_make(ctx) ((void)(ctx))
#define tsan_drop(ctx) ((void)(ctx))
#define tsan_give_up(ctx) ((void)0)
#define tsan_take_up() ((void)0)
#define tsan_init_thread(ctx) ((void)(ctx))
#define tsan_announce(to) ((void)0)
#endif

/* ---- all builds */

void cp_ctx_make(struct cp_ctx *ctx, void *low, void *top, void (*entry)(void *arg), void *arg)
{
	struct frame *frame = (struct frame *)top - 1;

	CP_ASSERT(((uintptr_t)top & 15) == 0);
	CP_ASSERT((char *)frame > (char *)low);
	asan_make(ctx, low, top);
	tsan_make(ctx);
	*frame = (struct frame)FRAME_INIT(entry, arg);
	ctx->sp = frame;
}

void cp_ctx_init_thread(struct cp_ctx *ctx)
{
	*ctx = (struct cp_ctx){ .sp = NULL };
	tsan_init_thread(ctx);
}

#if defined(CP_ASAN) || defined(CP_TSAN)
UNSANITIZED CP_NOINLINE int cp_ctx_switch(struct cp_ctx *from, struct cp_ctx *to)
{
	asan_announce(from, to, ASAN_FAKE(from));
	tsan_announce(to);
	cp_ctx_switch_asm(&from->sp, to->sp);
	cp_ctx_entered(from);
	return 0;
}

UNSANITIZED CP_NOINLINE _Noreturn void cp_ctx_leave(struct cp_ctx *from, struct cp_ctx *to)
{
	tsan_give_up(from);
	asan_announce(from, to, NULL);
	tsan_announce(to);
	cp_ctx_switch_asm(&from->sp, to->sp);
	__builtin_unreachable();
}

UNSANITIZED CP_NOINLINE void cp_ctx_entered(struct cp_ctx *self)
{
	asan_take_up(self);
	tsan_take_up();
}

void cp_ctx_drop(struct cp_ctx *ctx)
{
	tsan_drop(ctx);
}
#endif
