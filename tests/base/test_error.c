/* SPDX-License-Identifier: MIT */
/* Codes and their words; objects in the slot: made, wrapped, traced, taken, forgotten. */
#include "error_help.h"
#include "test.h"

#include <coop/log.h>
#include <pthread.h>

/* ---- codes */

TEST(code_layout)
{
	CHECK_INT(COOP_CODE(16, 22), ==, -(16 << 16 | 22));
	CHECK(coop_is_fatal(COOP_EINTERRUPT));
	CHECK(coop_is_fatal(COOP_EEXIT(3)));
	CHECK(coop_is_fatal(COOP_CODE_FATAL(16, 1)));
	CHECK(!coop_is_fatal(COOP_ECANCELED));
	CHECK(!coop_is_fatal(COOP_CODE(COOP_DOMAIN_MAX, 0xffff)));
	CHECK(!coop_is_fatal(-EIO));
	CHECK(!coop_is_fatal(COOP_CODE_FATAL_BIT));
	CHECK(coop_is_cancel(COOP_ECANCELED));
	/* The kernel's word for it is an error like any other. */
	CHECK(!coop_is_cancel(-ECANCELED));
	PROVES(B69);
	CHECK(coop_is_timeout(COOP_ETIMEDOUT));
	CHECK(coop_is_timeout(-ETIMEDOUT));
	CHECK(!coop_is_cancel(COOP_ETIMEDOUT));
}

TEST(code_names)
{
	static const struct {
		int code;
		const char *name;
	} cases[] = {
		{ -EIO, "EIO" },
		{ -EAGAIN, "EAGAIN" },
		{ -ECANCELED, "ECANCELED" },
		{ -999, "errno 999" },
		{ COOP_ETIMEDOUT, "COOP_ETIMEDOUT" },
		{ COOP_ECANCELED, "COOP_ECANCELED" },
		{ COOP_EEXIT(3), "COOP_EEXIT(3)" },
		{ COOP_EEXIT(0), "COOP_EEXIT(0)" },
		{ COOP_EEXIT(255), "COOP_EEXIT(255)" },
		{ COOP_CODE(COOP_DOMAIN_COOP, 999), "coop:999" },
		{ COOP_CODE(77, 5), "domain 77:5" },
		{ COOP_CODE_FATAL(77, 5), "domain 77:5" },
		{ 0, "0" },
		{ 12, "12" },
		{ INT32_MIN, "errno 0" },
	};
	char name[64];

	for (size_t i = 0; i < CP_ARRAY_LEN(cases); i++)
		CHECK_STR(coop_code_name(cases[i].code, name, sizeof name), cases[i].name);
}

/* The table of names is our own: the C library must agree where it has one. */
TEST(code_names_of_errno_agree_with_libc)
{
#if defined(__GLIBC__) && __GLIBC_PREREQ(2, 32)
	char name[64];
	int known = 0;

	for (int e = 1; e < 200; e++) {
		const char *theirs = strerrorname_np(e);

		coop_code_name(-e, name, sizeof name);
		if (theirs && strcmp(theirs, "ENOTSUP") != 0)
			CHECK_STR(name, theirs);
		known += theirs != NULL;
	}
	CHECK_INT(known, >, 120);
#else
	SKIP("this C library has no strerrorname_np");
#endif
}

TEST(code_name_is_cut_to_the_buffer)
{
	char buf[8] = "xxxxxxx", none = 'x';

	CHECK_STR(coop_code_name(COOP_ETIMEDOUT, buf, sizeof buf), "COOP_ET");
	CHECK(coop_code_name(COOP_ETIMEDOUT, &none, 0) == &none);
	CHECK_INT(none, ==, 'x');
	CHECK_STR(coop_code_name(-EIO, buf, 1), "");
}

