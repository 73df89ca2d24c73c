/* SPDX-License-Identifier: MIT */
/*
 * Files and directories: whole or not at all, nothing outside of the tree, nothing left behind.
 */
#include "../core/core_help.h"
#include "fds.h"

#include "base/os.h"

#include <coop/fs.h>
#include <coop/io.h>
#include <coop/thread.h>

#include <dirent.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>

/* ---- a directory of the test's own */

static char base[200];

/* "base/name", in one of a few buffers. */
static const char *at(const char *name)
{
	static char paths[8][512];
	static unsigned next;
	char *path = paths[next++ % 8];

	snprintf(path, sizeof paths[0], "%s/%s", base, name);
	return path;
}

static void make_base(void)
{
	CHECK_INT(coop_temp_dir(NULL, base, sizeof base), ==, 0);
}

static void remove_base(void)
{
	CHECK_INT(coop_remove_all(base), ==, 0);
	CHECK_INT(access(base, F_OK), ==, -1);
}

#define FS_TEST(name) \
	static void fs_##name(void); \
	TASK_TEST(name) \
	{ \
		TEST_SECONDS(120); /* disks take their time where many write */ \
		make_base(); \
		fs_##name(); \
		remove_base(); \
		return 0; \
	} \
	static void fs_##name(void)

static void put(const char *name, const char *text)
{
	CHECK_INT(coop_file_replace(at(name), text, strlen(text), NULL), ==, 0);
}

static void holds(const char *name, const char *text)
{
	char *data;
	size_t bytes;

	CHECK_INT(coop_file_read(at(name), 1 << 20, &data, &bytes), ==, 0);
	CHECK_STR(data, text);
	CHECK_INT(bytes, ==, strlen(text));
	CHECK(!coop_file_free(data));
}

static unsigned mode_of(const char *name)
{
	struct stat st;

	CHECK_INT(coop_lstat(at(name), &st), ==, 0);
	return st.st_mode & 07777;
}

/* How many entries the base has: what was made for a moment is gone. */
static int entries(void)
{
	struct coop_walk *w;
	struct coop_walk_entry e;
	int n = 0;

	CHECK_INT(coop_walk_open(base, &(struct coop_walk_opts){ .depth_max = 1 }, &w), ==, 0);
	while (coop_walk_next(w, &e) == 0)
		n++;
	CHECK(!coop_walk_close(w));
	return n;
}

/* ---- single operations */

FS_TEST(open_stat_rename_unlink)
{
	struct stat st = { .st_size = 77 };
	int fd = coop_open(at("a"), O_RDWR | O_CREAT | O_EXCL, 0600), dir;

	CHECK_INT(fd, >=, 0);
	CHECK_INT(fcntl(fd, F_GETFD), ==, FD_CLOEXEC);
	CHECK_INT(coop_write(fd, "text", 4), ==, 4);
	CHECK_INT(coop_close(fd), ==, 0);
	CHECK_INT(coop_open(at("a"), O_RDWR | O_CREAT | O_EXCL, 0600), ==, -EEXIST);
	CHECK_INT(coop_stat(at("b"), &st), ==, -ENOENT);
	CHECK_INT(st.st_size, ==, 77);
	CHECK_INT(coop_stat(at("a"), &st), ==, 0);
	CHECK_INT(st.st_size, ==, 4);
	CHECK_INT(coop_rename(at("a"), at("b")), ==, 0);
	CHECK_INT(symlink("b", at("link")), ==, 0);
	CHECK_INT(coop_stat(at("link"), &st), ==, 0);
	CHECK(S_ISREG(st.st_mode));
	CHECK_INT(coop_lstat(at("link"), &st), ==, 0);
	CHECK(S_ISLNK(st.st_mode));
	dir = coop_open(base, O_RDONLY | O_DIRECTORY, 0);
	CHECK_INT(dir, >=, 0);
	fd = coop_open_at(dir, "b", O_RDONLY, 0);
	CHECK_INT(fd, >=, 0);
	CHECK_INT(coop_close(fd), ==, 0);
	CHECK_INT(coop_close(dir), ==, 0);
	CHECK_INT(coop_unlink(at("b")), ==, 0);
	CHECK_INT(coop_unlink(at("b")), ==, -ENOENT);
}

