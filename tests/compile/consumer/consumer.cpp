// SPDX-License-Identifier: MIT
// A program of somebody else's, in C++: the group ends with its block.
#include <coop.h>
#include <coop/auto.h>

#include <cstdio>

static int sleeper(void *arg)
{
	*static_cast<int *>(arg) = coop_sleep(COOP_SECONDS(3600));
	return *static_cast<int *>(arg);
}

static int app(void *arg)
{
	COOP_AUTO_GROUP(group, nullptr);
	int r = coop_spawn(&group, sleeper, arg);

	if (r < 0)
		return r;
	return coop_checkpoint();
}

int main()
{
	int seen = 0;
	int r = coop_run(app, &seen, nullptr);

	std::printf("coop %d: %d\n", coop_version(), r);
	return r == 0 && seen == COOP_ECANCELED ? 0 : 1;
}
