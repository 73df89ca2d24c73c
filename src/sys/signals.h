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

#endif
