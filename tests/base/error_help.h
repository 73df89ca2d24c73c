/* SPDX-License-Identifier: MIT */
/* What the tests of errors share: short makers of objects, and texts of what is printed. */
#pragma once

#include "base/err.h"
#include "base/os.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define APP 16
#define APP_CODE(n) COOP_CODE(APP, n)

static inline struct coop_error *leaf_at(int code, const char *message, const char *file, int line)
{
	return cp_err_new_leaf(code, file, line, "fn", "main/g/t", 1000000000, false, message);
}

static inline struct coop_error *leaf(int code)
{
	return leaf_at(code, "it failed", "leaf.c", 7);
}

static inline struct coop_error *group_of(const char *name, struct coop_error **members,
					  uint32_t count)
{
	return cp_err_new_group(&(struct cp_err_group){
		.name = name,
		.path = "main",
		.file = "group.c",
		.line = 3,
		.members = members,
		.count = count,
	});
}

#define GROUP(name, ...) \
	group_of((name), (struct coop_error *[]){ __VA_ARGS__ }, \
		 sizeof((struct coop_error *[]){ __VA_ARGS__ }) / sizeof(void *))

static inline struct coop_error *wrap(int code, struct coop_error *cause)
{
	return cp_err_new_wrap(code, cause, "wrap.c", 5, "fn", "main/g/t", 0, "wrapped");
}

/* `count` groups one in the other, around `inner`. */
static inline struct coop_error *nest(struct coop_error *inner, unsigned count)
{
	while (count-- > 0)
		inner = group_of("", &inner, 1);
	return inner;
}

/* Prints into memory that the caller frees. */
static inline char *printed(const struct coop_error *error, unsigned flags)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	if (!out || coop_error_print(out, error, flags) != 0)
		abort();
	fclose(out);
	return text;
}

static inline char *json_of(const struct coop_error *error)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	if (!out || coop_error_json(out, error) != 0)
		abort();
	fclose(out);
	return text;
}

static inline bool has_code(const struct coop_error *error, void *ctx)
{
	return coop_error_code(error) == *(int *)ctx;
}

/* Appends "code " for each leaf to a text that is large enough. */
static inline int leaf_name(const struct coop_error *error, void *ctx)
{
	char name[64];

	sprintf((char *)ctx + strlen(ctx), "%s ",
		coop_code_name(coop_error_code(error), name, sizeof name));
	return 0;
}

/* Lets the nth allocation from now fail, and with `on` all after it; 0: none. */
static inline void fail_alloc(uint64_t nth, bool on)
{
	cp_os_faults.alloc_calls = 0;
	cp_os_faults.alloc_failed = 0;
	cp_os_faults.alloc_fail_at = nth;
	cp_os_faults.alloc_fail_on = on;
}
