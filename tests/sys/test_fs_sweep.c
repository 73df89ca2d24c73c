/* SPDX-License-Identifier: MIT */
/*
 * Every call of fs.h in a row, cancelled at each checkpoint and with each allocation failing: no
 * descriptor, no memory and no file that was made for a moment is left; what was there is whole.
 */
#include "../core/core_help.h"
#include "fds.h"

#include <coop/fs.h>
#include <coop/io.h>

#include <fcntl.h>
#include <ftw.h>

static char base[64];

static const char *at(const char *name)
{
	static char paths[4][128];
	static unsigned next;
	char *path = paths[next++ % 4];

	snprintf(path, sizeof paths[0], "%s/%s", base, name);
	return path;
}

static int reads(const char *name)
{
	char *data;
	size_t bytes;
	int r = coop_file_read(at(name), 100, &data, &bytes);

	if (r < 0)
		return r;
	CHECK_STR(data, "text");
	coop_file_free(data);
	return 0;
}

static int walks(void)
{
	struct coop_walk_opts opts = { .ends = true, .stat = true };
	struct coop_walk_entry e;
	struct coop_walk *w;
	int r = coop_walk_open(base, &opts, &w);

	if (r < 0)
		return r;
	while ((r = coop_walk_next(w, &e)) == 0)
		CHECK(!e.error);
	coop_walk_close(w);
	return r == COOP_EOF ? 0 : r;
}

static int closes(int fd)
{
	return fd < 0 ? fd : coop_close(fd);
}

static int program(void *arg)
{
	struct coop_file_opts no_sync = { .no_sync = true };
	char temp[128];
	struct stat st;
	int r = coop_mkdir_all(at("a/b"), 0700);

	(void)arg;
	if (r >= 0)
		r = coop_file_replace(at("a/f"), "text", 4, NULL);
	if (r >= 0)
		r = coop_file_copy(at("a/f"), at("a/b/g"), &no_sync);
	if (r >= 0)
		r = reads("a/b/g");
	if (r >= 0)
		r = coop_rename(at("a/f"), at("a/h"));
	if (r >= 0)
		r = closes(coop_open(at("a/h"), O_RDONLY, 0));
	if (r >= 0)
		r = coop_stat(at("a/h"), &st);
	if (r >= 0)
		r = walks();
	if (r >= 0)
		r = closes(coop_temp_file(base));
	if (r >= 0)
		r = coop_temp_dir(base, temp, sizeof temp);
	if (r >= 0)
		r = coop_rmdir(temp);
	if (r >= 0)
		r = coop_unlink(at("a/h"));
	return r < 0 ? r : coop_remove_all(at("a"));
}

/* ---- after each run */

static int leftovers;

static int look_and_remove(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
	(void)st;
	(void)kind;
	leftovers += strstr(path + ftw->base, ".coop-") == path + ftw->base;
	return ftw->level ? remove(path) : 0;
}

static const char *clean(int rc, uint64_t n, void *ctx)
{
	static char text[80];
	const int *allowed = ctx;

	leftovers = 0;
	CHECK_INT(nftw(base, look_and_remove, 8, FTW_DEPTH | FTW_PHYS), ==, 0);
	if (leftovers)
		return "a file that was made for a moment is left";
	if (fds_open() != allowed[0]) {
		snprintf(text, sizeof text, "%d descriptors, not %d", fds_open(), allowed[0]);
		return text;
	}
	while (*++allowed != 1)
		if (rc == *allowed && (n || rc == 0))
			return NULL;
	snprintf(text, sizeof text, "result %d", rc);
	return text;
}

static void make_base(void)
{
	snprintf(base, sizeof base, "/tmp/coop-fs-sweep-XXXXXX");
	CHECK(mkdtemp(base) != NULL);
}

/* Whichever checkpoint it is. */
TEST(cancelled_at_every_checkpoint)
{
	int allowed[] = { fds_open(), 0, COOP_ECANCELED, 1 };
	struct coop_sweep sweep = { 0 };

	TEST_SECONDS(120);
	make_base();
	if (coop_sweep_cancel(program, NULL, NULL, clean, allowed, &sweep) < 0)
		FAIL("checkpoint %d: %s", (int)sweep.failed_at, sweep.why);
	CHECK_INT(sweep.injected, >=, 15);
	CHECK_INT(rmdir(base), ==, 0);
}

/* Whichever allocation it is, alone or with all that follow. */
TEST(with_every_allocation_failing)
{
	/* -EAGAIN, -ENOTSUP: no thread, no engine without memory */
	int allowed[] = { fds_open(), 0, -ENOMEM, -EAGAIN, -ENOTSUP, 1 };
	struct coop_sweep sweep = { 0 };

	TEST_SECONDS(120); /* disks take their time where many write */
	make_base();
	keep_records(COOP_LOG_ERROR);
	for (int for_ever = 0; for_ever < 2; for_ever++) {
		if (coop_sweep_alloc(program, NULL, NULL, for_ever, clean, allowed, &sweep) < 0)
			FAIL("allocation %d: %s", (int)sweep.failed_at, sweep.why);
		CHECK_INT(sweep.injected, >, 10);
	}
	CHECK_INT(rmdir(base), ==, 0);
}
