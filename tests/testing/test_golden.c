/* SPDX-License-Identifier: MIT */
/*
 * Deterministic runs are the same to the byte: what a run says of itself, its dumps and its error,
 * can be kept as a golden text. Twice here: a program with its trace, run again and again, and the
 * demonstration of the catalogue, whose error must read as it is written there.
 */
#include "../core/core_help.h"

#define APP_DOMAIN 40
#define APP(n) COOP_CODE(APP_DOMAIN, n)

static const char *app_text(int number)
{
	return number == 22 ? "an error of the demonstration" : NULL;
}

static void register_app(void)
{
	CHECK_INT(coop_domain_register(APP_DOMAIN, "app", app_text), ==, 0);
}

/* ---- a program and its trace */

static FILE *trace;

static void trace_line(const char *what)
{
	char path[128];

	coop_task_path(coop_self(), path, sizeof path);
	fprintf(trace, "%.3f %s: %s\n", (double)now_ns() / 1e9, path, what);
}

static int cook(void *arg)
{
	int r;

	(void)arg;
	trace_line("begins");
	r = coop_fail_after(MS(2500), sleep_ms, MSARG(2000));
	if (r >= 0) {
		trace_line("has cooked");
		r = coop_fail(APP(22), "the pot is empty");
	}
	return COOP_AT(r);
}

static int waiter(void *arg)
{
	struct coop_scope s = COOP_SCOPE_INIT;
	int r;

	(void)arg;
	trace_line("begins");
	coop_scope_open(&s, &(struct coop_scope_opts){ .name = "patience", .timeout_ns = SEC(10) });
	r = coop_sleep(SEC(5));
	trace_line(r == COOP_ECANCELED ? "is sent home" : "waited in vain");
	return coop_scope_close(&s, r);
}

static int watches(void *arg)
{
	(void)arg;
	for (;;) {
		int r = coop_sleep(MS(1500));

		if (r < 0)
			return r;
		CHECK_INT(coop_dump(trace, COOP_DUMP_TIMES), ==, 0);
	}
}

static int kitchen(void *arg)
{
	struct coop_spawn_opts service = { .name = "camera", .service = true };
	struct coop_spawn_opts names[] = { { .name = "cook" },
					   { .name = "anna" },
					   { .name = "bert" } };
	struct coop_group g = COOP_GROUP_INIT;
	int r;

	(void)arg;
	begin_ns = coop_now();
	coop_group_open(&g, &(struct coop_group_opts){ .name = "kitchen" });
	r = coop_spawn_with(&g, cook, NULL, &names[0], NULL);
	for (int i = 1; i < 3 && r >= 0; i++)
		r = coop_spawn_with(&g, waiter, NULL, &names[i], NULL);
	if (r >= 0)
		r = coop_spawn_with(&g, watches, NULL, &service, NULL);
	return coop_group_join(&g, r);
}

/* Without lines of this file: they may change. */
static const char kitchen_trace[] =
	"0.000 main/kitchen/cook: begins\n"
	"0.000 main/kitchen/anna: begins\n"
	"0.000 main/kitchen/bert: begins\n"
	"run: 5 tasks, 0 ready, 6 timers, t=1.500s\n"
	"task #1 \"main\" blocked in coop_group_join on its children for 1.500s [at]\n"
	"  group \"kitchen\" (at): 4 alive\n"
	"    task #2 \"cook\" blocked in coop_sleep 2.000s for 1.500s [at]\n"
	"      scope (at), deadline in 1.000s\n"
	"    task #3 \"anna\" blocked in coop_sleep 5.000s for 1.500s [at]\n"
	"      scope \"patience\" (at), deadline in 8.500s\n"
	"    task #4 \"bert\" blocked in coop_sleep 5.000s for 1.500s [at]\n"
	"      scope \"patience\" (at), deadline in 8.500s\n"
	"    task #5 \"camera\" running, service [at]\n"
	"2.000 main/kitchen/cook: has cooked\n"
	"2.000 main/kitchen/anna: is sent home\n"
	"2.000 main/kitchen/bert: is sent home\n"
	"group \"kitchen\" failed: 1 error (3 children cancelled) [opened at at]\n"
	"└─ error app:22 \"the pot is empty\"  at at in cook  t=2.000000000\n"
	"     task: main/kitchen/cook\n"
	"     via:  at (COOP_AT)\n"
	"   cancelled: main/kitchen/anna — reason: child \"cook\" failed (at), "
	"blocked in coop_sleep 5.000s\n"
	"   cancelled: main/kitchen/bert — reason: child \"cook\" failed (at), "
	"blocked in coop_sleep 5.000s\n"
	"   cancelled: main/kitchen/camera — reason: child \"cook\" failed (at), "
	"blocked in coop_sleep 1.500s\n";

