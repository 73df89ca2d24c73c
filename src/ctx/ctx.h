/* SPDX-License-Identifier: MIT */
/*
 * The switch: leave one stack, go on on another.
 *
 * cp_ctx_switch is the only way from stack to stack. The assembly saves the
 * callee-saved registers on the stack it leaves; nothing else of a context
 * exists. errno and the floating point control words are the caller's business.
 *
 * The sanitizers have to be told of every switch. Their state is in struct
 * cp_ctx beside the stack pointer; in ordinary builds there is none of it and
 * cp_ctx_switch is the bare assembly call.
 */
#ifndef CP_CTX_H
#define CP_CTX_H

#include "base/base.h"

/* For what looks at a frame that may be gone. If inlined, it would be checked like the rest. */
#ifdef CP_ASAN
#define CP_READS_GONE __attribute__((noinline, unused, no_sanitize("address"))) static
#else
#define CP_READS_GONE CP_INLINE
#endif

/* One side of a switch: a suspended stack, or room for the running one to be left in. */
struct cp_ctx {
	void *sp; /* where it was left; valid while it is not running */
#ifdef CP_ASAN
	void *asan_fake;
	const void *asan_low;
	size_t asan_bytes;
#endif
#ifdef CP_TSAN
	void *tsan_fiber;
	struct cp_ctx_fiber *tsan_own; /* the same, where it is ours to give back */
#endif
};

/*
 * Prepares `ctx` so that the first switch to it calls entry(arg) on the stack
 * [low, top). `top` is the first byte above and 16-aligned. `entry` never returns.
 */
void cp_ctx_make(struct cp_ctx *ctx, void *low, void *top, void (*entry)(void *arg), void *arg);

/* For the thread's own stack: fills what the sanitizers need to come back to it. */
void cp_ctx_init_thread(struct cp_ctx *ctx);

/* The assembly. Returns 0 when somebody switches back to what was saved in *save_sp. */
int cp_ctx_switch_asm(void **save_sp, void *to_sp);

/* A debugger walks a parked stack from here, with its saved stack pointer. */
extern const void *const cp_ctx_resume_pc;

/*
 * A place below the frames of all callers, and above that of the function where this stands: the
 * stack pointer, for which the compiler keeps no frame in a function that ends with a jump.
 * Where it optimises nothing, the function has a frame all the same.
 */
#if !defined(__OPTIMIZE__)
#define CP_STACK_POINTER() __builtin_frame_address(0)
#elif defined(__x86_64__)
#define CP_STACK_POINTER() CP_READ_SP("movq %%rsp, %0")
#else
#define CP_STACK_POINTER() CP_READ_SP("mov %0, sp")
#endif
#define CP_READ_SP(instruction) \
	({ \
		void *sp_; \
		__asm__(instruction : "=r"(sp_)); \
		sp_; \
	})

#if defined(CP_ASAN) || defined(CP_TSAN)
int cp_ctx_switch(struct cp_ctx *from, struct cp_ctx *to);
CP_INLINE int cp_ctx_resume(struct cp_ctx *from, struct cp_ctx *to)
{
	return cp_ctx_switch(from, to);
}
/* The last switch away from a stack that is given up. Never returns. */
_Noreturn void cp_ctx_leave(struct cp_ctx *from, struct cp_ctx *to);
#define cp_ctx_return cp_ctx_leave
/* The first thing that entry(arg) does on a new stack. */
void cp_ctx_entered(struct cp_ctx *self);
/* For one that was not left by cp_ctx_leave: it will not be run before it is made anew. */
void cp_ctx_drop(struct cp_ctx *ctx);
#else
CP_INLINE int cp_ctx_switch(struct cp_ctx *from, struct cp_ctx *to)
{
	return cp_ctx_switch_asm(&from->sp, to->sp);
}
#if defined(__x86_64__)
/* The same as cp_ctx_switch_asm, to a stack that has been run before. */
int cp_ctx_resume_asm(void **save_sp, void *to_sp);
/*
 * The same, to one on which nothing is: calls done(top, fn(arg)) there. `done` never returns; it
 * leaves the stack, or has the next function called on it, by a jump.
 */
int cp_ctx_begin_asm(void **save_sp, void *top, int (*fn)(void *arg), void *arg,
		     void (*done)(void *top, int rc));
/* Never returns; the compiler is not told, since it would take whoever calls this for cold. */
CP_INLINE void cp_ctx_next(void *top, int (*fn)(void *arg), void *arg,
			   void (*done)(void *top, int rc))
{
	register void (*r8)(void *top, int rc) __asm__("r8") = done;

	__asm__ volatile("jmp cp_ctx_next_asm" : : "S"(top), "d"(fn), "c"(arg), "r"(r8) : "memory");
}
/* Where the last task that came this way to park will go on: a hint. */
extern __thread const void *cp_ctx_parked;
int cp_ctx_through_asm(uintptr_t a, uintptr_t b, uintptr_t c, uintptr_t d, uintptr_t e,
		       const void *wait);
#define CP_CTX_FAST 1

CP_INLINE int cp_ctx_resume(struct cp_ctx *from, struct cp_ctx *to)
{
	return cp_ctx_resume_asm(&from->sp, to->sp);
}
CP_INLINE _Noreturn void cp_ctx_leave(struct cp_ctx *from, struct cp_ctx *to)
{
	(void)from;
	__asm__ volatile("jmp cp_ctx_leave_asm" : : "S"(to->sp) : "memory");
	__builtin_unreachable();
}
/* The same, to a stack that has been run before. */
CP_INLINE _Noreturn void cp_ctx_return(struct cp_ctx *from, struct cp_ctx *to)
{
	(void)from;
	__asm__ volatile("jmp cp_ctx_return_asm" : : "S"(to->sp) : "memory");
	__builtin_unreachable();
}
#else
CP_INLINE int cp_ctx_resume(struct cp_ctx *from, struct cp_ctx *to)
{
	return cp_ctx_switch_asm(&from->sp, to->sp);
}
CP_INLINE _Noreturn void cp_ctx_leave(struct cp_ctx *from, struct cp_ctx *to)
{
	cp_ctx_switch_asm(&from->sp, to->sp);
	__builtin_unreachable();
}
#define cp_ctx_return cp_ctx_leave
#endif
CP_INLINE void cp_ctx_entered(struct cp_ctx *self)
{
	(void)self;
}
CP_INLINE void cp_ctx_drop(struct cp_ctx *ctx)
{
	(void)ctx;
}
#endif

#ifdef CP_CTX_FAST
/*
 * return wait(a, b, c, d, e), a call that parks, as the last act of a public call. Who comes back
 * from it was mostly called from elsewhere than the one that parked, and by a plain return
 * the processor would go to the wrong place first: see ctx_x86_64.S.
 */
#define cp_ctx_through(wait, a, b, c, d, e) \
	cp_ctx_through_asm((uintptr_t)(a), (uintptr_t)(b), (uintptr_t)(c), (uintptr_t)(d), \
			   (uintptr_t)(e), (const void *)(wait))
#else
#define cp_ctx_through(wait, a, b, c, d, e) wait(a, b, c, d, e)
#endif

#endif
