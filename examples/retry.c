/* SPDX-License-Identifier: MIT */
/*
 * Retry with back-off: each attempt has a time limit, the pauses grow, and a cancel ends it
 * at once, for it is never retried.
 */
#include <coop.h>

#include <errno.h>
#include <stdio.h>

struct retry {
	coop_fn *fn;
	void *arg;
	int attempts_max;
	int64_t attempt_ns; /* the time limit of one */
	int64_t pause_ns;   /* doubles each time, up to */
	int64_t pause_max_ns;
};

static void tell(int attempt, int r, int64_t pause_ns)
{
	struct coop_error_info info;

	coop_error_describe(coop_error_peek(r), &info);
	printf("  attempt %d: %s; again in %d ms\n", attempt, coop_code_text(info.code),
	       (int)(pause_ns / 1000000));
	coop_error_clear();
}

static int retry(const struct retry *how)
{
	int64_t pause_ns = how->pause_ns;
	int r;

	for (int attempt = 1;; attempt++) {
		r = coop_fail_after(how->attempt_ns, how->fn, how->arg);
		if (r >= 0 || r == COOP_ECANCELED || attempt == how->attempts_max)
			return r;
		tell(attempt, r, pause_ns);
		r = coop_sleep(pause_ns);
		if (r < 0)
			return r;
		pause_ns = pause_ns * 2 < how->pause_max_ns ? pause_ns * 2 : how->pause_max_ns;
	}
}

/* A server that refuses twice, hangs once, and then answers. */
static int ask(void *arg)
{
	int *asked = arg;
	int r;

	if (++*asked <= 2)
		return coop_fail(-ECONNREFUSED, "port 80");
	r = coop_sleep(*asked == 3 ? COOP_SECONDS(60) : COOP_MILLISECONDS(10));
	return r < 0 ? r : 200;
}

/* One that never does. */
static int ask_nobody(void *arg)
{
	(void)arg;
	return coop_fail(-EHOSTUNREACH, "nobody is there");
}

static int app(void *arg)
{
	int asked = 0;
	struct retry how = { .fn = ask,
			     .arg = &asked,
			     .attempts_max = 5,
			     .attempt_ns = COOP_MILLISECONDS(500),
			     .pause_ns = COOP_MILLISECONDS(100),
			     .pause_max_ns = COOP_MILLISECONDS(300) };
	int r;

	(void)arg;
	printf("a server that is starting:\n");
	r = retry(&how);
	if (r < 0)
		return r;
	printf("  attempt %d: status %d\n", asked, r);
	printf("a server that is gone:\n");
	how.fn = ask_nobody;
	how.attempts_max = 3;
	r = retry(&how);
	if (r != -EHOSTUNREACH)
		return r;
	printf("  given up: %s\n", coop_code_text(r));
	coop_error_clear();
	return 0;
}

int main(void)
{
	return coop_main(app, NULL);
}
