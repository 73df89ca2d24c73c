/* SPDX-License-Identifier: MIT */
/*
 * Bags: asyncio's PBag on top of a group.
 *
 *   FRESH --open--> OPEN --close, aclose--> CLOSED --leave--> LEFT
 *                        --leave--------------------------> LEFT
 *
 * The children are those of a group that collects. Closing has to spare the body, so it cancels
 * each child through its handle; leaving cancels the whole group, and joins.
 *
 * Invariants
 *   1. `children` has each child from spawn until its function has returned, and its handle.
 *   2. The group is open exactly in OPEN and CLOSED, in the task that opened the bag.
 *   3. A name is an index into the run's table and a serial number of the process: what is
 *      freed, or of another run or thread, has a number that is in no table any more.
 */
#include "sync/team.h"

#include <coop/bag.h>
#include <coop/log.h>

#include <errno.h>
#include <string.h>

struct child {
	struct child *next;
	struct child *prev;
	struct bag *bag;
	coop_fn *fn;
	void *arg;
	struct coop_handle *handle;
};

struct bag {
	struct coop_group group;
	uint64_t id;
	enum { FRESH, OPEN, CLOSED, LEFT } state;
	bool fail_fast;
	bool whole_error;
	struct child *children; /* in order of spawning */
	struct child *last;
	const char *site;
	char name[COOP_NAME_MAX + 1];
};

/* The bags of a run. */
struct bags {
	struct cp_debt debt;
	uint32_t count;
	uint32_t room;
	struct bag **cells;
};

static __thread struct bags *bags;

#define INDEX_BITS 20
#define INDEX_MASK ((UINT64_C(1) << INDEX_BITS) - 1)

static uint64_t serial; /* of the process; atomic */

/* ----------------------------------------------------------------------- names */

static struct bag *find(struct coop_bag name)
{
	uint64_t index = name._id & INDEX_MASK;
	struct bag *bag = bags && index < bags->count ? bags->cells[index] : NULL;

	return bag && bag->id == name._id ? bag : NULL;
}

/* The run has ended: nobody can use them any more. */
static void bags_left(struct cp_debt *debt)
{
	struct bags *all = CP_CONTAINER_OF(debt, struct bags, debt);

	for (uint32_t i = 0; i < all->count; i++) {
		if (all->cells[i])
			coop_log(COOP_LOG_WARN, "the bag made at %s was not freed",
				 cp_at(all->cells[i]->site));
		cp_free(all->cells[i]);
	}
	cp_free(all->cells);
	cp_free(all);
	bags = NULL;
}

static int make_table(struct cp_rt *rt)
{
	if (bags)
		return 0;
	bags = cp_calloc(1, sizeof *bags);
	if (!bags)
		return -ENOMEM;
	bags->debt.left = bags_left;
	cp_debt_add(rt, &bags->debt);
	return 0;
}

/* An index that is free; -ENOMEM or -ENFILE. */
static int free_index(void)
{
	struct bag **cells;
	uint32_t room;

	for (uint32_t i = 0; i < bags->count; i++)
		if (!bags->cells[i])
			return (int)i;
	if (bags->count > INDEX_MASK)
		return -ENFILE;
	if (bags->count == bags->room) {
		room = bags->room ? bags->room * 2 : 8;
		cells = cp_realloc(bags->cells, room * sizeof(struct bag *));
		if (!cells)
			return -ENOMEM;
		bags->cells = cells;
		bags->room = room;
	}
	bags->cells[bags->count] = NULL;
	return (int)bags->count++;
}

/* ------------------------------------------------------------- making, opening */