FS_TEST(directories_are_made)
{
	struct stat st;

	CHECK_INT(coop_mkdir(at("d"), 0700), ==, 0);
	CHECK_INT(coop_mkdir(at("d"), 0700), ==, -EEXIST);
	CHECK_INT(coop_mkdir(at("x/y"), 0700), ==, -ENOENT);
	CHECK_INT(coop_mkdir_all(at("x/y//z"), 0700), ==, 0);
	CHECK_INT(coop_mkdir_all(at("x/y/z"), 0700), ==, 0);
	CHECK_INT(coop_mkdir_all(at("x/y/w//"), 0700), ==, 0);
	CHECK_INT(mode_of("x/y/w"), ==, 0700);
	CHECK_INT(coop_stat(at("x/y/z"), &st), ==, 0);
	CHECK(S_ISDIR(st.st_mode));
	put("file", "");
	CHECK_INT(coop_mkdir_all(at("file"), 0700), ==, -EEXIST);
	CHECK_INT(coop_mkdir_all(at("file/a/b"), 0700), ==, -ENOTDIR);
	CHECK_INT(coop_mkdir_all("", 0700), ==, -ENOENT);
	CHECK_INT(symlink("x", at("link")), ==, 0);
	CHECK_INT(coop_mkdir_all(at("link/q/r"), 0700), ==, 0);
	CHECK_INT(coop_rmdir(at("x")), ==, -ENOTEMPTY);
	CHECK_INT(coop_rmdir(at("d")), ==, 0);
	CHECK_INT(coop_rmdir(at("d")), ==, -ENOENT);
}

/* ---- whole files */

FS_TEST(read_up_to_a_limit)
{
	char *data = (char *)"untouched", big[5000];
	size_t bytes = 77;

	memset(big, 'x', sizeof big);
	CHECK_INT(coop_file_replace(at("big"), big, sizeof big, NULL), ==, 0);
	CHECK_INT(coop_file_read(at("big"), 4999, &data, &bytes), ==, -EFBIG);
	CHECK_INT(coop_file_read(at("none"), 4999, &data, &bytes), ==, -ENOENT);
	CHECK_INT(coop_file_read(base, 4999, &data, &bytes), ==, -EISDIR);
	CHECK_STR(data, "untouched");
	CHECK_INT(bytes, ==, 77);
	CHECK_INT(coop_file_read(at("big"), 5000, &data, &bytes), ==, 0);
	CHECK_INT(bytes, ==, 5000);
	CHECK_INT(strlen(data), ==, 5000);
	coop_file_free(data);
	CHECK_INT(coop_file_read(at("big"), SIZE_MAX, &data, &bytes), ==, 0);
	coop_file_free(data);
	put("empty", "");
	CHECK_INT(coop_file_read(at("empty"), 0, &data, &bytes), ==, 0);
	CHECK_STR(data, "");
	coop_file_free(data);
}

/* A file that does not tell its size, and one that never ends. */
TASK_TEST(read_what_has_no_size)
{
	char *data;
	size_t bytes;

	CHECK_INT(coop_file_read("/proc/self/status", 1 << 20, &data, &bytes), ==, 0);
	CHECK_HAS(data, "Pid:");
	coop_file_free(data);
	CHECK_INT(coop_file_read("/proc/self/status", 10, &data, &bytes), ==, -EFBIG);
	CHECK_INT(coop_file_read("/dev/zero", 100000, &data, &bytes), ==, -EFBIG);
	return 0;
}

/* The name always stands for a whole file, and the permissions stay. */
FS_TEST(replace_keeps_permissions)
{
	struct coop_file_opts secret = { .mode = 0600 }, only_new = { .no_replace = true },
			      bad = { ._reserved = { 1 } };

	put("a", "old");
	CHECK_INT(chmod(at("a"), 0640), ==, 0);
	put("a", "new");
	holds("a", "new");
	CHECK_INT(mode_of("a"), ==, 0640);
	CHECK_INT(coop_file_replace(at("a"), "x", 1, &secret), ==, 0);
	CHECK_INT(mode_of("a"), ==, 0600);
	CHECK_INT(coop_file_replace(at("a"), "y", 1, &only_new), ==, -EEXIST);
	holds("a", "x");
	CHECK_INT(coop_file_replace(at("b"), "y", 1, &only_new), ==, 0);
	CHECK_INT(coop_file_replace(at("a"), "y", 1, &bad), ==, -EINVAL);
	CHECK_INT(coop_file_replace(at("none/a"), "y", 1, NULL), ==, -ENOENT);
	CHECK_INT(coop_file_replace(at("a/"), "y", 1, NULL), ==, -EISDIR);
	CHECK_INT(coop_file_replace(base, "y", 1, NULL), ==, -EISDIR);
	CHECK_INT(coop_file_replace(at(".."), "y", 1, NULL), ==, -EISDIR);
	CHECK_INT(coop_file_replace("", "y", 1, NULL), ==, -ENOENT);
	CHECK_INT(entries(), ==, 2);
}

/* What a write takes away from a program of somebody who is not root stays, too. */
FS_TEST(replace_keeps_setuid)
{
	struct coop_file_opts opts = { .mode = 06711 };
	uid_t uid = geteuid();

	CHECK_INT(chmod(base, 0777), ==, 0);
	CHECK_INT(seteuid(uid ? uid : 65534), ==, 0);
	put("a", "old");
	CHECK_INT(chmod(at("a"), 06755), ==, 0);
	put("a", "new");
	CHECK_INT(mode_of("a"), ==, 06755);
	CHECK_INT(coop_file_replace(at("b"), "x", 1, &opts), ==, 0);
	CHECK_INT(mode_of("b"), ==, 06711);
	CHECK_INT(seteuid(uid), ==, 0);
}

