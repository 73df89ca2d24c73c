/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * What each verb does with its plan: the exit status. main.c has the table of them.
 */

#include "plan.h"

int verb_check(struct plan *plan);
int verb_graph(struct plan *plan);
int verb_doctor(struct plan *plan);
/* ps, tree, logs, stop, restart. */
int verb_talk(struct plan *plan);
int verb_help(struct plan *plan);
int verb_version(struct plan *plan);

/* What would run, for people: --dry-run. */
int plan_print(struct plan *plan);
