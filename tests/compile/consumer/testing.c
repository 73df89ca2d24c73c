/* SPDX-License-Identifier: MIT */
/* A test of somebody else's: an hour passes at once, and any allocation may fail. */
#include <coop.h>
#include <coop/testing.h>

#include <stdio.h>

static int app(void *arg)
{
	(void)arg;
	return coop_sleep(COOP_SECONDS(3600));
}

int main(void)
{
	struct coop_sweep sweep;
	int r = coop_sweep_alloc(app, NULL, NULL, false, NULL, NULL, &sweep);

	printf("%d after %d runs\n", r, (int)sweep.runs);
	return r == 0 && sweep.runs > 0 ? 0 : 1;
}
