/* SPDX-License-Identifier: MIT */
/*
 * Files and directories.
 *
 *	r = coop_file_read("config.json", 1 << 20, &text, &bytes);       // at most 1 MiB
 *	...
 *	r = coop_file_replace("state", data, bytes, NULL);  // the old state or the new one, whole
 *
 * The system cannot be asked to do these without waiting for a disk, so each call has a thread of
 * the lane COOP_LANE_FS do it (thread.h), and the other tasks go on. A cancel that comes
 * before the thread has begun means that nothing has happened. One that comes later is waited
 * for: a single operation is delivered as it ended, be it a descriptor, and the next checkpoint is
 * cancelled; those of many steps stop between two steps and say what has happened.
 *
 * What waits for somebody else, as the open of a named pipe does, has its thread for so long. A
 * cancel interrupts coop_open and coop_file_read there: COOP_ECANCELED; but not where the program
 * handles SIGURG itself (COOP_ON_CANCEL_INTERRUPT).
 *
 * Paths and data are borrowed for the call. Relative paths are relative to the working directory of
 * the process. What is opened is close-on-exec. The bytes of an open file go by io.h and stream.h.
 */
#ifndef COOP_FS_H
#define COOP_FS_H

#include <coop/base.h>

#include <sys/stat.h>

COOP_BEGIN_DECLS

/* ------------------------------------------------------------------ one operation */

/**
 * Opens a file: open(2), with O_CLOEXEC always added.
 *
 * Returns the descriptor, for coop_close.
 *
 * Checkpoint: always.
 * Cancel: COOP_ECANCELED, and nothing was opened or made.
 * Errors: COOP_ECANCELED, those of open(2) but -EINTR, -ENOMEM, -EAGAIN (no thread can be
 *   started), COOP_ENOTASK, COOP_EFORK.
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_open(const char *path, int flags, unsigned mode);

/**
 * The same, relative to an open directory: openat(2).
 *
 * Returns the descriptor, for coop_close.
 *
 * Checkpoint: always.
 * Cancel: as coop_open.   Errors: as coop_open, those of openat(2).
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_open_at(int dir_fd, const char *path, int flags, unsigned mode);

/**
 * Tells what a file is: stat(2).
 *
 * Returns 0, with the answer in `ret_stat`.
 *
 * Checkpoint: always.
 * Cancel: COOP_ECANCELED.   Errors: as coop_open, those of stat(2).
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_stat(const char *path, struct stat *ret_stat);

/**
 * The same of a symbolic link itself: lstat(2).
 *
 * Returns 0, with the answer in `ret_stat`.
 *
 * Checkpoint: always.
 * Cancel: COOP_ECANCELED.   Errors: as coop_stat.
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_lstat(const char *path, struct stat *ret_stat);

/**
 * Gives a file another name, in place of what has it: rename(2).
 *
 * Returns 0.
 *
 * Checkpoint: always.
 * Cancel: COOP_ECANCELED, and nothing has changed.   Errors: as coop_open, those of rename(2).
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_rename(const char *from, const char *to);

/**
 * Takes the name of a file away: unlink(2).
 *
 * Returns 0.
 *
 * Checkpoint: always.
 * Cancel: COOP_ECANCELED, and nothing has changed.   Errors: as coop_open, those of unlink(2).
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_unlink(const char *path);

/**
 * Makes a directory: mkdir(2).
 *
 * Returns 0.
 *
 * Checkpoint: always.
 * Cancel: COOP_ECANCELED, and nothing has changed.   Errors: as coop_open, those of mkdir(2).
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_mkdir(const char *path, unsigned mode);

/**
 * Makes a directory and those above it, as far as they are not there.
 *
 * Those above it get at least the right to make what is in them, as by mkdir -p.
 *
 * Returns 0, also if it was there.
 *
 * Checkpoint: always.
 * Cancel: COOP_ECANCELED; some of those above it may have been made.
 * Errors: as coop_mkdir; -EEXIST or -ENOTDIR (something else has the name).
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_mkdir_all(const char *path, unsigned mode);

/**
 * Removes an empty directory: rmdir(2).
 *
 * Returns 0.
 *
 * Checkpoint: always.
 * Cancel: COOP_ECANCELED, and nothing has changed.   Errors: as coop_open, those of rmdir(2).
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_rmdir(const char *path);

/* --------------------------------------------------------------------- whole files */

/** Options of what makes a file; all zero: with the mode that was there, or 0666 less the umask. */
struct coop_file_opts {
	uint32_t mode;    /* permissions of the new file, less the umask; 0: see above */
	bool no_sync;     /* does not wait for the disk: after a crash of the machine it may be old,
			     new or empty */
	bool no_replace;  /* -EEXIST where the name is taken */
	uint64_t _reserved[8];
};

/**
 * Reads a whole file of at most `limit` bytes.
 *
 * Also of files that do not tell their size, as those of /proc; a NUL follows the bytes.
 *
 * Returns 0, with memory in `ret_data` that is given back by coop_file_free.
 *
 * Checkpoint: always.
 * Cancel: COOP_ECANCELED; also half way.
 * Errors: -EFBIG (it is longer than `limit`), -ENOMEM, as coop_open, those of read(2).
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_file_read(const char *path, size_t limit, char **ret_data, size_t *ret_bytes);

/**
 * Gives back what coop_file_read returned. NULL is fine.
 *
 * Returns NULL.
 *
 * Checkpoint: never.   Errors: none.   Thread: any.   Since: 0.1
 */
COOP_API
char *coop_file_free(char *data);

