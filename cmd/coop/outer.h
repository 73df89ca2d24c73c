/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The coop in which this one runs, as (an ancestor of) one of its tasks: it gets our events, by the
 * descriptor that COOP_EVENTS_FD names, a line a datagram (nested.h has the other end).
 */

#include "event.h"

/* Looks for it, before any process is started. A variable that is of no use is ignored; in either
 * case no process of ours finds it. */
void outer_find(void);

/* Whether there is one. */
bool outer_is_there(void);

/* Begins to send; 0 or -errno. */
int outer_open(struct job *job);
void outer_send(const struct event *event);
/* All has been sent: waits, not for long, until it was read. */
void outer_finish(void);
void outer_close(void);