TEST(code_texts)
{
	CHECK_STR(coop_code_text(COOP_ETIMEDOUT), "the time limit was reached");
	CHECK_STR(coop_code_text(-ENOENT), "No such file or directory");
	CHECK(coop_code_text(-999) != NULL);
	CHECK(coop_code_text(COOP_CODE(77, 5)) != NULL);
	CHECK(coop_code_text(COOP_CODE(COOP_DOMAIN_COOP, 999)) != NULL);
	CHECK(coop_code_text(COOP_EEXIT(4)) != NULL);
	CHECK_STR(coop_code_text(0), "no error");
}

static const char *app_text(int number)
{
	return number == 22 ? "out of cheese" : NULL;
}

TEST(domains)
{
	static char names[70][8];
	char name[64];
	int r = 0;

	CHECK_INT(coop_domain_register(APP, "app", app_text), ==, 0);
	CHECK_STR(coop_code_name(APP_CODE(22), name, sizeof name), "app:22");
	CHECK_STR(coop_code_text(APP_CODE(22)), "out of cheese");
	CHECK(coop_code_text(APP_CODE(23)) != NULL);
	CHECK_INT(coop_domain_register(APP, "other", NULL), ==, -EEXIST);
	CHECK_INT(coop_domain_register(APP + 1, "app", NULL), ==, -EEXIST);
	CHECK_INT(coop_domain_register(APP + 1, "coop", NULL), ==, -EEXIST);
	CHECK_INT(coop_domain_register(APP + 1, "", NULL), ==, -EINVAL);
	CHECK_INT(coop_domain_register(APP + 1, NULL, NULL), ==, -EINVAL);
	CHECK_INT(coop_domain_register(COOP_DOMAIN_COOP, "x", NULL), ==, -EINVAL);
	CHECK_INT(coop_domain_register(COOP_DOMAIN_USER - 1, "x", NULL), ==, -EINVAL);
	CHECK_INT(coop_domain_register(COOP_DOMAIN_MAX + 1, "x", NULL), ==, -EINVAL);
	CHECK_INT(coop_domain_register(COOP_DOMAIN_MAX, "top", NULL), ==, 0);
	CHECK_STR(coop_code_name(COOP_CODE(COOP_DOMAIN_MAX, 0xffff), name, sizeof name),
		  "top:65535");
	CHECK(coop_code_text(COOP_CODE(COOP_DOMAIN_MAX, 1)) != NULL);
	for (int i = 0; i < 62 && r == 0; i++) {
		sprintf(names[i], "d%d", i);
		r = coop_domain_register(100 + i, names[i], NULL);
	}
	CHECK_INT(r, ==, 0);
	CHECK_INT(coop_domain_register(3000, "one too many", NULL), ==, -ENOSPC);
}

/* ---- the slot */

static struct coop_error_info info_of(const struct coop_error *error)
{
	struct coop_error_info info;

	coop_error_describe(error, &info);
	return info;
}

TEST(fail_leaves_an_object_in_the_slot)
{
	struct coop_error_info info;
	struct coop_error *error;
	int line = __LINE__ + 1;
	int r = coop_fail(-EIO, "reading %s", "x.txt");

	CHECK_INT(r, ==, -EIO);
	error = coop_error_take(r);
	info = info_of(error);
	CHECK_INT(info.code, ==, -EIO);
	CHECK_INT(info.kind, ==, COOP_ERROR_LEAF);
	CHECK_STR(info.message, "reading x.txt");
	CHECK(strstr(info.file, "test_error.c") != NULL);
	CHECK_INT(info.line, ==, line);
	CHECK_STR(info.func, __func__);
	CHECK_STR(info.task, "");
	CHECK(!info.truncated && !info.during_cancel && !info.cause);
	CHECK(coop_error_unref(error) == NULL);
	/* It is gone: what is taken now is a plain one. */
	error = coop_error_take(r);
	CHECK_STR(info_of(error).file, "");
	CHECK_STR(info_of(error).message, coop_code_text(-EIO));
	coop_error_unref(error);
	CHECK_INT(cp_os_faults.allocs_live, ==, 0);
}

