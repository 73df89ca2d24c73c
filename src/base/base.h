/* SPDX-License-Identifier: MIT */
/* Internal macros that every source of coop may use. */
#ifndef CP_BASE_H
#define CP_BASE_H

#include <coop/base.h>

#define CP_LIKELY(x) __builtin_expect(!!(x), 1)
#define CP_UNLIKELY(x) __builtin_expect(!!(x), 0)
/* Two words that are stored at once. */
typedef uint64_t cp_pair __attribute__((vector_size(16)));
/* As likely as not, whatever the compiler would guess: neither way is put far from the road. */
#define CP_EITHER(x) __builtin_expect_with_probability(!!(x), 1, 0.5)
#define CP_NOINLINE __attribute__((noinline))
#define CP_COLD __attribute__((cold, noinline))
#define CP_INLINE static inline __attribute__((always_inline))
#define CP_ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define CP_CONTAINER_OF(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

/* Asserts stay on in release: a broken invariant ends the program where it is found. */
#define CP_ASSERT(cond) \
	(CP_LIKELY(cond) ? (void)0 : cp_assert_failed(#cond, __FILE__, __LINE__, __func__))

_Noreturn void cp_assert_failed(const char *cond, const char *file, int line, const char *func);

/* Prints "coop: ..." on standard error and aborts: the structure of the program is broken. */
_Noreturn void cp_die(const char *fmt, ...) COOP_PRINTF(1, 2);

/* Which sanitizer this is built for, if any. */
#if defined(__SANITIZE_ADDRESS__)
#define CP_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define CP_ASAN 1
#endif
#endif
#if defined(__SANITIZE_THREAD__)
#define CP_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define CP_TSAN 1
#endif
#endif
#ifdef CP_TSAN
#define CP_IS_TSAN true
#else
#define CP_IS_TSAN false
#endif

/* Tells the processor that this is a loop which waits. */
#if defined(__x86_64__)
#define cp_cpu_relax() __builtin_ia32_pause()
#elif defined(__aarch64__)
#define cp_cpu_relax() __asm__ volatile("yield" ::: "memory")
#else
#define cp_cpu_relax() ((void)0)
#endif

#endif
