/* SPDX-License-Identifier: MIT */
/*
 * Objects for when there is no memory: the reserve, and the immortals.
 *
 * The reserve is one block of 64 objects, made when the first run starts and
 * given back when the last run has ended and the last of its objects is freed,
 * whichever comes later. Pages of it that were never needed are never touched.
 *
 * An immortal is a static object that stands for a code and says no more. It
 * is made the first time its code finds the reserve empty, and stays. There
 * is room for CP_ERR_IMMORTALS codes; a program that fails in more ways
 * without memory gets -ENOMEM for the others, or COOP_EINTERNAL if they are of
 * the fatal class: those two are made beforehand.
 *
 * One lock guards both: nobody comes here while there is memory. Under it nothing is called, so
 * that a fork can take it (forks.h).
 */
#include "base/err_impl.h"
#include "base/forks.h"
#include "base/os.h"

#include <pthread.h>
#include <string.h>

#define CP_ERR_RESERVE_COUNT 64
#define CP_ERR_IMMORTALS 128

struct cp_err_reserved {
	struct coop_error error;
	struct cp_err_place trace[CP_ERR_TRACE_MAX];
	struct coop_error *kids[CP_ERR_RESERVE_KIDS];
	char text[CP_ERR_RESERVE_TEXT];
};

struct cp_err_immortal {
	struct coop_error leaf;
	struct coop_error group; /* its one member is the leaf */
	struct coop_error *member;
};

static pthread_mutex_t cp_err_lock = PTHREAD_MUTEX_INITIALIZER;
static struct cp_forked cp_err_forked = { .lock = &cp_err_lock };
CP_FORKED(cp_err_forked)

static struct {
	struct cp_err_reserved *block;
	struct coop_error *free; /* those that came back */
	uint32_t fresh;          /* from here on the block was never used */
	uint32_t out;            /* objects that are somewhere */
	uint32_t opens;
} cp_err_reserve;

static struct cp_err_immortal cp_err_immortals[CP_ERR_IMMORTALS + 2];
static uint32_t cp_err_immortals_count;

/* ---- the reserve */

/* One more has it open: the block in use, `block` where there was none; NULL: there is none. */
static struct cp_err_reserved *cp_err_reserve_join(struct cp_err_reserved *block)
{
	pthread_mutex_lock(&cp_err_lock);
	if (!cp_err_reserve.block) {
		cp_err_reserve.block = block;
		cp_err_reserve.free = NULL;
		cp_err_reserve.fresh = 0;
	}
	block = cp_err_reserve.block;
	if (block)
		cp_err_reserve.opens++;
	pthread_mutex_unlock(&cp_err_lock);
	return block;
}

int cp_err_reserve_open(void)
{
	struct cp_err_reserved *block;

	if (cp_err_reserve_join(NULL))
		return 0;
	block = cp_alloc(CP_ERR_RESERVE_COUNT * sizeof *block);
	if (!block)
		return -ENOMEM;
	if (cp_err_reserve_join(block) != block)
		cp_free(block); /* another thread was faster */
	return 0;
}

/* With the lock held: the block, to be freed, once nobody can come for it or with it. */
static struct cp_err_reserved *cp_err_reserve_settle(void)
{
	struct cp_err_reserved *block = cp_err_reserve.block;

	if (cp_err_reserve.opens > 0 || cp_err_reserve.out > 0)
		return NULL;
	cp_err_reserve.block = NULL;
	return block;
}

void cp_err_reserve_close(void)
{
	struct cp_err_reserved *gone;

	pthread_mutex_lock(&cp_err_lock);
	CP_ASSERT(cp_err_reserve.opens > 0);
	cp_err_reserve.opens--;
	gone = cp_err_reserve_settle();
	pthread_mutex_unlock(&cp_err_lock);
	cp_free(gone);
}

static struct coop_error *cp_err_reserve_pick(void)
{
	struct coop_error *error = cp_err_reserve.free;

	if (error) {
		cp_err_reserve.free = error->next;
	} else if (cp_err_reserve.fresh < CP_ERR_RESERVE_COUNT) {
		struct cp_err_reserved *it = &cp_err_reserve.block[cp_err_reserve.fresh++];

		error = &it->error;
		error->trace = it->trace;
		error->kids = it->kids;
	}
	return error;
}

struct coop_error *cp_err_reserve_get(void)
{
	struct coop_error *error = NULL;

	pthread_mutex_lock(&cp_err_lock);
	if (cp_err_reserve.opens > 0)
		error = cp_err_reserve_pick();
	if (error)
		cp_err_reserve.out++;
	pthread_mutex_unlock(&cp_err_lock);
	return error;
}

char *cp_err_reserve_text(struct coop_error *error)
{
	return CP_CONTAINER_OF(error, struct cp_err_reserved, error)->text;
}

void cp_err_reserve_put(struct coop_error *error)
{
	struct cp_err_reserved *gone;

	pthread_mutex_lock(&cp_err_lock);
	CP_ASSERT(cp_err_reserve.out > 0);
	error->next = cp_err_reserve.free;
	cp_err_reserve.free = error;
	cp_err_reserve.out--;
	gone = cp_err_reserve_settle();
	pthread_mutex_unlock(&cp_err_lock);
	cp_free(gone);
}

/* ---- the immortals */

static void cp_err_immortal_fill(struct coop_error *error, int code)
{
	atomic_init(&error->refs, 1);
	error->flags = CP_ERR_IMMORTAL | CP_ERR_TRUNCATED;
	error->code = code;
	error->file = error->func = error->task = error->name = "";
	error->nodes = error->leaves = error->depth = 1;
	error->primary = error;
}

static void cp_err_immortal_make(struct cp_err_immortal *it, int code, const char *text)
{
	cp_err_immortal_fill(&it->leaf, code);
	it->leaf.kind = COOP_ERROR_LEAF;
	it->leaf.message = text;

	cp_err_immortal_fill(&it->group, code);
	it->member = &it->leaf;
	it->group.kind = COOP_ERROR_GROUP;
	it->group.message = "unhandled errors in a group (no memory to keep them)";
	it->group.primary = &it->leaf;
	it->group.kids = &it->member;
	it->group.count = it->group.total = 1;
	it->group.nodes = it->group.depth = 2;
}

/* With the lock held; so `text` comes from the caller: to ask a domain for it calls the program. */
static struct cp_err_immortal *cp_err_immortal_find(int code, const char *text)
{
	struct cp_err_immortal *it = &cp_err_immortals[0];

	for (uint32_t i = 0; i < cp_err_immortals_count; i++, it++)
		if (it->leaf.code == code)
			return it;
	if (cp_err_immortals_count < CP_ERR_IMMORTALS) {
		cp_err_immortal_make(it, code, text);
		cp_err_immortals_count++;
		return it;
	}
	it = &cp_err_immortals[CP_ERR_IMMORTALS + (coop_is_fatal(code) ? 1 : 0)];
	code = coop_is_fatal(code) ? COOP_EINTERNAL : -ENOMEM;
	if (it->leaf.code == 0)
		cp_err_immortal_make(it, code, coop_code_text(code));
	return it;
}

struct coop_error *cp_err_immortal(enum coop_error_kind kind, int code)
{
	const char *text = coop_code_text(code);
	struct cp_err_immortal *it;

	pthread_mutex_lock(&cp_err_lock);
	it = cp_err_immortal_find(code, text);
	pthread_mutex_unlock(&cp_err_lock);
	return kind == COOP_ERROR_GROUP ? &it->group : &it->leaf;
}