TEST(object_of_another_code_is_stale)
{
	struct coop_error *error;
	int r = coop_fail(-EIO, "old");

	CHECK_INT(r, ==, -EIO);
	CHECK_STR(info_of(coop_error_peek(-EIO)).message, "old");
	error = coop_error_take(-EPROTO);
	CHECK_INT(coop_error_code(error), ==, -EPROTO);
	CHECK_STR(info_of(error).message, coop_code_text(-EPROTO));
	coop_error_unref(error);
	CHECK(*cp_err_thread_slot() == NULL);
	CHECK_INT(cp_os_faults.allocs_live, ==, 0);
}

TEST(newer_takes_the_place)
{
	int r = coop_fail(-EIO, "first");

	/* The message may quote the object it replaces. */
	r = coop_fail(-EIO, "second after %s", info_of(coop_error_peek(r)).message);
	CHECK_STR(info_of(coop_error_peek(r)).message, "second after first");
	coop_error_clear();
	CHECK_INT(cp_os_faults.allocs_live, ==, 0);
}

TEST(cancelled_has_no_object)
{
	int r = coop_fail(-EIO, "kept");

	r = coop_fail(COOP_ECANCELED, "never seen");
	CHECK_INT(r, ==, COOP_ECANCELED);
	CHECK(coop_error_take(COOP_ECANCELED) == NULL);
	CHECK(coop_error_peek(COOP_ECANCELED) == NULL);
	CHECK_INT(COOP_AT(COOP_ECANCELED), ==, COOP_ECANCELED);
	CHECK_INT(coop_wrap(COOP_ECANCELED, -EIO, "no"), ==, COOP_ECANCELED);
	CHECK_STR(info_of(coop_error_peek(-EIO)).message, "kept");
	coop_error_clear();
}

TEST(success_has_no_object)
{
	int64_t calls = (int64_t)cp_os_faults.alloc_calls;

	CHECK(coop_error_take(0) == NULL);
	CHECK(coop_error_take(5) == NULL);
	CHECK(coop_error_peek(0) == NULL);
	CHECK_INT(COOP_AT(7), ==, 7);
	CHECK_INT(coop_error_raise(NULL), ==, 0);
	coop_error_clear();
	CHECK_INT(cp_os_faults.alloc_calls, ==, calls);
}

TEST(code_that_is_none_is_refused)
{
	CHECK_INT(coop_fail(0, "oops"), ==, -EINVAL);
	CHECK_STR(info_of(coop_error_peek(-EINVAL)).message, "oops");
	CHECK_INT(coop_wrap(-EIO, 3, "oops 2"), ==, -EINVAL);
	CHECK_STR(info_of(coop_error_peek(-EINVAL)).message, "oops 2");
	CHECK_INT(coop_wrap(-EIO, 0, "oops 3"), ==, -EINVAL);
	coop_error_clear();
}

TEST(wrap_keeps_the_cause)
{
	int r = coop_fail(-ECONNRESET, "recv");
	struct coop_error_info info, inner;

	r = coop_wrap(r, -EPROTO, "greeting of %s", "peer");
	CHECK_INT(r, ==, -EPROTO);
	info = info_of(coop_error_peek(r));
	CHECK_INT(info.kind, ==, COOP_ERROR_WRAP);
	CHECK_STR(info.message, "greeting of peer");
	inner = info_of(info.cause);
	CHECK_INT(inner.code, ==, -ECONNRESET);
	CHECK_STR(inner.message, "recv");
	PROVES(B65);
	coop_error_clear();
	/* A bare code gets a plain cause. */
	r = coop_wrap(-ENOENT, -EPROTO, "no config");
	CHECK_INT(coop_error_code(info_of(coop_error_peek(r)).cause), ==, -ENOENT);
	coop_error_clear();
	/* Nothing travelled: nothing is the cause. */
	r = coop_wrap(0, -EPROTO, "from nowhere");
	CHECK_INT(info_of(coop_error_peek(r)).kind, ==, COOP_ERROR_LEAF);
	coop_error_clear();
	CHECK_INT(cp_os_faults.allocs_live, ==, 0);
}