/* A program of somebody else's, replaced by root, must not become one that runs as root. */
FS_TEST(replace_does_not_give_setuid_away)
{
	put("a", "old");
	if (geteuid() != 0)
		SKIP("only root has what must not be given away");
	CHECK_INT(chown(at("a"), 65534, 65534), ==, 0);
	CHECK_INT(chmod(at("a"), 06755), ==, 0);
	put("a", "new");
	CHECK_INT(mode_of("a"), ==, 0755);
	CHECK_INT(chown(at("a"), 0, 65534), ==, 0);
	CHECK_INT(chmod(at("a"), 06755), ==, 0);
	put("a", "new");
	CHECK_INT(mode_of("a"), ==, 0755); /* nor as its group */
}

/* A link is replaced itself, not what it points to. */
FS_TEST(replace_does_not_follow)
{
	put("target", "kept");
	CHECK_INT(symlink("target", at("link")), ==, 0);
	put("link", "new");
	holds("target", "kept");
	holds("link", "new");
}

FS_TEST(copies)
{
	struct coop_file_opts only_new = { .no_replace = true }, special = { .mode = 04750 };

	put("a", "text");
	CHECK_INT(chmod(at("a"), 0750), ==, 0);
	CHECK_INT(coop_file_copy(at("a"), at("b"), NULL), ==, 0);
	holds("b", "text");
	CHECK_INT(mode_of("b"), ==, 0750);
	CHECK_INT(chmod(at("a"), 07750), ==, 0); /* whose rights a copy has is said by name */
	CHECK_INT(coop_file_copy(at("a"), at("b"), NULL), ==, 0);
	CHECK_INT(mode_of("b"), ==, 0750);
	CHECK_INT(coop_file_copy(at("a"), at("b"), &special), ==, 0);
	CHECK_INT(mode_of("b"), ==, 04750);
	CHECK_INT(coop_file_copy(at("a"), at("b"), &only_new), ==, -EEXIST);
	CHECK_INT(coop_file_copy(base, at("c"), NULL), ==, -EISDIR);
	CHECK_INT(coop_file_copy("/dev/null", at("c"), NULL), ==, -EINVAL);
	CHECK_INT(mkfifo(at("fifo"), 0600), ==, 0);
	CHECK_INT(coop_file_copy(at("fifo"), at("c"), NULL), ==, -EINVAL);
	CHECK_INT(coop_file_copy(at("none"), at("c"), NULL), ==, -ENOENT);
	CHECK_INT(coop_file_copy("/proc/self/status", at("c"), NULL), ==, 0);
	CHECK_INT(entries(), ==, 4);
}

/* I09: more than 4 GiB, most of it holes, which stay holes. */
FS_TEST(rel_I09_copy_of_5_gib)
{
	const int64_t bytes = (INT64_C(5) << 30) + 12345, mark = (INT64_C(9) << 29) + 7;
	int fd = coop_open(at("a"), O_RDWR | O_CREAT, 0600);
	struct stat st;
	char c = 0;

	CHECK_INT(ftruncate(fd, bytes), ==, 0);
	CHECK_INT(coop_pwrite(fd, "M", 1, mark), ==, 1);
	CHECK_INT(coop_pwrite(fd, "E", 1, bytes - 1), ==, 1);
	CHECK_INT(coop_close(fd), ==, 0);
	CHECK_INT(coop_file_copy(at("a"), at("b"), NULL), ==, 0);
	CHECK_INT(coop_stat(at("b"), &st), ==, 0);
	CHECK_INT(st.st_size, ==, bytes);
	CHECK_INT(st.st_blocks, <, 100000);
	fd = coop_open(at("b"), O_RDONLY, 0);
	CHECK_INT(coop_pread(fd, &c, 1, mark), ==, 1);
	CHECK_INT(c, ==, 'M');
	CHECK_INT(coop_pread(fd, &c, 1, bytes - 1), ==, 1);
	CHECK_INT(c, ==, 'E');
	CHECK_INT(coop_close(fd), ==, 0);
	PROVES(rel_I09);
}

/* E13: what was written is closed, and can be executed at once, again and again. */
FS_TEST(rel_E13_written_and_executed)
{
	int count = TEST_COUNT(1000, 10);

	for (int i = 0; i < count; i++) {
		struct coop_file_opts program = { .mode = 0700, .no_sync = true };
		int status;
		pid_t pid;

		CHECK_INT(coop_file_copy("/bin/true", at("program"), &program), ==, 0);
		pid = vfork();
		if (pid == 0) {
			execl(at("program"), "program", (char *)NULL);
			_exit(errno == ETXTBSY ? 26 : 1);
		}
		CHECK_INT(waitpid(pid, &status, 0), ==, pid);
		CHECK_INT(status, ==, 0);
	}
	PROVES(rel_E13);
}

