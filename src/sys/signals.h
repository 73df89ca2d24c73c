/* SPDX-License-Identifier: MIT */
/* Signals inside: the ladder of coop_main. Receivers are public: coop/signal.h. */
#ifndef CP_SIGNALS_H
#define CP_SIGNALS_H

#include "core/core.h"

/*
 * Puts the ladder on SIGINT and SIGTERM for the run that begins on this thread. A SIGINT
 * that is ignored stays ignored. 0 or -errno.
 */
int cp_ladder_install(struct cp_rt *rt);
void cp_ladder_remove(struct cp_rt *rt);

/*
 * How a process of this id ends after `sig`: 0, it dies by it, or the exit status that says so,
 * for the first process of a container cannot die by a signal.
 */
int cp_status_of_signal(int sig, pid_t pid);

#endif