int coop_bag_new_at(const struct coop_bag_opts *opts, struct coop_bag *ret_bag, const char *site)
{
	static const struct coop_bag_opts none;
	struct cp_rt *rt = cp_in_task();
	struct bag *bag;
	int r;

	if (!rt)
		return cp_no_task();
	if (!opts)
		opts = &none;
	if (!cp_zero_words(opts->_reserved, CP_ARRAY_LEN(opts->_reserved)))
		return -EINVAL;
	r = make_table(rt);
	if (r >= 0)
		r = free_index();
	if (r < 0)
		return r;
	bag = cp_alloc(sizeof *bag);
	if (!bag)
		return -ENOMEM;
	*bag = (struct bag){ .group = COOP_GROUP_INIT,
			     .fail_fast = opts->fail_fast,
			     .whole_error = opts->whole_error,
			     .site = site };
	cp_copy_name(bag->name, opts->name ? opts->name : "bag");
	bag->id = (__atomic_add_fetch(&serial, 1, __ATOMIC_RELAXED) << INDEX_BITS) | (uint64_t)r;
	bags->cells[r] = bag;
	ret_bag->_id = bag->id;
	return 0;
}

int coop_bag_free(struct coop_bag name)
{
	struct bag *bag = find(name);

	if (!bag)
		return 1;
	if (bag->state == OPEN || bag->state == CLOSED)
		return -EBUSY;
	bags->cells[bag->id & INDEX_MASK] = NULL;
	cp_free(bag);
	return 0;
}

int coop_bag_open_at(struct coop_bag name, const char *site)
{
	struct bag *bag = find(name);
	struct coop_group_opts opts = { .errors_max = COOP_UNLIMITED };
	int r;

	if (!cp_in_task())
		return cp_no_task();
	if (!bag)
		return -EBADF;
	if (bag->state != FRESH)
		return coop_fail(-EALREADY, "Already open");
	opts.name = bag->name;
	opts.policy = bag->fail_fast ? COOP_FAIL_FAST : COOP_COLLECT;
	r = coop_group_open_at(&bag->group, &opts, site);
	if (r >= 0)
		bag->state = OPEN;
	return r;
}

bool coop_bag_is_open(struct coop_bag name)
{
	struct bag *bag = find(name);

	return bag && bag->state == OPEN;
}

int coop_bag_failed(struct coop_bag name)
{
	struct bag *bag = find(name);

	if (!bag)
		return -EBADF;
	return bag->group._failed > INT32_MAX ? INT32_MAX : (int)bag->group._failed;
}

/* -------------------------------------------------------------------- children */

static void child_drop(struct child *c)
{
	*(c->prev ? &c->prev->next : &c->bag->children) = c->next;
	*(c->next ? &c->next->prev : &c->bag->last) = c->prev;
	coop_handle_release(c->handle);
	cp_free(c);
}

static int child_main(void *arg)
{
	struct child *c = arg;
	int r = c->fn(c->arg);

	child_drop(c);
	return r;
}

int coop_bag_spawn_at(struct coop_bag name, coop_fn *fn, void *arg, const char *site)
{
	struct bag *bag = find(name);
	struct child *c;
	int r;

	if (!cp_in_task())
		return cp_no_task();
	if (!bag)
		return -EBADF;
	if (bag->state == FRESH)
		return COOP_ENOTOPEN;
	if (bag->state != OPEN)
		return coop_fail(COOP_ECLOSED, "Bag closed");
	if (!fn)
		return -EINVAL;
	c = cp_alloc(sizeof *c);
	if (!c)
		return -ENOMEM;
	*c = (struct child){ .bag = bag, .fn = fn, .arg = arg };
	r = coop_spawn_with_at(&bag->group, child_main, c, NULL, &c->handle, site);
	if (r < 0) {
		cp_free(c);
		return r;
	}
	c->prev = bag->last;
	*(c->prev ? &c->prev->next : &bag->children) = c;
	bag->last = c;
	return 0;
}

int coop_bag_until_done(struct coop_bag name)
{
	struct bag *bag = find(name);

	if (!cp_in_task())
		return cp_no_task();
	if (!bag)
		return cp_refuse(-EBADF);
	if (bag->state == FRESH || bag->state == LEFT || !bag->group._live)
		return coop_checkpoint(); /* at the latest, who leaves it has to run only */
	return coop_group_wait(&bag->group);
}

