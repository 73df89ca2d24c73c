/* SPDX-License-Identifier: MIT */
/*
 * Task-local variables: a counted list of bindings, newest first.
 *
 * A list never changes once it is shared: a child takes the head that its spawner has
 * at that moment, and later bindings of either go before it, in a list of its own.
 */
#include "core/core.h"

#include <errno.h>

__thread const struct cp_local *cp_thread_locals;

struct cp_local *cp_local_ref(struct cp_local *local)
{
	if (local)
		local->refs++;
	return local;
}

void cp_local_unref(struct cp_local *local)
{
	while (local && --local->refs == 0) {
		struct cp_local *next = local->next;

		cp_free(local);
		local = next;
	}
}

int cp_local_copy(const struct cp_local *local, struct cp_local **ret_copy)
{
	struct cp_local *copy = NULL, **at = &copy;

	for (; local; local = local->next, at = &(*at)->next) {
		*at = cp_alloc(sizeof **at);
		if (!*at) {
			cp_local_unref(copy);
			return -ENOMEM;
		}
		**at = (struct cp_local){ .key = local->key, .value = local->value, .refs = 1 };
	}
	*ret_copy = copy;
	return 0;
}

static struct cp_local *find(const struct cp_local *at, const struct coop_local *key)
{
	while (at && at->key != key)
		at = at->next;
	return (struct cp_local *)(uintptr_t)at;
}

/* A new head before `*list`; the list's reference moves into it. */
static int push(struct cp_local **list, const struct coop_local *key, void *value)
{
	struct cp_local *local = cp_alloc(sizeof *local);

	if (!local)
		return -ENOMEM;
	local->key = key;
	local->value = value;
	local->refs = 1;
	local->next = *list;
	*list = local;
	return 0;
}

int coop_local_set(const struct coop_local *key, void *value)
{
	struct cp_rt *rt = cp_in_task();
	struct cp_local *had, *under = NULL;
	int r;

	if (!rt)
		return cp_no_task();
	if (!key)
		return -EINVAL;
	had = rt->body->locals;
	if (had && had->key == key && had->refs == 1) { /* seen by nobody else */
		had->value = value;
		return 0;
	}
	if (!had || had->key != key)
		return push(&rt->body->locals, key, value);
	r = push(&under, key, value); /* in its place: it would never be seen again */
	if (r < 0)
		return r;
	under->next = cp_local_ref(had->next);
	rt->body->locals = under;
	cp_local_unref(had);
	return 0;
}

void *coop_local_get(const struct coop_local *key)
{
	struct cp_rt *rt = cp_in_task();
	const struct cp_local *found = find(rt ? rt->body->locals : cp_thread_locals, key);

	return found ? found->value : NULL;
}

int coop_local_with(const struct coop_local *key, void *value, coop_fn *fn, void *arg)
{
	struct cp_rt *rt = cp_in_task();
	struct cp_local *before;
	int r;

	if (!rt)
		return cp_no_task();
	if (!key || !fn)
		return -EINVAL;
	before = cp_local_ref(rt->body->locals);
	r = push(&rt->body->locals, key, value);
	if (r < 0) {
		cp_local_unref(before);
		return r;
	}
	r = fn(arg);
	cp_local_unref(rt->body->locals);
	rt->body->locals = before;
	return r;
}

int coop_run_local_set(const struct coop_local *key, void *value)
{
	struct cp_rt *rt = cp_in_task();
	struct cp_local *had;

	if (!rt)
		return cp_no_task();
	if (!key)
		return -EINVAL;
	had = find(rt->run_locals, key);
	if (had) {
		had->value = value;
		return 0;
	}
	return push(&rt->run_locals, key, value);
}

void *coop_run_local_get(const struct coop_local *key)
{
	struct cp_rt *rt = cp_in_task();
	struct cp_local *found = rt ? find(rt->run_locals, key) : NULL;

	return found ? found->value : NULL;
}
