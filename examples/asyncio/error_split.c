/* SPDX-License-Identifier: MIT */
/*
 * except* ValueError ... except* TypeError (S101): an error tree is divided, each part is
 * handled by itself, and what nobody wanted goes on.
 */
#include <coop.h>

#include <stdio.h>

enum { VALUE_ERROR = 1, TYPE_ERROR = 2, OTHER_ERROR = 3 };
#define DOMAIN_DEMO COOP_DOMAIN_USER

static int failing(void *arg)
{
	int number = *(int *)arg;

	return coop_fail(COOP_CODE(DOMAIN_DEMO, number), "error %d", number);
}

static bool has_number(const struct coop_error *leaf, void *number)
{
	return coop_error_code(leaf) == COOP_CODE(DOMAIN_DEMO, *(int *)number);
}

/* One except* clause: handles its part of *error, leaves the rest there. */
static int except(struct coop_error **error, int number, const char *name)
{
	struct coop_error *match = NULL, *rest = NULL;
	int r = coop_error_split(*error, has_number, &number, &match, &rest);

	if (r < 0)
		return r;
	if (match)
		printf("handled: %s\n", name);
	coop_error_unref(match);
	coop_error_unref(*error);
	*error = rest;
	return 0;
}

static int app(void *arg)
{
	static int numbers[] = { VALUE_ERROR, TYPE_ERROR, OTHER_ERROR };
	struct coop_group_opts opts = { .name = "demo", .policy = COOP_COLLECT };
	struct coop_group g = COOP_GROUP_INIT;
	struct coop_error *error;
	int r = 0;

	(void)arg;
	coop_group_open(&g, &opts);
	for (int i = 0; i < 3 && r >= 0; i++)
		r = coop_spawn(&g, failing, &numbers[i]);
	error = coop_error_take(coop_group_join(&g, r));
	r = except(&error, VALUE_ERROR, "ValueError");
	if (r >= 0)
		r = except(&error, TYPE_ERROR, "TypeError");
	if (r >= 0 && error)
		r = coop_error_print(stdout, error, COOP_PRINT_PLAIN);
	coop_error_unref(error); /* return coop_error_raise(error) would let it go on */
	return r;
}

int main(void)
{
	int r = coop_domain_register(DOMAIN_DEMO, "demo", NULL);

	return r < 0 ? 1 : coop_main(app, NULL);
}