/**
 * Puts a file with these bytes in the place of `path`, at once.
 *
 * The bytes go into a file beside it, to the disk, and then under the name: whoever opens it,
 * and whoever finds it after a crash, has the old bytes or the new ones, whole. The permissions of
 * the old file are kept, those bits that set the user and the group only if the new one has its
 * owner and its group; a symbolic link is replaced itself. The file has been closed when this
 * returns, so it can be executed.
 *
 * Returns 0.
 *
 * Checkpoint: always.
 * Cancel: COOP_ECANCELED, and nothing has changed.
 * Errors: -EINVAL (options), -EEXIST (see no_replace), as coop_open, those of write(2), fsync(2),
 *   rename(2), and of close(2) but -EINTR; nothing has changed, save that after the rename fsync of
 *   the directory may fail: the new file is there.
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_file_replace(const char *path, const void *data, size_t bytes,
		      const struct coop_file_opts *opts);

/**
 * Puts a copy of the regular file `from` in the place of `to`, at once, as coop_file_replace.
 *
 * Shares the bytes on disk where the file system can, lets the kernel copy where it can, and keeps
 * holes. The permissions are those of `from` if opts->mode is 0, without the bits that set the user
 * and the group: a copy has the rights of another only where opts->mode says so.
 *
 * Returns 0.
 *
 * Checkpoint: always.
 * Cancel: COOP_ECANCELED, and nothing has changed; also half way.
 * Errors: -EISDIR, -EINVAL (no regular file), as coop_file_replace.
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_file_copy(const char *from, const char *to, const struct coop_file_opts *opts);

/**
 * Opens a new file without a name, in `dir` (NULL: TMPDIR, else /tmp), for reading and writing.
 *
 * It is gone when it is closed.
 *
 * Returns the descriptor, for coop_close.
 *
 * Checkpoint: always.
 * Cancel: COOP_ECANCELED, and nothing was made.
 * Errors: as coop_open.
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_temp_file(const char *dir);

/**
 * Makes a new directory with a name of its own in `dir` (NULL: TMPDIR, else /tmp), mode 0700.
 *
 * Returns 0, with its path in `ret_path`, of at least `size` bytes.
 *
 * Checkpoint: always.
 * Cancel: COOP_ECANCELED, and nothing was made.
 * Errors: -ENAMETOOLONG (`size` is too small), as coop_mkdir.
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_temp_dir(const char *dir, char *ret_path, size_t size);

/* ------------------------------------------------------------------------- trees */

/**
 * Removes `path` and, if it is a directory, all that is in it.
 *
 * Symbolic links are removed and never followed, also if somebody puts them there meanwhile.
 * However deep the tree is, few descriptors are used.
 *
 * Returns 0.
 *
 * Checkpoint: always.
 * Cancel: COOP_ECANCELED; part of the tree may be gone.
 * Errors: -ENOENT, as coop_unlink and coop_rmdir; part of the tree may be gone: it goes on after an
 *   error and returns the first one.
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_remove_all(const char *path);

/** A walk through a tree. */
struct coop_walk;

/** Options of a walk; all zero: all of the tree, no link followed. */
struct coop_walk_opts {
	uint32_t depth_max; /* 1: the directory itself alone; 0: COOP_WALK_DEPTH */
	bool ends;          /* tells each directory again, after what is in it */
	bool stat;          /* fills `stat` of each entry */
	uint64_t _reserved[8];
};

/** How deep a walk goes, where nothing else is said; each level has a descriptor open. */
#define COOP_WALK_DEPTH 128
/** The most that can be asked for. */
#define COOP_WALK_DEPTH_MAX 4096

/** What a walk has found; borrowed until the next call. */
struct coop_walk_entry {
	const char *path; /* relative to the root of the walk */
	const char *name; /* its last part */
	int dir_fd;       /* of the directory that it is in: for calls like coop_open_at */
	uint32_t depth;   /* 1: in the root itself */
	uint8_t type;     /* DT_REG, DT_DIR, DT_LNK ... */
	bool end;         /* all of this directory has been told */
	int error;        /* of a directory: it could not be opened; 0, or the code */
	struct stat stat; /* if asked for */
	uint64_t _reserved[4];
};

/**
 * Begins a walk through what is in the directory `path`.
 *
 * Returns 0, with the walk in `ret_walk`, for coop_walk_close.
 *
 * Checkpoint: always.
 * Cancel: COOP_ECANCELED.
 * Errors: -EINVAL (options), -ENOTDIR, -ENOMEM, as coop_open.
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_walk_open(const char *path, const struct coop_walk_opts *opts,
		   struct coop_walk **ret_walk);

/**
 * Finds the next entry: a directory before what is in it, in no order beside.
 *
 * A directory that cannot be opened, or that lies deeper than COOP_WALK_DEPTH (-ELOOP) where
 * depth_max is 0, is told with its `error`, and the walk goes on behind it. What comes or goes
 * meanwhile may be told or not.
 *
 * Returns 0, with the entry in `ret_entry`.
 *
 * Checkpoint: always.
 * Cancel: COOP_ECANCELED; the next call goes on there.
 * Errors: COOP_EOF (that was all), COOP_ECANCELED, -ENOMEM, those of getdents(2) and stat(2); the
 *   next call goes on.
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_walk_next(struct coop_walk *walk, struct coop_walk_entry *ret_entry);

/**
 * Passes over what is in the directory that was told last.
 *
 * Returns 0, or 1 if that was no directory, or an end.
 *
 * Checkpoint: never.   Errors: none.   Thread: the runtime's.   Since: 0.1
 */
COOP_API
int coop_walk_skip(struct coop_walk *walk);

/**
 * Ends a walk and gives it back. NULL is fine.
 *
 * Returns NULL.
 *
 * Checkpoint: never.   Errors: none.   Thread: the runtime's; any after the run.   Since: 0.1
 */
COOP_API
struct coop_walk *coop_walk_close(struct coop_walk *walk);

COOP_END_DECLS

#endif
