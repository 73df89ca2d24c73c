/* SPDX-License-Identifier: MIT */
/*
 * What every coop header stands on: attributes, limits, units.
 *
 * Times are int64_t nanoseconds of CLOCK_MONOTONIC (or of the virtual clock).
 * A *deadline* is absolute, a *timeout* relative.
 */
#ifndef COOP_BASE_H
#define COOP_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
#define COOP_BEGIN_DECLS extern "C" {
#define COOP_END_DECLS }
#define COOP_STATIC_ASSERT(cond, text) static_assert(cond, text)
#else
#define COOP_BEGIN_DECLS
#define COOP_END_DECLS
#define COOP_STATIC_ASSERT(cond, text) _Static_assert(cond, text)
#endif

#define COOP_API __attribute__((visibility("default")))
#define COOP_MUST_USE __attribute__((warn_unused_result))
#define COOP_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))

/** No deadline, no limit of time. */
#define COOP_NEVER INT64_MAX
/** A limit that is none, where 0 already means "the default". */
#define COOP_UNLIMITED UINT32_MAX
/** As a grace: none at all, where 0 already means "the runner's default". */
#define COOP_NO_GRACE INT64_MIN

/** A name or a reason is copied and cut at this many bytes. */
#define COOP_NAME_MAX 63

#define COOP_SECONDS(n) ((int64_t)(n) * 1000000000)
#define COOP_MILLISECONDS(n) ((int64_t)(n) * 1000000)
#define COOP_MICROSECONDS(n) ((int64_t)(n) * 1000)

/** What a task runs. A negative result is a failure, any other is kept in the handle. */
typedef int coop_fn(void *arg);

#endif
