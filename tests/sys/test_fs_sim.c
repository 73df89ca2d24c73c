/* SPDX-License-Identifier: MIT */
/* Files and directories of the simulated world, what a full disk does, and what a crash leaves. */
#include "../core/core_help.h"

#include <coop/fs.h>
#include <coop/io.h>

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

/* Each run here says on which engine it is; COOP_IO would have the last word. */
__attribute__((constructor)) static void engines_are_named(void)
{
	unsetenv("COOP_IO");
}

static const struct coop_run_opts simulated = { .engine = COOP_ENGINE_SIM };

#define SIM_TEST(name) \
	static int task_##name(void *arg); \
	TEST(name) \
	{ \
		CHECK_INT(coop_run(task_##name, NULL, &simulated), ==, 0); \
	} \
	static int task_##name(__attribute__((unused)) void *arg)

static void put(const char *path, const char *text)
{
	CHECK_INT(coop_file_replace(path, text, strlen(text), NULL), ==, 0);
}

static void holds(const char *path, const char *text)
{
	size_t bytes;
	char *data;

	CHECK_INT(coop_file_read(path, 1 << 20, &data, &bytes), ==, 0);
	CHECK_STR(data, text);
	coop_file_free(data);
}

static int64_t size_of(const char *path)
{
	struct stat st;
	int r = coop_stat(path, &st);

	return r < 0 ? r : st.st_size;
}

/* None of it is on the disk of this machine. */
SIM_TEST(files_in_memory)
{
	put("/tmp/coop-nowhere", "text");
	holds("/tmp/coop-nowhere", "text");
	CHECK_INT(access("/tmp/coop-nowhere", F_OK), ==, -1);
	CHECK_INT(size_of("/tmp/coop-nowhere"), ==, 4);
	CHECK_INT(size_of("/etc/passwd"), ==, -ENOENT);
	CHECK_INT(coop_unlink("/tmp/coop-nowhere"), ==, 0);
	CHECK_INT(coop_unlink("/tmp/coop-nowhere"), ==, -ENOENT);
	return 0;
}

/* The next run of the runner sees the files of the last one; another engine has its own. */
static int write_one(void *arg)
{
	(void)arg;
	put("/one", "kept");
	return 0;
}

static int read_one(void *arg)
{
	(void)arg;
	holds("/one", "kept");
	return 0;
}

static int miss_one(void *arg)
{
	(void)arg;
	CHECK_INT(size_of("/one"), ==, -ENOENT);
	return 0;
}

TEST(files_are_the_engines)
{
	struct coop_runner *runner;

	CHECK_INT(coop_runner_open(&simulated, &runner), ==, 0);
	CHECK_INT(coop_runner_run(runner, write_one, NULL), ==, 0);
	CHECK_INT(coop_runner_run(runner, read_one, NULL), ==, 0);
	CHECK_INT(coop_run(miss_one, NULL, &simulated), ==, 0);
	CHECK(coop_runner_free(runner) == NULL);
}

/* Descriptors: positions, offsets, append, holes, and what is refused. */
SIM_TEST(open_files)
{
	char buf[16];
	int fd = coop_open("/tmp/f", O_RDWR | O_CREAT | O_EXCL, 0644), two;

	CHECK_INT(fd, >=, 0);
	CHECK_INT(coop_open("/tmp/f", O_RDWR | O_CREAT | O_EXCL, 0644), ==, -EEXIST);
	CHECK_INT(coop_write(fd, "0123456789", 10), ==, 10);
	CHECK_INT(coop_pwrite(fd, "AB", 2, 4), ==, 2);
	CHECK_INT(coop_pread(fd, buf, 6, 2), ==, 6);
	CHECK(memcmp(buf, "23AB67", 6) == 0);
	CHECK_INT(coop_read(fd, buf, 4), ==, 0);
	two = coop_open("/tmp/f", O_RDONLY, 0);
	CHECK_INT(coop_read(two, buf, 16), ==, 10);
	CHECK_INT(coop_write(two, "x", 1), ==, -EBADF);
	CHECK_INT(coop_pwrite(fd, "z", 1, 20), ==, 1);
	CHECK_INT(coop_read(two, buf, 16), ==, 11);
	CHECK(memcmp(buf, "\0\0\0\0\0\0\0\0\0\0z", 11) == 0);
	CHECK_INT(coop_poll(fd, POLLIN), ==, POLLIN);
	CHECK_INT(coop_recv(fd, buf, 1, 0), ==, -ENOTSOCK);
	CHECK_INT(coop_fsync(fd), ==, 0);
	CHECK_INT(coop_unlink("/tmp/f"), ==, 0);
	CHECK_INT(coop_pread(fd, buf, 2, 0), ==, 2); /* as long as it is open */
	CHECK_INT(coop_close(fd), ==, 0);
	CHECK_INT(coop_close(two), ==, 0);
	fd = coop_open("/tmp/log", O_WRONLY | O_CREAT | O_APPEND, 0600);
	CHECK_INT(coop_write(fd, "a", 1), ==, 1);
	put("/tmp/other", "");
	CHECK_INT(coop_write(fd, "b", 1), ==, 1);
	CHECK_INT(coop_read(fd, buf, 1), ==, -EBADF);
	CHECK_INT(coop_close(fd), ==, 0);
	holds("/tmp/log", "ab");
	fd = coop_open("/tmp/log", O_WRONLY | O_TRUNC, 0);
	CHECK_INT(coop_close(fd), ==, 0);
	CHECK_INT(size_of("/tmp/log"), ==, 0);
	return 0;
}

/* What is wrong with paths. */
SIM_TEST(paths)
{
	struct stat st;
	int fd;

	CHECK_INT(coop_mkdir("/d", 0755), ==, 0);
	CHECK_INT(coop_mkdir("/d", 0755), ==, -EEXIST);
	CHECK_INT(coop_mkdir("/no/d", 0755), ==, -ENOENT);
	CHECK_INT(coop_mkdir_all("/a/b/c", 0755), ==, 0);
	put("/d/f", "1");
	CHECK_INT(coop_mkdir("/d/f/x", 0755), ==, -ENOTDIR);
	CHECK_INT(coop_open("/d/f/", O_RDONLY, 0), ==, -ENOTDIR);
	CHECK_INT(coop_open("/d/f", O_RDONLY | O_DIRECTORY, 0), ==, -ENOTDIR);
	CHECK_INT(coop_open("/d", O_RDWR, 0), ==, -EISDIR);
	CHECK_INT(coop_rmdir("/d"), ==, -ENOTEMPTY);
	CHECK_INT(coop_rmdir("/d/f"), ==, -ENOTDIR);
	CHECK_INT(coop_unlink("/d"), ==, -EISDIR);
	CHECK_INT(coop_rename("/a", "/a/b/x"), ==, -EINVAL);
	CHECK_INT(coop_rename("/d/f", "/a"), ==, -EISDIR);
	CHECK_INT(coop_rename("/a", "/d/f"), ==, -ENOTDIR);
	CHECK_INT(coop_rename("/a", "/d"), ==, -ENOTEMPTY);
	CHECK_INT(coop_rename("/d/f", "/a/../a/./g"), ==, 0);
	holds("/a/g", "1");
	CHECK_INT(coop_rename("/d", "/a/b/c"), ==, 0); /* in the place of an empty one */
	CHECK_INT(coop_stat("/a/b/c/..", &st), ==, 0);
	CHECK(S_ISDIR(st.st_mode));
	fd = coop_open("/a/b", O_RDONLY | O_DIRECTORY, 0);
	CHECK_INT(fd, >=, 0);
	CHECK_INT(coop_close(coop_open_at(fd, "../g", O_RDONLY, 0)), ==, 0);
	CHECK_INT(coop_open_at(fd, "g", O_RDONLY, 0), ==, -ENOENT);
	CHECK_INT(coop_close(fd), ==, 0);
	CHECK_INT(coop_remove_all("/a"), ==, 0);
	CHECK_INT(coop_stat("/a", &st), ==, -ENOENT);
	return 0;
}

/* A walk tells every name, once, and temporary things can be made. */
SIM_TEST(walks)
{
	struct coop_walk_entry e;
	struct coop_walk *w;
	char name[128], dir[64];
	int files = 0, dirs = 0, r, fd;

	CHECK_INT(coop_temp_dir(NULL, dir, sizeof dir), ==, 0);
	for (int i = 0; i < 200; i++) {
		snprintf(name, sizeof name, "%s/%d", dir, i);
		if (i % 10 == 0)
			CHECK_INT(coop_mkdir(name, 0755), ==, 0);
		else
			put(name, "x");
	}
	CHECK_INT(coop_walk_open(dir, NULL, &w), ==, 0);
	while ((r = coop_walk_next(w, &e)) >= 0 && r != COOP_EOF) {
		files += e.type == DT_REG;
		dirs += e.type == DT_DIR;
	}
	CHECK_INT(r, ==, COOP_EOF);
	CHECK_INT(files, ==, 180);
	CHECK_INT(dirs, ==, 20);
	CHECK(coop_walk_close(w) == NULL);
	CHECK_INT(coop_walk_open(dir, NULL, &w), ==, 0);
	CHECK_INT(coop_walk_next(w, &e), >=, 0);
	CHECK(coop_walk_close(w) == NULL); /* in the middle */
	CHECK_INT(coop_remove_all(dir), ==, 0);
	fd = coop_temp_file(NULL);
	CHECK_INT(fd, >=, 0);
	CHECK_INT(coop_write(fd, "x", 1), ==, 1);
	CHECK_INT(coop_close(fd), ==, 0);
	return 0;
}

/* A copy, by reading and writing. */
SIM_TEST(copies)
{
	put("/from", "to be copied");
	CHECK_INT(coop_file_copy("/from", "/to", NULL), ==, 0);
	holds("/to", "to be copied");
	CHECK_INT(coop_file_copy("/none", "/to", NULL), ==, -ENOENT);
	holds("/to", "to be copied");
	return 0;
}

/* A full disk: writes are cut, then refused; a replacement that fails leaves what was there. */
SIM_TEST(full_disk)
{
	struct coop_sim_opts plan = { .disk_bytes = 1000 };
	char big[2000];
	int fd;

	memset(big, 'b', sizeof big);
	CHECK_INT(coop_sim_plan(&plan), ==, 0);
	put("/f", "small");
	CHECK_INT(coop_file_replace("/f", big, sizeof big, NULL), ==, -ENOSPC);
	holds("/f", "small");
	fd = coop_open("/g", O_WRONLY | O_CREAT, 0600);
	CHECK_INT(coop_write(fd, big, 500), ==, 500);
	CHECK_INT(coop_write(fd, big, 500), <, 500);
	CHECK_INT(coop_write(fd, big, 500), ==, -ENOSPC);
	CHECK_INT(coop_close(fd), ==, 0);
	CHECK_INT(coop_unlink("/g"), ==, 0);
	fd = coop_open("/g", O_WRONLY | O_CREAT, 0600);
	CHECK_INT(coop_write(fd, big, 900), ==, 900);
	return coop_close(fd);
}

static int names_in(const char *dir)
{
	struct coop_walk_entry e;
	struct coop_walk *w;
	int names = 0;

	CHECK_INT(coop_walk_open(dir, NULL, &w), ==, 0);
	while (coop_walk_next(w, &e) != COOP_EOF)
		names++;
	coop_walk_close(w);
	return names;
}

/* Each call of a replacement fails once: it is whole or not at all, and nothing is left behind. */
SIM_TEST(replace_with_each_call_failing)
{
	static const enum coop_sim_call kinds[] = { COOP_SIM_FILE, COOP_SIM_WRITE, COOP_SIM_FSYNC };

	CHECK_INT(coop_mkdir("/dir", 0755), ==, 0);
	for (int k = 0; k < 3; k++) {
		int failed = 0;

		for (uint64_t nth = 1; nth < 8; nth++) {
			size_t bytes;
			char *data;
			int r;

			put("/dir/f", "old");
			CHECK_INT(coop_sim_fail(kinds[k], EIO, nth), ==, 0);
			r = coop_file_replace("/dir/f", "new", 3, NULL);
			CHECK(r == 0 || r == -EIO);
			failed += r < 0;
			CHECK_INT(coop_sim_plan(NULL), ==, 0);
			CHECK_INT(coop_file_read("/dir/f", 100, &data, &bytes), ==, 0);
			CHECK(strcmp(data, "new") == 0 || (r < 0 && strcmp(data, "old") == 0));
			coop_file_free(data);
			CHECK_INT(names_in("/dir"), ==, 1);
		}
		CHECK_INT(failed, >, 0);
		CHECK_INT(failed, <, 7);
	}
	return 0;
}

/* ------------------------------------------------------------------------- crashes */

struct fate {
	bool old, new, empty, missing;
	bool careless;
};

static int crash_once(void *arg)
{
	struct coop_file_opts opts = { .no_sync = ((struct fate *)arg)->careless };
	struct fate *fate = arg;
	size_t bytes;
	char *data;
	int fd, r;

	CHECK_INT(coop_mkdir("/dir", 0755), ==, 0);
	put("/dir/f", "old");
	fd = coop_open("/", O_RDONLY | O_DIRECTORY, 0);
	CHECK_INT(coop_fsync(fd), ==, 0);
	CHECK_INT(coop_close(fd), ==, 0);
	CHECK_INT(coop_file_replace("/dir/f", "new", 3, &opts), ==, 0);
	CHECK_INT(coop_sim_crash(), ==, 0);
	r = coop_file_read("/dir/f", 100, &data, &bytes);
	if (r < 0) {
		fate->missing = true;
		return 0;
	}
	fate->empty |= bytes == 0;
	fate->old |= strcmp(data, "old") == 0;
	fate->new |= strcmp(data, "new") == 0;
	coop_file_free(data);
	return 0;
}

static struct fate many_crashes(bool careless)
{
	struct fate fate = { .careless = careless };

	for (uint64_t seed = 1; seed <= 50; seed++) {
		struct coop_run_opts opts = { .engine = COOP_ENGINE_SIM, .seed = seed };

		CHECK_INT(coop_run(crash_once, &fate, &opts), ==, 0);
	}
	return fate;
}

/* What was replaced is the new one after a crash, whatever the crash does. */
TEST(a_replacement_survives_a_crash)
{
	struct fate fate = many_crashes(false);

	CHECK(fate.new);
	CHECK(!fate.old && !fate.empty && !fate.missing);
}

/* Without its syncs it may be old, new, or empty: as its comment says. */
TEST(a_careless_replacement_may_not)
{
	struct fate fate = many_crashes(true);

	CHECK(fate.new &&fate.old &&fate.empty);
	CHECK(!fate.missing);
}

/* A name whose directory was not synced may be gone, a file that was removed may be back. */
static int names_and_crashes(void *arg)
{
	int *seen = arg, fd = coop_open("/a", O_WRONLY | O_CREAT, 0600);

	CHECK_INT(coop_write(fd, "x", 1), ==, 1);
	CHECK_INT(coop_fsync(fd), ==, 0);
	CHECK_INT(coop_sim_crash(), ==, 0);
	CHECK_INT(coop_pwrite(fd, "y", 1, 1), ==, 1); /* it is open, wherever its name is */
	CHECK_INT(coop_close(fd), ==, 0);
	seen[0] |= size_of("/a") >= 0 ? 1 : 2;

	CHECK_INT(coop_mkdir_all("/b/c", 0755), ==, 0);
	put("/b/c/f", "x");
	fd = coop_open("/", O_RDONLY | O_DIRECTORY, 0);
	CHECK_INT(coop_fsync(fd), ==, 0);
	CHECK_INT(coop_close(fd), ==, 0);
	CHECK_INT(coop_remove_all("/b"), ==, 0);
	CHECK_INT(coop_sim_crash(), ==, 0);
	seen[1] |= size_of("/b") >= 0 ? 1 : 2;
	seen[2] |= size_of("/b/c/f") >= 0 ? 1 : 2;
	return 0;
}

TEST(names_that_were_not_synced)
{
	int seen[3] = { 0, 0, 0 };

	for (uint64_t seed = 1; seed <= 50; seed++) {
		struct coop_run_opts opts = { .engine = COOP_ENGINE_SIM, .seed = seed };

		CHECK_INT(coop_run(names_and_crashes, seen, &opts), ==, 0);
	}
	CHECK_INT(seen[0], ==, 3);
	CHECK_INT(seen[1], ==, 3);
}

/* ------------------------------------------------------------------------- memory */

static int files_without_memory(void *arg)
{
	size_t bytes;
	char *data;
	int r = coop_mkdir("/m", 0700);

	(void)arg;
	if (r >= 0)
		r = coop_file_replace("/m/f", "some text", 9, NULL);
	if (r >= 0)
		r = coop_file_read("/m/f", 100, &data, &bytes);
	if (r >= 0)
		coop_file_free(data);
	if (r >= 0)
		r = coop_sim_crash();
	if (r >= 0)
		r = coop_remove_all("/m");
	return r;
}

static const char *any_outcome(int rc, uint64_t n, void *ctx)
{
	(void)ctx;
	return n || rc >= 0 || rc == -ENOENT ? NULL : "the undisturbed run failed";
}

/* Memory that is not there, at every allocation: each is an error, and nothing is left behind. */
TEST(every_allocation_may_fail)
{
	struct coop_sweep sweep;
	int r = coop_sweep_alloc(files_without_memory, NULL, &simulated, false, any_outcome, NULL,
				 &sweep);

	if (r < 0)
		FAIL("%s (allocation %ju)", sweep.why, (uintmax_t)sweep.failed_at);
	CHECK_INT(sweep.injected, >, 10);
}