/* "[spawned at tests/testing/test_golden.c:12]" becomes "[at]", and the like. */
static void hide_places(char *text)
{
	static const char *const before[] = { "spawned at ", "" };
	char *to = text;

	for (char *from = text; *from;) {
		size_t path = strcspn(from, " ()[]\n");
		const char *file = strstr(from, "test_golden.c:");

		if (strncmp(from, before[0], strlen(before[0])) == 0)
			from += strlen(before[0]);
		else if (strncmp(from, "coop_run:0", 10) == 0 || (file && file < from + path)) {
			to = stpcpy(to, "at");
			from += path;
		} else {
			do
				*to++ = *from++;
			while (to[-1] != ' ' && to[-1] != '(' && to[-1] != '[' && *from &&
			       to[-1] != '\n');
		}
	}
	*to = '\0';
}

static char *run_kitchen(const struct coop_run_opts *opts)
{
	char *text = NULL;
	size_t size;
	int r;

	trace = open_memstream(&text, &size);
	CHECK(trace != NULL);
	r = coop_run(kitchen, NULL, opts);
	CHECK_INT(r, ==, APP(22));
	CHECK_INT(coop_error_print(trace, coop_error_peek(r), COOP_PRINT_TIMES), ==, 0);
	coop_error_clear();
	fclose(trace);
	return text;
}

/* The trace is as it is written here, and the same in every run. */
TEST(a_trace_is_golden)
{
	char *first, *again;

	register_app();
	first = run_kitchen(&virtual_clock);
	for (int i = 0; i < 5; i++) {
		again = run_kitchen(&virtual_clock);
		CHECK_STR(again, first);
		free(again);
	}
	hide_places(first);
	CHECK_STR(first, kitchen_trace);
	free(first);
	PROVES(B327);
}

/* With a seed it is another one, but again the same in every run. */
TEST(a_trace_of_a_seed_is_golden)
{
	char *plain;
	int others = 0;

	register_app();
	plain = run_kitchen(&virtual_clock);
	for (uint64_t seed = 1; seed <= 20; seed++) {
		struct coop_run_opts opts = { .clock = COOP_CLOCK_VIRTUAL, .seed = seed };
		char *first = run_kitchen(&opts), *again = run_kitchen(&opts);

		CHECK_STR(again, first);
		others += strcmp(first, plain) != 0;
		free(first);
		free(again);
	}
	CHECK_INT(others, >, 3);
	free(plain);
	PROVES(B322, B327);
}

/* ---- the demonstration */

/* As the catalogue has it, with its file and its lines. */
static const char demo_error[] =
	"group \"main.tg\" failed: 1 error (1 child cancelled) [opened at demo2.c:31]\n"
	"└─ error app:22 \"Task 2 failed\"  at demo2.c:18 in failing_task  t=1.000000000\n"
	"     task: main/main.tg/Task 2\n"
	"     via:  demo2.c:24 (COOP_AT)\n"
	"   cancelled: main/main.tg/Task 1 — reason: child \"Task 2\" failed (demo2.c:18), "
	"blocked in coop_sleep 1.000s\n";

static int ticks(void *arg)
{
	int r = 0;

	(void)arg;
	while (r >= 0)
		r = coop_sleep(SEC(1));
	return r;
}

static int failing_task(void *arg)
{
	int r = coop_sleep(SEC(1));

	(void)arg;
#line 18 "demo2.c"
	return r < 0 ? r : coop_fail(APP(22), "Task 2 failed");
}

static int task_2(void *arg)
{
#line 24 "demo2.c"
	return COOP_AT(failing_task(arg));
}

static int demo(void *arg)
{
	struct coop_spawn_opts one = { .name = "Task 1" }, two = { .name = "Task 2" };
	struct coop_group_opts opts = { .name = "main.tg" };
	struct coop_group g = COOP_GROUP_INIT;
	int r;

	(void)arg;
#line 31 "demo2.c"
	coop_group_open(&g, &opts);
	r = coop_spawn_with(&g, ticks, NULL, &one, NULL);
	if (r >= 0)
		r = coop_spawn_with(&g, task_2, NULL, &two, NULL);
	return coop_group_join(&g, r);
}

TEST(the_demonstration_of_the_catalogue)
{
	char *text = NULL;
	size_t size;
	FILE *out;
	int r;

	register_app();
	r = coop_run(demo, NULL, &virtual_clock);
	CHECK_INT(r, ==, APP(22));
	out = open_memstream(&text, &size);
	CHECK(out != NULL);
	CHECK_INT(coop_error_print(out, coop_error_peek(r), COOP_PRINT_TIMES), ==, 0);
	coop_error_clear();
	fclose(out);
	CHECK_STR(text, demo_error);
	free(text);
	PROVES(B327);
}
