/* SPDX-License-Identifier: MIT */
/*
 * The log from the inside: who is about to spend time on a record asks first
 * whether anybody would get it.
 */
#ifndef CP_LOG_H
#define CP_LOG_H

#include "base/base.h"

#include <coop/log.h>

/* A record is cut at this many bytes. */
#define CP_LOG_BYTES_MAX 1000

/* True if a record of this level reaches the sink. */
bool cp_log_on(enum coop_log_level level);

/* Forgets sink and level, so that the next record reads COOP_LOG again. For tests. */
void cp_log_reset(void);

#endif
