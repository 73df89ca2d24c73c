/* SPDX-License-Identifier: MIT */
#ifndef COOP_VERSION_H
#define COOP_VERSION_H

#include <coop/base.h>

#define COOP_VERSION_MAJOR 0
#define COOP_VERSION_MINOR 1
#define COOP_VERSION_PATCH 0

/** The version of these headers, as text and as one number that compares. */
#define COOP_VERSION_TEXT "0.1.0"
#define COOP_VERSION (COOP_VERSION_MAJOR * 10000 + COOP_VERSION_MINOR * 100 + COOP_VERSION_PATCH)

COOP_BEGIN_DECLS

/**
 * Tells the version of the library that is running, laid out as COOP_VERSION.
 *
 * Returns the number; it can differ from COOP_VERSION, which is the version of
 * the headers the caller was built with.
 *
 * Checkpoint: never.   Errors: none.   Thread: any, signal-safe.   Since: 0.1
 */
COOP_API
int coop_version(void);

COOP_END_DECLS

#endif
