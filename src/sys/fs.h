/* SPDX-License-Identifier: MIT */
/* What the files of fs.h share. */
#ifndef CP_FS_H
#define CP_FS_H

#include "base/base.h"

#include <coop/fs.h>
#include <coop/group.h>
#include <coop/thread.h>

#include <dirent.h>

/* Runs fn(arg) in a thread of the lane of files: a checkpoint, and then what fn returned. */
#define cp_fs_run(fn, arg) cp_fs_run_at((fn), (arg), COOP_SPAWN_SITE(fn))
int cp_fs_run_at(coop_fn *fn, void *arg, const char *site);

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

/* A call that does nothing but fail is a checkpoint all the same. */
int cp_fs_refuse(int code);

#endif
