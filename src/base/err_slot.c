/* SPDX-License-Identifier: MIT */
/*
 * The slot, where the error object waits beside the code that travels.
 *
 * 1. There is one slot a task, and one a thread for what runs outside tasks.
 * 2. The object in it counts for the code it was made for, and for no other:
 *    whoever comes with another code drops it as stale.
 * 3. The slot is one owner of its object. A place is added to the return trace
 *    only while the slot is the only owner; then nobody else can be reading.
 * 4. Everything here leaves errno as it was, for the caller's own message.
 */
#include "base/err_impl.h"
#include "base/log.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

/* Errors that a warning about unread ones names. */
#define CP_ERR_UNREAD_MAX 8

bool (*cp_err_locate)(struct cp_err_here *here, bool want_path);

static _Thread_local struct coop_error *cp_err_thread_error;
static _Thread_local bool cp_err_thread_armed;
static pthread_key_t cp_err_thread_key;
static pthread_once_t cp_err_thread_once = PTHREAD_ONCE_INIT;
static bool cp_err_thread_key_made;

/* ---- slots */

static void cp_err_thread_end(void *unused)
{
	(void)unused;
	cp_err_thread_error = coop_error_unref(cp_err_thread_error);
	cp_err_thread_armed = false;
}

static void cp_err_thread_key_make(void)
{
	cp_err_thread_key_made = pthread_key_create(&cp_err_thread_key, cp_err_thread_end) == 0;
}

/* The key has no other use than to have what is left in the slot freed when the thread ends. */
struct coop_error **cp_err_thread_slot(void)
{
	if (CP_UNLIKELY(!cp_err_thread_armed)) {
		cp_err_thread_armed = true;
		pthread_once(&cp_err_thread_once, cp_err_thread_key_make);
		if (cp_err_thread_key_made)
			(void)pthread_setspecific(cp_err_thread_key, &cp_err_thread_error);
	}
	return &cp_err_thread_error;
}

/* Acquire pairs with the core's release when it sets the hook: its state is complete before. */
static void cp_err_find_here(struct cp_err_here *ret_here, bool want_path)
{
	bool (*locate)(struct cp_err_here *, bool) =
		__atomic_load_n(&cp_err_locate, __ATOMIC_ACQUIRE);

	ret_here->path[0] = '\0';
	if (locate && locate(ret_here, want_path))
		return;
	ret_here->slot = cp_err_thread_slot();
	ret_here->when_ns = 0;
	ret_here->during_cancel = false;
	ret_here->path[0] = '\0';
}

static void cp_err_slot_set(struct coop_error **slot, struct coop_error *error)
{
	struct coop_error *old = *slot;

	*slot = error;
	coop_error_unref(old);
}

void cp_err_slot_drop(struct coop_error **slot)
{
	cp_err_slot_set(slot, NULL);
}

struct coop_error *cp_err_slot_aside(struct coop_error **slot)
{
	struct coop_error *err = *slot;

	*slot = NULL;
	return err;
}

void cp_err_slot_back(struct coop_error **slot, struct coop_error *aside)
{
	if (*slot)
		coop_error_unref(aside);
	else
		*slot = aside;
}

/* True for a code that an object can be made for. */
static bool cp_err_has_object(int rc)
{
	return rc < 0 && rc != COOP_ECANCELED;
}

/*
 * True if the slot holds the object of this code. One that had no memory for
 * its own code (err_reserve.c) never matches, and is made again by who asks.
 */
static bool cp_err_slot_holds(struct coop_error *const *slot, int rc)
{
	return *slot && (*slot)->code == rc;
}

struct coop_error *cp_err_claim(struct coop_error **slot, int rc, const char *file, int line,
				const char *func, const char *path, int64_t when_ns,
				bool during_cancel)
{
	struct coop_error *error = *slot;

	if (cp_err_has_object(rc) && cp_err_slot_holds(slot, rc)) {
		*slot = NULL;
		return error;
	}
	cp_err_slot_drop(slot);
	if (!cp_err_has_object(rc))
		return NULL;
	return cp_err_new_leaf(rc, file, line, func, path, when_ns, during_cancel, NULL);
}

/* The object of `rc`, or a plain one made for where we are. */
static struct coop_error *cp_err_claim_here(struct cp_err_here *here, int rc, const char *file,
					    int line)
{
	if (!cp_err_slot_holds(here->slot, rc))
		cp_err_find_here(here, true);
	return cp_err_claim(here->slot, rc, file, line, "", here->path, here->when_ns,
			    here->during_cancel);
}

/* ---- making */

int coop_fail_at(int code, const char *file, int line, const char *func, const char *fmt, ...)
{
	struct cp_err_here here;
	struct coop_error *error;
	int saved = errno;
	va_list args;

	if (code == COOP_ECANCELED)
		return code;
	if (code >= 0)
		code = -EINVAL;
	cp_err_find_here(&here, true);
	va_start(args, fmt);
	errno = saved; /* for %m */
	error = cp_err_make(&(struct cp_err_make){
		.code = code,
		.file = file,
		.line = line,
		.func = func,
		.path = here.path,
		.when_ns = here.when_ns,
		.during_cancel = here.during_cancel,
		.fmt = fmt,
		.args = &args,
	});
	va_end(args);
	/* Not before: the message may quote the old object. */
	cp_err_slot_set(here.slot, error);
	errno = saved;
	return code;
}

