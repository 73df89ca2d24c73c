/* SPDX-License-Identifier: MIT */
/*
 * Runs a fuzz target without a fuzzer: on each line of the files that are named, and on so many
 * mutations of these as COUNT says, the same ones each time.
 *
 *	fuzz-addr COUNT seeds...
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define LINES_MAX 256
#define BYTES_MAX 1024

static uint8_t *lines[LINES_MAX];
static size_t sizes[LINES_MAX];
static size_t count;
static uint64_t state = 0x9e3779b97f4a7c15;

static size_t chance(size_t n)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (size_t)(state % n);
}

static void read_lines(const char *path)
{
	FILE *in = fopen(path, "r");
	char line[BYTES_MAX];

	if (!in) {
		perror(path);
		exit(1);
	}
	while (count < LINES_MAX && fgets(line, sizeof line, in)) {
		sizes[count] = strcspn(line, "\n");
		lines[count] = malloc(BYTES_MAX);
		if (!lines[count])
			exit(1);
		memcpy(lines[count], line, sizes[count]);
		count++;
	}
	fclose(in);
}

/* Changes, cuts, doubles, or goes on with another line. */
static size_t mutate(uint8_t *data, size_t size)
{
	size_t other = chance(count), at = size ? chance(size) : 0, part;

	switch (chance(6)) {
	case 0:
		if (size)
			data[at] = (uint8_t)chance(256);
		return size;
	case 1:
		if (size)
			data[at] = (uint8_t) ":[]%./@0"[chance(8)];
		return size;
	case 2: return at;
	case 3:
		part = size - at < BYTES_MAX - size ? size - at : BYTES_MAX - size;
		memcpy(data + size, data + at, part);
		return size + part;
	case 4:
		memmove(data + at, data + at + (size > 0), size - at - (size > 0));
		return size - (size > 0);
	default:
		part = sizes[other] < BYTES_MAX - at ? sizes[other] : BYTES_MAX - at;
		memcpy(data + at, lines[other], part);
		return at + part;
	}
}

static void run_mutated(void)
{
	uint8_t data[BYTES_MAX];
	size_t line = chance(count), size = sizes[line];

	memcpy(data, lines[line], size);
	for (size_t i = chance(6) + 1; i > 0; i--)
		size = mutate(data, size);
	LLVMFuzzerTestOneInput(data, size);
}

int main(int argc, char **argv)
{
	long runs = argc > 1 ? strtol(argv[1], NULL, 10) : 0;

	for (int i = 2; i < argc; i++)
		read_lines(argv[i]);
	if (!count || runs <= 0) {
		fputs("usage: fuzz-x COUNT SEEDS...\n", stderr);
		return 2;
	}
	for (size_t i = 0; i < count; i++)
		LLVMFuzzerTestOneInput(lines[i], sizes[i]);
	while (runs--)
		run_mutated();
	for (size_t i = 0; i < count; i++)
		free(lines[i]);
	return 0;
}