FS_TEST(temporary_files)
{
	int fd = coop_temp_file(base);
	char path[256], small[20], c;

	CHECK_INT(fd, >=, 0);
	CHECK_INT(entries(), ==, 0);
	CHECK_INT(coop_write(fd, "t", 1), ==, 1);
	CHECK_INT(coop_pread(fd, &c, 1, 0), ==, 1);
	CHECK_INT(coop_close(fd), ==, 0);
	CHECK_INT(coop_temp_file(at("none")), ==, -ENOENT);
	CHECK_INT(coop_temp_dir(base, small, sizeof small), ==, -ENAMETOOLONG);
	CHECK_INT(coop_temp_dir(at("none"), path, sizeof path), ==, -ENOENT);
	CHECK_INT(coop_temp_dir(base, path, sizeof path), ==, 0);
	CHECK(strncmp(path, base, strlen(base)) == 0);
	CHECK_INT(coop_rmdir(path), ==, 0);
}

/* ---- trees */

static char told[4096];

static int compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* What a walk tells, sorted, a line each. */
static void tell_walk(const struct coop_walk_opts *opts)
{
	char *lines[64];
	struct coop_walk *w;
	struct coop_walk_entry e;
	int n = 0, r;

	CHECK_INT(coop_walk_open(base, opts, &w), ==, 0);
	while ((r = coop_walk_next(w, &e)) == 0) {
		CHECK_INT(n, <, 64);
		CHECK_STR(strrchr(e.path, '/') ? strrchr(e.path, '/') + 1 : e.path, e.name);
		if (opts && opts->stat)
			CHECK_INT(IFTODT(e.stat.st_mode), ==, e.type);
		CHECK(asprintf(&lines[n++], "%u %s%s%s", e.depth, e.path,
			       e.type == DT_DIR   ? "/"
			       : e.type == DT_LNK ? "@"
						  : "",
			       e.end     ? " end"
			       : e.error ? " error"
					 : "") > 0);
	}
	CHECK_INT(r, ==, COOP_EOF);
	CHECK_INT(coop_walk_next(w, &e), ==, COOP_EOF);
	CHECK(!coop_walk_close(w));
	qsort(lines, (size_t)n, sizeof lines[0], compare);
	told[0] = '\0';
	for (int i = 0; i < n; i++) {
		strcat(strcat(told, lines[i]), "\n");
		free(lines[i]);
	}
}

static void make_tree(void)
{
	CHECK_INT(coop_mkdir_all(at("a/b"), 0700), ==, 0);
	CHECK_INT(coop_mkdir(at("empty"), 0700), ==, 0);
	put("f", "");
	put("a/g", "");
	put("a/b/h", "");
	CHECK_INT(symlink("a", at("link")), ==, 0);
}

FS_TEST(walk_tells_all)
{
	struct coop_walk_opts opts = { .ends = true, .stat = true };

	make_tree();
	tell_walk(NULL);
	CHECK_STR(told, "1 a/\n1 empty/\n1 f\n1 link@\n2 a/b/\n2 a/g\n3 a/b/h\n");
	tell_walk(&opts);
	CHECK_STR(told, "1 a/\n1 a/ end\n1 empty/\n1 empty/ end\n1 f\n1 link@\n2 a/b/\n"
			"2 a/b/ end\n2 a/g\n3 a/b/h\n");
	opts = (struct coop_walk_opts){ .depth_max = 2 };
	tell_walk(&opts);
	CHECK_STR(told, "1 a/\n1 empty/\n1 f\n1 link@\n2 a/b/\n2 a/g\n");
}

/* A directory comes before what is in it, and can be passed over. */
FS_TEST(walk_skips)
{
	struct coop_walk *w;
	struct coop_walk_entry e;
	int seen = 0, r;

	make_tree();
	CHECK_INT(coop_walk_open(base, NULL, &w), ==, 0);
	CHECK_INT(coop_walk_skip(w), ==, 1);
	while ((r = coop_walk_next(w, &e)) == 0) {
		CHECK(strcmp(e.path, "a/b") != 0);
		CHECK_INT(coop_walk_skip(w), ==, e.type != DT_DIR);
		CHECK_INT(coop_walk_skip(w), ==, 1);
		seen++;
	}
	CHECK_INT(r, ==, COOP_EOF);
	CHECK_INT(seen, ==, 4);
	coop_walk_close(w);
	CHECK_INT(coop_walk_open(at("none"), NULL, &w), ==, -ENOENT);
	CHECK_INT(coop_walk_open(at("f"), NULL, &w), ==, -ENOTDIR);
}

