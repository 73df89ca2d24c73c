/* SPDX-License-Identifier: MIT */
/* Memory of the interpreter's own: it is there, or the program ends. */
#ifndef SCENARIO_NEED_H
#define SCENARIO_NEED_H

#include <stdio.h>
#include <stdlib.h>

/* `p = need(malloc(n))`. Not coop's allocator: the sweeps fail only what coop asks for. */
static inline void *need(void *p)
{
	if (!p) {
		fputs("scenario: no memory\n", stderr);
		exit(1);
	}
	return p;
}

#endif