TEST(errno_survives)
{
	int r;

	errno = ENOENT;
	r = coop_fail(-EIO, "open: %m");
	CHECK_INT(errno, ==, ENOENT);
	CHECK_STR(info_of(coop_error_peek(r)).message, "open: No such file or directory");
	errno = EPERM;
	r = coop_wrap(r, -EPROTO, "%m");
	CHECK_INT(errno, ==, EPERM);
	CHECK_STR(info_of(coop_error_peek(r)).message, "Operation not permitted");
	r = COOP_AT(r);
	coop_error_unref(coop_error_take(r));
	coop_error_clear();
	CHECK_INT(errno, ==, EPERM);
}

TEST(messages)
{
	static char big[10000];
	struct coop_error_info info;
	int r;

	memset(big, 'a', sizeof big - 1);
	r = coop_fail(-EIO, "%s", big);
	info = info_of(coop_error_peek(r));
	CHECK_INT(strlen(info.message), ==, 4096);
	CHECK(info.truncated);
	/* It is cut between two characters. */
	memcpy(big + 4094, "\xe2\x82\xac", 3);
	r = coop_fail(-EIO, "%s", big);
	info = info_of(coop_error_peek(r));
	CHECK_INT(strlen(info.message), ==, 4094);
	r = coop_fail(-EIO, "%s", "");
	CHECK_STR(info_of(coop_error_peek(r)).message, coop_code_text(-EIO));
	r = coop_fail_at(-EIO, "f.c", 1, "f", NULL);
	CHECK_STR(info_of(coop_error_peek(r)).message, coop_code_text(-EIO));
	/* A format that cannot be followed is the message itself. */
	r = coop_fail(-EIO, "%ls", L"\xdc00");
	info = info_of(coop_error_peek(r));
	CHECK_STR(info.message, "%ls");
	CHECK(info.truncated);
	coop_error_clear();
}

static int through(int r, int times)
{
	while (times-- > 0)
		r = COOP_AT(r);
	return r;
}

TEST(trace_keeps_eight_places)
{
	char *text;
	int r = coop_fail(-EIO, "x");
	int seen = 0;

	r = through(r, 11);
	text = printed(coop_error_peek(r), 0);
	for (const char *s = text; (s = strstr(s, "via:")); s++)
		seen++;
	CHECK_INT(seen, ==, 9);
	CHECK_HAS(text, "via:  ... 3 more\n");
	free(text);
	coop_error_clear();
}

TEST(trace_of_a_bare_code_is_its_place)
{
	int r = COOP_AT(-EIO);
	struct coop_error_info info = info_of(coop_error_peek(r));
	char *text;

	CHECK(strstr(info.file, "test_error.c") != NULL);
	r = COOP_AT_NOTE(r, "in passing");
	text = printed(coop_error_peek(r), 0);
	CHECK_HAS(text, "(in passing)");
	free(text);
	/* What is in the slot for another code is stale. */
	r = COOP_AT_NOTE(-EPROTO, "only note");
	text = printed(coop_error_peek(r), 0);
	CHECK_HAS(text, "EPROTO");
	CHECK_HAS(text, "(only note)");
	free(text);
	coop_error_clear();
	CHECK_INT(cp_os_faults.allocs_live, ==, 0);
}

/* Who keeps an object must not see it change. */
TEST(trace_leaves_a_shared_object_alone)
{
	int r = coop_fail(-EIO, "x");
	struct coop_error *mine = coop_error_ref(coop_error_peek(r));
	char *before = printed(mine, 0), *after;

	r = COOP_AT(r);
	CHECK_INT(r, ==, -EIO);
	after = printed(mine, 0);
	CHECK_STR(before, after);
	free(before);
	free(after);
	coop_error_unref(mine);
	coop_error_clear();
	CHECK_INT(cp_os_faults.allocs_live, ==, 0);
}