/* A thousand entries, more than a batch, each of them once. */
FS_TEST(walk_of_many)
{
	enum { COUNT = 1000 };
	static bool seen[COUNT];
	struct coop_walk *w;
	struct coop_walk_entry e;
	int r;

	for (int i = 0; i < COUNT; i++) {
		char name[16];

		snprintf(name, sizeof name, "%d", i);
		CHECK_INT(close(open(at(name), O_CREAT | O_WRONLY | O_CLOEXEC, 0600)), ==, 0);
	}
	CHECK_INT(coop_walk_open(base, NULL, &w), ==, 0);
	while ((r = coop_walk_next(w, &e)) == 0) {
		CHECK(!seen[atoi(e.name)]);
		seen[atoi(e.name)] = true;
	}
	CHECK_INT(r, ==, COOP_EOF);
	for (int i = 0; i < COUNT; i++)
		CHECK(seen[i]);
	coop_walk_close(w);
}

static struct coop_walk *walk;
static int walked;

static int walks_on(void *arg)
{
	struct coop_walk_entry e;
	int r;

	(void)arg;
	while ((r = coop_walk_next(walk, &e)) == 0)
		if (++walked % 2)
			coop_scope_cancel(arg, "every second one");
	return r;
}

/* Cancelled after every second entry, the walk goes on where it was: none missing, none twice. */
FS_TEST(walk_goes_on_after_a_cancel)
{
	struct coop_walk_opts opts = { .stat = true };
	int r;

	make_tree();
	walked = 0;
	CHECK_INT(coop_walk_open(base, &opts, &walk), ==, 0);
	do {
		struct coop_scope s = COOP_SCOPE_INIT;

		coop_scope_open(&s, NULL);
		r = coop_scope_close(&s, walks_on(&s));
	} while (r == 0);
	CHECK_INT(r, ==, COOP_EOF);
	CHECK_INT(walked, ==, 7);
	coop_walk_close(walk);
}

/* What may not be looked at is an error once, and the walk goes on behind it. */
FS_TEST(walk_goes_on_behind_an_error)
{
	struct coop_walk_opts opts = { .stat = true, .ends = true };
	struct coop_walk_entry e;
	int r = 0, errors = 0, seen = 0;
	uid_t uid = geteuid();

	make_tree();
	CHECK_INT(chmod(base, 0755), ==, 0);
	CHECK_INT(chmod(at("empty"), 0755), ==, 0);
	CHECK_INT(chmod(at("a"), 0444), ==, 0); /* to be read, but not to be searched */
	CHECK_INT(seteuid(uid ? uid : 65534), ==, 0);
	CHECK_INT(coop_walk_open(base, &opts, &walk), ==, 0);
	for (int i = 0; i < 20 && r != COOP_EOF; i++) {
		r = coop_walk_next(walk, &e);
		errors += r == -EACCES;
		seen += r == 0;
	}
	coop_walk_close(walk);
	CHECK_INT(seteuid(uid), ==, 0);
	CHECK_INT(chmod(at("a"), 0700), ==, 0);
	CHECK_INT(r, ==, COOP_EOF);
	CHECK_INT(errors, ==, 3); /* a/b, a/g, and a itself at its end */
	CHECK_INT(seen, ==, 5); /* a, empty and its end, f, link */
}

#define LEVELS_UP 100

static int walks_one_step(void *arg)
{
	struct coop_walk_entry e;

	(void)arg;
	return coop_walk_next(walk, &e);
}

/* Walks to the innermost directory, and cancels the step that comes back from there. */
static bool leaves_half_way(int pause)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct coop_walk_entry e;
	struct coop_handle *h;
	int before, between, r;

	CHECK_INT(coop_walk_open(base, NULL, &walk), ==, 0);
	do
		CHECK_INT(coop_walk_next(walk, &e), ==, 0);
	while (e.depth < LEVELS_UP);
	before = fds_open();
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn_with(&g, walks_one_step, NULL, NULL, &h), ==, 0);
	coop_yield();
	for (volatile int i = 0; i < pause; i++)
		;
	coop_handle_cancel(h, "by the test");
	r = coop_handle_wait(h, NULL);
	coop_handle_release(h);
	(void)!coop_group_join(&g, 0);
	coop_error_clear();
	between = fds_open();
	if (r == COOP_ETASKCANCELLED)
		CHECK_INT(coop_walk_skip(walk), ==, between < before);
	else
		CHECK_INT(between, <, before);
	CHECK_INT(before - between > 0 ? between : before - 1, ==, fds_open());
	coop_walk_close(walk);
	return r == COOP_ETASKCANCELLED && between < before;
}

/* A step that was cancelled when it had left the directory told last: nothing is to be skipped. */
FS_TEST(skip_after_a_cancel)
{
	char path[256] = "";

	for (int i = 0; i < LEVELS_UP; i++)
		strcat(path, "/d");
	CHECK_INT(coop_mkdir_all(at(path + 1), 0700), ==, 0);
	for (int i = 0; i < 500 && !leaves_half_way(i % 100 * 1000); i++)
		;
}

