/* SPDX-License-Identifier: MIT */
/*
 * build/tests/scenario: runs scenario programs on coop's virtual clock.
 *
 * One program, printed as its trace, or swept over; or many, from standard input, each after
 * a line with its name (--batch), so that a comparison of thousands needs no process each.
 *
 * Status 0: all traces were printed; 1: a sweep, or the interpreter's own checks, found
 * something wrong; 2: a text is no scenario, or the command is wrong. A batch says the status
 * of each program beside its answer, and ends with 0.
 */
#include "interp.h"
#include "need.h"
#include "outcome.h"
#include "sweep.h"

#include <coop/group.h>
#include <coop/log.h>

#include <errno.h>
#include <inttypes.h>
#include <string.h>

static const char help[] =
	"usage: scenario [--seed N] [--sweep=cancel | --sweep=alloc] FILE...\n"
	"       scenario [--seed N] [--sweep=cancel | --sweep=alloc] --batch\n"
	"Runs scenario programs on the virtual clock and prints their traces. - is standard "
	"input.\n"
	"  --seed N        shuffle what is free in order\n"
	"  --sweep=cancel  run once for every checkpoint, each time with a cancel there\n"
	"  --sweep=alloc   run once for every allocation, each time with that one failing, and\n"
	"                  once more with all after it failing, too\n"
	"  --batch         read many programs, each after a line `%% ID`\n"
	"  --help          print this\n";

struct options {
	uint64_t seed;
	bool (*sweep)(const struct program *, const char *, uint64_t, FILE *);
	bool batch;
};

/* ----------------------------------------------------------------------- one program */

static void print_result(const struct run *run, int rc)
{
	struct outcome o = outcome_of(rc);
	char *text = o.err && rc != -EDEADLK ? error_text(o.err) : NULL;

	printf("%" PRId64 " result %s%s\n", run->end_ms,
	       rc == -EDEADLK ? "deadlock"
	       : text         ? "error "
	       : o.cancelled  ? "cancelled"
			      : "ok",
	       text ? text : "");
	free(text);
	outcome_drop(o);
}

static int run_program(const struct program *program, const char *name, uint64_t seed)
{
	struct run run = { .program = program, .out = stdout };
	struct coop_run_opts opts = interp_opts(program);
	const char *what;
	char buf[64];
	int r;

	opts.seed = seed;
	r = coop_run(interp_main, &run, &opts);
	if (!run.begun) {
		fprintf(stderr, "%s: cannot run: %s\n", name, coop_code_name(r, buf, sizeof buf));
		return 1;
	}
	print_result(&run, r);
	what = interp_wrong(&run);
	if (!what)
		return 0;
	fflush(stdout);
	fprintf(stderr, "%s: %s\n", name, what);
	return 1;
}

static int run_text(const char *name, const char *text, size_t size, const struct options *o)
{
	struct program program;
	char message[256];
	int status;

	if (!program_parse(&program, text, size, message, sizeof message)) {
		fflush(stdout);
		fprintf(stderr, "%s:%s\n", name, message);
		status = 2;
	} else if (o->sweep) {
		status = o->sweep(&program, name, o->seed, stdout) ? 0 : 1;
	} else {
		status = run_program(&program, name, o->seed);
	}
	program_free(&program);
	return status;
}

/* ---------------------------------------------------------------------------- input */

struct text {
	char *bytes;
	size_t size, room;
};

static void text_make_room(struct text *t, size_t more)
{
	if (t->room - t->size >= more)
		return;
	t->room = (t->size + more) * 2;
	t->bytes = need(realloc(t->bytes, t->room));
}

static int run_file(const char *name, const struct options *o)
{
	FILE *in = strcmp(name, "-") == 0 ? stdin : fopen(name, "r");
	struct text t = { 0 };
	int status;
	size_t n;

	if (!in) {
		fprintf(stderr, "scenario: %s: %s\n", name, strerror(errno));
		return 2;
	}
	do {
		text_make_room(&t, 65536);
		n = fread(t.bytes + t.size, 1, t.room - t.size, in);
		t.size += n;
	} while (n > 0);
	if (ferror(in)) {
		fprintf(stderr, "scenario: %s: %s\n", name, strerror(errno));
		status = 2;
	} else {
		status = run_text(name, t.bytes, t.size, o);
	}
	if (in != stdin)
		fclose(in);
	free(t.bytes);
	return status;
}