TEST(peek_leaves_it_and_raise_puts_it_back)
{
	const struct coop_error *seen = coop_error_peek(-EIO);
	struct coop_error *error;

	CHECK(seen && seen == coop_error_peek(-EIO));
	error = coop_error_take(-EIO);
	CHECK(error == seen);
	CHECK_INT(coop_error_raise(error), ==, -EIO);
	CHECK(coop_error_peek(-EIO) == error);
	coop_error_clear();
	CHECK_INT(cp_os_faults.allocs_live, ==, 0);
}

TEST(claim_empties_the_slot)
{
	struct coop_error *slot = leaf(-EIO), *old = slot;

	CHECK(cp_err_claim(&slot, -EIO, "c.c", 1, "f", "p", 0, false) == old);
	CHECK(slot == NULL);
	slot = old;
	old = cp_err_claim(&slot, -EPIPE, "c.c", 9, "f", "p/q", 5, true);
	CHECK(slot == NULL);
	CHECK_INT(coop_error_code(old), ==, -EPIPE);
	CHECK_STR(info_of(old).task, "p/q");
	CHECK_INT(info_of(old).line, ==, 9);
	CHECK(info_of(old).during_cancel);
	slot = old;
	CHECK(cp_err_claim(&slot, COOP_ECANCELED, "c.c", 1, "f", "p", 0, false) == NULL);
	CHECK(slot == NULL);
	CHECK(cp_err_claim(&slot, 0, "c.c", 1, "f", "p", 0, false) == NULL);
	CHECK_INT(cp_os_faults.allocs_live, ==, 0);
}

static struct coop_error *hook_slot;

static bool hook(struct cp_err_here *here, bool want_path)
{
	here->slot = &hook_slot;
	here->when_ns = 42;
	here->during_cancel = true;
	here->path[0] = '\0';
	if (want_path)
		strcpy(here->path, "main/hooked");
	return true;
}

TEST(objects_learn_where_they_are)
{
	struct coop_error_info info;
	int r;

	cp_err_locate = hook;
	r = coop_fail(-EIO, "x");
	CHECK(*cp_err_thread_slot() == NULL);
	info = info_of(hook_slot);
	CHECK_STR(info.task, "main/hooked");
	CHECK_INT(info.when_ns, ==, 42);
	CHECK(info.during_cancel);
	coop_error_unref(coop_error_take(r));
	CHECK(hook_slot == NULL);
	/* A bare code, too. */
	info = info_of(coop_error_peek(-EPIPE));
	CHECK_STR(info.task, "main/hooked");
	coop_error_clear();
	CHECK_INT(cp_os_faults.allocs_live, ==, 0);
}

TEST(null_is_fine)
{
	struct coop_error_info info;

	coop_error_describe(NULL, &info);
	CHECK_STR(info.message, "");
	CHECK_INT(coop_error_code(NULL), ==, 0);
	CHECK(!coop_error_ref(NULL) && !coop_error_unref(NULL));
	CHECK(!coop_error_member(NULL, 0) && !coop_error_primary(NULL));
	CHECK(!coop_error_is(NULL, -EIO));
	CHECK(!coop_error_find(NULL, has_code, &(int){ -EIO }));
	CHECK_INT(coop_error_leaves(NULL, leaf_name, NULL), ==, 0);
	CHECK(!cp_err_cancel_pending(NULL));
	CHECK(!cp_err_caught(NULL));
}

/* ---- handling one error of several is said aloud */

struct records {
	int count;
	char text[1100];
};

static void record(enum coop_log_level level, const char *text, void *ctx)
{
	struct records *records = ctx;

	if (level != COOP_LOG_WARN)
		return;
	records->count++;
	strcpy(records->text, text);
}

