/* SPDX-License-Identifier: MIT */
/* What bag.h promises, call by call. */
#include "../core/core_help.h"

struct stage {
	struct coop_bag bag, open, made;
};

#include "contract.h"

static int returns_5(void *arg)
{
	(void)arg;
	return 5;
}

static void stage_open(struct stage *s, bool in_task)
{
	if (!in_task)
		return;
	CHECK_INT(coop_bag_new(NULL, &s->bag), ==, 0);
	CHECK_INT(coop_bag_new(NULL, &s->open), ==, 0);
	CHECK_INT(coop_bag_open(s->open), ==, 0);
}

static void stage_close(struct stage *s, bool in_task)
{
	if (in_task) {
		(void)!coop_bag_leave(s->open, 0);
		coop_bag_free(s->open);
		coop_bag_free(s->bag);
		coop_bag_free(s->made);
	}
	coop_error_clear();
}


ROW(coop_bag_new_at, NEVER, 0, COOP_ENOTASK)
{
	return coop_bag_new(NULL, &s->made);
}

ROW(coop_bag_free, NEVER, -EBUSY, 1)
{
	return coop_bag_free(s->open);
}

ROW_AS(coop_bag_free, closed, NEVER, 0, 1)
{
	return coop_bag_free(s->bag);
}

ROW(coop_bag_open_at, NEVER, -EALREADY, COOP_ENOTASK)
{
	return coop_bag_open(s->open);
}

ROW(coop_bag_is_open, NEVER, 1, 0)
{
	return coop_bag_is_open(s->open);
}

ROW(coop_bag_failed, NEVER, 0, -EBADF)
{
	return coop_bag_failed(s->open);
}

ROW(coop_bag_spawn_at, NEVER, 0, COOP_ENOTASK)
{
	return coop_bag_spawn(s->open, returns_5, NULL);
}

ROW(coop_bag_until_done, ALWAYS, 0, COOP_ENOTASK)
{
	return coop_bag_until_done(s->open);
}

ROW_AS(coop_bag_until_done, no_bag, ALWAYS, -EBADF, COOP_ENOTASK)
{
	return coop_bag_until_done((struct coop_bag){ 0 });
}

ROW(coop_bag_close_at, NEVER, 0, -EBADF)
{
	return coop_bag_close(s->open);
}

ROW(coop_bag_aclose_at, CUSTOM, 0, COOP_ENOTASK)
{
	return coop_bag_aclose(s->open);
}

ROW(coop_bag_leave, CUSTOM, 3, COOP_ENOTASK)
{
	return coop_bag_leave(s->open, 3);
}