/* The answer to one program of a batch. */
static void answer(const char *id, const struct text *t, const struct options *o)
{
	int status;

	printf("%%%% %s\n", id);
	status = run_text(id, t->bytes ? t->bytes : "", t->size, o);
	printf("%%%% %s status %d\n", id, status);
	fflush(stdout);
}

static void run_batch(const struct options *o)
{
	char *line = NULL, *id = NULL;
	struct text t = { 0 };
	size_t room = 0;
	ssize_t n;

	do {
		n = getline(&line, &room, stdin);
		if (n >= 0 && strncmp(line, "%% ", 3) != 0) {
			text_make_room(&t, (size_t)n);
			memcpy(t.bytes + t.size, line, (size_t)n);
			t.size += (size_t)n;
			continue;
		}
		if (id)
			answer(id, &t, o);
		t.size = 0;
		free(id);
		id = n >= 0 ? need(strndup(line + 3, strcspn(line + 3, "\n"))) : NULL;
	} while (n >= 0);
	free(t.bytes);
	free(line);
}

/* -------------------------------------------------------------------------- command */

/* Answers are not mixed with what coop notes of refusers, deadlocks and the like. */
static void no_log(enum coop_log_level level, const char *text, void *ctx)
{
	(void)level;
	(void)text;
	(void)ctx;
}

static const char *user_error_text(int number)
{
	return number <= USER_ERROR_MAX ? "a user error" : "no error of a scenario";
}

static void prepare(void)
{
	/* The language fixes these, whatever the environment says. */
	static const char *const fixed[] = { "COOP_BUDGET", "COOP_CLOCK", "COOP_SEED",
					     "COOP_STACK" };

	for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++)
		unsetenv(fixed[i]);
	coop_log_set(no_log, NULL, COOP_LOG_ERROR);
	if (coop_domain_register(DOMAIN_SCENARIO, "scenario", user_error_text) < 0)
		abort();
}

static bool read_seed(const char *text, uint64_t *ret_seed)
{
	char *end;

	errno = 0;
	*ret_seed = strtoull(text, &end, 10);
	return *text >= '0' && *text <= '9' && !*end && !errno;
}

/* Takes one option, and its value, off the command line. False: it is wrong. */
static bool read_option(char **argv, int *at, struct options *o)
{
	const char *arg = argv[*at];

	if (strcmp(arg, "--batch") == 0)
		o->batch = true;
	else if (strcmp(arg, "--sweep=cancel") == 0)
		o->sweep = sweep_cancel;
	else if (strcmp(arg, "--sweep=alloc") == 0)
		o->sweep = sweep_alloc;
	else if (strncmp(arg, "--seed=", 7) == 0)
		return read_seed(arg + 7, &o->seed);
	else if (strcmp(arg, "--seed") == 0 && argv[*at + 1])
		return read_seed(argv[++*at], &o->seed);
	else
		return false;
	return true;
}

int main(int argc, char **argv)
{
	struct options o = { 0 };
	int worst = 0, status, files = 0;

	prepare();
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--help") == 0) {
			fputs(help, stdout);
			return 0;
		}
		if (argv[i][0] != '-' || !argv[i][1]) {
			argv[files++] = argv[i]; /* behind what is still to be read */
		} else if (!read_option(argv, &i, &o)) {
			fprintf(stderr, "scenario: wrong option: %s\n%s", argv[i], help);
			return 2;
		}
	}
	if (!files == !o.batch) {
		fputs(help, stderr);
		return 2;
	}
	if (o.batch)
		run_batch(&o);
	for (int i = 0; i < files; i++) {
		status = run_file(argv[i], &o);
		worst = status > worst ? status : worst;
	}
	if (fflush(stdout) != 0 || ferror(stdout)) {
		fprintf(stderr, "scenario: writing: %s\n", strerror(errno));
		return 1;
	}
	return worst;
}
