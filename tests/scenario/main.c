/* SPDX-License-Identifier: MIT */
/*
 * build/tests/scenario: runs scenario programs on coop's virtual clock.
 *
 * Status 0: a whole trace was printed; 1: a sweep found something; 2: the text is no scenario.
 */
#include "run.h"

#include <coop/log.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char help[] =
	"usage: scenario [--seed N] [--sweep=cancel|alloc] FILE...\n"
	"       scenario [--seed N] --batch\n"
	"Runs scenario programs (- is standard input) and prints their traces.\n"
	"  --seed N        shuffle what is free in order\n"
	"  --sweep=cancel  run once for every checkpoint, each time with a cancel there\n"
	"  --sweep=alloc   run once for every allocation, each time with that one failing\n"
	"  --batch         programs on standard input, each after a line '%% ID'\n";

static void no_log(enum coop_log_level level, const char *text, void *ctx)
{
	(void)level;
	(void)text;
	(void)ctx;
}

static char *read_all(FILE *in)
{
	size_t room = 65536, size = 0, n;
	char *text = malloc(room);

	while (text && (n = fread(text + size, 1, room - size - 1, in)) > 0) {
		size += n;
		if (room - size < 2)
			text = realloc(text, room *= 2);
	}
	if (text)
		text[size] = '\0';
	return text;
}

struct options {
	uint64_t seed;
	const char *sweep;
};

/* One program; its exit status. */
static int run_text(const char *name, const char *text, const struct options *o)
{
	struct program program;
	char message[512];
	int status = 0;

	if (!program_parse(&program, text, message, sizeof message)) {
		fprintf(stderr, "%s:%s\n", name, message);
		status = 2;
	} else if (!o->sweep) {
		program_run(&program, o->seed, stdout);
	} else if (strcmp(o->sweep, "cancel") == 0) {
		status = program_sweep_cancel(&program, name, stdout) ? 0 : 1;
	} else {
		status = program_sweep_alloc(&program, name, stdout) ? 0 : 1;
	}
	program_free(&program);
	return status;
}

static int run_file(const char *name, const struct options *o)
{
	FILE *in = strcmp(name, "-") == 0 ? stdin : fopen(name, "r");
	char *text;
	int status;

	if (!in) {
		fprintf(stderr, "%s: %s\n", name, strerror(errno));
		return 2;
	}
	text = read_all(in);
	if (in != stdin)
		fclose(in);
	status = text ? run_text(name, text, o) : 2;
	free(text);
	return status;
}

static void run_batch(const struct options *o)
{
	char *text = NULL, *id = NULL, *next = NULL;
	size_t room = 0, size = 0, line_room = 0;
	ssize_t n;

	do {
		n = getline(&next, &line_room, stdin);
		if (n < 0 || strncmp(next, "%% ", 3) == 0) {
			if (id) {
				printf("%%%% %s\n", id);
				printf("%%%% %s status %d\n", id,
				       run_text(id, text ? text : "", o));
				fflush(stdout);
				free(id);
				id = NULL;
			}
			size = 0;
			if (text)
				text[0] = '\0';
			if (n > 0) {
				next[strcspn(next, "\n")] = '\0';
				id = strdup(next + 3);
			}
			continue;
		}
		if (size + (size_t)n + 1 > room) {
			room = (size + (size_t)n + 1) * 2;
			text = realloc(text, room);
		}
		memcpy(text + size, next, (size_t)n + 1);
		size += (size_t)n;
	} while (n >= 0);
	free(text);
	free(next);
}

int main(int argc, char **argv)
{
	struct options o = { 0 };
	int status = 0, files = 0;
	bool batch = false;

	coop_log_set(no_log, NULL, COOP_LOG_ERROR);
	for (int i = 1; i < argc; i++) {
		const char *arg = argv[i];

		if (strcmp(arg, "--help") == 0) {
			fputs(help, stdout);
			return 0;
		} else if (strcmp(arg, "--batch") == 0) {
			batch = true;
		} else if (strncmp(arg, "--seed=", 7) == 0) {
			o.seed = strtoull(arg + 7, NULL, 10);
		} else if (strcmp(arg, "--seed") == 0 && i + 1 < argc) {
			o.seed = strtoull(argv[++i], NULL, 10);
		} else if (strncmp(arg, "--sweep=", 8) == 0 &&
			   (strcmp(arg + 8, "cancel") == 0 || strcmp(arg + 8, "alloc") == 0)) {
			o.sweep = arg + 8;
		} else if (arg[0] == '-' && arg[1]) {
			fprintf(stderr, "scenario: no such option: %s\n%s", arg, help);
			return 2;
		} else {
			int s = run_file(arg, &o);

			status = s > status ? s : status;
			files++;
		}
	}
	if (batch)
		run_batch(&o);
	else if (!files) {
		fputs(help, stderr);
		return 2;
	}
	return status;
}