static int raise_three(void)
{
	return coop_error_raise(GROUP("pages", leaf_at(-EIO, "one", "../a.c", 1),
				      leaf_at(-EPROTO, "two", "../b.c", 2),
				      GROUP("in", leaf_at(-EPIPE, "three", "c.c", 3))));
}

TEST(clearing_unread_errors_warns_once)
{
	struct records records = { 0 };
	int r;

	coop_log_set(record, &records, COOP_LOG_WARN);
	r = raise_three();
	CHECK_INT(r, ==, -EIO);
	CHECK_STR(info_of(coop_error_primary(coop_error_peek(r))).message, "one");
	coop_error_clear();
	CHECK_INT(records.count, ==, 1);
	CHECK_STR(records.text, "group \"pages\": 3 errors cleared, not looked at: "
				"EPROTO \"two\" (b.c:2), EPIPE \"three\" (c.c:3)");
	coop_error_clear();
	CHECK_INT(records.count, ==, 1);
	PROVES(B52);
	CHECK_INT(cp_os_faults.allocs_live, ==, 0);
}

TEST(clearing_names_errors_and_not_their_causes)
{
	struct records records = { 0 };

	coop_log_set(record, &records, COOP_LOG_WARN);
	CHECK_INT(coop_error_raise(GROUP("g", wrap(-EPROTO, leaf(-EIO)), wrap(-EPIPE, leaf(-EIO)))),
		  ==, -EPROTO);
	coop_error_clear();
	CHECK_STR(records.text, "group \"g\": 2 errors cleared, not looked at: "
				"EPIPE \"wrapped\" (wrap.c:5)");
}

TEST(clearing_many_unread_errors_is_one_line)
{
	struct coop_error *many[40];
	struct records records = { 0 };

	coop_log_set(record, &records, COOP_LOG_WARN);
	for (int i = 0; i < 40; i++)
		many[i] = leaf_at(-EIO,
				  "a message that is meant to be so long that the line "
				  "is full before all that may be named has been named",
				  "some/where/file.c", 100 + i);
	CHECK_INT(coop_error_raise(group_of("many", many, 40)), ==, -EIO);
	coop_error_clear();
	CHECK_INT(records.count, ==, 1);
	CHECK_HAS(records.text, "40 errors cleared");
	CHECK_HAS(records.text, " and 31 more");
	CHECK_HAS(records.text, "(some/where/file.c:101), EIO \"a message");
	CHECK_HAS(records.text, "(some/where/file.c:102), EIO \"a message");
}

static int nothing(const struct coop_error *error, void *ctx)
{
	(void)error;
	(void)ctx;
	return 0;
}

static void look(const struct coop_error *error, int way)
{
	struct coop_error *a, *b;
	char *text = NULL;

	switch (way) {
	case 0: info_of(error); break;
	case 1: CHECK(coop_error_member(error, 1) != NULL); break;
	case 2: CHECK_INT(coop_error_leaves(error, nothing, NULL), ==, 0); break;
	case 3: CHECK(!coop_error_find(error, has_code, &(int){ -1 })); break;
	case 4: text = printed(error, 0); break;
	case 5: text = json_of(error); break;
	case 6:
		CHECK_INT(coop_error_split(error, has_code, &(int){ -EIO }, &a, &b), ==, 0);
		coop_error_unref(a);
		coop_error_unref(b);
		break;
	}
	free(text);
}

