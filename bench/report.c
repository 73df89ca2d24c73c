/* SPDX-License-Identifier: MIT */
/* How figures are shown: a table for people, a JSON object a line for programs. */
#include "bench.h"

#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

static bool reached(const struct bench_figure *f, double median)
{
	return f->more ? median >= f->target : median <= f->target;
}

/* Four digits that count, and no exponent. */
static const char *text(double value, char *buf, size_t size)
{
	int decimals = value >= 1000 ? 0 : value >= 100 ? 1 : value >= 10 ? 2 : 3;

	snprintf(buf, size, "%.*f", decimals, value);
	return buf;
}

void bench_print_head(int core, int runs)
{
	printf("coop %s, core %d, %d processes a question\n\n", COOP_VERSION_TEXT, core, runs);
	printf("%-44s %10s %10s %10s %9s  %s\n", "what", "min", "median", "max", "reach", "ok");
}

void bench_print_row(struct bench_seen *seen)
{
	const struct bench_figure *f = seen->figure;
	double median = bench_median(seen->values, seen->count);
	char min[32], mid[32], max[32], reach[32], what[80];

	snprintf(what, sizeof what, "%s%s%s", f->what, *f->unit ? ", " : "", f->unit);
	printf("%-44s %10s %10s %10s", what, text(seen->values[0], min, sizeof min),
	       text(median, mid, sizeof mid), text(seen->values[seen->count - 1], max, sizeof max));
	if (f->target > 0)
		printf(" %9s  %s\n", text(f->target, reach, sizeof reach),
		       reached(f, median) ? "yes" : "no");
	else
		printf(" %9s\n", "-");
}

/* The first field of a file of /proc with that key; without what JSON would have to escape. */
static void proc_field(const char *path, const char *key, char *buf, size_t size)
{
	char line[256];
	FILE *f = fopen(path, "r");

	snprintf(buf, size, "unknown");
	while (f && fgets(line, sizeof line, f)) {
		char *value = strchr(line, ':');

		if (strncmp(line, key, strlen(key)) != 0 || !value)
			continue;
		value += 1 + strspn(value + 1, " \t");
		value[strcspn(value, "\n\"\\")] = '\0';
		snprintf(buf, size, "%s", value);
		break;
	}
	if (f)
		fclose(f);
}

static void print_machine(int core)
{
	char cpu[128];
	struct utsname name;

	proc_field("/proc/cpuinfo", "model name", cpu, sizeof cpu);
	if (uname(&name) < 0)
		memset(&name, 0, sizeof name);
	printf("\"machine\": {\"cpu\": \"%s\", \"cores\": %ld, \"core\": %d, \"arch\": \"%s\", "
	       "\"kernel\": \"%s\", \"coop\": \"%s\"}",
	       cpu, sysconf(_SC_NPROCESSORS_ONLN), core, name.machine, name.release,
	       COOP_VERSION_TEXT);
}

void bench_print_json(const struct bench *question, struct bench_seen *seen, int core)
{
	const struct bench_figure *f = seen->figure;
	double median = bench_median(seen->values, seen->count);

	printf("{\"name\": \"%s\", \"question\": \"%s\", \"what\": \"%s\", \"unit\": \"%s\", ",
	       f->name, question->name, f->what + strspn(f->what, " "), f->unit);
	printf("\"min\": %.6g, \"median\": %.6g, \"max\": %.6g, \"runs\": [", seen->values[0],
	       median, seen->values[seen->count - 1]);
	for (size_t i = 0; i < seen->count; i++)
		printf("%s%.6g", i ? ", " : "", seen->values[i]);
	printf("], \"better\": \"%s\", ", f->more ? "more" : "less");
	if (f->target > 0)
		printf("\"target\": %g, \"ok\": %s, ", f->target,
		       reached(f, median) ? "true" : "false");
	else
		printf("\"target\": null, \"ok\": null, ");
	print_machine(core);
	printf("}\n");
}