int coop_wrap_at(int rc, int code, const char *file, int line, const char *func, const char *fmt,
		 ...)
{
	struct cp_err_here here;
	struct coop_error *cause, *error;
	int saved = errno;
	va_list args;

	if (rc == COOP_ECANCELED || code == COOP_ECANCELED)
		return COOP_ECANCELED;
	if (code >= 0)
		code = -EINVAL;
	cp_err_find_here(&here, true);
	cause = rc < 0 ? cp_err_claim_here(&here, rc, "", 0) : NULL;
	va_start(args, fmt);
	errno = saved;
	error = cp_err_make(&(struct cp_err_make){
		.code = code,
		.file = file,
		.line = line,
		.func = func,
		.path = here.path,
		.when_ns = here.when_ns,
		.during_cancel = here.during_cancel,
		.cause = cause,
		.fmt = fmt,
		.args = &args,
	});
	va_end(args);
	cp_err_slot_set(here.slot, error);
	errno = saved;
	return code;
}

/* Rule 3: nothing is added to what others may be reading. */
static void cp_err_trace_add(struct coop_error *error, const char *file, int line, const char *note)
{
	if (!error->trace || atomic_load_explicit(&error->refs, memory_order_acquire) != 1)
		return;
	if (error->trace_count == CP_ERR_TRACE_MAX) {
		error->trace_lost += error->trace_lost < UINT16_MAX;
		return;
	}
	error->trace[error->trace_count++] = (struct cp_err_place){ file, note, line };
}

/* The place where a bare code was first seen is where its object is from. */
static CP_COLD void cp_err_trace(int rc, const char *file, int line, const char *note)
{
	struct cp_err_here here;
	int saved = errno;
	bool bare;

	cp_err_find_here(&here, false);
	bare = !cp_err_slot_holds(here.slot, rc);
	if (bare)
		*here.slot = cp_err_claim_here(&here, rc, file, line);
	if (!bare || note)
		cp_err_trace_add(*here.slot, file, line, note);
	errno = saved;
}

int coop_trace_at(int rc, const char *file, int line, const char *note)
{
	if (CP_UNLIKELY(cp_err_has_object(rc)))
		cp_err_trace(rc, file, line, note);
	return rc;
}

/* ---- taking */

struct coop_error *coop_error_take(int rc)
{
	struct cp_err_here here;
	struct coop_error *error;
	int saved = errno;

	if (!cp_err_has_object(rc))
		return NULL;
	cp_err_find_here(&here, false);
	error = cp_err_claim_here(&here, rc, "", 0);
	errno = saved;
	return error;
}

const struct coop_error *coop_error_peek(int rc)
{
	struct cp_err_here here;
	int saved = errno;

	if (!cp_err_has_object(rc))
		return NULL;
	cp_err_find_here(&here, false);
	if (!cp_err_slot_holds(here.slot, rc))
		*here.slot = cp_err_claim_here(&here, rc, "", 0);
	errno = saved;
	return *here.slot;
}

int coop_error_raise(struct coop_error *error)
{
	struct cp_err_here here;
	int code = coop_error_code(error);
	int saved = errno;

	if (!error)
		return 0;
	cp_err_find_here(&here, false);
	cp_err_slot_set(here.slot, error);
	errno = saved;
	return code;
}

/* ---- forgetting */

struct cp_err_list {
	char text[CP_LOG_BYTES_MAX];
	size_t len;
	uint32_t count;
};

static void cp_err_list_add(struct cp_err_list *list, const struct coop_error *leaf)
{
	size_t left = sizeof list->text - list->len;
	char code[64], place[128] = "";
	int n;

	if (list->count++ >= CP_ERR_UNREAD_MAX)
		return;
	if (*leaf->file)
		snprintf(place, sizeof place, " (%s:%d)", cp_err_file(leaf->file), leaf->line);
	n = snprintf(list->text + list->len, left, "%s%s \"%.80s\"%s", list->len ? ", " : "",
		     coop_code_name(leaf->code, code, sizeof code), leaf->message, place);
	list->len += n < (int)left ? (size_t)n : left - 1;
}

/* Handling one error of several is easily a mistake, so it is said aloud, once, in one line. */
static CP_COLD void cp_err_warn_unread(const struct coop_error *error)
{
	struct cp_err_list list = { .text = "" };
	const struct coop_error *leaf;
	struct cp_err_walk walk;
	char more[32] = "";

	cp_err_walk_begin(&walk, error, false);
	while ((leaf = cp_err_walk_leaf(&walk)))
		if (leaf != error->primary)
			cp_err_list_add(&list, leaf);
	cp_err_walk_end(&walk);
	if (list.count > CP_ERR_UNREAD_MAX)
		snprintf(more, sizeof more, " and %u more", list.count - CP_ERR_UNREAD_MAX);
	coop_log(COOP_LOG_WARN, "group \"%s\": %u errors cleared, not looked at: %.700s%s",
		 error->name, error->total, list.text, more);
}

void coop_error_clear(void)
{
	struct cp_err_here here;
	struct coop_error *error;
	int saved = errno;

	cp_err_find_here(&here, false);
	error = *here.slot;
	*here.slot = NULL;
	if (error && error->leaves > 1 && cp_log_on(COOP_LOG_WARN) &&
	    !atomic_load_explicit(&error->seen, memory_order_relaxed))
		cp_err_warn_unread(error);
	coop_error_unref(error);
	errno = saved;
}