TEST(clearing_what_was_looked_at_is_silent)
{
	struct records records = { 0 };

	coop_log_set(record, &records, COOP_LOG_WARN);
	for (int way = 0; way < 7; way++) {
		look(coop_error_peek(raise_three()), way);
		coop_error_clear();
		CHECK_INT(records.count, ==, 0);
	}
	/* One error is not several. */
	CHECK_INT(coop_error_raise(GROUP("g", leaf(-EIO))), ==, -EIO);
	coop_error_clear();
	CHECK_INT(coop_fail(-EIO, "x"), ==, -EIO);
	coop_error_clear();
	CHECK_INT(records.count, ==, 0);
	/* The runtime looking is not the user looking. */
	{
		struct coop_error_info info;

		cp_err_describe(coop_error_peek(raise_three()), &info);
		coop_error_clear();
		CHECK_INT(records.count, ==, 1);
	}
}

TEST(clearing_below_the_log_level_is_silent)
{
	struct records records = { 0 };

	coop_log_set(record, &records, COOP_LOG_ERROR);
	CHECK_INT(raise_three(), ==, -EIO);
	coop_error_clear();
	CHECK_INT(records.count, ==, 0);
}

/* ---- threads */

static void *fail_in_thread(void *unused)
{
	(void)unused;
	return coop_fail(-EIO, "left behind") == -EIO ? NULL : &hook_slot;
}

/* Each thread has its slot, and it goes with the thread. */
TEST(slot_of_a_thread_ends_with_it)
{
	pthread_t thread;
	void *result;
	int r = coop_fail(-EPROTO, "mine");

	CHECK_INT(pthread_create(&thread, NULL, fail_in_thread, NULL), ==, 0);
	CHECK_INT(pthread_join(thread, &result), ==, 0);
	CHECK(result == NULL);
	CHECK_STR(info_of(coop_error_peek(r)).message, "mine");
	coop_error_clear();
	CHECK_INT(cp_os_faults.allocs_live, ==, 0);
}

static void *read_and_drop(void *arg)
{
	struct coop_error *error = arg, *a, *b;
	int wanted = -EPROTO;

	for (int i = 0; i < 200; i++) {
		struct coop_error *mine = coop_error_ref(error);
		char *text = printed(mine, 0);

		if (!coop_error_is(mine, wanted) || !strstr(text, "two") ||
		    coop_error_split(mine, has_code, &wanted, &a, &b) != 0)
			abort();
		free(text);
		coop_error_unref(a);
		coop_error_unref(mine);
		coop_error_unref(b);
	}
	coop_error_unref(error);
	return NULL;
}

TEST(threads_share_an_object)
{
	struct coop_error *error;
	pthread_t threads[4];

	error = coop_error_take(raise_three());
	for (int i = 0; i < 4; i++)
		CHECK_INT(pthread_create(&threads[i], NULL, read_and_drop, coop_error_ref(error)),
			  ==, 0);
	coop_error_unref(error);
	for (int i = 0; i < 4; i++)
		CHECK_INT(pthread_join(threads[i], NULL), ==, 0);
	CHECK_INT(cp_os_faults.allocs_live, ==, 0);
}

static void *register_domains(void *arg)
{
	static char names[4][10][8];
	int me = (int)(intptr_t)arg;
	char name[32];

	for (int i = 0; i < 10; i++) {
		sprintf(names[me][i], "t%d-%d", me, i);
		if (coop_domain_register(1000 + me * 10 + i, names[me][i], app_text) != 0)
			abort();
		coop_code_name(COOP_CODE(1000 + i, 1), name, sizeof name);
		if (strcmp(coop_code_name(COOP_CODE(1000 + me * 10, 5), name, sizeof name),
			   me == 0 ? "t0-0:5" : name) != 0)
			abort();
	}
	return NULL;
}

TEST(threads_register_domains)
{
	pthread_t threads[4];
	char name[32];

	for (int i = 0; i < 4; i++)
		CHECK_INT(pthread_create(&threads[i], NULL, register_domains, (void *)(intptr_t)i),
			  ==, 0);
	for (int i = 0; i < 4; i++)
		CHECK_INT(pthread_join(threads[i], NULL), ==, 0);
	CHECK_STR(coop_code_name(COOP_CODE(1039, 5), name, sizeof name), "t3-9:5");
}
