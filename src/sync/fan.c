/* SPDX-License-Identifier: MIT */
/* One value to many; the head is in fan.h. */
#include "sync/fan.h"

#include "sync/channel.h"
#include "sync/select.h"

#include <errno.h>
#include <limits.h>

/* ------------------------------------------------------------------ making, freeing */

static void fan_left(struct cp_debt *debt)
{
	struct cp_fan *f = CP_CONTAINER_OF(debt, struct cp_fan, debt);

	f->rt = NULL;
	coop_log(COOP_LOG_WARN, "%s \"%s\" made at %s was never freed", f->kind, f->name,
		 cp_at(f->site));
}

int cp_fan_new(size_t item_bytes, uint32_t cap, const char *name, const char *kind,
	       const char *site, struct cp_fan **ret_fan)
{
	struct cp_rt *rt = cp_in_task();
	uint64_t slots = 1;
	struct cp_fan *f;

	if (!rt)
		return cp_no_task();
	if (item_bytes > COOP_CHAN_ITEM_MAX)
		return -EMSGSIZE;
	if (cap > COOP_CHAN_CAP_MAX)
		return -EINVAL;
	while (slots < cap)
		slots *= 2;
	f = cp_calloc(1, sizeof *f);
	if (!f)
		return -ENOMEM;
	f->slots = item_bytes ? cp_alloc(slots * item_bytes) : NULL;
	if (item_bytes && !f->slots) {
		cp_free(f);
		return -ENOMEM;
	}
	f->rt = rt;
	f->bytes = item_bytes;
	f->mask = slots - 1;
	f->cap = cap;
	f->kind = kind;
	f->site = site;
	f->debt.left = fan_left;
	if (name)
		cp_copy_name(f->name, name);
	cp_debt_add(rt, &f->debt);
	*ret_fan = f;
	return 0;
}

static bool ours(const struct cp_fan *f)
{
	return !f->rt || f->rt == cp_rt;
}

int cp_fan_close(struct cp_fan *f)
{
	if (!ours(f))
		return COOP_EWRONGTHREAD;
	if (f->closed)
		return 1;
	f->closed = true;
	while (cp_select_wake(f->rt, &f->waiting, COOP_EOF))
		;
	return 0;
}

void cp_fan_free(struct cp_fan *f, const char *call)
{
	char path[160] = "";

	if (!f)
		return;
	if (f->waiting.first)
		cp_task_path(f->waiting.first->task, path, sizeof path);
	if (!ours(f) || f->waiting.first)
		cp_die("%s: %s \"%s\" made at %s %s%s", call, f->kind, f->name, cp_at(f->site),
		       ours(f) ? "is waited on by task " : "belongs to another thread", path);
	if (f->rt)
		cp_debt_drop(f->rt, &f->debt);
	cp_free(f->slots);
	cp_free(f);
}

/* ------------------------------------------------------------------------ the values */

static char *slot(const struct cp_fan *f, uint64_t number)
{
	return f->slots + (number & f->mask) * f->bytes;
}

static uint64_t *position_of(struct coop_case *c)
{
	return (uint64_t *)(uintptr_t)c->_reserved[0];
}

int cp_fan_send(struct cp_fan *f, const void *item)
{
	if (f->rt != cp_rt || !f->rt)
		return cp_in_task() ? COOP_EWRONGTHREAD : cp_no_task();
	if (f->closed)
		return COOP_ECLOSED;
	cp_item_copy(slot(f, f->sent), item, f->bytes);
	f->sent++;
	for (struct cp_waiter *e; (e = cp_select_take(&f->waiting));) {
		struct coop_case *c = cp_case_of(e);

		cp_item_copy(c->_item, item, f->bytes);
		*position_of(c) = f->sent;
		cp_waiter_wake(f->rt, e, 0);
	}
	return 0;
}

int cp_fan_recv_now(struct cp_fan *f, uint64_t *position, void *ret_item)
{
	uint64_t oldest = f->sent > f->cap ? f->sent - f->cap : 0, missed = 0;

	if (f->rt != cp_rt)
		return COOP_EWRONGTHREAD;
	if (*position >= f->sent) {
		if (*position > f->sent)
			return -EINVAL;
		return f->closed ? COOP_EOF : -EAGAIN;
	}
	if (*position < oldest) {
		missed = oldest - *position;
		*position = oldest;
		f->lost += missed;
	}
	cp_item_copy(ret_item, slot(f, *position), f->bytes);
	++*position;
	return missed > INT_MAX ? INT_MAX : (int)missed;
}

void cp_fan_copy_last(const struct cp_fan *f, void *ret_item)
{
	cp_item_copy(ret_item, slot(f, f->sent - 1), f->bytes);
}

uint32_t cp_fan_waiting(const struct cp_fan *f)
{
	uint32_t n = 0;

	for (const struct cp_waiter *e = f->waiting.first; e; e = e->next)
		n++;
	return n;
}

/* --------------------------------------------------------------------------- waiting */

struct wait {
	struct cp_wait wait;
	struct coop_case c;
};

static bool wait_abort(struct cp_wait *wait)
{
	cp_queue_remove(cp_case_entry(&CP_CONTAINER_OF(wait, struct wait, wait)->c));
	return true;
}

/* The fan may be gone when this returns. */
static int wait_for_next(struct cp_rt *rt, struct cp_fan *f, uint64_t *position, void *ret_item,
			 const char *what)
{
	struct wait w = { .wait = { .abort = wait_abort, .what = what },
			  .c = cp_fan_case(f, position, ret_item) };
	struct cp_waiter *e = cp_case_entry(&w.c);
	int r;

	e->task = rt->cur;
	cp_queue_append(&f->waiting, e);
	r = cp_park(rt, &w.wait);
	if (r == COOP_ECANCELED)
		cp_ignored(rt);
	return r;
}

int cp_fan_recv(struct cp_fan *f, uint64_t *position, void *ret_item, const char *what)
{
	struct cp_rt *rt = cp_in_task();
	int r;

	if (!rt)
		return cp_no_task();
	cp_check_frames(rt->body, __builtin_frame_address(0), what);
	r = cp_cancel_point(rt);
	if (r < 0)
		return r;
	r = cp_fan_recv_now(f, position, ret_item);
	if (r == -EAGAIN)
		return wait_for_next(rt, f, position, ret_item, what);
	cp_schedule_point(rt);
	return r;
}

static int fan_take(struct cp_rt *rt, struct coop_case *c)
{
	(void)rt;
	return cp_fan_recv_now(c->_on, position_of(c), c->_item);
}

static void fan_enlist(struct cp_rt *rt, struct coop_case *c)
{
	(void)rt;
	cp_queue_append(&((struct cp_fan *)c->_on)->waiting, cp_case_entry(c));
}

struct coop_case cp_fan_case(struct cp_fan *f, uint64_t *position, void *ret_item)
{
	static const struct cp_selectable ops = { .take = fan_take, .enlist = fan_enlist };
	struct coop_case c = cp_case(f ? &ops : &cp_select_never, f, ret_item);

	c._reserved[0] = (uintptr_t)position;
	return c;
}
