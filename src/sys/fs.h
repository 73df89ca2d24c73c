/* SPDX-License-Identifier: MIT */
/* What the files of fs.h share. */
#ifndef CP_FS_H
#define CP_FS_H

#include "base/base.h"
#include "core/core.h"

#include <coop/fs.h>
#include <coop/group.h>
#include <coop/thread.h>

#include <dirent.h>
#include <limits.h>

/* Runs fn(arg) in a thread of the lane of files: a checkpoint, and then what fn returned. */
#define cp_fs_run(fn, arg) cp_fs_run_at((fn), (arg), COOP_SPAWN_SITE(fn))
int cp_fs_run_at(coop_fn *fn, void *arg, const char *site);

/*
 * Where it may have to wait for somebody else, not for a disk (a pipe with a name, a terminal): a
 * cancel interrupts it. What such a function opens and reads by these ends with COOP_ECANCELED
 * then. Finding out is the function's: it returns CP_FS_APART to be run once more in this way.
 */
#define CP_FS_APART INT_MIN
#define cp_fs_run_apart(fn, arg) cp_fs_run_apart_at((fn), (arg), COOP_SPAWN_SITE(fn))
int cp_fs_run_apart_at(coop_fn *fn, void *arg, const char *site);
bool cp_fs_waits(const char *path, int dir_fd, int flags);
int cp_fs_open(int dir_fd, const char *path, int flags, unsigned mode);
int cp_fs_read(int fd, void *buf, size_t bytes);

/* Closes what such a function opened, there or in a task. */
void cp_fs_close(int fd);

/* Between two steps in a thread: COOP_ECANCELED if the task that waits for it is cancelled. */
int cp_fs_between_steps(void);

/* A name that nobody else has: `prefix` and 16 digits. */
#define CP_FS_NAME_BYTES 32
void cp_fs_make_name(char name[CP_FS_NAME_BYTES], const char *prefix);

/* Makes a file with such a name in the directory: its descriptor. */
int cp_fs_make_file(int dir_fd, char name[CP_FS_NAME_BYTES], unsigned mode);

/* The next entry of a batch of getdents that is neither "." nor "..", or NULL. */
struct dirent64 *cp_fs_next_dirent(char *buf, size_t bytes, size_t *at);

/* For options: the sum of the words that must be 0. */
uint64_t cp_fs_reserved(const uint64_t reserved[8]);

#endif