static void make_deep(int levels)
{
	int fd = open(base, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	for (int i = 0; i < levels; i++) {
		int next;

		CHECK_INT(mkdirat(fd, "d", 0700), ==, 0);
		next = openat(fd, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		close(openat(next, "f", O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
		close(fd);
		fd = next;
	}
	close(fd);
}

/* Too deep for a walk: told as such, and it goes on. */
FS_TEST(walk_of_a_deep_tree)
{
	struct coop_walk *w;
	struct coop_walk_entry e;
	int r, errors = 0, seen = 0;

	make_deep(COOP_WALK_DEPTH + 10);
	CHECK_INT(coop_walk_open(base, NULL, &w), ==, 0);
	while ((r = coop_walk_next(w, &e)) == 0) {
		seen++;
		errors += e.error != 0;
		if (e.error)
			CHECK_INT(e.error, ==, -ELOOP);
	}
	CHECK_INT(r, ==, COOP_EOF);
	CHECK_INT(errors, ==, 1);
	CHECK_INT(seen, ==, 2 * COOP_WALK_DEPTH - 1);
	coop_walk_close(w);
}

/* A tree that is deeper than there may be descriptors is removed all the same. */
FS_TEST(remove_a_deep_tree)
{
	struct rlimit limit, low;

	make_deep(TEST_COUNT(400, 100));
	CHECK_INT(coop_mkdir(at(".coop-rm-0"), 0700), ==, 0);
	CHECK_INT(close(open(at(".coop-rm-0/x"), O_CREAT | O_WRONLY | O_CLOEXEC, 0600)), ==, 0);
	CHECK_INT(getrlimit(RLIMIT_NOFILE, &limit), ==, 0);
	low = (struct rlimit){ 64, limit.rlim_max };
	CHECK_INT(setrlimit(RLIMIT_NOFILE, &low), ==, 0);
	CHECK_INT(coop_remove_all(at("d")), ==, 0);
	CHECK_INT(entries(), ==, 1);
	CHECK_INT(setrlimit(RLIMIT_NOFILE, &limit), ==, 0);
}

/* Links are removed and not followed; what they point to stays. */
FS_TEST(remove_does_not_follow)
{
	CHECK_INT(coop_mkdir_all(at("out/side"), 0700), ==, 0);
	put("out/side/kept", "kept");
	CHECK_INT(coop_mkdir_all(at("tree/sub"), 0700), ==, 0);
	CHECK_INT(symlink("../out", at("tree/link")), ==, 0);
	CHECK_INT(symlink("../../out/side/kept", at("tree/sub/link")), ==, 0);
	CHECK_INT(symlink("none", at("tree/dangling")), ==, 0);
	CHECK_INT(symlink("out", at("top")), ==, 0);
	CHECK_INT(coop_remove_all(at("top")), ==, 0);
	CHECK_INT(coop_remove_all(at("tree")), ==, 0);
	CHECK_INT(access(at("tree"), F_OK), ==, -1);
	holds("out/side/kept", "kept");
	CHECK_INT(coop_remove_all(at("tree")), ==, -ENOENT);
	CHECK_INT(coop_remove_all(at("out/side/kept")), ==, 0);
}

/* ---- cancels */

static int opens(void *arg)
{
	int *fd = arg;

	*fd = coop_open(at("new"), O_CREAT | O_RDWR, 0600);
	return *fd == COOP_ECANCELED ? *fd : 0;
}

/* E02: an open meets a cancel: either nothing was made, or the descriptor is delivered. */
FS_TEST(rel_E02_open_and_cancel)
{
	int delivered = 0;

	for (int i = 0; i < TEST_COUNT(200, 20); i++) {
		struct coop_group g = COOP_GROUP_INIT;
		struct coop_handle *h = NULL;
		int fd = -77, r;

		coop_group_open(&g, NULL);
		CHECK_INT(coop_spawn_with(&g, opens, &fd, NULL, &h), ==, 0);
		for (int turns = 0; turns < i % 4; turns++)
			CHECK_INT(coop_yield(), ==, 0);
		coop_handle_cancel(h, "by the test");
		r = coop_handle_wait(h, NULL);
		CHECK(r == 0 || r == COOP_ETASKCANCELLED);
		coop_error_clear();
		h = coop_handle_release(h);
		CHECK_INT(coop_group_join(&g, 0), ==, 0);
		if (fd == COOP_ECANCELED) {
			CHECK_INT(access(at("new"), F_OK), ==, -1);
			continue;
		}
		CHECK_INT(fd, >=, 0);
		CHECK_INT(coop_close(fd), ==, 0);
		CHECK_INT(coop_unlink(at("new")), ==, 0);
		delivered++;
	}
	CHECK_INT(delivered, >, 0);
	PROVES(rel_E02);
}

/* The nth system call of the threads fails; those of the loop itself are left alone. */
static void fail_nth(uint64_t n, int err_no)
{
	cp_os_faults.call_errno = err_no;
	cp_os_faults.call_not_thread = &errno;
	cp_os_faults.call_failed = 0;
	cp_os_faults.call_fail_at = cp_os_faults.call_calls + n;
}

/* Did it? */
static bool failed_one(void)
{
	cp_os_faults.call_fail_at = 0;
	cp_os_faults.call_errno = 0;
	cp_os_faults.call_not_thread = NULL;
	return cp_os_faults.call_failed != 0;
}

/* Each system call of a replacement fails in turn: old or new, whole, and nothing beside it. */
FS_TEST(replace_with_each_call_failing)
{
	static const int errors[] = { EIO, ENOSPC, EDQUOT, EROFS, EACCES };
	uint64_t n;
	int r = -1;

	for (int e = 0; e < 5; e++) {
		for (n = 1; n < 100; n++) {
			bool failed;

			put("a", "old");
			fail_nth(n, errors[e]);
			r = coop_file_replace(at("a"), "new", 3, NULL);
			failed = failed_one();
			if (r >= 0) {
				holds("a", "new");
			} else {
				char *data;
				size_t bytes;

				CHECK_INT(r, ==, -errors[e]);
				CHECK_INT(coop_file_read(at("a"), 99, &data, &bytes), ==, 0);
				CHECK(strcmp(data, "old") == 0 || strcmp(data, "new") == 0);
				coop_file_free(data);
			}
			CHECK_INT(entries(), ==, 1);
			if (!failed)
				break;
		}
		CHECK_INT(n, >, 5);
		CHECK_INT(n, <, 100);
	}
}

/* No file here but `a` itself may be read by anybody but its owner. Takes the others away. */
static void only_a_is_left(void)
{
	struct coop_walk *w;
	struct coop_walk_entry e;

	CHECK_INT(coop_walk_open(base, &(struct coop_walk_opts){ .depth_max = 1 }, &w), ==, 0);
	while (coop_walk_next(w, &e) == 0) {
		if (strcmp(e.name, "a") == 0)
			continue;
		CHECK_INT(mode_of(e.name) & 077, ==, 0);
		CHECK_INT(coop_unlink(at(e.name)), ==, 0);
	}
	CHECK(!coop_walk_close(w));
}

/* With the nth call and all after it failing the new file stays, as it was made. */
static bool fail_from(uint64_t n, bool copy)
{
	bool failed;
	int r;

	fail_nth(n, EIO);
	cp_os_faults.call_fail_on = true;
	r = copy ? coop_file_copy(at("a"), at("b"), NULL)
		 : coop_file_replace(at("a"), "new", 3, NULL);
	cp_os_faults.call_fail_on = false;
	failed = failed_one();
	CHECK(r == 0 || r == -EIO);
	only_a_is_left();
	return failed;
}

/* What is to be a secret is one from the start: not even its new file may be opened by others. */
FS_TEST(a_secret_is_never_open)
{
	mode_t mask = umask(0);

	put("a", "old");
	CHECK_INT(chmod(at("a"), 0600), ==, 0);
	for (int copy = 0; copy < 2; copy++) {
		uint64_t n = 1;

		while (fail_from(n, copy))
			n++;
		CHECK_INT(n, >, 5);
	}
	umask(mask);
}

/* Nothing has had the bytes on the disk before the close, so what that says is told. */
FS_TEST(a_close_tells_what_came_late)
{
	static const int errors[] = { EIO, ENOSPC, EDQUOT, EINTR };
	struct coop_file_opts opts = { .no_sync = true };

	for (int e = 0; e < 4; e++) {
		int passed_over = 0, reported = 0, r;

		for (uint64_t n = 1;; n++) {
			put("a", "old");
			fail_nth(n, errors[e]);
			r = coop_file_replace(at("a"), "new", 3, &opts);
			if (!failed_one())
				break;
			CHECK(r == 0 || r == -errors[e]);
			holds("a", r == 0 ? "new" : "old");
			CHECK_INT(entries(), ==, 1);
			passed_over += r == 0;
			reported += r < 0;
		}
		/* The close of the directory; and of EINTR the two opens, the write, the other
		 * close, too. */
		CHECK_INT(passed_over, ==, errors[e] == EINTR ? 5 : 1);
		CHECK_INT(reported, >, 2);
	}
}

/* Whichever call of a removal fails: what it says is true, and what is left can be removed. */
FS_TEST(remove_with_each_call_failing)
{
	for (uint64_t n = 1;; n++) {
		bool failed;
		int r;

		make_tree();
		fail_nth(n, EIO);
		r = coop_remove_all(at("a"));
		failed = failed_one();
		CHECK(r == 0 || r == -EIO);
		CHECK_INT(access(at("a"), F_OK), ==, r ? 0 : -1);
		CHECK(r == 0 || failed);
		CHECK(r < 0 || coop_remove_all(at("a")) == -ENOENT);
		CHECK_INT(coop_remove_all(base), ==, 0);
		CHECK_INT(coop_mkdir(base, 0700), ==, 0);
		if (!failed)
			break;
		CHECK_INT(n, <, 100);
	}
}

/* The same for a copy, which goes another way where the kernel cannot go the first one. */
FS_TEST(copy_with_each_call_failing)
{
	static const int errors[] = { EIO, EXDEV, ENOSPC };
	uint64_t n;

	put("a", "text");
	for (int e = 0; e < 3; e++) {
		for (n = 1; n < 100; n++) {
			bool failed;
			int r;

			fail_nth(n, errors[e]);
			r = coop_file_copy(at("a"), at("b"), NULL);
			failed = failed_one();
			if (access(at("b"), F_OK) == 0) {
				holds("b", "text");
				CHECK_INT(coop_unlink(at("b")), ==, 0);
			} else {
				CHECK_INT(r, ==, -errors[e]);
			}
			CHECK_INT(entries(), ==, 1);
			if (!failed)
				break;
		}
		CHECK_INT(n, >, 5);
	}
}

/* Without memory every call says so and leaves nothing behind. */
FS_TEST(without_memory)
{
	struct coop_walk *w;
	char *data;
	size_t bytes;

	make_tree();
	for (int i = 0; i < 5; i++) {
		int64_t live = cp_os_faults.allocs_live;
		int r;

		cp_os_faults.alloc_fail_on = true;
		cp_os_faults.alloc_fail_at = cp_os_faults.alloc_calls + 1;
		switch (i) {
		case 0: r = coop_file_read(at("f"), 99, &data, &bytes); break;
		case 1: r = coop_file_replace(at("n"), "x", 1, NULL); break;
		case 2: r = coop_walk_open(base, NULL, &w); break;
		case 3: r = coop_remove_all(at("a")); break;
		default: r = coop_mkdir_all(at("p/q"), 0700); break;
		}
		cp_os_faults.alloc_fail_at = 0;
		cp_os_faults.alloc_fail_on = false;
		CHECK_INT(r, ==, -ENOMEM);
		CHECK_INT(cp_os_faults.allocs_live, ==, live);
	}
	CHECK_INT(entries(), ==, 4);
}

/* ---- what waits for somebody else */

static int give_up(int64_t after_ns, coop_fn *fn)
{
	struct coop_scope_opts opts = { .timeout_ns = after_ns };
	struct coop_scope s = COOP_SCOPE_INIT;
	int r;

	coop_scope_open(&s, &opts);
	r = fn((void *)(uintptr_t)at("fifo"));
	CHECK_INT(coop_scope_close(&s, r), ==, 0);
	return r;
}

static int open_pipe(void *arg)
{
	return coop_open(arg, O_RDONLY, 0);
}

static int read_pipe(void *arg)
{
	size_t bytes;
	char *text;

	return coop_file_read(arg, 100, &text, &bytes);
}

static int pipe_given_up(void *arg)
{
	int fd;

	(void)arg;
	make_base();
	CHECK_INT(mkfifo(at("fifo"), 0600), ==, 0);
	CHECK_INT(give_up(MS(20), open_pipe), ==, COOP_ECANCELED);
	fd = open(at("fifo"), O_RDWR | O_CLOEXEC); /* it can be opened now, and says nothing */
	CHECK_INT(give_up(MS(20), read_pipe), ==, COOP_ECANCELED);
	close(fd);
	remove_base();
	return 0;
}

/*
 * What opens and reads a pipe that nobody writes to waits, and is interrupted by a cancel. On the
 * real clock: on the virtual one no time would pass meanwhile.
 */
TEST(a_pipe_with_a_name_can_be_given_up)
{
	CHECK_INT(coop_run(pipe_given_up, NULL, NULL), ==, 0);
}

static int write_hello(void *arg)
{
	int fd = coop_open(arg, O_WRONLY, 0);

	CHECK_INT(coop_write(fd, "hello", 5), ==, 5);
	return coop_close(fd);
}

/* Where both sides come they find each other. */
FS_TEST(both_sides_of_a_pipe_with_a_name)
{
	struct coop_group g = COOP_GROUP_INIT;
	size_t bytes = 0;
	char *text = NULL;

	CHECK_INT(mkfifo(at("fifo"), 0600), ==, 0);
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, write_hello, (void *)(uintptr_t)at("fifo")), ==, 0);
	CHECK_INT(coop_file_read(at("fifo"), 100, &text, &bytes), ==, 0);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_INT(bytes, ==, 5);
	CHECK(strcmp(text, "hello") == 0);
	coop_file_free(text);
}