/* --------------------------------------------------------------------- closing */

int coop_bag_close_at(struct coop_bag name, const char *site)
{
	struct bag *bag = find(name);

	if (!bag)
		return -EBADF;
	if (bag->state == FRESH)
		return COOP_ENOTOPEN;
	if (bag->state != OPEN)
		return 1;
	bag->state = CLOSED;
	for (struct child *c = bag->children; c; c = c->next)
		coop_handle_cancel_at(c->handle, "its bag was closed", COOP_NEVER, site);
	return 0;
}

int coop_bag_aclose_at(struct coop_bag name, const char *site)
{
	struct coop_scope_opts opts = { .shield = true };
	struct coop_scope s = COOP_SCOPE_INIT;
	struct coop_error *err;
	int r;

	if (!cp_in_task())
		return cp_no_task();
	r = coop_bag_close_at(name, site);
	if (r < 0)
		return r;
	err = cp_err_slot_aside(&cp_rt->body->err);
	r = coop_scope_open_at(&s, &opts, site);
	if (r >= 0)
		r = coop_bag_until_done(name);
	r = coop_scope_close(&s, r);
	cp_err_slot_back(&cp_rt->body->err, err);
	return r;
}

static void log_suppressed(const struct coop_error *err)
{
	struct coop_error_info i;
	char code[48];

	coop_error_describe(err, &i);
	coop_log(COOP_LOG_WARN, "Suppressed exception: %s: %s \"%s\" (%s:%d)", i.task,
		 coop_code_name(i.code, code, sizeof code), i.message, i.file, i.line);
}

/* The child's error that is raised where the body was well: the first, or the first fatal one. */
static uint32_t first_member(const struct coop_error *all, uint32_t members)
{
	for (uint32_t i = 0; i < members; i++)
		if (coop_is_fatal(coop_error_code(coop_error_member(all, i))))
			return i;
	return 0;
}

/* Logs what the group's error holds, save the one that is returned (NULL if `body` failed). */
static struct coop_error *sort_out(struct coop_error *all, bool body)
{
	struct coop_error *first = NULL;
	struct coop_error_info i;
	uint32_t n;

	if (!all)
		return NULL;
	coop_error_describe(all, &i);
	n = first_member(all, i.members);
	if (!body)
		first = coop_error_ref(coop_error_member(all, n));
	for (uint32_t k = 0; k < i.members; k++)
		if (body || k != n)
			log_suppressed(coop_error_member(all, k));
	coop_error_unref(all);
	return first;
}

int coop_bag_leave(struct coop_bag name, int rc)
{
	struct bag *bag = find(name);
	struct coop_error *mine, *first;
	int r;

	if (!cp_in_task())
		return cp_no_task();
	if (!bag)
		return -EBADF;
	if (bag->state == FRESH || bag->state == LEFT)
		return bag->state == LEFT ? COOP_ECLOSED : COOP_ENOTOPEN;
	if (bag->group._scope._task != cp_rt->cur)
		return COOP_EWRONGTASK;
	bag->state = CLOSED;
	mine = bag->whole_error ? NULL : coop_error_take(rc);
	coop_group_cancel_at(&bag->group, "its bag was left", COOP_NEVER, bag->site);
	r = coop_group_join(&bag->group, mine ? 0 : rc);
	bag->state = LEFT;
	if (bag->whole_error)
		return r;
	if (rc == COOP_ECANCELED && !coop_cancelled())
		rc = 0; /* a child had cancelled the bag: that is over */
	first = sort_out(coop_error_take(r), rc < 0);
	if (mine)
		return coop_error_raise(mine);
	if (first)
		return coop_error_raise(first);
	return r == COOP_ECANCELED ? r : rc;
}
